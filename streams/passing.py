"""Which panes have passed at a watermark, and from when on nobody enters the register; one instant or many at once."""

from bisect import bisect_right
from datetime import datetime, time
from zoneinfo import ZoneInfo

import numpy as np

from policy.agreement import Draft
from streams.columns import ENDED
from streams.fixed import Bools, Int64s
from streams.rowwise import micros


class Passing:
    """One party's grid and grace; instants are µs since 1970, NEVER or ENDED (streams.columns)."""

    def __init__(self, draft: Draft, party: str) -> None:
        self._grace, self._count = draft.party(party).grace_panes, draft.panes.count
        self._edges = [micros(edge) for edge in draft.panes.edges]
        self._linkage = micros(datetime.combine(draft.linkage.date, time(), ZoneInfo(draft.panes.zone)))

    def panes_of(self, at: Int64s) -> Int64s:
        """(n,) the pane that holds each of n instants; -1 before the first, the number of panes after the last."""
        return np.searchsorted(self._edges, at, side="right") - 1

    def passed(self, watermark: int) -> int:
        """Panes whose end lies the party's grace behind a watermark."""
        if watermark == ENDED:
            return self._count
        return max(0, min(self._count, bisect_right(self._edges, watermark) - 1 - self._grace))

    def linked(self, watermark: int, clock: int) -> bool:
        """Whether the linkage date has come: `clock` is the latest time of recording."""
        return clock >= self._linkage or watermark == ENDED

    def changes(self, watermark: Int64s, clock: Int64s) -> Bools:
        """(n,) where, of n moments in order, more has passed than at the one before; False at the first."""
        passed = np.clip(self.panes_of(watermark) - self._grace, 0, self._count)
        passed[watermark == ENDED] = self._count
        linked = (clock >= self._linkage) | (watermark == ENDED)
        changes = np.zeros(len(watermark), dtype=np.bool_)
        changes[1:] = (np.diff(passed) != 0) | (linked[1:] != linked[:-1])
        return changes
