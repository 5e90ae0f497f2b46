"""Patients by number, in the order in which they were first heard of."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

import numpy as np

from streams.fixed import Int64s

NOBODY = -1


class People:
    """Pseudonyms (32 bytes, encrypted; see streams.pseudonym) and their numbers."""

    def __init__(self, patients: Iterable[bytes] = ()) -> None:
        self._number = {patient: number for number, patient in enumerate(patients)}

    def __len__(self) -> int:
        return len(self._number)

    def __iter__(self) -> Iterator[bytes]:
        """By number."""
        return iter(self._number)

    def find(self, patient: bytes) -> int | None:
        """The number of who is known."""
        return self._number.get(patient)

    def add(self, patient: bytes) -> int:
        """The number, a new one for who is new."""
        return self._number.setdefault(patient, len(self._number))

    def find_all(self, patients: Sequence[bytes]) -> Int64s:
        """(n,) numbers; NOBODY: not known."""
        return np.fromiter(map(self._number.get, patients, repeat(NOBODY)), dtype=np.int64, count=len(patients))

    def add_all(self, patients: Sequence[bytes]) -> Int64s:
        """(n,) numbers, new ones for those who are new."""
        found = self.find_all(patients)
        for place in np.flatnonzero(found == NOBODY).tolist():
            found[place] = self.add(patients[place])
        return found
