"""What a shard's claims add up to, by pane, person and measure: what bounds are checked against."""

import numpy as np
import pyarrow as pa

from streams.chest import Tables
from streams.fixed import Int64s, present

FEWEST = 256
"""People that a pane has room for from the start; then it doubles."""
_SCHEMA = pa.schema([
    pa.field(name, pa.int64(), nullable=False) for name in ("pane", "person", "measure", "total")
])


class Totals:
    """A matrix (people, measures) of int64 a pane, made when something is first added to it.

    Args:
        measures: how many; at least 1.
    """

    def __init__(self, measures: int) -> None:
        self._measures = measures
        self._panes: dict[int, Int64s] = {}

    def get(self, pane: int, person: int, measure: int) -> int:
        """One total."""
        held = self._panes.get(pane)
        return 0 if held is None or person >= len(held) else int(held[person, measure])

    def add(self, pane: int, person: int, measure: int, value: int) -> None:
        """Add to one total."""
        self._room(pane, person)[person, measure] += value

    def get_all(self, pane: Int64s, person: Int64s) -> Int64s:
        """(n, measures) totals of n pairs of pane and person; zeros for a person below 0."""
        found = np.zeros((len(pane), self._measures), dtype=np.int64)
        for number in present(pane).tolist():
            held = self._panes.get(number)
            if held is not None:
                mine = np.flatnonzero((pane == number) & (person >= 0) & (person < len(held)))
                found[mine] = held[person[mine]]
        return found

    def add_all(self, pane: Int64s, person: Int64s, measure: int, value: Int64s) -> None:
        """Add n values to a measure's totals; pairs of pane and person may repeat."""
        for number in present(pane).tolist():
            mine = pane == number
            who = person[mine]
            np.add.at(self._room(number, int(who.max()))[:, measure], who, value[mine])

    def _room(self, pane: int, person: int) -> Int64s:
        """A pane's totals, with room for that person."""
        held = self._panes.get(pane)
        if held is None or person >= len(held):
            size = FEWEST if held is None else len(held)
            while size <= person:
                size *= 2
            wider = np.zeros((size, self._measures), dtype=np.int64)
            if held is not None:
                wider[: len(held)] = held
            held = self._panes[pane] = wider
        return held

    def forget(self, before: int) -> None:
        """Panes with a number below `before`."""
        for pane in [pane for pane in self._panes if pane < before]:
            del self._panes[pane]

    def forget_people(self, people: Int64s) -> None:
        """All totals of some people."""
        for held in self._panes.values():
            held[people[people < len(held)]] = 0

    def dump(self) -> pa.RecordBatch:
        """What is not 0, by pane, person and measure."""
        parts = [
            (np.full(len(person), pane), person, measure, held[person, measure])
            for pane, held in sorted(self._panes.items()) for person, measure in [np.nonzero(held)]
        ]
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)] or [np.empty(0, dtype=np.int64)] * 4
        return pa.record_batch([pa.array(column) for column in columns], schema=_SCHEMA)

    def load(self, tables: Tables, name: str) -> None:
        """Into an empty one.

        Raises:
            StoreError: no such table.
        """
        pane, person, measure, total = (column.to_numpy() for column in tables.batch(name, _SCHEMA).columns)
        for index in range(self._measures):
            mine = measure == index
            self.add_all(pane[mine], person[mine], index, total[mine])

