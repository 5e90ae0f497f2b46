"""Square roots of non-negative secret integers."""

import numpy as np

from mpc.tail.field import PRIME, Residues
from mpc.tail.vectors import FRACTION_BITS, Vectors, joined

ROOT_STEPS = 5
"""The first guess is off by 0.086 at most; a step leaves 3/2 of the square, so five leave less than 2^-90."""
GUESS_CONSTANT, GUESS_SLOPE, GUESS_BITS = 273, 156, 7
"""1/√m ≈ (273 − 156·m) / 2^7 on [1/4, 1): least largest error, as far as small integers give it."""


async def square_root(vectors: Vectors, x: Residues, bits: int) -> tuple[Residues, Residues, Residues]:
    """√x for 0 ≤ x < 2^bits, with a relative error below 2^-52.

    Goldschmidt's coupled iteration (Markstein, "Software Division and Square Root Using Goldschmidt's Algorithms",
    RNC 2004): with g ≈ √m and h ≈ 1/(2√m), both times 3/2 − g·h. It does not correct what rounding does to g/h: at
    most 8 units a step, of which the root bears half. 17 rounds after x is in its two octaves, 20 to 30 before.

    Args:
        vectors: the session's arithmetic.
        x: (n,) shares.
        bits: 3 ≤ bits < ROOM_BITS.

    Returns:
        (n,) each: mantissa, 2^57 ≤ mantissa ≤ 2^58 within 32 units, with √x = mantissa · 2^(exponent + 1 −
        FRACTION_BITS); exponent; present, 1 where x ≠ 0. Where x = 0: some mantissa, exponent 0, present 0.
    """
    f = FRACTION_BITS
    digits, present = await vectors.leading(x, bits)
    # Without its lowest digit the exponent is even, and x lies in two octaves, [1, 4).
    product = await vectors.multiply(x, await vectors.shrinking(digits[1:], 4))
    scaled = ((product + 1 - present) << (bits - 1)) % PRIME
    m = await vectors.mantissa(scaled, bits + 1)

    guess = (GUESS_CONSTANT << f) - GUESS_SLOPE * m
    first = await vectors.multiply(m, guess)
    both = np.concatenate((2 * first, guess << f)) % PRIME
    both = await vectors.truncate(both, f + GUESS_BITS + 1, 2 * f + GUESS_BITS + 1)
    for _ in range(ROOT_STEPS):
        g, h = np.split(both, 2)
        correction = ((3 << (2 * f - 1)) - await vectors.multiply(g, h)) % PRIME
        both = await vectors.truncate(await vectors.multiply(both, np.tile(correction, 2)), 2 * f, 3 * f + 1)
    return np.split(both, 2)[0], joined(digits[1:]), present
