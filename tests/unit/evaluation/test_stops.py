"""What stops a schedule, and whether it goes on by itself when that is over."""

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from evaluation import outcome
from evaluation.outcome import AGAIN_SECONDS, RunRefused
from evaluation.records import Refused
from policy.gate import AGREEMENT_ACTIVE, Refusal
from tests.support.node import a_node
from tests.support.runs import ThreeNodes, released


@pytest.mark.parametrize(("rule", "peers", "in_live", "in_an_evaluation"), [
    (AGREEMENT_ACTIVE, None, 0.0, 0.0), ("peer-refused", AGREEMENT_ACTIVE, 0.0, 0.0),
    ("heads-agree", None, AGAIN_SECONDS, None), ("peer-refused", "same-batches", AGAIN_SECONDS, None),
    ("plan-permitted", None, None, None), ("commitments-equal", None, None, None),
])
async def test_a_stop_may_end_by_itself_if_its_reason_may(rule, peers, in_live, in_an_evaluation):
    error = RunRefused(Refusal(rule, "this", "that", "do"), None, peers_rule=peers)
    for live, again in ((True, in_live), (False, in_an_evaluation)):
        assert error.again(live=live) == again
        nodes = ThreeNodes(ahead=live)
        desk = nodes.nodes[0].desk
        await desk._stop(error)
        assert desk.suspended == (again is not None)
        assert desk.again - time.monotonic() == pytest.approx(again or 0.0, abs=10)


class Forked:
    """A chain that has another block than its peers' at every height."""

    def __init__(self, chain):
        self.chain = chain

    def __getattr__(self, name):
        return getattr(self.chain, name)

    async def block(self, at):
        return replace(await self.chain.block(at), hash="fork")


def refused(nodes):
    """Rules that nodes put on record."""
    return [record.rule for node in nodes.nodes for record in node.records if isinstance(record, Refused)]


async def test_live_nodes_go_on_when_a_fork_is_over(monkeypatch):
    monkeypatch.setattr(outcome, "AGAIN_SECONDS", 0.0)
    nodes = ThreeNodes(ahead=True)
    assert await nodes.work() == [True] * 3  # linked
    nodes.nodes[1].desk.registry = Forked(nodes.chain)
    assert await nodes.work() == [True] * 3
    assert [node.desk.stopped.refusal.rule for node in nodes.nodes] == ["heads-agree"] * 3
    assert refused(nodes) == ["heads-agree"] * 3
    assert await nodes.work() == [False] * 3, "nothing runs meanwhile"
    nodes.nodes[1].desk.registry = nodes.chain
    for node in nodes.nodes:
        await node.desk.look()
        assert node.desk.stopped is None
    await nodes.work_on()
    undisturbed = ThreeNodes(ahead=True)
    await undisturbed.work_on()
    assert released(nodes) == released(undisturbed) != {}


async def test_they_wait_before_they_look_again(monkeypatch):
    nodes = ThreeNodes(ahead=True)
    desk = nodes.nodes[0].desk
    await desk._stop(RunRefused(Refusal("heads-agree", "this", "that", "do"), None))
    await desk.look()
    assert desk.stopped is not None
    monkeypatch.setattr(time, "monotonic", lambda: desk.again)
    await desk.look()
    assert desk.stopped is None


async def test_what_was_revoked_meanwhile_stays_stopped(monkeypatch):
    monkeypatch.setattr(outcome, "AGAIN_SECONDS", 0.0)
    nodes = ThreeNodes(ahead=True)
    desk = nodes.nodes[0].desk
    await desk._stop(RunRefused(Refusal("heads-agree", "this", "that", "do"), None))
    nodes.chain.state = "revoked"
    await desk.look()
    assert (desk.stopped is None, desk.suspended) == (False, False)


@pytest.mark.parametrize(("live", "suspended", "over"), [(True, True, False), (True, False, True), (False, True, True)])
def test_a_schedule_that_will_go_on_is_not_said_to_be_over(tmp_path, live, suspended, over):
    node, _ = a_node(tmp_path, live=live)
    lines = []
    node._status.say = lambda phase, *_, **__: lines.append(phase)
    node._desk = SimpleNamespace(over=True, suspended=suspended, terms=node._terms)
    node._outlets, node._state = SimpleNamespace(idle=True), SimpleNamespace(ledger=SimpleNamespace(sent=True))
    node._expected = SimpleNamespace(following=lambda: 0)
    node._say_if_over()
    assert (lines, node._over) == (["over"] * over, over)
