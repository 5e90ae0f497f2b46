"""TNO's secure inner join as a contender: three data parties and its helper, over HTTP on loopback without TLS.

Paillier of 2,048 bits with GMPY2, in an environment of its own (benchmarks.foreign). Its result is what `cold` asks
for: shares of the columns of everybody whom all three have; it opens how many those are. Keys are made before it is
timed.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from tno.mpc.communication import Pool
from tno.mpc.encryption_schemes.paillier import Paillier
from tno.mpc.protocols.secure_inner_join import DatabaseOwner, Helper

from benchmarks.rows import Registers
from benchmarks.trio import Case, Contender, Place

NAMES = ("register-0", "register-1", "register-2", "helper")
HELPER = NAMES.index("helper")
KEY_BITS = 2048


class TnoNode:
    """One of the three data parties, or the helper."""

    def __init__(self, place: Place) -> None:
        self.number, self.barriers = place.number, 0
        self.pool = Pool()
        self.pool.add_http_server(port=place.ports[place.number], addr="127.0.0.1")
        self.others = [name for number, name in enumerate(NAMES) if number != place.number]
        for name in self.others:
            self.pool.add_http_client(name, "127.0.0.1", port=place.ports[NAMES.index(name)])
        self.key = Paillier.from_security_parameter(key_length=KEY_BITS, precision=0)

    async def barrier(self) -> None:
        """See benchmarks.trio.Node."""
        self.barriers += 1
        await self.exchanged(True, f"barrier {self.barriers}")

    async def exchanged(self, mine: Any, label: str) -> list[Any]:
        """What each of the others sends under a label."""
        for name in self.others:
            await self.pool.send(name, mine, msg_id=label)
        return [await self.pool.recv(name, msg_id=label) for name in self.others]

    def sent(self) -> None:
        """It counts, but not what its helper is sent."""

    async def cases(self, rows: int) -> Mapping[str, Case]:
        """See benchmarks.trio.Node."""
        data = Registers.of(rows)
        common = {
            "identifier": NAMES[self.number], "pool": self.pool, "data_parties": NAMES[:HELPER],
            "helper": NAMES[HELPER],
        }

        async def cold() -> Any:
            if self.number == HELPER:
                player = Helper(**common)
            else:
                keys, values = data.keys[self.number], data.values[self.number]
                player = DatabaseOwner(
                    **common, identifiers=keys.astype(str)[:, None], data=values.astype(object)[:, None],
                    paillier_scheme=self.key, feature_names=(NAMES[self.number],),
                )
            await player.run_protocol()
            return None if self.number == HELPER else player.shares

        async def correct(found: Any) -> bool:
            self.barriers += 1
            mine = [] if found is None else [[str(value) for value in row] for row in found]  # far beyond 64 bits
            tables = [mine, *await self.exchanged(mine, f"shares {self.barriers}")]
            shares = [np.array([[int(value) for value in row] for row in each], object) for each in tables if each]
            return int(np.prod(sum(shares), axis=1).sum()) == data.total()

        return {"cold": Case(rows, cold, correct)}


@asynccontextmanager
async def tno(place: Place) -> AsyncIterator[TnoNode]:
    """Linked to the others."""
    node = TnoNode(place)
    yield node
    await node.barrier()
    await node.pool.shutdown()
    node.key.shut_down()


def contenders(_: int) -> Mapping[str, Contender]:
    """See benchmarks.trio."""
    return {"tno": tno}
