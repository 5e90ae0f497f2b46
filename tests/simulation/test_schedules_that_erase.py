"""Patients withdraw while parties, nodes and the broker are lost at any operation: the same rows are erased, and the same
is released, as when nothing happens.
"""

import asyncio
from random import Random

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from console.cohort.generate import generate
from console.cohort.shape import Shape
from policy.agreement import load_draft
from streams import inbox as inboxes
from streams import topics
from streams.access import node_user
from streams.batch import party_columns
from streams.erasure import open_sent
from tests.integration.test_erasure import withdraw
from tests.simulation.test_schedules import HAPPENS, LAST_MESSAGE, LAST_OPERATION, PROCESSES
from tests.support import schedules
from tests.support.parties import BATCH_KEY, NODE_KEYS
from tests.support.pipelines import opened
from tests.support.world import NODES, Incident, World

ERASURE = {"every_panes": 2, "batch_slots": 4, "within_days": 31}
DAYS = ("2024-01-05", "2024-01-09", "2024-01-10", "2024-01-22", "2024-01-23")
PARTY, SCHEDULES = "hospital", 8
KEY = Ed25519PrivateKey.from_private_bytes(BATCH_KEY).public_key()


class Erasing(schedules.Evaluation):
    """Knows which lists there will be once one evaluation has come to its end."""

    def __init__(self, data, folder, world, lists=None):
        super().__init__(data, folder, world)
        self.lists = lists
        self.nodes = None

    async def _receive(self, number):
        store, key = self.store(number), X25519PrivateKey.from_private_bytes(NODE_KEYS[number])
        agreed = schedules.terms()
        async with inboxes.Inbox(self.world.broker(node_user(number)), agreed, number, key) as inbox:
            async for batches in inbox:
                store.add(batches)
                assert inbox.refused == 0
                whole = store.registers_complete and store.mature_panes == agreed.draft.panes.count
                if whole and (self.lists is None or self.held(store) == self.lists):
                    return

    @staticmethod
    def held(store):
        """(shard, number, boundary, digest) of every list of the party."""
        return [
            (shard, kept.number, kept.boundary, kept.digest) for name, shard in store.erased.sides if name == PARTY
            for kept in store.erased.lists((name, shard))
        ]

    def _start(self, node):
        super()._start(node)
        self.nodes = {**(self.nodes or {}), node.number: node}

    async def noted(self):
        """What the party said that it sent."""
        agreed = schedules.terms()
        notes = [open_sent(m, KEY) for m in await self.world.values(topics.receipts(PARTY, agreed.draft.name))]
        return sorted({(note.shard, note.number, note.boundary, note.digest) for note in notes})

    def check(self):
        """All three have erased, and told it; nothing is left in rows of lists, and the rest is there."""
        agreed = schedules.terms()
        stores = [self.store(number) for number in range(3)]
        for number, store in enumerate(stores):
            assert self.held(store) == self.lists
            receipts = {(r.shard, r.number, r.boundary, r.digest) for _, r in self.nodes[number].receipts}
            assert sorted(receipts) == self.lists
            assert store.erased.incidents == []
        for shard in {shard for shard, *_ in self.lists}:
            values = opened([
                store.panes(PARTY, shard, range(agreed.draft.panes.count), party_columns(agreed.draft, PARTY)) for store in stores
            ], np.add)
            for kept in stores[0].erased.lists((PARTY, shard)):
                assert not values[: kept.boundary, :, kept.slots].any()
            assert values.any()


async def evaluated(cohort, folder, world, lists=None, losses=()):
    """What is released, and the lists."""
    evaluation = Erasing(cohort, folder, world, lists)
    await asyncio.wait_for(evaluation.share(), schedules.SHARE_SECONDS)
    evaluation.lists = lists or evaluation.held(evaluation.store(0))
    sums = await evaluation.released(losses)
    evaluation.check()
    assert await evaluation.noted() == evaluation.lists
    return sums, evaluation.lists


def incidents(rng):
    """Some of every kind."""
    return [
        Incident(rng.choice(PROCESSES[kind]), rng.randint(1, LAST_OPERATION[kind]), what)
        for kind, all_of_it in HAPPENS.items() for what in all_of_it if rng.random() < 0.6
    ]


@pytest.mark.timeout(1200)
def test_whatever_happens_the_same_rows_are_erased(tmp_path, monkeypatch):
    data = load_draft(schedules.AGREEMENT).model_dump(mode="json", exclude_none=True)
    data["parties"][0]["sources"][0]["kinds"].append("withdrawal")
    made = schedules.terms()
    terms = schedules.keyed_terms(**{**data, "erasure": ERASURE}).model_copy(update={
        "plans": made.plans, "recipients": made.recipients,
    })
    terms = terms.model_copy(update={"nodes": tuple(
        n.model_copy(update={"record_key": m.record_key}) for n, m in zip(terms.nodes, made.nodes, strict=True)
    )})
    monkeypatch.setattr(schedules, "terms", lambda: terms)
    cohort = tmp_path / "cohort"
    generate(cohort, shape=Shape(patients=80, weeks=8, seed=7, enrolled=0.6, uptake_weeks=2.0))
    withdraw(cohort / PARTY, DAYS)
    sums, lists = asyncio.run(evaluated(cohort, tmp_path / "calm", World(rng=Random(0), incidents=[])))
    assert sums
    assert {boundary for _, _, boundary, _ in lists} == {2, 4}
    for seed in range(SCHEDULES):
        rng = Random(seed)
        losses = [(rng.choice(NODES), rng.randint(1, LAST_MESSAGE)) for _ in range(2)]
        world = World(rng=rng, incidents=incidents(rng))
        assert asyncio.run(evaluated(cohort, tmp_path / str(seed), world, lists, losses)) == (sums, lists), seed
        assert world.happened
