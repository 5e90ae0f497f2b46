"""A party's worker killed with SIGKILL again and again: nothing is lost, nothing counts twice.

On Apache Kafka with local copies of its states, on the embedded broker from the state topic alone.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from streams import topics
from streams.access import party_user
from tests.support.pipelines import quick_cohort, quick_terms, records, run_three_parties

ROOT = Path(__file__).parents[2]
LIFE_SECONDS = 60
KILLS = (("replay", 1), ("replay", 4), ("ingest", 1), ("panes", 2), ("share", 1), ("ingest", 4), ("share", 3))
"""Phase, and at its how-many-th word of a life the worker is killed; one that ends before is not."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return quick_cohort(tmp_path_factory.mktemp("cohort"))


async def life(broker, party, data, state, until=None):
    """One process of a worker; killed at its until[1]-th word of phase until[0]. Its counts, or None."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.party_process", party, str(data), str(state),
        *broker.words(party_user(party)), cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )
    said, counts = 0, None
    try:
        async with asyncio.timeout(LIFE_SECONDS):
            async for line in process.stdout:
                phase, *words = json.loads(line)
                said += until is not None and phase == until[0]
                if until is not None and said == until[1]:
                    os.kill(process.pid, signal.SIGKILL)
                    await process.wait()
                    return None
                if phase == "counts":
                    (counts,) = words
            assert await process.wait() == 0
            return counts
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.timeout(400)
async def test_a_worker_killed_at_every_stage_ends_with_the_same(broker, cohort, tmp_path):
    lives, local = [], broker.secured

    async def run(party, config):
        state = tmp_path / party / "state" if local else "none"
        if party != "insurer":
            return await life(broker, party, config.data, state)
        for until in KILLS:
            counts = await life(broker, party, config.data, state, until)
            lives.append(counts is None)
        counts = await life(broker, party, config.data, state)
        # A worker that starts when everything is done finds nothing to do.
        assert await life(broker, party, config.data, state) == counts
        if local:
            shutil.rmtree(state)
            assert await life(broker, party, config.data, state) == counts
        return counts

    await run_three_parties(broker, cohort, tmp_path, None, run=run)
    assert sum(lives) >= 4
    lines = [r.key for r in await records(broker, topics.source("insurer"), quick_terms().draft.shards) if r.key]
    assert len(lines) == len(set(lines)) > 1000
