"""What holds of people from some time on, as arrays."""

from array import array
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from streams.intervals import Numbers


class Facts:
    """Values of one social field: (person, valid from, value), the latest valid one counts.

    `told` is how many cuts (streams.passing) had passed when a value came: at an earlier one it was not known.
    """

    def __init__(self) -> None:
        self._person, self._since, self._code, self._told = array("q"), array("q"), array("q"), array("q")
        self._codes: dict[str | None, int] = {None: 0}
        self._sorted: tuple[Numbers, Numbers, Numbers, Numbers] | None = None

    def add(self, person: int, since: int, value: str | None, told: int) -> None:
        """A value from `since` on; of equal ones the last added counts."""
        self._person.append(person)
        self._since.append(since)
        self._code.append(self._codes.setdefault(value, len(self._codes)))
        self._told.append(told)
        self._sorted = None

    def forget_people(self, people: Collection[int]) -> None:
        """People of whom nothing is asked for any more."""
        kept = [row for row, person in enumerate(self._person) if person not in people]
        self._person, self._since, self._code, self._told = (
            array("q", [column[row] for row in kept]) for column in (self._person, self._since, self._code, self._told)
        )
        self._sorted = None

    def rows(self) -> list[tuple[int, int, str | None, int]]:
        """(person, since, value, told) in the order in which they were added."""
        names = list(self._codes)
        found = zip(self._person, self._since, self._code, self._told, strict=True)
        return [(person, since, names[code], told) for person, since, code, told in found]

    def at(self, moment: int, value: str, people: int, cut: int) -> NDArray[np.bool_]:
        """(people,) whether the field equals `value` at `moment`, as far as it was known at a cut."""
        if self._sorted is None:
            columns = (self._person, self._since, self._code, self._told)
            person, since, code, told = (np.array(a, dtype=np.int64) for a in columns)
            order = np.lexsort((since, person))
            self._sorted = person[order], since[order], code[order], told[order]
        person, since, code, told = self._sorted
        valid = (since <= moment) & (told <= cut)
        found = np.zeros(people, dtype=np.int64)
        # Of several assignments to one place numpy keeps the last: the latest valid one.
        found[person[valid]] = code[valid]
        same: NDArray[np.bool_] = found == self._codes.get(value, -1)
        return same
