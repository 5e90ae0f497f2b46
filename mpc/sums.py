"""Sums of a plan (policy.sums) on one shard's aligned columns, pane by pane, for windows of any length.

What is kept grows with every pane and serves every later window: running totals (mpc.terms), matrices over pairs of
panes (mpc.cohorts) and counts of first events (mpc.survival). A window then costs O(rows), whatever its length. Results
of shards add up. Nothing opens; all that peers see are masked messages, whose number and sizes follow from the plan,
the panes and the number of rows, so nothing leaks besides these.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpc.chains import beginnings, products
from mpc.cohorts import CohortMatrices
from mpc.engine import Engine
from mpc.errors import MpcError
from mpc.share import Share, Words
from mpc.statistics import apart, parts
from mpc.survival import FirstEventCounts
from mpc.terms import Totals
from policy.measure import LIMB_BITS
from policy.sums import Part, SumsPlan

VALUES_PER_STEP = 1 << 20
"""Values that one step works on: 16 MiB. Steps take fewer panes, then fewer rows."""


class _Vector(NamedTuple):
    """A factor of a sum, row by row."""

    name: str
    before: bool
    cell: int | None
    """Of a term's totals; None: a column at the window's last pane."""


class SumsError(MpcError):
    """Panes, columns or windows that do not fit."""


class ShardSums:
    """All that a plan asks of one shard. Memory: that of its three kinds of results, and a step of work.

    Where adding panes fails, half of a pane is in what is kept: it is of no use any more, and a new one begins anew.
    """

    def __init__(
        self, plan: SumsPlan, atoms: Sequence[tuple[int, int]], rows: int, folder: Path | None = None
    ) -> None:
        """Start with no panes.

        Args:
            plan: what to compute.
            atoms: (start, stop) of panes, each beginning where the one before ends; windows start and stop at ends.
            rows: of the linked order.
            folder: where running totals have room; None: where the system has temporary files.

        Raises:
            OSError: the folder cannot be written.
            SumsError: no atoms, an empty one, or gaps between them.
        """
        if apart(atoms):
            raise SumsError(f"found atoms {list(atoms)}; expected one or more, each starting where one ends")
        self._plan, self._rows = plan, rows
        self._edges = [atoms[0][0], *(stop for _, stop in atoms)]
        self._cells: list[tuple[str, ...]] = [() if s.column is None else (s.column.name,) for s in plan.strata]
        panes = self._edges[-1] - self._edges[0]
        self._totals = Totals(plan, self._cells, self._edges, rows, folder)
        self._matrices = CohortMatrices(plan, self._cells, panes, rows)
        self._first_events = [FirstEventCounts(first, self._cells, panes, rows) for first in plan.first_events]
        self._width = (
            len(plan.columns) + len(plan.amounts) + self._totals.width + self._matrices.width
            + sum(counts.width for counts in self._first_events)
        )
        self._next = self._edges[0]
        self._whole = True

    @property
    def next_pane(self) -> int:
        """The first pane that is not added yet."""
        return self._next

    async def add_panes(self, engine: Engine, first_pane: int, aligned: Mapping[str, Share]) -> None:
        """Add consecutive panes; those before the first and after the last atom are left aside.

        Rounds and bytes: see `Totals.add`, `CohortMatrices.add` and `FirstEventCounts.add`, for each step.

        Args:
            engine: the ring engine.
            first_pane: index of the first of them.
            aligned: column name → (panes, rows) in linked order; every column of the plan, within its bound.

        Raises:
            SumsError: a column is missing or has another shape, panes are skipped or repeated, or adding failed before.
        """
        self._check_whole()
        stop = min(first_pane + self._check(first_pane, aligned), self._edges[-1])
        self._whole = False
        for pane, length, end in self._stretches(self._next, stop):
            for rows in self._row_steps((end - pane) * self._width):
                columns = self._columns(aligned, slice(pane - first_pane, end - first_pane), rows)
                await self._totals.add(engine, pane, length, rows, columns)
                await self._matrices.add(engine, pane - self._edges[0], rows, columns)
                for counts in self._first_events:
                    await counts.add(engine, pane - self._edges[0], rows, columns)
            self._next = end
        self._whole = True

    def _check_whole(self) -> None:
        if not self._whole:
            raise SumsError(f"KPI {self._plan.kpi}: adding panes failed, so what is kept is of no use; begin anew")

    def _check(self, first_pane: int, aligned: Mapping[str, Share]) -> int:
        """The number of panes."""
        missing = [column.name for column in self._plan.columns if column.name not in aligned]
        if missing:
            raise SumsError(f"KPI {self._plan.kpi} needs columns that are not here: {', '.join(missing)}")
        shapes = {aligned[column.name].shape for column in self._plan.columns}
        panes = min(shapes)[0]
        if shapes != {(panes, self._rows)}:
            raise SumsError(f"found columns of shapes {sorted(shapes)}, expected (panes, {self._rows}) alike")
        begun, over = self._next > self._edges[0], self._next == self._edges[-1]
        if (first_pane > self._next and not over) or (first_pane < self._next and begun):
            raise SumsError(f"found panes from {first_pane}, expected {self._next}: each once and in order")
        return panes

    def _stretches(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """(first pane, length, end): one or more stretches of that length, with edges only between them."""
        ends = [start, *(edge for edge in self._edges if start < edge < stop), stop] if start < stop else []
        for length, same in groupby(pairwise(ends), key=lambda pair: pair[1] - pair[0]):
            run = list(same)
            size = max(1, VALUES_PER_STEP // max(self._width * length * self._rows, 1))
            for first in range(0, len(run), size):
                yield run[first][0], length, run[first : first + size][-1][1]

    def _row_steps(self, values: int) -> list[slice]:
        """Steps over the rows, at least one; `values` a row."""
        return parts(self._rows, max(1, VALUES_PER_STEP // max(values, 1)))

    def _columns(self, aligned: Mapping[str, Share], panes: slice, rows: slice) -> dict[str, Share]:
        """The plan's columns and amounts in some panes and rows."""
        found = {c.name: aligned[c.name][panes, rows] for c in self._plan.columns}
        for amount in self._plan.amounts:
            found[amount.name] = found[amount.high] * (1 << LIMB_BITS) + found[amount.low]
        return found

    async def window(self, engine: Engine, start: int, stop: int) -> Share:
        """All sums over the panes start ≤ pane < stop (and, where they say so, the window before).

        A round for each multiplication in the longest sum; 8 bytes a row and node for each product of all factors of a
        sum but the last, which sums have in common, and 8 for each sum. Sums of one term send nothing. The cost does
        not depend on the number of panes.

        Returns:
            (cells, parts), as `plan.strata` and `plan.parts`; |part| ≤ `plan.part_bound`.

        Raises:
            SumsError: not endpoints of atoms, or panes that were not added yet; the same of the window before.
        """
        self._check_whole()
        windows = {False: (start, stop), True: (2 * start - stop, start)}
        for window in windows.values() if self._plan.looks_back else [(start, stop)]:
            self._check_window(*window)
        parts = self._plan.parts
        terms = {term.name for term in self._plan.terms}
        found = np.zeros((2, len(self._cells), len(parts)), np.uint64)
        asked: dict[tuple[_Vector, ...], list[tuple[int, int]]] = {}
        for cell in range(len(self._cells)):
            for place, part in enumerate(parts):
                factor = part.factors[0]
                if len(part.factors) == 1 and factor.name in terms:
                    number = self._totals.number(factor.name, cell, *windows[factor.before])
                    found[:, cell, place] = number.parts
                else:
                    asked.setdefault(self._vectors(part, cell), []).append((cell, place))
        sums = await self._over_rows(engine, list(asked), windows)
        for made, where in zip(np.moveaxis(sums, 1, 0), asked.values(), strict=True):
            for cell, place in where:
                found[:, cell, place] = made
        bound = max((self._plan.part_bound(part, self._rows, stop - start) for part in parts), default=0)
        return Share(found, bound)

    def _check_window(self, start: int, stop: int) -> None:
        reached = [edge for edge in self._edges if edge <= self._next]
        known = reached if self._totals.needs_edges else range(self._edges[0], self._next + 1)
        if start not in known or stop not in known or start >= stop:
            raise SumsError(
                f"KPI {self._plan.kpi}: no totals for panes {start} to {stop}; windows, and the windows before them if "
                f"a sum has those, lie between {', '.join(map(str, reached))}"
            )

    def _vectors(self, part: Part, cell: int) -> tuple[_Vector, ...]:
        """A part as a product over rows: states' columns, the cell's with them, then totals."""
        states = {state.name: state.readings for state in self._plan.states}
        read = [_Vector(r.column, r.before, None) for f in part.factors for r in states.get(f.name, ())]
        if read:
            read += [_Vector(name, before=False, cell=None) for name in self._cells[cell]]
        return (*read, *(_Vector(f.name, f.before, cell) for f in part.factors if f.name not in states))

    async def _over_rows(
        self, engine: Engine, wanted: Sequence[tuple[_Vector, ...]], windows: Mapping[bool, tuple[int, int]],
    ) -> Words:
        """(2, products): the sums of products over all rows, in steps."""
        vectors = list(dict.fromkeys(vector for product in wanted for vector in product))
        begun = [product[:-1] for product in wanted if len(product) > 1]
        pairs = [place for place, product in enumerate(wanted) if len(product) > 1]
        sums = np.zeros((2, len(wanted)), np.uint64)
        for rows in self._row_steps(len(vectors) + len(beginnings(begun)) + 2 * len(pairs)):
            values = {vector: self._values(vector, windows[vector.before], rows) for vector in vectors}
            for place, product in enumerate(wanted):
                if len(product) == 1:
                    sums[:, place] += values[product[0]].sum().parts
            if pairs:
                made = await products(engine, values, begun)
                found = await engine.inner(
                    Share.stack([made[product] for product in begun]),
                    Share.stack([values[wanted[place][-1]] for place in pairs]),
                )
                sums[:, pairs] += found.parts
        return sums

    def _values(self, vector: _Vector, window: tuple[int, int], rows: slice) -> Share:
        """(rows,): a column at the window's last pane, or a term's totals over it."""
        if vector.cell is None:
            return self._totals.at_end(vector.name, window[1], rows)
        return self._totals.total(vector.name, vector.cell, *window, rows)

    def matrix(self, name: str) -> Share:
        """A matrix over the panes so far, the first atom's first pane being 0; no messages.

        Returns:
            (cells, parts, panes, panes): parts as the matrix's outcomes; the pane of its rows, then of its outcome.

        Raises:
            SumsError: the plan has no such matrix.
        """
        self._check_whole()
        for matrix in self._plan.matrices:
            if matrix.name == name:
                return self._matrices.entries(matrix, self._next - self._edges[0])
        raise SumsError(f"KPI {self._plan.kpi} has no matrix {name!r}")

    def first_events(self, name: str) -> Share:
        """Numbers at risk and of first events in the panes so far; no messages.

        Returns:
            (panes, 2, cells, arms): in each pane those at risk, then those who have their first event in it.

        Raises:
            SumsError: the plan has no such first events.
        """
        self._check_whole()
        for first, counts in zip(self._plan.first_events, self._first_events, strict=True):
            if first.name == name:
                return counts.counts(self._next - self._edges[0])
        raise SumsError(f"KPI {self._plan.kpi} has no first events {name!r}")
