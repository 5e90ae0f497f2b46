"""Claim lines of one shard that were accepted, a row each, by id."""

import base64
from array import array
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from streams.chest import Tables
from streams.fixed import Int64s

STANDS, CANCELLED, CREDIT = range(3)
"""A debit line; one that a credit line took back; a credit line."""
ID_BYTES = 16
_SCHEMA = pa.schema([
    pa.field("event", pa.binary(ID_BYTES), nullable=False), pa.field("person", pa.int64(), nullable=False),
    pa.field("occurred", pa.int64(), nullable=False), pa.field("care", pa.int64(), nullable=False),
    pa.field("cents", pa.int64(), nullable=False), pa.field("state", pa.uint8(), nullable=False),
])
_NUMBERS = ("person", "occurred", "care", "cents")


def id_bytes(event_id: str) -> bytes:
    """16 bytes: an event id, decoded."""
    return base64.urlsafe_b64decode(event_id + "==")


class Claims:
    """Rows in the order of acceptance; about 150 bytes of memory each."""

    def __init__(self) -> None:
        self.row: dict[bytes, int] = {}
        """Id (16 bytes) → row."""
        self.person, self.occurred, self.care, self.cents = array("q"), array("q"), array("q"), array("q")
        self.state = bytearray()

    def add(self, event: bytes, person: int, occurred: int, care: int, cents: int, state: int = STANDS) -> None:
        """A line; `occurred` in µs since 1970."""
        self.row[event] = len(self.state)
        self.person.append(person)
        self.occurred.append(occurred)
        self.care.append(care)
        self.cents.append(cents)
        self.state.append(state)

    def extend(self, events: Sequence[bytes], person: Int64s, occurred: Int64s, care: Int64s, cents: Int64s) -> None:
        """Lines that stand, at once."""
        first = len(self.state)
        self.row.update(zip(events, range(first, first + len(events)), strict=True))
        columns = ((self.person, person), (self.occurred, occurred), (self.care, care), (self.cents, cents))
        for into, values in columns:
            into.frombytes(values.tobytes())
        self.state.extend(bytes([STANDS]) * len(events))

    def dump(self) -> pa.RecordBatch:
        """As a table."""
        ids = pa.Array.from_buffers(pa.binary(ID_BYTES), len(self.row), [None, pa.py_buffer(b"".join(self.row))])
        numbers = [pa.array(np.frombuffer(getattr(self, name), dtype=np.int64)) for name in _NUMBERS]
        state = pa.array(np.frombuffer(bytes(self.state), dtype=np.uint8))
        return pa.record_batch([ids, *numbers, state], schema=_SCHEMA)

    def load(self, tables: Tables, name: str) -> None:
        """Into an empty one.

        Raises:
            StoreError: no such table.
        """
        found = tables.batch(name, _SCHEMA)
        self.row = {event: row for row, event in enumerate(found.column("event").to_pylist())}
        columns: Mapping[str, array[int]] = {name: getattr(self, name) for name in _NUMBERS}
        for column, into in columns.items():
            into.frombytes(found.column(column).to_numpy().tobytes())
        self.state = bytearray(found.column("state").to_numpy().tobytes())
