"""An evaluation in one process, whose parties and nodes may be lost at any of their operations."""

import asyncio
import os
from contextlib import suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from policy.agreement import load_draft
from streams import inbox as inboxes
from streams import pipeline as pipelines
from streams import resend as resends
from streams import topics
from streams.broker import Broker
from streams.errors import BrokerError, SupersededError
from streams.flow import Counts
from streams.parcel import unseal
from streams.pipeline import PartyPipeline
from streams.store import ShareStore
from tests.support.parties import BATCH_KEY, NODE_KEYS, keyed_terms
from tests.support.pipelines import PARTIES, party_config
from tests.support.runs import RECIPIENT_KEY, RECORD_KEYS, ThreeNodes, released
from tests.support.world import Killed, Process, World

AGREEMENT = Path(__file__).parent / "agreements" / "schedules.toml"
PUBLIC_BATCH_KEY = Ed25519PrivateKey.from_private_bytes(BATCH_KEY).public_key()
LIVES = ContextVar("whose clients are made")
ENDS = (Killed, BrokerError, SupersededError)
"""How a life may end before its work is done."""


@cache
def terms():
    """The agreement, with keys that this process holds."""
    made = keyed_terms(**load_draft(AGREEMENT).model_dump(mode="json", exclude_none=True))
    sealing = RECIPIENT_KEY.public_key().public_bytes_raw().hex()
    return made.model_copy(update={
        "plans": tuple(plan.model_copy(update={"outputs": ("sums",)}) for plan in made.plans),
        "nodes": tuple(
            n.model_copy(update={"record_key": key.public_key().public_bytes_raw().hex()})
            for n, key in zip(made.nodes, RECORD_KEYS, strict=True)
        ),
        "recipients": tuple(r.model_copy(update={"sealing_key": sealing}) for r in made.recipients),
    })


class Evaluation:
    """Three parties and three nodes' stores in a world of their own."""

    def __init__(self, data, folder, rng, incidents):
        self.world = World(rng, list(incidents))
        self._data, self._folder = data, folder
        self.counts = {}
        self._zombies = []

    async def share(self):
        """Until every node has every share, whatever happens on the way."""
        with (
            mock.patch.object(pipelines, "Producer", lambda *a: LIVES.get().producer(*a)),
            mock.patch.object(pipelines, "Consumer", lambda *a: LIVES.get().consumer(*a)),
            mock.patch.object(inboxes, "Consumer", lambda *a: LIVES.get().consumer(*a)),
            mock.patch.object(resends, "Consumer", lambda *a: LIVES.get().consumer(*a)),
            mock.patch.object(pipelines, "watch", _for_ever),
            mock.patch.object(resends.Resender, "run", _for_ever),
            # Threads would make a schedule another one each time.
            mock.patch.object(asyncio, "to_thread", _here),
            # No power cut is simulated: what a process wrote is there.
            mock.patch.object(os, "fsync", _nothing),
        ):
            try:
                await asyncio.gather(*(self._party(name) for name in PARTIES), *(self._node(j) for j in range(3)))
            finally:
                for zombie in self._zombies:
                    zombie.cancel()
                ends = await asyncio.gather(*self._zombies, return_exceptions=True)
        for end in ends:
            assert isinstance(end, (Counts, asyncio.CancelledError, *ENDS)), end

    async def _party(self, name):
        """Lives of a party's worker, until one has come to the end."""
        machine = 0
        while True:
            process = Process(self.world, name)
            LIVES.set(process)
            pipeline = PartyPipeline(party_config(
                Broker(""), terms(), name, self._data / name, state=self._folder / f"{name}-{machine}",
                checkpoint_seconds=0.0,
            ), _silent)
            life, lost = asyncio.create_task(pipeline.run()), asyncio.create_task(process.lost.wait())
            await asyncio.wait({life, lost}, return_when=asyncio.FIRST_COMPLETED)
            lost.cancel()
            if not process.dead and not life.done():
                self._zombies.append(life)
            else:
                with suppress(*ENDS):
                    self.counts[name] = await life
                    return
            machine += process.moved

    async def _node(self, number):
        """Lives of a node's inbox, until its store has everything."""
        while True:
            LIVES.set(Process(self.world, f"node-{number}"))
            with suppress(Killed, BrokerError):
                await self._receive(number)
                return

    async def _receive(self, number):
        store, key = self.store(number), X25519PrivateKey.from_private_bytes(NODE_KEYS[number])
        async with inboxes.Inbox(Broker(""), terms(), number, key) as inbox:
            async for batches in inbox:
                store.add(batches)
                assert inbox.refused == 0
                if store.registers_complete and store.complete_panes == terms().draft.panes.count:
                    return

    def store(self, number):
        return ShareStore(self._folder / f"store-{number}", terms(), number)

    async def released(self):
        """What the nodes compute from their stores: (KPI, window, cell) → sums, of what is released."""
        nodes = ThreeNodes(terms())
        for node in nodes.nodes:
            node.shares = self.store(node.number)
            assert node.shares.incidents == []
            node.restart()
        await nodes.work_on()
        return released(nodes)

    def masks(self):
        """Seed of a mask → what was ever sent under it, as far as the nodes together can tell."""
        found = {}
        for number, secret in enumerate(NODE_KEYS):
            key = X25519PrivateKey.from_private_bytes(secret)
            for message in self.world.values(topics.inbox(number, terms().draft.name)):
                pieces = unseal(message, number, key, PUBLIC_BATCH_KEY)
                moving = [p.body for p in pieces if p.travels]
                for piece in pieces:
                    if not piece.travels and moving:
                        found.setdefault(piece.body, set()).update(moving)
        return found


async def _here(work, *arguments):
    return work(*arguments)


def _nothing(_file):
    return None


async def _for_ever(_broker):
    await asyncio.Event().wait()


def _silent(*_):
    return None
