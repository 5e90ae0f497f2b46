"""A party that has registers grow by one patient whom all have, so that two results could be subtracted.

Each party's own batch is large enough; but of its people only one is linked. Who reads results then asks for everything
before and after, to find what this patient adds.
"""

import itertools

import numpy as np
import pytest

from streams.pseudonym import written
from streams.register import Register
from streams.store import ShareStore
from tests.support import batched, runs
from tests.support.asking import Asking
from tests.support.batched import EDGES, LINKAGE, NEVER, arrived, by_hand, growing
from tests.support.runs import PANES, released
from tests.unit.streams.test_shares import OPENERS, SHARER, TERMS, block, register

MINIMUM = 3
NEWCOMER = 41
"""Uses the app, as every second person does."""
KPI = "gp-visit-rate-ratio"
VALUES = runs._values


def people(*, linked):
    """40 known from the beginning; one more at all three parties, if `linked`, else at two; and some at one party each."""
    one = [1, 1, 1 if linked else NEVER]
    return np.array([[0, 0, 0]] * 40 + [[1, 1, NEVER], one] + [[1, NEVER, NEVER]] * 5 + [[NEVER, 1, NEVER]] * 5 + [[NEVER, NEVER, 1]] * 5)


async def world(monkeypatch, *, linked, values=VALUES):
    """Three nodes that ran what needs no later batch."""
    enters = people(linked=linked)
    for party in range(3):
        assert (enters[:, party] == 1).sum() >= MINIMUM, "the party's own rule lets the batch in"
    monkeypatch.setattr(batched, "ENTERS", enters)
    monkeypatch.setattr(batched, "PEOPLE", len(enters))
    monkeypatch.setattr(batched, "LINKED_FROM", np.where(
        (enters == NEVER).any(axis=1), PANES, np.array([0, *EDGES])[enters.max(axis=1)]
    ))
    assert (batched.LINKED_FROM[NEWCOMER] == EDGES[0]) == linked
    monkeypatch.setattr(runs, "_values", values)
    asking = Asking(
        requesters=1, runs=50, linkage=LINKAGE, windows={"size": 1, "step": 1}, disclosure={"minimum_cohort": MINIMUM}
    )
    arrived(growing(asking.nodes), 1, EDGES[0])
    await asking.nodes.work_on()
    return asking


async def ask(asking, span, kpis=(KPI,)):
    """What nodes answer: an outcome, or the rule that refuses."""
    digest = asking.ask(asking.demand(*span, kpis=kpis))
    await asking.all_hear()
    await asking.nodes.work_on()
    (answer,) = asking.answers()[digest]
    return getattr(answer, "outcome", None) or answer.rule


async def ask_for_everything(asking):
    for length, start in itertools.product(range(2, 5), range(PANES)):
        if asking.terms.draft.lattice.at(start, start + length) is not None:
            await ask(asking, (start, start + length))


def spans(asking):
    """The windows of which the KPI's total came out."""
    lattice = asking.terms.draft.lattice
    found = {window for kpi, window, cell in released(asking.nodes) if (kpi, cell) == (KPI, ())}
    return sorted((w.start, w.stop) for w in map(lattice.window, found))


async def test_no_combination_of_results_is_about_the_newcomer_alone(monkeypatch):
    asking = await world(monkeypatch, linked=True)
    arrived(asking.nodes, 3, PANES)
    await asking.nodes.work_on()
    await ask_for_everything(asking)
    shown = spans(asking)
    assert len(shown) > PANES
    lattice = asking.terms.draft.lattice
    expected = by_hand(asking.terms, windows=[lattice.at(*span) for span in shown])
    assert {key: sums for key, sums in released(asking.nodes).items() if key[0] == KPI} == {
        key: sums for key, sums in expected.items() if key[0] == KPI
    }
    # Whose visits of which pane each total adds up: the app's users who were linked in that pane.
    users = np.arange(len(batched.ENTERS)) % 2 == 1
    counted = (np.arange(PANES)[:, None] >= batched.LINKED_FROM) & users
    rows = np.array([(counted & ((np.arange(PANES) >= a) & (np.arange(PANES) < b))[:, None]).ravel() for a, b in shown])
    alone = np.zeros((PANES, PANES, len(users)))
    alone[np.arange(PANES), np.arange(PANES), NEWCOMER] = 1
    alone = alone.reshape(PANES, -1)
    assert counted[:, NEWCOMER].sum() == PANES - EDGES[0]
    assert np.linalg.matrix_rank(np.vstack([rows, alone])) == np.linalg.matrix_rank(rows) + PANES


async def test_what_came_out_before_the_batch_is_never_made_anew_with_one_more(monkeypatch):
    """The same window before and after the newcomer: one computation, one answer, one charge."""
    asking = await world(monkeypatch, linked=True)
    before = [(0, 1), (1, 2), (0, 2)]
    assert await ask(asking, (0, 2)) == "run"
    figures, used = dict(released(asking.nodes)), dict(asking.nodes.nodes[0].state.ledger.used)
    arrived(asking.nodes, 3, PANES)
    await asking.nodes.work_on()
    assert asking.nodes.nodes[0].computation.batches == 3
    runs_then = dict(asking.nodes.chain.runs)
    for span in before:
        assert await ask(asking, span) == "released"
    assert dict(asking.nodes.nodes[0].state.ledger.used) == used
    assert asking.nodes.chain.runs == runs_then
    assert figures.items() <= released(asking.nodes).items()


async def test_panes_before_the_batch_are_the_same_with_and_without_the_newcomer(monkeypatch):
    """A window that begins before and is first asked for after: in its early panes the newcomer is nobody."""
    found = []
    for linked in (True, False):
        asking = await world(monkeypatch, linked=linked)
        arrived(asking.nodes, 3, PANES)
        await asking.nodes.work_on()
        await ask_for_everything(asking)
        lattice = asking.terms.draft.lattice
        found.append({
            (window.start, window.stop): sums for (kpi, at, cell), sums in released(asking.nodes).items()
            if (kpi, cell) == (KPI, ()) for window in [lattice.window(at)]
        })
    with_, without = found
    assert with_.keys() == without.keys()
    for (start, stop), sums in with_.items():
        more = max(0, stop - max(start, EDGES[0]))  # panes in which one more is linked
        assert sums["exposed.outcome"] - without[start, stop]["exposed.outcome"] == 2 * more
        assert sums["exposed.time"] - without[start, stop]["exposed.time"] == 7 * more


async def test_where_the_newcomer_is_the_only_one_nothing_comes_out(monkeypatch):
    """All others stop visiting when the newcomer enters: every window with such a pane stays inside, whatever is before."""
    def values(column, patient):
        if column not in ("gp_visits", "gp_any"):
            return VALUES(column, patient)
        visits = np.full((PANES, len(patient)), 2)
        visits[EDGES[0] :, (patient % 2 == 1) & (patient != NEWCOMER)] = 0
        return visits if column == "gp_visits" else (visits != 0).astype(np.int64)

    for linked in (True, False):
        asking = await world(monkeypatch, linked=linked, values=values)
        arrived(asking.nodes, 3, PANES)
        await asking.nodes.work_on()
        await ask_for_everything(asking)
        assert spans(asking) == [(0, 1), (0, 2), (1, 2)], "the same, whether there is a newcomer or nobody"


def name(number):
    return written(number.to_bytes(32))


@pytest.mark.parametrize("waiting", range(MINIMUM))
def test_one_patient_alone_enters_no_partys_register(waiting):
    """And what is shared is byte for byte what is shared when nobody waits."""
    def grown(newcomers):
        made = Register(64, b"s" * 32, batches=3, minimum=MINIMUM)
        for number in range(40):
            made.person(name(number))
        made.open()
        for number in newcomers:
            made.person(name(number), 1)
        return made, made.open()

    made, opened = grown(range(100, 100 + waiting))
    nobody, _ = grown([])
    assert list(opened.entered) == []
    assert made.blocks == nobody.blocks == 2
    np.testing.assert_array_equal(made.link_column(len, 1), nobody.link_column(len, 1))
    for number in range(200, 200 + MINIMUM - waiting):
        made.person(name(number), 2)
    assert len(made.open().entered) == MINIMUM, "with enough others they enter"


def test_a_register_with_one_patient_more_is_not_taken_in_the_place_of_the_first(tmp_path):
    """A party shares a batch of its register twice, the second time with one more in it, also after a restart."""
    head = register(blocks=1)
    first = block(head)
    second = first.copy()
    second[0, 5] ^= np.uint64(1 << 40)
    for node in range(3):
        opened = [OPENERS[node].open(SHARER.messages(head, content)[node], 0) for content in (first, second)]
        store = ShareStore(tmp_path / str(node), TERMS, node)
        store.add(opened[:1])
        store.add(opened[1:])
        assert store.incidents == [head.key]
        again = ShareStore(tmp_path / str(node), TERMS, node)
        again.add(opened[1:])
        np.testing.assert_array_equal(again._load(head.key)[1][0], opened[0].components[node])
