"""Whole evaluations under random schedules: whatever happens, what is released is what the oracle releases.

Polls of any size, partitions in any order, batches stored twice on any topic; parties and nodes killed and cut off at any
operation; parties whose worker moves to another machine without its files, while the old one is dead or works on. Claims
that come late are in what is released: it waits for the panes' last revision.
Real pipelines of three parties, real inboxes and stores, real computation of three nodes; in memory are the broker
(tests/support/world.py) and the nodes' links. A schedule that fails is shrunk to the few incidents that matter.
"""

import asyncio
import os
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from console.cohort.generate import generate
from console.cohort.shape import Shape
from tests.support.oracle import expect
from tests.support.pipelines import PARTIES
from tests.support.schedules import AGREEMENT, Evaluation
from tests.support.world import Incident

SCHEDULES = int(os.environ.get("WINNOW_SCHEDULES", "200"))
LAST_OPERATION = {"node": 140, "party": 360}
"""A node does about 140 operations when nothing happens, a party 250 to 360."""

incidents = st.lists(
    st.one_of(
        st.builds(
            Incident, process=st.sampled_from(["node-0", "node-1", "node-2"]),
            operation=st.integers(1, LAST_OPERATION["node"]), what=st.sampled_from(["killed", "outage"]),
        ),
        st.builds(
            Incident, process=st.sampled_from(PARTIES), operation=st.integers(1, LAST_OPERATION["party"]),
            what=st.sampled_from(["killed", "outage", "moved", "zombie"]),
        ),
    ), max_size=9, unique_by=lambda incident: (incident.process, incident.operation),
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    generate(folder, shape=Shape(patients=80, weeks=8, seed=7, enrolled=0.6, uptake_weeks=2.0), dirt=1)
    return folder


@pytest.fixture(scope="module")
def expected(cohort):
    return expect(AGREEMENT, {party: cohort / party for party in PARTIES})


@pytest.mark.timeout(3600)
@settings(
    max_examples=SCHEDULES, deadline=None, derandomize="WINNOW_SCHEDULES" not in os.environ, database=None,
    phases=[Phase.generate, Phase.shrink], suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32), plan=incidents)
def test_whatever_happens_the_same_is_released(cohort, expected, seed, plan):
    with tempfile.TemporaryDirectory() as folder:
        evaluation = Evaluation(cohort, Path(folder), Random(seed), plan)
        asyncio.run(asyncio.wait_for(evaluation.share(), 60))
        released = asyncio.run(evaluation.released())
    assert released == {
        (c.kpi, c.window, tuple(c.cell.items())): c.sums for c in expected.cells if c.released
    }
    counted = {name: counts.summary() for name, counts in evaluation.counts.items()}
    # The oracle's watermark is the whole party's: with two shards it does not know which events are late.
    assert counted["insurer"]["late_pending"] > 20
    for found in (*counted.values(), *expected.events.values()):
        found.pop("late_pending", None)
    assert counted == expected.events
    masks = evaluation.masks()
    assert len(masks) > 100
    assert all(len(contents) == 1 for contents in masks.values())
