"""Clauses: what an agreement says, one thing at a time, with what a change of it does to patients' protection.

The summary prints clauses, the comparison compares them: what one of them knows of an agreement, the other knows too.
"""

from dataclasses import dataclass
from typing import Final, Literal

Effect = Literal["weaker", "stronger", "neutral"]
Level = int | frozenset[str]
"""Numbers are in order; sets are if one is part of the other."""
SectionId = Literal[
    "who", "shared", "why", "computed", "periods", "readers", "asking", "never", "nodes", "alerts", "late", "patients",
    "withdrawal", "ends", "assumed", "keys",
]


@dataclass(frozen=True)
class Weight:
    """What changes of a clause do to the protection of patients; None: that has to be weighed by people."""

    there: Effect | None = None
    """That there is such a clause; that it is gone does the opposite."""
    more: Effect | None = None
    """That its level is higher; that it is lower does the opposite."""
    level: Level | None = None


TO_WEIGH: Final = Weight()
NEUTRAL: Final = Weight(there="neutral", more="neutral")


@dataclass(frozen=True)
class Clause:
    """One thing that an agreement says."""

    key: str
    """What it is about: the same in every version of an agreement, and unlike that of every other clause."""
    text: str
    weight: Weight = TO_WEIGH
    about: str = ""
    """Heading within the section."""
    binding: bool = True
    """Whether it is signed; only that is compared."""


@dataclass(frozen=True)
class Section:
    """Clauses on one subject, in the order in which they are read."""

    id: SectionId
    clauses: tuple[Clause, ...]


def opposite(effect: Effect | None) -> Effect | None:
    """What the contrary of a change does."""
    match effect:
        case "weaker":
            return "stronger"
        case "stronger":
            return "weaker"
        case _:
            return effect


def effect(before: Clause | None, after: Clause | None) -> Effect | None:
    """What it does that one clause stands in the place of another; None: to be weighed, or nothing there at all."""
    if before is None or after is None:
        found = after or before
        there = None if found is None else found.weight.there
        return there if before is None else opposite(there)
    old, new = before.weight.level, after.weight.level
    more = after.weight.more
    if more == "neutral":
        return more
    if isinstance(old, int) and isinstance(new, int):
        return "neutral" if old == new else more if new > old else opposite(more)
    if isinstance(old, frozenset) and isinstance(new, frozenset):
        return "neutral" if old == new else more if new > old else opposite(more) if new < old else None
    return None
