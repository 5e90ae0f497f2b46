"""A requester who slides a window by a pane, or puts windows end to end, until a difference is about few patients."""

import itertools

import numpy as np
import pytest

from mpc.disclosure import Findings, atom_ranges, judge, opened
from mpc.engine import Engine
from mpc.statistics import ShardStatistics
from tests.support.dealing import deal
from tests.support.terms import make_terms
from tests.support.wires import run_three

MINIMUM, PATIENTS, PANES = 3, 40, 12
TERMS = make_terms(
    on_demand={"largest": 9}, requesters=[{"name": "analyst", "recipient": "innovation-team", "runs": 50}],
)
LATTICE = TERMS.draft.lattice
PLAN = next(plan for plan in TERMS.plans if plan.kpi == "gp-visit-rate-ratio")


def cohort(thin=()):
    """Columns (panes, patients): in the panes of `thin` two of the app's users went to the doctor, else all."""
    users = np.broadcast_to(np.arange(PATIENTS) < PATIENTS // 2, (PANES, PATIENTS))
    visits = np.full((PANES, PATIENTS), 2)
    for pane in thin:
        visits[pane, 2 : PATIENTS // 2] = 0
    days = np.full((PANES, PATIENTS), 7)
    income = {f"income_{q}": np.broadcast_to(np.arange(PATIENTS) % 5 == q - 1, (PANES, PATIENTS)) for q in range(1, 6)}
    return {
        "app_user": users, "app_not_yet": ~users, "insured_days": days, "insured_any": days != 0, "gp_visits": visits,
        "gp_any": visits != 0, **income,
    }


async def shown(columns, spans):
    """Which windows' total comes out, asked for in this order."""
    windows = [LATTICE.at(*span) for span in spans]
    assert None not in windows
    rng = np.random.default_rng(3)
    dealt = {name: deal(values.astype(np.int64), rng) for name, values in columns.items()}

    async def program(wire):
        engine, shard = Engine(wire), ShardStatistics([PLAN], LATTICE.atoms, PATIENTS)
        await shard.add_panes(engine, 0, {n: parts[wire.number] for n, parts in dealt.items()})
        findings = [Findings(PLAN, shard.contributors(PLAN))]
        return await opened(engine, await judge(engine, findings, atom_ranges(windows, LATTICE.atoms), MINIMUM))

    out = (await run_three(program))[0][0]
    return {span: bool(strata) for span, strata in zip(spans, out, strict=True)}


def visits_of(columns, start, stop):
    """What the window's total says of the app's users."""
    return int((columns["gp_visits"] * columns["app_user"])[start:stop].sum())


END_TO_END = [(0, 4), (4, 8), (0, 9)]
"""Together they differ in the ninth week alone; each two of them in weeks with many patients."""


async def test_three_windows_that_differ_in_one_pane_only_together():
    columns = cohort(thin=[8])
    (a, b, c) = (visits_of(columns, *span) for span in END_TO_END)
    assert c - a - b == visits_of(columns, 8, 9) == 4  # two patients' visits: so it must not come to this
    for order in itertools.permutations(END_TO_END):
        assert await shown(columns, list(order)) == {(0, 4): True, (4, 8): True, (0, 9): False}


async def test_without_a_thin_pane_all_three_come_out():
    assert all((await shown(cohort(), END_TO_END)).values())


@pytest.mark.parametrize("thin", range(4, 8))
async def test_a_window_slid_by_one_pane(thin):
    """The one comes out and the other does not, whichever of the two panes at its ends is thin."""
    entering, leaving = (thin - 3, thin + 1), (thin + 1, thin + 5)
    found = await shown(cohort([thin]), [(thin - 4, thin), entering, leaving, (thin, thin + 4)])
    assert found == {(thin - 4, thin): True, entering: False, leaving: True, (thin, thin + 4): False}


async def test_no_combination_of_windows_that_come_out_reaches_a_thin_pane():
    """Every window of the lattice is asked for. What they tell of panes has no combination that is a thin pane alone."""
    thin = [3, 8]
    spans = [span for span in itertools.combinations(range(PANES + 1), 2) if LATTICE.at(*span) is not None]
    found = await shown(cohort(thin), spans)
    rows = np.array([[start <= pane < stop for pane in range(PANES)] for (start, stop), out in found.items() if out])
    assert len(rows) >= 10
    rank = np.linalg.matrix_rank(rows)
    for pane in thin:
        assert not rows[:, pane].any()
        alone = np.eye(PANES)[pane]
        assert np.linalg.matrix_rank(np.vstack([rows, alone])) == rank + 1
