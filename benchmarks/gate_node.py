"""A node that times its own gate: `python -m benchmarks.gate_node CONFIG.toml`; all it computes is the product's.

In every attempt it adds up how long something of the gate was under way: a read of the chain, a rule, waiting for an
authorisation (`GATE`); and the same with the exchange of verdicts, in which a node also waits for the slowest of the
three (`VERDICTS`). What is under way at once counts once. Both stand beside the phases in the record of the run.
"""

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import evaluation.run
from evaluation.coordination import Council
from evaluation.desk import Desk
from evaluation.node import main
from evaluation.run import NodeRun
from policy.chain.reader import RegistryReader
from policy.chain.registry import Registry

GATE, VERDICTS = "gate", "gate and verdicts"
READS = ("block", "view", "authorisations", "wait_authorised")


class Clock:
    """Seconds in which at least one thing was under way."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._pending, self._since = 0, 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Something is under way."""
        if self._pending == 0:
            self._since = time.perf_counter()
        self._pending += 1
        try:
            yield
        finally:
            self._pending -= 1
            if self._pending == 0:
                self.seconds += time.perf_counter() - self._since


_CLOCKS: ContextVar[tuple[Clock, Clock] | None] = ContextVar("clocks", default=None)
"""Of the attempt under way. What an attempt leaves running, such as its attestation, has the clocks of that attempt."""


@contextmanager
def _asking(*, reads: bool) -> Iterator[None]:
    clocks = _CLOCKS.get()
    if clocks is None:
        yield
        return
    gate, verdicts = clocks
    with verdicts.running():
        if reads:
            with gate.running():
                yield
        else:
            yield


def timed(owner: Any, name: str, *, reads: bool = True) -> None:
    """Time every call of a coroutine function."""
    plain: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(plain)
    async def asked(*arguments: Any, **named: Any) -> Any:
        with _asking(reads=reads):
            return await plain(*arguments, **named)

    setattr(owner, name, asked)


def watch() -> None:
    """Time the gate of every attempt in this process from now on."""
    rules = vars(evaluation.run)
    attempt, done, checked = Desk.attempt, NodeRun._done, rules["checked"]  # noqa: SLF001

    async def attempted(self: Desk, wire: Any) -> bool:
        token = _CLOCKS.set((Clock(), Clock()))
        try:
            return await attempt(self, wire)
        finally:
            _CLOCKS.reset(token)

    def told(self: NodeRun, *arguments: Any, **named: Any) -> Any:
        gate, verdicts = _CLOCKS.get() or (Clock(), Clock())
        self._seconds |= {GATE: round(gate.seconds, 4), VERDICTS: round(verdicts.seconds, 4)}
        return done(self, *arguments, **named)

    def ruled(*arguments: Any) -> Any:
        with _asking(reads=True):
            return checked(*arguments)

    rules["checked"] = ruled
    Desk.attempt, NodeRun._done = attempted, told  # type: ignore[method-assign] # noqa: SLF001
    for name in READS:
        timed(RegistryReader, name)
    timed(Registry, "authorise")
    timed(NodeRun, "latest")
    timed(Council, "agree", reads=False)


if __name__ == "__main__":
    watch()
    sys.exit(main(Path(sys.argv[1])))
