"""One operation of the ring engine: its number names its messages and its randomness.

Both come from (operation, step), never from a stream that runs on from operation to operation, so operations that run
side by side cannot take each other's masks or messages.
"""

import numpy as np

from mpc.errors import ProtocolError
from mpc.prg import FEW_WORDS, Cover, Difference, PairStream
from mpc.share import Words
from mpc.wire import Payload, Wire

PIECE_WORDS = 2**22
"""32 MiB: a longer array travels as several messages."""
LANDS_BYTES = 2**16
"""A payload from this size on is read to where it belongs, if this node waits for it already."""
SENT = np.dtype("<u8")
"""Words as messages have them."""
MAX_STEPS = 2**12
MAX_PIECES = 2**10
MAX_OPERATIONS = 2**40

_ZERO_LANE, _INPUT_LANE = 0, 1


class Operation:
    """Node i's side; `previous` is node i−1, `next` node i+1 (mod 3). All nodes take the same steps."""

    def __init__(self, wire: Wire, streams: tuple[PairStream, PairStream], number: int) -> None:
        """`streams`: shared with the previous and with the next node."""
        self.wire = wire
        self.me = wire.number
        self.next = (wire.number + 1) % 3
        self.previous = (wire.number + 2) % 3
        self.with_previous, self.with_next = self._streams = streams
        self.number = number
        self._steps = 0

    def step(self) -> int:
        """The number of the next step."""
        if self._steps >= MAX_STEPS:
            raise ProtocolError(f"an operation has more than {MAX_STEPS} steps")
        self._steps += 1
        return self._steps - 1

    def send(self, peer: int, step: int, values: Words) -> None:
        """Queues an array; it may not change before the next drain."""
        flat = np.ascontiguousarray(values, SENT).reshape(-1)
        for piece in range(_pieces(flat.size)):
            part = flat[piece * PIECE_WORDS : (piece + 1) * PIECE_WORDS]
            self.wire.send(peer, self._label(step, piece), part.view(np.uint8).data)

    async def receive(self, peer: int, step: int, shape: tuple[int, ...]) -> Words:
        """Raises: ProtocolError when another number of bytes arrives, and what `Wire.receive` raises."""
        out = np.empty(shape, np.uint64)
        await self.receive_into(peer, step, out)
        return out

    async def receive_into(self, peer: int, step: int, out: Words) -> None:
        """As `receive`, into an array; a contiguous one if it is longer than a piece. Void where this raises."""
        await self.wire.drain()
        if out.size <= PIECE_WORDS and not out.flags.c_contiguous:
            out[...] = np.frombuffer(await self._piece(peer, step, 0, out.nbytes), SENT).reshape(out.shape)
            return
        flat = out.reshape(-1, copy=False)
        for piece in range(_pieces(flat.size)):
            part = flat[piece * PIECE_WORDS : (piece + 1) * PIECE_WORDS]
            lands = part.nbytes >= LANDS_BYTES and part.dtype == SENT and part.flags.writeable
            room = part.view(np.uint8).data if lands else None
            payload = await self._piece(peer, step, piece, part.nbytes, room)
            if payload is not room:
                part[:] = np.frombuffer(payload, SENT)

    async def _piece(self, peer: int, step: int, piece: int, size: int, room: memoryview | None = None) -> Payload:
        payload = await self.wire.receive(peer, self._label(step, piece), room)
        if len(payload) != size:
            error = ProtocolError(
                f"node {peer} sent {len(payload)} bytes in operation {self.number}, step {step};"
                f" expected {size}: the nodes run different programs or data",
            )
            self.wire.fail(error)
            raise error
        return payload

    def mask_sum(self, step: int, into: Words) -> None:
        """Adds this node's share of a fresh zero to a contiguous array: the three nodes' masks sum to 0."""
        if into.size <= FEW_WORDS:
            into += self.with_previous.few(self.number, step, _ZERO_LANE, into.shape)
            into -= self.with_next.few(self.number, step, _ZERO_LANE, into.shape)
        else:
            self.zero_sum(step).add_to(into)

    def zero_sum(self, step: int) -> Difference:
        """Another fresh zero, for an array that is made in pieces."""
        return Difference(*(s.stream(self.number, step, _ZERO_LANE) for s in self._streams))

    def mask_xor(self, step: int, into: Words) -> None:
        """As `mask_sum`, for XOR; of a contiguous array."""
        self.zero_xor(step).add_to(into)

    def zero_xor(self, step: int) -> Cover:
        """What `mask_xor` adds, for arrays one after another."""
        return Cover(*(s.stream(self.number, step, _ZERO_LANE) for s in self._streams))

    async def reshare(self, step: int, parts: Words) -> None:
        """One round, 8 bytes a value to the previous node.

        `parts[0]` holds this node's masked third of the result; `parts[1]` gets the next node's.
        """
        self.send(self.previous, step, parts[0])
        await self.receive_into(self.next, step, parts[1])

    async def enter(self, owner: int, values: Words | None, n: int, *, xor: bool) -> Words:
        """Shares `owner`'s n private values: one round, 8 bytes a value from the owner to its next node.

        The owner masks with a word it has in common with its previous node; the third component is 0.
        `values` is used at the owner only. Returns: (2, n).
        """
        step = self.step()
        parts = np.zeros((2, n), np.uint64)
        if self.me == owner:
            if values is None:
                raise ProtocolError(f"node {owner} enters nothing; expected {n} values")
            parts[0] = self.with_previous.words(self.number, step, _INPUT_LANE, (n,))
            parts[1] = values ^ parts[0] if xor else values - parts[0]
            self.send(self.next, step, parts[1])
            await self.wire.drain()
        elif self.me == (owner + 1) % 3:
            await self.receive_into(owner, step, parts[0])
        else:
            parts[1] = self.with_next.words(self.number, step, _INPUT_LANE, (n,))
        return parts

    def _label(self, step: int, piece: int) -> int:
        if piece >= MAX_PIECES:
            raise ProtocolError(f"an array has more than {MAX_PIECES * PIECE_WORDS} words; split it")
        return (self.number * MAX_STEPS + step) * MAX_PIECES + piece


def _pieces(size: int) -> int:
    return max(1, -(-size // PIECE_WORDS))
