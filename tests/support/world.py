"""A broker in memory, whose clients live through what a schedule says: small polls, delays, repeats, crashes.

Stands in for streams.broker in one process. Within a partition order holds, as on Kafka; between partitions anything
may come first. What a producer was told is stored stays stored.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace

from streams.errors import BrokerError


class Killed(BaseException):
    """The process is gone: nothing that would catch an error runs on."""


@dataclass(frozen=True)
class Incident:
    """What happens to a process at one of its operations on the broker."""

    process: str
    operation: int
    """The process's how-many-th operation, those of its earlier lives included."""
    what: str
    """killed: before the operation, and started again; outage: the operation fails, which ends the process, and it is
    started again; moved: killed, and started again where none of its files are; zombie: it goes on, but another one is
    started somewhere else because it seemed lost.
    """


@dataclass
class World:
    """Topics in memory, and what happens to whom."""

    rng: Random
    incidents: list = field(default_factory=list)
    repeats: float = 0.05
    """How often a batch is stored twice: its first answer was lost, and the client sent it again."""
    hides: float = 0.3
    """How often a partition's records do not show yet."""
    logs: dict = field(default_factory=dict)
    """(topic, partition) → records."""
    expired: Counter = field(default_factory=Counter)
    """(topic, partition) → how many of the oldest records retention has deleted."""
    operations: Counter = field(default_factory=Counter)
    happened: list = field(default_factory=list)
    """Incidents, in order: to understand a schedule that failed."""

    def log(self, topic, partition):
        return self.logs.setdefault((topic, partition), [])

    def values(self, topic):
        """All that was ever sent to a topic, partition after partition."""
        return [r.value for (name, _), log in sorted(self.logs.items()) if name == topic for r in log]

    async def operation(self, process):
        """Before an operation of a process: others get their turn, and what is to happen happens."""
        for _ in range(self.rng.randrange(3)):
            await asyncio.sleep(0)
        if process.dead:
            raise Killed
        self.operations[process.name] += 1
        now = self.operations[process.name]
        incident = next((i for i in self.incidents if (i.process, i.operation) == (process.name, now)), None)
        if incident is None:
            return
        self.happened.append(incident)
        if incident.what == "outage":
            raise BrokerError("the broker is away")
        process.moved = incident.what in ("moved", "zombie")
        process.lost.set()
        if incident.what != "zombie":
            process.dead = True
            raise Killed


@dataclass
class Process:
    """One life of a process: once killed, none of its clients does anything."""

    world: World
    name: str
    dead: bool = False
    moved: bool = False
    """Whether the next life has none of its files."""
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    """Whoever looks after it thinks that it is gone."""

    def producer(self, _broker):
        return SimulatedProducer(self)

    def consumer(self, _broker, topic, partitions, _wait_ms=0):
        return SimulatedConsumer(self, topic, partitions)


class _Client:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None


class SimulatedProducer(_Client):
    """streams.broker.Producer."""

    def __init__(self, process):
        self._process, self._world = process, process.world

    async def send(self, topic, partition, records):
        world, batch, count = self._world, list(records), 0
        while batch:
            await world.operation(self._process)
            size = world.rng.randint(1, len(batch))
            again = world.rng.random() < world.repeats
            for _ in range(2 if again else 1):
                log = world.log(topic, partition)
                for key, value in batch[:size]:
                    log.append(SimpleNamespace(
                        topic=topic, partition=partition, offset=len(log), key=key,
                        value=None if value is None else bytes(value), timestamp=0,
                    ))
            count, batch = count + size, batch[size:]
        return count


class SimulatedConsumer(_Client):
    """streams.broker.Consumer."""

    def __init__(self, process, topic, partitions):
        self._process, self._world, self.topic = process, process.world, topic
        self._next = dict.fromkeys(partitions, 0)

    async def seek(self, partition, offset):
        begin, end = (await self.begins([partition]))[partition], await self.end(partition)
        if offset and not begin <= offset <= end:
            raise BrokerError(f"offset {offset} lies outside {begin}..{end}")
        self._next[partition] = offset

    async def end(self, partition):
        return (await self.ends([partition]))[partition]

    async def ends(self, partitions):
        await self._world.operation(self._process)
        return {partition: len(self._world.log(self.topic, partition)) for partition in partitions}

    async def begins(self, partitions):
        return {partition: self._world.expired[self.topic, partition] for partition in partitions}

    async def position(self, partition):
        return self._next[partition]

    async def poll(self, _wait_seconds, most):
        world = self._world
        if self.topic.endswith((".owner", ".holdings")) and self._next[0] == len(world.log(self.topic, 0)):
            # Waiting for another claim, or for a node's word, is nothing that an incident could hit.
            await asyncio.sleep(0)
            if self._process.dead:
                raise Killed
            return []
        await world.operation(self._process)
        found, partitions = [], list(self._next)
        world.rng.shuffle(partitions)
        for partition in partitions:
            if world.rng.random() < world.hides:
                continue
            log = world.log(self.topic, partition)
            begin = max(self._next[partition], world.expired[self.topic, partition])
            there = min(most - len(found), len(log) - begin)
            if there > 0:
                taken = world.rng.randint(1, there)
                found += [record for record in log[begin : begin + taken] if record.value is not None]
                self._next[partition] = begin + taken
        return found
