"""Runs that are refused between their authorisation and the first thing opened: given up once, never attested after."""

import asyncio

import pytest

from evaluation.coordination import Council
from evaluation.ledger import MAX_RUNS_KEPT
from evaluation.outcome import RunRefused
from evaluation.records import Refused
from mpc.engine import Engine
from mpc.errors import MpcError, PeerLost
from tests.support.runs import Killed, ThreeNodes, released


@pytest.fixture(scope="module")
def linked():
    made = ThreeNodes(ahead=True)
    assert asyncio.run(made.work()) == [True] * 3
    return made


@pytest.fixture(params=[False, True], ids=["alone", "place"])
def nodes(request, linked, monkeypatch):
    """Linked nodes that run one window at a time; the first one's authorisation is there already, or is not."""
    monkeypatch.setattr("evaluation.run.SAME_BLOCK_SECONDS", 0.05)
    made = ThreeNodes(most_windows=1, ahead=True)
    for mine, done in zip(made.nodes, linked.nodes, strict=True):
        mine.computation.resume(done.computation.linkage, done.computation.linked)
        mine.state.keep_linkage(done.computation.linkage, done.computation.linked)
        mine.state.update(linkage=done.state.ledger.linkage, attempt=done.state.ledger.attempt)
    if request.param:
        (mine,) = [node for node in made.nodes if node.desk.place is not None]
        asyncio.run(mine.desk.advance.reserve())
    return made


def ends_at(nodes, monkeypatch, phase, state="suspended"):
    """The agreement's state changes as a phase begins."""
    said = Council.agree

    async def agree(self, name, rule):
        if name == phase:
            nodes.chain.state = state
        return await said(self, name, rule)

    monkeypatch.setattr(Council, "agree", agree)


def given_up(nodes):
    return [node.state.ledger.given_up for node in nodes.nodes]


@pytest.mark.parametrize("state", ["suspended", "superseded", "revoked", "expired"])
@pytest.mark.parametrize("phase", ["aggregate", "disclosure"])
async def test_what_nothing_was_opened_of_is_given_back(nodes, monkeypatch, phase, state):
    # The phase before: it is what the node finds as it enters the next one that refuses.
    ends_at(nodes, monkeypatch, {"aggregate": "agree", "disclosure": "aggregate"}[phase], state)
    assert await nodes.work() == [True] * 3
    assert all(node.desk.stopped.refusal.rule == "agreement-active" for node in nodes.nodes)
    assert all(node.desk.stopped.refusal.found.startswith(state) for node in nodes.nodes)
    assert nodes.chain.runs == {}, "the run and the place that was reserved are free again"
    assert len(set(given_up(nodes))) == 1
    assert nodes.chain.attested == []
    assert not any(node.state.ledger.opened for node in nodes.nodes)


@pytest.mark.parametrize("state", ["suspended", "superseded", "revoked", "expired"])
@pytest.mark.parametrize("phase", ["estimate", "release"])
async def test_what_may_have_been_opened_is_never_given_back(nodes, monkeypatch, phase, state):
    ends_at(nodes, monkeypatch, phase, state)
    await nodes.work()
    assert all(node.desk.stopped.refusal.found.startswith(state) for node in nodes.nodes)
    (run,) = {run for node in nodes.nodes for run in node.state.ledger.opened}
    assert run in nodes.chain.runs
    assert all(run not in node.state.ledger.given_up for node in nodes.nodes)
    assert nodes.chain.attested == []


@pytest.mark.parametrize("phase", ["agree", "aggregate", "disclosure", "estimate", "release"])
async def test_between_any_two_phases_nothing_comes_out_and_the_end_is_on_record(nodes, monkeypatch, phase):
    ends_at(nodes, monkeypatch, phase, "revoked")
    await nodes.work()
    for node in nodes.nodes:
        assert node.sent == []
        (record,) = [r for r in node.records if isinstance(r, Refused)]
        assert (record.rule, record.node) == ("agreement-active", node.number)
        assert record.found.startswith("revoked at block")
        assert 0 in record.windows


async def test_a_run_whose_attempt_failed_is_given_up_when_the_schedule_stops(nodes, monkeypatch):
    """Its authorisation was mined, a peer was lost, and the next look at the chain says that all is over."""
    said = Council.agree

    async def lost(self, name, rule):
        if name == "disclosure":
            raise PeerLost("gone")
        return await said(self, name, rule)

    with monkeypatch.context() as patched:
        patched.setattr(Council, "agree", lost)
        assert all(isinstance(end, MpcError) for end in await nodes.work(stall_seconds=1.0))
    assert len(nodes.chain.runs) == 1
    nodes.chain.state = "revoked"
    for node in nodes.nodes:
        await node.desk.look()
    assert nodes.chain.runs == {}


async def test_a_place_stays_bound_to_the_run_that_opened_something_under_it(nodes, monkeypatch):
    """Another run that has to take an id of its own, since its first one was given up, must not free the place."""
    (mine,) = [node for node in nodes.nodes if node.desk.place is not None]
    await mine.desk.advance.reserve()
    twin = ThreeNodes(most_windows=1)
    await twin.work()
    await twin.work()
    manifest = twin.nodes[0].state.ledger.runs[0].run
    for node in nodes.nodes:
        node.state.update(bound="f" * 64, given_up=(manifest,))

    async def killed(self, x):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "open", killed)
        await nodes.work(stall_seconds=1.0)
    opened = {run for node in nodes.nodes for run in node.state.ledger.opened}
    assert len(opened) == 1
    assert manifest not in opened
    assert mine.desk.advance.run not in opened
    assert [node.state.ledger.bound for node in nodes.nodes] == ["f" * 64] * 3


async def test_what_others_gave_up_leaves_room_for_what_this_node_does(nodes):
    nodes.nodes[2].state.update(given_up=tuple(f"{number:064x}" for number in range(MAX_RUNS_KEPT)))
    assert await nodes.work() == [True] * 3
    assert [len(found) for found in given_up(nodes)] == [MAX_RUNS_KEPT // 2, MAX_RUNS_KEPT // 2, MAX_RUNS_KEPT]


async def test_one_node_that_may_have_opened_something_keeps_the_run_from_being_released(nodes, monkeypatch):
    """It is killed as it opens; the others never came so far, and meet the suspension in the next attempt."""

    async def killed(self, x):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "open", killed)
        await nodes.work(stall_seconds=1.0)
    (run,) = {run for node in nodes.nodes for run in node.state.ledger.opened}
    for node in nodes.nodes[1:]:  # as if they had been lost a moment earlier
        node.state.update(opened=(), bound="")
    for node in nodes.nodes:
        node.restart()
    ends_at(nodes, monkeypatch, "agree")
    for _ in range(10):
        if await nodes.work() == [True] * 3:
            break
    assert [run in found for found in given_up(nodes)] == [False, True, True]
    assert run in nodes.chain.runs
    monkeypatch.undo()
    await resumed(nodes)
    await nodes.work_on()
    assert run not in {run for _, run, _ in nodes.chain.attested}, "two nodes can attest to nothing under it"
    assert len(released(nodes)) > 0


async def resumed(nodes):
    nodes.chain.state = "active"
    for node in nodes.nodes:
        assert node.desk.suspended
        await node.desk.look()
        assert node.desk.stopped is None
        assert not node.desk.suspended


async def test_after_a_suspension_windows_run_under_authorisations_of_their_own(nodes, monkeypatch):
    ends_at(nodes, monkeypatch, "aggregate")
    await nodes.work()
    (gone,) = set(given_up(nodes))
    assert all(node.desk.over for node in nodes.nodes)
    assert [node.desk.place for node in nodes.nodes] == [None] * 3
    monkeypatch.undo()
    for node in nodes.nodes[:2]:
        node.restart()
        await node.desk.look()
    for node in nodes.nodes:
        await node.desk.look()
        assert node.desk.suspended, "the newest block still says so"
    await resumed(nodes)
    assert await nodes.work() == [True] * 3  # it hears what all gave up
    (mine,) = [node for node in nodes.nodes if node.desk.place is not None]
    place = mine.desk.place
    assert place not in gone
    await mine.desk.advance.reserve()
    await nodes.work_on()
    attested = {run for _, run, _ in nodes.chain.attested}
    assert place in attested, "places are taken as before"
    assert not attested & set(gone)
    assert attested == set(nodes.chain.runs), "nothing is left that was counted and not used"
    assert len({node.state.ledger.places for node in nodes.nodes}) == 1
    undisturbed = ThreeNodes(most_windows=1)
    await undisturbed.work_on()
    assert released(nodes) == released(undisturbed)


@pytest.mark.parametrize("state", ["superseded", "revoked", "expired"])
async def test_what_has_ended_is_not_looked_at_again(nodes, monkeypatch, state):
    ends_at(nodes, monkeypatch, "aggregate", state)
    await nodes.work()
    for node in nodes.nodes:
        assert node.desk.suspended, "not looked at yet"
        await node.desk.look()
        assert (node.desk.suspended, node.desk.stopped is None) == (False, False)


async def test_a_node_that_was_lost_as_it_was_refused_gives_up_when_it_hears_that_others_did(nodes, monkeypatch):
    ends_at(nodes, monkeypatch, "aggregate")
    with monkeypatch.context() as patched:
        give_up = type(nodes.nodes[0].desk.outlets).give_up
        patched.setattr(
            type(nodes.nodes[0].desk.outlets), "give_up", lambda self, run: self.number != 1 and give_up(self, run)
        )
        await nodes.work()
    assert [bool(found) for found in given_up(nodes)] == [True, False, True]
    kept = dict(nodes.chain.runs)
    assert kept
    monkeypatch.undo()
    nodes.nodes[1].restart()
    nodes.chain.state = "active"
    for node in nodes.nodes:
        await node.desk.look()
    assert await nodes.work() == [True] * 3
    assert not kept.keys() & nodes.chain.runs.keys()


async def test_a_stranger_to_the_run_cannot_have_it_given_up_after_it_was_settled(nodes):
    assert await nodes.work() == [True] * 3
    runs = dict(nodes.chain.runs)
    nodes.nodes[2].state.update(given_up=tuple(runs))
    assert await nodes.work() == [True] * 3
    assert runs.items() <= nodes.chain.runs.items()
    assert nodes.chain.given_up == {}
    assert given_up(nodes)[:2] == [(), ()]


async def test_a_refusal_before_the_authorisation_leaves_nothing_to_give_up():
    nodes = ThreeNodes()
    nodes.chain.state = "suspended"
    assert any(isinstance(e, RunRefused) for e in await nodes.attempt())
    assert given_up(nodes) == [()] * 3
    assert nodes.chain.runs == {}
