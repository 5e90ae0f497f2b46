"""The bell: rings on time, at once when rung, and after a standstill."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_MISSED

from evaluation.wake import Bell


async def test_it_rings_by_itself_and_when_it_is_rung():
    async with Bell(0.05) as bell:
        await asyncio.wait_for(bell.wait(), 5)
    async with Bell(3600) as bell:
        begin = time.monotonic()
        await bell.wait(0.05)
        assert time.monotonic() - begin >= 0.04
        bell.ring()
        await asyncio.wait_for(bell.wait(), 1)


async def test_a_process_that_stood_still_rings_as_soon_as_it_goes_on(monkeypatch):
    """Later than the grace, APScheduler drops the job and says so: that rings, too."""
    monkeypatch.setattr("evaluation.wake.MISFIRE_SECONDS", 1)
    bell, dropped = Bell(30), []
    bell._scheduler.add_listener(dropped.append, EVENT_JOB_MISSED)
    async with bell:
        (job,) = bell._scheduler.get_jobs()
        job.modify(next_run_time=datetime.now(UTC) - timedelta(seconds=40))
        await asyncio.wait_for(bell.wait(), 5)
    assert len(dropped) == 1
