"""One node takes for final what is not yet, by carelessness or to hurry: the other two go by what they see themselves."""

import asyncio

import pytest

from evaluation.outcome import Outcome, RunRefused
from mpc.engine import Engine
from mpc.errors import MpcError
from policy.chain.errors import ChainTimeout
from tests.support.runs import ThreeNodes

CARELESS = 2


@pytest.fixture(scope="module")
def linked():
    made = ThreeNodes()
    assert all(isinstance(o, Outcome) for o in asyncio.run(made.attempt()))
    return made


class Behind:
    """The chain as a node sees it that waits for more: what the others call final is not final here."""

    def __init__(self, chain, *, active, authorised):
        self._chain, self._active, self._authorised = chain, active, authorised

    def __getattr__(self, name):
        return getattr(self._chain, name)

    async def view(self, agreement, at):
        view = await self._chain.view(agreement, at)
        return view if self._active or at == "latest" else type(view)(**(vars(view) | {"state": "signed"}))

    async def authorisation(self, agreement, run, at="finalized"):
        return await self._chain.authorisation(agreement, run, at) if self._authorised else None

    async def wait_authorised(self, agreement, runs):
        if not self._authorised:
            raise ChainTimeout("waited for runs to be authorised at finalized")
        return await self._chain.wait_authorised(agreement, runs)


@pytest.fixture
def nodes(linked, monkeypatch):
    """Linked nodes; the careless one sees the chain as it is at its newest block."""
    monkeypatch.setattr("evaluation.run.SAME_BLOCK_SECONDS", 0.05)
    made = ThreeNodes()
    for mine, done in zip(made.computations, linked.computations, strict=True):
        mine.resume(done.linkage, done.linked)
    made.chain.runs.update(linked.chain.runs)
    return made


@pytest.fixture
def opened(monkeypatch):
    """What any node reveals to all."""
    found, said = [], Engine._opened

    def opened(self, *arguments):
        found.append(self)
        return said(self, *arguments)

    monkeypatch.setattr(Engine, "_opened", opened)
    return found


def let_the_others_wait(nodes, **seen):
    for node in nodes.nodes:
        if node.number != CARELESS:
            node.chain = Behind(nodes.chain, **seen)


def assert_nothing_came_out(nodes, opened):
    assert opened == []
    assert nodes.chain.attested == []
    assert all(node.sent == [] for node in nodes.nodes)


async def test_an_agreement_that_is_active_for_the_careless_node_alone_permits_no_run(nodes, opened):
    let_the_others_wait(nodes, active=False, authorised=True)
    ended = await nodes.attempt(0)
    assert all(isinstance(error, RunRefused) for error in ended), ended
    assert {ended[j].refusal.rule for j in range(3) if j != CARELESS} == {"agreement-active"}
    assert_nothing_came_out(nodes, opened)


async def test_a_run_that_is_authorised_for_the_careless_node_alone_opens_nothing(nodes, opened):
    """It goes on at once, and is alone: the release bits need all three."""
    let_the_others_wait(nodes, active=True, authorised=False)
    ended = await nodes.attempt(0, stall_seconds=1.0)
    assert all(isinstance(ended[j], ChainTimeout) for j in range(3) if j != CARELESS), ended
    assert isinstance(ended[CARELESS], (MpcError, RunRefused)), ended
    assert_nothing_came_out(nodes, opened)


async def test_when_all_see_it_the_run_comes_out(nodes, opened):
    let_the_others_wait(nodes, active=True, authorised=True)
    assert all(isinstance(o, Outcome) for o in await nodes.attempt(0))
    assert opened != []
    assert len(nodes.chain.attested) == 3
