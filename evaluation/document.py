"""The result document: what an evaluation says to people and programs.

One document describes an evaluation so far: `winnow evaluate --json` prints the last one, the pages show the
current one. `python -m evaluation.document` prints its JSON Schema.
"""

import json
import sys
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from evaluation.errors import (
    EXIT_BUG,
    EXIT_ENDED,
    EXIT_INTEGRITY,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EXIT_SUPPRESSED,
    EXIT_UNREACHABLE,
)
from policy.window import PaneGrid

Status = Literal["running", "released", "suppressed", "refused", "failed", "unreachable", "integrity", "interrupted"]
"""running: not over yet. released: ended, something came out (cells may be suppressed). suppressed: ended, nothing
reached the minimum. refused: a rule of the agreement said no. The rest: ended early, by a bug, by a peer, broker
or chain that is gone, by a failed integrity check, by the user."""

EXIT_CODES: Final[dict[Status, int]] = {
    "released": EXIT_ENDED, "failed": EXIT_BUG, "refused": EXIT_REFUSED, "suppressed": EXIT_SUPPRESSED,
    "unreachable": EXIT_UNREACHABLE, "integrity": EXIT_INTEGRITY, "interrupted": EXIT_INTERRUPTED,
}
DISCLOSURE_RULES: Final = frozenset({"minimum-cohort", "disclosure"})
"""Refusals that depend on the data; they carry no number, and are called suppression."""

Count = Annotated[int, Field(ge=0)]
Number = Annotated[int | float, Field(allow_inf_nan=False)]
Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]


class Frozen(BaseModel):
    """Immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DateWindow(Frozen):
    """Local dates of the agreement's time zone: start ≤ day < end."""

    start: date
    end: date

    @classmethod
    def of_panes(cls, grid: PaneGrid, start: int, stop: int) -> "DateWindow":
        """The days of the panes start ≤ pane < stop."""
        return cls(start=grid.first_day(start), end=grid.first_day(stop))

    @model_validator(mode="after")
    def _ordered(self) -> "DateWindow":
        if self.end <= self.start:
            raise ValueError(f"window ends {self.end}, which is not after its start {self.start}")
        return self


class Release(Frozen):
    """One number that the agreement let out."""

    kpi: str
    window: DateWindow
    revision: Count = 0
    """1: the full edition of a window of which there was a provisional one; that one stays, superseded."""
    edition: Literal["provisional", "full"] | None = None
    """Without or with what came late; None where results come in one edition."""
    cell: dict[str, str] = {}
    """Dimension → category; empty for all patients."""
    output: str = Field(pattern=r"^(value|sums\.[a-z]+(\.[a-z]+)*)$")
    """"value", or "sums.<quantity>" with a quantity of the plan."""
    value: Number
    low: Number | None = None
    high: Number | None = None
    """Bounds of the 95 % interval; None where the output has none."""
    unit: str
    on_demand: bool = False
    """Whether the window is one that only runs when somebody asks for it."""
    noise: Literal["in-interval", "unsaid"] | None = Field(default=None, exclude_if=lambda noise: noise is None)
    """What was added for privacy: the interval allows for it, or nothing here says how much it is. Without it, none."""

    @model_validator(mode="after")
    def _interval(self) -> "Release":
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval needs both bounds or neither")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"interval [{self.low}; {self.high}] is upside down")
        return self


class Refusal(Frozen):
    """A rule that kept something in. None for kpi, window or cell means: all of them."""

    kpi: str | None = None
    window: DateWindow | None = None
    revision: Count = 0
    """1: only the window's full edition is kept in."""
    cell: dict[str, str] | None = None
    rule: Code
    found: Number | str | None = None
    """None where the rule depends on the data."""
    required: Number | str | None = None
    nodes: tuple[Annotated[int, Field(ge=0, le=2)], ...] = ()
    """The nodes that refused, each on its own account."""

    @property
    def suppression(self) -> bool:
        """Whether the rule depends on the data."""
        return self.rule in DISCLOSURE_RULES


class Events(Frozen):
    """What became of a party's events; accepted + rejected = read."""

    read: Count = 0
    accepted: Count = 0
    rejected: dict[Code, Count] = {}
    """Reason → events."""
    late_pending: Count = 0
    """Accepted and stored, but after a pane they change was sealed, or of a patient not linked in this epoch. Where
    maturities are agreed on, the former are shared at the pane's next one.
    """
    late_after_maturity: Count = 0
    """Accepted and stored, but after the last maturity of a pane they change: in no result."""

    @model_validator(mode="after")
    def _nothing_lost(self) -> "Events":
        rejected = sum(self.rejected.values())
        if self.accepted + rejected != self.read:
            raise ValueError(f"accepted {self.accepted} + rejected {rejected} is not read {self.read}")
        late = self.late_pending + self.late_after_maturity
        if late > self.accepted:
            raise ValueError(f"late_pending and late_after_maturity, {late}, exceed accepted {self.accepted}")
        return self


class Run(Frozen):
    """One authorised run of the nodes: linkage (no windows) or the release of windows."""

    id: str
    windows: tuple[DateWindow, ...] = ()
    revision: Count = 0
    """Of the windows; as in Release."""
    batch: Count = 0
    """Of a linkage: which batch of the parties' registers it linked; 0 is what they had on the linkage date."""
    epoch: Annotated[int, Field(ge=1)] = 1
    """Of a linkage: how many batches were linked together when its epoch began; more than 1: they were linked anew."""
    outcome: Code
    seconds: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    """Phase → seconds, in the order of the phases."""


class AlertRow(Frozen):
    """An alert after one window; rows come by alert, then window."""

    id: str
    kpi: str
    cell: dict[str, str] = {}
    """Dimension → category; empty for all patients."""
    window: DateWindow
    when: Literal["above", "below"]
    raise_at: str
    clear_at: str
    """Decimals in the KPI's unit."""
    state: Literal["raised", "clear", "no-data"]
    """no-data: the window's cell was not released; the alert stays as it was."""
    changed: bool
    """Whether it was raised or cleared by this window; before the first it is clear."""


class ScheduleRow(Frozen):
    """One scheduled window and what became of it."""

    window: DateWindow
    expected: date
    """First local day on which all its inputs can be complete."""
    state: Literal["ran", "due", "waiting", "missed", "skipped", "refused"]
    """waiting: for its panes. due: they must be complete by now. missed: due, but it could not run, and runs when it
    can. skipped: everything of it ended in another way, such as by a request."""
    due_at: AwareDatetime | None = None
    """When the nodes had all that it needs."""
    ended_at: AwareDatetime | None = None
    nodes: tuple[Annotated[int, Field(ge=0, le=2)], ...] = ()
    """The nodes that say so."""
    said: dict[Annotated[str, Field(pattern=r"^[0-2]$")], str] = {}
    """Node → why it was late, missed or skipped, in that node's words."""
    rule: Code | None = None
    """By which it was refused."""


class Document(Frozen):
    """An evaluation, so far or as it ended."""

    status: Status = "running"
    releases: tuple[Release, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    events: dict[str, Events] = {}
    """Party → its events."""
    runs: tuple[Run, ...] = ()
    alerts: tuple[AlertRow, ...] = ()
    """Those whose recipient this document is made for."""
    schedule: tuple[ScheduleRow, ...] = ()
    """Every scheduled window, in order."""


def settled(
    releases: Sequence[Release], refusals: Sequence[Refusal], alerts: Sequence[AlertRow] = (),
) -> Status:
    """The status of an evaluation that came to its end: a refusal by policy outweighs what was released before it."""
    if any(not refusal.suppression for refusal in refusals):
        return "refused"
    return "released" if releases or any(row.state != "no-data" for row in alerts) else "suppressed"


def exit_code(status: Status) -> int:
    """The process exit code of an evaluation that ended with `status`.

    Raises:
        ValueError: the evaluation is still running.
    """
    if status not in EXIT_CODES:
        raise ValueError(f"status {status!r} is not an end; expected one of {', '.join(EXIT_CODES)}")
    return EXIT_CODES[status]


def document_schema() -> dict[str, Any]:
    """The JSON Schema of the document as it is printed."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Document.model_json_schema(mode="serialization"),
    }


if __name__ == "__main__":
    json.dump(document_schema(), sys.stdout, indent=2)
    sys.stdout.write("\n")
