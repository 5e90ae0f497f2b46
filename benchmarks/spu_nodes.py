"""SPU, ABY3 on its 64-bit ring: three processes over its own links (brpc on loopback, without TLS).

Runs in an environment of its own (benchmarks.foreign). Programs are compiled before they are timed. It is told of no
declared range. It has no shuffle; a sort by a secret key would do more.
"""

import pickle
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import spu
from numpy.typing import NDArray
from spu import libspu
from spu.utils import frontend

from benchmarks.rows import GROUPS, Rows, Windowed, agrees
from benchmarks.trio import NODES, Case, Contender, Place

SECRET, PUBLIC = libspu.Visibility.VIS_SECRET, libspu.Visibility.VIS_PUBLIC
RESULT = "result"
Columns = Mapping[str, NDArray[np.int64]]


class SpuNode:
    """One of the three."""

    def __init__(self, place: Place) -> None:
        self.number = place.number
        parties = libspu.link.Desc()
        for number, port in enumerate(place.ports):
            parties.add_party(f"node-{number}", f"127.0.0.1:{port}")
        self.link = libspu.link.create_brpc(parties, place.number)
        config = libspu.RuntimeConfig(protocol=libspu.ProtocolKind.ABY3, field=libspu.FieldType.FM64)
        self.io, self.runtime = spu.Io(NODES, config), spu.Runtime(self.link, config)

    async def barrier(self) -> None:
        """See benchmarks.trio.Node."""
        self.link.barrier()

    def sent(self) -> None:
        """It does not tell."""

    def share(self, columns: Columns, public: str | None = None) -> None:
        """The first process deals shares of what all know, but for a public column."""
        for name, column in columns.items():
            if name == public:
                mine = self.io.make_shares(column, PUBLIC)[self.number]
            elif self.number == 0:
                mine, *others = self.io.make_shares(column, SECRET)
                for peer, share in enumerate(others, 1):
                    self.link.send(peer, pickle.dumps(share))
            else:
                mine = pickle.loads(self.link.recv(0))
            self.runtime.set_var(name, mine)

    def program(self, work: Callable[..., Any], columns: Columns, names: tuple[str, ...], public: str | None) -> Any:
        """`work` of the named columns, compiled."""
        seen = [PUBLIC if name == public else SECRET for name in names]
        return frontend.compile(
            frontend.Kind.JAX, work, [columns[name] for name in names], {}, list(names), seen, lambda _: [RESULT]
        )[0]

    def revealed(self) -> NDArray[Any]:
        """The last result, to all."""
        shares = {self.number: self.runtime.get_var(RESULT)}
        peers = [peer for peer in range(NODES) if peer != self.number]
        for peer in peers:
            self.link.send(peer, pickle.dumps(shares[self.number]))
        shares |= {peer: pickle.loads(self.link.recv(peer)) for peer in peers}
        return np.asarray(self.io.reconstruct([shares[number] for number in range(NODES)]))

    def case(self, name: str, program: Any, rows: int, expected: Columns) -> Case:
        """A compiled program to time."""

        async def work() -> None:
            self.runtime.run(program)

        async def correct(_: None) -> bool:
            return agrees(name, self.revealed(), expected)

        return Case(rows, work, correct)


def sums(groups: Any, values: Any, count: int) -> Any:
    """Each row is tested for each group."""
    return jnp.dot((groups[None, :] == jnp.arange(count)[:, None]).astype(jnp.int64), values)


class EngineNode(SpuNode):
    """Cases of `engine`."""

    async def cases(self, rows: int) -> Mapping[str, Case]:
        """See benchmarks.trio.Node."""
        data = Rows.of(rows)
        columns = data._asdict()
        self.share(columns)
        work: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
            "multiply": (lambda x, y: x * y, ("x", "y")), "less": (lambda x, y: x < y, ("x", "y")),
            "equal-zero": (lambda z: z == 0, ("z",)), "inner": (jnp.dot, ("x", "y")),
            "group-by-8": (partial(sums, count=GROUPS), ("groups", "y")),
            "indicator-sum": (jnp.dot, ("indicator", "y")),
        }
        expected = data.expected()
        return {
            name: self.case(name, self.program(each, columns, names, None), rows, expected)
            for name, (each, names) in work.items()
        }


class WindowNode(SpuNode):
    """Cases of `window`: the same program, by columns that are secret or public."""

    count: int

    async def cases(self, rows: int) -> Mapping[str, Case]:
        """See benchmarks.trio.Node."""
        data = Windowed.of(rows, self.count)
        columns = {"secret": data.windows, "public": data.windows, "values": data.values}
        self.share(columns, "public")
        expected = {"secret": data.sums, "public": data.sums}
        work = partial(sums, count=self.count)
        return {
            name: self.case(name, self.program(work, columns, (name, "values"), "public"), rows, expected)
            for name in ("secret", "public")
        }


def contenders(count: int) -> Mapping[str, Contender]:
    """By benchmark; over so many windows."""

    def of(kind: type[EngineNode] | type[WindowNode]) -> Contender:
        @asynccontextmanager
        async def one(place: Place) -> AsyncIterator[Any]:
            jax.config.update("jax_enable_x64", True)
            node = kind(place)
            if isinstance(node, WindowNode):
                node.count = count
            yield node
            node.link.stop_link()

        return one

    return {"engine": of(EngineNode), "window": of(WindowNode)}
