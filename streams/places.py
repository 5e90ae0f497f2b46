"""What events that may be corrected say happened, and in which panes."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa

from streams.answers import Answer
from streams.chest import Tables, table
from streams.counted import Key

_STANDING = pa.schema([
    ("event", pa.string()), pa.field("person", pa.int64(), nullable=False),
    pa.field("least", pa.int64(), nullable=False), ("row", pa.int64()),
])
_PLACES = pa.schema([
    ("event", pa.string()), pa.field("pane", pa.int64(), nullable=False), ("kind", pa.string()), ("code", pa.string()),
    ("module", pa.string()), ("at", pa.float64()), ("score", pa.int64()),
])


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


def dump_standing(standing: Mapping[str, Standing]) -> dict[str, pa.RecordBatch]:
    """What stands, by event, as tables."""
    return {
        "standing": table(_STANDING, ((event, s.person, s.least, s.row) for event, s in standing.items())),
        "places": table(_PLACES, (
            (event, p.pane, *p.key, *(p.answer or (None, None))[:2]) for event, s in standing.items() for p in s.places
        )),
    }


def load_standing(tables: Tables) -> dict[str, Standing]:
    """What `dump_standing` took.

    Raises:
        StoreError: not its tables.
    """
    places: defaultdict[str, list[Place]] = defaultdict(list)
    for event, pane, kind, code, module, at, score in tables.rows("places", _PLACES):
        places[event].append(Place(pane, (kind, code, module), None if at is None else Answer(at, score, pane)))
    return {
        event: Standing(person, tuple(places[event]), of, least)
        for event, person, least, of in tables.rows("standing", _STANDING)
    }
