"""Attestations on their way: sent before results are, followed until they are on the chain, told if they are refused."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluation.outlets import NodeOutlets
from evaluation.state import Attestation, NodeState
from policy.chain.errors import ChainRefusal, ChainUnreachable

AGREEMENT, RUN = "e" * 64, "a" * 64


class Chain:
    """Takes a transaction at once and mines it when told to; `fails` are raised first."""

    def __init__(self, *fails):
        self.fails, self.mined, self.sent, self.roots = list(fails), asyncio.Event(), [], []

    async def attest(self, agreement, run, value, sent):
        if self.fails:
            raise self.fails.pop(0)
        self.sent.append((agreement, run, value))
        sent()
        await self.mined.wait()

    async def commit(self, agreement, run, root):
        self.roots.append((agreement, run, root))


class Topics:
    def __init__(self):
        self.sent = []

    async def send(self, topic, partition, records):
        self.sent += [(topic, value) for _, value in records]


@pytest.fixture
def state(tmp_path):
    made = NodeState(tmp_path, AGREEMENT)
    made.update(attestations={RUN: Attestation(value="b" * 64, root="c" * 64)})
    return made


def outlets(state, chain, topics=None):
    return NodeOutlets(topics or Topics(), chain, AGREEMENT, Ed25519PrivateKey.generate(), state, 0)


async def test_results_may_leave_once_the_attestation_is_sent(state):
    chain = Chain()
    mine = outlets(state, chain)
    async with asyncio.TaskGroup() as group:
        mine.resume(group)
        await asyncio.wait_for(mine.attest(RUN), 5)
        assert chain.sent == [(AGREEMENT, RUN, "b" * 64)]
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
