"""Wakes a node to look for due windows. The table of expected windows is the truth; this only rings the bell."""

import asyncio
import logging
from types import TracebackType
from typing import Self

from apscheduler.schedulers.asyncio import AsyncIOScheduler


class Bell:
    """Rings on a schedule and whenever `ring` is called."""

    def __init__(self, every_seconds: float) -> None:
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        self._event = asyncio.Event()
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        # A missed ring is made up for by one ring, however late: APScheduler by default drops it after a second.
        self._scheduler.add_job(
            self.ring, "interval", seconds=every_seconds, misfire_grace_time=None, coalesce=True, max_instances=1,
        )

    def ring(self) -> None:
        """Wake whoever waits."""
        self._event.set()

    async def wait(self) -> None:
        """Wait for the next ring."""
        await self._event.wait()
        self._event.clear()

    async def __aenter__(self) -> Self:
        self._scheduler.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scheduler.shutdown(wait=False)
