"""The Kafka adapter: the only user of aiokafka.

Consumers take partitions by assignment and keep their own offsets: group offsets are never the truth here.
Producers send whole record batches and wait for the acknowledgement of all replicas.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from streams.errors import BrokerError
from streams.topics import Topic

MAX_MESSAGE_BYTES = 900_000
"""Largest message: below the 1 MB that brokers accept by default."""
BATCH_BYTES = 512 << 10
"""Records of one partition travel in batches of this size; fetches get slower with the number of batches."""
FETCH_BYTES = 4 << 20
REQUEST_SECONDS = 15.0
"""A machine that does too much at once may keep a broker from answering for some seconds; `watch` sees at once that one
is gone."""
SEND_SECONDS = 45.0
"""Longest wait for the acknowledgement of a batch, retries included."""
CLOSE_SECONDS = 1.0
"""Everything sent was acknowledged by then; a broker that is gone is not waited for."""
TOPIC_EXISTS = 36
MILLISECONDS_PER_DAY = 86_400_000


@dataclass(frozen=True)
class BrokerProfile:
    """What differs between brokers."""

    name: str
    fetch_wait_ms: int
    """The embedded broker always sleeps this out, so it sets the latency; Apache Kafka answers at once."""
    idempotent: bool
    """The embedded broker refuses the idempotent producer's handshake."""
    retention: bool
    """Whether topics take retention settings."""
    fresh: bool
    """A topic that exists already is an error: the data of the embedded broker dies with it."""


EMBEDDED = BrokerProfile("embedded", fetch_wait_ms=15, idempotent=False, retention=False, fresh=True)
APACHE = BrokerProfile("apache", fetch_wait_ms=500, idempotent=True, retention=True, fresh=False)


@dataclass(frozen=True)
class Broker:
    """Where the broker is and what it can do."""

    address: str
    """host:port"""
    profile: BrokerProfile = EMBEDDED


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


async def create_topics(broker: Broker, topics: Sequence[Topic]) -> None:
    """Create all topics in one request, before any client starts: metadata requests create missing ones wrongly.

    Raises:
        BrokerError: unreachable, or a topic was refused; names the topic and the broker's code.
    """
    admin = AIOKafkaAdminClient(
        bootstrap_servers=broker.address, request_timeout_ms=int(REQUEST_SECONDS * 1000)
    )
    wanted = [
        NewTopic(
            t.name, t.partitions, 1,
            topic_configs=_settings(t) if broker.profile.retention else {},
        )
        for t in topics
    ]
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await admin.start()
            answer = await admin.create_topics(wanted)
    except (KafkaError, OSError, TimeoutError) as error:
        raise _lost(broker, "creating topics", error) from error
    finally:
        await admin.close()
    # aiokafka does not raise for a topic's error code.
    allowed = {0} if broker.profile.fresh else {0, TOPIC_EXISTS}
    bad = [f"{e[0]} (code {e[1]})" for e in answer.topic_errors if e[1] not in allowed]
    if bad:
        raise BrokerError(f"broker {broker.address} refused topics: {', '.join(bad)}")


def _settings(topic: Topic) -> dict[str, str]:
    if topic.compacted:
        return {"cleanup.policy": "compact"}
    return {"retention.ms": str(topic.retention_days * MILLISECONDS_PER_DAY)}


async def watch(broker: Broker) -> None:
    """Wait until the broker is gone, then raise. An idle connection sees its end within milliseconds, whereas a
    consumer retries in silence.

    Raises:
        BrokerError: always, in the end.
    """
    host, _, port = broker.address.rpartition(":")
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(REQUEST_SECONDS):
            reader, writer = await asyncio.open_connection(host, int(port))
        try:
            await reader.read(1)
        finally:
            writer.close()
    raise BrokerError(f"broker {broker.address} is gone. Start it again and run again.")


class Producer:
    """Sends record batches; a send that returned is stored."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._client = AIOKafkaProducer(
            bootstrap_servers=broker.address, acks="all", enable_idempotence=broker.profile.idempotent,
            linger_ms=0, max_batch_size=MAX_MESSAGE_BYTES + 4096, max_request_size=2 << 20,
            request_timeout_ms=int(REQUEST_SECONDS * 1000), retry_backoff_ms=100, metadata_max_age_ms=30_000,
        )

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._client.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await _close(self._client)
            raise _lost(self._broker, "connecting", error) from error
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await _close(self._client)

    async def send(self, topic: str, partition: int, records: Iterable[tuple[bytes | None, bytes]]) -> int:
        """Send (key, value) records in order and wait until the broker has stored them; returns how many.

        Raises:
            BrokerError: a record exceeds MAX_MESSAGE_BYTES, or the broker did not store a batch in time.
        """
        count, size, waiting = 0, 0, []
        builder = self._client.create_batch()
        try:
            async with asyncio.timeout(SEND_SECONDS):
                for key, value in records:
                    length = len(value) + len(key or b"")
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
                if size:
                    waiting.append(await self._client.send_batch(builder, topic, partition=partition))
                await asyncio.gather(*waiting)
        except (KafkaError, OSError, TimeoutError) as error:
            raise _lost(self._broker, f"sending to {topic}", error) from error
        return count


class Consumer:
    """Reads partitions of one topic from the beginning, or from given offsets.

    `wait_ms` replaces a shorter wait of the broker's profile, for a topic on which little comes: on the embedded broker
    every wait costs the machine one round trip.
    """

    def __init__(self, broker: Broker, topic: str, partitions: Sequence[int], wait_ms: int = 0) -> None:
        self._broker, self.topic = broker, topic
        self._partitions = [TopicPartition(topic, p) for p in partitions]
        self._client = AIOKafkaConsumer(
            bootstrap_servers=broker.address, group_id=None, enable_auto_commit=False,
            auto_offset_reset="earliest", fetch_min_bytes=1,
            fetch_max_wait_ms=max(broker.profile.fetch_wait_ms, wait_ms),
            max_partition_fetch_bytes=FETCH_BYTES, fetch_max_bytes=FETCH_BYTES,
            request_timeout_ms=int(REQUEST_SECONDS * 1000), retry_backoff_ms=100, metadata_max_age_ms=30_000,
        )

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._client.start()
                self._client.assign(self._partitions)
        except (KafkaError, OSError, TimeoutError) as error:
            await _close(self._client)
            raise _lost(self._broker, f"reading {self.topic}", error) from error
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await _close(self._client)

    async def seek(self, partition: int, offset: int) -> None:
        """Go on from `offset`.

        Raises:
            BrokerError: beyond the partition's end (a fetch there would wait for ever), or no answer.
        """
        end = await self.end(partition)
        if not 0 <= offset <= end:
            raise BrokerError(
                f"offset {offset} of {self.topic}/{partition} lies outside 0..{end}: the topic lost records"
            )
        self._client.seek(TopicPartition(self.topic, partition), offset)

    async def end(self, partition: int) -> int:
        """The offset that the next record of a partition will get.

        Raises:
            BrokerError: no answer.
        """
        at = TopicPartition(self.topic, partition)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return int((await self._client.end_offsets([at]))[at])
        except (KafkaError, OSError, TimeoutError) as error:
            raise _lost(self._broker, f"reading {self.topic}", error) from error

    async def poll(self, wait_seconds: float, most: int) -> list[Record]:
        """At most `most` records, in order within a partition; empty when none came in time.

        Raises:
            BrokerError: the broker refused the fetch.
        """
        try:
            answer: dict[Any, list[Record]] = await self._client.getmany(
                timeout_ms=int(wait_seconds * 1000), max_records=most
            )
        except (KafkaError, OSError) as error:
            raise _lost(self._broker, f"reading {self.topic}", error) from error
        # A record without a value is a tombstone, which no topic of ours has.
        return [r for found in answer.values() for r in found if r.value is not None]


async def _close(client: Any) -> None:
    """Stop a client within CLOSE_SECONDS, whatever state the broker is in.

    aiokafka's stop leaks the cancellation of its own tasks, which in our task would look like our own, and then
    leaves its connections and their tasks open.
    """
    connections = client._client if isinstance(client, AIOKafkaConsumer) else client.client  # noqa: SLF001
    for closing in (client.stop, connections.close):
        task = asyncio.ensure_future(closing())
        await asyncio.wait([task], timeout=CLOSE_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _lost(broker: Broker, doing: str, error: BaseException) -> BrokerError:
    return BrokerError(f"broker {broker.address}: {doing} failed ({type(error).__name__}). Check that it runs.")
