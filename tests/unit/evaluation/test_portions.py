"""Running totals in portions: over several attempts, with nodes lost in between, and to the same results."""


import pytest

from evaluation import totals
from evaluation.coordination import Stance, shared_mark
from evaluation.totals import PaneTotals
from mpc.errors import PeerLost, ProtocolError
from tests.attacks.test_editions import nodes_with, visits
from tests.attacks.test_resume import is_right, until_idle
from tests.attacks.test_runs import rewrite
from tests.support.runs import PANES, PATIENTS, ThreeNodes, portions_counted, released


@pytest.fixture
def one_by_one(monkeypatch):
    """A portion is one pane."""
    monkeypatch.setattr(totals, "VALUES_AT_ONCE", 1)


@pytest.fixture
def added(monkeypatch):
    """Of each portion, how often it counted, over all nodes."""
    return portions_counted(monkeypatch)


def hurried(nodes, number):
    """One node, after every portion, has had enough of the attempt; the others go by it."""
    nodes.nodes[number].desk.adding_seconds = 0
    return nodes


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_rebuild_takes_as_many_attempts_as_it_needs(one_by_one, added, number):
    nodes = hurried(ThreeNodes(), number)
    assert await nodes.work() == [True] * 3
    linked = dict(nodes.chain.runs)
    for portion in range(1, PANES):
        assert await nodes.work() == [True] * 3
        assert [len(c.left(nodes.terms.draft.lattice.scheduled)) for c in nodes.computations] == [PANES - portion] * 3
        assert nodes.chain.runs == linked, "a run was authorised before its panes were added"
        assert all(node.state.settled and not node.sent for node in nodes.nodes)
    assert await nodes.work() == [True] * 3
    assert len(nodes.chain.runs) == len(linked) + 1
    is_right(nodes)
    assert added == {(0, pane): 3 for pane in range(PANES)}


async def test_an_attempt_that_has_used_up_its_messages_leaves_the_rest_to_the_next(one_by_one, added, monkeypatch):
    monkeypatch.setattr("evaluation.run.MOST_MESSAGES", 0)
    nodes = ThreeNodes()
    for _ in range(PANES):
        assert await nodes.work() == [True] * 3
        assert not nodes.nodes[0].sent
    await until_idle(nodes)
    is_right(nodes)
    assert set(added.values()) == {3}


async def test_without_haste_all_portions_are_added_in_one_attempt(one_by_one, added):
    nodes = ThreeNodes()
    assert [await nodes.work() for _ in range(3)] == [[True] * 3] * 2 + [[False] * 3]
    is_right(nodes)
    assert added == {(0, pane): 3 for pane in range(PANES)}


async def test_a_node_killed_half_way_makes_all_three_begin_again(one_by_one, added):
    nodes = hurried(ThreeNodes(), 2)
    for _ in range(4):
        await nodes.work()
    assert added == {(0, pane): 3 for pane in range(3)}
    nodes.nodes[1].restart()
    await until_idle(nodes)
    is_right(nodes)
    assert added == {(0, pane): 6 if pane < 3 else 3 for pane in range(PANES)}
    assert len(nodes.chain.runs) == 2


@pytest.mark.parametrize("portion", range(1, PANES))
@pytest.mark.parametrize("early", [True, False])
async def test_an_attempt_that_fails_loses_its_last_portion_alone(one_by_one, added, monkeypatch, portion, early):
    """Node 1 does not come to count a portion, which the others do or do not; what was counted before stays."""
    nodes = ThreeNodes()
    await nodes.work()
    victim, count, add = nodes.computations[1]._totals, PaneTotals._count, PaneTotals._add

    def lost_after(self, attempt, found):
        if self is victim and found.first == portion and not early:
            raise PeerLost("cut")
        count(self, attempt, found)

    async def lost_within(self, statistics, columns, first, *rest):
        await add(self, statistics, columns, first, *rest)
        if self is victim and first == portion and early:
            raise PeerLost("cut")

    with monkeypatch.context() as patch:
        patch.setattr(PaneTotals, "_count", lost_after)
        patch.setattr(PaneTotals, "_add", lost_within)
        assert all(isinstance(e, Exception) for e in await nodes.work(stall_seconds=2.0))
    await until_idle(nodes)
    is_right(nodes)
    expected = {(0, pane): 3 for pane in range(PANES)}
    expected[0, portion] = 3 if early else 5
    assert added == expected


async def test_both_editions_come_in_portions(one_by_one, added):
    late = visits(PATIENTS)
    honest, nodes = nodes_with(late), hurried(nodes_with(late), 0)
    await honest.work_on()
    added.clear()
    await nodes.work_on(most=40)
    assert released(nodes) == released(honest)
    assert added == {(edition, pane): 3 for edition in (0, 1) for pane in range(PANES)}


@pytest.mark.parametrize("edition", [0, 1])
async def test_an_attempt_that_fails_in_one_edition_keeps_the_other(one_by_one, added, monkeypatch, edition):
    late = visits(PATIENTS)
    honest, nodes = nodes_with(late), nodes_with(late)
    await honest.work_on()
    victim, count = nodes.computations[2]._totals, PaneTotals._count
    cut = []

    def lost(self, attempt, found):
        if self is victim and (found.edition, found.first) == (edition, 3) and not cut:
            cut.append(found)
            raise PeerLost("cut")
        count(self, attempt, found)

    monkeypatch.setattr(PaneTotals, "_count", lost)
    added.clear()
    await until_idle(nodes)
    assert cut
    assert released(nodes) == released(honest)
    assert set(added.values()) == {3, 5}
    assert added[edition, 3] == 5


@pytest.mark.parametrize("change", [{"left": 0}, {"left": -1}, {"enough": "maybe"}])
async def test_a_node_that_tells_of_other_portions_ends_the_attempt(one_by_one, change):
    nodes = ThreeNodes()
    await nodes.work()

    def told(message, receiver):
        return {**message, **change} if "enough" in message else None

    ended = await nodes.work(tap=rewrite(told), stall_seconds=2.0)
    assert all(isinstance(e, ProtocolError) for e in ended[:2])
    await until_idle(nodes)
    is_right(nodes)


async def test_a_node_that_cannot_go_back_makes_all_three_begin_again(one_by_one, added, monkeypatch):
    """As when a thread of the attempt that failed waits for its disk."""
    nodes = ThreeNodes(most_windows=2)
    await nodes.work()
    await nodes.work()
    victim, count = nodes.computations[0]._totals, PaneTotals._count

    def lost(self, attempt, found):
        if self is nodes.computations[1]._totals:
            raise PeerLost("cut")
        count(self, attempt, found)

    with monkeypatch.context() as patch:
        patch.setattr(PaneTotals, "_count", lost)
        assert all(isinstance(e, Exception) for e in await nodes.work(stall_seconds=2.0))
    added.clear()
    with next(iter(victim.of(0).values()))._totals._lock:
        monkeypatch.setattr("mpc.totals.CLOSE_SECONDS", 0.1)
        assert await nodes.work() == [True] * 3
    await until_idle(nodes)
    is_right(nodes)
    assert added == {(0, pane): 3 for pane in range(PANES)}


def test_nodes_go_back_to_the_last_mark_that_all_three_have():
    a, b, c, d = ("abcd"[n] * 64 for n in range(4))
    for marks, shared in (
        ([(), (a,), (a,)], ""), ([(a,), (a,), (a,)], a), ([(a, b), (b, c), (a, b)], b), ([(a, b), (b, c), (c, d)], ""),
        ([(a, b), (a, b), (a,)], a), ([(), (), ()], ""), ([(a, b), (c, a), (a, b)], a),
    ):
        assert {shared_mark(stances(marks[n:] + marks[:n])) for n in range(3)} == {shared}


def stances(marks):
    return [
        Stance(windows=(0,), plans=(), batches="", components={}, block_number=1, block_hash="", totals=each)
        for each in marks
    ]
