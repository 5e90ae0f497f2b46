"""Three nodes are asked to run under an agreement that is not, not yet, or no longer in force, on a real chain."""

import asyncio

import pytest
import pytest_asyncio

from evaluation.outcome import Outcome
from policy.chain.errors import ChainRefusal
from policy.chain.reader import wait
from tests.support.agreed import AgreedNodes, current_terms, soon
from tests.support.chains import a_world, some_hash

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory):
    async for made in a_world(tmp_path_factory.mktemp("chain")):
        yield made


TERMS = current_terms()


async def final(world, agreement, state):
    await world.relay.wait_state(agreement, state, timeout_seconds=15)
    return agreement


async def a_signature_is_missing(world):
    agreement = await world.propose(terms_hash=TERMS.hash, run_quota=5)
    await asyncio.gather(*(world.relay.sign(agreement, party) for party in world.parties[:2]))
    seen = (await world.relay.view(agreement, "latest")).block_number

    async def both_are_final():
        return (await world.relay.block("finalized")).number >= seen or None

    await wait(both_are_final, 15, "the signatures to be final")
    return await final(world, agreement, "proposed")


async def nobody_activated(world):
    return await final(world, await world.signed(terms_hash=TERMS.hash, run_quota=6), "signed")


async def suspended(world):
    agreement = await world.active(terms_hash=TERMS.hash, run_quota=7)
    await world.party[1].suspend(agreement)
    return await final(world, agreement, "suspended")


async def revoked(world):
    agreement = await world.active(terms_hash=TERMS.hash, run_quota=8)
    await world.party[2].revoke(agreement)
    return await final(world, agreement, "revoked")


async def expired(world):
    agreement = await world.active(terms_hash=TERMS.hash, run_quota=9, valid_until=soon(3))
    return await final(world, agreement, "expired")


async def superseded(world):
    agreement = await world.active(terms_hash=TERMS.hash, run_quota=10)
    await world.active(terms_hash=some_hash(), supersedes=agreement)
    return await final(world, agreement, "superseded")


STATES = (a_signature_is_missing, nobody_activated, suspended, revoked, expired, superseded)


@pytest.mark.parametrize("become", STATES, ids=lambda become: become.__name__)
async def test_every_node_refuses_and_so_does_the_contract(world, become):
    agreement = await become(world)
    nodes = AgreedNodes(world, agreement, TERMS)
    for refusal in await nodes.refused(await nodes.link(), "agreement-active"):
        assert refusal.required == "active, signed by every party"
        assert refusal.next_step
    # A node that asks no rule gets no further: the contract counts no run.
    for attacker in (world.node[0], world.relay):
        with pytest.raises(ChainRefusal, match=r"AgreementNotInState|NotAnAttestor"):
            await attacker.authorise(agreement, [some_hash()])


async def test_the_refusal_names_who_has_not_signed(world):
    nodes = AgreedNodes(world, await a_signature_is_missing(world), TERMS)
    address = (await world.relay.view(nodes.agreement, "latest")).missing[0]
    for refusal in await nodes.refused(await nodes.link(), "agreement-active"):
        assert f"not signed by {address}" in refusal.found


async def test_in_force_the_same_run_is_made(world):
    nodes = AgreedNodes(world, await final(world, await world.active(terms_hash=TERMS.hash), "active"), TERMS)
    assert all(isinstance(ended, Outcome) for ended in await nodes.link())
    assert (await world.relay.view(nodes.agreement, "latest")).runs_used == 1
