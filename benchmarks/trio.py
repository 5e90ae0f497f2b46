"""Three processes that compute together, one a node, and how long that takes.

`measure` starts `python -m benchmarks.trio …` three times. What is timed starts behind a barrier and lasts from when
the last process begins to when the last one has its result; before that the results are checked. Clocks are the
machine's monotonic one, which its processes share.
"""

import asyncio
import importlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from benchmarks.report import case as result
from infra.local.children import free_port, spawn_tied, stop_all

NODES = 3
KIB_PER_MIB = 1024
ROOT = Path(__file__).resolve().parents[1]


class Place(NamedTuple):
    """Which of the three a process is, and where the others are."""

    number: int
    folder: Path
    ports: tuple[int, ...]
    """On loopback, as many as there are processes."""


class Case(NamedTuple):
    """Something to time."""

    rows: int
    work: Callable[[], Awaitable[Any]]
    correct: Callable[[Any], Awaitable[bool]]
    """Whether the work's result is right; all nodes ask together."""


class Node(Protocol):
    """One contender at one node, linked to the other two."""

    async def barrier(self) -> None:
        """Return when all three are here."""

    async def cases(self, rows: int) -> Mapping[str, Case]:
        """What it can do, by name, equal at all nodes."""

    def sent(self) -> int | None:
        """Bytes sent so far; None: it does not tell."""


Contender = Callable[[Place], AbstractAsyncContextManager[Node]]


@dataclass(frozen=True)
class Timing:
    """Of one case and contender."""

    case: str
    rows: int
    seconds: tuple[float, ...]
    bytes_a_row: float | None
    """Sent by the node that sends most."""
    peak_mib: int
    """Resident memory of the largest process so far, at its largest."""

    def row(self, case: str, contender: str) -> dict[str, Any]:
        """The result as a benchmark shows it."""
        row = result(case, contender, self.rows, self.seconds, digits=5)
        return row if self.bytes_a_row is None else {**row, "bytes_per_row": self.bytes_a_row}


def measure(
    module: str, contender: str, sizes: Sequence[int], runs: int, seconds: float, argument: int,
    python: str = sys.executable, processes: int = NODES, often: Mapping[str, int] = MappingProxyType({}),
) -> list[Timing]:
    """Run `contenders(argument)[contender]` of a module, a size after another.

    Args:
        module: name of an importable module.
        contender: one of its contenders.
        sizes: rows.
        runs: repetitions after one that warms up and is checked.
        seconds: for all of it.
        argument: for the module.
        python: the interpreter of the processes.
        processes: with helpers that a contender needs.
        often: by case, how many times as many repetitions: a few of what is over at once say little.

    Raises:
        RuntimeError: a process failed, a result was wrong, or time ran out.
    """
    with tempfile.TemporaryDirectory(prefix="winnow-benchmark-") as folder:
        ports = [str(free_port()) for _ in range(processes)]
        log = Path(folder) / "log"
        children = [
            spawn_tied(
                [python, "-m", "benchmarks.trio", module, contender, str(number), folder, ",".join(ports),
                 ",".join(map(str, sizes)), str(runs), str(argument), json.dumps(dict(often))],
                log, ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, pipe=True,
            )
            for number in range(processes)
        ]
        try:
            outputs = [process.communicate(timeout=seconds)[0].splitlines() for process in children]
        finally:
            stop_all(children)
        if any(process.returncode for process in children):
            raise RuntimeError(f"{module} {contender}: {log.read_text()[-2000:]}")
    found = [json.loads(lines[-1]) for lines in outputs]  # before it, contenders may print
    return [_merged(parts) for parts in zip(*found, strict=True)]


def _merged(parts: Sequence[dict[str, Any]]) -> Timing:
    begins, ends = ([each[key] for each in parts] for key in ("begins", "ends"))
    starts, stops = (map(max, *each) for each in (begins, ends))
    seconds = tuple(stop - start for start, stop in zip(starts, stops, strict=True))
    rows, sent = parts[0]["rows"], [each["sent"] for each in parts]
    bytes_a_row = None if None in sent else round(max(sent) / rows, 2)
    return Timing(parts[0]["case"], rows, seconds, bytes_a_row, max(each["peak"] for each in parts))


async def _node(
    contender: Contender, place: Place, sizes: Sequence[int], runs: int, often: Mapping[str, int],
) -> list[dict[str, Any]]:
    found = []
    async with contender(place) as node:
        for size in sizes:
            for name, (rows, work, correct) in (await node.cases(size)).items():
                if not await correct(await work()):
                    raise RuntimeError(f"{name} of {rows} rows: a wrong result")
                begins, ends, before, repetitions = [], [], node.sent(), runs * often.get(name, 1)
                for _ in range(repetitions):
                    await node.barrier()
                    begins.append(time.monotonic())
                    await work()
                    ends.append(time.monotonic())
                after = node.sent()
                sent = None if before is None or after is None else (after - before) / repetitions
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // KIB_PER_MIB
                found.append({"case": name, "rows": rows, "begins": begins, "ends": ends, "sent": sent, "peak": peak})
    return found


def main() -> None:
    """One of the three processes."""
    module, name, number, folder, ports, sizes, runs, argument, often = sys.argv[1:]
    place = Place(int(number), Path(folder), tuple(map(int, ports.split(","))))
    contender: Contender = importlib.import_module(module).contenders(int(argument))[name]
    found = asyncio.run(
        _node(contender, place, [int(size) for size in sizes.split(",")], int(runs), json.loads(often))
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
