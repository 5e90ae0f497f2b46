"""Noise for differential privacy that no node knows: each adds its own part to shares, and two parts suffice.

Every node draws discrete Gaussians of half the variance, so that whoever knows one of the three parts still faces the
full variance of the other two. A node's part follows from a key of its own and the name of what it is for: an attempt
that is made again adds the same noise, and averages to nothing better.

Samplers are exact, on whole numbers and fractions (Canonne, Kamath and Steinke, The Discrete Gaussian for Differential
Privacy, NeurIPS 2020, Algorithms 1 to 3): floating point would leave traces of the sum.
"""

import asyncio
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from math import isqrt
from typing import NamedTuple

import numpy as np

from mpc.dummies import repeatable
from mpc.engine import Engine
from mpc.share import Share
from policy.privacy import Block

NODES = 3
KEPT_DRAWS = 1 << 16
"""Drawing takes 0.1 ms, and alerts need all windows so far in every run."""
RandBits = Callable[[int], int]
_ONE = Fraction(1)


class Draw(NamedTuple):
    """Noise of one block of a series."""

    series: bytes
    """Names what is summed, of whom, under which agreement; equal at all nodes."""
    block: Block
    variance: Fraction
    """As two nodes add it up; see policy.privacy."""


async def noise(engine: Engine, key: bytes, wanted: Sequence[Sequence[Draw]]) -> Share:
    """Noise to be added to sums, each the sum of one or more draws; a draw is the same wherever it is wanted.

    Three rounds, 8 bytes a draw and owner. Leaks nothing; each node knows the part that it entered.

    Args:
        engine: the ring engine.
        key: 32 secret bytes of this node, the same in all attempts.
        wanted: of each sum its draws, one at least; equal at all nodes.

    Returns:
        (wanted,).
    """
    place = {draw: at for at, draw in enumerate(dict.fromkeys(draw for draws in wanted for draw in draws))}
    mine = await asyncio.to_thread(lambda: np.array([part(key, *draw) for draw in place], np.int64))
    total = engine.zeros(mine.shape)
    for owner in range(NODES):
        total = total + await engine.input(owner, mine if owner == engine.number else None, mine.shape)
    if not place:
        return total
    taken = total.parts[:, [place[draw] for draws in wanted for draw in draws]]
    starts = np.cumsum([0, *(len(draws) for draws in wanted[:-1])])
    return Share(np.add.reduceat(taken, starts, axis=1))


@lru_cache(maxsize=KEPT_DRAWS)
def part(key: bytes, series: bytes, block: Block, variance: Fraction) -> int:
    """What the node with this key adds to a block of a series: a discrete Gaussian of half the variance."""
    name = b"noise\0" + series + b"\0" + f"{block.level} {block.place} {variance}".encode()
    return discrete_gaussian(variance / 2, repeatable(key, name))


def discrete_gaussian(variance: Fraction, randbits: RandBits) -> int:
    """A whole number x with probability proportional to exp(−x²/(2·variance)).

    Args:
        variance: above 0.
        randbits: so many random bits, at most 256 at a time.
    """
    scale = _floor_root(variance) + 1
    while True:
        found = discrete_laplace(scale, randbits)
        distance = abs(found) - variance / scale
        if _bernoulli_exp(distance * distance / (2 * variance), randbits):
            return found


def discrete_laplace(scale: int, randbits: RandBits) -> int:
    """A whole number x with probability proportional to exp(−|x|/scale)."""
    while True:
        low = _below(scale, randbits)
        if not _bernoulli_exp(Fraction(low, scale), randbits):
            continue
        high = 0
        while _bernoulli_exp(_ONE, randbits):
            high += 1
        found, negative = low + scale * high, randbits(1)
        if not (negative and found == 0):
            return -found if negative else found


def _bernoulli_exp(exponent: Fraction, randbits: RandBits) -> bool:
    """True with probability exp(−exponent), exponent ≥ 0."""
    while exponent > 1:
        if not _bernoulli_exp(_ONE, randbits):
            return False
        exponent -= 1
    count = 1
    while _below(exponent.denominator * count, randbits) < exponent.numerator:
        count += 1
    return count % 2 == 1


def _below(most: int, randbits: RandBits) -> int:
    """A whole number from 0 to most − 1, all alike."""
    bits = (most - 1).bit_length()
    while True:
        found, left = 0, bits
        while left > 0:
            taken = min(left, 256)
            found, left = found << taken | randbits(taken), left - taken
        if found < most:
            return found


def _floor_root(value: Fraction) -> int:
    """⌊√value⌋."""
    return isqrt(value.numerator // value.denominator)
