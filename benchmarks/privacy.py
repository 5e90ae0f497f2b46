"""How far noise moves sums over windows, by the number of releases: one tree for all, and noise for each release.

Contenders spend the same ρ on the whole series: `tree` is the product's (policy.privacy, mpc.noise; parts of all three
nodes), `each` draws anew for every release, as much as it takes for all of them together. Errors are root mean squares
over releases and runs, in units of the most that a patient adds to one window. Draws are the same in every measurement.

`python -m benchmarks.privacy FILE` draws what was measured of windows that grow, as SVG.
"""

import hashlib
import math
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.drawing import Curve, curves
from benchmarks.report import case
from mpc.noise import NODES, part
from policy.privacy import NODES_PARTS, Block, blocks, squared_sensitivity, variance

RHO = Fraction(1, 2)
RELEASES = (4, 16, 64, 256, 1024)
ROLLING = 26
RUNS = 10

Span = tuple[int, int]


class Series(NamedTuple):
    """Windows that are released, and what one patient adds to a pane (1 at most) and to the whole."""

    name: str
    windows: tuple[Span, ...]
    whole: int

    @property
    def panes(self) -> int:
        return self.windows[-1][1]

    @property
    def longest(self) -> int:
        return max(stop - start for start, stop in self.windows)

    @property
    def part(self) -> int:
        """Most that a patient adds to one window."""
        return min(self.longest, self.whole)

    @property
    def each_squared(self) -> int:
        """Δ² of all releases together: of a patient who is there once, or in every pane."""
        if self.whole == 1:
            return max(sum(start <= pane < stop for start, stop in self.windows) for pane in range(self.panes))
        return sum((stop - start) ** 2 for start, stop in self.windows)


def series(releases: int) -> list[Series]:
    """Of so many releases."""
    growing = tuple((0, stop) for stop in range(1, releases + 1))
    rolling = tuple((start, start + ROLLING) for start in range(releases))
    return [
        Series("windows that grow, a patient adds once", growing, 1),
        Series("windows that grow, a patient adds in every pane", growing, releases),
        Series(f"windows of {ROLLING} every pane, a patient adds once", rolling, 1),
        Series(f"windows of {ROLLING} every pane, a patient adds in every pane", rolling, releases + ROLLING - 1),
    ]


def measure_privacy(releases: int | None, runs: int) -> list[dict[str, Any]]:
    """Both contenders; `releases`: of each series, None: RELEASES."""
    found = []
    for number in RELEASES if releases is None else (releases,):
        for one in series(number):
            for contender, measured in (("tree", _tree), ("each", _each)):
                errors, seconds, expected = [], [], 0.0
                for run in range(runs):
                    name = f"{one.name} {contender} {number} {run}"
                    keys = [hashlib.sha256(f"{name} {node}".encode()).digest() for node in range(NODES)]
                    begun = time.perf_counter()
                    squares, expected = measured(one, keys)
                    seconds.append(time.perf_counter() - begun)
                    errors.append(squares)
                found.append(case(one.name, contender, number, seconds, 4) | {
                    "error": round(math.sqrt(sum(errors) / runs) / one.part, 3),
                    "expected_error": round(math.sqrt(expected) / one.part, 3),
                })
    return found


def _tree(one: Series, keys: Sequence[bytes]) -> tuple[float, float]:
    """Mean squared error over the releases, and what it is expected to be."""
    noise = variance(squared_sensitivity(one.panes, 1, one.whole, one.longest), RHO)
    made = [blocks(*window) for window in one.windows]
    drawn = {block: _all_parts(keys, block, noise) for block in {block for window in made for block in window}}
    number = sum(map(len, made)) / len(made)
    return _mean([sum(drawn[block] for block in window) for window in made]), float(noise * NODES_PARTS) * number


def _each(one: Series, keys: Sequence[bytes]) -> tuple[float, float]:
    noise = variance(one.each_squared, RHO)
    drawn = [_all_parts(keys, Block(0, place), noise) for place in range(len(one.windows))]
    return _mean(drawn), float(noise * NODES_PARTS)


def _all_parts(keys: Sequence[bytes], block: Block, noise: Fraction) -> int:
    return sum(part(key, b"benchmark", block, noise) for key in keys)


def _mean(errors: Sequence[int]) -> float:
    return sum(error * error for error in errors) / len(errors)


def draw(rows: Sequence[dict[str, Any]]) -> str:
    """The error of windows that grow by the number of releases, as SVG, with what theory expects of it."""
    name = series(1)[0].name
    kept = [row for row in rows if row["case"] == name]
    tree, each = ([row for row in kept if row["contender"] == contender] for contender in ("tree", "each"))
    theory = [(float(row["rows"]), row["expected_error"]) for row in tree]
    last = tree[-1]
    scale = last["expected_error"] / math.log2(2 * last["rows"])
    return curves(
        "Error of a growing window's sum, in patients (ρ = 0.5 for the whole series)", "releases",
        [
            Curve("noise for each release: √T", "#c0392b", [(float(r["rows"]), r["error"]) for r in each]),
            Curve("tree: measured", "#1f6f8b", [(float(r["rows"]), r["error"]) for r in tree]),
            Curve("tree: expected", "#1f6f8b", theory, dashed=True),
            Curve("in proportion to log 2T (variance: log²): a straight line here", "#888888", [
                (float(r["rows"]), scale * math.log2(2 * r["rows"])) for r in tree
            ], dashed=True),
        ],
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(measure_privacy(None, RUNS)), encoding="utf-8")
