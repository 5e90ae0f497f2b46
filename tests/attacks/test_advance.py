"""A place reserved for the next run: one run takes it, and no other can, whatever nodes, chain and crashes do."""

import asyncio

import pytest
import structlog

from evaluation.advance import Advance, place, taken
from evaluation.coordination import Council, Stance
from evaluation.outcome import Outcome, RunRefused
from mpc.engine import Engine
from policy.chain.errors import ChainRefusal
from tests.support.runs import Killed, Shares, ThreeNodes


@pytest.fixture(scope="module")
def linked():
    made = ThreeNodes(ahead=True)
    assert asyncio.run(made.work()) == [True] * 3
    return made


@pytest.fixture
def nodes(linked, monkeypatch):
    """Linked nodes that run one window at a time, nothing run yet."""
    monkeypatch.setattr("evaluation.run.SAME_BLOCK_SECONDS", 0.05)
    made = ThreeNodes(most_windows=1, ahead=True)
    for mine, done in zip(made.nodes, linked.nodes, strict=True):
        mine.computation.resume(done.computation.linkage, done.computation.linked)
        mine.state.keep_linkage(done.computation.linkage, done.computation.linked)
        mine.state.update(linkage=done.state.ledger.linkage, attempt=done.state.ledger.attempt)
    made.chain.runs.update(linked.chain.runs)
    return made


async def reserve(nodes):
    """Whoever's turn it is reserves the next place."""
    wanted = [node for node in nodes.nodes if node.desk.place is not None]
    assert len(wanted) == 1
    assert wanted[0].desk.place == place(nodes.terms.hash, wanted[0].state.ledger.places)
    await wanted[0].desk.advance.reserve()
    return wanted[0].desk.place


def runs_of(nodes):
    """Ids of the settled runs, which all nodes must agree on."""
    found = {tuple(run.run for run in node.state.ledger.runs) for node in nodes.nodes}
    assert len(found) == 1
    return list(*found)


def spent(nodes):
    (found,) = {node.state.ledger.places for node in nodes.nodes}
    return found


async def test_a_run_takes_the_place_and_the_next_one_another(nodes, monkeypatch):
    before = dict(nodes.chain.runs)
    first = await reserve(nodes)
    assert await nodes.work() == [True] * 3
    second = await reserve(nodes)
    assert await nodes.work() == [True] * 3
    assert runs_of(nodes) == [first, second]
    assert first != second
    assert spent(nodes) == 2
    assert nodes.chain.runs.keys() - before.keys() == {first, second}
    assert {run for _, run, _ in nodes.chain.attested} == {first, second}
    # Without one, a run is authorised by itself, as the first of all is.
    assert await nodes.work() == [True] * 3
    (third,) = nodes.chain.runs.keys() - before.keys() - {first, second}
    assert runs_of(nodes)[2] == third
    assert spent(nodes) == 2
    manifests = [[r.manifest for r in node.records if getattr(r, "kind", "") == "done" and r.windows]
                 for node in nodes.nodes]
    assert manifests[0] == manifests[1] == manifests[2]
    assert [bool(m) for m in manifests[0]] == [True, True, False]
    assert len(set(manifests[0])) == 3


async def test_a_place_that_one_node_does_not_see_waits_for_the_next_run(nodes, monkeypatch):
    place_ = await reserve(nodes)
    seen = Advance.seen

    async def blind(self, head):
        return ("", "") if self.number == 1 else await seen(self, head)

    with monkeypatch.context() as patched:
        patched.setattr(Advance, "seen", blind)
        assert await nodes.work() == [True] * 3
    assert place_ not in runs_of(nodes)
    assert spent(nodes) == 0
    assert await nodes.work() == [True] * 3
    assert runs_of(nodes)[1] == place_


@pytest.mark.parametrize("last", [1, 2, 3])
async def test_after_bits_were_opened_other_data_need_an_authorisation_of_their_own(nodes, monkeypatch, last):
    """Nodes are killed as they open bits; then one run over changed data finds the place bound, and pays again."""
    place_, opened = await reserve(nodes), []
    opening = Engine.open

    async def killed(self, x):
        opened.append(self.number)
        if len(opened) >= last:
            raise Killed
        return await opening(self, x)

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "open", killed)
        ended = await nodes.work(stall_seconds=1.0)
    assert not any(end is True for end in ended)
    assert opened
    bound = [node.state.ledger.bound for node in nodes.nodes]
    assert any(bound)
    for node in nodes.nodes:
        node.shares = Shares(nodes.terms, node.number, seed=6)
        node.shares.commitments = _other(node.shares.commitments)
        node.restart()
    paid = dict(nodes.chain.runs)
    await worked(nodes)
    (run,) = runs_of(nodes)
    assert run != place_
    assert nodes.chain.runs.keys() - paid.keys() == {run}
    assert spent(nodes) == 1
    assert {node.state.ledger.bound for node in nodes.nodes} == {""}


async def test_the_same_run_after_a_crash_keeps_its_place(nodes, monkeypatch):
    place_ = await reserve(nodes)

    async def killed(self, x):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "open", killed)
        await nodes.work(stall_seconds=1.0)
    for node in nodes.nodes:
        node.restart()
    await worked(nodes)
    assert runs_of(nodes) == [place_]
    assert spent(nodes) == 1


@pytest.mark.parametrize("phase", ["agree", "aggregate", "disclosure", "estimate", "release"])
async def test_a_place_is_no_permission(nodes, monkeypatch, phase):
    """The agreement ends after the place was reserved: nothing is opened, attested or counted."""
    await reserve(nodes)
    said = Council.agree

    async def agree(self, name, rule):
        if name == phase:
            nodes.chain.state = "revoked"
        return await said(self, name, rule)

    if phase == "agree":
        nodes.chain.state = "revoked"
    monkeypatch.setattr(Council, "agree", agree)
    ended = await nodes.attempt(0)
    assert any(isinstance(e, RunRefused) for e in ended)
    assert not any(isinstance(e, Outcome) for e in ended)
    assert nodes.chain.attested == []
    assert spent(nodes) == 0


@pytest.mark.parametrize("count", [0, 10**9])
async def test_a_node_that_counts_places_otherwise_goes_on_with_the_others(nodes, count):
    """Its ledger is from a copy, or it lies: the next run may be without a place, later ones are not."""
    await reserve(nodes)
    assert await nodes.work() == [True] * 3
    nodes.nodes[1].state.update(places=count, bound="" if count else "f" * 64)
    with structlog.testing.capture_logs() as said:
        assert await nodes.work() == [True] * 3
    assert spent(nodes) == 1
    assert {node.state.ledger.bound for node in nodes.nodes} == {""}
    assert [line["event"] for line in said if line["log_level"] == "error"] == ["this node counted places otherwise than the others"]
    place_ = await reserve(nodes)
    assert await nodes.work() == [True] * 3
    assert runs_of(nodes)[-1] == place_
    assert spent(nodes) == 2


async def test_no_place_is_reserved_before_linkage_or_after_the_last_window():
    nodes = ThreeNodes(ahead=True)
    assert [node.desk.place for node in nodes.nodes] == [None] * 3
    await nodes.work_on()
    assert all(node.desk.over for node in nodes.nodes)
    assert [node.desk.place for node in nodes.nodes] == [None] * 3
    assert [node.desk.place for node in ThreeNodes().nodes] == [None] * 3


async def test_a_place_that_the_contract_refuses_is_done_without(nodes, monkeypatch):
    async def refuse(*_):
        raise ChainRefusal("QuotaExhausted", {}, "authorise")

    with monkeypatch.context() as patched:
        patched.setattr(type(nodes.chain), "authorise", refuse)
        await reserve(nodes)
    assert await nodes.work() == [True] * 3
    assert spent(nodes) == 0


async def worked(nodes):
    """Attempts until one gets something done at all three."""
    for _ in range(10):
        if await nodes.work() == [True] * 3:
            return
    raise AssertionError("nothing done in 10 attempts")


def _other(commitments):
    return lambda panes, edition: {
        name: {c: found + b"'" for c, found in of.items()} for name, of in commitments(panes, edition).items()
    }


def stance(**changes):
    return Stance(**{
        "windows": (0,), "plans": ("p",), "batches": "b", "components": {}, "block_number": 1, "block_hash": "h",
        **changes,
    })


A, B, MANIFEST = "a" * 64, "b" * 64, "c" * 64


@pytest.mark.parametrize(("stances", "expected"), [
    ([stance()] * 3, (MANIFEST, False)),
    ([stance(place=A)] * 3, (A, True)),
    ([stance(place=A), stance(place=A), stance()], (MANIFEST, False)),
    ([stance(place=A), stance(place=A), stance(place=B)], (MANIFEST, False)),
    ([stance(place=A, bound=MANIFEST), stance(place=A), stance(place=A)], (A, True)),
    ([stance(place=A, bound=B), stance(place=A), stance(place=A)], (MANIFEST, True)),
    ([stance(place=A, bound=B), stance(place=A, bound=MANIFEST), stance(place=A)], (MANIFEST, True)),
])
def test_three_stances_say_whether_a_place_is_taken(stances, expected):
    assert taken(stances, MANIFEST, ()) == expected


def test_what_a_node_gave_up_runs_under_another_id():
    placed = [stance(place=A)] * 3
    assert taken(placed, MANIFEST, {A}) == (MANIFEST, True)
    once, spent = taken(placed, MANIFEST, {A, MANIFEST})
    assert spent
    assert once not in {A, MANIFEST}
    assert taken([stance()] * 3, MANIFEST, {MANIFEST}) == (once, False)
    assert taken([stance()] * 3, MANIFEST, {MANIFEST, once})[0] not in {A, MANIFEST, once}


def test_places_of_agreements_differ():
    assert len({place(a, n) for a in (A, B) for n in range(5)}) == 10
