"""Plain MPyC as a contender: three processes over its own links on loopback, without TLS.

Each case has the field that suits it best: Mersenne primes that hold the result where no comparison needs head room,
integers of the declared range for comparisons, with MPyC's own statistical security of 30 bits.

The product's only use of MPyC is caged in mpc.tail; none of that is used here.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import numpy as np

from benchmarks.rows import DECLARED, Ints, Rows, agrees
from benchmarks.trio import Case, Contender, Place

MOST_COMPARISONS = 10_000
PRODUCT, SUM = 2**61 - 1, 2**89 - 1
"""Prime fields: of a product of two rows; of the sum of 2^20 of them."""


class MpycNode:
    """One of the three."""

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime

    async def barrier(self) -> None:
        """See benchmarks.trio.Node."""
        await self.runtime.transfer(self.runtime.pid)

    def sent(self) -> int:
        """See benchmarks.trio.Node."""
        peers = (party for party in self.runtime.parties if party.pid != self.runtime.pid)
        return sum(peer.protocol.nbytes_sent for peer in peers)

    async def cases(self, rows: int) -> Mapping[str, Case]:
        """See benchmarks.trio.Node; comparisons are of 10^4 rows at most."""
        rt, few = self.runtime, min(rows, MOST_COMPARISONS)
        product, total = rt.SecFld(PRODUCT), rt.SecFld(SUM)
        declared, below_1024 = rt.SecInt(DECLARED.bit_length()), rt.SecInt(11)
        many, less = Rows.of(rows), Rows.of(few)
        work: dict[str, tuple[Rows, Callable[[], Any]]] = {
            "multiply": (many, partial(rt.np_multiply, *[await self.shared(product, each) for each in many[:2]])),
            "inner": (many, partial(rt.np_matmul, *[await self.shared(total, each) for each in many[:2]])),
            "less": (less, partial(rt.np_less, *[await self.shared(declared, each) for each in less[:2]])),
            "equal-zero": (less, partial(rt.np_equal, await self.shared(below_1024, less.z), 0)),
        }
        return {name: self.case(name, data, run) for name, (data, run) in work.items()}

    async def shared(self, kind: Any, column: Ints) -> Any:
        """A column that the first process deals."""
        found = self.runtime.input(kind.array(column.astype(object)), senders=0)
        await self.runtime.gather(found)
        return found

    def case(self, name: str, data: Rows, run: Callable[[], Any]) -> Case:
        """One to time, until this process has its shares of the result."""

        async def work() -> Any:
            found = run()
            await self.runtime.gather(found)
            return found

        async def correct(found: Any) -> bool:
            values = np.asarray(await self.runtime.output(found), object).reshape(-1)
            modulo = np.array([int(value) % 2**64 for value in values], np.uint64)
            return agrees(name, modulo, data.expected())

        return Case(len(data.x), work, correct)


async def connect(runtime: Any) -> None:
    """As its own `start` does, which would listen on every interface."""
    from mpyc.asyncoro import MessageExchanger

    loop, me = asyncio.get_running_loop(), runtime.parties[runtime.pid]
    me.protocol = loop.create_future()
    server = await loop.create_server(lambda: MessageExchanger(runtime), "127.0.0.1", me.port)
    for peer in runtime.parties[runtime.pid + 1 :]:
        link = partial(MessageExchanger, runtime, peer.pid)
        await _until_it_listens(partial(loop.create_connection, link, peer.host, peer.port))
    await me.protocol
    server.close()
    runtime.start_time = time.time()  # its shutdown wants it


async def _until_it_listens(once: Callable[[], Awaitable[Any]]) -> None:
    """`measure` ends what takes too long."""
    while True:
        try:
            await once()
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
        else:
            return


@asynccontextmanager
async def mpyc(place: Place) -> AsyncIterator[MpycNode]:
    """Its import reads the command line and makes a runtime."""
    parties = [word for port in place.ports for word in ("-P", f"127.0.0.1:{port}")]
    sys.argv = [sys.argv[0], *parties, "-I", str(place.number), "--no-log"]
    from mpyc.runtime import mpc as runtime

    await connect(runtime)
    yield MpycNode(runtime)
    await runtime.shutdown()


def contenders(_: int) -> Mapping[str, Contender]:
    """See benchmarks.trio."""
    return {"mpyc": mpyc}
