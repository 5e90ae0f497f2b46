"""PROM answers of one instrument: each patient's first one, and how later ones differ from it."""

from array import array
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from streams.intervals import Numbers

NOBODY = -1


class Answer(NamedTuple):
    """Answers are in order of time; of several at one instant the one with the lowest score comes first."""

    at: float
    """Seconds since 1970."""
    score: int
    """Hundredths of a point."""
    pane: int
    """-1: before the first pane."""


class Answers:
    """Answers that stand; each has a row."""

    def __init__(self) -> None:
        self._answers: list[Answer] = []
        self._person, self._score = array("q"), array("q")
        self._stands = bytearray()
        self._of: dict[int, list[int]] = {}
        """Person → rows that stand."""
        self._first = array("q")
        """Person → row of the first answer that stands, or NOBODY."""
        self._in_pane: dict[int, array[int]] = {}

    def add(self, person: int, answer: Answer) -> int:
        """A new answer's row."""
        row = len(self._answers)
        self._answers.append(answer)
        self._person.append(person)
        self._score.append(answer.score)
        self._stands.append(1)
        self._of.setdefault(person, []).append(row)
        self._in_pane.setdefault(answer.pane, array("q")).append(row)
        self._find_first(person)
        return row

    def rows(self) -> list[tuple[int, float, int, int, bool]]:
        """(person, at, score, pane, whether it stands) of all rows in order."""
        return [
            (person, *answer, bool(stands))
            for person, answer, stands in zip(self._person, self._answers, self._stands, strict=True)
        ]

    def remove(self, row: int) -> None:
        """The answer in a row no longer stands."""
        person = self._person[row]
        self._stands[row] = 0
        self._of[person].remove(row)
        self._find_first(person)

    def moves_sealed(self, person: int, removed: Collection[int], added: Answer | None, sealed: int) -> bool:
        """Whether without `removed` and with `added` another answer is the first, while panes 0 ≤ pane < sealed hold
        answers of the person.
        """
        answers = [(row, self._answers[row]) for row in self._of.get(person, ())]
        if not any(0 <= answer.pane < sealed for _, answer in answers):
            return False
        left = [answer for row, answer in answers if row not in removed]
        after = min([*left, added] if added is not None else left, default=None)
        return after != min(answer for _, answer in answers)

    def follow_ups(self, pane: int) -> tuple[Numbers, Numbers]:
        """(people, score − first score) of the answers of a pane that are not their patient's first."""
        rows = np.array(self._in_pane.get(pane, ()), dtype=np.int64)
        rows = rows[np.frombuffer(self._stands, dtype=np.uint8)[rows] == 1]
        person = np.frombuffer(self._person, dtype=np.int64)[rows]
        first = np.frombuffer(self._first, dtype=np.int64)[person]
        later = rows != first
        score = np.frombuffer(self._score, dtype=np.int64)
        return person[later], score[rows[later]] - score[first[later]]

    def _find_first(self, person: int) -> None:
        while len(self._first) <= person:
            self._first.append(NOBODY)
        rows = self._of[person]
        self._first[person] = min(rows, key=lambda row: self._answers[row]) if rows else NOBODY
