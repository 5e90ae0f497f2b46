"""What adds up in a pane: contributions of people to measures, kept until the pane is sealed for the last time."""

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from policy.measure import Measure
from streams.counted import Key, counted
from streams.fixed import Int64s
from streams.intervals import Numbers


class _Pane:
    """(person, measure, value, told) of one pane."""

    __slots__ = ("measure", "person", "told", "value")

    def __init__(self) -> None:
        self.person, self.measure, self.value, self.told = array("q"), array("q"), array("q"), array("i")

    def add(self, person: int, measure: int, value: int, told: int) -> None:
        self.person.append(person)
        self.measure.append(measure)
        self.value.append(value)
        self.told.append(told)

    def extend(self, person: Int64s, measure: int, value: Int64s, told: int) -> None:
        self.person.frombytes(person.tobytes())
        self.measure.frombytes(np.full(len(person), measure, dtype=np.int64).tobytes())
        self.value.frombytes(value.tobytes())
        self.told.frombytes(np.full(len(person), told, dtype=np.intc).tobytes())


class Contributions:
    """Of one shard, by pane; `measures`: all of the party's, by whose places they are called.

    `told` is how many cuts (streams.passing) had passed when something came: at an earlier one it was not known.
    """

    def __init__(self, measures: Sequence[Measure]) -> None:
        self._measures = measures
        self._panes: defaultdict[int, _Pane] = defaultdict(_Pane)
        self._counted: dict[Key, tuple[tuple[int, int], ...]] = {}
        self._costs: dict[str, tuple[tuple[int, bool], ...]] = {}

    def add(self, pane: int, person: int, key: Key, number: int, told: int) -> None:
        """What counts, `number` times; a negative number takes back."""
        found = self._counted.get(key)
        if found is None:
            found = self._counted[key] = counted(self._measures, key)
        for index, value in found:
            self._panes[pane].add(person, index, number * value, told)

    def add_claim(self, pane: int, person: int, care_type: str, cents: int, sign: int, told: int) -> None:
        """A debit line (sign 1) or a credit line (-1)."""
        for index, is_sum in self._of(care_type):
            self._panes[pane].add(person, index, sign * cents if is_sum else sign, told)

    def add_debits(
        self, pane: Int64s, person: Int64s, care: Int64s, care_types: Sequence[str], cents: Int64s, told: int
    ) -> None:
        """N debit lines at once; `care`: (n,) into `care_types`."""
        ones = np.ones(len(pane), dtype=np.int64)
        for number in np.unique(pane).tolist():
            here = pane == number
            for place, name in enumerate(care_types):
                mine = here & (care == place)
                if mine.any():
                    for index, is_sum in self._of(name):
                        self._panes[number].extend(person[mine], index, (cents if is_sum else ones)[mine], told)

    def _of(self, care_type: str) -> tuple[tuple[int, bool], ...]:
        """(measure, whether it adds cents) of the measures that a claim counts for."""
        found = self._costs.get(care_type)
        if found is None:
            found = self._costs[care_type] = tuple(
                (index, m.aggregation == "sum")
                for index, m in enumerate(self._measures)
                if m.kind == "claim" and m.care_type in (None, care_type)
            )
        return found

    def sums(self, pane: int, measure: int, people: int, cut: int) -> Numbers:
        """(people,) what adds up for a measure, as far as it was known at a cut."""
        value: NDArray[np.int64] = np.zeros(people, dtype=np.int64)
        if (found := self._panes.get(pane)) is not None:
            mine = (np.array(found.measure) == measure) & (np.array(found.told) <= cut)
            np.add.at(value, np.array(found.person)[mine], np.array(found.value)[mine])
        return value

    def forget(self, pane: int) -> None:
        """A pane that is never sealed again."""
        self._panes.pop(pane, None)

    def forget_people(self, people: Collection[int]) -> None:
        """People of whom nothing is asked for any more."""
        for pane, held in self._panes.items():
            kept = ~np.isin(np.array(held.person), list(people))
            if not kept.all():
                left = self._panes[pane] = _Pane()
                for name in _Pane.__slots__:
                    getattr(left, name).frombytes(np.array(getattr(held, name))[kept].tobytes())

    def rows(self) -> Iterator[tuple[int, int, int, int, int]]:
        """(pane, person, measure, value, told)"""
        for pane, e in self._panes.items():
            for row in zip(e.person, e.measure, e.value, e.told, strict=True):
                yield pane, *row

    def restore(self, rows: Iterable[tuple[int, int, int, int, int]]) -> None:
        """What `rows` gave, into an empty one."""
        for pane, person, measure, value, told in rows:
            self._panes[pane].add(person, measure, value, told)
