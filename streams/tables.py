"""Stateful control streams: the only user of Faust.

A control stream hands over the records of a few topics one by one, and keeps a small table for whoever handles them.
The table survives `kill -9`: every change is on a changelog topic before `put` returns, and is read back at the start.

Delivery is at least once. Nothing is committed to the broker's group: after a start, and after the group gave the
partitions away and back, the topics are read from their beginning again. So handlers must be idempotent, by what they
have in the table. (Faust's exactly-once loses state on brokers whose last stable offset is wrong; docs/adr/0013.)

Faust is kept to what it is good at. No worker, so no signal handlers, logging or command line of its own; no web
server; no topics made by it; nothing read from the environment. Its rebalances apply stale changelog records to the
live table, so a stream whose partitions are taken away begins afresh, and the table is read at `restored` only, and
written from then on. Its recoveries drop records (`_Thread`), so offsets are watched too.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import faust
from aiokafka.errors import KafkaError
from faust.app.base import BootStrategy
from faust.exceptions import FaustError
from faust.transport.drivers import aiokafka

from streams.broker import CLOSE_SECONDS, SEND_SECONDS, Broker
from streams.errors import BrokerError
from streams.topics import TABLE

START_SECONDS = 60.0
"""Longest time until the table is restored: a member of the group that was killed is missed after SESSION_SECONDS."""
SESSION_SECONDS = 6.0
HEARTBEAT_SECONDS = 1.5
REQUEST_SECONDS = 10.0
NEVER = 10.0**9
WAITING_RECORDS = 8
"""Records that wait for their handler; each may have 900 kB."""


class Handler(Protocol):
    """Whoever owns the table; `restored` and `record` never overlap."""

    async def restored(self, table: Mapping[bytes, bytes]) -> None:
        """Take over the table as stored; comes before the first record, and again after every rebalance."""

    def suspended(self) -> None:
        """Stop effects: another process may have the partitions now. `restored` follows if they come back to us."""

    async def record(self, topic: str, value: bytes) -> None:
        """Handle one record."""


class _Boot(BootStrategy):
    enable_web = False


class _Thread(aiokafka.AIOKafkaConsumerThread):
    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: int | None = None
    ) -> Any:
        """Fetch from the partitions that are active now, by value.

        Faust hands over the set that it changes. When that becomes empty while we wait, at the end of a recovery,
        aiokafka takes it for "all", and Faust drops what then comes of topics that it has not resumed yet.
        """
        wanted = frozenset(active_partitions)
        return await super()._fetch_records(consumer, wanted, timeout, max_records) if wanted else {}  # type: ignore[arg-type]


class _Consumer(aiokafka.Consumer):
    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class _Transport(aiokafka.Transport):
    Consumer = _Consumer


class _App(faust.App):
    BootStrategy = _Boot

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, self)


class ControlStream:
    """Records of topics with one partition each, and a table of the same."""

    def __init__(self, broker: Broker, name: str, topics: Sequence[str], folder: Path) -> None:
        """Describe the stream; `run` starts it.

        Args:
            broker: where the topics and `streams.topics.changelog(name)` are; all must exist, with one partition.
            name: of the consumer group and the table.
            topics: what is read.
            folder: Faust wants one of its own; nothing of worth is kept there.
        """
        self._broker, self._name, self._topics, self._folder = broker, name, tuple(topics), folder
        self._gaps: set[tuple[str, int]] = set()
        """Records that came when an earlier one was due."""
        self._app: Any = None
        self._table: Any = None

    async def run(self, handler: Handler) -> None:
        """Follow the topics until cancelled.

        Raises:
            BrokerError: not connected and restored within START_SECONDS, or the client gave up.
            Exception: whatever the handler raised.
        """
        while True:
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            revoked = asyncio.Event()
            self._describe(handler, failed, revoked)
            starting, ended = asyncio.ensure_future(self._start()), asyncio.ensure_future(self._ended())
            afresh = asyncio.ensure_future(_wait(revoked))
            try:
                await asyncio.wait([starting, failed], return_when=asyncio.FIRST_COMPLETED)
                if not failed.done():
                    await starting
                    await asyncio.wait([ended, afresh, failed], return_when=asyncio.FIRST_COMPLETED)
                if failed.done():
                    failed.result()
                if ended.done():
                    raise self._lost("following its topics", self._app.crash_reason)
            finally:
                for task in (starting, ended, afresh, failed):
                    task.cancel()
                await self._stop()

    async def put(self, key: bytes, value: bytes) -> None:
        """Store a row of the table; it is on the changelog when this returns.

        Raises:
            BrokerError: the broker did not store it within SEND_SECONDS.
        """
        self._table.data[key] = value
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._table.send_changelog(0, key, value)
        except (KafkaError, FaustError, OSError, TimeoutError) as error:
            raise self._lost("storing its state", error) from error

    def _describe(self, handler: Handler, failed: "asyncio.Future[None]", revoked: asyncio.Event) -> None:
        self._app = app = _App(
            self._name, env={}, broker=f"kafka://{self._broker.address}", datadir=self._folder, store="memory://",
            loop=asyncio.get_running_loop(), autodiscover=False, web_enabled=False,
            topic_allow_declare=False, topic_disable_leader=True, topic_partitions=1, table_standby_replicas=0,
            processing_guarantee="at_least_once", stream_wait_empty=False, stream_buffer_maxsize=WAITING_RECORDS,
            stream_recovery_delay=0.0, stream_processing_timeout=NEVER,
            broker_session_timeout=SESSION_SECONDS, broker_heartbeat_interval=HEARTBEAT_SECONDS,
            broker_request_timeout=REQUEST_SECONDS, broker_commit_interval=NEVER, broker_commit_every=None,
            broker_commit_livelock_soft_timeout=NEVER, consumer_auto_offset_reset="earliest", producer_acks=-1,
            producer_linger=0.0,
        )
        # A table is written from outside of its agent too, hence the partitioner; with one partition it has no choice.
        self._table = app.Table(TABLE, partitions=1, key_type=bytes, value_type=bytes, use_partitioner=True)

        turn, held = asyncio.Lock(), False
        following: dict[str, int] = {}

        async def guarded(work: Coroutine[Any, Any, None]) -> None:
            """Whatever the handler raises is ours to report: Faust would commit the record and restart the agent."""
            try:
                async with turn:
                    await work
            except Exception as error:
                if not failed.done():
                    failed.set_exception(error)

        def begin_afresh() -> None:
            nonlocal held
            if held:  # the group also revokes nothing before it first assigns something
                held = False
                handler.suspended()
                revoked.set()

        async def take_over() -> None:
            partitions = [tp for tp in app.consumer.assignment() if tp.topic in self._topics]
            first = await app.consumer.earliest_offsets(*partitions)
            following.update({tp.topic: offset or 0 for tp, offset in first.items()})
            await handler.restored(dict(self._table.items()))

        async def on_restored() -> None:
            nonlocal held
            held = True
            await guarded(take_over())

        async def on_revoked(*_: object, **__: object) -> None:
            begin_afresh()

        async def follow(stream: Any) -> None:
            try:
                async for event in stream.noack().events():
                    if failed.done() or revoked.is_set():
                        return
                    message = event.message
                    if message.offset > following[message.topic] and (message.topic, message.offset) not in self._gaps:
                        # A second look may find what is missing; if not, the broker does not have it.
                        self._gaps.add((message.topic, message.offset))
                        begin_afresh()
                        return
                    following[message.topic] = message.offset + 1
                    if event.value is not None:  # no topic of ours has records without a value
                        await guarded(handler.record(message.topic, event.value))
            except Exception as error:
                if not failed.done():
                    failed.set_exception(error)
                raise

        self._table.on_recover(on_restored)
        app.on_partitions_revoked.connect(on_revoked, weak=False)
        source = app.topic(*self._topics, key_serializer="raw", value_serializer="raw", allow_empty=True, internal=True)
        app.agent(source, name=self._name)(follow)

    async def _start(self) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._app.start()
        except (KafkaError, FaustError, OSError, TimeoutError) as error:
            raise self._lost("restoring its state", error) from error

    async def _ended(self) -> None:
        await self._app.wait_for_stopped()

    async def _stop(self) -> None:
        """Leave the group; a broker that is gone is not waited for."""
        stopping = asyncio.ensure_future(self._app.stop())
        await asyncio.wait([stopping], timeout=CLOSE_SECONDS)
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)

    def _lost(self, doing: str, error: BaseException | None) -> BrokerError:
        kind = "no reason given" if error is None else type(error).__name__
        return BrokerError(f"broker {self._broker.address}: {self._name} failed at {doing} ({kind}). "
                           f"Check that it runs.")


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
