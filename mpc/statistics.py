"""Statistics of one shard on shares: per-patient totals by window, their sums and second moments, contributors.

Lattice: the endpoints of all windows cut the panes into atoms (`policy.window.WindowSpec.atoms`). For every atom the
products arm · column · mask are formed per patient and added to a running total; the running totals are kept at
the atoms' edges, so that a window of any length is a difference of two vectors. Within an atom of several panes the
products are added before anything travels between the nodes.
Contributors of an atom are patients with at least one pane in it where the 0/1 contributor column counts. They are
counted per cell, and for those outside all strata (the remainder), since a total minus its strata tells about them.
Results of shards add up.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mpc.engine import Engine
from mpc.errors import MpcError
from mpc.parts import by_sum, with_outside
from mpc.share import Share
from policy.plan import Column, Plan

VALUES_PER_STEP = 1 << 20
"""Products formed at once: 8 MiB a component."""

Atom = tuple[int, int]


class StatisticsError(MpcError):
    """Panes, columns or windows that do not fit the lattice."""


class Mask(NamedTuple):
    """Who counts in a pane: those with the one column, or (rest) those with none of the columns.

    All patients are the rest of nothing.
    """

    columns: tuple[str, ...]
    rest: bool


ALL = Mask((), rest=True)


class Product(NamedTuple):
    """arm · column · mask, by the columns' names."""

    arm: str
    column: str
    mask: Mask


def cell_masks(plan: Plan) -> tuple[Mask, ...]:
    """A plan's cells in its own order; all patients are the cell without a column."""
    return tuple(ALL if s.column is None else Mask((s.column.name,), rest=False) for s in plan.strata)


def counted_masks(plan: Plan) -> tuple[Mask, ...]:
    """The cells whose contributors are counted: the plan's, then the remainder if there are strata."""
    named = tuple(s.column.name for s in plan.strata if s.column is not None)
    return cell_masks(plan) + ((Mask(named, rest=True),) if named else ())


def value_products(plan: Plan) -> list[list[Product]]:
    """Cells × totals, in the order of `plan.totals`."""
    return _table(cell_masks(plan), plan.arms, (plan.time, *plan.outcome))


def contributor_products(plan: Plan) -> list[list[Product]]:
    """Counted cells × (arms · contributors): for each arm the plan's contributor columns."""
    return _table(counted_masks(plan), plan.arms, plan.contributors)


def _table(masks: Sequence[Mask], arms: Sequence[Column], columns: Sequence[Column]) -> list[list[Product]]:
    return [[Product(arm.name, column.name, mask) for arm in arms for column in columns] for mask in masks]


def batches(atoms: Sequence[Atom], values_per_pane: int) -> list[list[Atom]]:
    """Group neighbouring atoms of one length into steps of at most VALUES_PER_STEP values (or one atom)."""
    steps = []
    for length, same in groupby(atoms, key=lambda atom: atom[1] - atom[0]):
        run = list(same)
        size = max(1, VALUES_PER_STEP // max(values_per_pane * length, 1))
        steps += [run[start : start + size] for start in range(0, len(run), size)]
    return steps


class ShardStatistics:
    """Running totals and contributor counts of one shard, for several plans over one lattice.

    Memory: value products · (atoms + 1) · linked · 16 bytes.
    """

    def __init__(self, plans: Sequence[Plan], atoms: Sequence[Atom], linked: int) -> None:
        """Start with no panes.

        Args:
            plans: what they have in common is computed once.
            atoms: (start, stop) of panes, each beginning where the one before ends.
            linked: rows of the linked order.

        Raises:
            StatisticsError: no atoms, an empty one, or gaps between them.
        """
        apart = any(before[1] != after[0] for before, after in pairwise(atoms))
        if not atoms or apart or any(start >= stop for start, stop in atoms):
            raise StatisticsError(f"found atoms {list(atoms)}; expected one or more, each starting where one ends")
        self._atoms = tuple(atoms)
        self.linked = linked
        """Rows of the linked order."""
        self._values = _distinct(p for plan in plans for row in value_products(plan) for p in row)
        self._counted = _distinct(p for plan in plans for row in contributor_products(plan) for p in row)
        products = (*self._values, *self._counted)
        self._pairs = _distinct((p.arm, p.column) for p in products)
        self._masks = _distinct(p.mask for p in products if p.mask != ALL)
        self._columns = _distinct(
            (*(name for pair in self._pairs for name in pair), *(name for m in self._masks for name in m.columns))
        )
        self._value_recipe = _recipe(self._values, self._pairs, self._masks)
        self._count_recipe = _recipe(self._counted, self._pairs, self._masks)
        self._totals = np.zeros((len(atoms) + 1, 2, len(self._values), linked), np.uint64)
        self._counts = np.zeros((len(atoms), 2, len(self._counted)), np.uint64)
        self._done = 0

    @property
    def next_pane(self) -> int:
        """The first pane that is not in the totals yet."""
        return self._atoms[self._done][0] if self._done < len(self._atoms) else self._atoms[-1][1]

    async def add_panes(self, engine: Engine, first_pane: int, aligned: Mapping[str, Share]) -> None:
        """Add consecutive panes; those before the first and after the last atom are left aside.

        Args:
            engine: the ring engine.
            first_pane: index of the first of them.
            aligned: column name → (panes, linked) in linked order; every column of every plan.

        Raises:
            StatisticsError: a column is missing or has another shape, panes are skipped or repeated, or the panes
                end inside an atom.
        """
        stop = first_pane + self._check(first_pane, aligned)
        atoms = [atom for atom in self._atoms[self._done :] if atom[0] < stop]
        if atoms and atoms[-1][1] > stop:
            raise StatisticsError(f"the panes end at {stop}, inside {atoms[-1]}; add whole atoms, when all are sealed")
        for step in batches(atoms, (len(self._values) + len(self._counted)) * self.linked):
            span = slice(step[0][0] - first_pane, step[-1][1] - first_pane)
            shape = (len(step), step[0][1] - step[0][0], self.linked)
            await self._add(engine, {n: aligned[n][span].reshape(*shape) for n in self._columns}, shape)

    def _check(self, first_pane: int, aligned: Mapping[str, Share]) -> int:
        """The number of panes."""
        missing = [name for name in self._columns if name not in aligned]
        if missing:
            raise StatisticsError(f"the plans need columns that are not here: {', '.join(missing)}")
        shapes = {aligned[name].shape for name in self._columns}
        panes = min(shapes)[0]
        if shapes != {(panes, self.linked)}:
            raise StatisticsError(f"found columns of shapes {sorted(shapes)}, expected (panes, {self.linked}) alike")
        skipped = self._done < len(self._atoms) and first_pane > self.next_pane
        if skipped or (self._done and first_pane < self.next_pane):
            raise StatisticsError(f"found panes from {first_pane}, expected {self.next_pane}: each once and in order")
        return panes

    async def _add(self, engine: Engine, columns: Mapping[str, Share], shape: tuple[int, int, int]) -> None:
        """Add atoms of one length; columns (atoms, panes in each, linked)."""
        by_pair = await engine.multiply(
            Share.stack([columns[arm] for arm, _ in self._pairs]),
            Share.stack([columns[column] for _, column in self._pairs]),
        )
        masks = [_masked(mask, columns, shape) for mask in self._masks]
        values = await _per_patient(engine, self._value_recipe, by_pair, masks)
        growth = np.moveaxis(values.cumsum(axis=1).parts, 2, 0)
        ends = slice(self._done + 1, self._done + 1 + shape[0])
        np.add(growth, self._totals[self._done], out=self._totals[ends])
        if shape[1] == 1:
            counts = await _over_patients(engine, self._count_recipe, by_pair, masks)
        else:
            panes = await _per_patient(engine, self._count_recipe, by_pair, masks)
            counts = shape[2] - (await engine.equal_zero(panes)).sum()
        self._counts[self._done : self._done + shape[0]] = np.moveaxis(counts.parts, 2, 0)
        self._done += shape[0]

    def window(self, plan: Plan, start: int, stop: int) -> Share:
        """Per-patient totals over the panes start ≤ pane < stop; its cost does not depend on their number.

        Returns:
            (cells, totals, linked), in the order of `plan.strata` and `plan.totals`.

        Raises:
            StatisticsError: not endpoints of atoms, or panes that were not added yet.
        """
        first, last = self._edges(start, stop)
        places = np.array([[self._values.index(p) for p in row] for row in value_products(plan)])
        return Share(self._totals[last][:, places] - self._totals[first][:, places])

    def sums(self, plan: Plan, cell: int, windows: Sequence[Atom]) -> Share:
        """Sums over patients of one cell's totals in many windows (start, stop); no messages.

        Args:
            plan: without a cap, for a capped outcome is not a total.
            cell: position in `plan.strata`.
            windows: each from an atom's start to an atom's end; may be none.

        Returns:
            (windows, totals).

        Raises:
            StatisticsError: as `window`; or the plan has a cap.
        """
        if plan.cap is not None:
            raise StatisticsError(f"KPI {plan.kpi} has a cap: its sums need every patient's total")
        places = [self._values.index(p) for p in value_products(plan)[cell]]
        edges = [self._edges(start, stop) for start, stop in windows]
        at = {edge: self._totals[edge][:, places].sum(axis=-1) for pair in edges for edge in pair}
        found = np.zeros((2, len(edges), len(places)), np.uint64)
        for row, (first, last) in enumerate(edges):
            found[:, row] = at[last] - at[first]
        return Share(found)

    def _edges(self, start: int, stop: int) -> tuple[int, int]:
        """Positions of a window's ends among the running totals."""
        edges = [atom[0] for atom in self._atoms] + [self._atoms[-1][1]]
        known = edges[: self._done + 1]
        if start not in known or stop not in known or start >= stop:
            raise StatisticsError(f"no totals for panes {start} to {stop}; the edges reached so far are {known}")
        return known.index(start), known.index(stop)

    def contributors(self, plan: Plan) -> Share:
        """Numbers of contributors so far.

        Returns:
            (atoms, counted cells, arms, kinds): cells as in `plan.strata`, then the remainder if there are strata;
            kinds as `plan.contributors`. Atoms that were not added yet have zeros.
        """
        places = np.array([[self._counted.index(p) for p in row] for row in contributor_products(plan)])
        found = np.moveaxis(self._counts[:, :, places], 1, 0)
        return Share(found.reshape(*found.shape[:-1], len(plan.arms), len(plan.contributors)))


async def capped(engine: Engine, plan: Plan, totals: Share) -> Share:
    """Cap each patient's outcome in every window and category at `plan.cap`, and at 0 from below.

    A patient's capped outcome in the total is the sum of those in the categories and outside them all. So a total
    less its categories is what it was without a cap: the patients outside, of whom there are none or enough
    (mpc.disclosure). Were the total capped by itself, it would show who passes the cap in no category but in all.
    What a patient beyond the cap adds is not additive over windows either: policy.lattice permits a cap only where no
    window is a sum of others.

    11 rounds; at most 104 bytes a patient, arm, category and window from node 0, 72 from the others; nothing opens.

    Args:
        engine: the ring engine.
        plan: has a cap.
        totals: (windows, cells, totals, linked), all cells of the plan.

    Returns:
        (windows, cells, quantities, linked): `plan.quantities`, whose outcome is in one piece.

    Raises:
        StatisticsError: the plan has no cap.
    """
    if plan.cap is None:
        raise StatisticsError(f"KPI {plan.kpi} has no cap")
    windows, cells, _, linked = totals.shape
    sums = by_sum(plan, totals)
    amounts = sums[:, :, :, 1]
    if cells > 1:
        amounts = with_outside(amounts)[:, 1:]
    sides = await engine.less(Share.stack([plan.cap - amounts, amounts]), 0)
    above, below = sides[0], sides[1]
    kept = await engine.multiply(amounts, 1 - above - below) + above * plan.cap
    if cells > 1:
        whole = kept.sum(axis=1).reshape(windows, 1, len(plan.arms), linked)
        kept = Share.concat([whole, kept[:, :-1]], axis=1)
    return Share.stack([sums[:, :, :, 0], kept], axis=3).reshape(windows, cells, -1, linked)


async def incomplete(engine: Engine, totals: Share) -> Share:
    """Numbers of patients for whom a completion's time and outcome differ over a window: not all that was due was done.

    Over a window these can be fewer than in its atoms: what was done a pane late is missed in one and one too many in
    the next. 9 rounds; 32 bytes a patient, cell and window from node 0, 16 from the others; nothing opens.

    Args:
        engine: the ring engine.
        totals: (windows, cells, 2, linked), all cells of a plan of one arm.

    Returns:
        (windows, counted cells, 1, 1), as `ShardStatistics.contributors` has it for atoms.
    """
    windows, _, _, linked = totals.shape
    missed = with_outside(totals[:, :, 0] - totals[:, :, 1])
    return (linked - (await engine.equal_zero(missed)).sum()).reshape(windows, -1, 1, 1)


async def cell_statistics(engine: Engine, totals: Share) -> tuple[Share, Share]:
    """Sums and second moments over patients.

    Args:
        engine: the ring engine.
        totals: (…, quantities, linked).

    Returns:
        sums (…, quantities) and Σ xᵢxⱼ (…, quantities, quantities).
    """
    return totals.sum(), await engine.gram(totals)


class _Recipe(NamedTuple):
    """Which products of pairs and masks make a list of products; arrays of positions."""

    size: int
    whole: NDArray[np.intp]
    """Products over all patients: no mask to multiply with."""
    whole_pairs: NDArray[np.intp]
    masked: NDArray[np.intp]
    masked_pairs: NDArray[np.intp]
    masks: NDArray[np.intp]


def _recipe(products: Sequence[Product], pairs: Sequence[tuple[str, str]], masks: Sequence[Mask]) -> _Recipe:
    def positions(found: Iterable[int]) -> NDArray[np.intp]:
        return np.fromiter(found, np.intp)

    whole = [(i, p) for i, p in enumerate(products) if p.mask == ALL]
    masked = [(i, p) for i, p in enumerate(products) if p.mask != ALL]
    return _Recipe(
        len(products),
        positions(i for i, _ in whole), positions(pairs.index((p.arm, p.column)) for _, p in whole),
        positions(i for i, _ in masked), positions(pairs.index((p.arm, p.column)) for _, p in masked),
        positions(masks.index(p.mask) for _, p in masked),
    )


def _masked(mask: Mask, columns: Mapping[str, Share], shape: tuple[int, ...]) -> Share:
    """A mask's 0/1 values, of the columns' shape."""
    listed = Share(np.zeros((2, *shape), np.uint64))
    for name in mask.columns:
        listed = listed + columns[name]
    return 1 - listed if mask.rest else listed


async def _per_patient(engine: Engine, recipe: _Recipe, by_pair: Share, masks: Sequence[Share]) -> Share:
    """Each patient's sums over the panes of an atom: (products, atoms, linked)."""
    _, atoms, length, linked = by_pair.shape
    sums = np.empty((2, recipe.size, atoms, linked), np.uint64)
    sums[:, recipe.whole] = by_pair.take(recipe.whole_pairs, axis=0).sum(axis=2).parts
    if len(recipe.masked):
        left = by_pair.take(recipe.masked_pairs, axis=0)
        right = Share.stack(masks).take(recipe.masks, axis=0)
        if length == 1:
            product = await engine.multiply(left[:, :, 0], right[:, :, 0])
        else:
            product = await engine.inner(_panes_last(left), _panes_last(right))
        sums[:, recipe.masked] = product.parts
    return Share(sums)


async def _over_patients(engine: Engine, recipe: _Recipe, by_pair: Share, masks: Sequence[Share]) -> Share:
    """The same sums, over patients too, for atoms of one pane: (products, atoms)."""
    sums = np.empty((2, recipe.size, by_pair.shape[1]), np.uint64)
    sums[:, recipe.whole] = by_pair.take(recipe.whole_pairs, axis=0).sum(axis=(2, 3)).parts
    if len(recipe.masked):
        left = by_pair.take(recipe.masked_pairs, axis=0)
        right = Share.stack(masks).take(recipe.masks, axis=0)
        sums[:, recipe.masked] = (await engine.inner(left[:, :, 0], right[:, :, 0])).parts
    return Share(sums)


def _panes_last(share: Share) -> Share:
    return Share(np.ascontiguousarray(np.moveaxis(share.parts, -2, -1)))


T = TypeVar("T")


def _distinct(items: Iterable[T]) -> list[T]:
    """Each once, in order of first appearance."""
    return list(dict.fromkeys(items))
