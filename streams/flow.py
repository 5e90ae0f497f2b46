"""What the stages of a party's pipeline share: counts, progress, waiting with a limit."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.broker import Consumer, Producer, Record
from streams.errors import BrokerError, StalledError

POLL_SECONDS = 0.5
POLL_RECORDS = 4_000
"""Records a stage takes, or sends, at a time."""
TURN_RECORDS = 100
"""Records a stage handles between two awaits: some tens of milliseconds, even when each is sealed and the machine is
busy. Without turns a connection to the broker would seem lost.
"""

END_SECONDS = 60.0
"""A topic gives something within this time, or its end is reached."""
PAST_END_SECONDS = 5.0
"""So long a topic is read beyond the end that was told: others may write as fast as it is read."""

Progress = Callable[[str, int, int], None]
"""phase, done, total"""


@dataclass
class Counts:
    """What became of a party's events: accepted + rejected = read."""

    read: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    late_pending: int = 0
    """Accepted and stored, but for a pane that is sealed or a patient that is not in this epoch's register. With
    maturities the former are shared later.
    """
    late_after_maturity: int = 0
    """Accepted and stored, but for a pane whose last maturity had passed."""
    lists: int = 0
    """Lists of rows to be erased that left, once all have."""

    def summary(self) -> dict[str, Any]:
        """As plain data, reasons in order."""
        return {
            "read": self.read, "accepted": self.accepted,
            "rejected": {str(reason): n for reason, n in sorted(self.rejected.items())},
            "late_pending": self.late_pending, "late_after_maturity": self.late_after_maturity,
        }


class Pulse:
    """Whether a pipeline still moves: one stage may wait long for another that works."""

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._last = time.monotonic()

    def beat(self) -> None:
        """Some stage did something."""
        self._last = time.monotonic()

    def check(self, topic: str) -> None:
        """Called by a stage that got nothing from `topic`.

        Raises:
            StalledError: no stage did anything for the limit.
        """
        if time.monotonic() - self._last > self._stall_seconds:
            raise StalledError(
                f"no stage did anything for {self._stall_seconds:g} s while waiting for {topic}. Check who writes it."
            )


async def polls(consumer: Consumer, pulse: Pulse, most: int = POLL_RECORDS) -> AsyncIterator[list[Record]]:
    """Records as they come; never ends by itself.

    Raises:
        StalledError: see Pulse.
        BrokerError: see Consumer.poll.
    """
    while True:
        records = await consumer.poll(POLL_SECONDS, most)
        if records:
            pulse.beat()
            yield records
        else:
            pulse.check(consumer.topic)


async def to_the_end(consumer: Consumer, partitions: Sequence[int], most: int) -> AsyncIterator[list[Record]]:
    """What partitions hold now, from where the consumer stands; it is left at their ends.

    An end that was told too low is passed by reading on until nothing comes, for PAST_END_SECONDS at most.

    Raises:
        BrokerError: no answer, or the topic gives nothing before its end.
    """
    ends = await consumer.ends(partitions)
    limit = time.monotonic() + END_SECONDS
    passed = math.inf
    while any(ends.values()):
        records = await consumer.poll(POLL_SECONDS, most)
        there = all([await consumer.position(partition) >= end for partition, end in ends.items()])
        now = time.monotonic()
        passed = min(passed, now) if there else math.inf
        if records:
            limit = now + END_SECONDS
            yield records
        if there and (not records or now - passed > PAST_END_SECONDS):
            return
        if not records and now > limit:
            raise BrokerError(f"{consumer.topic} gave nothing for {END_SECONDS:g} s before its end")


class Outbox:
    """Collects records by topic and partition and sends them together."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._waiting: dict[tuple[str, int], list[tuple[bytes | None, bytes]]] = {}

    def put(self, topic: str, partition: int, key: bytes | None, value: bytes) -> None:
        """Add a record; bounded by what a stage handles between two `send`."""
        self._waiting.setdefault((topic, partition), []).append((key, value))

    async def send(self) -> None:
        """Send everything; returns when the broker has it.

        Raises:
            BrokerError: see Producer.send.
        """
        waiting, self._waiting = self._waiting, {}
        await asyncio.gather(
            *(self._producer.send(topic, partition, records) for (topic, partition), records in waiting.items())
        )
