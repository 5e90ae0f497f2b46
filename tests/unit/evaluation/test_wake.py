"""The bell: rings on time, at once when rung, and after a standstill."""

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
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


@pytest.mark.parametrize("late", [timedelta(0), timedelta(seconds=40)])
async def test_it_rings_where_the_event_loop_turns(monkeypatch, late):
    """`asyncio.Event` is not for threads: set while somebody begins to wait, it may leave them waiting for good."""
    monkeypatch.setattr("evaluation.wake.MISFIRE_SECONDS", 1)
    bell, threads = Bell(30), []
    monkeypatch.setattr(bell, "_event", event := asyncio.Event())
    rung = event.set
    monkeypatch.setattr(event, "set", lambda: (threads.append(threading.current_thread()), rung()))
    async with bell:
        (job,) = bell._scheduler.get_jobs()
        job.modify(next_run_time=datetime.now(UTC) - late)
        await asyncio.wait_for(bell.wait(), 5)
    assert threads == [threading.current_thread()]


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
