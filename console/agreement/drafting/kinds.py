"""Kinds of answers: each reads what somebody typed, or refuses it with what was found, expected and a way on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Protocol
from zoneinfo import available_timezones

from policy.agreement import FIRST_DAY, LAST_DAY

Value = str | int | date | tuple[str, ...] | None
"""None: nothing is agreed here."""
NONE: Final[frozenset[str]] = frozenset({"none", "geen"})
ALL: Final[frozenset[str]] = frozenset({"all", "alle"})
MOST_OF_AN_ANSWER: Final = 80
"""Characters of a wrong answer that are shown."""


class BadAnswerError(Exception):
    """An answer that cannot stand: `expected` and `next_step` are keys of the texts, `values` what fills their gaps."""

    def __init__(self, found: str, expected: str, next_step: str, **values: str) -> None:
        super().__init__(f"{expected}: {found}")
        shown = "".join(c if c.isprintable() else " " for c in found)
        self.found = shown if len(shown) <= MOST_OF_AN_ANSWER else f"{shown[:MOST_OF_AN_ANSWER]}…"
        self.expected, self.next_step, self.values = expected, next_step, values


class Kind(Protocol):
    """How an answer is read."""

    def read(self, text: str) -> Value:
        """What was answered.

        Raises:
            BadAnswerError: it cannot stand.
        """
        ...


@dataclass(frozen=True)
class Line:
    """Words on one line."""

    most: int = 200

    def read(self, text: str) -> str:
        """The line."""
        if not text or len(text) > self.most or not text.isprintable():
            raise BadAnswerError(text, "line_expected", "line_next", most=str(self.most))
        return text


@dataclass(frozen=True)
class Name:
    """A short name in small letters, unlike those that are `taken`."""

    taken: frozenset[str] = frozenset()
    pattern: str = r"[a-z][a-z0-9-]{0,39}"
    example: str = "hospital-west"

    def read(self, text: str) -> str:
        """The name."""
        if not re.fullmatch(self.pattern, text):
            raise BadAnswerError(text, "name_expected", "name_next", example=self.example)
        if text in self.taken:
            raise BadAnswerError(text, "taken_expected", "taken_next", taken=", ".join(sorted(self.taken)))
        return text


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`; with `none`, also none at all."""

    low: int
    high: int
    none: bool = False

    def read(self, text: str) -> int | None:
        """The number."""
        if self.none and text.lower() in NONE:
            return None
        digits = text.isascii() and text.isdecimal() and len(text) < 12
        if not digits or not self.low <= int(text) <= self.high:
            key = "whole_or_none" if self.none else "whole_expected"
            raise BadAnswerError(text, key, "whole_next", low=str(self.low), high=str(self.high))
        return int(text)


@dataclass(frozen=True)
class Day:
    """A date, on or after `low`; with `first`, the first of a month."""

    low: date = FIRST_DAY
    first: bool = False

    def read(self, text: str) -> date:
        """The date."""
        try:
            found = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else None
        except ValueError:
            found = None
        if found is None or not self.low <= found <= LAST_DAY:
            raise BadAnswerError(text, "day_expected", "day_next", low=self.low.isoformat(), high=LAST_DAY.isoformat())
        if self.first and found.day != 1:
            raise BadAnswerError(text, "first_expected", "first_next", first=found.replace(day=1).isoformat())
        return found


@dataclass(frozen=True)
class Zone:
    """A time zone."""

    def read(self, text: str) -> str:
        """Its name in the IANA database."""
        if text not in available_timezones():
            raise BadAnswerError(text, "zone_expected", "zone_next")
        return text


@dataclass(frozen=True)
class Choice:
    """One of `options`, by its name or its number in the list."""

    options: tuple[str, ...]

    def read(self, text: str) -> str:
        """The name."""
        return _chosen(text, self.options)


@dataclass(frozen=True)
class Several:
    """Some of `options`, by names or numbers, in the order of the list; with `none`, also none of them."""

    options: tuple[str, ...]
    none: bool = False

    def read(self, text: str) -> tuple[str, ...]:
        """The names."""
        if text.lower() in ALL:
            return self.options
        if self.none and text.lower() in NONE:
            return ()
        chosen = {_chosen(part, self.options) for part in _parts(text)}
        if not chosen:
            raise BadAnswerError(text, "choice_expected", "choice_next", options=", ".join(self.options))
        return tuple(option for option in self.options if option in chosen)


@dataclass(frozen=True)
class Names:
    """Names, each there once and read by `each`; with `none`, also no name."""

    each: Name
    most: int
    none: bool = False

    def read(self, text: str) -> tuple[str, ...]:
        """The names, in their order."""
        nothing = text.lower() in NONE
        if nothing and self.none:
            return ()
        found = () if nothing else tuple(self.each.read(part) for part in _parts(text))
        if not 0 < len(found) <= self.most or len(set(found)) != len(found):
            raise BadAnswerError(text, "names_expected", "names_next", most=str(self.most))
        return found


@dataclass(frozen=True)
class Terms:
    """Terms of a vocabulary: of those that are known (`options`) by number or name, of others as they are written."""

    options: tuple[str, ...]

    def read(self, text: str) -> tuple[str, ...]:
        """The terms, in the order in which they were named."""
        found = []
        for part in _parts(text):
            if part.isdecimal():
                found.append(_chosen(part, self.options))
            elif re.fullmatch(r"[a-z][a-z0-9+.-]*:[^\s\"\\<>]{1,200}", part) and part.isprintable():
                found.append(part)
            else:
                raise BadAnswerError(part, "term_expected", "term_next", example=self.options[0])
        if not found or len(set(found)) != len(found):
            raise BadAnswerError(text, "terms_expected", "term_next", example=self.options[0])
        return tuple(found)


def as_text(value: object) -> str | None:
    """A value as somebody would type it; None: nobody can have typed such a thing."""
    match value:
        case None | [] | ():
            return "none"
        case bool():
            return None
        case str():
            return value
        case int() | date():
            return str(value)
        case list() | tuple():
            return ", ".join(value) if all(isinstance(item, str) for item in value) else None
        case _:
            return None


def _chosen(text: str, options: Sequence[str]) -> str:
    if text in options:
        return text
    if text.isascii() and text.isdecimal() and len(text) < 4 and 1 <= int(text) <= len(options):
        return options[int(text) - 1]
    raise BadAnswerError(text, "choice_expected", "choice_next", options=", ".join(options))


def _parts(text: str) -> list[str]:
    return [part for part in re.split(r"[\s,;]+", text) if part]
