"""Nodes that are lost at every step of the end of a run, and what comes out after they are back."""

import asyncio
import json
from collections import Counter

import numpy as np
import pytest

from evaluation.desk import Apart, Desk
from evaluation.errors import ConfigError
from evaluation.journal import FILE
from evaluation.records import Done
from evaluation.state import NodeState
from mpc.errors import PeerLost
from tests.support.evidence import runs_of
from tests.support.runs import CHAIN, PANES, PATIENTS, Killed, ThreeNodes, released

COUNCIL = 2
WINDOWS = range(PANES - 1)


def by_hand():
    """The sums of every cell of every window, from how tests.support.runs makes its patients."""
    patients = np.arange(PATIENTS)
    cells = {(): np.ones(PATIENTS, bool)} | {
        (("income", str(q)),): patients // 2 % 5 + 1 == q for q in range(1, 6)
    }
    arms = {"exposed": patients % 2 == 1, "comparator": patients % 2 == 0}
    outcomes = {"gp-visit-rate-ratio": 2, "cost-difference": 100}
    weeks = 2
    return {
        (kpi, window, cell): {
            f"{arm}.{part}": int((inside & mask).sum()) * weeks * each
            for arm, inside in arms.items() for part, each in (("time", 7), ("outcome", outcome))
        }
        for kpi, outcome in outcomes.items() for window in WINDOWS for cell, mask in cells.items()
    }


def is_right(nodes):
    """Every window once and right; each node's ledger, evidence, records and attestations are of one run for each."""
    assert released(nodes) == by_hand()
    attested = Counter((node, run) for node, run, _ in nodes.chain.attested)
    values = {(node, run): value for node, run, value in nodes.chain.attested}
    assert all(values[node, run] == value for node, run, value in nodes.chain.attested)
    assert set(attested) == {(node, run) for node in range(3) for run in nodes.chain.runs}
    assert len(set(nodes.chain.roots)) == len(nodes.chain.runs) - 1
    for node in nodes.nodes:
        done = {(r.run, r.windows) for r in node.records if isinstance(r, Done)}
        assert sorted(w for _, windows in done for w in windows) == [*WINDOWS]
        noted = runs_of(node.folder, nodes.terms, node.number)
        assert {(e.common.run, e.attestation) for e in noted} == {
            (run, value) for (number, run), value in values.items() if number == node.number
        }
        assert len(noted) == len(nodes.chain.runs)
    assert len({node.desk.evidence.same for node in nodes.nodes}) == 1
    assert len({node.state.digest for node in nodes.nodes}) == 1


async def until_idle(nodes, most=30):
    """Attempts, of which some may fail, until nothing is left to do."""
    for _ in range(most):
        for node in nodes.nodes:
            await node.desk.publish()
        if await nodes.work(stall_seconds=2.0) == [False] * 3:
            return
    raise AssertionError("the nodes never came to an end")


async def killed_at(nodes, victim, step, monkeypatch, at=1):
    """Let `victim` die at its `at`-th call of a step, which is then (not) done; restart it and go on to the end."""
    name, before = step
    calls = Counter()
    owner = NodeState if name in {"prepare", "settle", "keep_linkage"} else type(nodes.nodes[victim].desk.outlets)
    honest = getattr(owner, name)

    def mine(self):
        return self is nodes.nodes[victim].state or self is nodes.nodes[victim].desk.outlets

    def due(self):
        calls[name] += mine(self)
        return mine(self) and calls[name] == at

    def now(self, *arguments):
        if due(self):
            if not before:
                honest(self, *arguments)
            raise Killed
        return honest(self, *arguments)

    async def later(self, *arguments):
        if due(self):
            if not before:
                await honest(self, *arguments)
            raise Killed
        return await honest(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, later if asyncio.iscoroutinefunction(honest) else now)
        for _ in range(30):
            try:
                ended = await nodes.work(stall_seconds=0.5)
            except Killed:
                break
            if any(isinstance(e, Killed) for e in ended):
                break
            assert ended != [False] * 3, f"{victim} was never killed"
        else:
            raise AssertionError(f"{victim} was never killed")
    nodes.nodes[victim].restart()
    await until_idle(nodes)


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("step", [
    ("prepare", True), ("prepare", False), ("settle", True), ("settle", False), ("attest", True), ("attest", False),
    ("send", True), ("send", False), ("say", True), ("say", False),
], ids=lambda step: f"{'before' if step[1] else 'after'}-{step[0]}")
async def test_killed_at_any_step_of_the_end_of_a_run(monkeypatch, victim, step, at):
    """At linkage and at windows: what the recipient adds up is right, each window once, one attestation a run."""
    nodes = ThreeNodes(most_windows=2)
    await killed_at(nodes, victim, step, monkeypatch, at)
    is_right(nodes)


async def test_the_undisturbed_course_is_right():
    nodes = ThreeNodes()
    await nodes.work_on()
    is_right(nodes)
    assert len(nodes.chain.attested) == 3 * len(nodes.chain.runs)


@pytest.mark.parametrize("lost", ["Sealed", "Ready", "Stance"])
@pytest.mark.parametrize(("sender", "receiver"), [(0, 1), (1, 0), (2, 1), (2, 0)])
async def test_a_message_lost_between_two_nodes(monkeypatch, lost, sender, receiver):
    """The message never arrives, at linkage or at the windows: afterwards all three have the same runs."""
    marks = {"Sealed": {"hashes"}, "Ready": {"handled"}, "Stance": {"batches"}}[lost]
    for nth in (1, 2):
        nodes, seen = ThreeNodes(), Counter()

        def tap(source, target, channel, label, payload, nth=nth, seen=seen):
            if (source, target, channel) == (sender, receiver, COUNCIL) and marks <= set(json.loads(payload)):
                seen[lost] += 1
                if seen[lost] == nth:
                    return None
            return payload

        for _ in range(6):
            await nodes.work(tap=tap, stall_seconds=0.3)
        assert seen[lost] >= nth
        await until_idle(nodes)
        is_right(nodes)


@pytest.mark.parametrize("victim", range(3))
async def test_everybody_restarts_between_the_promise_and_the_count(monkeypatch, victim):
    """All three have prepared; one has counted it and told nobody; all are killed. Nothing is computed again."""
    nodes = ThreeNodes()
    await nodes.work()

    def killed(self, root):
        if self is not nodes.nodes[victim].state:
            raise PeerLost("killed")
        honest(self, root)

    honest = NodeState.settle
    with monkeypatch.context() as patch:
        patch.setattr(NodeState, "settle", killed)
        await nodes.work(stall_seconds=0.5)
    attempts = {node.state.prepared.attempt for node in nodes.nodes}
    assert len(attempts) == 1
    for node in nodes.nodes:
        node.restart()
    with monkeypatch.context() as patch:
        patch.setattr(Desk, "perform", None)
        assert await nodes.work() == [True] * 3
    assert {node.state.ledger.attempt for node in nodes.nodes} == attempts
    await until_idle(nodes)
    is_right(nodes)


async def test_what_one_node_alone_prepared_is_dropped():
    """Its results were sealed in an attempt whose other shares nobody has: it must not be sent."""
    nodes = ThreeNodes()
    await nodes.work()

    def tap(source, target, channel, label, payload):
        return None if channel == COUNCIL and "release" in payload.decode() and target != 0 else payload

    await nodes.work(tap=tap, stall_seconds=0.3)
    assert [node.state.settled for node in nodes.nodes] == [False, True, True]
    assert not any(node.sent for node in nodes.nodes)
    nodes.nodes[0].restart()
    await until_idle(nodes)
    is_right(nodes)


async def test_a_restart_needs_no_second_linkage():
    nodes = ThreeNodes()
    await nodes.work()
    before = [node.computation.linkage for node in nodes.nodes]
    for node in nodes.nodes:
        node.restart()
    assert [node.computation.linkage for node in nodes.nodes] == before
    await nodes.work_on()
    assert [node.computation.linkage for node in nodes.nodes] == before
    is_right(nodes)


async def test_a_node_that_lost_its_folder_is_not_worked_with():
    """Its share of what was released is gone; computed again it would not fit what its peers sent."""
    nodes = ThreeNodes()
    await nodes.work_on()
    lost = nodes.nodes[1]
    for file in lost.folder.iterdir():
        file.unlink()
    lost.restart()
    ended = await nodes.work(stall_seconds=1.0)
    assert all(isinstance(e, Apart) for e in ended)


@pytest.mark.parametrize(("name", "content"), [
    ("ledger.json", b"{"), ("ledger.json", b'{"agreement": "other"}'), ("prepared.json", b"[]"),
    ("ledger.json", b'{"agreement": "x", "password": 1}'),
])
async def test_a_damaged_folder_is_refused_in_words(name, content):
    nodes = ThreeNodes()
    await nodes.work_on()
    (nodes.nodes[0].folder / name).write_bytes(content)
    with pytest.raises(ConfigError, match=r"cannot be read: it is damaged|belongs to agreement") as error:
        nodes.nodes[0].restart()
    for part in ("password", "input", "https://", "\n"):
        assert part not in str(error.value)


@pytest.mark.parametrize("cut", [0, 10, 200, -1])
async def test_a_damaged_linkage_is_refused_in_words(cut):
    nodes = ThreeNodes()
    await nodes.work()
    path = nodes.nodes[0].folder / "linkage"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ConfigError, match="linkage cannot be read"):
        nodes.nodes[0].restart()


async def test_only_the_owner_can_read_what_is_kept():
    nodes = ThreeNodes()
    await nodes.work_on()
    nodes.nodes[0].state.alive()
    folder = nodes.nodes[0].folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {p.name for p in folder.iterdir()} == {"ledger.json", "prepared.json", "linkage", "alive", FILE}
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o600}
    assert CHAIN.agreement_id.encode() not in b"".join(p.read_bytes() for p in folder.iterdir() if p.name != FILE)
