"""First events on shares: how many are at risk in each pane, and how many have their first event in it.

Everybody carries a secret state, 1 until their first event that was seen. In a pane with state u and w = present ·
event, u·w is who has the event and u − u·w the next state: one multiplication a patient and pane, one pane after the
other. Who is not present is not at risk and their events do not count, so whoever enters late is at risk from entry on
(left truncation), and whoever leaves is until then (censoring). An arm counts those at risk who are in it in that pane:
a patient who changes arm is at risk in the one before and in the other after (Mantel & Byar, JASA 1974;69:81-86).
From the numbers at risk n and of events d the Kaplan-Meier estimate and the log-rank test are public arithmetic; over a
window they are about those without an event before it.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from mpc import share
from mpc.chains import beginnings, products
from mpc.engine import Engine
from mpc.share import Share
from policy.sums import FirstEvents


class FirstEventCounts:
    """Numbers of one shard; those of shards add up. Memory: 16 bytes a row, and the numbers."""

    def __init__(self, first: FirstEvents, cells: Sequence[tuple[str, ...]], panes: int, rows: int) -> None:
        """Start with everybody before their first event.

        Args:
            first: whose 0/1 columns.
            cells: the columns that somebody in a cell has: none, or a category's.
            panes: that will be added at most.
            rows: of the linked order.
        """
        self._watched = (first.present, first.event)
        self._counted = [(first.present, arm, *cell) for cell in cells for arm in first.arms]
        self._shape = (len(cells), len(first.arms))
        self._free = np.array(share.public(np.ones(rows, np.int64)).parts)
        self._counts = np.zeros((2, panes, 2, len(self._counted)), np.uint64)
        self.width = len(beginnings([self._watched, *self._counted])) + len(self._counted) + 2
        """Arrays of a step's size that a step makes."""

    async def add(self, engine: Engine, pane: int, rows: slice, columns: Mapping[str, Share]) -> None:
        """Add consecutive panes of some rows; every row goes through all panes in order.

        As many rounds as panes and at most 3 more; 8 bytes a row, pane and node for the state, as much for the events
        that are seen and for each arm, arm and category; nothing opens.

        Args:
            engine: the ring engine.
            pane: the first of them, counted from 0.
            rows: which of the linked order.
            columns: name → (panes, rows).
        """
        made = await products(engine, columns, [self._watched, *self._counted])
        watched = made[self._watched]
        free = Share(self._free[:, rows])
        at_risk, events = [], []
        for place in range(len(watched)):
            at_risk.append(free)
            events.append(await engine.multiply(free, watched[place]))
            free = free - events[-1]
        panes, count = watched.shape
        states = Share.stack([Share.stack(at_risk), Share.stack(events)], axis=1)
        counted = Share.stack([made[product] for product in self._counted], axis=1)
        found = await engine.inner(states.reshape(panes, 2, 1, count), counted.reshape(panes, 1, *counted.shape[1:]))
        self._counts[:, pane : pane + panes] += found.parts
        self._free[:, rows] = free.parts

    def counts(self, panes: int) -> Share:
        """Numbers so far.

        Returns:
            (panes, 2, cells, arms): in each pane those at risk, then those with their first event.
        """
        return Share(self._counts[:, :panes].reshape(2, panes, 2, *self._shape), self._free.shape[1])
