"""Attestations on their way: sent before results are, followed until they are on the chain, told if they are refused.
Runs that were given up: the same, unless the chain never authorised them.
"""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluation.ledger import MAX_RUNS_KEPT, Attestation
from evaluation.outlets import NodeOutlets
from evaluation.state import NodeState
from policy.chain.errors import ChainRefusal, ChainUnreachable
from policy.chain.model import Block, RunView

AGREEMENT, RUN = "e" * 64, "a" * 64


class Chain:
    """Takes a transaction at once and mines it when told to; `fails` are raised first."""

    def __init__(self, *fails):
        self.looks = asyncio.Semaphore(0)
        self.fails, self.mined, self.sent, self.roots, self.released = list(fails), asyncio.Event(), [], [], []

    async def attest(self, agreement, run, block, value, sent):
        if self.fails:
            raise self.fails.pop(0)
        self.sent.append((agreement, run, block, value))
        sent()
        await self.mined.wait()

    async def commit(self, agreement, run, root):
        self.roots.append((agreement, run, root))

    stage, head, final = "authorised", 9, 7

    async def block(self, at):
        return Block(number=self.head if at == "latest" else self.final, hash="h", time=0)

    async def run(self, agreement, run, at):
        assert (agreement, at) == (AGREEMENT, "latest")
        self.looks.release()
        return RunView(self.stage, 5, None, 0, (), (), None)

    async def release(self, agreement, run, sequence):
        if self.fails:
            raise self.fails.pop(0)
        self.released.append((run, sequence))


class Topics:
    def __init__(self):
        self.sent = []

    async def send(self, topic, partition, records):
        self.sent += [(topic, value) for _, value in records]


@pytest.fixture
def state(tmp_path):
    made = NodeState(tmp_path, AGREEMENT)
    made.update(attestations={RUN: Attestation(block="d" * 64, value="b" * 64, root="c" * 64)})
    return made


def outlets(state, chain, topics=None):
    return NodeOutlets(topics or Topics(), chain, AGREEMENT, Ed25519PrivateKey.generate(), state, 0)


async def test_results_may_leave_once_the_attestation_is_sent(state):
    chain = Chain()
    mine = outlets(state, chain)
    async with asyncio.TaskGroup() as group:
        mine.resume(group)
        await asyncio.wait_for(mine.attest(RUN), 5)
        assert chain.sent == [(AGREEMENT, RUN, "d" * 64, "b" * 64)]
        assert not mine.idle
        assert RUN in state.ledger.attestations
        chain.mined.set()
    assert mine.idle
    assert chain.roots == [(AGREEMENT, RUN, "c" * 64)]
    await mine.attest(RUN)
    assert len(chain.sent) == 1


async def test_an_endpoint_that_fails_is_asked_again_and_holds_results_back(state, monkeypatch):
    monkeypatch.setattr("evaluation.outlets.RETRY_SECONDS", 0.01)
    chain = Chain(ChainUnreachable("gone"), ChainUnreachable("gone"))
    mine = outlets(state, chain)
    async with asyncio.TaskGroup() as group:
        mine.resume(group)
        await asyncio.wait_for(mine.attest(RUN), 5)
        assert chain.fails == []
        assert len(chain.sent) == 1
        chain.mined.set()


async def test_what_the_contract_refuses_is_told_and_not_tried_for_ever(state):
    topics = Topics()
    mine = outlets(state, Chain(ChainRefusal("AlreadyAttested", {}, "attest")), topics)
    async with asyncio.TaskGroup() as group:
        mine.resume(group)
        await asyncio.wait_for(mine.attest(RUN), 5)
    assert mine.idle
    ((topic, record),) = topics.sent
    assert topic == "runs"
    assert b'"kind":"failed"' in record
    assert RUN.encode() in record


@pytest.fixture
def plain(tmp_path):
    return NodeState(tmp_path / "plain", AGREEMENT)


async def given_up(state, chain, during=None):
    mine = outlets(state, chain)
    async with asyncio.TaskGroup() as group:
        mine.resume(group)
        mine.give_up(RUN)
        mine.give_up(RUN)
        assert state.ledger.given_up == (RUN,)
        assert not mine.idle
        if during is not None:
            await during()
    assert mine.idle
    assert state.ledger.given_up == (RUN,)
    return chain.released


async def test_a_run_is_given_up_once_and_durably(plain, tmp_path, monkeypatch):
    monkeypatch.setattr("evaluation.outlets.RETRY_SECONDS", 0.01)
    assert await given_up(plain, Chain(ChainUnreachable("gone"), ChainUnreachable("gone"))) == [(RUN, 5)]
    plain.update(releases=(RUN,))  # as after a crash before it was mined
    again, chain = NodeState(tmp_path / "plain", AGREEMENT), Chain()
    async with asyncio.TaskGroup() as group:
        outlets(again, chain).resume(group)
    assert chain.released == [(RUN, 5)]
    assert NodeState(tmp_path / "plain", AGREEMENT).ledger.releases == ()


@pytest.mark.parametrize("stage", ["released", "attested", "committed"])
async def test_what_is_released_or_attested_already_is_left(plain, stage):
    chain = Chain()
    chain.stage = stage
    assert await given_up(plain, chain) == []


async def test_an_authorisation_on_its_way_is_waited_for_until_it_is_final_that_there_is_none(plain, monkeypatch):
    monkeypatch.setattr("evaluation.outlets.RETRY_SECONDS", 0.01)
    chain = Chain()
    chain.stage = "unknown"

    async def looked():
        async with asyncio.timeout(5):
            for _ in range(3):
                await chain.looks.acquire()

    async def until_final():
        await looked()
        assert plain.ledger.releases == (RUN,)
        chain.final = 9

    assert await given_up(plain, chain, until_final) == []

    async def until_mined():
        await looked()
        chain.stage = "authorised"

    plain.update(given_up=())
    chain.final, chain.looks = 7, asyncio.Semaphore(0)
    assert await given_up(plain, chain, until_mined) == [(RUN, 5)]


async def test_what_the_contract_refuses_to_release_is_left(plain):
    assert await given_up(plain, Chain(ChainRefusal("SequenceRefused", {}, "release"))) == []


@pytest.mark.parametrize("kept", ["opened", "attestations"])
async def test_what_may_have_been_opened_is_never_given_up(plain, kept):
    plain.update(**{kept: (RUN,) if kept == "opened" else {RUN: Attestation(block="d" * 64, value="b" * 64)}})
    chain = Chain()
    outlets(plain, chain).give_up(RUN)
    assert plain.ledger.given_up == plain.ledger.releases == ()


def test_the_runs_that_a_node_remembers_are_bounded(plain):
    for number in range(MAX_RUNS_KEPT + 9):
        plain.gives_up(f"{number:064x}")
        plain.opens(f"{number + 1000:064x}", "")
    assert [len(kept) for kept in (plain.ledger.given_up, plain.ledger.releases, plain.ledger.opened)] == [MAX_RUNS_KEPT] * 3
    assert plain.ledger.given_up[-1] == f"{MAX_RUNS_KEPT + 8:064x}"
