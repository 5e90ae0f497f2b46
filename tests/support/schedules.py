"""An evaluation in one process, whose parties and nodes may be lost at any of their operations, and its broker too."""

import asyncio
import os
from collections import Counter
from contextlib import suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from console.cohort.generate import generate
from console.cohort.shape import Shape
from mpc.errors import MpcError
from policy.agreement import load_draft
from streams import inbox as inboxes
from streams import pipeline as pipelines
from streams import resend as resends
from streams import topics
from streams.access import node_user, party_user
from streams.errors import BrokerError, SupersededError
from streams.flow import Counts
from streams.parcel import unseal
from streams.pipeline import PartyPipeline
from streams.store import ShareStore
from tests.support import runs
from tests.support.oracle import expect
from tests.support.parties import BATCH_KEY, NODE_KEYS, keyed_terms
from tests.support.pipelines import PARTIES, party_config
from tests.support.runs import RECIPIENT_KEY, RECORD_KEYS, ThreeNodes, released
from tests.support.world import NODES, Incident, Killed

AGREEMENT = Path(__file__).parent / "agreements" / "schedules.toml"
PUBLIC_BATCH_KEY = Ed25519PrivateKey.from_private_bytes(BATCH_KEY).public_key()
LIVES = ContextVar("whose clients are made")
ENDS = (Killed, BrokerError, SupersededError)
"""How a life may end before its work is done."""
SHARE_SECONDS = 240
"""For what takes a second or two in memory, and up to half a minute on Apache Kafka."""
ATTEMPTS = 20
STALL_SECONDS = 2.0


def terms():
    """The agreement, with keys that this process holds."""
    return _terms(AGREEMENT)


@cache
def _terms(agreement):
    made = keyed_terms(**load_draft(agreement).model_dump(mode="json", exclude_none=True))
    sealing = RECIPIENT_KEY.public_key().public_bytes_raw().hex()
    return made.model_copy(update={
        "plans": tuple(plan.model_copy(update={"outputs": ("sums",)}) for plan in made.plans),
        "nodes": tuple(
            n.model_copy(update={"record_key": key.public_key().public_bytes_raw().hex()})
            for n, key in zip(made.nodes, RECORD_KEYS, strict=True)
        ),
        "recipients": tuple(r.model_copy(update={"sealing_key": sealing}) for r in made.recipients),
    })


def schedules_cohort(folder):
    """Files of 80 patients, some of them bad."""
    generate(folder, shape=Shape(patients=80, weeks=8, seed=7, enrolled=0.6, uptake_weeks=2.0), dirt=1)
    return folder


def schedules_expected(cohort):
    """What the oracle says of them."""
    return expect(AGREEMENT, {party: cohort / party for party in PARTIES})


class Evaluation:
    """Three parties and three nodes' stores in a world of their own."""

    def __init__(self, data, folder, world):
        self.world, self._data, self._folder = world, data, folder
        self.counts = {}
        self._zombies = []

    async def end_as(self, expected, losses=()):
        """Share and compute; what comes out is the oracle's, and no mask covers two contents. `losses`: see released."""
        await asyncio.wait_for(self.share(), SHARE_SECONDS)
        sums = {(c.kpi, c.window, tuple(c.cell.items())): c.sums for c in expected.cells if c.released}
        assert sums
        assert await self.released(losses) == sums
        counted = {name: counts.summary() for name, counts in self.counts.items()}
        # The oracle's watermark is the whole party's: with two shards it does not know which events are late.
        assert counted["insurer"]["late_pending"] > 20
        for name, events in expected.events.items():
            assert counted[name] | {"late_pending": 0} == events | {"late_pending": 0}
        masks = await self.masks()
        assert len(masks) > 100
        assert all(len(contents) == 1 for contents in masks.values())

    async def share(self):
        """Until every node has every share, whatever happens on the way."""
        with (
            mock.patch.object(pipelines, "Producer", lambda *a: LIVES.get().producer(*a)),
            mock.patch.object(pipelines, "Consumer", lambda *a: LIVES.get().consumer(*a)),
            mock.patch.object(inboxes, "Consumer", lambda *a: LIVES.get().consumer(*a)),
            mock.patch.object(resends, "Consumer", lambda *a: LIVES.get().consumer(*a)),
            # No power cut happens: what a process wrote is there.
            mock.patch.object(os, "fsync", _nothing),
            self.world.rules(),
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
            process = await self.world.process(name)
            LIVES.set(process)
            pipeline = PartyPipeline(party_config(
                self.world.broker(party_user(name)), terms(), name, self._data / name,
                state=self._folder / f"{name}-{machine}", checkpoint_seconds=0.0, stall_seconds=SHARE_SECONDS,
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
            LIVES.set(await self.world.process(NODES[number]))
            with suppress(Killed, BrokerError):
                await self._receive(number)
                return

    async def _receive(self, number):
        store, key = self.store(number), X25519PrivateKey.from_private_bytes(NODE_KEYS[number])
        async with inboxes.Inbox(self.world.broker(node_user(number)), terms(), number, key) as inbox:
            async for batches in inbox:
                store.add(batches)
                assert inbox.refused == 0
                if store.registers_complete and store.complete_panes == terms().draft.panes.count:
                    return

    def store(self, number):
        return ShareStore(self._folder / f"store-{number}", terms(), number)

    async def released(self, losses=()):
        """What the nodes compute from their stores: (KPI, window, cell) → sums, of what is released.

        `losses`: (process, message): a node is killed as it sends its how-many-th message to another.
        """
        nodes, sent = ThreeNodes(terms()), Counter()

        def tap(sender, _receiver, _channel, _label, payload):
            name = NODES[sender]
            sent[name] += 1
            if (name, sent[name]) in losses:
                self.world.happened.append(Incident(name, sent[name], "run lost"))
                raise runs.Killed
            return payload

        for node in nodes.nodes:
            self._start(node)
        for _ in range(ATTEMPTS):
            ended = await nodes.work(tap, STALL_SECONDS)
            if ended == [False] * 3:
                return released(nodes)
            for node, end in zip(nodes.nodes, ended, strict=True):
                assert isinstance(end, (bool, MpcError, runs.Killed)), end
                if isinstance(end, runs.Killed):
                    self._start(node)
        raise AssertionError(f"still at work after {ATTEMPTS} attempts")

    def _start(self, node):
        node.shares = self.store(node.number)
        assert node.shares.incidents == []
        node.restart()

    async def masks(self):
        """Seed of a mask → what was ever sent under it, as far as the nodes together can tell."""
        found = {}
        for number, secret in enumerate(NODE_KEYS):
            key = X25519PrivateKey.from_private_bytes(secret)
            for message in await self.world.values(topics.inbox(number, terms().draft.name)):
                pieces = unseal(message, number, key, PUBLIC_BATCH_KEY)
                moving = [p.body for p in pieces if p.travels]
                for piece in pieces:
                    if not piece.travels and moving:
                        found.setdefault(piece.body, set()).update(moving)
        return found


def _nothing(_file):
    return None


def _silent(*_):
    return None
