"""The history of one KPI in one cell: every window the agreement provides for, with its number or its gap."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from evaluation.document import DateWindow, Document, Refusal, Release
from policy.agreement import Draft
from policy.kpi import Kpi, ValueUnit

State = Literal["released", "suppressed", "refused", "pending"]
Cell = dict[str, str]
REFERENCES: Final[dict[ValueUnit, int]] = {"ratio": 1, "EUR/patient-month": 0, "points": 0}
"""The value that means: no difference between the arms. A share compares nothing."""


@dataclass(frozen=True)
class Point:
    """One window: a release, a refusal, or (both None) nothing yet.

    Of a provisional release the refusal is that of its full edition.
    """

    window: DateWindow
    release: Release | None = None
    refusal: Refusal | None = None

    @property
    def state(self) -> State:
        """What became of the window."""
        if self.release is not None:
            return "released"
        if self.refusal is None:
            return "pending"
        return "suppressed" if self.refusal.suppression else "refused"


@dataclass(frozen=True)
class Series:
    """One KPI in one cell, oldest window first."""

    kpi: Kpi
    cell: Cell
    points: tuple[Point, ...]

    @property
    def latest(self) -> Release | None:
        """The release of the latest released window."""
        return next((p.release for p in reversed(self.points) if p.release is not None), None)

    @property
    def reference(self) -> int | None:
        """The value that means: no difference; None where nothing is compared."""
        return REFERENCES.get(self.kpi.value_unit)

    def count(self, state: State) -> int:
        """Number of windows in that state."""
        return sum(point.state == state for point in self.points)


def cells(kpi: Kpi) -> tuple[Cell, ...]:
    """All patients first, then each category."""
    return ({}, *({name: category} for name, categories in kpi.strata.items() for category in categories))


def expected_windows(draft: Draft) -> tuple[DateWindow, ...]:
    """Every window of the agreement, oldest first."""
    return tuple(DateWindow.of_panes(draft.panes, w.start, w.stop) for w in draft.lattice.scheduled)


def series(document: Document, kpi: Kpi, cell: Cell, expected: Sequence[DateWindow]) -> Series:
    """Put a document's releases and refusals of one KPI and cell on the line of expected windows.

    A released window shows its latest revision; one that only ran on demand is shown if it is expected. Without a
    release, a refusal of exactly this window and cell comes first, then wider ones; a category without a word of its
    own shares the total's refusal.
    """
    released: dict[DateWindow, Release] = {}
    for release in document.releases:
        shown = not release.on_demand or release.window in expected
        if shown and release.kpi == kpi.id and release.cell == cell and release.output == "value":
            known = released.get(release.window)
            if known is None or release.revision >= known.revision:
                released[release.window] = release
    refused: dict[tuple[DateWindow | None, int], tuple[int, Refusal]] = {}
    for refusal in document.refusals:
        if refusal.kpi in {None, kpi.id} and refusal.cell in (None, {}, cell):
            near = 2 if refusal.cell == cell else 1 if refusal.cell is None else 0
            key = (refusal.window, refusal.revision)
            if near >= refused.get(key, (0, refusal))[0]:
                refused[key] = (near, refusal)

    def refusal_of(window: DateWindow) -> Refusal | None:
        known = released.get(window)
        if known is not None and known.edition != "provisional":
            return None
        found = refused.get((window, 0 if known is None else 1), refused.get((None, 0)))
        return None if found is None else found[1]

    known_windows = sorted({*expected, *released}, key=lambda w: (w.end, w.start))
    return Series(kpi=kpi, cell=cell, points=tuple(
        Point(window=w, release=released.get(w), refusal=refusal_of(w)) for w in known_windows
    ))


def asked(document: Document, kpi: Kpi, cell: Cell, scheduled: Sequence[DateWindow]) -> Series:
    """One KPI and cell of the windows that ran on demand only, oldest first."""
    windows = {r.window for r in document.releases if r.on_demand and r.kpi == kpi.id}
    windows |= {r.window for r in document.refusals if r.suppression and r.kpi == kpi.id and r.window is not None}
    beyond = sorted(windows.difference(scheduled), key=lambda w: (w.end, w.start))
    found = series(document, kpi, cell, beyond)
    return Series(kpi=kpi, cell=cell, points=tuple(p for p in found.points if p.window in beyond))
