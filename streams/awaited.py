"""Events of people who wait for a batch of the register, by the last pane that they change.

If that pane passes before their batch opens, or none ever does, the event turns out to be about somebody who was known
too late.
"""

from collections import Counter
from collections.abc import Iterable

import pyarrow as pa

from streams.chest import Tables, table

_AWAITED = pa.schema([pa.field(name, pa.int64(), nullable=False) for name in ("person", "pane", "events")])


class Awaited:
    """Of one shard; people by their number in the register."""

    def __init__(self) -> None:
        self._of: dict[int, Counter[int]] = {}
        """Person → pane → events."""

    def add(self, person: int, pane: int, events: int = 1) -> None:
        """Somebody who waits has so many events more, of which nothing counts after a pane."""
        self._of.setdefault(person, Counter())[pane] += events

    def entered(self, people: Iterable[int]) -> None:
        """People whose batch opened: nothing of theirs is too late any more."""
        for person in people:
            self._of.pop(person, None)

    def gone(self, people: Iterable[int]) -> int:
        """Forget the events of people who will be in no batch; how many there were."""
        return sum(self._of.pop(person, Counter()).total() for person in people)

    def passed(self, pane: int) -> int:
        """Forget the events that count in no pane from this one on, where the next batch opens; how many there were."""
        found = 0
        for events in self._of.values():
            for passed in [at for at in events if at < pane]:
                found += events.pop(passed)
        return found

    def dump(self) -> pa.RecordBatch:
        """As a table."""
        return table(_AWAITED, (
            (person, pane, number) for person, events in self._of.items() for pane, number in events.items()
        ))

    def load(self, tables: Tables, name: str) -> None:
        """Into an empty one.

        Raises:
            StoreError: no such table.
        """
        for person, pane, events in tables.rows(name, _AWAITED):
            self.add(person, pane, events)
