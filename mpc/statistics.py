"""Statistics of one shard on shares: per-patient totals by window, and numbers of contributors.

Lattice: the endpoints of all windows cut the panes into atoms (`policy.window.WindowSpec.atoms`). For every atom the
products that plans need are formed per patient (mpc.products) and added to a running total. The running totals are
kept at the atoms' edges (mpc.totals), so that a window of any length is a difference of two vectors; so are their sums
over patients, for which no vector is read.
Contributors of an atom are patients with at least one pane in it where the 0/1 contributor column counts. They are
counted per cell, and for those outside all strata (the remainder), since a total minus its strata tells about them.
Results of shards add up, and so do those of parts of the rows.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from mpc.engine import Engine
from mpc.errors import MpcError
from mpc.products import Products
from mpc.share import Share
from mpc.totals import RunningTotals
from policy.plan import Plan

VALUES_PER_STEP = 1 << 20
"""Products formed at once: 8 MiB a component."""
VALUES_AT_ONCE = 1 << 21
"""Totals handed out at once: 32 MiB of both components."""

Atom = tuple[int, int]


class StatisticsError(MpcError):
    """Panes, columns or windows that do not fit the lattice."""


class Step(NamedTuple):
    """Products that are formed together: of some atoms of one length, for some rows."""

    atoms: Sequence[Atom]
    rows: slice


def steps(atoms: Sequence[Atom], values: int, rows: int, at_once: int) -> list[Step]:
    """Neighbouring atoms of one length, for all rows; or, where one atom is too much, for its rows in parts.

    Args:
        atoms: (start, stop) of panes.
        values: products of a row and pane.
        rows: of all.
        at_once: most products of a step, unless one row has more.

    Returns:
        In the order of atoms, then rows.
    """
    found = []
    for length, same in groupby(atoms, key=lambda atom: atom[1] - atom[0]):
        run, a_row = list(same), max(values * length, 1)
        together, part = max(1, at_once // max(a_row * rows, 1)), max(1, at_once // a_row)
        for start in range(0, len(run), together):
            found += [Step(run[start : start + together], each) for each in parts(rows, part)]
    return found


def parts(rows: int, most: int) -> list[slice]:
    """Cut rows into ranges of at most so many; one empty range of none."""
    return [slice(start, min(start + most, rows)) for start in range(0, max(rows, 1), most)]


def apart(atoms: Sequence[Atom]) -> bool:
    """Whether these are no atoms, one of them is empty, or one does not begin where the one before ends."""
    gaps = any(before[1] != after[0] for before, after in pairwise(atoms))
    return not atoms or gaps or any(start >= stop for start, stop in atoms)


class ShardStatistics:
    """Running totals and contributor counts of one shard, for several plans over one lattice.

    Disk: value products · (atoms + 1) · linked · 16 bytes. Memory: what a step needs, some 100 MiB, whatever the rows.
    """

    def __init__(self, plans: Sequence[Plan], atoms: Sequence[Atom], linked: int, folder: Path | None = None) -> None:
        """Start with no panes.

        Args:
            plans: what they have in common is computed once.
            atoms: (start, stop) of panes, each beginning where the one before ends.
            linked: rows of the linked order.
            folder: where the running totals have room; None: where the system has temporary files.

        Raises:
            StatisticsError: no atoms, an empty one, or gaps between them.
            OSError: the folder cannot be written.
        """
        if apart(atoms):
            raise StatisticsError(f"found atoms {list(atoms)}; expected one or more, each starting where one ends")
        self._atoms = tuple(atoms)
        self.linked = linked
        """Rows of the linked order."""
        self._products = Products(plans)
        self._totals = RunningTotals(len(atoms) + 1, self._products.values, linked, folder)
        self._sums = np.zeros((len(atoms) + 1, 2, self._products.values), np.uint64)
        """Of the running totals, over the rows."""
        self._counts = np.zeros((len(atoms), 2, self._products.counted), np.uint64)
        self._done = 0

    def close(self) -> None:
        """Give the running totals' room back; nothing can be added or read any more."""
        self._totals.close()

    def grow(self, linked: int) -> None:
        """Append rows to the linked order, of whom all panes so far tell nothing.

        Args:
            linked: rows from now on.

        Raises:
            StatisticsError: fewer than before.
            OSError: the file of running totals may not be so large.
        """
        if linked < self.linked:
            raise StatisticsError(f"{linked} linked rows, where there were {self.linked}: the linked order only grows")
        if linked > self.linked:
            self._totals.grow(linked - self.linked)
            self.linked = linked

    def taken_back(self, pane: int) -> Self:
        """What this was before the panes from `pane` on were added; this itself is closed, for whoever still adds.

        A thread that was told to end finishes its step; of that nothing enters what is returned.

        Raises:
            StatisticsError: `pane` does not begin an atom that was added, nor is it the next one.
            OSError: a thread waits for the disk all the time.
        """
        edges = self._reached
        if pane not in edges:
            raise StatisticsError(f"cannot go back to pane {pane}; the edges reached so far are {edges}")
        done, sums, counts = edges.index(pane), self._sums.copy(), self._counts.copy()
        sums[done + 1 :] = 0
        counts[done:] = 0
        found = copy.copy(self)
        vars(found).update(_totals=self._totals.handed_over(), _sums=sums, _counts=counts, _done=done)
        return found

    @property
    def next_pane(self) -> int:
        """The first pane that is not in the totals yet."""
        return self._atoms[self._done][0] if self._done < len(self._atoms) else self._atoms[-1][1]

    async def add_panes(
        self, engine: Engine, first_pane: int, aligned: Mapping[str, Share], at_once: int = VALUES_PER_STEP
    ) -> None:
        """Add consecutive panes; those before the first and after the last atom are left aside.

        Args:
            engine: the ring engine.
            first_pane: index of the first of them.
            aligned: column name → (panes, linked) in linked order; every column of every plan.
            at_once: products formed together.

        Raises:
            StatisticsError: a column is missing or has another shape, panes are skipped or repeated, or the panes
                end inside an atom.
        """
        stop = first_pane + self._check(first_pane, aligned)
        atoms = [atom for atom in self._atoms[self._done :] if atom[0] < stop]
        if atoms and atoms[-1][1] > stop:
            raise StatisticsError(f"the panes end at {stop}, inside {atoms[-1]}; add whole atoms, when all are sealed")
        per_row = self._products.values + self._products.counted
        for step in steps(atoms, per_row, self.linked, at_once):
            span = slice(step.atoms[0][0] - first_pane, step.atoms[-1][1] - first_pane)
            shape = (len(step.atoms), step.atoms[0][1] - step.atoms[0][0], -1)
            await self._add(
                engine, step, {n: aligned[n][span, step.rows].reshape(*shape) for n in self._products.columns}
            )

    def _check(self, first_pane: int, aligned: Mapping[str, Share]) -> int:
        """The number of panes."""
        missing = [name for name in self._products.columns if name not in aligned]
        if missing:
            raise StatisticsError(f"the plans need columns that are not here: {', '.join(missing)}")
        shapes = {aligned[name].shape for name in self._products.columns}
        panes = min(shapes)[0]
        if shapes != {(panes, self.linked)}:
            raise StatisticsError(f"found columns of shapes {sorted(shapes)}, expected (panes, {self.linked}) alike")
        skipped = self._done < len(self._atoms) and first_pane > self.next_pane
        if skipped or (self._done and first_pane < self.next_pane):
            raise StatisticsError(f"found panes from {first_pane}, expected {self.next_pane}: each once and in order")
        return panes

    async def _add(self, engine: Engine, step: Step, columns: Mapping[str, Share]) -> None:
        """Add what a step forms from its columns (atoms, panes in each, rows of the step)."""
        values, counts = await self._products.form(engine, columns)
        first = self._atoms.index(step.atoms[0])
        everything = np.arange(self._products.values)
        total = self._totals.read(first, everything, step.rows)
        for place in range(len(step.atoms)):
            total += values.parts[:, :, place]
            self._totals.write(first + place + 1, step.rows, total)
            self._counts[first + place] += counts.parts[:, :, place]
            self._sums[first + place + 1] += total.sum(axis=-1)
        if step.rows.stop == self.linked:
            self._done = first + len(step.atoms)

    def windows(
        self, plan: Plan, windows: Sequence[Atom], at_once: int = VALUES_AT_ONCE
    ) -> Iterator[tuple[slice, Share]]:
        """Per-patient totals of many windows (start, stop); the cost of one does not depend on its number of panes.

        Args:
            plan: one of those that were given.
            windows: each from an atom's start to an atom's end.
            at_once: most values handed out together, unless one row has more.

        Yields:
            Some of the windows, and (those windows, cells, totals, rows) in the order of `plan.strata` and
            `plan.totals`, of all patients or of some, in order.

        Raises:
            StatisticsError: not endpoints of atoms, or panes that were not added yet.
            OSError: the disk fails.
        """
        places = self._products.value_places(plan)
        edges = [self._edges(start, stop) for start, stop in windows]
        together = max(1, at_once // max(places.size * self.linked, 1))
        ranges = parts(self.linked, max(1, at_once // places.size))
        for start in range(0, len(edges), together):
            chosen = edges[start : start + together]
            for rows in ranges:
                ends = sorted({end for pair in chosen for end in pair})
                at = {end: self._totals.read(end, places.ravel(), rows) for end in ends}
                found = np.stack([at[last] - at[first] for first, last in chosen], axis=1)
                yield slice(start, start + len(chosen)), Share(found.reshape(2, len(chosen), *places.shape, -1))

    def sums(self, plan: Plan, cell: int, windows: Sequence[Atom]) -> Share:
        """Sums over patients of one cell's totals in many windows (start, stop); no messages.

        Args:
            plan: without a cap, for a capped outcome is not a total.
            cell: position in `plan.strata`.
            windows: each from an atom's start to an atom's end; may be none.

        Returns:
            (windows, totals).

        Raises:
            StatisticsError: as `windows`; or the plan has a cap.
        """
        if plan.cap is not None:
            raise StatisticsError(f"KPI {plan.kpi} has a cap: its sums need every patient's total")
        places = self._products.value_places(plan)[cell]
        found = np.zeros((2, len(windows), len(places)), np.uint64)
        for row, (start, stop) in enumerate(windows):
            first, last = self._edges(start, stop)
            found[:, row] = self._sums[last][:, places] - self._sums[first][:, places]
        return Share(found)

    def _edges(self, start: int, stop: int) -> tuple[int, int]:
        """Positions of a window's ends among the running totals."""
        known = self._reached
        if start not in known or stop not in known or start >= stop:
            raise StatisticsError(f"no totals for panes {start} to {stop}; the edges reached so far are {known}")
        return known.index(start), known.index(stop)

    @property
    def _reached(self) -> list[int]:
        """Edges of atoms so far."""
        return [atom[0] for atom in self._atoms[: self._done]] + [self.next_pane]

    def contributors(self, plan: Plan) -> Share:
        """Numbers of contributors so far.

        Returns:
            (atoms, counted cells, arms, kinds): cells see `Plan.counted_cells`, kinds as `plan.contributors`.
            Atoms that were not added yet have zeros.
        """
        places = self._products.counted_places(plan)
        found = np.moveaxis(self._counts[:, :, places], 1, 0)
        return Share(found.reshape(*found.shape[:-1], len(plan.arms), len(plan.contributors)))
