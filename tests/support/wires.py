"""Three nodes in one process: the real attempt, keys and bounds, with function calls for a network."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mpc import keys
from mpc.wire import Attempt, Wire

Tap = Callable[[int, int, int, int, bytes], bytes | None]
"""(sender, receiver, channel, label, payload) → what arrives instead; None loses the message."""


@dataclass
class MemoryCourier:
    number: int
    attempts: list[Attempt]
    tap: Tap | None
    sent_bytes: list[int] = field(default_factory=lambda: [0, 0, 0])

    def post(self, peer, channel, label, payload):
        data = bytes(payload)
        self.sent_bytes[self.number] += len(data)
        if self.tap is not None:
            data = self.tap(self.number, peer, channel, label, data)
        if data is not None:
            asyncio.get_running_loop().call_soon(
                self.attempts[peer].deliver, self.number, channel, label, data,
            )

    async def drain(self):
        await asyncio.sleep(0)

    def abort(self, reason):
        for other in self.attempts:
            if other.number != self.number:
                asyncio.get_running_loop().call_soon(other.aborted, self.number, reason)


@asynccontextmanager
async def three_wires(
    *, run_id: bytes = b"run", stall_seconds: float = 10.0, tap: Tap | None = None, fixed: int | None = None,
) -> AsyncIterator[tuple[Wire, Wire, Wire]]:
    """The wires of nodes 0, 1, 2. `tap` sees, changes or loses any message.

    With `fixed` (0..50) the attempt's name and secrets are always the same, and others for each number: what looks
    random in a test of statistics does so each time.
    """
    mine = [keys.AttemptSecret() for _ in range(3)]
    name = keys.attempt_name(run_id, [secret.contribution for secret in mine]) if fixed is None else bytes([fixed]) * 32
    attempts: list[Attempt] = []
    for number in range(3):
        secrets = {
            p: mine[number].agree(mine[p].contribution) if fixed is None else bytes([5 * fixed + 1 + number + p]) * 32
            for p in range(3) if p != number
        }
        attempts.append(
            Attempt(number, name, secrets, MemoryCourier(number, attempts, tap), stall_seconds),
        )
    yield attempts[0].wire, attempts[1].wire, attempts[2].wire


async def run_three(program: Callable[[Wire], Awaitable], **options) -> tuple:
    """Runs the same program at three nodes; a node that fails aborts the attempt, as the real runner does."""
    async with three_wires(**options) as wires:
        return await at_each(wires, program)


async def at_each(wires: Sequence[Wire], program: Callable[[Wire], Awaitable]) -> tuple:
    """The same, over these wires."""

    async def at(wire: Wire):
        try:
            return await program(wire)
        except Exception as error:
            wire.fail(error)
            raise

    return tuple(await asyncio.gather(*(at(wire) for wire in wires)))
