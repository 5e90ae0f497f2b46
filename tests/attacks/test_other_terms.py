"""Signatures for other terms, and nodes that are given other terms than were signed, on a real chain."""

import asyncio

import pytest
import pytest_asyncio

from policy.chain.errors import ChainRefusal
from policy.chain.signing import address_of, sign_agreement
from tests.support.agreed import AgreedNodes, current_terms
from tests.support.chains import a_world

pytestmark = pytest.mark.asyncio(loop_scope="module")
SIGNED = current_terms()
OTHER = current_terms(disclosure={"minimum_cohort": 4})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory):
    async for made in a_world(tmp_path_factory.mktemp("chain")):
        yield made


async def test_a_signature_for_other_terms_is_none(world):
    """Two parties sign the other terms, and pass off the third's signature of the agreed ones as one for these."""
    agreed, other = (world.proposal(terms_hash=terms.hash) for terms in (SIGNED, OTHER))
    agreement = await world.relay.propose(other)
    await asyncio.gather(*(world.relay.sign(agreement, party) for party in world.parties[:2]))
    signature = sign_agreement(world.deployment, agreed, world.parties[2])
    with pytest.raises(ChainRefusal, match="SignatureRefused"):
        await world.relay.relay(agreement, address_of(world.parties[2]), signature)
    with pytest.raises(ChainRefusal, match="AgreementNotInState"):
        await world.party[0].activate(agreement)
    await world.relay.wait_state(agreement, "proposed", timeout_seconds=15)
    nodes = AgreedNodes(world, agreement, OTHER)
    await nodes.refused(await nodes.link(), "agreement-active")


async def test_nodes_with_other_terms_than_were_signed(world):
    agreement = await world.active(terms_hash=SIGNED.hash)
    await world.relay.wait_state(agreement, "active", timeout_seconds=15)
    nodes = AgreedNodes(world, agreement, OTHER)
    for refusal in await nodes.refused(await nodes.link(), "terms-agreed"):
        assert (refusal.found, refusal.required) == (SIGNED.hash[:16], OTHER.hash[:16])
