"""How far the sources of one source partition are, before each of its events and after them.

What counts is what a source said before an event in that partition, never how many records came together.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.columns import ENDED, NEVER, Mark
from streams.envelope import Heartbeat
from streams.fixed import Int64s
from streams.rowwise import micros

MICROS_PER_DAY = 86_400_000_000


class Source(NamedTuple):
    """An agreed source."""

    name: str
    bound: int
    """µs that its events may come late."""


class Course(NamedTuple):
    """The way of one partition over n events."""

    watermark: Int64s
    """(n,) before each event."""
    clock: Int64s
    """(n,) the latest recorded_at before each event."""
    marks: dict[str, Mark]
    """Afterwards."""


def course(
    sources: Sequence[Source], marks: Mapping[str, Mark], offset: Int64s, source: NDArray[np.uint8], occurred: Int64s,
    recorded: Int64s, heartbeats: Sequence[tuple[int, Heartbeat]],
) -> Course:
    """Follow one partition over accepted events and heartbeats.

    Args:
        sources: the agreed ones, at least one.
        marks: where they stood before.
        offset: (n,) of the events, ascending.
        source: (n,) index into `sources`.
        occurred: (n,) µs since 1970.
        recorded: (n,) µs since 1970.
        heartbeats: offset and heartbeat; of a source that is not agreed it changes nothing.
    """
    n = len(offset)
    watermark, clock = np.full(n + 1, ENDED, dtype=np.int64), np.full(n + 1, NEVER, dtype=np.int64)
    after: dict[str, Mark] = {}
    for index, (name, bound) in enumerate(sources):
        mark, mine = marks.get(name, Mark()), source == index
        told, final, heard = np.full(n + 1, NEVER, dtype=np.int64), mark.final, np.full(n + 1, NEVER, dtype=np.int64)
        ended = np.zeros(n + 1, dtype=np.bool_)
        for at, heartbeat in heartbeats:
            if heartbeat.source != name:
                continue
            # The first event after it.
            place = int(np.searchsorted(offset, at))
            if heartbeat.until is None or heartbeat.recorded_at is None:
                ended[place:], final = True, True
                continue
            recorded_at = micros(heartbeat.recorded_at)
            told[place] = max(told[place], min(micros(heartbeat.until), recorded_at))
            heard[place] = max(heard[place], recorded_at)
        latest = _running(mark.occurred, np.where(mine, occurred, NEVER))
        seen = _running(mark.seen, np.where(mine, recorded, NEVER))
        said = np.maximum.accumulate(np.maximum(told, mark.told))
        read = np.maximum(np.maximum.accumulate(np.maximum(heard, mark.recorded)), seen)
        spoken = latest != NEVER
        stands = np.maximum(said, np.where(spoken, np.minimum(np.where(spoken, latest, 0) - bound, seen), NEVER))
        watermark = np.minimum(watermark, np.where(ended | mark.final, ENDED, stands))
        clock = np.maximum(clock, read)
        after[name] = Mark(
            told=int(said[-1]), occurred=int(latest[-1]), seen=int(seen[-1]), recorded=int(read[-1]), final=final
        )
    return Course(watermark[:n], clock[:n], after)


def least(sources: Sequence[Source], marks: Mapping[str, Mark]) -> int:
    """The watermark of a partition: the least of its sources'."""
    return min(marks.get(name, Mark()).watermark(bound) for name, bound in sources)


def _running(start: int, values: Int64s) -> Int64s:
    """(n + 1,) the largest so far, before each of n values and after them."""
    found: Int64s = np.maximum.accumulate(np.concatenate([np.array([start], dtype=np.int64), values]))
    return found
