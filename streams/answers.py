"""PROM answers of one instrument: each patient's first one, and how later ones differ from it."""

from array import array
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from streams.intervals import STANDS, Numbers

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
    """Answers; each has a row. What no longer stands stays, for earlier cuts (streams.passing).

    `told` is how many cuts had passed when something came, and `gone` when it was taken back: at a cut, what had come
    before it and was not taken back by then is known.
    """

    def __init__(self) -> None:
        self._answers: list[Answer] = []
        self._person, self._score, self._told, self._gone = array("q"), array("q"), array("q"), array("q")
        self._of: dict[int, list[int]] = {}
        """Person → rows that stand."""
        self._in_pane: dict[int, array[int]] = {}
        self._order: Numbers | None = None
        """All rows by person, and each person's from the first answer to the last."""

    def add(self, person: int, answer: Answer, told: int) -> int:
        """A new answer's row."""
        row = len(self._answers)
        self._answers.append(answer)
        columns = (self._person, self._score, self._told, self._gone)
        for column, value in zip(columns, (person, answer.score, told, STANDS), strict=True):
            column.append(value)
        self._of.setdefault(person, []).append(row)
        self._in_pane.setdefault(answer.pane, array("q")).append(row)
        self._order = None
        return row

    def rows(self) -> list[tuple[int, float, int, int, int, int]]:
        """(person, at, score, pane, told, gone) of all rows in order."""
        return [
            (person, *answer, told, gone)
            for person, answer, told, gone in zip(self._person, self._answers, self._told, self._gone, strict=True)
        ]

    def remove(self, row: int, gone: int) -> None:
        """The answer in a row no longer stands."""
        self._gone[row] = gone
        self._of[self._person[row]].remove(row)

    def forget_people(self, people: Collection[int]) -> None:
        """People of whom nothing is asked for any more: of their answers only empty rows stay, known at no cut."""
        for row in [row for row, person in enumerate(self._person) if person in people]:
            self._in_pane[self._answers[row].pane].remove(row)
            self._answers[row] = Answer(0.0, 0, NOBODY)
            self._score[row] = self._told[row] = self._gone[row] = 0
            self._of.pop(self._person[row], None)
        self._order = None

    def moved(self, person: int, removed: Collection[int], added: Answer | None, since: int = 0) -> Sequence[int]:
        """The panes from `since` on, in any order and with repeats, in which answers are compared with another one when
        `removed` no longer stand and `added` does.
        """
        answers = [(row, self._answers[row]) for row in self._of.get(person, ())]
        panes = [answer.pane for _, answer in answers if answer.pane >= since]
        if not panes:
            return ()
        left = [answer for row, answer in answers if row not in removed]
        after = min([*left, added] if added is not None else left, default=None)
        return panes if after != min(answer for _, answer in answers) else ()

    def follow_ups(self, pane: int, cut: int) -> tuple[Numbers, Numbers]:
        """(people, score − first score) of the answers of a pane that are not their patient's first, at a cut."""
        rows = np.array(self._in_pane.get(pane, ()), dtype=np.int64)
        if not len(rows):
            return rows, rows
        columns = (self._person, self._score, self._told, self._gone)
        person, score, told, gone = (np.frombuffer(column, dtype=np.int64) for column in columns)
        known = (told <= cut) & (gone > cut)
        if self._order is None:
            at = np.array([answer.at for answer in self._answers])
            # Of equal answers the one with the lowest row.
            self._order = np.lexsort((score, at, person))
        ordered = self._order[known[self._order]]
        who = person[ordered]
        heads = np.flatnonzero(np.diff(who, prepend=NOBODY))
        rows = rows[known[rows]]
        first = ordered[heads[np.searchsorted(who[heads], person[rows])]]
        later = rows != first
        return person[rows[later]], score[rows[later]] - score[first[later]]
