"""All batches linked anew in the background, at three nodes, while windows go on; and nodes killed meanwhile."""

import numpy as np
import pytest

from evaluation import totals
from evaluation.records import Done
from evaluation.state import NodeState
from evaluation.totals import PaneTotals
from mpc.errors import PeerLost
from tests.attacks.test_resume import until_idle
from tests.attacks.test_runs import rewrite
from tests.support.asking import Asking
from tests.support.batched import LINKAGE, PEOPLE, arrived, by_hand, growing, growing_terms, is_right, linked
from tests.support.runs import PANES, Killed, ThreeNodes, released


def three(late=(), **changes):
    """Nodes that link anew as soon as there are two segments; nothing ran yet, and everything is here."""
    return growing(ThreeNodes(renewing_terms(**changes)), late)


def renewing_terms(**changes):
    terms = growing_terms(**changes)
    linkage = terms.draft.linkage.model_copy(update={"renew_batches": 1})
    return terms.model_copy(update={"draft": terms.draft.model_copy(update={"linkage": linkage})})


def done(nodes, number=0):
    """What a node said was done, in order: windows, or what was linked, (batch, epoch)."""
    said = {r.sequence: r for r in nodes.nodes[number].records if isinstance(r, Done)}
    return [r.windows or f"{r.batch} of {r.epoch}" for _, r in sorted(said.items())]


def epochs(nodes):
    """Of each node: how many batches the epoch in force began with, and the one to come (0: there is none)."""
    found = [(node.computation.now.first, node.computation.coming) for node in nodes.nodes]
    return [(first, coming.first if coming.linkage else 0) for first, coming in found]


@pytest.fixture
def one_by_one(monkeypatch):
    """A portion is one pane."""
    monkeypatch.setattr(totals, "VALUES_AT_ONCE", 1)


async def until_renewed(nodes, most=40):
    """Attempts until the next epoch is in force everywhere; they must all succeed."""
    for _ in range(most):
        if epochs(nodes) == [(2, 0)] * 3:
            return
        assert await nodes.work() == [True] * 3
    raise AssertionError(f"still at {epochs(nodes)} after {most} attempts")


@pytest.mark.parametrize("size", [2, 4])
async def test_windows_before_during_and_after_a_renewal_count_the_same_people(size, one_by_one):
    nodes = three(windows={"size": size, "step": 1})
    arrived(nodes, 2, 4)
    while epochs(nodes) != [(1, 2)] * 3:
        assert await nodes.work() == [True] * 3
    before = done(nodes)
    assert await nodes.work() == [True] * 3
    # A pane comes while the next epoch has one of four: its window goes first, with the epoch in force.
    arrived(nodes, 3, 5)
    for _ in range(2):
        assert await nodes.work() == [True] * 3
    assert done(nodes)[len(before) :] == ["2 of 1", (3,) if size == 2 else (1,)]
    assert epochs(nodes) == [(1, 2)] * 3
    await until_renewed(nodes)
    assert done(nodes)[-1] == "2 of 2"
    arrived(nodes, 3, PANES)
    await nodes.work_on()
    is_right(nodes, done(nodes))


async def test_nothing_is_spare_while_windows_are_due():
    nodes = three()
    await nodes.work_on()
    assert done(nodes) == ["0 of 1", (0,), "1 of 1", (1, 2), "2 of 1", (3, 4)]
    is_right(nodes, done(nodes))
    assert not any(node.desk.has_work for node in nodes.nodes)


async def test_a_batch_is_linked_in_the_epoch_that_was_taken_over():
    nodes = three()
    arrived(nodes, 2, 4)
    await nodes.work_on()
    assert epochs(nodes) == [(2, 0)] * 3
    arrived(nodes, 3, 5)
    await nodes.work_on()
    assert done(nodes) == ["0 of 1", (0,), "1 of 1", (1, 2), "1 of 2", "2 of 2", (3,), "2 of 3"]
    assert epochs(nodes) == [(3, 0)] * 3
    arrived(nodes, 3, PANES)
    await nodes.work_on()
    is_right(nodes, done(nodes))
    for node in nodes.nodes:
        node.restart()
    assert linked(nodes) == [3] * 3
    assert sorted(path.name for path in nodes.nodes[0].folder.iterdir() if path.name.startswith("linkage")) == ["linkage"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_full_editions_after_a_renewal_count_the_same_people(restarted, one_by_one):
    """Of panes from before a batch that was linked together with the first, nobody counts who came with it."""
    late = {"gp_visits": np.where(np.arange(PEOPLE) < PEOPLE, 3, 0) * np.ones((PANES, 1), np.int64)}
    nodes = three(late, maturities={"days": [7], "release": "both", "revisions": 10})
    arrived(nodes, 3, 5)
    for node in nodes.nodes:
        node.shares.mature_panes = 0
    await nodes.work_on(most=40)
    assert epochs(nodes) == [(3, 0)] * 3
    if restarted:
        for node in nodes.nodes:
            node.restart()
    arrived(nodes, 3, PANES)
    await nodes.work_on(most=40)
    is_right(nodes, done(nodes), late)


async def test_epochs_differ_in_key_tags_permutations_and_dummies():
    nodes = three(windows={"size": 4, "step": 1})
    arrived(nodes, 2, 4)
    while epochs(nodes) != [(1, 2)] * 3:
        await nodes.work()
    for computation in nodes.computations:
        old, new = computation.now.linked[0], computation.coming.linked[0]
        assert old.key != new.key
        assert not np.isin(new.planted, old.planted).any()
        (segment,) = new.segments
        for party in range(3):
            assert new.slots(party) == old.slots(party)
            tags = np.concatenate([each.tables[party].tags for each in old.segments])
            assert not np.isin(segment.tables[party].tags, tags).any()
            assert segment.permutations[party].n == old.slots(party) + segment.dummies
    kept = [computation.coming.linked[0].to_bytes() for computation in nodes.computations]
    await until_renewed(nodes)
    assert [computation.linked[0].to_bytes() for computation in nodes.computations] == kept


def sums(nodes, name):
    """Of an epoch, (plan, window): the sums over patients between all edges of atoms that have them, opened."""
    lattice = nodes.terms.draft.lattice
    spans = [(w.start, w.stop) for w in lattice.scheduled if w.stop <= 4] + [a for a in lattice.atoms if a[1] <= 4]
    totals = [getattr(computation, name).totals.of(0)[0] for computation in nodes.computations]
    return [
        sum(each.sums(plan, cell, spans).parts[0] for each in totals).tolist()
        for plan in nodes.terms.plans for cell in range(len(plan.strata))
    ]


async def test_totals_of_earlier_windows_from_which_states_of_alerts_follow_are_the_same():
    nodes = three(windows={"size": 2, "step": 1})
    arrived(nodes, 2, 4)
    while epochs(nodes) != [(1, 2)] * 3:
        assert await nodes.work() == [True] * 3
    before = sums(nodes, "now")
    await until_renewed(nodes)
    assert sums(nodes, "now") == before


@pytest.mark.parametrize("field", ["linkage", "renewal"])
async def test_a_node_that_says_what_it_has_not_loses_the_three_no_more_than_time(one_by_one, field):
    """It says that it took over before anybody could, or that it has another epoch to come."""
    nodes = three()
    arrived(nodes, 2, 4)
    while epochs(nodes) != [(1, 2)] * 3:
        assert await nodes.work() == [True] * 3
    told = nodes.nodes[0].state.ledger.renewal if field == "linkage" else "f" * 64

    def change(message, receiver):
        return {**message, field: told} if "renewed" in message else None

    await nodes.work(tap=rewrite(change), stall_seconds=1.0)
    await until_idle(nodes)
    assert epochs(nodes) == [(2, 0)] * 3
    arrived(nodes, 3, PANES)
    await until_idle(nodes)
    is_right(nodes, done(nodes))


async def kill(nodes, monkeypatch, name, time, *, before, others, most=40):
    """Attempts until node 1 dies at the time-th (from 0) call of a step of its state; it is restarted, or all are."""
    victim, honest, calls = nodes.nodes[1].state, getattr(NodeState, name), []

    def dies(self, *arguments, **named):
        due = self is victim and len(calls) == time
        calls.extend([self] * (self is victim))
        if not (due and before):
            honest(self, *arguments, **named)
        if due:
            raise Killed

    async def work():
        try:
            return any(isinstance(each, Killed) for each in await nodes.work(stall_seconds=0.5))
        except Killed:
            return True

    with monkeypatch.context() as patch:
        patch.setattr(NodeState, name, dies)
        for _ in range(most):
            if await work():
                break
            assert epochs(nodes) != [(2, 0)] * 3, "nobody was killed"
        else:
            raise AssertionError(f"nobody was killed in {most} attempts")
    for number, node in enumerate(nodes.nodes):
        if number == 1 or others:
            node.restart()


STEPS = [
    ("keep_linkage", 0), ("prepare", 0), ("settle", 0), ("take_over", 0), ("_put_linkage", 0), ("_put_linkage", 1),
    *(("update", time) for time in range(4)),
]


@pytest.mark.parametrize(("before", "others"), [(True, True), (False, False)])
@pytest.mark.parametrize(("name", "time"), STEPS)
async def test_a_node_killed_at_any_step_of_a_renewal_goes_on(monkeypatch, name, time, before, others):
    """From the linkage to the takeover; the others go on or are restarted, too."""
    nodes = three(windows={"size": 4, "step": 1})
    arrived(nodes, 2, 4)
    while done(nodes)[-1:] != [(0,)]:
        assert await nodes.work() == [True] * 3
    await kill(nodes, monkeypatch, name, time, before=before, others=others)
    await until_idle(nodes)
    assert epochs(nodes) == [(2, 0)] * 3
    arrived(nodes, 3, PANES)
    await until_idle(nodes)
    is_right(nodes, done(nodes))


@pytest.mark.parametrize(("before", "others"), [(True, True), (False, False)])
@pytest.mark.parametrize(("name", "time"), [(name, time) for name in ("keep_linkage", "prepare", "settle") for time in (0, 1)])
async def test_a_node_killed_while_a_batch_gets_into_both_epochs_goes_on(monkeypatch, name, time, before, others):
    nodes = three(windows={"size": 4, "step": 1})
    arrived(nodes, 2, 4)
    while epochs(nodes) != [(1, 2)] * 3:
        assert await nodes.work() == [True] * 3
    arrived(nodes, 3, 4)
    await kill(nodes, monkeypatch, name, time, before=before, others=others)
    await until_idle(nodes)
    assert done(nodes) == ["0 of 1", "1 of 1", (0,), "1 of 2", "2 of 1", "2 of 2", "2 of 3"]
    arrived(nodes, 3, PANES)
    await until_idle(nodes)
    is_right(nodes, done(nodes))


@pytest.mark.parametrize("pane", range(3))
@pytest.mark.parametrize("killed", [False, True])
async def test_a_node_lost_between_portions_goes_on(one_by_one, monkeypatch, pane, killed):
    """It has not counted a portion that the others have; then it begins anew, or that portion is added again."""
    nodes = three(windows={"size": 4, "step": 1})
    arrived(nodes, 2, 4)
    while epochs(nodes) != [(1, 2)] * 3:
        assert await nodes.work() == [True] * 3
    victim, count = nodes.computations[2].coming.totals, PaneTotals._count

    def lost(self, attempt, portion):
        if self is victim and portion.first == pane:
            raise PeerLost("cut")
        count(self, attempt, portion)

    with monkeypatch.context() as patch:
        patch.setattr(PaneTotals, "_count", lost)
        for _ in range(pane + 1):
            ended = await nodes.work(stall_seconds=1.0)
    assert isinstance(ended[2], PeerLost)
    if killed:
        nodes.nodes[2].restart()
    await until_renewed(nodes)
    arrived(nodes, 3, PANES)
    await nodes.work_on()
    is_right(nodes, done(nodes))


async def test_a_node_without_the_file_of_the_next_epoch_makes_all_three_begin_it_again():
    nodes = three()
    arrived(nodes, 2, 4)
    while epochs(nodes) != [(1, 2)] * 3:
        assert await nodes.work() == [True] * 3
    (nodes.nodes[1].folder / "linkage-ahead").unlink()
    nodes.nodes[1].restart()
    assert epochs(nodes)[1] == (1, 0)
    runs = dict(nodes.chain.runs)
    await until_renewed(nodes)
    assert nodes.chain.runs == runs, "what was authorised once was counted again"
    arrived(nodes, 3, PANES)
    await nodes.work_on()
    is_right(nodes, done(nodes))


async def test_a_request_goes_before_what_is_spare_and_is_answered_by_the_epoch_in_force(one_by_one):
    asking = Asking(requesters=1, linkage={**LINKAGE, "renew_batches": 1}, windows={"size": 4, "step": 1})
    nodes = growing(asking.nodes)
    arrived(nodes, 2, 4)
    while epochs(nodes) != [(1, 2)] * 3:
        assert await nodes.work() == [True] * 3
    digest, window = asking.ask(asking.demand(1, 4)), asking.terms.draft.lattice.at(1, 4)
    await asking.all_hear()
    assert await nodes.work() == [True] * 3
    assert [r.outcome for r in asking.answers()[digest]] == ["run"]
    assert (done(nodes)[-1], epochs(nodes)) == ((window.index,), [(1, 2)] * 3)
    await until_renewed(nodes)
    digest, other = asking.ask(asking.demand(0, 2)), asking.terms.draft.lattice.at(0, 2)
    await asking.all_hear()
    await nodes.work_on()
    scheduled = asking.terms.draft.lattice.scheduled[0]
    assert released(nodes) == by_hand(asking.terms, windows=[scheduled, window, other])


async def test_panes_are_added_again_when_rows_were_erased_meanwhile(one_by_one):
    """As the erasure of rows has it (evaluation.erasing)."""
    nodes = three(windows={"size": 4, "step": 1})
    arrived(nodes, 2, 4)
    while not all(computation.coming.totals.marks for computation in nodes.computations):
        assert await nodes.work() == [True] * 3
    for computation in nodes.computations:
        computation.forget_totals()
        assert computation.now.totals.marks == computation.coming.totals.marks == ()
    await until_renewed(nodes)
    arrived(nodes, 3, PANES)
    await nodes.work_on()
    is_right(nodes, done(nodes))


async def test_no_epoch_comes_when_no_window_is_left():
    nodes = three(windows={"size": 4, "step": 4})
    await nodes.work_on()
    assert done(nodes) == ["0 of 1", "1 of 1", (0,)]
    assert epochs(nodes) == [(1, 0)] * 3


def nothing_is_left_of_it(nodes):
    for node in nodes.nodes:
        assert node.state.ledger.renewal == node.computation.coming.linkage == ""
        assert node.computation.coming.totals.marks == ()
        assert not node.computation.coming.totals.of(0)
        assert "linkage-ahead" not in {path.name for path in node.folder.iterdir()}
        assert not node.desk.has_work


@pytest.mark.parametrize("added", [False, True])
async def test_a_renewal_that_is_pending_when_the_last_window_ends_is_given_up(one_by_one, added):
    nodes = three(windows={"size": 4, "step": 1})
    arrived(nodes, 2, 4)
    while epochs(nodes) != [(1, 2)] * 3:
        assert await nodes.work() == [True] * 3
    if added:
        assert await nodes.work() == [True] * 3
        assert all(computation.coming.totals.marks for computation in nodes.computations)
    arrived(nodes, 3, PANES)
    await nodes.work_on()
    assert done(nodes) == ["0 of 1", "1 of 1", (0,), "1 of 2", "2 of 1", (1, 2)]
    is_right(nodes, done(nodes))
    nothing_is_left_of_it(nodes)
    for node in nodes.nodes:
        node.restart()
    nothing_is_left_of_it(nodes)


@pytest.mark.parametrize(("before", "others"), [(True, True), (True, False), (False, True), (False, False)])
async def test_a_node_killed_while_a_renewal_is_given_up_goes_on(one_by_one, monkeypatch, before, others):
    nodes = three(windows={"size": 4, "step": 1})
    arrived(nodes, 2, 4)
    while epochs(nodes) != [(1, 2)] * 3:
        assert await nodes.work() == [True] * 3
    arrived(nodes, 3, PANES)
    await kill(nodes, monkeypatch, "drop_renewal", 0, before=before, others=others)
    await until_idle(nodes)
    is_right(nodes, done(nodes))
    nothing_is_left_of_it(nodes)


async def test_an_epoch_that_is_whole_when_the_last_window_ends_is_followed_by_a_node_that_was_killed(monkeypatch):
    """Another one took it over: who gave it up then would have another linkage than its peers."""
    nodes = three(windows={"size": 4, "step": 4})
    terms, left = nodes.terms, nodes.nodes[0].desk.agenda.left
    arrived(nodes, 2, 4)
    with monkeypatch.context() as patch:
        for node in nodes.nodes:
            patch.setattr(type(node.desk.agenda), "left", lambda self: terms.draft.lattice.scheduled)
        while not all(renewed for _, renewed in [node.desk.renewal.stand() for node in nodes.nodes]):
            assert await nodes.work() == [True] * 3
        await kill(nodes, monkeypatch, "take_over", 0, before=True, others=False)
    assert left() == ()
    assert epochs(nodes) == [(2, 0), (1, 2), (2, 0)]
    await until_idle(nodes)
    assert epochs(nodes) == [(2, 0)] * 3
    nothing_is_left_of_it(nodes)
