"""The ring engine: vectors of 64-bit integers and words among three nodes, two of which know them together.

Semi-honest: the nodes follow the program and no two put their heads together. What is noticed beyond that:
- in `verify`, before every opening: another program, an entered component that its two holders hold differently, a
  shuffle that changes the sum of its rows;
- in an opening: a wrong component, because two nodes hold what the third lacks: one sends it, the other a digest.
A wrong *product* is not: a node that adds an error to its part of a product, or enters something else than it should
into a comparison, shifts the result unseen. Nor is an error in a shuffle that cancels in the sum. `verify` is the place
where a verified mode (Chida et al., CRYPTO 2018) would check products.

All three nodes start the same operations in the same order. Operations may run side by side (`asyncio.gather` of
engine calls), but an opening stands alone; programs that run side by side take an engine each, on channels of
their own.
"""

import hashlib
import hmac
import math
import struct
from dataclasses import replace
from typing import NoReturn, TypeVar

import numpy as np

from mpc import arithmetic, boolean, share, shuffle, truncation
from mpc.checks import DIGEST_BYTES, Checks, digest
from mpc.errors import IntegrityError, ProtocolError
from mpc.operation import MAX_OPERATIONS, Operation
from mpc.prg import PairStream
from mpc.share import Bits, Public, Share, Words
from mpc.shuffle import Permutation
from mpc.wire import Wire

__all__ = ["Bits", "Engine", "Permutation", "Share"]

T = TypeVar("T", Share, Bits)


class Engine:
    """Node `number`'s side of the computation on one channel of an attempt.

    Every method that awaits raises PeerLost, PeerTimeout, ProtocolError or IntegrityError; after one of
    them the attempt is over.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.number = wire.number
        self._streams = (
            PairStream(wire.pair_key((wire.number + 2) % 3, b"ring engine")),
            PairStream(wire.pair_key((wire.number + 1) % 3, b"ring engine")),
        )
        self._operations = 0
        self._checks = Checks(wire)
        self._transcript = hashlib.sha256(b"winnow ring transcript v1" + wire.attempt)

    @property
    def wire(self) -> Wire:
        """The channel that this engine runs on."""
        return self._wire

    @property
    def transcript(self) -> bytes:
        """32 bytes: the attempt, every operation and shape so far, and every opened value."""
        return self._transcript.copy().digest()

    def absorb(self, other: "Engine") -> None:
        """Take in what another engine of this attempt did, so that `verify` compares it too; it must be at rest."""
        self._transcript.update(b"absorbed\0" + other.transcript)
        self._checks.absorb(other._checks)  # noqa: SLF001 - its own kind

    def public(self, values: Public) -> Share:
        """A public number or array as a share. No message."""
        return share.public(values)

    def zeros(self, shape: tuple[int, ...]) -> Share:
        """Shared zeros, known to be zero by all. No message."""
        return Share(np.zeros((2, *shape), np.uint64), 0)

    async def input(self, owner: int, values: Public | None, shape: tuple[int, ...]) -> Share:
        """Shares private integers of node `owner`; the other two pass None.

        One round, 8 bytes a value from the owner to one node. Leaks the shape. Whatever the owner sends is a sharing of
        some value; `verify` finds out if it holds another component than it sent.
        """
        op = self._begin("input", shape, owner)
        entered = await _enter(op, owner, values, shape, xor=False)
        self._checks.held(op.number, entered)
        return Share(entered)

    async def input_bits(self, owner: int, values: Public | None, shape: tuple[int, ...]) -> Bits:
        """As `input`, for XOR-shared words."""
        op = self._begin("input bits", shape, owner)
        entered = await _enter(op, owner, values, shape, xor=True)
        self._checks.held(op.number, entered)
        return Bits(entered)

    async def multiply(self, x: Share, y: Share) -> Share:
        """x·y modulo 2^64, broadcast as in numpy. One round, 8 bytes a value and node."""
        op = self._begin("multiply", x.shape, *y.shape)
        product = await arithmetic.multiply(op, *_broadcastable(x, y, 1))
        return Share(_narrowed(product, x, y), x.bound * y.bound)

    async def and_bits(self, x: Bits, y: Bits) -> Bits:
        """AND of words, broadcast as in numpy. One round, 8 bytes a word and node."""
        op = self._begin("and", x.shape, *y.shape)
        product = await boolean.and_words(op, *_broadcastable(x, y, 1))
        return Bits(_narrowed(product, x, y))

    def evaluation(self, circuit: bytes, shape: tuple[int, ...]) -> boolean.Evaluation:
        """Begin an operation that shares sums of products of XOR-shared words, layer after layer. No message yet.

        Args:
            circuit: a digest of all that will be shared, for the transcript.
            shape: of what it is evaluated on, likewise.
        """
        return boolean.Evaluation(self._begin("evaluation", shape, *np.frombuffer(circuit, "<u8").tolist()))

    async def inner(self, x: Share, y: Share) -> Share:
        """Σ x·y over the last axis; leading axes broadcast. One round, 8 bytes a result and node.

        Raises: ProtocolError when their last axes are not of one length.
        """
        if not x.shape or x.shape[-1:] != y.shape[-1:]:
            raise ProtocolError(f"an inner product of {x.shape} and {y.shape}; expected last axes of one length")
        op = self._begin("inner", x.shape, *y.shape)
        product = await arithmetic.inner(op, *_broadcastable(x, y, 2))
        return Share(_narrowed(product, x, y, summed=1), x.bound * y.bound * x.shape[-1])

    async def gram(self, x: Share) -> Share:
        """(…, q, n) → (…, q, q): second moments x·xᵀ. One round, 8·q(q+1)/2 bytes and node."""
        op = self._begin("gram", x.shape)
        (q, n), batch = x.shape[-2:], x.shape[:-2]
        product = await arithmetic.gram(op, x.parts.reshape(2, math.prod(batch), q, n))
        return Share(product, x.bound**2 * n).reshape(*batch, q, q)

    async def matmul(self, x: Share, y: Share) -> Share:
        """(…, a, n) by (…, n, b) → (…, a, b) modulo 2^64; leading axes broadcast. One round, 8 bytes an entry and node.

        Raises: ProtocolError when these are no matrices that fit.
        """
        if min(len(x.shape), len(y.shape)) < 2 or x.shape[-1] != y.shape[-2]:
            raise ProtocolError(f"a product of {x.shape} and {y.shape}; expected (…, a, n) and (…, n, b)")
        op = self._begin("matmul", x.shape, *y.shape)
        product = await arithmetic.matmul(op, *_broadcastable(x, y, 2))
        return Share(product, x.bound * y.bound * x.shape[-1])

    async def shift_right(self, x: Share, places: int) -> Share:
        """⌊x / 2^places⌋ exactly, towards −∞ also below 0; −2^62 ≤ x < 2^62, else wrong; 0 ≤ places ≤ 62.

        With less than 8 places 7 rounds, 36 bytes a value from node 0 and 11 from the others; less than 16: 8, 40 and
        14; less than 32: 9, 48 and 20; else 10, 64 and 32. Nothing leaks. Without places no message.

        Raises: ProtocolError for another number of places.
        """
        if not 0 <= places <= truncation.OFFSET_BITS:
            raise ProtocolError(f"a shift by {places} places; expected 0..{truncation.OFFSET_BITS}")
        if places == 0:
            return x
        op = self._begin("shift right", x.shape, places)
        shifted = await truncation.shift_right(op, x.parts.reshape(2, -1), places)
        return Share(shifted, -(-min(x.bound, 1 << truncation.OFFSET_BITS) >> places)).reshape(*x.shape)

    async def less(self, x: Share, y: Share | Public) -> Share:
        """0/1: x < y, read with signs; |x|, |y| < 2^62, else the answer may be wrong.

        Where the bounds of x and y add to less than 2^7: 7 rounds, 20 bytes a value from node 0 and 11 from the others;
        below 2^15: 8, 24 and 14; below 2^31: 9, 32 and 20; else 10, 48 and 32.
        """
        difference = x - y
        width = next((w for w in boolean.WIDTHS if difference.bound < 1 << (w - 1)), boolean.WIDTHS[-1])
        op = self._begin("less", difference.shape, width)
        bits = await boolean.negative(op, difference.parts.reshape(2, -1), width)
        return Share(await boolean.to_ring(op, bits), 1).reshape(*difference.shape)

    async def equal_zero(self, x: Share) -> Share:
        """0/1: x = 0 modulo 2^64.

        With a bound below 2^8 6 rounds and 18 bytes a value from node 0, 9 from nodes 1 and 2; below 2^16 7, 20 and 10;
        below 2^32 8, 24 and 12; else 9, 32 and 16.
        """
        width = next((w for w in boolean.WIDTHS if x.bound < 1 << w), boolean.WIDTHS[-1])
        op = self._begin("equal zero", x.shape, width)
        bits = await boolean.zero(op, x.parts.reshape(2, -1), width)
        return Share(await boolean.to_ring(op, bits), 1).reshape(*x.shape)

    async def low_bits(self, x: Share, bits: int) -> Share:
        """(…) → (bits, …) 0/1: the lowest bits of x modulo 2^64, bit 0 first; 1 ≤ bits ≤ 64.

        At most 4 + log2(bits) rounds; 16 bytes a bit and value from node 0 and 8 from the others, and what
        `boolean.low_bits` sends.
        """
        if not 1 <= bits <= 64:
            raise ProtocolError(f"{bits} bits asked for of a value of 64")
        op = self._begin("low bits", x.shape, bits)
        planes = await boolean.low_bits(op, x.parts.reshape(2, -1), bits)
        return Share(await boolean.to_ring(op, planes.reshape(2, -1)), 1).reshape(bits, *x.shape)

    async def to_ring(self, bits: Bits) -> Share:
        """Bit 0 of XOR-shared words as additive 0/1. 2 rounds; 16 bytes a value from node 0, 8 from others."""
        op = self._begin("to ring", bits.shape)
        return Share(await boolean.to_ring(op, bits.parts.reshape(2, -1)), 1).reshape(*bits.shape)

    async def random_permutation(self, n: int) -> Permutation:
        """A permutation that no node knows. No message."""
        return shuffle.draw(self._begin("permutation", (n,)), n)

    async def shuffle(self, x: T, permutation: Permutation) -> T:
        """(…, n): the last axis in the permutation's order, under fresh masks. 3 rounds, 16 bytes a value.

        The same permutation serves any number of vectors; no message depends on it twice.
        """
        op = self._begin("shuffle", x.shape, isinstance(x, Bits))
        moved = await shuffle.apply(op, x.parts, permutation, xor=isinstance(x, Bits))
        self._checks.kept(op.number, x.parts, moved, xor=isinstance(x, Bits))
        return replace(x, parts=moved)

    async def open(self, x: Share) -> Words:
        """Reveals x to all three nodes, residues modulo 2^64. 2 rounds with `verify`, 8 bytes a value.

        Raises: IntegrityError when the two holders of what this node lacks disagree.
        """
        parts = await self._all_parts("open", x)
        return self._opened(parts.sum(axis=0, dtype=np.uint64).reshape(x.shape))

    async def open_bits(self, x: Bits) -> Words:
        """As `open`, for XOR-shared words."""
        parts = await self._all_parts("open bits", x)
        return self._opened(np.bitwise_xor.reduce(parts, axis=0).reshape(x.shape))

    async def verify(self) -> None:
        """Stands before every opening: compares what must be alike. One round, 96 bytes to each peer.

        Finds nodes that ran different programs, shapes or openings, hold an entered component differently, or got other
        sums from a shuffle (`mpc.checks`); not a wrong product.
        Raises: IntegrityError.
        """
        self._checks.settle()
        transcript, sums = self.transcript, self._checks.sums
        op = self._begin("verify", ())
        step = op.step()
        mine = {peer: b"".join((transcript, self._checks.held_with(peer), sums)) for peer in (op.previous, op.next)}
        for peer, told in mine.items():
            op.send(peer, step, _words(told))
        for peer, told in mine.items():
            theirs = (await op.receive(peer, step, (len(told) // 8,))).tobytes()
            for place, found in enumerate((
                f"node {peer} has done something else than node {self.number} in this attempt",
                f"nodes {peer} and {self.number} hold a component of an input that differs",
                f"nodes {peer} and {self.number} have other sums of shuffled rows: a shuffle was wrong",
            )):
                part = slice(DIGEST_BYTES * place, DIGEST_BYTES * (place + 1))
                if not hmac.compare_digest(theirs[part], told[part]):
                    self._refuse(found)

    async def _all_parts(self, name: str, x: Share | Bits) -> Words:
        """(3, size): this node's two components, then the one it lacks.

        That comes from the previous node, and a digest of it from the next.
        """
        await self.verify()
        op = self._begin(name, x.shape)
        step = op.step()
        parts = np.empty((3, x.size), np.uint64)
        parts[:2] = x.parts.reshape(2, -1)
        op.send(op.next, step, parts[0])
        op.send(op.previous, step, _words(digest(op.number, parts[1])))
        await op.receive_into(op.previous, step, parts[2])
        echo = await op.receive(op.next, step, (DIGEST_BYTES // 8,))
        if not hmac.compare_digest(echo.tobytes(), digest(op.number, parts[2])):
            self._refuse(f"nodes {op.previous} and {op.next} disagree about a component in an opening")
        return parts

    def _opened(self, values: Words) -> Words:
        self._transcript.update(digest(self._operations, values))
        return values

    def _refuse(self, found: str) -> NoReturn:
        error = IntegrityError(f"{found}; nothing of this attempt may be used, compare the nodes' versions and data")
        self._wire.fail(error)
        raise error

    def _begin(self, name: str, shape: tuple[int, ...], *public: int) -> Operation:
        """Numbers an operation at its start, before it awaits anything: so nodes number alike."""
        number = self._operations
        if number >= MAX_OPERATIONS:
            raise ProtocolError(f"more than {MAX_OPERATIONS} operations in one attempt")
        self._operations += 1
        facts = (number, len(shape), *shape, *public)
        self._transcript.update(name.encode() + b"\0" + struct.pack(f"<{len(facts) + 1}Q", len(facts), *facts))
        # Nodes that have drifted apart, say after half an attempt, draw unrelated masks: no third node can take the
        # same mask off two different messages.
        place = self.transcript
        return Operation(self._wire, (self._streams[0].at(place), self._streams[1].at(place)), number)


async def _enter(
    op: Operation, owner: int, values: Public | None, shape: tuple[int, ...], *, xor: bool,
) -> Words:
    if op.me == owner and (values is None or np.shape(values) != shape):
        found = "nothing" if values is None else f"shape {np.shape(values)}"
        raise ProtocolError(f"node {owner} enters {found}; expected values of shape {shape}")
    flat = share.ring(values).reshape(-1) if op.me == owner else None
    return (await op.enter(owner, flat, math.prod(shape), xor=xor)).reshape(2, *shape)


def _words(content: bytes) -> Words:
    """A digest as words, which is what operations send."""
    return np.frombuffer(content, "<u8").astype(np.uint64)


def _broadcastable(x: Share | Bits, y: Share | Bits, least: int) -> tuple[Words, Words]:
    """Both with the same number of axes after the components', at least `least`, as numpy would align them."""
    axes = max(x.parts.ndim - 1, y.parts.ndim - 1, least)

    def widened(item: Share | Bits) -> Words:
        missing = axes + 1 - item.parts.ndim
        return item.parts.reshape(2, *(1,) * missing, *item.shape) if missing else item.parts

    return widened(x), widened(y)


def _narrowed(product: Words, x: Share | Bits, y: Share | Bits, summed: int = 0) -> Words:
    """Without the leading axes that neither factor has; `summed` of theirs are gone."""
    added = product.ndim + summed - max(x.parts.ndim, y.parts.ndim)
    return product.reshape(2, *product.shape[1 + added :]) if added else product
