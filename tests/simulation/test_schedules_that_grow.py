"""Registers grow while parties, nodes and the broker are lost at any operation: nodes hold the same as when nothing
happens, and that is what the oracle says.
"""

import asyncio
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from console.cohort.generate import generate
from console.cohort.shape import Shape
from policy.agreement import load_draft
from streams import inbox as inboxes
from streams.access import node_user
from tests.simulation.test_schedules_that_erase import incidents
from tests.support import schedules
from tests.support.growing import check_stores, newcomers, readers
from tests.support.parties import NODE_KEYS
from tests.support.world import World

GROWING = {"linkage": {"batch_panes": 1, "dummies": 16}}
SCHEDULES = 12


class Growing(schedules.Evaluation):
    """Ends when every node has every share."""

    async def _receive(self, number):
        store, key = self.store(number), X25519PrivateKey.from_private_bytes(NODE_KEYS[number])
        async with inboxes.Inbox(self.world.broker(node_user(number)), schedules.terms(), number, key) as inbox:
            async for batches in inbox:
                store.add(batches)
                assert inbox.refused == 0
                if store.complete_panes == schedules.terms().draft.panes.count:
                    return

    @property
    def stores(self):
        return [self.store(number) for number in range(3)]


def terms(shards, minimum=3):
    data = load_draft(schedules.AGREEMENT).model_dump(mode="json", exclude_none=True)
    return schedules.keyed_terms(**{
        **data, "shards": shards, "linkage": {**data["linkage"], **GROWING["linkage"]},
        "disclosure": {"minimum_cohort": minimum},
    })


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    # Care of the grid's weeks only: the oracle's watermark does not see what is refused as outside of it.
    folder = tmp_path_factory.mktemp("cohort")
    generate(folder, shape=Shape(patients=80, weeks=4, seed=7, enrolled=0.6, uptake_weeks=2.0))
    return newcomers(folder)


async def shared(cohort, folder, world):
    evaluation = Growing(cohort, folder, world)
    await asyncio.wait_for(evaluation.share(), schedules.SHARE_SECONDS)
    return evaluation


def contents(store):
    """Every batch and its commitments."""
    return {key: entry.commitments for key, entry in store._index.items()}


@pytest.mark.parametrize(("shards", "minimum"), [(1, 3), (1, 11), (2, 3), (2, 7)])
def test_what_nodes_hold_is_the_oracles(cohort, tmp_path, monkeypatch, shards, minimum):
    agreed = terms(shards, minimum)
    monkeypatch.setattr(schedules, "terms", lambda: agreed)
    evaluation = asyncio.run(shared(cohort, tmp_path, World(rng=Random(shards), incidents=[])))
    changes = {**GROWING, "disclosure": {"minimum_cohort": minimum}}
    data, found = readers(schedules.AGREEMENT, changes, cohort, shards)
    entered = check_stores(evaluation.stores, data, found)
    assert all(store.batches_complete == 4 and store.received == store.expected for store in evaluation.stores)
    for party, reader in found.items():
        books, counts = reader.books, evaluation.counts[party].summary()
        late = {"late_pending": books.late, "late_after_maturity": books.too_late}
        said = {"read": books.read, "accepted": books.accepted, "rejected": dict(books.rejected)}
        # With two shards the oracle does not know which events are late: its watermark is the whole party's.
        assert counts == {**said, **(late if shards == 1 else {name: counts[name] for name in late})}
        assert entered[party][0] > 20
    if minimum == 3:
        assert all(of[batch] >= 3 for of in entered.values() for batch in (1, 2, 3))
    else:
        _, many = readers(schedules.AGREEMENT, {**GROWING, "disclosure": {"minimum_cohort": 3}}, cohort, shards)
        assert any(many[party].books.entered != reader.books.entered for party, reader in found.items())


@pytest.mark.timeout(600)
def test_whatever_happens_nodes_hold_the_same(cohort, tmp_path, monkeypatch):
    agreed = terms(2)
    monkeypatch.setattr(schedules, "terms", lambda: agreed)
    calm = asyncio.run(shared(cohort, tmp_path / "calm", World(rng=Random(0), incidents=[])))
    expected, happened = [contents(store) for store in calm.stores], set()
    assert len(expected[0]) == calm.stores[0].expected
    for seed in range(SCHEDULES):
        rng = Random(seed)
        world = World(rng=rng, incidents=incidents(rng))
        evaluation = asyncio.run(shared(cohort, tmp_path / str(seed), world))
        assert [contents(store) for store in evaluation.stores] == expected, seed
        assert all(store.incidents == [] for store in evaluation.stores)
        masks = asyncio.run(evaluation.masks())
        assert all(len(covered) == 1 for covered in masks.values())
        happened |= {incident.what for incident in world.happened}
    assert {"killed", "saving", "moved", "zombie", "unanswered"} <= happened
