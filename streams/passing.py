"""Which cuts have passed at a watermark, and which batch of the register is next; one instant or many at once.

A cut is the moment up to which a pane's content is known to a revision of it: the pane's end and the party's grace for
revision 0, an agreed number of days more for each later one. All cuts of a grid are in one order; how far a watermark
is, and what had come when, is told by how many of them had passed.
"""

from bisect import bisect_right
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from policy.agreement import Draft
from policy.window import PaneGrid
from streams.columns import ENDED
from streams.fixed import Bools, Int64s
from streams.growth import Growth
from streams.rowwise import micros


class Cut(NamedTuple):
    """Where a revision of a pane ends."""

    pane: int
    revision: int


class _Schedule(NamedTuple):
    """c cuts in the order in which they pass."""

    instants: Int64s
    """(c,) µs since 1970; ENDED: only when the sources end."""
    stamps: list[int]
    """The same, for one look-up at a time."""
    cuts: tuple[Cut, ...]
    place: dict[Cut, int]
    sealed: list[int]
    """(c + 1,) panes of which revision 0 is among so many cuts."""
    over: list[int]
    """(c + 1,) panes of which the last revision is."""


@lru_cache(maxsize=16)
def _schedule(grid: PaneGrid, grace: int, maturities: tuple[int, ...]) -> _Schedule:
    """Of one party; made once, for every shard has the same."""
    zone, dated = ZoneInfo(grid.zone), []
    for revision, days in enumerate((0, *maturities)):
        for pane in range(grid.count):
            end = pane + 1 + grace
            at = ENDED
            if end <= grid.count:
                at = micros(datetime.combine(grid.first_day(end) + timedelta(days=days), time(), zone))
            dated.append((at, revision, pane))
    dated.sort()
    cuts = tuple(Cut(pane, revision) for _, revision, pane in dated)
    sealed, over = [0], [0]
    for cut in cuts:
        sealed.append(sealed[-1] + (cut.revision == 0))
        over.append(over[-1] + (cut.revision == len(maturities)))
    instants = np.array([at for at, _, _ in dated], dtype=np.int64)
    return _Schedule(instants, instants.tolist(), cuts, {cut: place for place, cut in enumerate(cuts)}, sealed, over)


class Passing:
    """One party's grid, grace and maturities; instants are µs since 1970, NEVER or ENDED (streams.columns)."""

    def __init__(self, draft: Draft, party: str) -> None:
        self._schedule = _schedule(draft.panes, draft.party(party).grace_panes, draft.maturities.days)
        self._edges = [micros(edge) for edge in draft.panes.edges]
        linkage = datetime.combine(draft.linkage.date, time(), ZoneInfo(draft.panes.zone))
        self.growth = Growth(draft)
        self._opening = [micros(linkage), *(self._edges[pane] for pane in draft.batch_edges)]
        """When each batch opens."""
        self.last = draft.maturities.last
        """The last revision of a pane."""

    def panes_of(self, at: Int64s) -> Int64s:
        """(n,) the pane that holds each of n instants; -1 before the first, the number of panes after the last."""
        return np.searchsorted(self._edges, at, side="right") - 1

    def passed(self, watermark: int) -> int:
        """Cuts that have passed at a watermark."""
        return bisect_right(self._schedule.stamps, watermark)

    def cut(self, place: int) -> Cut:
        """The cut with so many before it."""
        return self._schedule.cuts[place]

    def place(self, pane: int, revision: int) -> int:
        """Cuts before this one."""
        return self._schedule.place[Cut(pane, revision)]

    def sealed(self, cuts: int) -> int:
        """Panes sealed for the first time after so many cuts."""
        return self._schedule.sealed[cuts]

    def over(self, cuts: int) -> int:
        """Panes sealed for the last time after so many cuts."""
        return self._schedule.over[cuts]

    def batch(self, watermark: int, clock: int) -> int:
        """Batches whose time to open has come, which is the number of the next one: `clock` is the latest time of
        recording.
        """
        return self.growth.batches if watermark == ENDED else bisect_right(self._opening, clock)

    def changes(self, watermark: Int64s, clock: Int64s) -> Bools:
        """(n,) where, of n moments in order, more has passed than at the one before; False at the first."""
        passed = np.searchsorted(self._schedule.instants, watermark, side="right")
        batch = np.searchsorted(self._opening, np.where(watermark == ENDED, ENDED, clock), side="right")
        changes = np.zeros(len(watermark), dtype=np.bool_)
        changes[1:] = (np.diff(passed) != 0) | (np.diff(batch) != 0)
        return changes
