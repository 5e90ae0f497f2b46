"""A registry on a real chain, with throw-away keys."""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from infra.local.chain import DEV_KEY, EmbeddedChain
from policy.chain.deployment import deploy, fund
from policy.chain.model import Deployment, Proposal
from policy.chain.registry import Registry
from policy.chain.signing import address_of, new_key

BLOCK_SECONDS = 0.1


def some_hash():
    return secrets.token_hex(32)


@dataclass
class World:
    """Three parties, three nodes, a relayer and an outsider, all with money."""

    chain: EmbeddedChain
    deployment: Deployment
    stack: AsyncExitStack
    parties: list[bytes] = field(default_factory=lambda: [new_key() for _ in range(3)])
    nodes: list[bytes] = field(default_factory=lambda: [new_key() for _ in range(3)])
    relayer: bytes = field(default_factory=new_key)
    outsider: bytes = field(default_factory=new_key)

    async def open(self, key, **options):
        """A registry client that closes with the world."""
        return await self.stack.enter_async_context(Registry(self.chain.url, self.deployment, key, **options))

    def proposal(self, **changes):
        now = int(time.time())
        values = {
            "terms_hash": some_hash(), "parties": tuple(map(address_of, self.parties)),
            "attestors": tuple(map(address_of, self.nodes)), "valid_from": now - 60, "valid_until": now + 3600,
            "run_quota": 100,
        }
        return Proposal(**(values | changes))

    async def propose(self, **changes):
        return await self.relay.propose(self.proposal(**changes))

    async def signed(self, **changes):
        """The id of an agreement that all have signed."""
        agreement = await self.propose(**changes)
        await asyncio.gather(*(self.relay.sign(agreement, party) for party in self.parties))
        return agreement

    async def active(self, **changes):
        """The id of an agreement that is in force."""
        agreement = await self.signed(**changes)
        await self.party[0].activate(agreement)
        return agreement

    async def start(self):
        everyone = [*self.parties, *self.nodes, self.relayer, self.outsider]
        await fund(self.chain.url, DEV_KEY, [address_of(key) for key in everyone])
        self.relay = await self.open(self.relayer)
        self.node = [await self.open(key) for key in self.nodes]
        self.party = [await self.open(key) for key in self.parties]
        return self


async def make_world(chain, stack):
    return await World(chain, await deploy(chain.url, DEV_KEY), stack).start()


async def a_world(folder):
    """A chain with a registry, three parties and three nodes; for a fixture."""
    with EmbeddedChain(folder, BLOCK_SECONDS) as chain:
        async with AsyncExitStack() as stack:
            yield await make_world(chain, stack)
