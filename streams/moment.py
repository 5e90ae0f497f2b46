"""Dates and times as sources write them."""

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

FIRST_YEAR, LAST_YEAR = 1850, 2200
"""Anything else is a slip of the pen, and would leave the range of zone rules."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
DATE_FORMATS = {
    "YYYY-MM-DD": r"(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)",
    "YYYYMMDD": r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)",
    "DD-MM-YYYY": r"(?P<d>\d\d)-(?P<m>\d\d)-(?P<y>\d{4})",
    "DD/MM/YYYY": r"(?P<d>\d\d)/(?P<m>\d\d)/(?P<y>\d{4})",
    "MM/DD/YYYY": r"(?P<m>\d\d)/(?P<d>\d\d)/(?P<y>\d{4})",
}
"""Ways in which sources write dates → their parts."""
_TIME = r"(?:[T ](?P<clock>\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(?P<offset>Z|[+-]\d\d:?\d\d)?)?"
DATE_LENGTH = len("2024-01-31")
_CACHED = 1 << 14

Reader = Callable[[str], datetime]


def is_date(text: str) -> bool:
    """Whether `text` has the form of a date without a time."""
    return _DATE.fullmatch(text) is not None


def start_reader(zone: str) -> Reader:
    """A function: text → its first instant; a date is local midnight in `zone`.

    It raises ValueError for anything but an ISO 8601 date, or a date-time with offset.
    """
    local = ZoneInfo(zone)

    @lru_cache(_CACHED)
    def midnight(text: str) -> datetime:
        if not is_date(text):
            raise ValueError("not an ISO 8601 date")
        return _checked(datetime.combine(date.fromisoformat(text), time(), local))

    def read(text: str) -> datetime:
        # Days repeat and are worth remembering; times hardly do.
        if len(text) == DATE_LENGTH:
            return midnight(text)
        if _MOMENT.fullmatch(text):
            return _checked(datetime.fromisoformat(text))
        raise ValueError("not an ISO 8601 date, or date-time with offset")

    return read


def stop_reader(zone: str) -> Reader:
    """A function: text → the first instant after it. A date is included to its end, as a FHIR Period's is."""
    local, start = ZoneInfo(zone), start_reader(zone)

    def read(text: str) -> datetime:
        if is_date(text):
            return _checked(datetime.combine(date.fromisoformat(text) + timedelta(days=1), time(), local))
        return start(text)

    return read


def source_readers(zone: str, date_format: str, *, end_inclusive: bool) -> tuple[Reader, Reader]:
    """Two functions for a source with conventions of its own: text → its first instant, and text → the end it means.

    A date, or a time without offset, is in `zone`. Midnight without offset is a date: tools add it to columns of
    dates. With `end_inclusive` an end that is a date is included to its end; a time is the instant itself.
    Both raise ValueError.

    Args:
        zone: a name of the IANA time zone database.
        date_format: one of DATE_FORMATS.
        end_inclusive: whether an end is the last day, or the first day after it.
    """
    local, pattern = ZoneInfo(zone), re.compile(DATE_FORMATS[date_format] + _TIME, re.ASCII)

    @lru_cache(_CACHED)
    def parsed(text: str) -> tuple[datetime, bool]:
        found = pattern.fullmatch(text)
        if found is None:
            raise ValueError(f"not a date of the form {date_format}, or a time on one")
        day, clock, offset = date(*(int(found[part]) for part in "ymd")), found["clock"], found["offset"]
        moment = datetime.combine(day, time.fromisoformat(clock) if clock else time(), local)
        if offset:
            moment = datetime.fromisoformat(f"{moment.replace(tzinfo=None).isoformat()}{offset}")
        return _checked(moment), not offset and moment.time() == time()

    def start(text: str) -> datetime:
        return parsed(text)[0]

    def stop(text: str) -> datetime:
        moment, is_day = parsed(text)
        if is_day and end_inclusive:
            return _checked(datetime.combine(moment.date() + timedelta(days=1), time(), local))
        return moment

    return start, stop


def _checked(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"year {moment.year} lies outside {FIRST_YEAR}..{LAST_YEAR}")
    return moment
