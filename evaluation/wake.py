"""Wakes a node to look for due windows. The table of expected windows is the truth; this only rings the bell."""

import asyncio
import contextlib
import logging
from types import TracebackType
from typing import Self

import structlog
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, SchedulerEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler

MISFIRE_SECONDS = 5
"""A ring that comes so late says that the process stood still."""


class Bell:
    """Rings on a schedule and whenever `ring` is called."""

    def __init__(self, every_seconds: float) -> None:
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        self._event = asyncio.Event()
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        # Missed rings are made up for by one ring, however late: here or, beyond the grace, by the listener.
        self._scheduler.add_job(
            self._on_time, "interval", seconds=every_seconds, misfire_grace_time=MISFIRE_SECONDS, coalesce=True,
            max_instances=1,
        )
        self._scheduler.add_listener(self._missed, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)

    def ring(self) -> None:
        """Wake whoever waits; call this in the event loop's thread."""
        self._event.set()

    async def wait(self, most_seconds: float | None = None) -> None:
        """Wait for the next ring, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_seconds):
                await self._event.wait()
        self._event.clear()

    async def _on_time(self) -> None:
        """A coroutine: APScheduler calls plain functions in a thread, and an event that is set there while somebody
        begins to wait for it may never wake anybody again.
        """
        self.ring()

    def _missed(self, event: SchedulerEvent) -> None:
        structlog.get_logger().warning("a wake-up came too late", event_code=event.code)
        self.ring()

    async def __aenter__(self) -> Self:
        self._scheduler.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scheduler.shutdown(wait=False)
