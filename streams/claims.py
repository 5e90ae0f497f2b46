"""Claim lines of one shard that were accepted, a row each, by id."""

from array import array
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streams.chest import Tables
from streams.fixed import Bools, Int64s

STANDS, CANCELLED, CREDIT = range(3)
"""A debit line; one that a credit line took back; a credit line."""
ID_BYTES = 16
_SCHEMA = pa.schema([
    pa.field("event", pa.binary(ID_BYTES), nullable=False), pa.field("person", pa.int64(), nullable=False),
    pa.field("occurred", pa.int64(), nullable=False), pa.field("care", pa.int64(), nullable=False),
    pa.field("cents", pa.int64(), nullable=False), pa.field("state", pa.uint8(), nullable=False),
])
_NUMBERS = ("person", "occurred", "care", "cents")


class Claims:
    """Rows in the order of acceptance; about 160 bytes of memory each."""

    def __init__(self) -> None:
        self._row: dict[bytes, int] = {}
        """Id (16 bytes) → its latest row."""
        self._ids = bytearray()
        self.person, self.occurred, self.care, self.cents = array("q"), array("q"), array("q"), array("q")
        self.state = bytearray()

    def __len__(self) -> int:
        return len(self.state)

    def find(self, event: bytes, since: int) -> int | None:
        """The row of an id; None if it has none, or one from before `since` (µs since 1970): it may be forgotten."""
        row = self._row.get(event)
        return None if row is None or self.occurred[row] < since else row

    def held(self, events: Sequence[bytes], since: int) -> Bools:
        """(n,) which of n ids `find` would find."""
        held = np.fromiter(map(self._row.__contains__, events), dtype=np.bool_, count=len(events))
        for place in np.flatnonzero(held).tolist():
            held[place] = self.find(events[place], since) is not None
        return held

    def add(self, event: bytes, person: int, occurred: int, care: int, cents: int, state: int = STANDS) -> None:
        """A line; `occurred` in µs since 1970."""
        self._row[event] = len(self.state)
        self._ids += event
        self.person.append(person)
        self.occurred.append(occurred)
        self.care.append(care)
        self.cents.append(cents)
        self.state.append(state)

    def extend(self, events: Sequence[bytes], person: Int64s, occurred: Int64s, care: Int64s, cents: Int64s) -> None:
        """Lines that stand, at once."""
        first = len(self.state)
        self._row.update(zip(events, range(first, first + len(events)), strict=True))
        self._ids += b"".join(events)
        columns = ((self.person, person), (self.occurred, occurred), (self.care, care), (self.cents, cents))
        for into, values in columns:
            into.frombytes(values.tobytes())
        self.state.extend(bytes([STANDS]) * len(events))

    def forget(self, before: int) -> None:
        """Lines of what happened before an instant."""
        self._keep(np.frombuffer(self.occurred, dtype=np.int64) >= before)

    def forget_people(self, people: Int64s) -> None:
        """All lines of some people."""
        self._keep(~np.isin(np.frombuffer(self.person, dtype=np.int64), people))

    def _keep(self, those: Bools) -> None:
        kept = np.flatnonzero(those)
        if len(kept) == len(self):
            return
        ids = np.frombuffer(self._ids, dtype=f"V{ID_BYTES}")[kept]
        columns = [np.frombuffer(getattr(self, name), dtype=np.int64)[kept] for name in _NUMBERS]
        state = np.frombuffer(self.state, dtype=np.uint8)[kept]
        self._restore(ids.tobytes(), columns, state.tobytes())

    def dump(self) -> pa.RecordBatch:
        """As a table."""
        ids = pa.Array.from_buffers(pa.binary(ID_BYTES), len(self), [None, pa.py_buffer(bytes(self._ids))])
        numbers = [pa.array(np.frombuffer(getattr(self, name), dtype=np.int64)) for name in _NUMBERS]
        state = pa.array(np.frombuffer(bytes(self.state), dtype=np.uint8))
        return pa.record_batch([ids, *numbers, state], schema=_SCHEMA)

    def load(self, tables: Tables, name: str) -> None:
        """Into an empty one.

        Raises:
            StoreError: no such table.
        """
        found = tables.batch(name, _SCHEMA)
        columns = [found.column(name).to_numpy() for name in _NUMBERS]
        self._restore(b"".join(found.column("event").to_pylist()), columns, found.column("state").to_numpy().tobytes())

    def _restore(self, ids: bytes, columns: Sequence[Int64s], state: bytes) -> None:
        events: list[bytes] = np.frombuffer(ids, dtype=f"V{ID_BYTES}").tolist()
        self._row = {event: row for row, event in enumerate(events)}
        self._ids, self.state = bytearray(ids), bytearray(state)
        self.person, self.occurred, self.care, self.cents = (array("q", column.tobytes()) for column in columns)
