"""A cheating node, or a chain that changes its mind, against a run under way."""

import asyncio
import json

import numpy as np
import pytest

import evaluation.epoch
from evaluation.compute import Computation
from evaluation.coordination import Council, Sealed, Stance, Verdict, disagreement, run_id
from evaluation.outcome import Outcome, RunRefused
from evaluation.run import NodeRun
from mpc.engine import Engine
from mpc.errors import IntegrityError, MpcError, ProtocolError
from policy.chain.errors import ChainRefusal
from tests.support.dealing import deal
from tests.support.runs import ThreeNodes
from tests.support.wires import run_three, three_wires

CHEAT = 2
COUNCIL = 2


@pytest.fixture(scope="module")
def linked():
    made = ThreeNodes()
    assert all(isinstance(o, Outcome) for o in asyncio.run(made.attempt()))
    return made


@pytest.fixture
def nodes(linked, monkeypatch):
    """Linked nodes, nothing run yet."""
    monkeypatch.setattr("evaluation.run.SAME_BLOCK_SECONDS", 0.05)
    made = ThreeNodes()
    for mine, done in zip(made.computations, linked.computations, strict=True):
        mine.resume(done.linkage, done.linked)
    made.chain.runs.update(linked.chain.runs)
    return made


async def test_a_node_that_expands_another_key_opens_no_tags(monkeypatch):
    """The key is expanded by the main engine, tags are opened by the shards': without a look at the first, tags would be out."""
    expand, opened = evaluation.epoch.expand_key, []
    opening = Engine.open_bits

    async def expanded(engine, key):
        await engine.random_permutation(3 if engine.number == CHEAT else 4)  # any operation of another shape
        return await expand(engine, key)

    async def open_bits(engine, words):
        opened.append(engine.number)
        return await opening(engine, words)

    monkeypatch.setattr(evaluation.epoch, "expand_key", expanded)
    monkeypatch.setattr(Engine, "open_bits", open_bits)
    made = ThreeNodes()
    ended = await made.attempt()
    assert all(isinstance(error, MpcError) for error in ended), ended
    assert any("has done something else" in str(error) for error in ended)
    assert opened == []


def rewrite(change, only_to=None):
    """A tap by which the cheat changes its own messages to its peers: change(parsed) → what is sent instead."""

    def tap(sender, receiver, channel, label, payload):
        if sender != CHEAT or channel != COUNCIL or (only_to is not None and receiver != only_to):
            return payload
        found = json.loads(payload)
        changed = change(dict(found), receiver)
        return payload if changed is None else json.dumps(changed).encode()

    return tap


@pytest.mark.parametrize("phase", ["aggregate", "disclosure", "estimate"])
async def test_a_revocation_between_phases_lets_nothing_out(nodes, monkeypatch, phase):
    """The agreement ends while a phase begins: the next one begins nowhere, nobody seals a result or attests."""
    said = Council.agree

    async def agree(self, name, rule):
        if name == phase:
            nodes.chain.state = "revoked"
        return await said(self, name, rule)

    monkeypatch.setattr(Council, "agree", agree)
    ended = await nodes.attempt(0)
    assert any(isinstance(e, RunRefused) for e in ended)
    assert not any(isinstance(e, Outcome) for e in ended)
    assert nodes.chain.attested == []


async def test_a_node_that_did_something_else_after_the_release_bits_gets_no_results_out(nodes, monkeypatch):
    """What nodes computed for the tail is compared before it enters."""
    moments = Computation._moments

    async def others(self, engines, *arguments):
        found = await moments(self, engines, *arguments)
        if self._number == CHEAT:
            engines.main._transcript.update(b"something else")
        return found

    monkeypatch.setattr(Computation, "_moments", others)
    ended = await nodes.attempt(0, stall_seconds=5.0)
    assert [type(e) for e in ended] == [IntegrityError] * 3
    assert nodes.chain.attested == []


@pytest.mark.parametrize("absent", [1, 2])
async def test_nothing_is_opened_before_the_authorisation_is_final_at_all_three_nodes(nodes, monkeypatch, absent):
    """Panes are added up while the chain takes its time; at one node, which does not send it, it takes much longer."""
    final, all_begun, begun, opened = asyncio.Event(), asyncio.Event(), [], []
    said, extended, revealed = NodeRun._authorise, Computation.extend, Engine.open

    async def authorise(self, leader):
        if self.wire.number == absent:
            await final.wait()
        return await said(self, leader)

    async def extend(self, engines, windows):
        await extended(self, engines, windows)
        begun.append(engines.main.number)
        if len(begun) == 3:
            all_begun.set()

    async def reveal(self, x):
        opened.append(self.number)
        return await revealed(self, x)

    monkeypatch.setattr(NodeRun, "_authorise", authorise)
    monkeypatch.setattr(Computation, "extend", extend)
    monkeypatch.setattr(Engine, "open", reveal)
    run = asyncio.create_task(nodes.attempt(0))
    async with asyncio.timeout(30):
        await all_begun.wait()
    await asyncio.sleep(0.3)
    assert sorted(begun) == [0, 1, 2]
    assert opened == []
    final.set()
    assert all(isinstance(e, Outcome) for e in await run)
    assert sorted(opened) == [0, 1, 2]


@pytest.mark.parametrize("at", [0, 1])
async def test_an_authorisation_that_the_contract_refuses_ends_the_run(nodes, monkeypatch, at):
    """As when the quota is used up meanwhile; node 0 sends window 0's."""
    async def refuse(self, agreement, runs, *rest, **more):
        raise ChainRefusal("QuotaExhausted", {}, "authorise")

    monkeypatch.setattr(type(nodes.chain), ("authorise", "wait_authorised")[at], refuse)
    ended = await nodes.attempt(0, stall_seconds=2.0)
    assert any(isinstance(e, ChainRefusal) for e in ended)
    assert not any(isinstance(e, Outcome) for e in ended)


@pytest.mark.parametrize("phase", ["agree", "disclosure", "release"])
@pytest.mark.parametrize("told", [0, 1])
async def test_telling_one_peer_yes_and_the_other_no_lets_nothing_out(nodes, phase, told):
    """The peer that hears no stops; the other one must not be left with a result it hands out."""

    def change(message, receiver):
        return {**message, "rule": "agreement-active"} if message.get("phase") == phase else None

    ended = await nodes.attempt(0, tap=rewrite(change, only_to=told), stall_seconds=2.0)
    assert isinstance(ended[told], RunRefused)
    assert not isinstance(ended[1 - told], Outcome)


@pytest.mark.parametrize("field", ["windows", "plans", "batches", "block_hash", "linkage", "components"])
async def test_another_stance_for_each_peer_stops_the_run_before_it_is_authorised(nodes, field):
    runs = dict(nodes.chain.runs)

    def change(message, receiver):
        if field not in message:
            return None
        other = {
            "windows": [1], "plans": ["f" * 64], "components": dict.fromkeys(message["components"], "e" * 64),
        }.get(field, "f" * 64)
        return {**message, field: other}

    ended = await nodes.attempt(0, tap=rewrite(change, only_to=0), stall_seconds=2.0)
    assert not any(isinstance(e, Outcome) for e in ended)
    assert isinstance(ended[0], RunRefused)
    assert nodes.chain.runs == runs


@pytest.mark.parametrize("components", [{}, {"2": "c"}, {"0": "a", "1": "b", "2": "c"}, {"7": "x"}])
def test_a_stance_that_hides_a_component_is_no_agreement(components):
    def stance(node, held):
        return Stance(windows=(0,), plans=("p",), batches="b", components=held, block_number=1, block_hash="h")

    honest = [stance(n, {n: "abc"[n], (n + 1) % 3: "abc"[(n + 1) % 3]}) for n in range(3)]
    assert disagreement(honest) is None
    found = disagreement([*honest[:CHEAT], stance(CHEAT, {int(c): d for c, d in components.items()})])
    assert found is not None
    assert found[0] == "commitments-equal"


def test_a_run_id_binds_agreement_plans_windows_and_data():
    def stance(node, **changes):
        return Stance(**{
            "windows": (0,), "plans": ("p",), "batches": "b", "block_number": 1, "block_hash": "h",
            "components": {n: "abc"[n] for n in (node, (node + 1) % 3)}, **changes,
        })

    ids = {run_id("t", [stance(n) for n in range(3)]), run_id("u", [stance(n) for n in range(3)])}
    for changes in ({"windows": (1,)}, {"windows": ()}, {"plans": ("q",)}, {"batches": "c"}):
        ids.add(run_id("t", [stance(n, **changes) for n in range(3)]))
    for component in range(3):
        digests = {c: "z" if c == component else "abc"[c] for c in range(3)}
        ids.add(run_id("t", [stance(n, components={c: digests[c] for c in (n, (n + 1) % 3)}) for n in range(3)]))
    assert len(ids) == 9


@pytest.mark.parametrize("hashes", [(), ("aa" * 32,) * 2, ("zz" * 32,), ("aa",), ("aa" * 32,) * 65])
async def test_hashes_of_sealed_results_that_are_none_end_the_run_in_words(nodes, hashes):
    """Before, one peer's odd hexadecimal ended node 0 with a bug, and more hashes shifted everyone's place in the root."""
    def change(message, receiver):
        return {"hashes": list(hashes)} if set(message) == {"hashes"} else None

    ended = await nodes.attempt(0, tap=rewrite(change), stall_seconds=2.0)
    assert all(isinstance(e, ProtocolError) for e in ended[:CHEAT])
    assert nodes.chain.roots == []


@pytest.mark.parametrize("rule", ["", "Agreement ended\n", "<b>x</b>", "x" * 41])
async def test_a_peers_reason_is_a_rules_name_or_no_message(rule):
    async with three_wires() as wires:
        for peer in (0, 1):
            wires[CHEAT].channel(COUNCIL).send(peer, 1, json.dumps({"phase": "p", "rule": rule}).encode())
        ended = await asyncio.gather(
            *(Council(w).exchange(Verdict(phase="p")) for w in wires[:CHEAT]), return_exceptions=True
        )
    assert all(isinstance(e, ProtocolError) for e in ended)
    assert Sealed(hashes=("ab" * 32,)).hashes


async def test_two_programs_on_one_wire_cannot_reuse_masks():
    """A second engine on the same channel would start its counters anew: its first message is refused."""
    rng = np.random.default_rng(1)
    x, y = deal(range(8), rng), deal(range(8), rng)

    async def program(wire):
        await Engine(wire).multiply(x[wire.number], x[wire.number])
        return await Engine(wire).multiply(y[wire.number], y[wire.number])

    with pytest.raises(MpcError, match=r"label|ended the attempt"):
        await run_three(program, stall_seconds=2.0)
