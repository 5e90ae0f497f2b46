"""What nodes see when the chain is slow, stands still or dies. Each test has a chain of its own."""

import asyncio
import signal
import time
from contextlib import AsyncExitStack

import pytest

from infra.local.chain import EmbeddedChain
from policy.chain.endpoint import Endpoint
from policy.chain.errors import ChainRefusal, ChainStale, ChainTimeout, ChainUnreachable
from tests.support.chains import BLOCK_SECONDS, make_world, some_hash


@pytest.fixture
async def world(tmp_path):
    with EmbeddedChain(tmp_path / "chain", BLOCK_SECONDS) as chain:
        async with AsyncExitStack() as stack:
            yield await make_world(chain, stack)


async def slow_down(world, block_seconds):
    async with Endpoint(world.chain.url, 5) as endpoint:
        await endpoint.call("evm_setIntervalMining", block_seconds)


async def test_a_revocation_is_seen_at_the_latest_block_before_it_is_final(world):
    agreement = await world.active()
    await world.relay.wait_state(agreement, "active", timeout_seconds=5)
    await slow_down(world, 2)  # four seconds between the two sights
    await (await world.open(world.parties[2])).revoke(agreement)
    latest, final = await asyncio.gather(
        world.node[0].view(agreement, "latest"), world.node[0].view(agreement, "finalized")
    )
    assert (latest.state, final.state) == ("revoked", "active")
    assert final.block_number < latest.block_number
    with pytest.raises(ChainRefusal, match="AgreementNotInState"):
        await world.node[0].authorise(agreement, [some_hash()])
    final = await world.node[0].wait_state(agreement, "revoked", timeout_seconds=15)
    assert final.block_number >= latest.block_number
    assert (await world.relay.view(agreement, latest.block_number - 1)).state == "active"


async def test_a_dead_chain_is_an_error_at_once(world):
    agreement = await world.active()
    world.chain.process.send_signal(signal.SIGKILL)
    world.chain.process.wait(5)
    for call in (
        lambda: world.node[0].view(agreement), lambda: world.node[0].authorise(agreement, [some_hash()]),
        lambda: world.node[0].wait_authorised(agreement, [some_hash()]),
    ):
        start = time.monotonic()
        with pytest.raises(ChainUnreachable, match="check that it runs"):
            await call()
        assert time.monotonic() - start < 2


async def test_a_silent_chain_is_an_error_after_the_time_out(world):
    agreement = await world.active()
    hasty = await world.open(world.nodes[0], timeout_seconds=0.5)
    world.chain.process.send_signal(signal.SIGSTOP)
    try:
        start = time.monotonic()
        with pytest.raises(ChainUnreachable, match=r"within 0\.5 s"):
            await hasty.view(agreement)
        assert time.monotonic() - start < 2
    finally:
        world.chain.process.send_signal(signal.SIGCONT)
    assert (await world.relay.view(agreement, "latest")).state == "active"


async def test_a_chain_that_stands_still_is_refused(world):
    agreement = await world.active()
    await slow_down(world, 3600)
    strict = await world.open(world.nodes[0], max_head_age_seconds=1)
    await asyncio.sleep(2.5)
    with pytest.raises(ChainStale, match="s old, expected at most 1 s"):
        await strict.view(agreement, "latest")
    with pytest.raises(ChainStale):
        await strict.authorise(agreement, [some_hash()])


async def test_a_transaction_that_is_never_mined_is_an_error(world, monkeypatch):
    agreement = await world.active()
    await slow_down(world, 3600)
    monkeypatch.setattr("policy.chain.sender.MINED_TIMEOUT_SECONDS", 0.3)
    with pytest.raises(ChainTimeout, match="not mined"):
        await world.node[0].authorise(agreement, [some_hash()])
