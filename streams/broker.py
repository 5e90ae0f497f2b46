"""The Kafka adapter: what sends and reads records.

Consumers take partitions by assignment and keep their own offsets: group offsets are never the truth here.
Producers send whole record batches and wait for the acknowledgement of all replicas.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from streams.admin import create_topics
from streams.cluster import (
    APACHE,
    APACHE_SINGLE,
    EMBEDDED,
    PROFILES,
    REQUEST_SECONDS,
    SEND_SECONDS,
    Broker,
    BrokerProfile,
    lost,
)
from streams.connections import Connections, leave
from streams.errors import BrokerError

__all__ = [
    "APACHE", "APACHE_SINGLE", "EMBEDDED", "PROFILES", "Broker", "BrokerProfile", "Consumer", "Producer", "Record",
    "create_topics", "watch",
]

MAX_MESSAGE_BYTES = 900_000
"""Largest message: below the 1 MB that brokers accept by default."""
BATCH_BYTES = 512 << 10
"""Records of one partition travel in batches of this size; fetches get slower with the number of batches."""
FETCH_BYTES = 4 << 20
SEEN_SECONDS = 5.0
"""A topic that was made just now takes a moment to be known to every broker."""
TRY_SECONDS = 0.5
GAP_SECONDS = 10.0
"""So long a record may be missing before one that is shown, on the embedded broker, where it takes milliseconds."""
LOOK_SECONDS = 0.01
"""Before it is asked for again."""


class Record(Protocol):
    """One record as read."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """When it was sent: milliseconds since 1970."""
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes: ...


async def watch(broker: Broker) -> None:
    """Wait until no broker has answered for the profile's `outage_seconds`, then raise. An idle connection sees its
    end within milliseconds, whereas a consumer retries in silence.

    Raises:
        BrokerError: always, in the end.
    """
    limit = broker.profile.outage_seconds
    tls = None if broker.login is None else broker.login.context()
    seen = time.monotonic()
    while True:
        for server in broker.servers:
            host, _, port = server.rpartition(":")
            opening = asyncio.ensure_future(asyncio.open_connection(host, int(port), ssl=tls))
            with contextlib.suppress(OSError, TimeoutError):
                try:
                    async with asyncio.timeout(REQUEST_SECONDS):
                        reader, _ = await asyncio.shield(opening)
                    await reader.read(1)
                finally:
                    if await leave(opening):
                        seen = time.monotonic()
        if time.monotonic() - seen >= limit:
            raise BrokerError(f"broker {broker.address} is gone. Start it again and run again.")
        await asyncio.sleep(min(TRY_SECONDS, limit))


class _Client:
    """What producers and consumers have in common: how they begin and end."""

    _client: Any
    _pool: Any
    """aiokafka's connections of the client."""

    def __init__(self, broker: Broker, doing: str) -> None:
        self._broker, self._doing = broker, doing
        self._connections = Connections()
        self._settings = broker.settings() | {"client_id": self._connections.client_id}

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._start()
        except BaseException as error:
            await self._close()
            if isinstance(error, KafkaError | OSError | TimeoutError):
                raise lost(self._broker, self._doing, error) from error
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self._close()

    async def _start(self) -> None:
        await self._client.start()

    async def _close(self) -> None:
        await self._connections.close(self._client.stop, self._pool.close)


class Producer(_Client):
    """Sends record batches; a send that returned is stored."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker, "connecting")
        self._client = AIOKafkaProducer(
            **self._settings, acks="all", enable_idempotence=broker.profile.idempotent,
            linger_ms=0, max_batch_size=MAX_MESSAGE_BYTES + 4096, max_request_size=2 << 20,
        )
        self._pool = self._client.client

    async def send(self, topic: str, partition: int, records: Iterable[tuple[bytes | None, bytes | None]]) -> int:
        """Send (key, value) records in order and wait until the broker has stored them; returns how many.

        A value of None is a tombstone: compaction takes the key away.

        Raises:
            BrokerError: a record exceeds MAX_MESSAGE_BYTES, or the broker did not store a batch in time.
        """
        count, size, waiting = 0, 0, []
        builder = self._client.create_batch()
        try:
            async with asyncio.timeout(SEND_SECONDS):
                for key, value in records:
                    length = len(value or b"") + len(key or b"")
                    if length > MAX_MESSAGE_BYTES:
                        raise BrokerError(
                            f"a record of {length} bytes for {topic} exceeds {MAX_MESSAGE_BYTES} bytes"
                        )
                    if size + length > BATCH_BYTES and size:
                        waiting.append(await self._client.send_batch(builder, topic, partition=partition))
                        builder, size = self._client.create_batch(), 0
                    if builder.append(key=key, value=value, timestamp=None) is None:
                        # Full of small records, whose framing outweighs them.
                        waiting.append(await self._client.send_batch(builder, topic, partition=partition))
                        builder, size = self._client.create_batch(), 0
                        builder.append(key=key, value=value, timestamp=None)
                    size += length
                    count += 1
                if builder.record_count():
                    waiting.append(await self._client.send_batch(builder, topic, partition=partition))
                await asyncio.gather(*waiting)
        except (KafkaError, OSError, TimeoutError) as error:
            raise lost(self._broker, f"sending to {topic}", error) from error
        return count


class Consumer(_Client):
    """Reads partitions of one topic from the beginning, or from given offsets.

    `wait_ms` replaces a shorter wait of the broker's profile, for a topic on which little comes: on the embedded broker
    every wait costs the machine one round trip.
    """

    def __init__(self, broker: Broker, topic: str, partitions: Sequence[int], wait_ms: int = 0) -> None:
        super().__init__(broker, f"reading {topic}")
        self.topic = topic
        self._partitions = [TopicPartition(topic, p) for p in partitions]
        self._client = AIOKafkaConsumer(
            **self._settings, group_id=None, enable_auto_commit=False,
            auto_offset_reset="earliest", fetch_min_bytes=1,
            fetch_max_wait_ms=max(broker.profile.fetch_wait_ms, wait_ms),
            max_partition_fetch_bytes=FETCH_BYTES, fetch_max_bytes=FETCH_BYTES,
        )
        self._pool = self._client._client  # noqa: SLF001
        self._next = dict.fromkeys(self._partitions, 0)
        """The offset that comes next, where there are no gaps: on the embedded broker."""
        self._gaps: dict[TopicPartition, float] = {}
        """Until when that one may be missing."""

    async def _start(self) -> None:
        await super()._start()
        await self._seen()
        self._client.assign(self._partitions)

    async def _seen(self) -> None:
        """A fetch from a topic that is not there for us waits for ever; the embedded broker would make it by itself."""
        if self._broker.profile.fresh:
            return
        limit = time.monotonic() + SEEN_SECONDS
        while self.topic not in await self._client.topics():
            if time.monotonic() > limit:
                raise TopicAuthorizationFailedError(self.topic)
            await asyncio.sleep(TRY_SECONDS)

    async def seek(self, partition: int, offset: int) -> None:
        """Go on from `offset`; from 0: from the oldest record that is there.

        Raises:
            BrokerError: beyond the partition's end (a fetch there would wait for ever), before its beginning (a fetch
                there would go on with what is left, in silence), or no answer.
        """
        begins, ends = await asyncio.gather(self.begins([partition]), self.ends([partition]))
        begin, end = begins[partition], ends[partition]
        there = begin <= offset <= end or (offset > end and await self._holds(partition, offset - 1))
        if offset and not there:
            raise BrokerError(
                f"offset {offset} of {self.topic}/{partition} lies outside {begin}..{end}: the topic lost records"
            )
        at = TopicPartition(self.topic, partition)
        self._client.seek(at, offset)
        self._next[at] = offset

    async def _holds(self, partition: int, offset: int) -> bool:
        """Whether there is a record at `offset`; the embedded broker may tell an end before it."""
        if offset < 0 or not self._broker.profile.fresh:
            return False
        at = TopicPartition(self.topic, partition)
        self._client.seek(at, offset)
        try:
            found = await self._client.getmany(at, timeout_ms=int(1000 * SEEN_SECONDS), max_records=1)
        except (KafkaError, OSError) as error:
            raise lost(self._broker, self._doing, error) from error
        return any(record.offset == offset for records in found.values() for record in records)

    async def end(self, partition: int) -> int:
        """The offset that the next record of a partition will get.

        Raises:
            BrokerError: no answer.
        """
        return (await self.ends([partition]))[partition]

    async def ends(self, partitions: Sequence[int]) -> dict[int, int]:
        """The same of several partitions, asked for together: each question may wait for a fetch that is under way.

        Raises:
            BrokerError: no answer.
        """
        return await self._told(self._client.end_offsets, partitions)

    async def begins(self, partitions: Sequence[int]) -> dict[int, int]:
        """The offset of the oldest record that each partition still has; its end if it has none.

        Raises:
            BrokerError: no answer.
        """
        return await self._told(self._client.beginning_offsets, partitions)

    async def _told(self, ask: Callable[[list[Any]], Awaitable[Any]], partitions: Sequence[int]) -> dict[int, int]:
        at = {partition: TopicPartition(self.topic, partition) for partition in partitions}
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                found = await ask(list(at.values()))
                return {partition: int(found[place]) for partition, place in at.items()}
        except (KafkaError, OSError, TimeoutError) as error:
            raise lost(self._broker, self._doing, error) from error

    async def position(self, partition: int) -> int:
        """The offset that is read next.

        Raises:
            BrokerError: no answer.
        """
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return int(await self._client.position(TopicPartition(self.topic, partition)))
        except (KafkaError, OSError, TimeoutError) as error:
            raise lost(self._broker, self._doing, error) from error

    async def poll(self, wait_seconds: float, most: int) -> list[Record]:
        """At most `most` records, in order within a partition; empty when none came in time.

        Raises:
            BrokerError: the broker refused the fetch, or (embedded) shows no record between two others.
        """
        try:
            answer: dict[TopicPartition, list[Record]] = await self._client.getmany(
                timeout_ms=int(wait_seconds * 1000), max_records=most
            )
        except (KafkaError, OSError) as error:
            raise lost(self._broker, self._doing, error) from error
        if self._broker.profile.fresh:
            answer = await self._without_gaps(answer)
        # A record without a value is a tombstone: what it takes away is nobody's concern any more.
        return [r for found in answer.values() for r in found if r.value is not None]

    async def _without_gaps(self, answer: dict[TopicPartition, list[Record]]) -> dict[TopicPartition, list[Record]]:
        """The records up to the first one that is missing, which is asked for again.

        Of two records that are stored at the same moment the embedded broker may show the later one alone for an
        instant: about once in 27,000 with 24 producers on two busy processors. It never takes a record away, so that a
        gap is none that stays. Apache Kafka shows records in order, and has gaps where it compacted.
        """
        found = {}
        for at, records in answer.items():
            whole = next((i for i, r in enumerate(records) if r.offset != self._next[at] + i), len(records))
            self._next[at] += whole
            found[at] = records[:whole]
            if whole == len(records):
                self._gaps.pop(at, None)
                continue
            self._client.seek(at, self._next[at])
            now = time.monotonic()
            if now > self._gaps.setdefault(at, now + GAP_SECONDS):
                raise BrokerError(
                    f"{at.topic}/{at.partition} shows offset {records[whole].offset} and not {self._next[at]} for "
                    f"{GAP_SECONDS:g} s: the embedded broker lost it. Start a fresh one."
                )
        if self._gaps:
            await asyncio.sleep(LOOK_SECONDS)
        return found
