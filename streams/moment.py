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


def _checked(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"year {moment.year} lies outside {FIRST_YEAR}..{LAST_YEAR}")
    return moment
