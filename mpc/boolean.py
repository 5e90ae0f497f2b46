"""Bits: AND gates on XOR-shared words, comparison, test for zero, bit to integer.

AND is the multiplication of Araki et al. (CCS 2016) over words of 64 bits. Comparison follows ABY3 (Mohassel
and Rindal, CCS 2018): x₀+x₁ is known to node 0, x₂ to nodes 1 and 2, and a carry tree adds the two.
Only one bit of the tree is needed, so every level halves: the live bits of two halves of the rows are packed
into the same words, and the traffic of six levels is 16 bytes a row instead of 80.
Nothing leaks: every message is masked.
"""

import numpy as np

from mpc.arithmetic import multiply
from mpc.operation import Operation
from mpc.share import Words

ROWS_PER_WORD = 64
_STRIDES = (1, 2, 4, 8, 16, 32)
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


async def negative(op: Operation, x: Words) -> Words:
    """(2, n) additive → (2, n) XOR-shared 0/1: is x, read with a sign, below 0?

    8 rounds; node 0 sends 32 bytes a row, nodes 1 and 2 send 24.
    """
    n = x.shape[1]
    first, second = await _split(op, _padded(x), negate=False)
    half = first ^ second
    generate = await and_words(op, first, second)
    # A carry into bit 63 comes out of bits 0..62: moved up by one, they fill the tree with an empty bit 0.
    state = np.stack([generate, half], 1) << np.uint64(1)
    for stride in _STRIDES:
        high, low = _fold(state, stride)
        last = stride == _STRIDES[-1]
        product = await and_words(op, high[:, 1:], low[:, :1] if last else low)
        product[:, 0] ^= high[:, 0]
        state = product
    top = half & np.uint64(1 << 63)
    for stride in _STRIDES:
        middle = top.shape[-1] // 2
        top = top[..., :middle] | (top[..., middle:] >> np.uint64(stride))
    return _unfold(state[:, 0] ^ top)[:, :n]


async def zero(op: Operation, x: Words) -> Words:
    """(2, n) additive → (2, n) XOR-shared 0/1: is x equal to 0?

    x = 0 exactly when x₀+x₁ and −x₂ agree in all bits. 7 rounds; node 0 sends 16 bytes a row, others 8.
    """
    n = x.shape[1]
    first, second = await _split(op, _padded(x), negate=True)
    state = ~(first ^ second)
    for stride in _STRIDES:
        high, low = _fold(state, stride)
        state = await and_words(op, high, low)
    return _unfold(state)[:, :n]


async def to_ring(op: Operation, bits: Words) -> Words:
    """(2, n) XOR-shared words of which bit 0 counts → (2, n) additive 0/1.

    b₀⊕b₁ = a is known to node 0, b₂ = t to nodes 1 and 2; a⊕t = a + t − 2at (as in ABY3).
    2 rounds; node 0 sends 16 bytes a value, nodes 1 and 2 send 8.
    """
    bits = bits & np.uint64(1)
    a = await op.enter(0, bits[0] ^ bits[1], bits.shape[1], xor=False)
    t = _third_component(op, bits)
    product = await multiply(op, a, t)
    product *= np.uint64(_ALL - 1)
    product += a
    product += t
    return product


async def _split(op: Operation, x: Words, *, negate: bool) -> tuple[Words, Words]:
    """XOR-sharings of x₀+x₁ and of x₂ (or −x₂). One round, 8 bytes a value from node 0."""
    first = await op.enter(0, x[0] + x[1], x.shape[1], xor=True)
    third = _third_component(op, x)
    return first, np.negative(third) if negate else third


def _third_component(op: Operation, x: Words) -> Words:
    """Component 2 alone, as a sharing: node 1 holds it second, node 2 first, node 0 not at all."""
    third = np.zeros_like(x)
    if op.me == 1:
        third[1] = x[1]
    elif op.me == 2:
        third[0] = x[0]
    return third


def _padded(x: Words) -> Words:
    missing = -x.shape[1] % ROWS_PER_WORD
    return np.pad(x, ((0, 0), (0, missing))) if missing else x


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


def _unfold(packed: Words) -> Words:
    """(2, n/64) words of 64 rows each, as the folds left them → (2, n) words of one bit, 0 or 1."""
    rows = packed
    for stride in reversed(_STRIDES):
        upper = np.uint64(_ALL >> (64 - stride) << (64 - stride))
        rows = np.concatenate([rows & upper, (rows << np.uint64(stride)) & upper], axis=-1)
    return rows >> np.uint64(63)
