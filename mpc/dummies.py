"""Dummy patients: what makes the sizes that a linkage opens noisy to every node.

Into each register each node enters the same public number of rows. A secret number of them are random keys that it
puts into the registers of several parties, so that each combination of parties seems to have more patients in
common. Per combination that number is a two-sided geometric variable (ratio 1/2) around half of what the budget
allows, cut off at 0 and at twice that. A node knows its own dummies, not the other two nodes'. The rest of the
budget is filled with keys that match nothing, yet: a batch may plant them again elsewhere, since a patient who is
new at one party may be known at another.
"""

import hmac
import itertools
import secrets
from collections.abc import Callable
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from mpc.errors import LinkageError

Parties = tuple[int, ...]

_ABSENT, _NEW, _EARLIER = range(3)


def regions(parties: int, *, later: bool = False) -> tuple[tuple[Parties, Parties], ...]:
    """Every combination of parties that may have a patient in common, as far as a linkage's opened tags tell.

    Args:
        parties: how many there are.
        later: of a batch, whose patients may have rows of earlier segments.

    Returns:
        Of each, the parties where the patient's row is new, one at least, and those where it is an earlier one.
    """
    if not later:
        return tuple((c, ()) for size in range(2, parties + 1) for c in combinations(range(parties), size))
    found = []
    for places in product((_ABSENT, _NEW, _EARLIER), repeat=parties):
        new, earlier = (tuple(p for p, at in enumerate(places) if at == place) for place in (_NEW, _EARLIER))
        if new and len(new) + len(earlier) > 1:
            found.append((new, earlier))
    return tuple(found)


def region_cap(parties: int, dummies: int, *, later: bool = False) -> int:
    """Most dummy patients that a node may put into one region: even, so that the noise has a middle.

    Raises:
        LinkageError: the budget is too small for any noise; it may be 0.
    """
    overlapping = int((3 if later else 2) ** (parties - 1)) - 1  # regions in which one party's row is new
    if 0 < dummies < 2 * overlapping:
        raise LinkageError(
            f"{dummies} dummies do not hide the regions of {parties} parties{' in a batch' if later else ''}. "
            f"Agree on 0 or at least {2 * overlapping}."
        )
    return dummies // overlapping // 2 * 2


def draw_dummies(
    parties: int, dummies: int, randbits: Callable[[int], int] = secrets.randbits,
    planted: NDArray[np.uint64] | None = None,
) -> NDArray[np.uint64]:
    """Draw one node's dummy rows.

    Args:
        parties: 2..5.
        dummies: rows for each register.
        randbits: source of that many random bits.
        planted: of a batch, (parties, earlier dummies) what this node drew for all earlier segments. Of a region with
            earlier rows it plants keys that are where the region says and nowhere else, while it has any.

    Returns:
        (parties, dummies) uint64 link keys: first those shared between registers, then keys that match nothing.

    Raises:
        LinkageError: see `region_cap`.
    """
    later = planted is not None
    cap = region_cap(parties, dummies, later=later)
    spare = _by_holders(planted) if planted is not None else {}
    rows: list[list[int]] = [[] for _ in range(parties)]
    for new, earlier in regions(parties, later=later):
        count = _two_sided_geometric(cap // 2, randbits)
        keys = _taken(spare.get(earlier, []), count, randbits) if earlier else _fresh(count, randbits)
        for party in new:
            rows[party] += keys
    for row in rows:
        row.extend(_fresh(dummies - len(row), randbits))
    return np.array(rows, np.uint64).reshape(parties, dummies)


def repeatable(key: bytes, name: bytes) -> Callable[[int], int]:
    """A source of up to 256 random bits at a time that is always the same for a key (32 secret bytes) and a name."""
    places = itertools.count()

    def randbits(bits: int) -> int:
        place = next(places).to_bytes(8, "little")
        return int.from_bytes(hmac.digest(key, place + name, "sha256"), "little") & ((1 << bits) - 1)

    return randbits


def _by_holders(planted: NDArray[np.uint64]) -> dict[Parties, list[int]]:
    """Which keys are in the registers of exactly these parties, in the order in which they were planted."""
    holders: dict[int, Parties] = {}
    for party, row in enumerate(planted.tolist()):
        for key in row:
            holders[key] = (*holders.get(key, ()), party)
    found: dict[Parties, list[int]] = {}
    for key, parties in holders.items():
        found.setdefault(parties, []).append(key)
    return found


def _fresh(count: int, randbits: Callable[[int], int]) -> list[int]:
    return [randbits(64) for _ in range(count)]


def _taken(keys: list[int], count: int, randbits: Callable[[int], int]) -> list[int]:
    """Take so many keys out of a list, or all, any as likely as another: a node sees which segment a match is of."""
    return [keys.pop(randbits(64) % len(keys)) for _ in range(min(count, len(keys)))]


def _two_sided_geometric(middle: int, randbits: Callable[[int], int]) -> int:
    """Draw middle + G − G', both geometric with ratio 1/2, cut off at 0 and 2·middle."""
    up, down = (_trailing_zeros(randbits(64)) for _ in range(2))
    return min(max(middle + up - down, 0), 2 * middle)


def _trailing_zeros(bits: int) -> int:
    """Of a 64-bit number: a geometric variable with ratio 1/2 when the bits are random."""
    bounded = bits | 1 << 64
    return (bounded & -bounded).bit_length() - 1
