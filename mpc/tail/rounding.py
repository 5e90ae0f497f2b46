"""Integers as the nearest multiples of a declared base, on shares: what lies between two multiples is opened by nobody.

⌊y / b⌋ of 0 ≤ y < 2^u is ⌊y·m / 2^d⌋ with m = ⌈2^d / b⌉ and d = u + ⌈log2 b⌉ (Granlund & Montgomery, PLDI 1994, theorem
4.2): m·b is above 2^d by less than b, so that the quotient is above y / b by less than 1 / b.
"""

import numpy as np

from mpc.tail.field import Residues
from mpc.tail.vectors import Vectors
from policy.plan import RING_BITS
from policy.rounding import BASE_BITS

_SHIFTED_BITS = RING_BITS + 2
"""Numbers of either sign below 2^RING_BITS, moved up by a multiple of the base, and half a base."""
_DROP = _SHIFTED_BITS + BASE_BITS


async def nearest(vectors: Vectors, x: Residues, bases: Residues) -> Residues:
    """Each |x| < 2^RING_BITS as the nearest multiple of its base, from a half upward: one `Vectors.floor`.

    Args:
        vectors: the session's arithmetic.
        x: (n,) field shares.
        bases: (n,) public, 2 ≤ base < 2^BASE_BITS.

    Returns:
        (n,) field shares.
    """
    if not x.size:
        return x
    up = np.array([-(-(1 << RING_BITS) // int(base)) for base in bases], dtype=object)
    factor = np.array([-(-(1 << _DROP) // int(base)) for base in bases], dtype=object)
    moved = x + up * bases + bases // 2
    quotient = await vectors.floor(moved * factor, _DROP, _SHIFTED_BITS + _DROP)
    found: Residues = (quotient - up) * bases
    return found
