"""Panes and windows in event time.

A pane is the agreement's smallest period; a window is a half-open range of panes. Panes follow the calendar
of the agreement's time zone, so a daily pane lasts 23 to 25 hours and a monthly one 28 to 31 days.
docs/windows.md says what that means for who writes an agreement.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

PaneUnit = Literal["day", "week", "month", "year"]
WindowKind = Literal["tumbling", "hopping", "cumulative"]
MAX_PANES = 5_000
"""More than 13 years of daily panes; bounds what a peer's agreement can make us allocate."""


class PaneGrid(BaseModel):
    """`count` consecutive panes of one `unit`, the first starting at local midnight of `start`.

    A pane starts at the first instant at which the clocks of the zone show its first day: where clocks skip midnight,
    when they skip it; where they show midnight twice, the first time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: str
    unit: PaneUnit
    start: date
    count: int = Field(ge=1, le=MAX_PANES)

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"{zone!r} is not a time zone of the IANA database; expected one such as Europe/Amsterdam")
        return zone

    @model_validator(mode="after")
    def _on_the_calendar(self) -> Self:
        if self.unit in ("month", "year") and self.start.day != 1:
            raise ValueError(
                f"monthly and yearly panes start on the first of a month; found {self.start}. Take "
                f"{self.start.replace(day=1)}, or another first."
            )
        try:
            stamps = self._stamps
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{self.count} panes of a {self.unit} from {self.start} go beyond the calendar") from error
        for pane, (start, stop) in enumerate(pairwise(stamps)):
            if stop <= start:
                raise ValueError(
                    f"{self.zone} skipped the {self.unit} of {self.first_day(pane)}: that pane would last no time. "
                    "Take larger panes, or begin after it"
                )
        return self

    @property
    def shortest_days(self) -> int:
        """No pane has fewer days."""
        return {"day": 1, "week": 7, "month": 28, "year": 365}[self.unit]

    def first_day(self, pane: int) -> date:
        """The local date on which pane `pane` (0 ≤ pane ≤ count; count is the end of the grid) starts."""
        if not 0 <= pane <= self.count:
            raise IndexError(f"pane {pane} lies outside 0..{self.count}")
        if self.unit == "day":
            return self.start + timedelta(days=pane)
        if self.unit == "week":
            return self.start + timedelta(weeks=pane)
        months = self.start.month - 1 + (pane if self.unit == "month" else 12 * pane)
        return self.start.replace(year=self.start.year + months // 12, month=months % 12 + 1)

    def days(self, pane: int) -> int:
        """Calendar days in a pane."""
        return (self.first_day(pane + 1) - self.first_day(pane)).days

    @cached_property
    def edges(self) -> tuple[datetime, ...]:
        """The count + 1 instants that bound the panes, zone-aware."""
        zone = ZoneInfo(self.zone)
        return tuple(datetime.combine(self.first_day(p), time(), zone) for p in range(self.count + 1))

    @cached_property
    def _stamps(self) -> tuple[float, ...]:
        return tuple(edge.timestamp() for edge in self.edges)

    def pane_of(self, at: datetime) -> int | None:
        """The pane that holds the instant `at`, or None outside the grid.

        Raises:
            ValueError: `at` has no time zone.
        """
        if at.tzinfo is None:
            raise ValueError(f"{at.isoformat()} has no time zone")
        index = bisect_right(self._stamps, at.timestamp()) - 1
        return index if 0 <= index < self.count else None


class Window(BaseModel):
    """The panes start ≤ pane < stop, in one edition; `index` is its number in the agreement's lattice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int
    start: int
    stop: int


class WindowSpec(BaseModel):
    """Which windows run by themselves; lengths in panes.

    tumbling: windows of `size`, one after another. hopping: windows of `size`, one every `step`. cumulative: windows
    that all start with the first pane, or the first of every `every` panes, and grow by `step`: a year to date.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: WindowKind = "hopping"
    """Of windows with a size it may be left out."""
    size: int | None = Field(default=None, ge=1, le=MAX_PANES)
    step: int = Field(ge=1, le=MAX_PANES)
    every: int | None = Field(default=None, ge=1, le=MAX_PANES)
    """Panes after which cumulative windows begin anew; None: never."""

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, said: Any) -> Any:
        """One set of windows has one form, so one hash."""
        if not isinstance(said, dict):
            return said
        size, step = said.get("size"), said.get("step")
        if said.get("kind") == "tumbling" and step is None and size is not None:
            return {**said, "step": size}
        if "kind" not in said and size is not None and size == step:
            return {**said, "kind": "tumbling"}
        return said

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "cumulative":
            if self.size is not None:
                raise ValueError(
                    "cumulative windows grow, so they have no size. Leave it out; `every` says when they begin anew"
                )
            if self.every is not None and self.every % self.step:
                raise ValueError(
                    f"cumulative windows that grow by {self.step} do not end where they begin anew, every "
                    f"{self.every}. Take a multiple of step"
                )
            return self
        if self.size is None:
            raise ValueError(f"{self.kind} windows need a size; those that grow from one start are of kind cumulative")
        if self.every is not None:
            raise ValueError(f"every = {self.every} is for cumulative windows; {self.kind} ones begin every step panes")
        if (self.kind == "tumbling") != (self.size == self.step):
            raise ValueError(
                f"windows of {self.size} every {self.step} are not {self.kind}: tumbling ones have a step of their size"
            )
        return self

    def windows(self, panes: int) -> tuple[Window, ...]:
        """Every complete window over `panes` panes, in the order in which they end."""
        if self.size is not None:
            ranges = [(start, start + self.size) for start in range(0, panes - self.size + 1, self.step)]
        else:
            starts = range(0, panes, self.every or panes)
            ranges = [
                (start, stop) for start in starts
                for stop in range(start + self.step, min(start + (self.every or panes), panes) + 1, self.step)
            ]
        return tuple(Window(index=i, start=start, stop=stop) for i, (start, stop) in enumerate(ranges))

    def atoms(self, panes: int) -> tuple[tuple[int, int], ...]:
        """The intervals (start, stop) of panes into which all windows' endpoints cut the grid, in order."""
        cuts = sorted({edge for w in self.windows(panes) for edge in (w.start, w.stop)})
        return tuple(pairwise(cuts))

    @property
    def nested(self) -> bool:
        """Whether a window may lie within another, from the same start."""
        return self.kind == "cumulative" and self.every != self.step

    def words(self, unit: str = "pane") -> str:
        """As in: windows of 4 weeks every 2."""
        if self.size is not None:
            return f"windows of {counted(self.size, unit)} every {self.step}"
        again = "" if self.every is None else f", beginning anew every {counted(self.every, unit)}"
        return f"windows that grow by {counted(self.step, unit)}{again}"


class OnDemand(BaseModel):
    """Windows that may be asked for beside the scheduled ones: every union of neighbouring atoms up to a length."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    largest: int = Field(ge=1, le=MAX_PANES)
    """Most panes of one window."""


@dataclass(frozen=True)
class Lattice:
    """Every window that an agreement can release, each with one number.

    Scheduled windows are 0 … n − 1. The window of `length` panes from pane `start` on that is not scheduled is
    n + start · longest + length − 1, with `longest` what on-demand windows may measure. All of them begin and end where
    scheduled windows do, so that each is a union of the same atoms: what keeps atoms safe (mpc.disclosure) keeps
    every combination of these windows safe.
    Where results come in two editions (policy.maturity), these numbers are those of the first; the full edition of
    scheduled window i is n + panes · longest + i.
    """

    panes: int
    spec: WindowSpec
    on_demand: OnDemand | None = None
    editions: int = 1

    @cached_property
    def scheduled(self) -> tuple[Window, ...]:
        """The windows that run by themselves, in order; their index is their place."""
        return self.spec.windows(self.panes)

    @cached_property
    def full(self) -> tuple[Window, ...]:
        """The full editions of the scheduled windows, in order; none where results come in one edition."""
        if self.editions == 1:
            return ()
        return tuple(w.model_copy(update={"index": self._full_from + w.index}) for w in self.scheduled)

    def edition(self, index: int) -> int:
        """Of the window of that number: 1 if it is a full edition beside a provisional one, else 0."""
        return int(index >= self._full_from)

    @cached_property
    def atoms(self) -> tuple[tuple[int, int], ...]:
        """See WindowSpec.atoms."""
        return self.spec.atoms(self.panes)

    @cached_property
    def edges(self) -> tuple[int, ...]:
        """Panes at which a window may start or stop, ascending."""
        return tuple(sorted({edge for atom in self.atoms for edge in atom}))

    @property
    def largest(self) -> int:
        """Panes of the longest window; what totals must have room for."""
        return max(self.longest_scheduled, self._longest)

    @cached_property
    def longest_scheduled(self) -> int:
        """Panes of the longest window that runs by itself; 0 if none does."""
        return max((w.stop - w.start for w in self.scheduled), default=0)

    def at(self, start: int, stop: int) -> Window | None:
        """The window of the panes start ≤ pane < stop, in its first edition, or None if it is not agreed."""
        scheduled = self._by_panes.get((start, stop))
        if scheduled is not None:
            return scheduled
        if not 1 <= stop - start <= self._longest or not {start, stop} <= self._edges:
            return None
        index = len(self.scheduled) + start * self._longest + stop - start - 1
        return Window(index=index, start=start, stop=stop)

    def window(self, index: int) -> Window | None:
        """The window of that number, or None if there is none."""
        beyond = index - len(self.scheduled)
        if beyond < 0:
            return self.scheduled[index] if index >= 0 else None
        if self.edition(index):
            place = index - self._full_from
            return self.full[place] if place < len(self.full) else None
        start, length = beyond // self._longest, beyond % self._longest + 1
        found = self.at(start, start + length)
        return found if found is not None and found.index == index else None

    def is_scheduled(self, window: Window) -> bool:
        """Whether the window runs by itself, in its first edition."""
        return window.index < len(self.scheduled)

    @property
    def _full_from(self) -> int:
        """The number of the first full edition; above all others."""
        return len(self.scheduled) + self.panes * self._longest

    @property
    def _longest(self) -> int:
        return 0 if self.on_demand is None else self.on_demand.largest

    @cached_property
    def _edges(self) -> frozenset[int]:
        return frozenset(self.edges)

    @cached_property
    def _by_panes(self) -> dict[tuple[int, int], Window]:
        return {(w.start, w.stop): w for w in self.scheduled}


def counted(number: int, unit: str) -> str:
    """As in: 1 week, 2 weeks."""
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


@lru_cache(maxsize=16)
def lattice_of(panes: int, spec: WindowSpec, on_demand: OnDemand | None, editions: int) -> Lattice:
    """The lattice of an agreement, made once: it is asked for again and again."""
    return Lattice(panes, spec, on_demand, editions)
