"""Maturities: when what came late is shared.

A pane is shared when it is sealed (revision 0). What comes later waits until the pane is one of the agreed numbers of
days old, counted from its end and the party's grace, and is shared then, together with all else that was late.
"""

from datetime import date, timedelta
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field

MAX_MATURITIES = 12
"""Each costs every node one more share of every pane."""
MAX_DAYS = 3_660
"""Ten years: what is kept of a pane until its last maturity is kept in memory."""


def _ascending(days: tuple[int, ...]) -> tuple[int, ...]:
    if any(later <= earlier for earlier, later in pairwise(days)):
        raise ValueError(f"maturities {list(days)} do not ascend. Name each number of days once, the smallest first")
    return days


Maturities = Annotated[
    tuple[Annotated[int, Field(ge=1, le=MAX_DAYS)], ...],
    Field(max_length=MAX_MATURITIES),
    AfterValidator(_ascending),
]
"""Days after a pane's end and grace, ascending; none: a pane is shared once."""


def check_calendar(last_day: date, maturities: tuple[int, ...]) -> None:
    """Refuse maturities after the year 9999.

    Raises:
        ValueError: with the day on which the panes end.
    """
    try:
        last_day + timedelta(days=max(maturities, default=0))
    except OverflowError:
        raise ValueError(f"panes that end on {last_day} mature beyond the calendar. Agree on fewer panes") from None
