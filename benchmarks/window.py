"""Sums by window: each row lies in one of so many windows, all of which are wanted.

- `secret`: nobody knows in which.
- `public`: everybody does.

Contenders: `winnow` over its TLS links; `prototype` (shared/prototypes, when it lies beside this folder), which tests
every row for every window; `spu` (benchmarks.spu_nodes), which does so too, in an environment of its own.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from benchmarks import engine
from benchmarks.foreign import SPU, interpreter
from benchmarks.rows import Windowed
from benchmarks.trio import Case, Contender, measure
from mpc.groups import sums_by_group, sums_by_known_group
from mpc.share import Share
from mpc.wire import Wire

ROWS, WINDOWS = 65_536, 24
SECONDS = 600.0


class WinnowNode(engine.WinnowNode):
    """The product's engine."""

    def __init__(self, wire: Wire, count: int) -> None:
        super().__init__(wire)
        self.count = count

    async def cases(self, rows: int) -> Mapping[str, Case]:
        """See benchmarks.trio.Node."""
        data, mine = Windowed.of(rows, self.count), self.engine.number == 0
        windows, values = [
            await self.engine.input(0, column if mine else None, (rows,)) for column in (data.windows, data.values)
        ]
        values = values.reshape(1, rows)

        async def public() -> Share:
            return sums_by_known_group(data.windows, self.count, values)

        async def correct(result: Share) -> bool:
            return bool(np.array_equal((await self.engine.open(result))[:, 0].view(np.int64), data.sums))

        return {
            "secret": Case(rows, partial(sums_by_group, self.engine, windows, self.count, values), correct),
            "public": Case(rows, public, correct),
        }


class PrototypeNode(engine.PrototypeNode):
    """As its own group-by does it."""

    def __init__(self, rss: Any, count: int) -> None:
        super().__init__(rss)
        self.count = count

    async def cases(self, rows: int) -> Mapping[str, Case]:
        """See benchmarks.trio.Node."""
        data, rss = Windowed.of(rows, self.count), self.rss
        windows, values = [
            await rss.input(0, column.astype(np.uint64), (rows,)) for column in (data.windows, data.values)
        ]

        async def public() -> list[Any]:
            found = np.zeros((2, self.count), np.uint64)
            for part in (0, 1):
                np.add.at(found[part], data.windows, values[part])
            return [found]

        async def correct(result: list[Any]) -> bool:
            parts = [(await rss.reveal(each)).reshape(-1) for each in result]
            return bool(np.array_equal(np.concatenate(parts).view(np.int64), data.sums))

        return {
            "secret": Case(rows, partial(self.by_group, windows, values, self.count), correct),
            "public": Case(rows, public, correct),
        }


def contenders(count: int) -> Mapping[str, Contender]:
    """Over so many windows."""
    return {
        "winnow": partial(engine.winnow, node=partial(WinnowNode, count=count)),
        "prototype": partial(engine.prototype, node=partial(PrototypeNode, count=count)),
    }


def measure_window(rows: int | None, runs: int, count: int) -> list[dict[str, Any]]:
    """All contenders that are here."""
    found = []
    for contender in engine.present():
        timings = measure("benchmarks.window", contender, [rows or ROWS], runs, SECONDS, count)
        found += [each.row(f"{each.case}, {count} windows", contender) for each in timings]
    if python := interpreter(SPU):
        timings = measure("benchmarks.spu_nodes", "window", [rows or ROWS], runs, SECONDS, count, python)
        found += [each.row(f"{each.case}, {count} windows", "spu") for each in timings]
    return found
