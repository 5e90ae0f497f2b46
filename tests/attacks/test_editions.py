"""Two editions of a window: in order, each once, under a quota of their own, and never telling of a few."""

import numpy as np
import pytest

from evaluation.records import Done, Refused
from tests.support.runs import PANES, PATIENTS, ThreeNodes, released, run_terms

TWO = {"days": [7], "release": "both", "revisions": 10}


def visits(people, panes=range(PANES)):
    """So many more visits in the full edition, of one patient after the other in both arms."""
    more = np.zeros((PANES, PATIENTS), np.int64)
    for pane in panes:
        more[pane, :people] = 3
    return {"gp_visits": more}


def nodes_with(late, most_windows=26, **maturities):
    terms = run_terms(maturities={**TWO, **maturities}, disclosure={"minimum_cohort": 3})
    return ThreeNodes(terms, most_windows, late=late)


def of(nodes, windows):
    """(KPI, window, cell) → sums of what is released of these windows."""
    numbers = {w.index for w in windows}
    return {key: sums for key, sums in released(nodes).items() if key[1] in numbers}


async def ended(nodes):
    await nodes.work_on()
    return [tuple(r.windows) for r in nodes.nodes[0].state.ledger.runs]


async def test_full_editions_follow_the_provisional_ones():
    nodes = nodes_with(visits(PATIENTS))
    lattice = nodes.terms.draft.lattice
    runs = await ended(nodes)
    first, full = tuple(w.index for w in lattice.scheduled), tuple(w.index for w in lattice.full)
    assert [w for run in runs for w in run] == [*first, *full]
    provisional, last = of(nodes, lattice.scheduled), of(nodes, lattice.full)
    kpi, cell = "gp-visit-rate-ratio", ()
    for one, other in zip(lattice.scheduled, lattice.full, strict=True):
        was, now = provisional[kpi, one.index, cell], last[kpi, other.index, cell]
        panes = one.stop - one.start
        assert now["exposed.outcome"] - was["exposed.outcome"] == 3 * panes * PATIENTS // 2
        assert now["exposed.time"] == was["exposed.time"]
    assert all(node.desk.over and not node.desk.has_work for node in nodes.nodes)


@pytest.mark.parametrize(("people", "out"), [(0, True), (1, False), (5, False), (6, True)])
async def test_what_changed_for_a_few_stays_in(people, out):
    """An arm has every second patient: of 6 who changed 3 are in each, the minimum."""
    nodes = nodes_with(visits(people))
    await ended(nodes)
    lattice = nodes.terms.draft.lattice
    assert of(nodes, lattice.scheduled)
    found = of(nodes, lattice.full)
    assert any(kpi == "gp-visit-rate-ratio" and cell == () for kpi, _, cell in found) == out
    suppressed = [s for r in nodes.nodes[0].records if isinstance(r, Done) for s in r.suppressed]
    visits_kept = [s for s in suppressed if s.kpi == "gp-visit-rate-ratio" and not s.cell]
    assert bool(visits_kept) != out
    assert all("changed since the provisional edition" in s.required for s in visits_kept)


async def test_a_pane_in_which_a_few_changed_keeps_every_window_over_it_in():
    nodes = nodes_with({"gp_visits": visits(PATIENTS, [0, 1])["gp_visits"] + visits(2, [4])["gp_visits"]})
    await ended(nodes)
    lattice = nodes.terms.draft.lattice
    out = {w for kpi, w, cell in of(nodes, lattice.full) if kpi == "gp-visit-rate-ratio" and cell == ()}
    assert out == {w.index for w in lattice.full if not w.start <= 4 < w.stop}


async def test_full_editions_have_a_quota_and_what_is_beyond_it_is_said_to_be_refused():
    nodes = nodes_with(visits(PATIENTS), most_windows=2, revisions=1)
    lattice = nodes.terms.draft.lattice
    runs = await ended(nodes)
    assert [run for run in runs if lattice.edition(run[0])] == [tuple(w.index for w in lattice.full[:2])]
    for node in nodes.nodes:
        said = [r for r in node.records if isinstance(r, Refused)]
        assert [(r.rule, r.windows) for r in said] == [("revision-quota", tuple(w.index for w in lattice.full[2:]))]
        assert node.desk.over


async def test_nodes_that_forgot_their_totals_make_the_same_full_editions():
    nodes, undisturbed = nodes_with(visits(PATIENTS), most_windows=2), nodes_with(visits(PATIENTS), most_windows=2)
    lattice = nodes.terms.draft.lattice
    for place in range(2 + len(lattice.scheduled)):
        await nodes.work()
        nodes.nodes[place % 3].restart()
    await nodes.work_on()
    await undisturbed.work_on()
    assert of(nodes, lattice.full) == of(undisturbed, lattice.full) != {}
