"""Enrolment intervals of many people, as arrays."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
LIMIT = 1 << 33
"""Seconds from the grid's start, either way, that are told apart: 272 years. 2·LIMIT·people stays below 2^63."""


class Spans(NamedTuple):
    """Half-open intervals start ≤ t < stop, disjoint and apart within a person."""

    person: Numbers
    start: Numbers
    stop: Numbers


def merge(person: Numbers, start: Numbers, stop: Numbers) -> Spans:
    """Join intervals of a person that overlap or touch; all arrays (n,), values within ±LIMIT."""
    order = np.lexsort((start, person))
    person, start, stop = person[order], start[order], stop[order]
    if not len(person):
        return Spans(person, start, stop)
    # Each person on a stretch of its own, so that one running maximum serves all.
    shift = person * (2 * LIMIT + 1)
    reach = np.maximum.accumulate(stop + shift)
    first = np.ones(len(person), dtype=bool)
    first[1:] = start[1:] + shift[1:] > reach[:-1]
    heads = np.flatnonzero(first)
    tails = np.append(heads[1:], len(person)) - 1
    return Spans(person[heads], start[heads], reach[tails] - shift[tails])


class Programme:
    """Who was enrolled when in one programme; an interval can be replaced."""

    def __init__(self) -> None:
        self._person: list[int] = []
        self._start: list[int] = []
        self._stop: list[int] = []
        self._first_day: list[int] = []
        self._end_day: list[int] = []
        self._row: dict[str, int] = {}
        self._spans: Spans | None = None
        self._days: Spans | None = None

    def interval(self, event_id: str) -> tuple[int, int] | None:
        """The interval (start, stop) of an event, if known."""
        row = self._row.get(event_id)
        return None if row is None else (self._start[row], self._stop[row])

    def put(self, event_id: str, person: int, start: int, stop: int, days: tuple[int, int]) -> None:
        """Add or replace an interval: seconds from the grid's start, and local days (first, first after)."""
        start, stop = max(-LIMIT, min(start, LIMIT)), max(-LIMIT, min(stop, LIMIT))
        self._spans = self._days = None
        row = self._row.get(event_id)
        if row is None:
            self._row[event_id] = len(self._person)
            self._person.append(person)
            self._start.append(start)
            self._stop.append(stop)
            self._first_day.append(days[0])
            self._end_day.append(days[1])
        else:
            self._start[row], self._stop[row] = start, stop
            self._first_day[row], self._end_day[row] = days

    def extend(
        self, event_ids: Sequence[str], person: Numbers, start: Numbers, stop: Numbers, days: tuple[Numbers, Numbers]
    ) -> None:
        """`put` of n events, none of which is known."""
        self._spans = self._days = None
        first = len(self._person)
        self._row.update(zip(event_ids, range(first, first + len(event_ids)), strict=True))
        self._person += person.tolist()
        self._start += np.clip(start, -LIMIT, LIMIT).tolist()
        self._stop += np.clip(stop, -LIMIT, LIMIT).tolist()
        self._first_day += days[0].tolist()
        self._end_day += days[1].tolist()

    def rows(self) -> list[tuple[str, int, int, int, int, int]]:
        """(event, person, start, stop, first day, first day after), in the order in which they were first put."""
        return [
            (event, self._person[i], self._start[i], self._stop[i], self._first_day[i], self._end_day[i])
            for event, i in self._row.items()
        ]

    def _merged(self) -> tuple[Spans, Spans]:
        if self._spans is None or self._days is None:
            person = np.array(self._person, dtype=np.int64)
            self._spans = merge(person, _array(self._start), _array(self._stop))
            self._days = merge(person, _array(self._first_day), _array(self._end_day))
        return self._spans, self._days

    def whole(self, start: int, stop: int) -> Numbers:
        """People enrolled during the whole of start ≤ t < stop."""
        spans, _ = self._merged()
        return spans.person[(spans.start <= start) & (spans.stop >= stop)]

    def begun(self, before: int) -> Numbers:
        """People enrolled at any time before `before`, possibly repeated."""
        spans, _ = self._merged()
        return spans.person[spans.start < before]

    def days(self, first: int, end: int) -> tuple[Numbers, Numbers]:
        """(people, days) with the number of local days in first ≤ day < end; a person may come repeatedly."""
        _, spans = self._merged()
        overlap = np.minimum(spans.stop, end) - np.maximum(spans.start, first)
        some = overlap > 0
        return spans.person[some], overlap[some]


def _array(values: list[int]) -> Numbers:
    return np.array(values, dtype=np.int64)
