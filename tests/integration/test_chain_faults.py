"""What nodes see when the chain is slow, stands still or dies. Each test has a chain of its own."""

import asyncio
import signal
import time
from contextlib import AsyncExitStack

import pytest
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes

from infra.local.chain import DEV_KEY, EmbeddedChain
from policy.chain.deployment import deploy
from policy.chain.endpoint import Endpoint
from policy.chain.errors import ChainRefusal, ChainStale, ChainTimeout, ChainUnreachable
from policy.chain.finality import Finality
from policy.chain.registry import Registry
from policy.chain.signing import address_of, new_key
from tests.support.chains import BLOCK_SECONDS, World, a_world, some_hash
from tests.support.endpoints import lying


@pytest.fixture
async def world(tmp_path):
    async for made in a_world(tmp_path / "chain"):
        yield made


async def slow_down(world, block_seconds):
    async with Endpoint(world.chain.url, 5) as endpoint:
        await endpoint.call("evm_setIntervalMining", block_seconds)


async def test_a_revocation_is_seen_at_the_latest_block_before_it_is_final(world):
    agreement = await world.active()
    await world.relay.wait_state(agreement, "active", timeout_seconds=5)
    await slow_down(world, 2)  # four seconds between the two sights
    await world.party[2].revoke(agreement)
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


async def test_each_process_permits_by_the_block_that_is_deep_enough_for_it(world):
    agreement = await world.active()
    own = world.node[0]
    deep = await world.open(world.nodes[1], finality=Finality(confirmations=8))
    shallow = await world.open(world.nodes[2], finality=Finality(confirmations=1))
    untagged = await world.open(world.nodes[2], finality=Finality(tag=False, confirmations=1))
    run = some_hash()
    await own.authorise(agreement, [run])
    # Whoever wants more waits longer, and then sees it at a block on which so many stand.
    assert await own.wait_authorised(agreement, [run]) == {run: 1}
    assert await deep.authorisation(agreement, run) is None
    assert await deep.wait_authorised(agreement, [run]) == {run: 1}
    await slow_down(world, 3600)
    head = (await own.block("latest")).number
    found = [(await registry.block("finalized")).number for registry in (own, deep, shallow, untagged)]
    assert found == [head - 2, head - 8, head - 2, head - 1]
    assert [(await registry.view(agreement)).block_number for registry in (own, deep, shallow, untagged)] == found


async def test_a_registry_is_deployed_on_a_chain_without_a_finalized_block(world):
    deployment = await deploy(world.chain.url, DEV_KEY, finality=Finality(tag=False, confirmations=3))
    assert deployment.code_hash != world.deployment.code_hash  # its own address is part of its code
    assert deployment.chain_id == world.chain.chain_id


async def test_the_tip_is_the_least_that_the_client_takes(world):
    """geth refuses a transaction without any; what it wants it says. Where gas is free: see below."""
    tips = []

    def seen(method, parameters):
        if method == "eth_sendRawTransaction":
            sent = TypedTransaction.from_bytes(HexBytes(parameters[0])).as_dict()
            tips.append((sent["maxPriorityFeePerGas"], sent["maxFeePerGas"] > 7))
        return parameters

    def wanted(method, result):
        return "0x7" if method == "eth_maxPriorityFeePerGas" else result

    async with lying(world.chain.url, seen, wanted) as url, Registry(url, world.deployment, world.relayer) as registry:
        await registry.propose(world.proposal())
    assert tips == [(7, True)]


class FreeGas(EmbeddedChain):
    """As docs/besu.md sets a chain up: no base fee, no tip, and nobody is given anything."""

    def command(self):
        return [*super().command(), "--base-fee", "0", "--gas-price", "0", "--disable-min-priority-fee"]


async def test_where_gas_is_free_nobody_needs_money(tmp_path):
    finality = Finality(tag=False, confirmations=1)
    with FreeGas(tmp_path / "chain", BLOCK_SECONDS) as chain:
        async with AsyncExitStack() as stack:
            deployment = await deploy(chain.url, new_key(), finality=finality)
            world = World(chain, deployment, stack)
            for key in (*world.parties, *world.nodes, world.relayer):
                async with Endpoint(chain.url, 5) as endpoint:
                    assert await endpoint.number("eth_getBalance", address_of(key), "latest") == 0
            world.relay = await world.open(world.relayer, finality=finality)
            world.party = [await world.open(world.parties[0], finality=finality)]
            agreement = await world.active()
            node = await world.open(world.nodes[0], finality=finality)
            await node.wait_state(agreement, "active")
            run = some_hash()
            await node.authorise(agreement, [run])
            assert await node.wait_authorised(agreement, [run]) == {run: 1}
            await node.attest(agreement, run, (await node.block("finalized")).hash, some_hash())
            assert (await node.run(agreement, run, "latest")).attested == (0,)
