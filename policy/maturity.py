"""Maturities: when what came late is shared, and which revisions of a pane results are made of.

A pane is shared when it is sealed (revision 0). What comes later waits until the pane is one of the agreed numbers of
days old, counted from its end and the party's grace, and is shared then, together with all else that was late.
"""

from datetime import date, timedelta
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_MATURITIES = 12
"""Each costs every node one more share of every pane."""
MAX_DAYS = 3_660
"""Ten years: what is kept of a pane until its last maturity is kept in memory."""


class Maturities(BaseModel):
    """When panes are shared anew; by default never."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: tuple[Annotated[int, Field(ge=1, le=MAX_DAYS)], ...] = Field(default=(), max_length=MAX_MATURITIES)
    """After a pane's end and grace, ascending: one revision each."""
    release: Literal["seal", "maturity", "both"] = "seal"
    """Results are made of panes as they were when first sealed; or of panes at their last maturity, and wait for it; or
    come in two editions, a provisional one at the seal and a full one at the last maturity.

    The difference of two editions is about those alone of whom something was late: so the full one comes out only where
    nobody or enough patients changed (mpc.changes).
    """
    revisions: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Most runs that make full editions, for `both`; they count in the agreement's quota too."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(later <= earlier for earlier, later in pairwise(self.days)):
            raise ValueError(
                f"maturities {list(self.days)} do not ascend. Name each number of days once, the smallest first"
            )
        if self.release != "seal" and not self.days:
            raise ValueError("release at maturity, but no days after which panes are mature. Name them, or leave it")
        if (self.release == "both") != (self.revisions is not None):
            raise ValueError(
                f"release {self.release!r} with revisions = {self.revisions}. Say how many runs may make full editions "
                "if results come in two, and leave it out otherwise"
            )
        return self

    @property
    def last(self) -> int:
        """The last revision of a pane."""
        return len(self.days)

    @property
    def editions(self) -> tuple[int, ...]:
        """The revision of panes that each edition of a window is made of."""
        return {"seal": (0,), "maturity": (self.last,), "both": (0, self.last)}[self.release]

    def check_calendar(self, last_day: date) -> None:
        """Refuse maturities after the year 9999; `last_day`: on which the panes end.

        Raises:
            ValueError: it does not fit.
        """
        try:
            last_day + timedelta(days=max(self.days, default=0))
        except OverflowError:
            raise ValueError(
                f"panes that end on {last_day} mature beyond the calendar. Agree on fewer panes"
            ) from None
