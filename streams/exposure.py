"""Enrolments as arrays become intervals of a programme: what streams.panes does with one, of many at once."""

from zoneinfo import ZoneInfo

import numpy as np

from streams.debits import Enrolments
from streams.fixed import Int64s
from streams.intervals import LIMIT, Programme
from streams.rowwise import event_name, moment

_SECOND = 1_000_000


def starts(lines: Enrolments, origin: float) -> Int64s:
    """(n,) whole seconds from `origin`, a whole second since 1970, to where each begins, rounded down."""
    return lines.occurred // _SECOND - int(origin)


def put_all(
    programme: Programme, lines: Enrolments, rows: Int64s, person: Int64s, origin: float, zone: ZoneInfo, told: int
) -> None:
    """Add the enrolments at `rows`, none of whose ids the programme has.

    Args:
        programme: theirs.
        lines: enrolments.
        rows: (k,) of `lines`.
        person: (k,) whose they are.
        origin: the grid's start, in seconds since 1970.
        zone: whose days count.
        told: cuts that had passed (streams.passing).
    """
    has_until = lines.has_until[rows]
    until = np.where(has_until, lines.until[rows], 0)
    stop = np.where(has_until, -(-until // _SECOND) - int(origin), LIMIT)
    # The day of the last instant is the last one enrolled.
    end = np.where(has_until, _days(until - 1, zone) + 1, LIMIT)
    names = [event_name(lines.event[row]) for row in rows.tolist()]
    programme.extend(names, person, starts(lines, origin)[rows], stop, (_days(lines.occurred[rows], zone), end), told)


def _days(at: Int64s, zone: ZoneInfo) -> Int64s:
    """(n,) ordinals of the local dates of n instants, in µs since 1970."""
    some, of = np.unique(at, return_inverse=True)
    days = [moment(instant).astimezone(zone).toordinal() for instant in some.tolist()]
    return np.array(days, dtype=np.int64)[of]
