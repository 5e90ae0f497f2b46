"""What events that may be corrected say happened, and in which panes."""

from typing import NamedTuple

from streams.answers import Answer
from streams.counted import Key


class Place(NamedTuple):
    """What an event says happened in a pane."""

    pane: int
    key: Key
    answer: Answer | None


class Standing(NamedTuple):
    """What stands of an event that may be corrected."""

    person: int
    places: tuple[Place, ...]
    row: int | None
    """Of a PROM answer."""
    least: int
    """The earliest that it, or anything that it took back, said; µs since 1970."""
