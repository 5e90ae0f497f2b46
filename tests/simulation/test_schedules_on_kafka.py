"""The same evaluations on Apache Kafka, which is killed with SIGKILL and comes back while workers and nodes are lost.

A schedule is as its seed says, but for what the machine's time decides. WINNOW_KAFKA_SEEDS=FIRST:COUNT takes others.
"""

import os
from random import Random

import pytest

from tests.support.kafka_world import KafkaWorld
from tests.support.pipelines import PARTIES
from tests.support.schedules import Evaluation, schedules_cohort, schedules_expected, terms
from tests.support.world import BROKER, NODES, Incident

FIRST, COUNT = map(int, os.environ.get("WINNOW_KAFKA_SEEDS", "0:4").split(":"))
LAST_OPERATION = {"node": 12, "party": 80, BROKER: 350}
"""When little happens a node does 19 to 43 operations, a party 110 to 190, all together 470 to 600."""
LOSSES = ("killed", "outage", "unanswered", "moved", "zombie")
PATIENT_SECONDS, HASTY_SECONDS = 120.0, 1.0
"""Clients wait for the broker, or all of them end and are started again."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return schedules_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def expected(cohort):
    return schedules_expected(cohort)


def draw(rng, hasty):
    """The broker killed once or twice, three incidents of parties, one of a node."""
    down = "away" if hasty else "restarted"
    return [
        *(Incident(BROKER, rng.randint(1, LAST_OPERATION[BROKER]), down) for _ in range(rng.randint(1, 2))),
        *(Incident(rng.choice(PARTIES), rng.randint(1, LAST_OPERATION["party"]), what) for what in rng.sample(LOSSES, 3)),
        Incident(rng.choice(NODES), rng.randint(1, LAST_OPERATION["node"]), rng.choice(["killed", "outage"])),
    ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
async def test_whatever_happens_to_real_brokers_the_same_is_released(apache, cohort, expected, tmp_path, seed):
    rng, hasty = Random(seed), seed % 3 == 1
    plan, lost = draw(rng, hasty), (rng.choice(NODES), rng.randint(1, 300))
    await apache.prepare(terms().draft)
    world = KafkaWorld(
        rng=rng, incidents=plan, served=apache, partitions=terms().draft.shards,
        outage_seconds=HASTY_SECONDS if hasty else PATIENT_SECONDS,
    )
    try:
        await Evaluation(cohort, tmp_path, world).end_as(expected, [lost])
    finally:
        await world.back()
    assert world.incidents == [], "all of it happened"
    assert len(world.happened) == len(plan) + 1
