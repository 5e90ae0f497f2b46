"""Connections of aiokafka's clients: when a client was left, by whatever way, none of its connections is open.

aiokafka loses connections when whoever waits for it is cancelled: `bootstrap` the one on which it asks for the cluster,
`connect` one whose handshake it breaks off, `Fetcher.close` the tasks after the first. So every connection is
remembered from its beginning to its end, and closing is not interrupted. Closing does not wait for TLS's farewell
either, which comes when the broker has answered the fetch that is under way: whatever was sent is acknowledged by then.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any
from weakref import WeakValueDictionary

import aiokafka.client
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError

CLOSE_SECONDS = 1.0
"""Everything sent was acknowledged by then; a broker that is gone is not waited for."""


class _Connection(AIOKafkaConnection):  # type: ignore[misc]
    """Knows when it has ended, which aiokafka forgets when it begins to close it."""

    begun: asyncio.Task[Any]
    stream: asyncio.StreamWriter | None = None
    """Of a connection that was told to close."""
    gone: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Task[Any]:
        self.begun = asyncio.ensure_future(self.connect())
        # Whoever waits for it may be gone by then.
        self.begun.add_done_callback(lambda begun: begun.cancelled() or begun.exception())
        return self.begun

    def close(self, reason: Any = None, exc: Any = None) -> Any:
        if self._writer is not None:
            self.stream, self.gone = self._writer, asyncio.ensure_future(_gone(self._writer))
            self._writer.transport.abort()
        return super().close(reason, exc)

    @property
    def over(self) -> bool:
        """Whether it is closed to the end, or never came to be."""
        return self.begun.done() and (self.gone.done() if self.gone is not None else self._writer is None)


class Connections:
    """The connections of one client, which gets `client_id` as its name."""

    def __init__(self) -> None:
        self.client_id = f"{_OURS}{next(_NUMBERS)}"
        self._known: set[_Connection] = set()
        self._over = False
        _BY_CLIENT[self.client_id] = self

    async def connect(self, host: str, port: int, settings: dict[str, Any]) -> AIOKafkaConnection:
        """A new connection; once begun it is not broken off, since what its handshake leaves could not be closed.

        Raises:
            KafkaError, OSError, TimeoutError: not connected, or the client is closed.
        """
        if self._over:
            raise KafkaConnectionError(f"{self.client_id} is closed")
        self._known = {known for known in self._known if not known.over}
        connection = _Connection(host, port, **settings)
        begun = connection.begin()
        self._known.add(connection)
        try:
            await asyncio.shield(begun)
        except asyncio.CancelledError:
            begun.add_done_callback(lambda _: connection.close())
            raise
        return connection

    async def close(self, *stops: Callable[[], Awaitable[Any]]) -> None:
        """Call what stops the client, and close what is left, within CLOSE_SECONDS each; go on if cancelled meanwhile.

        aiokafka's own way to stop leaks the cancellation of its tasks, which in our task would look like our own.
        """
        await _uninterrupted(self._close(stops))

    async def _close(self, stops: Iterable[Callable[[], Awaitable[Any]]]) -> None:
        for stop in stops:
            await _within(asyncio.ensure_future(stop()))
        self._over = True
        await _within(*(known.begun for known in self._known))
        for connection in self._known:
            connection.close()
        await _ended(known.stream for known in self._known if known.stream is not None)


async def leave(opening: asyncio.Task[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> bool:
    """Close what is being opened, however far it is; go on if cancelled meanwhile. Returns whether it was open."""
    await _uninterrupted(_leave(opening))
    return not opening.cancelled() and opening.exception() is None


async def _leave(opening: asyncio.Task[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
    await _within(opening)
    if not opening.cancelled() and opening.exception() is None:
        await _ended([opening.result()[1]])


async def _ended(streams: Iterable[asyncio.StreamWriter]) -> None:
    """Close streams, and wait until they are; those that are not after CLOSE_SECONDS are broken off."""
    waiting = {}
    for stream in streams:
        stream.close()
        waiting[asyncio.ensure_future(_gone(stream))] = stream
    if waiting:
        _, late = await asyncio.wait(waiting, timeout=CLOSE_SECONDS)
        for task in late:
            waiting[task].transport.abort()
        await asyncio.gather(*waiting)


async def _gone(stream: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await stream.wait_closed()


async def _within(*tasks: asyncio.Task[Any]) -> None:
    """Wait for tasks for CLOSE_SECONDS, then cancel them."""
    if tasks:
        await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _uninterrupted(work: Coroutine[Any, Any, None]) -> None:
    """Do `work`, which is bounded, to its end; a cancellation meanwhile is raised after it."""
    task, cancelled = asyncio.ensure_future(work), None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()


async def _connect(host: str, port: int, **settings: Any) -> AIOKafkaConnection:
    """In place of aiokafka's function of the same arguments."""
    client = settings["client_id"]
    if not client.startswith(_OURS):
        return await _CREATE(host, port, **settings)
    connections = _BY_CLIENT.get(client)
    if connections is None:
        raise KafkaConnectionError(f"{client} is closed")
    return await connections.connect(host, port, settings)


_OURS = "winnow-"
_NUMBERS = itertools.count()
_BY_CLIENT: WeakValueDictionary[str, Connections] = WeakValueDictionary()
_CREATE = aiokafka.client.create_conn
# The one place where its clients make connections; it offers none to take part in it.
aiokafka.client.create_conn = _connect
