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

from streams.cluster import SEND_SECONDS, Broker
from streams.connections import CLOSE_SECONDS
from streams.errors import BrokerError
from streams.security import MECHANISM
from streams.topics import TABLE

START_SECONDS = 60.0
"""Longest time until the table is restored: a member of the group that was killed is missed after SESSION_SECONDS."""
SESSION_SECONDS = 6.0
HEARTBEAT_SECONDS = 1.5
REQUEST_SECONDS = 10.0
NEVER = 10.0**9
LOOK_OUT_SECONDS = 5.0
"""Records that are there, and still have not come this much later, are missing."""
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
        self._looked: set[tuple[str, int]] = set()
        """(topic, offset) after which records were missing; a second look may find them."""
        self._reading: _Reading | None = None

    async def run(self, handler: Handler) -> None:
        """Follow the topics until cancelled.

        Raises:
            BrokerError: not connected and restored within START_SECONDS, or the client gave up.
            Exception: whatever the handler raised.
        """
        while True:
            self._reading = reading = _Reading(self._app(), self._topics, handler, self._looked)
            try:
                await reading.run()
            except (KafkaError, FaustError, OSError, TimeoutError, _Ended) as error:
                raise self._lost("following its topics", error) from error
            finally:
                await reading.stop()

    async def put(self, key: bytes, value: bytes) -> bool:
        """Store a row of the table; it is on the changelog when this returns.

        Returns:
            Whether that is so. If the table was taken away meanwhile, it may or may not be: `restored` will tell.

        Raises:
            BrokerError: the broker did not store it within SEND_SECONDS, or the stream does not run.
        """
        try:
            if self._reading is None:
                raise _Ended
            async with asyncio.timeout(SEND_SECONDS):
                return await self._reading.put(key, value)
        except (KafkaError, FaustError, OSError, TimeoutError, _Ended) as error:
            raise self._lost("storing its state", error) from error

    def _app(self) -> _App:
        return _App(
            self._name, env={}, broker=[f"kafka://{server}" for server in self._broker.servers],
            broker_credentials=self._credentials(), datadir=self._folder, store="memory://",
            loop=asyncio.get_running_loop(), autodiscover=False, web_enabled=False,
            topic_allow_declare=False, topic_disable_leader=True, topic_partitions=1, table_standby_replicas=0,
            processing_guarantee="at_least_once", stream_wait_empty=False, stream_buffer_maxsize=WAITING_RECORDS,
            stream_recovery_delay=0.0, stream_processing_timeout=NEVER,
            broker_session_timeout=SESSION_SECONDS, broker_heartbeat_interval=HEARTBEAT_SECONDS,
            broker_request_timeout=REQUEST_SECONDS, broker_commit_interval=NEVER, broker_commit_every=None,
            broker_commit_livelock_soft_timeout=NEVER, consumer_auto_offset_reset="earliest", producer_acks=-1,
            producer_linger=0.0,
        )

    def _credentials(self) -> Any:
        login = self._broker.login
        return login and faust.SASLCredentials(
            username=login.user, password=login.password, ssl_context=login.context(), mechanism=MECHANISM,
        )

    def _lost(self, doing: str, error: BaseException) -> BrokerError:
        kind = type(error.__cause__ or error).__name__
        return BrokerError(f"broker {self._broker.address}: {self._name} failed at {doing} ({kind}). "
                           f"Check that it runs.")


class _Ended(Exception):
    """Faust's app has ended by itself."""


class _Reading:
    """One Faust app, from its start until its partitions are taken away or records turn out to be missing."""

    def __init__(
        self, app: _App, topics: Sequence[str], handler: Handler, looked: set[tuple[str, int]],
    ) -> None:
        self._app: Any = app
        self._handler, self._looked = handler, looked
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._held = False
        """Whether the handler has the table."""
        self._turn = asyncio.Lock()
        self._places: dict[Any, int] = {}
        """Partition → offset of the record that is due."""
        # A table is written from outside of its agent too, hence the partitioner; with one partition it has no choice.
        self._table: Any = app.Table(TABLE, partitions=1, key_type=bytes, value_type=bytes, use_partitioner=True)
        self._table.on_recover(self._restored)
        app.on_partitions_revoked.connect(self._revoked, weak=False)
        source = app.topic(*topics, key_serializer="raw", value_serializer="raw", allow_empty=True, internal=True)
        app.agent(source, name=app.conf.id)(self._follow)
        self._topics = frozenset(topics)

    async def run(self) -> None:
        """Return when it is time to begin afresh."""
        tasks = [asyncio.ensure_future(work) for work in (self._live(), self._look_out(), self._fail())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Leave the group; a broker that is gone is not waited for."""
        stopping = asyncio.ensure_future(self._app.stop())
        await asyncio.wait([stopping], timeout=CLOSE_SECONDS)
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)

    async def put(self, key: bytes, value: bytes) -> bool:
        """Store a row; an ordinary assignment would not tell whether the broker has it."""
        self._table.data[key] = value
        sent, over = self._table.send_changelog(0, key, value), asyncio.ensure_future(_wait(self._over))
        try:
            await asyncio.wait([sent, over], return_when=asyncio.FIRST_COMPLETED)
            if not sent.done():
                return False
            sent.result()
            return True
        finally:
            over.cancel()

    async def _live(self) -> None:
        async with asyncio.timeout(START_SECONDS):
            await self._app.start()
        await self._app.wait_for_stopped()
        raise _Ended from self._app.crash_reason

    async def _fail(self) -> None:
        await self._failed

    async def _look_out(self) -> None:
        """Return when it is over, or when the topics have records for which nobody waits any more."""
        before: dict[Any, int] = {}
        while not self._over.is_set():
            behind = {
                tp: place for tp, place in self._places.items()
                if self._held and (self._app.consumer.highwater(tp) or 0) > place and not self._turn.locked()
            }
            if any(before.get(tp) == place and self._missing(tp, place) for tp, place in behind.items()):
                self._begin_afresh()
            before = behind
            try:
                async with asyncio.timeout(LOOK_OUT_SECONDS):
                    await self._over.wait()
            except TimeoutError:
                pass

    def _missing(self, partition: Any, place: int) -> bool:
        """Whether a record that is due is worth a second look; once, since the broker may not have it."""
        known = (partition.topic, place) in self._looked
        self._looked.add((partition.topic, place))
        return not known

    def _begin_afresh(self) -> None:
        if self._held:  # the group also revokes nothing before it first assigns something
            self._held = False
            self._handler.suspended()
            self._over.set()

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Whatever the handler raises is ours to report: Faust would commit the record and restart the agent."""
        try:
            async with self._turn:
                await work
        except Exception as error:
            if not self._failed.done():
                self._failed.set_exception(error)

    async def _restored(self) -> None:
        await self._guarded(self._take_over())

    async def _take_over(self) -> None:
        partitions = [tp for tp in self._app.consumer.assignment() if tp.topic in self._topics]
        if not partitions:  # the group also tells a member that has to wait for its turn; its table is empty
            return
        first = await self._app.consumer.earliest_offsets(*partitions)
        self._places = {tp: first[tp] or 0 for tp in partitions}
        self._held = True
        await self._handler.restored(dict(self._table.items()))

    async def _revoked(self, *_: object, **__: object) -> None:
        self._begin_afresh()

    async def _follow(self, stream: Any) -> None:
        """The agent."""
        try:
            async for event in stream.noack().events():
                message = event.message
                due = self._places.get(message.tp, 0)
                if message.offset > due and self._missing(message.tp, due):
                    self._begin_afresh()
                if self._over.is_set() or self._failed.done():
                    return
                self._places[message.tp] = message.offset + 1
                if event.value is not None:  # no topic of ours has records without a value
                    await self._guarded(self._handler.record(message.topic, event.value))
        except Exception as error:
            if not self._failed.done():
                self._failed.set_exception(error)
            raise


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
