"""What a plan of sums keeps of one shard: running totals of its terms, and its states where windows end.

Of a term that is multiplied with something over a window every patient's running total is kept at the atoms' edges, so
that a window of any length is the difference of two vectors. Of a term that is only added up over patients a number a
pane is kept, which costs one word whatever the number of patients.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mpc.chains import beginnings, products
from mpc.engine import Engine
from mpc.share import Share, Words
from mpc.totals import RunningTotals
from policy.sums import SumsPlan


class Totals:
    """Disk (mpc.totals): 16 bytes a row and edge for each cell and term that is multiplied, and each column of a state.

    Memory: 16 bytes a row for each cell and term that is multiplied.
    """

    def __init__(
        self, plan: SumsPlan, cells: Sequence[tuple[str, ...]], edges: Sequence[int], rows: int, folder: Path | None,
    ) -> None:
        """Start with no panes.

        Args:
            plan: whose sums.
            cells: the columns that somebody in a cell has: none, or a category's.
            edges: panes at which windows may start and stop, in order.
            rows: of the linked order.
            folder: where running totals have room; None: where the system has temporary files.
        """
        product = {term.name: term.product for term in plan.terms}
        alone = {part.factors[0].name for part in plan.parts if len(part.factors) == 1} & set(product)
        multiplied = {f.name for part in plan.parts if len(part.factors) > 1 for f in part.factors} & set(product)
        names = [term.name for term in plan.terms]
        self._edges, self._first = {edge: place for place, edge in enumerate(edges)}, edges[0]
        self._vectors = {(t, c): (*product[t], *cell) for t in names if t in multiplied for c, cell in enumerate(cells)}
        self._scalars = {
            (t, c): (*product[t], *cell) for t in names if t in alone - multiplied for c, cell in enumerate(cells)
        }
        read = [reading.column for state in plan.states for reading in state.readings]
        self._columns = list(dict.fromkeys((*read, *(name for cell in cells for name in cell)))) if read else []
        self._places = {key: place for place, key in enumerate(self._vectors)}
        self._running = np.zeros((len(self._vectors), 2, rows), np.uint64)
        self._kept = RunningTotals(len(edges), len(self._vectors), rows, folder)
        self._by_pane = np.zeros((2, edges[-1] - edges[0], len(self._scalars)), np.uint64)
        self._at_end = RunningTotals(len(edges), len(self._columns), rows, folder)
        wanted = [*self._vectors.values(), *self._scalars.values()]
        self.width = len(beginnings([p[:-1] for p in wanted])) + 2 * len(wanted)
        """Arrays of a step's size that a step makes."""

    @property
    def needs_edges(self) -> bool:
        """Whether windows lie between edges: else between any two panes."""
        return bool(self._vectors or self._columns)

    async def add(self, engine: Engine, pane: int, length: int, rows: slice, columns: Mapping[str, Share]) -> None:
        """Add consecutive panes of some rows; every row goes through all panes in order.

        A round for each multiplication in the longest term. Bytes a row and node: 8 a pane for each multiplication but
        a term's last, which is 8 for all `length` panes of a stretch together (of a vector), or none (of a number).

        Args:
            engine: the ring engine.
            pane: the first of them.
            length: of stretches of panes with no edge inside; what is added is one or more of these.
            rows: which of the linked order.
            columns: name → (panes, rows).
        """
        wanted = [*self._vectors.values(), *self._scalars.values()]
        made = await products(engine, columns, [product[:-1] for product in wanted if len(product) > 1])
        panes, count = next(iter(columns.values())).shape
        growth = np.zeros((len(self._vectors), 2, panes // length, count), np.uint64)
        last = []
        for place, product in enumerate(self._vectors.values()):
            if len(product) == 1:
                growth[place] = _stretches(columns[product[0]], length).sum().parts
            else:
                last.append((place, product))
        if last:
            left = Share.stack([_stretches(made[product[:-1]], length) for _, product in last])
            right = Share.stack([_stretches(columns[product[-1]], length) for _, product in last])
            found = await (engine.multiply(left[..., 0], right[..., 0]) if length == 1 else engine.inner(left, right))
            growth[[place for place, _ in last]] = np.moveaxis(found.parts, 1, 0)
        self._grow(growth, pane, length, rows, columns)
        await self._count(engine, made, pane, columns)

    def _grow(
        self, growth: Words, pane: int, length: int, rows: slice, columns: Mapping[str, Share],
    ) -> None:
        """Running totals over stretches (vectors, 2, stretches, rows), kept at the edges among their ends."""
        for place in range(growth.shape[2]):
            self._running[:, :, rows] += growth[:, :, place]
            end = pane + (place + 1) * length
            if end in self._edges:
                edge = self._edges[end]
                self._kept.write(edge, rows, np.swapaxes(self._running[:, :, rows], 0, 1))
                if self._columns:
                    last = [columns[name].parts[:, end - 1 - pane] for name in self._columns]
                    self._at_end.write(edge, rows, np.stack(last, axis=1))

    async def _count(
        self, engine: Engine, made: Mapping[tuple[str, ...], Share], pane: int, columns: Mapping[str, Share],
    ) -> None:
        """Sums over patients by pane."""
        last = []
        start = pane - self._first
        for place, product in enumerate(self._scalars.values()):
            if len(product) == 1:
                alone = columns[product[0]].sum()
                self._by_pane[:, start : start + len(alone), place] += alone.parts
            else:
                last.append((place, product))
        if last:
            found = await engine.inner(
                Share.stack([made[product[:-1]] for _, product in last], axis=1),
                Share.stack([columns[product[-1]] for _, product in last], axis=1),
            )
            self._by_pane[:, start : start + len(found), [place for place, _ in last]] += found.parts

    def number(self, term: str, cell: int, start: int, stop: int) -> Share:
        """Σ over patients and panes of a term that stands alone; no messages."""
        key = (term, cell)
        if key in self._places:
            return self.total(term, cell, start, stop, slice(0, self._running.shape[2])).sum()
        place = list(self._scalars).index(key)
        return Share(self._by_pane[:, start - self._first : stop - self._first, place].sum(axis=1, dtype=np.uint64))

    def total(self, term: str, cell: int, start: int, stop: int, rows: slice) -> Share:
        """(rows,): patients' totals of a term over panes between two edges."""
        place = np.array([self._places[term, cell]])
        first, last = (self._kept.read(self._edges[edge], place, rows) for edge in (start, stop))
        return Share((last - first)[:, 0])

    def at_end(self, column: str, stop: int, rows: slice) -> Share:
        """(rows,): a state's or a category's column at the last pane before an edge."""
        place = np.array([self._columns.index(column)])
        return Share(self._at_end.read(self._edges[stop], place, rows)[:, 0])


def _stretches(values: Share, length: int) -> Share:
    """(panes, rows) → (stretches, rows, length)."""
    panes, count = values.shape
    return Share(np.moveaxis(values.parts.reshape(2, panes // length, length, count), 2, 3), values.bound)
