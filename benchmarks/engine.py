"""The ring engine's operations, beside the prototype, MPyC and SPU: three processes on loopback.

Rows are random: x and y below 2^30, which is declared; z below 1,000; a secret group of eight; a secret 0 or 1.

- `multiply` x·y, `less` x < y, `equal-zero` z = 0, each for every row; `inner` Σ x·y; `shuffle` x in a secret order,
  drawn each time; `group-by-8` Σ y by group; `indicator-sum` Σ y where the indicator is 1.
- `less-undeclared`, `equal-zero-undeclared`: without a declared range, 62 bits.

Contenders: `winnow` over its TLS links; the others over bare sockets: `prototype` (shared/prototypes, when it lies
beside this folder); `mpyc`, plain, of 10^5 rows and its comparisons of 10^4 at most; `spu`, ABY3 on a 64-bit ring, in
an environment of its own that is made at first use, unless it cannot be. The first two take turns, three each.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np

from benchmarks.foreign import SPU, interpreter
from benchmarks.rows import DECLARED, GROUPS, Rows, agrees
from benchmarks.trio import NODES, ROOT, Case, Contender, Place, measure
from benchmarks.turns import in_turns
from mpc.allocation import keep_freed_memory
from mpc.engine import Engine
from mpc.groups import sums_by_group
from mpc.identity import create_identity, load_identity
from mpc.share import Share
from mpc.transport import NodeAddress, NodeLinks
from mpc.wire import Wire

PROTOTYPES = ROOT.parent / "shared" / "prototypes"
SIZES = (100_000, 1_000_000)
MOST_OF_MPYC = 100_000
SECONDS = 900.0
OFTEN = {"multiply": 10, "inner": 30, "indicator-sum": 30}
"""What is over within milliseconds is repeated so many times as often, at every contender."""
T = TypeVar("T")
STALL_SECONDS = 120.0


class Counted:
    """A wire that counts what it and its channels send."""

    def __init__(self, wire: Wire, whole: "Counted | None" = None) -> None:
        self._wire, self._whole, self.sent_bytes = wire, whole or self, 0
        self._forward, self.drain, self.receive = wire.send, wire.drain, wire.receive

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)

    def channel(self, number: int) -> "Counted":
        return Counted(self._wire.channel(number), self._whole)

    def send(self, peer: int, label: int, payload: bytes | memoryview) -> None:
        self._whole.sent_bytes += memoryview(payload).nbytes
        self._forward(peer, label, payload)


class WinnowNode:
    """The product's engine."""

    def __init__(self, wire: Wire) -> None:
        self._wire = Counted(wire)
        self.engine = Engine(cast("Wire", self._wire))

    async def barrier(self) -> None:
        """See Node."""
        await self.engine.verify()

    def sent(self) -> int:
        """See Node."""
        return self._wire.sent_bytes

    async def cases(self, rows: int) -> Mapping[str, Case]:
        """See Node."""
        engine, data = self.engine, Rows.of(rows)
        expected = data.expected()
        x, y, z, groups, indicator = [
            await engine.input(0, column if engine.number == 0 else None, (rows,)) for column in data
        ]
        small = {"x": x.bounded(DECLARED - 1), "y": y.bounded(DECLARED - 1), "z": z.bounded(999)}

        async def shuffled() -> Share:
            return await engine.shuffle(x, await engine.random_permutation(rows))

        work: dict[str, Callable[[], Awaitable[Share]]] = {
            "multiply": partial(engine.multiply, x, y), "less": partial(engine.less, small["x"], small["y"]),
            "less-undeclared": partial(engine.less, x, y), "equal-zero": partial(engine.equal_zero, small["z"]),
            "equal-zero-undeclared": partial(engine.equal_zero, z), "inner": partial(engine.inner, x, y),
            "shuffle": shuffled, "group-by-8": partial(sums_by_group, engine, groups, GROUPS, y.reshape(1, rows)),
            "indicator-sum": partial(engine.inner, indicator, y),
        }

        async def correct(name: str, result: Share) -> bool:
            return agrees(name, await engine.open(result), expected)

        return {name: Case(rows, run, partial(correct, name)) for name, run in work.items()}


@asynccontextmanager
async def linked(place: Place) -> AsyncIterator[NodeLinks]:
    """This process' links to the other two, once their certificates are there; its memory is set as a node's."""
    keep_freed_memory()
    create_identity(place.folder, f"node-{place.number}")
    nodes: list[NodeAddress] = []
    while len(nodes) < NODES:
        number = len(nodes)
        try:
            fingerprint = load_identity(place.folder, f"node-{number}").fingerprint
        except (OSError, ValueError):
            await asyncio.sleep(0.05)
        else:
            nodes.append(NodeAddress(f"127.0.0.1:{place.ports[number]}", fingerprint))
    async with NodeLinks(place.number, nodes, load_identity(place.folder, f"node-{place.number}")) as links:
        yield links


@asynccontextmanager
async def attempted(node: Callable[[NodeLinks, Wire], T], place: Place) -> AsyncIterator[T]:
    """A node over its links, which makes attempts of its own; one attempt for what is not timed."""
    async with linked(place) as links, links.attempt(b"benchmark", STALL_SECONDS) as wire:
        yield node(links, wire)


@asynccontextmanager
async def winnow(place: Place, node: Callable[[Wire], WinnowNode] = WinnowNode) -> AsyncIterator[WinnowNode]:
    """Over TLS, as in production."""
    async with linked(place) as links, links.attempt(b"benchmark", STALL_SECONDS) as wire:
        yield node(wire)


class PrototypeNode:
    """shared/prototypes/rss.py: bare sockets, one key stream a pair."""

    def __init__(self, rss: Any) -> None:
        self.rss = rss

    async def barrier(self) -> None:
        """See Node."""
        await self.rss.sync()

    def sent(self) -> int:
        """See Node."""
        return int(self.rss.net.sent)

    async def cases(self, rows: int) -> Mapping[str, Case]:
        """See Node; written as its own benchmark writes them."""
        rss, data = self.rss, Rows.of(rows)
        expected = data.expected()
        x, y, z, groups, indicator = [
            await rss.input(0, column.astype(np.uint64), (rows,)) for column in data
        ]

        work = {
            "multiply": partial(rss.mul, x, y), "less": partial(rss.lt, x, y), "equal-zero": partial(rss.eqz, z),
            "inner": partial(rss.matmulT, x[:, :, None], y[:, :, None]), "shuffle": partial(rss.shuffle, x[:, None, :]),
            "group-by-8": partial(self.by_group, groups, y, GROUPS),
            "indicator-sum": partial(rss.matmulT, indicator[:, :, None], y[:, :, None]),
        }

        async def correct(name: str, result: Any) -> bool:
            parts = result if isinstance(result, list) else [result]
            return agrees(name, np.concatenate([(await rss.reveal(each)).reshape(-1) for each in parts]), expected)

        return {name: Case(rows, run, partial(correct, name)) for name, run in work.items()}

    async def by_group(self, groups: Any, values: Any, count: int) -> list[Any]:
        """Each row tested for each group."""
        found = []
        for group in range(count):
            moved = groups.copy()
            if self.rss.me == 0:
                moved[0] -= np.uint64(group)
            if self.rss.me == 2:
                moved[1] -= np.uint64(group)
            equal = await self.rss.eqz(moved)
            found.append(await self.rss.matmulT(equal[:, :, None], values[:, :, None]))
        return found


@asynccontextmanager
async def prototype(
    place: Place, node: Callable[[Any], PrototypeNode] = PrototypeNode
) -> AsyncIterator[PrototypeNode]:
    """It listens at three neighbouring ports, of which the first one is given."""
    sys.path.insert(0, str(PROTOTYPES))
    import rss  # type: ignore[import-not-found]  # only where the prototypes are

    one = rss.RSS(place.number, place.ports[0])
    await one.start()
    yield node(one)


def present() -> tuple[str, ...]:
    """Contenders of benchmarks with a prototype: that too if it lies beside this folder; else it says so on stderr."""
    if (PROTOTYPES / "rss.py").is_file():
        return "winnow", "prototype"
    sys.stderr.write("prototype: not beside this folder, left out\n")
    return ("winnow",)


def contenders(_: int) -> Mapping[str, Contender]:
    """All that run as three processes."""
    return {"winnow": winnow, "prototype": prototype}


def measure_engine(rows: int | None, runs: int) -> list[dict[str, Any]]:
    """All contenders that are here, over the sizes, or `rows` alone."""
    sizes = SIZES if rows is None else (rows,)
    timed = partial(measure, seconds=SECONDS, argument=GROUPS, often=OFTEN)
    each = {name: partial(timed, "benchmarks.engine", name, sizes) for name in present()}
    found = in_turns(each, runs)
    found["mpyc"] = timed("benchmarks.mpyc_nodes", "mpyc", [min(*sizes, MOST_OF_MPYC)], runs)
    if python := interpreter(SPU):
        found["spu"] = timed("benchmarks.spu_nodes", "engine", sizes, runs, python=python)
    return [timing.row(timing.case, name) for name, timings in found.items() for timing in timings]
