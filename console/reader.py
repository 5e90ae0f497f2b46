"""Reads a recipient's account from the topics, as long as somebody wants to know it."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from evaluation.account import Account
from evaluation.config import recipient_identity
from evaluation.errors import Tampered, Unreachable
from evaluation.keys import agreed_secret, sealing_public
from evaluation.records import AnyRecord, open_record
from evaluation.results import ResultShares, open_result
from policy.agreement import Terms
from streams.broker import Broker, Consumer, watch
from streams.topics import RUNS, results

T = TypeVar("T")
POLL_SECONDS = 0.2
MOST_MESSAGES = 500
CATCH_UP_SECONDS = 60.0


class AccountReader:
    """Follows records and results from their beginning; use as `async with`.

    What somebody else wrote into the topics, or somebody who is not a node, is ignored (evaluation.account).

    Args:
        broker: where the topics are.
        terms: of the agreement.
        recipient: whose account.
        keys: folder with the recipient's `sealing` key.
        wait_ms: how long news may lie on the embedded broker (streams.broker.Consumer).
        ignored: told the topic and the reason for everything that is ignored.
    """

    def __init__(
        self, broker: Broker, terms: Terms, recipient: str, keys: Path, wait_ms: int = 0,
        ignored: Callable[[str, str], None] | None = None,
    ) -> None:
        self._broker = broker
        self._terms, self._recipient = terms, recipient
        agreed = recipient_identity(terms, recipient).sealing_key
        self._key = X25519PrivateKey.from_private_bytes(agreed_secret(keys / "sealing", sealing_public, agreed))
        self._wait_ms, self._ignored = wait_ms, ignored
        self.account = Account(terms, recipient)
        self._consumers: dict[str, Consumer] = {}
        self._read = {RUNS: 0, results(recipient): 0}
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as opening:
            for topic in self._read:
                consumer = Consumer(self._broker, topic, [0], self._wait_ms)
                self._consumers[topic] = await opening.enter_async_context(consumer)
            self._open = opening.pop_all()
        runs, sealed = self._consumers.values()
        self._tasks = [asyncio.create_task(work) for work in (
            watch(self._broker), self._follow(runs, self._open_record, self.account.add_record),
            self._follow(sealed, self._open_result, self.account.add_result),
        )]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._open.aclose()

    async def catch_up(self) -> None:
        """Read everything that is there now.

        Raises:
            Unreachable: not within CATCH_UP_SECONDS.
            BrokerError: the broker is gone.
        """
        ends = {topic: await consumer.end(0) for topic, consumer in self._consumers.items()}
        await self.wait(
            lambda: all(self._read[topic] >= end for topic, end in ends.items()) or None, CATCH_UP_SECONDS,
            lambda: f"the topics {' and '.join(ends)} could not be read to their end within {CATCH_UP_SECONDS:g} s",
        )

    async def news(self) -> None:
        """Return when something was read since this returned last.

        Raises:
            BrokerError, Tampered, MpcError: see `wait`.
        """
        await self._look_out(None)
        self._check()
        self._news.clear()

    async def wait(self, look: Callable[[], T | None], seconds: float, otherwise: Callable[[], str]) -> T:
        """Wait until a look at the account finds something, and return that.

        Args:
            look: called after every news.
            seconds: longest wait.
            otherwise: what is the matter when the time is over.

        Raises:
            Unreachable: when the time is over.
            BrokerError, Tampered, MpcError: the broker is gone, or results do not fit.
        """
        limit = time.monotonic() + seconds
        while True:
            self._news.clear()
            self._check()
            found = look()
            if found is not None:
                return found
            left = limit - time.monotonic()
            if left <= 0:
                raise Unreachable(otherwise())
            await self._look_out(left)

    async def _look_out(self, seconds: float | None) -> None:
        """Wait for news, or the end of a task."""
        waiting = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait([waiting, *self._tasks], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    def _check(self) -> None:
        """Raise what ended a task."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def _follow(self, consumer: Consumer, opened: Callable[[bytes], T], take: Callable[[T], None]) -> None:
        while True:
            for message in await consumer.poll(POLL_SECONDS, MOST_MESSAGES):
                try:
                    found = opened(message.value)
                except Tampered as error:
                    # Anybody who can reach the broker can write here; only what a node signed is believed.
                    if self._ignored is not None:
                        self._ignored(consumer.topic, str(error))
                else:
                    take(found)
                self._read[consumer.topic] = message.offset + 1
                self._news.set()

    def _open_record(self, message: bytes) -> AnyRecord:
        return open_record(message, self._terms)

    def _open_result(self, message: bytes) -> ResultShares:
        return open_result(message, self._recipient, self._key, self._terms)
