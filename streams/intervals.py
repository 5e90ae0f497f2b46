"""Enrolment intervals of many people, as arrays."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
LIMIT = 1 << 33
"""Seconds from the grid's start, either way, that are told apart: 272 years. 2·LIMIT·people stays below 2^63."""


MOST_MERGED = 8
"""Versions merged and kept: a revision is made of two."""


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


STANDS = (1 << 31) - 1
"""Until what stands has been replaced: later than every cut."""


class Programme:
    """Who was enrolled when in one programme; an interval can be replaced.

    What it was before stays, for earlier cuts (streams.passing). `told`: how many cuts had passed when something came.
    """

    def __init__(self) -> None:
        self._event: list[str] = []
        self._person: list[int] = []
        self._start: list[int] = []
        self._stop: list[int] = []
        self._first_day: list[int] = []
        self._end_day: list[int] = []
        self._told: list[int] = []
        self._until: list[int] = []
        """What had passed when it was replaced."""
        self._columns = (
            self._person, self._start, self._stop, self._first_day, self._end_day, self._told, self._until
        )
        self._row: dict[str, int] = {}
        """Event → its latest row."""
        self._arrays: list[Numbers] = []
        """The columns; none when they have changed."""
        self._merged: dict[bytes, tuple[Spans, Spans]] = {}
        """By the rows that were known; of those asked for last."""

    def interval(self, event_id: str) -> tuple[int, int] | None:
        """The interval (start, stop) of an event, if known."""
        row = self._row.get(event_id)
        return None if row is None else (self._start[row], self._stop[row])

    def put(
        self, event_id: str, person: int, start: int, stop: int, days: tuple[int, int], told: int, until: int = STANDS
    ) -> None:
        """Add or replace an interval: seconds from the grid's start, and local days (first, first after)."""
        start, stop = max(-LIMIT, min(start, LIMIT)), max(-LIMIT, min(stop, LIMIT))
        self._arrays.clear()
        row = self._row.get(event_id)
        if row is not None:
            self._until[row] = min(told, self._until[row])
        self._row[event_id] = len(self._event)
        self._event.append(event_id)
        for column, value in zip(self._columns, (person, start, stop, *days, told, until), strict=True):
            column.append(value)

    def extend(
        self, event_ids: Sequence[str], person: Numbers, start: Numbers, stop: Numbers, days: tuple[Numbers, Numbers],
        told: int,
    ) -> None:
        """`put` of n events, none of which is known."""
        self._arrays.clear()
        n, first = len(event_ids), len(self._event)
        self._row.update(zip(event_ids, range(first, first + n), strict=True))
        self._event += event_ids
        start, stop = np.clip(start, -LIMIT, LIMIT), np.clip(stop, -LIMIT, LIMIT)
        arrays = (person, start, stop, *days, np.full(n, told), np.full(n, STANDS))
        for column, values in zip(self._columns, arrays, strict=True):
            column.extend(values.tolist())

    def forget(self, cut: int) -> None:
        """Nobody asks for earlier cuts any more."""
        self._drop([until <= cut for until in self._until])

    def forget_people(self, people: Collection[int]) -> None:
        """Nobody asks for these people any more."""
        self._drop([person in people for person in self._person])

    def _drop(self, gone: Sequence[bool]) -> None:
        if not any(gone):
            return
        self._event = [event for event, is_gone in zip(self._event, gone, strict=True) if not is_gone]
        for column in self._columns:
            column[:] = [value for value, is_gone in zip(column, gone, strict=True) if not is_gone]
        self._row = {event: row for row, event in enumerate(self._event)}
        self._arrays.clear()

    def rows(self) -> list[tuple[str, int, int, int, int, int, int, int]]:
        """(event, person, start, stop, first day, first day after, told, until), in the order in which they came."""
        return list(zip(self._event, *self._columns, strict=True))

    def _at(self, cut: int) -> tuple[Spans, Spans]:
        """What was known at a cut: enrolments in seconds, and in days."""
        if not self._arrays:
            self._merged.clear()
            self._arrays = [np.array(column, dtype=np.int64) for column in self._columns]
        *_, told, until = self._arrays
        known = (told <= cut) & (until > cut)
        name = np.packbits(known).tobytes()
        if name not in self._merged:
            if len(self._merged) == MOST_MERGED:
                self._merged.clear()
            person, start, stop, first, end = (column[known] for column in self._arrays[:-2])
            self._merged[name] = merge(person, start, stop), merge(person, first, end)
        return self._merged[name]

    def whole(self, start: int, stop: int, cut: int) -> Numbers:
        """People enrolled during the whole of start ≤ t < stop."""
        spans, _ = self._at(cut)
        return spans.person[(spans.start <= start) & (spans.stop >= stop)]

    def begun(self, before: int, cut: int) -> Numbers:
        """People enrolled at any time before `before`, possibly repeated."""
        spans, _ = self._at(cut)
        return spans.person[spans.start < before]

    def days(self, first: int, end: int, cut: int) -> tuple[Numbers, Numbers]:
        """(people, days) with the number of local days in first ≤ day < end; a person may come repeatedly."""
        _, spans = self._at(cut)
        overlap = np.minimum(spans.stop, end) - np.maximum(spans.start, first)
        some = overlap > 0
        return spans.person[some], overlap[some]
