"""Products of columns that plans need, per patient: arm · column · mask, added over the panes of an atom, on shares.

What several plans have in common is formed once. Within an atom of several panes the products are added before
anything travels between the nodes.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mpc.engine import Engine
from mpc.share import Share
from policy.plan import Column, Plan


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


class Products:
    """The distinct products of several plans: of values, which are kept, and of contributors, which are counted."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._values = _distinct(p for plan in plans for row in _value_products(plan) for p in row)
        self._counted = _distinct(p for plan in plans for row in _contributor_products(plan) for p in row)
        products = (*self._values, *self._counted)
        self._pairs = _distinct((p.arm, p.column) for p in products)
        self._masks = _distinct(p.mask for p in products if p.mask != ALL)
        self.columns = tuple(_distinct(
            (*(name for pair in self._pairs for name in pair), *(name for m in self._masks for name in m.columns))
        ))
        """Names of the columns that are read."""
        self._value_recipe = _recipe(self._values, self._pairs, self._masks)
        self._count_recipe = _recipe(self._counted, self._pairs, self._masks)

    @property
    def values(self) -> int:
        """Number of products whose sums are kept for each patient."""
        return len(self._values)

    @property
    def counted(self) -> int:
        """Number of products whose patients are counted."""
        return len(self._counted)

    def value_places(self, plan: Plan) -> NDArray[np.intp]:
        """(cells, totals) positions of a plan's products, in the order of `plan.strata` and `plan.totals`."""
        return np.array([[self._values.index(p) for p in row] for row in _value_products(plan)])

    def counted_places(self, plan: Plan) -> NDArray[np.intp]:
        """(counted cells, arms · kinds) positions of what is counted; cells: see `Plan.counted_cells`."""
        return np.array([[self._counted.index(p) for p in row] for row in _contributor_products(plan)])

    async def form(self, engine: Engine, columns: Mapping[str, Share]) -> tuple[Share, Share]:
        """Form all products over atoms of one length; nothing opens.

        Two rounds for atoms of one pane, else at most eleven. A value travels as 8 bytes a patient and atom, and so
        does a pair (arm, column) and pane; of what is counted in longer atoms it is 8 bytes and a comparison with 0.

        Args:
            engine: the ring engine.
            columns: name → (atoms, panes in each, rows); all of `columns`.

        Returns:
            (values, atoms, rows) each patient's sums over the panes of an atom; (counted, atoms) numbers of patients
            with at least one pane that counts.
        """
        by_pair = await engine.multiply(
            Share.stack([columns[arm] for arm, _ in self._pairs]),
            Share.stack([columns[column] for _, column in self._pairs]),
        )
        shape = by_pair.shape[1:]
        masks = [_masked(mask, columns, shape) for mask in self._masks]
        values = _per_patient(engine, self._value_recipe, by_pair, masks)
        if shape[1] == 1:
            return await asyncio.gather(values, _over_patients(engine, self._count_recipe, by_pair, masks))
        found, panes = await asyncio.gather(values, _per_patient(engine, self._count_recipe, by_pair, masks))
        return found, shape[2] - (await engine.equal_zero(panes)).sum()


def _cell_masks(plan: Plan) -> tuple[Mask, ...]:
    """A plan's cells in its own order; all patients are the cell without a column."""
    return tuple(ALL if s.column is None else Mask((s.column.name,), rest=False) for s in plan.strata)


def _counted_masks(plan: Plan) -> tuple[Mask, ...]:
    """The cells whose contributors are counted: the plan's, then for each of its prefixes those outside of it."""
    named = tuple(s.column.name for s in plan.strata if s.column is not None)
    return _cell_masks(plan) + tuple(Mask(named[:categories], rest=True) for categories in plan.prefixes)


def _value_products(plan: Plan) -> list[list[Product]]:
    return _table(_cell_masks(plan), plan.arms, (plan.time, *plan.outcome))


def _contributor_products(plan: Plan) -> list[list[Product]]:
    return _table(_counted_masks(plan), plan.arms, plan.contributors)


def _table(masks: Sequence[Mask], arms: Sequence[Column], columns: Sequence[Column]) -> list[list[Product]]:
    return [[Product(arm.name, column.name, mask) for arm in arms for column in columns] for mask in masks]


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
