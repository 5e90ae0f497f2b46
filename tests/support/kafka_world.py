"""A broker of Apache Kafka that is killed and comes back as a schedule says, and real clients of processes that are lost.

An operation is a send, or a poll that found something: others come as often as time has it.
"""

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from unittest import mock

from streams import rekey, replay, snapshots
from streams.broker import Consumer, Producer
from streams.errors import BrokerError
from streams.flow import to_the_end
from tests.support.world import BROKER, Course, Process

DOWN_SECONDS = 1.0
"""A broker is started again within this time after its end, and then takes seconds until it serves."""


@dataclass(kw_only=True)
class KafkaWorld(Course):
    """A cluster of one broker, and what happens to whom."""

    rng: Random
    served: object
    """The broker (tests.support.brokers.Served)."""
    partitions: int
    """Of every topic but those that have one."""
    outage_seconds: float
    """How long clients wait for a broker."""
    up: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self):
        super().__post_init__()
        self.up.set()
        self._restart = None

    async def process(self, name):
        """A new life of a process, once there is a broker."""
        await self.up.wait()
        return KafkaProcess(name, self)

    def broker(self, user):
        """The broker, as a user meets it."""
        found = self.served.of(user)
        return replace(found, profile=replace(found.profile, outage_seconds=self.outage_seconds))

    @contextmanager
    def rules(self):
        """Work in small portions, so that there is much to be interrupted."""
        with (
            mock.patch.object(replay, "POLL_RECORDS", 40), mock.patch.object(rekey, "STRETCH_RECORDS", 60),
            mock.patch.object(snapshots, "LOG_RECORDS", 2),
        ):
            yield

    async def values(self, topic):
        """All that was ever sent to a topic."""
        await self.back()
        found = []
        async with Consumer(self.served.of(), topic, range(self.partitions)) as consumer:
            async for records in to_the_end(consumer, range(self.partitions), 1_000):
                found += [record.value for record in records]
        return found

    def operation(self, process, topic=None):
        """An operation of a process: what is to happen happens; returns what `strike` does."""
        self.count(process)
        if self.up.is_set() and self.due(BROKER):
            self.up.clear()
            self.served.server.kill(1)
            self._restart = asyncio.create_task(self._begin_again())
        return self.strike(process, topic)

    async def back(self):
        """Wait until the broker serves."""
        if self._restart is not None:
            await self._restart

    async def _begin_again(self):
        await asyncio.sleep(self.rng.uniform(0, DOWN_SECONDS))
        self.served.server.begin(1)
        await asyncio.to_thread(self.served.server.wait, 1)
        self.up.set()


class KafkaProcess(Process):
    """One life of a process."""

    def __init__(self, name, world):
        super().__init__(name)
        self.world = world

    def producer(self, broker):
        return LosingProducer(broker, self)

    def consumer(self, *arguments):
        return LosingConsumer(*arguments, self)


class LosingProducer(Producer):
    """Of a process that may be lost at any batch."""

    def __init__(self, broker, process):
        super().__init__(broker)
        self._process = process

    async def send(self, topic, partition, records):
        unanswered = self._process.world.operation(self._process, topic)
        count = await super().send(topic, partition, records)
        if unanswered:
            raise BrokerError("the answer was lost")
        return count


class LosingConsumer(Consumer):
    """Of a process that may be lost with any records that it gets."""

    def __init__(self, *arguments):
        *arguments, self._process = arguments
        super().__init__(*arguments)

    async def poll(self, wait_seconds, most):
        found = await super().poll(wait_seconds, most)
        if found:
            self._process.world.operation(self._process)
        return found
