"""Sums over rows by a category that nobody knows, such as a secret window or group.

A row's category has bits b₀, b₁, …; a row is in category c exactly if all bits agree with c's. That indicator is a
sum, with signs, of products of bits (monomials): [c = 2] = b₁ − b₁b₀ of two bits. So it is enough to know the sum of
value · monomial over the rows, for all monomials; what follows from these is arithmetic without messages. Half of a
monomial's bits are multiplied with the values, half among themselves, and an inner product joins them: the products
grow with the square root of the number of categories, and a sum costs one word whatever its rows.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpc.engine import Engine
from mpc.errors import ProtocolError
from mpc.share import Share, Words

MAX_GROUPS = 1 << 12


async def sums_by_group(engine: Engine, groups: Share, count: int, values: Share) -> Share:
    """Sums of values over the rows of each category; nothing opens.

    Of n rows, k values and c categories: about 6 + 2·log2(c) rounds; 16·log2(c) + 16·√(c·k) bytes a row from node 0,
    half of the first term from the others.

    Args:
        engine: the ring engine.
        groups: (n,) each row's category, of which as many bits are read as `count` − 1 has. A row whose category is
            not below `count` then counts nowhere.
        count: of categories, 1..MAX_GROUPS.
        values: (k, n).

    Returns:
        (count, k) sums modulo 2^64.

    Raises:
        ProtocolError: `count` out of bounds, or other numbers of rows.
    """
    k, n = values.shape
    if not 1 <= count <= MAX_GROUPS or groups.shape != (n,):
        raise ProtocolError(
            f"{count} categories of {groups.shape} rows for values of {n}; expected 1..{MAX_GROUPS} and as many rows"
        )
    bits = (count - 1).bit_length()
    if bits == 0:
        return values.sum().reshape(1, k)
    planes = await engine.low_bits(groups, bits)
    low = min(range(1, bits + 1), key=lambda low: k * 2 ** (bits - low) + 2**low - low)
    below = Share.concat([engine.public(np.ones((1, n), np.int64)), planes[:1]])
    for plane in range(1, low):
        both = await engine.multiply(below[1:], planes[plane])
        below = Share.concat([below, planes[plane : plane + 1], both])
    above = values.reshape(1, k, n)
    for plane in range(low, bits):
        above = Share.concat([above, await engine.multiply(above, planes[plane])])
    sums = await engine.inner(above.reshape(above.shape[0], k, 1, n), below)
    by_monomial = np.moveaxis(sums.parts, 3, 2).reshape(2, 1 << bits, k)
    return Share(_by_category(by_monomial)[:, :count], sums.bound)


def sums_by_known_group(groups: NDArray[np.integer[Any]], count: int, values: Share) -> Share:
    """As `sums_by_group`, of categories that everybody knows; no message.

    Args:
        groups: (n,) each row's category, 0..count − 1.
        count: of categories.
        values: (k, n).

    Raises:
        ProtocolError: a category out of bounds, or other numbers of rows.
    """
    k, n = values.shape
    if groups.shape != (n,) or (n and not 0 <= groups.min() <= groups.max() < count):
        raise ProtocolError(
            f"categories of {groups.shape} rows for values of {n}; expected as many rows, and 0..{count - 1}"
        )
    found = np.zeros((2, count, k), np.uint64)
    for part in (0, 1):
        for place in range(k):
            np.add.at(found[part, :, place], groups, values.parts[part, place])
    return Share(found, values.bound * n)


def _by_category(sums: Words) -> Words:
    """(2, 2^bits, k) sums over the rows that have all of a category's ones → over those that have its zeros too."""
    found = sums.copy()
    step = 1
    while step < found.shape[1]:
        pairs = found.reshape(2, found.shape[1] // (2 * step), 2, step, found.shape[2])
        pairs[:, :, 0] -= pairs[:, :, 1]
        step *= 2
    return found
