"""The table of expected windows at one node: when each was due, and what kept it from running.

A window is due when all its inputs are complete. It is missed when something keeps it from running then: this node or
a peer was down, attempts failed, or the machine stood still. A missed window runs as soon as it can; its record says
why it is late.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from evaluation.records import Missed
from evaluation.state import NodeState
from policy.agreement import Terms
from policy.window import Window

GRACE = timedelta(seconds=2)
"""So much later than its inputs a window may run without being late."""
MAX_WORDS = 480
MAX_PAST = 64
"""Outages that are remembered once they are over."""


@dataclass
class Outage:
    """Something that keeps windows from running."""

    reason: str
    since: datetime | None
    until: datetime | None = None
    told: set[int] = field(default_factory=set)
    """Windows that were said to be missed because of it."""
    closed: bool = False
    """Whether its end was told, too."""

    def words(self) -> str:
        """As in: this node was down from … to …"""
        begin = "" if self.since is None else f" from {_time(self.since)}"
        end = "" if self.until is None else f" to {_time(self.until)}"
        return f"{self.reason}{begin}{end}"


class Expected:
    """Kept by one node; its due times are in the node's state."""

    def __init__(self, terms: Terms, state: NodeState, number: int) -> None:
        self._terms, self._state, self._number = terms, state, number
        self._windows = terms.draft.lattice.scheduled
        self._due = dict(state.ledger.due)
        self._unsaved = False
        self._now: dict[str, Outage] = {}
        self._past: list[Outage] = []

    def ended(self, window: int) -> bool:
        """Whether everything of a scheduled window was released or suppressed, or nothing of it can be any more."""
        closed = self._windows[window].start < self._state.ledger.closed
        return closed or all((plan.hash, window) in self._state.pairs for plan in self._terms.plans)

    def following(self) -> int:
        """Index of the first scheduled window that has not ended; their number if all have."""
        return next((w.index for w in self._windows if not self.ended(w.index)), len(self._windows))

    def note(self, complete_panes: int, newest: Mapping[int, datetime]) -> None:
        """Note which windows are due; `newest`: pane → when its last batch was sent."""
        for window in self._windows:
            if window.stop <= complete_panes and window.index not in self._due and not self.ended(window.index):
                stamps = [newest[p] for p in range(window.start, window.stop) if p in newest]
                self._due[window.index] = min(max(stamps, default=datetime.now(UTC)), datetime.now(UTC))
                self._unsaved = True

    def save(self) -> None:
        """Keep what is due and has not ended."""
        if self._unsaved:
            self._due = {w: at for w, at in self._due.items() if not self.ended(w)}
            self._state.update(due=dict(self._due))
            self._unsaved = False

    def was(self, reason: str, since: datetime | None, until: datetime) -> None:
        """Something is over that kept windows from running."""
        self._remember(Outage(reason, since, until))

    def begins(self, name: str, reason: str) -> None:
        """Something under this name keeps windows from running, from now on; nothing if it does already."""
        self._now.setdefault(name, Outage(reason, datetime.now(UTC)))

    def ends(self, name: str) -> None:
        """It does no longer."""
        outage = self._now.pop(name, None)
        if outage is not None:
            outage.until = datetime.now(UTC)
            self._remember(outage)

    def missed(self) -> list[Missed]:
        """What is to be said now, once."""
        now = datetime.now(UTC)
        waiting = {w: at for w, at in self._due.items() if not self.ended(w)}
        said = []
        for outage in (*self._past, *self._now.values()):
            end = outage.until or now
            new = {w for w, at in waiting.items() if at <= end and self._kept(outage, at, end)} - outage.told
            if not new and (outage.until is None or outage.closed or not outage.told):
                continue
            windows = new if outage.closed else new | outage.told
            outage.told |= new
            outage.closed = outage.until is not None
            said.append(Missed(
                agreement=self._state.ledger.agreement, node=self._number, windows=tuple(sorted(windows)),
                reason=outage.reason[:MAX_WORDS], since=outage.since, until=outage.until,
            ))
        return said

    def account(self, windows: Sequence[Window]) -> tuple[datetime | None, str | None]:
        """(when the last of these windows was due, why they run late), as far as they are scheduled."""
        stamps = [self._due[w.index] for w in windows if w.index in self._due]
        if not stamps:
            return None, None
        now, first = datetime.now(UTC), min(stamps)
        reasons = [
            outage.words() for outage in (*self._past, *self._now.values())
            if first <= (end := outage.until or now) and self._kept(outage, first, end)
        ]
        late = "; ".join(reasons)[:MAX_WORDS] if reasons and now - first >= GRACE else None
        return max(stamps), late

    @staticmethod
    def _kept(outage: Outage, due: datetime, end: datetime) -> bool:
        """Whether it kept a window, due before its end, for longer than nobody would notice."""
        return end - max(due, outage.since or due) >= GRACE

    def _remember(self, outage: Outage) -> None:
        self._past = [*self._past, outage][-MAX_PAST:]


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
