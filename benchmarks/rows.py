"""Made-up rows of the MPC benchmarks, and what must come of them.

Needs numpy alone: contenders with an environment of their own import it too.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DECLARED = 2**30
GROUPS = 8
VALUES = 10_000
"""Values in windows are below this."""
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]


class Rows(NamedTuple):
    """Plain rows, and what must come of them."""

    x: Ints
    y: Ints
    z: Ints
    groups: Ints
    indicator: Ints

    @classmethod
    def of(cls, rows: int) -> "Rows":
        """The same at every process."""
        rng = np.random.default_rng(rows)
        x, y = (rng.integers(0, DECLARED, rows) for _ in range(2))
        return cls(x, y, rng.integers(0, 1000, rows), rng.integers(0, GROUPS, rows), rng.integers(0, 2, rows))

    def expected(self) -> dict[str, Ints]:
        """Case → its result; of the shuffle, sorted."""
        sums = np.zeros(GROUPS, np.int64)
        np.add.at(sums, self.groups, self.y)
        less, zero = (self.x < self.y).astype(np.int64), (self.z == 0).astype(np.int64)
        return {
            "multiply": self.x * self.y, "less": less, "less-undeclared": less, "equal-zero": zero,
            "equal-zero-undeclared": zero, "inner": np.dot(self.x, self.y).reshape(1), "shuffle": np.sort(self.x),
            "group-by-8": sums, "indicator-sum": np.dot(self.indicator, self.y).reshape(1),
        }


def agrees(name: str, found: NDArray[Any], expected: Mapping[str, Ints]) -> bool:
    """Whether a revealed result is what it must be."""
    values = np.asarray(found).reshape(-1).astype(np.uint64).view(np.int64)
    return bool(np.array_equal(np.sort(values) if name == "shuffle" else values, expected[name]))


class Windowed(NamedTuple):
    """Plain rows, and the sums."""

    windows: Ints
    values: Ints
    sums: Ints

    @classmethod
    def of(cls, rows: int, count: int) -> "Windowed":
        """The same at every process."""
        rng = np.random.default_rng(rows)
        windows, values = rng.integers(0, count, rows), rng.integers(0, VALUES, rows)
        sums = np.zeros(count, np.int64)
        np.add.at(sums, windows, values)
        return cls(windows, values, sums)


class Registers(NamedTuple):
    """Link keys and values of each register."""

    keys: tuple[Ints, ...]
    values: tuple[Ints, ...]

    @classmethod
    def of(cls, rows: int) -> "Registers":
        """The same at every process."""
        rng = np.random.default_rng(rows)
        people = rng.permutation(2 * rows)
        starts = (0, rows // 2, rows // 4)
        return cls(
            tuple(people[start : start + rows] for start in starts),
            tuple(rng.integers(1, 1000, rows) for _ in starts),
        )

    def batch(self, count: int) -> "Registers":
        """New rows, `count` in each register: half of them of people new to all; up to a quarter of people whom one or
        both of the others have; the rest of people new to one.
        """
        rows = len(self.keys[0])
        known, everyone = min(count // 4, rows // 8), count // 2
        earlier = (self.keys[1][rows // 2 :], self.keys[0][: rows // 2], self.keys[0])
        alone = count - everyone - known
        keys = tuple(
            np.concatenate([
                2 * rows + np.arange(everyone), 2 * rows + everyone + party * alone + np.arange(alone),
                theirs[-known:] if party == 1 else theirs[:known],
            ])
            for party, theirs in enumerate(earlier)
        )
        rng = np.random.default_rng(count)
        return Registers(tuple(map(rng.permutation, keys)), tuple(rng.integers(1, 1000, count) for _ in keys))

    def and_then(self, later: "Registers") -> "Registers":
        """Registers of both."""
        keys, values = (
            tuple(map(np.concatenate, zip(mine, theirs, strict=True))) for mine, theirs in zip(self, later, strict=True)
        )
        return Registers(keys, values)

    def total(self) -> int:
        """Σ of the products of the three values of everybody whom all three have."""
        product = np.ones(1 + max(int(keys.max()) for keys in self.keys), np.int64)
        for keys, values in zip(self.keys, self.values, strict=True):
            mine = np.zeros_like(product)
            mine[keys] = values
            product *= mine
        return int(product.sum())


def held(values: Ints | Words, number: int, name: str, *, xor: bool = False) -> Words:
    """(2, …): a node's components of what a party would have shared; the masks follow from the name."""
    rng, plain = np.random.default_rng(list(name.encode())), values.view(np.uint64)
    first, second = (rng.integers(0, 2**64, plain.shape, np.uint64) for _ in range(2))
    thirds = [first, second, plain ^ first ^ second if xor else plain - first - second]
    return np.stack([thirds[number], thirds[(number + 1) % 3]])
