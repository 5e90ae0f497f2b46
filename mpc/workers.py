"""Shards side by side: a node computes for several at a time, each on a channel of its own, in threads of its own.

Which shards are worked on together is the same at all three nodes; in how many threads is each node's own business.
numpy, files and ciphers let other threads work meanwhile. Messages of all threads pass through the event loop that
the links belong to.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from mpc.engine import Engine
from mpc.errors import MpcError
from mpc.wire import Payload, Wire

MAX_WORKERS = 64
FIRST_CHANNEL = 1 << 8
"""Shard s has channel FIRST_CHANNEL + s."""
ROWS_TOGETHER = 1 << 18
"""Rows of the shards that are worked on together, unless one has more."""
END_SECONDS = 10.0
"""For what all threads are at when they are told to end; who takes longer ends with the process."""

T = TypeVar("T")


class Workers:
    """Threads that compute, each with an event loop. Use as `with Workers(…) as workers`.

    With one worker there is no thread: all is done where it is asked for.
    """

    def __init__(self, count: int = 1) -> None:
        """`count`: 1..MAX_WORKERS.

        Raises: ValueError when out of bounds.
        """
        if not 1 <= count <= MAX_WORKERS:
            raise ValueError(f"{count} workers; expected 1 to {MAX_WORKERS}")
        self._count = count
        self._loops: list[asyncio.AbstractEventLoop] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        for number in range(self._count if self._count > 1 else 0):
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_serve, args=(loop,), name=f"mpc-{number}", daemon=True)
            thread.start()
            self._loops.append(loop)
            self._threads.append(thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
    ) -> None:
        for loop in self._loops:
            loop.call_soon_threadsafe(loop.stop)
        limit = time.monotonic() + END_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, limit - time.monotonic()))
        self._loops, self._threads = [], []

    def wire(self, wire: Wire) -> Wire:
        """A wire for programs that `run`; call this where the wire's own loop runs."""
        return _FromThread(wire, asyncio.get_running_loop()) if self._loops else wire

    async def run(self, place: int, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Begin work here and run it in the thread that has `place`; places are shared out evenly."""
        if not self._loops:
            return await begin()
        return await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(begin(), self._loops[place % len(self._loops)])
        )


class ShardEngines:
    """The engines of one attempt: the main one, and one for each shard."""

    def __init__(self, wire: Wire, workers: Workers) -> None:
        self.main = Engine(wire)
        """For what concerns all shards, and for every opening but that of tags."""
        self._wire, self._workers = wire, workers
        self._engines: dict[int, Engine] = {}

    async def each(self, programs: Mapping[int, Callable[[Engine], Coroutine[Any, Any, T]]]) -> dict[int, T]:
        """Run a program for each shard, all side by side; when one fails the others are ended, and its error raised.

        Programs are called here, their coroutines run in threads: what other threads may not touch is read by the call.
        A thread that is told to end finishes its step, unheard. Afterwards the main engine has taken in what these
        shards' did, so that its next opening compares that.
        """
        tasks = {
            shard: asyncio.create_task(self._workers.run(shard, partial(program, self._engine(shard))))
            for shard, program in programs.items()
        }
        try:
            await asyncio.gather(*tasks.values())
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        for shard in tasks:
            self.main.absorb(self._engines[shard])
        return {shard: task.result() for shard, task in tasks.items()}

    def _engine(self, shard: int) -> Engine:
        if shard not in self._engines:
            channel = self._wire.channel(FIRST_CHANNEL + shard)
            self._engines[shard] = Engine(self._workers.wire(channel))
        return self._engines[shard]


def together(rows: Mapping[int, int]) -> list[list[int]]:
    """Shards in groups of at most ROWS_TOGETHER rows, or of one shard; the same at all nodes."""
    groups: list[list[int]] = []
    left = 0
    for shard, size in rows.items():
        if not groups or size > left:
            groups.append([])
            left = ROWS_TOGETHER
        groups[-1].append(shard)
        left -= size
    return groups


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """A thread's life: what is asked for, until it is told to end."""
    asyncio.set_event_loop(loop)
    loop.run_forever()
    unfinished = asyncio.all_tasks(loop)
    for task in unfinished:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*unfinished, return_exceptions=True))
    loop.close()


class _FromThread:
    """A `Wire` for another thread than that of the wire's event loop."""

    def __init__(self, wire: Wire, home: asyncio.AbstractEventLoop) -> None:
        self._wire, self._home = wire, home

    @property
    def number(self) -> int:
        return self._wire.number

    @property
    def attempt(self) -> bytes:
        return self._wire.attempt

    @property
    def messages(self) -> int:
        return self._wire.messages

    def pair_key(self, peer: int, purpose: bytes) -> bytes:
        return self._wire.pair_key(peer, purpose)

    def send(self, peer: int, label: int, payload: bytes | memoryview) -> None:
        """Hand over to the loop, in order; what is refused ends the attempt, so the next wait raises it."""
        self._home.call_soon_threadsafe(self._send, peer, label, payload)

    def _send(self, peer: int, label: int, payload: bytes | memoryview) -> None:
        try:
            self._wire.send(peer, label, payload)
        except MpcError as error:
            self._wire.fail(error)

    async def drain(self) -> None:
        await self._there(self._wire.drain())

    async def receive(self, peer: int, label: int, room: memoryview | None = None) -> Payload:
        return await self._there(self._wire.receive(peer, label, room))

    def channel(self, number: int) -> "_FromThread":
        return _FromThread(self._wire.channel(number), self._home)

    def fail(self, error: Exception) -> None:
        self._home.call_soon_threadsafe(self._wire.fail, error)

    async def _there(self, waiting: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(waiting, self._home))
