"""Debit lines of one stretch, as arrays: the bulk of what a shard folds."""

from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa

from streams.columns import EventColumns
from streams.fixed import Bools, Int64s
from streams.passing import Passing
from streams.pseudonym import written


class Debits(NamedTuple):
    """n claim lines that are no credits, in the order of the log."""

    event: list[bytes]
    """(n,) ids, 16 bytes each."""
    repeated: Bools
    """(n,) whether another of them has the same id."""
    patient: Int64s
    """(n,) into `patients`."""
    patients: tuple[str, ...]
    """Pseudonyms, each once."""
    occurred: Int64s
    """(n,) µs since 1970"""
    pane: Int64s
    """(n,) that holds `occurred`; -1 before the grid, its count after it."""
    care: Int64s
    """(n,) into `care_types`."""
    care_types: tuple[str, ...]
    cents: Int64s
    """(n,) at least 0"""

    @classmethod
    def of(cls, columns: EventColumns, rows: Int64s, passing: Passing) -> Self:
        """Those at `rows`, which must be debit lines; `passing`: knows the grid."""
        ids, people = columns.event[rows], columns.patient[rows]
        encoded = _binary(ids.tobytes(), 16).dictionary_encode()
        place = encoded.indices.to_numpy(zero_copy_only=False)
        who = _binary(people.tobytes(), 32).dictionary_encode()
        return cls(
            event=ids.tolist(), repeated=np.bincount(place)[place] > 1,
            patient=who.indices.to_numpy(zero_copy_only=False).astype(np.int64),
            patients=tuple(map(written, who.dictionary.to_pylist())),
            occurred=columns.occurred[rows], pane=passing.panes_of(columns.occurred[rows]),
            care=columns.code[rows].astype(np.int64), care_types=columns.codes, cents=columns.value[rows],
        )

    def __len__(self) -> int:
        return len(self.event)


def _binary(data: bytes, size: int) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(size), len(data) // size, [None, pa.py_buffer(data)])
