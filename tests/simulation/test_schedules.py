"""Whole evaluations under random schedules: whatever happens, what is released is what the oracle releases.

Polls of any size, partitions in any order, batches stored twice on any topic; parties and nodes killed and cut off at any
operation; answers lost of batches that are stored; workers killed while they save a state; the broker restarted, or
away until everybody gave up, at any operation of anybody; parties whose worker moves to another machine without its
files, while the old one is dead or works on; nodes killed at any message of the runs. Claims that come late are in what
is released: it waits for the panes' last revision.
Real pipelines of three parties, real inboxes and stores, real computation of three nodes; in memory are the broker
(tests/support/world.py) and the nodes' links. A schedule that fails is shrunk to the few incidents that matter.
"""

import asyncio
import os
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from streams.broker import APACHE
from tests.support.pipelines import PARTIES
from tests.support.schedules import Evaluation, schedules_cohort, schedules_expected
from tests.support.world import BROKER, NODES, Incident, World

SCHEDULES = int(os.environ.get("WINNOW_SCHEDULES", "200"))
PROCESSES = {"node": NODES, "party": PARTIES, BROKER: (BROKER,)}
LAST_OPERATION = {"node": 110, "party": 280, BROKER: 1200}
"""When nothing happens a node does 105 to 140 operations, a party 230 to 360, all together 1200 to 1300."""
LAST_MESSAGE = 300
"""A node sends 304 or 314 messages to the others when nothing happens."""
HAPPENS = {
    "node": ("killed", "outage"), "party": ("killed", "outage", "unanswered", "saving", "moved", "zombie"),
    BROKER: ("restarted", "away"),
}
KINDS = {
    *((who, what) for who, all_of_it in HAPPENS.items() for what in all_of_it), ("node", "run lost"),
    (BROKER, "recognised"), (BROKER, "resent"), (BROKER, "unanswered"),
}
OFTEN = 0.05
"""In at least this part of the schedules each kind of incident happens: one that never does proves nothing."""
MEMORY = Path("/dev/shm")
"""Files here are in memory: a schedule writes hundreds, and no power cut happens."""


def incident(kind, what):
    return st.builds(
        Incident, process=st.sampled_from(PROCESSES[kind]), operation=st.integers(1, LAST_OPERATION[kind]),
        what=st.just(what),
    )


drawn = [incident(kind, what) for kind, all_of_it in HAPPENS.items() for what in all_of_it]
plans = st.builds(
    lambda *parts: [i for i in (*parts[:-1], *parts[-1]) if i is not None],
    *(st.none() | each for each in drawn), st.lists(st.one_of(drawn), max_size=2),
)
"""Of every kind one or none, and some more."""
profiles = st.sampled_from([APACHE, replace(APACHE, idempotent=False)])
losses = st.lists(st.tuples(st.sampled_from(NODES), st.integers(1, LAST_MESSAGE)), max_size=2)


def kind_of(incident):
    return next(kind for kind, processes in PROCESSES.items() if incident.process in processes), incident.what


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return schedules_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def expected(cohort):
    return schedules_expected(cohort)


@pytest.mark.timeout(3600)
def test_whatever_happens_the_same_is_released(cohort, expected):
    schedules, hit = 0, Counter()

    @settings(
        max_examples=SCHEDULES, database=None, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(number=st.integers(0, 2**32 - 1), profile=profiles, plan=plans, lost=losses)
    def follow(number, profile, plan, lost):
        nonlocal schedules
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
            evaluation = Evaluation(cohort, Path(folder), World(rng=Random(number), incidents=plan, profile=profile))
            asyncio.run(evaluation.end_as(expected, lost))
        schedules += 1
        hit.update({kind_of(incident) for incident in evaluation.world.happened})

    if "WINNOW_SCHEDULES" not in os.environ:
        follow = seed(0)(follow)
    follow()
    assert schedules >= SCHEDULES
    assert {kind: hit[kind] for kind in KINDS if hit[kind] < OFTEN * SCHEDULES} == {}, hit
