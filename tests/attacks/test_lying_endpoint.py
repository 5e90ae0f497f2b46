"""One node's chain endpoint hides what happened, tells of other blocks or shows other code, on a real chain otherwise."""

import asyncio
import time

import pytest
import pytest_asyncio

from evaluation.outcome import Outcome
from policy.chain.errors import ChainMismatch, ChainStale
from policy.chain.registry import Registry
from tests.support.agreed import AgreedNodes, current_terms
from tests.support.chains import a_world, some_hash
from tests.support.endpoints import lying

pytestmark = pytest.mark.asyncio(loop_scope="module")
TERMS = current_terms()
LIAR = 1
TAGS = ("latest", "finalized")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory):
    async for made in a_world(tmp_path_factory.mktemp("chain")):
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def nodes(world):
    agreement = await world.active(terms_hash=TERMS.hash, run_quota=int(some_hash()[:6], 16) + 1)
    await world.relay.wait_state(agreement, "active", timeout_seconds=15)
    return AgreedNodes(world, agreement, TERMS)


def believing(nodes, url, **options):
    """Node LIAR's client of that endpoint."""
    return Registry(url, nodes.world.deployment, nodes.world.nodes[LIAR], **options)


def standing_still(number):
    """What is asked of the newest block is answered of this one."""

    def ask(method, parameters):
        if method != "eth_getBlockByNumber":
            return parameters
        at, *others = parameters
        return [hex(number) if at in TAGS else at, *others]

    return ask


async def opened_nothing(nodes, runs):
    assert not any(node.sent for node in nodes.nodes)
    assert (await nodes.world.relay.view(nodes.agreement, "latest")).runs_used == runs


async def test_a_revocation_that_is_hidden_from_one_node(nodes):
    world = nodes.world
    before = await world.relay.block("finalized")
    async with lying(world.chain.url, standing_still(before.number)) as url, believing(nodes, url) as believer:
        nodes.clients[LIAR], nodes.head = believer, before.number
        await world.party[0].revoke(nodes.agreement)
        await world.relay.wait_state(nodes.agreement, "revoked", timeout_seconds=15)
        assert (await believer.view(nodes.agreement, "latest")).state == "active"
        rules = ["agreement-active"] * 3
        rules[LIAR] = "peer-refused"
        ended = await nodes.link()
        await nodes.refused(ended, *rules)
        assert ended[LIAR].peers_rule == "agreement-active"  # so that it goes on when a suspension is over


async def test_a_head_that_is_old(nodes):
    """Whoever hides what happened for long is found out by the clock."""
    world = nodes.world
    before = await world.relay.block("finalized")
    async with (
        lying(world.chain.url, standing_still(before.number)) as url,
        believing(nodes, url, max_head_age_seconds=2) as believer,
    ):
        nodes.clients[LIAR], nodes.head = believer, before.number
        await asyncio.sleep(max(0.0, before.time + 3.5 - time.time()))
        ended = await nodes.link()
        assert isinstance(ended[LIAR], ChainStale)
        assert not any(isinstance(each, Outcome) for each in ended)
        await opened_nothing(nodes, 0)


async def test_code_at_the_address_that_is_not_the_registrys(nodes):
    def other_code(method, result):
        return result[:-2] + f"{int(result[-2:], 16) ^ 1:02x}" if method == "eth_getCode" else result

    async with lying(nodes.world.chain.url, answer=other_code) as url, believing(nodes, url) as believer:
        nodes.clients[LIAR] = believer
        ended = await nodes.link()
        assert isinstance(ended[LIAR], ChainMismatch)
        assert not any(isinstance(each, Outcome) for each in ended)
        await opened_nothing(nodes, 0)


async def test_a_fork(nodes):
    """Its endpoint tells of another block than the others' at the height at which they look for permissions; it knows both."""
    at = (await nodes.world.relay.block("finalized")).number
    another = "0x" + (await nodes.world.relay.block(at - 1)).hash

    def forked(method, result):
        other = method == "eth_getBlockByNumber" and result and int(result["number"], 16) == at
        return {**result, "hash": another} if other else result

    async with lying(nodes.world.chain.url, answer=forked) as url, believing(nodes, url) as believer:
        nodes.clients[LIAR], nodes.head = believer, at
        await nodes.refused(await nodes.link(), "heads-agree")


async def test_an_endpoint_that_passes_everything_on_is_no_obstacle(nodes):
    async with lying(nodes.world.chain.url) as url, believing(nodes, url) as believer:
        nodes.clients[LIAR] = believer
        assert all(isinstance(each, Outcome) for each in await nodes.link())
        await opened_nothing(nodes, 1)
