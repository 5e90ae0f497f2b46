"""Matrices over pairs of panes: who was what in the one, and what became of them in the other.

M[c, p] = Σ over patients of a column in pane c times a term in pane p. With a column that is 1 in the pane in which a
patient started, row c follows those who started in c through all panes, before and after. An entry costs one word,
whatever the number of patients, and every pair of panes is made once, when the later of the two is added.
"""

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np

from mpc.chains import beginnings, products
from mpc.engine import Engine
from mpc.share import Share
from policy.sums import Matrix, SumsPlan


class CohortMatrices:
    """All matrices of a plan, of one shard; those of shards add up.

    Memory: 16 bytes a row and pane for each of the columns (by cell) and terms, and for each entry.
    """

    def __init__(self, plan: SumsPlan, cells: Sequence[tuple[str, ...]], panes: int, rows: int) -> None:
        """Start with no panes.

        Args:
            plan: whose matrices.
            cells: the columns that somebody in a cell has: none, or a category's.
            panes: that will be added at most.
            rows: of the linked order.
        """
        self._plan, self._cells, self._rows = plan, cells, rows
        by_name = {term.name: term.product for term in plan.terms}
        self._terms = {o.term: by_name[o.term] for matrix in plan.matrices for o in matrix.outcomes}
        joined = dict.fromkeys((matrix.rows, *cell) for matrix in plan.matrices for cell in cells)
        self._cohorts = {product: place for place, product in enumerate(joined)}
        self._outcomes = {term: place for place, term in enumerate(self._terms)}
        self._pairs = list(dict.fromkeys(
            ((matrix.rows, *cell), o.term) for matrix in plan.matrices for cell in cells for o in matrix.outcomes
        ))
        self._kept_cohorts = np.zeros((len(self._cohorts), 2, panes, rows), np.uint64)
        self._kept_outcomes = np.zeros((len(self._outcomes), 2, panes, rows), np.uint64)
        self._entries = np.zeros((len(self._pairs), 2, panes, panes), np.uint64)
        wanted = [*self._cohorts, *self._terms.values()]
        self.width = len(beginnings(wanted)) + len(wanted) if wanted else 0
        """Arrays of a step's size that a step makes."""

    async def add(self, engine: Engine, pane: int, rows: slice, columns: Mapping[str, Share]) -> None:
        """Add consecutive panes of some rows; every row goes through all panes in order.

        A round for each multiplication in the longest term, or of the column with a category's, and one more; 8 bytes a
        row, pane and node for each of these multiplications, 8 for each new entry, cell and term; nothing opens.

        Args:
            engine: the ring engine.
            pane: the first of them, counted from 0.
            rows: which of the linked order.
            columns: name → (panes, rows).
        """
        if not self._pairs:
            return
        made = await products(engine, columns, [*self._cohorts, *self._terms.values()])
        stop = pane + len(next(iter(made.values())))
        for product, place in self._cohorts.items():
            self._kept_cohorts[place, :, pane:stop, rows] = made[product].parts
        for term, place in self._outcomes.items():
            self._kept_outcomes[place, :, pane:stop, rows] = made[self._terms[term]].parts
        await self._meet(engine, pane, stop, rows)

    async def _meet(self, engine: Engine, pane: int, stop: int, rows: slice) -> None:
        """The new panes as outcomes of all cohorts so far, and as cohorts of the outcomes before.

        The new ones are the right factors, of which a sum of components is made; the others are not copied.
        """
        meetings = []
        for product, term in self._pairs:
            cohorts = Share(self._kept_cohorts[self._cohorts[product], :, :stop, None, rows])
            outcomes = Share(self._kept_outcomes[self._outcomes[term], :, None, :stop, rows])
            meetings += [
                engine.inner(cohorts, outcomes[:, pane:]), engine.inner(outcomes[:, :pane], cohorts[pane:]),
            ]
        found = await asyncio.gather(*meetings)
        for pair in range(len(self._pairs)):
            self._entries[pair, :, :stop, pane:stop] += found[2 * pair].parts
            self._entries[pair, :, pane:stop, :pane] += found[2 * pair + 1].parts

    def entries(self, matrix: Matrix, panes: int) -> Share:
        """A matrix so far.

        Returns:
            (cells, parts, panes, panes): parts as `matrix.outcomes`; the cohort's pane, then the outcome's.
        """
        found = Share.stack([
            Share.stack([
                Share(self._entries[self._pairs.index(((matrix.rows, *cell), o.term)), :, :panes, :panes])
                for o in matrix.outcomes
            ])
            for cell in self._cells
        ])
        return found.bounded(max(self._plan.entry_bound(matrix, o, self._rows) for o in matrix.outcomes))
