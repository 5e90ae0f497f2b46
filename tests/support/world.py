"""A broker in memory, whose clients live through what a schedule says: small polls, delays, repeats, crashes, restarts.

Stands in for streams.broker in one process. Within a partition order holds, as on Kafka; between partitions anything
may come first. What a producer was told is stored stays stored; when it was not told, the batch may be stored or not.
"""

import asyncio
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from unittest import mock

from streams import pipeline, resend
from streams.broker import APACHE, Broker, BrokerProfile
from streams.errors import BrokerError

NODES = ("node-0", "node-1", "node-2")
BROKER = "broker"
"""The process whose operations are everybody's."""


class Killed(BaseException):
    """The process is gone: nothing that would catch an error runs on."""


@dataclass(frozen=True)
class Incident:
    """What happens to a process at one of its operations on the broker, or to the broker at one of anybody's."""

    process: str
    operation: int
    """The process's how-many-th operation, those of its earlier lives included."""
    what: str
    """To a process. killed: before the operation, and started again; outage: the operation fails, which ends the process,
    and it is started again; unanswered: the same at its next batch, which is stored; saving: killed at its next batch of
    a state, which is in its files by then and not on the topic; moved: killed, and started again where none of its files
    are; zombie: it goes on, but another one is started somewhere else because it seemed lost.

    To the broker. restarted: everybody waits, and batches that were on their way are sent again, stored or not; away:
    for longer than anybody waits: batches on their way fail, stored or not, and whoever was connected is started again.
    """


@dataclass
class Process:
    """One life of a process: once killed, none of its clients does anything."""

    name: str
    dead: bool = False
    moved: bool = False
    """Whether the next life has none of its files."""
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    """Whoever looks after it thinks that it is gone."""


@dataclass(kw_only=True)
class Course:
    """What is to happen to whom, and what has happened."""

    incidents: list
    """Those that are still to happen."""
    operations: Counter = field(default_factory=Counter)
    """Process → how many it has done."""
    happened: list = field(default_factory=list)
    """Incidents, in order: to understand a schedule that failed. Also what the broker's did to batches on their way.
    recognised: stored, sent again and not stored again; resent: stored twice; unanswered: stored, and the sender got an
    error.
    """

    def __post_init__(self):
        self.incidents = list(self.incidents)

    def count(self, process):
        """An operation of a process begins."""
        if process.dead:
            raise Killed
        self.operations.update((process.name, BROKER))

    def due(self, name, topic=None):
        """What happens to a process, which may send to a topic, or to the broker, now."""
        waits = {"unanswered": topic is None, "saving": topic is None or not topic.endswith(".state")}
        found = next((
            i for i in self.incidents
            if i.process == name and i.operation <= self.operations[name] and not waits.get(i.what)
        ), None)
        if found is None:
            return None
        self.incidents.remove(found)
        self.happened.append(found)
        return found.what

    def strike(self, process, topic):
        """What happens to a process now; returns whether the batch that it sends is to be stored without an answer."""
        what = self.due(process.name, topic)
        if what == "outage":
            raise BrokerError("the broker is away")
        if what in (None, "unanswered"):
            return what is not None
        process.moved = what in ("moved", "zombie")
        process.lost.set()
        if what != "zombie":
            process.dead = True
            raise Killed
        return False


@dataclass(kw_only=True)
class World(Course):
    """Topics in memory, and what happens to whom."""

    rng: Random
    profile: BrokerProfile = APACHE
    repeats: float = 0.05
    """How often a batch is stored twice by a producer that is not idempotent: its first answer was lost, and the client
    sent it again.
    """
    hides: float = 0.3
    """How often a partition's records do not show yet."""
    logs: dict = field(default_factory=dict)
    """(topic, partition) → records."""
    expired: Counter = field(default_factory=Counter)
    """(topic, partition) → how many of the oldest records retention has deleted."""
    outages: int = 0
    """How often the broker was away."""
    up: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self):
        super().__post_init__()
        self.up.set()

    async def process(self, name):
        """A new life of a process."""
        return SimulatedProcess(name, self)

    def broker(self, _user):
        """The broker, as a user meets it."""
        return Broker("", self.profile)

    def log(self, topic, partition):
        return self.logs.setdefault((topic, partition), [])

    @contextmanager
    def rules(self):
        """What else differs from a world with a real broker, while processes live in this one."""
        with (
            mock.patch.object(pipeline, "watch", _for_ever),
            mock.patch.object(resend.Resender, "run", _for_ever),
            # Threads would make a schedule another one each time.
            mock.patch.object(asyncio, "to_thread", _here),
        ):
            yield

    async def values(self, topic):
        """All that was ever sent to a topic, partition after partition."""
        return [r.value for (name, _), log in sorted(self.logs.items()) if name == topic for r in log]

    async def operation(self, process, batch=None):
        """An operation of a process, which may send a batch: others get their turn, and what is to happen happens."""
        for _ in range(self.rng.randrange(3)):
            await asyncio.sleep(0)
        self.count(process)
        if self.strike(process, None if batch is None else batch.topic):
            batch.store()
            raise BrokerError("the answer was lost")
        what = self.due(BROKER)
        self.outages += what == "away"
        if process.cut_off and batch is not None and self.rng.random() < 0.5:
            batch.store()
            self._note("unanswered")
        process.check()
        if what == "restarted" or not self.up.is_set():
            await self._wait(process, batch)
        if batch is not None:
            if not (batch.stored and self.profile.idempotent):
                batch.store()
            if not self.profile.idempotent and self.rng.random() < self.repeats:
                batch.store()

    async def _wait(self, process, batch):
        """Until the broker is back; it may have stored the batch before it went."""
        if batch is not None and self.rng.random() < 0.5:
            batch.store()
            self._note("recognised" if self.profile.idempotent else "resent")
        if self.up.is_set():
            self.up.clear()
            try:
                for _ in range(self.rng.randint(1, 30)):
                    await asyncio.sleep(0)
            finally:
                self.up.set()
        else:
            await self.up.wait()
        process.check()

    def _note(self, what):
        self.happened.append(Incident(BROKER, self.operations[BROKER], what))


class SimulatedProcess(Process):
    """One life of a process in a world; whether the broker was away in it."""

    def __init__(self, name, world):
        super().__init__(name)
        self.world, self._born = world, world.outages

    @property
    def cut_off(self):
        return self._born < self.world.outages

    def check(self):
        if self.dead:
            raise Killed
        if self.cut_off:
            raise BrokerError("the broker was away")

    def producer(self, _broker):
        return SimulatedProducer(self)

    def consumer(self, _broker, topic, partitions, _wait_ms=0):
        return SimulatedConsumer(self, topic, partitions)


@dataclass
class Batch:
    """Records on their way to a partition."""

    topic: str
    partition: int
    log: list
    records: list
    stored: bool = False

    def store(self):
        self.stored = True
        for key, value in self.records:
            self.log.append(SimpleNamespace(
                topic=self.topic, partition=self.partition, offset=len(self.log), key=key,
                value=None if value is None else bytes(value), timestamp=0,
            ))


async def _here(work, *arguments):
    return work(*arguments)


async def _for_ever(_broker):
    await asyncio.Event().wait()


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
        world, waiting, count = self._world, list(records), 0
        while waiting:
            size = world.rng.randint(1, len(waiting))
            batch = Batch(topic, partition, world.log(topic, partition), waiting[:size])
            await world.operation(self._process, batch)
            count, waiting = count + size, waiting[size:]
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
            self._process.check()
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
