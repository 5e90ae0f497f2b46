"""Debit lines and enrolments of one stretch, as arrays: the bulk of what a shard folds."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa

from streams.columns import EventColumns
from streams.fixed import Bools, Int64s, present
from streams.passing import Passing
from streams.people import NOBODY


class Debits(NamedTuple):
    """n claim lines that are no credits, in the order of the log."""

    event: list[bytes]
    """(n,) ids, 16 bytes each."""
    repeated: Bools
    """(n,) whether another of them has the same id."""
    patient: Int64s
    """(n,) into `patients`."""
    patients: list[bytes]
    """Pseudonyms, 32 bytes (streams.pseudonym), each once."""
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
        event, repeated = _ids(columns, rows)
        patient, patients = _patients(columns, rows)
        return cls(
            event=event, repeated=repeated, patient=patient, patients=patients, occurred=columns.occurred[rows],
            pane=passing.panes_of(columns.occurred[rows]), care=columns.code[rows].astype(np.int64),
            care_types=columns.codes, cents=columns.value[rows],
        )

    def __len__(self) -> int:
        return len(self.event)


class Enrolments(NamedTuple):
    """n enrolments, in the order of the log; instants in µs since 1970."""

    event: list[bytes]
    """(n,) ids, 16 bytes each."""
    repeated: Bools
    """(n,) whether another of them has the same id."""
    patient: Int64s
    """(n,) into `patients`."""
    patients: list[bytes]
    """Pseudonyms, 32 bytes, each once."""
    occurred: Int64s
    """(n,) when it begins."""
    recorded: Int64s
    """(n,)"""
    until: Int64s
    """(n,) the first instant after it; anything where it has no end."""
    has_until: Bools
    programme: Int64s
    """(n,) into `programmes`."""
    programmes: tuple[str, ...]

    @classmethod
    def of(cls, columns: EventColumns, rows: Int64s) -> Self:
        """Those at `rows`, which must be enrolments."""
        event, repeated = _ids(columns, rows)
        patient, patients = _patients(columns, rows)
        return cls(
            event=event, repeated=repeated, patient=patient, patients=patients, occurred=columns.occurred[rows],
            recorded=columns.recorded[rows], until=columns.until[rows], has_until=columns.has_until[rows],
            programme=columns.code[rows].astype(np.int64), programmes=columns.codes,
        )

    def by_programme(self, rows: Int64s) -> Iterator[tuple[str, Int64s]]:
        """Each programme that some of `rows` are of, and which."""
        for place in present(self.programme[rows]).tolist():
            yield self.programmes[place], rows[self.programme[rows] == place]


def persons(lines: Debits | Enrolments, some: Bools | Int64s, number: Callable[[list[bytes]], Int64s]) -> Int64s:
    """(n,) numbers of people, right for `some` of n lines: what `number` says of their patients."""
    found = np.full(len(lines.patients), NOBODY, dtype=np.int64)
    of = present(lines.patient[some])
    found[of] = number([lines.patients[place] for place in of.tolist()])
    return found[lines.patient]


def _ids(columns: EventColumns, rows: Int64s) -> tuple[list[bytes], Bools]:
    """(n,) ids, and which come more than once."""
    ids = columns.event[rows]
    place = _binary(ids.tobytes(), 16).dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return ids.tolist(), np.bincount(place)[place] > 1


def _patients(columns: EventColumns, rows: Int64s) -> tuple[Int64s, list[bytes]]:
    """(n,) places in the second, in which each patient is once."""
    who = _binary(columns.patient[rows].tobytes(), 32).dictionary_encode()
    return who.indices.to_numpy(zero_copy_only=False).astype(np.int64), who.dictionary.to_pylist()


def _binary(data: bytes, size: int) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(size), len(data) // size, [None, pa.py_buffer(data)])
