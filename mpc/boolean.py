"""Bits: AND gates on XOR-shared words, comparison, carries, test for zero, integer to bits, bit to integer.

AND is the multiplication of Araki et al. (CCS 2016) over words of 64 bits. Comparison follows ABY3 (Mohassel
and Rindal, CCS 2018): x₀+x₁ is known to node 0, x₂ to nodes 1 and 2, and a carry tree adds the two.
Only one bit of the tree is needed, so every level halves: the live bits of two halves of the rows are packed
into the same words, and the traffic of six levels is 16 bytes a row instead of 80.
Values that a few bits hold are compared modulo 2^8, 2^16 or 2^32: the components' low bits are a sharing of the
value's, and several rows share a word from the start.
Nothing leaks: every message is masked.
"""

from collections.abc import Coroutine
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from mpc.arithmetic import multiply
from mpc.errors import ProtocolError
from mpc.operation import PIECE_WORDS, Operation
from mpc.share import Words

WIDTHS = (8, 16, 32, 64)
"""Bits of a lane: what a word is divided into, a row each."""
ROWS_PER_WORD = 64
"""Rows whose single bits fill a word in the end; arrays are padded to a multiple."""
Name = TypeVar("Name")
_LANES = {width: np.dtype(f"u{width // 8}") for width in WIDTHS}
_ALL = 2**64 - 1


async def and_words(op: Operation, x: Words, y: Words) -> Words:
    """(2, …) & (2, …), broadcast → (2, …). One round, 8 bytes a word."""
    parts = np.empty((2, *np.broadcast_shapes(x.shape[1:], y.shape[1:])), np.uint64)
    np.bitwise_and(x[0], y[0] ^ y[1], out=parts[0, ...])
    parts[0] ^= x[1] & y[0]
    step = op.step()
    op.mask_xor(step, parts[0, ...])
    await op.reshare(step, parts)
    return parts


class Gate(NamedTuple, Generic[Name]):
    """A gate: AND of two shared wires, or XOR of two values that a node holds a third of."""

    out: Name
    left: Name
    right: Name
    product: bool


class SharedSums(NamedTuple):
    """Products of shared wires, and sums of those and of wires, of which some become shared wires.

    Operands of an AND are wires. Other operands are numbered: wires below `into`, then what gates made, `room` places
    that are used again and at last the results. A gate's output is one of the places.
    """

    gates: tuple[Gate[int], ...]
    """In the order in which they are evaluated."""
    room: int
    into: slice
    """Wires that the results become."""


class Wires:
    """Of each XOR-shared wire of a circuit this node's two components, beside each other: one pass works on both."""

    def __init__(self, words: Words) -> None:
        """`words`: (wires, 2, n), contiguous; looked at, not copied."""
        self.words = words
        self.each = list(words.reshape(len(words), -1, copy=False))
        self.first, self.second = list(words[:, 0]), list(words[:, 1])


class Evaluation:
    """See `Engine.evaluation`: what is shared are steps of one operation, under masks of one pair of streams."""

    def __init__(self, op: Operation) -> None:
        self._op = op
        self._masks = op.zero_xor(op.step())

    def share(self, wires: Wires, sums: SharedSums) -> Coroutine[Any, Any, None]:
        """Share sums of products of wires, which become wires. One round, 8 bytes a word of them and node.

        A node's thirds of the products add up to a third of their sum, so that only sums travel.

        This node's messages are queued before this returns, so that it can work on while they are under way: await the
        result, in the order of the calls, before looking at the new wires or changing any that the gates name.

        Raises:
            ProtocolError: more than `mpc.operation.PIECE_WORDS` words to share, or MAX_STEPS steps.
        """
        op, n = self._op, wires.words.shape[2]
        step, results = op.step(), sums.into.stop - sums.into.start
        if results * n > PIECE_WORDS:
            raise ProtocolError(f"{results * n} words to share in place; at most {PIECE_WORDS} at a time: split them")
        room, shared = np.empty((sums.room + 1, n), np.uint64), np.empty((results, n), np.uint64)
        other, places = room[-1], [*room[:-1], *shared]
        first, second = wires.first, wires.second
        values = first[: sums.into.start] + places
        both: dict[int, Words] = {}
        for out, left, right, product in sums.gates:
            place = places[out]
            if product:
                if left not in both:
                    both[left] = first[left] ^ second[left]
                np.bitwise_and(both[left], first[right], out=place)
                np.bitwise_and(first[left], second[right], out=other)
                np.bitwise_xor(place, other, out=place)
            else:
                np.bitwise_xor(values[left], values[right], out=place)
        self._masks.add_to(shared)
        op.send(op.previous, step, shared)
        wires.words[sums.into, 0] = shared
        return op.receive_into(op.next, step, wires.words[sums.into, 1])


async def negative(op: Operation, x: Words, width: int) -> Words:
    """(2, n) additive → (2, n) XOR-shared 0/1: is x, read with a sign, below 0?

    Args:
        op: the operation.
        x: of which −2^(width−1) ≤ value < 2^(width−1).
        width: one of WIDTHS.

    2 + log2(width) rounds; of `width`/64 words a row node 0 sends about four, nodes 1 and 2 about three.
    """
    first, second = await _split(op, _lanes(x, width), width, negate=False)
    return (await _top_of_sum(op, first, second, width))[:, : x.shape[1]]


async def carries(op: Operation, x: Words, bits: int) -> Words:
    """(2, n) additive → (2, n) XOR-shared 0/1: do the lowest bits of x₀+x₁ and of x₂ add to 2^bits or more?

    In the narrowest lanes with one bit more they are moved up below the top bit, which is 0 in both: in the sum it is
    what they carry. Rounds and bytes as `negative` in lanes of that width.

    Args:
        op: the operation.
        x: any residues modulo 2^64.
        bits: 1 ≤ bits ≤ 63.
    """
    width = next(w for w in WIDTHS if bits < w)
    moved = _lanes(x << np.uint64(width - 1 - bits), width)
    below = np.uint64(_every((1 << (width - 1)) - 1, width))
    first = await op.enter(0, _first_summand(moved, width) & below, moved.shape[1], xor=True)
    return (await _top_of_sum(op, first, third_component(op, moved) & below, width))[:, : x.shape[1]]


async def _top_of_sum(op: Operation, first: Words, second: Words, width: int) -> Words:
    """(2, m) XOR-shared lanes, twice → (2, lanes) XOR-shared 0/1: the top bit of the sum, modulo 2^width."""
    half = first ^ second
    generate = await and_words(op, first, second)
    # A carry into a lane's top bit comes out of the bits below: moved up by one, these fill the tree, bit 0 empty.
    state = _moved_up(np.stack([generate, half], 1), 1, width)
    strides = _strides(width)
    for stride in strides:
        high, low = _fold(state, stride)
        last = stride == strides[-1]
        product = await and_words(op, high[:, 1:], low[:, :1] if last else low)
        product[:, 0] ^= high[:, 0]
        state = product
    top = half & np.uint64(_every(1, width) << (width - 1))
    for stride in strides:
        middle = top.shape[-1] // 2
        top = top[..., :middle] | (top[..., middle:] >> np.uint64(stride))
    return _unfold(state[:, 0] ^ top, width)


async def zero(op: Operation, x: Words, width: int) -> Words:
    """(2, n) additive → (2, n) XOR-shared 0/1: is x equal to 0?

    x = 0 exactly when x₀+x₁ and −x₂ agree in all bits. 1 + log2(width) rounds; of `width`/64 words a row node 0 sends
    about two, the others about one.

    Args:
        op: the operation.
        x: of which |value| < 2^width, or `width` is 64.
        width: one of WIDTHS.
    """
    n = x.shape[1]
    first, second = await _split(op, _lanes(x, width), width, negate=True)
    state = ~(first ^ second)
    for stride in _strides(width):
        high, low = _fold(state, stride)
        state = await and_words(op, high, low)
    return _unfold(state, width)[:, :n]


async def low_bits(op: Operation, x: Words, bits: int) -> Words:
    """(2, n) additive → (2, bits, n) XOR-shared 0/1: the lowest bits of x, bit 0 first; 1 ≤ bits ≤ 64.

    x₀+x₁ and x₂ are added by Kogge and Stone (IEEE Trans. Comput. C-22, 1973), in the narrowest lanes with room for so
    many bits. At most 2 + log2(bits) rounds; of a lane's bytes a row node 0 sends at most 2 + 2·log2(bits) times as
    many, the others once less.
    """
    n, width = x.shape[1], next(w for w in WIDTHS if bits <= w)
    first, second = await _split(op, _lanes(x, width), width, negate=False)
    half = through = first ^ second
    carry = await and_words(op, first, second)
    stride = 1
    while stride < bits - 1:
        both = await and_words(
            op, through[:, None], np.stack([_moved_up(carry, stride, width), _moved_up(through, stride, width)], 1),
        )
        carry, through = carry ^ both[:, 0], both[:, 1]
        stride *= 2
    lanes = (half ^ _moved_up(carry, 1, width)).view(_LANES[width])[:, :n]
    kind = lanes.dtype.type
    return np.stack([(lanes >> kind(place)) & kind(1) for place in range(bits)], 1).astype(np.uint64)


async def to_ring(op: Operation, bits: Words) -> Words:
    """(2, n) XOR-shared words of which bit 0 counts → (2, n) additive 0/1.

    b₀⊕b₁ = a is known to node 0, b₂ = t to nodes 1 and 2; a⊕t = a + t − 2at (as in ABY3).
    2 rounds; node 0 sends 16 bytes a value, nodes 1 and 2 send 8.
    """
    bits = bits & np.uint64(1)
    a = await op.enter(0, bits[0] ^ bits[1], bits.shape[1], xor=False)
    t = third_component(op, bits)
    product = await multiply(op, a, t)
    product *= np.uint64(_ALL - 1)
    product += a
    product += t
    return product


async def _split(op: Operation, x: Words, width: int, *, negate: bool) -> tuple[Words, Words]:
    """XOR-sharings of x₀+x₁ and of x₂ (or −x₂), lane by lane. One round, 8 bytes a word from node 0."""
    first = await op.enter(0, _first_summand(x, width), x.shape[1], xor=True)
    third = third_component(op, x)
    return first, np.negative(third.view(_LANES[width])).view(np.uint64) if negate else third


def _first_summand(x: Words, width: int) -> Words:
    """x₀+x₁ lane by lane, which node 0 knows."""
    lanes = x.view(_LANES[width])
    summand: Words = (lanes[0] + lanes[1]).view(np.uint64)
    return summand


def third_component(op: Operation, x: Words) -> Words:
    """Component 2 alone, as a sharing: node 1 holds it second, node 2 first, node 0 not at all."""
    third = np.zeros_like(x)
    if op.me == 1:
        third[1] = x[1]
    elif op.me == 2:
        third[0] = x[0]
    return third


def _lanes(x: Words, width: int) -> Words:
    """(2, n) → (2, m) words of 64/`width` rows each: their low bits; n filled up with zeros to a multiple of 64."""
    missing = -x.shape[1] % ROWS_PER_WORD
    padded = np.pad(x, ((0, 0), (0, missing))) if missing else x
    return np.ascontiguousarray(padded.astype(_LANES[width], copy=False)).view(np.uint64)


def _moved_up(words: Words, places: int, width: int) -> Words:
    """Every lane's bits so many places up; zeros come in below."""
    kept = np.uint64(_every((2**width - 1) >> places << places, width))
    return (words << np.uint64(places)) & kept


def _strides(width: int) -> tuple[int, ...]:
    """1, 2, 4 … half a lane."""
    return tuple(1 << level for level in range(width.bit_length() - 1))


def _every(pattern: int, width: int) -> int:
    """A word with the same bits in every lane."""
    return pattern * (_ALL // ((1 << width) - 1))


def _fold(state: Words, stride: int) -> tuple[Words, Words]:
    """Pairs up neighbouring groups of bits: (…, m) words → upper and lower partners, (…, m/2) words each.

    In every block of 2·stride bits the first half of the rows takes the upper stride bits, the second half
    the lower ones.
    """
    middle = state.shape[-1] // 2
    first, second = state[..., :middle], state[..., middle:]
    upper = np.uint64(_ALL // (2**stride + 1) << stride)
    shift = np.uint64(stride)
    high = (first & upper) | ((second & upper) >> shift)
    low = ((first & ~upper) << shift) | (second & ~upper)
    return high, low


def _unfold(packed: Words, width: int) -> Words:
    """(2, n/64) words of 64 rows each, as the folds left them → (2, n) words of one bit, 0 or 1."""
    rows = packed
    for stride in reversed(_strides(width)):
        upper = np.uint64(_every((2**stride - 1) << (width - stride), width))
        rows = np.concatenate([rows & upper, (rows << np.uint64(stride)) & upper], axis=-1)
    lanes = rows.view(_LANES[width])
    single: Words = (lanes >> lanes.dtype.type(width - 1)).astype(np.uint64, copy=False)
    return single
