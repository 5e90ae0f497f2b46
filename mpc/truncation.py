"""Division by a power of two, exactly.

x₀+x₁ is known to node 0, x₂ to nodes 1 and 2 (as in ABY3, Mohassel and Rindal, CCS 2018). Each shifts its summand by
itself. What lacks then is the carry out of the bits that go, and 2^(64−places) is too much where the summands passed
2^64. The carry is a bit of `mpc.boolean`. With 2^62 added, x lies in 0..2^63 − 1, so the summands passed 2^64 exactly
if the top bit of one of them is set: an OR of two bits that are each known somewhere (the "MSB-to-wrap" of SiRnn,
Rathee et al., IEEE S&P 2021). Nothing leaks: every message is masked.
"""

import numpy as np

from mpc import boolean
from mpc.arithmetic import inner
from mpc.operation import Operation
from mpc.share import Words

OFFSET_BITS = 62
"""2^62 is added: the largest power of two that may be, and a multiple of 2^places."""


async def shift_right(op: Operation, x: Words, places: int) -> Words:
    """(2, n) → (2, n): ⌊x / 2^places⌋, towards −∞ also below 0.

    Args:
        op: the operation.
        x: read with signs, −2^62 ≤ x < 2^62.
        places: 1 ≤ places ≤ OFFSET_BITS.

    Two rounds more than `boolean.carries`; beside what that sends 32 bytes a value from node 0, 8 from the others.
    """
    n = x.shape[1]
    carried = await boolean.carries(op, x, places)
    summand = x[0] + x[1] + np.uint64(1 << OFFSET_BITS)
    shifted = (summand >> np.uint64(places)) - np.uint64(1 << (OFFSET_BITS - places))
    known = np.concatenate([shifted, carried[0] ^ carried[1], summand >> np.uint64(63)])
    entered = (await op.enter(0, known, 3 * n, xor=False)).reshape(2, 3, n)
    third = boolean.third_component(op, x)
    other = np.stack([third >> np.uint64(places), boolean.third_component(op, carried), third >> np.uint64(63)], axis=1)
    # The shifted, plus a ⊕ t = a + t − 2at for the carry, less 2^(64−places) times a ∨ t = a + t − at for the wrap.
    weights = np.array([1, 1, 2**64 - 2 ** (64 - places)], np.uint64)[:, np.newaxis]
    both = np.array([2**64 - 2, 2 ** (64 - places)], np.uint64)[:, np.newaxis]
    products = await inner(op, *(np.moveaxis(side, 1, 2) for side in (entered[:, 1:], other[:, 1:] * both)))
    found: Words = ((entered + other) * weights).sum(axis=1, dtype=np.uint64) + products
    return found
