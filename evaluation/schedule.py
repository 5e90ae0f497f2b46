"""The table of expected windows: what ran, is due, waits for its panes, was missed, skipped or refused.

It follows from the agreement and what the nodes said in signed records; a state is shown when two of three nodes say
it. Why a window was late or missed is each node's own account, and shown as that.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from evaluation.awaited import Awaited, waits
from evaluation.calendar import expected_on
from evaluation.document import DateWindow, ScheduleRow
from evaluation.records import (
    BELIEVED,
    AnyRecord,
    Awaiting,
    Done,
    Events,
    Missed,
    PanesSealed,
    Refused,
    Skipped,
)
from policy.agreement import Terms
from policy.identity import NODES
from policy.window import Window

_Said = Literal["ran", "skipped", "refused", "missed"]
_ENDED: tuple[_Said, ...] = ("ran", "skipped")


@dataclass
class _Window:
    """What one node said of one scheduled window."""

    kpis: set[str] = field(default_factory=set)
    """KPIs that it computed."""
    due_at: datetime | None = None
    ended_at: datetime | None = None
    words: str | None = None
    skipped: bool = False
    missed: bool = False
    rule: str | None = None

    def state(self, kpis: frozenset[str], refused_all: str | None) -> _Said | None:
        """The furthest that the node came with it."""
        if self.skipped:
            return "skipped"
        if self.kpis >= kpis:
            return "ran"
        if self.rule is not None or refused_all is not None:
            return "refused"
        return "missed" if self.missed else None


class Timetable:
    """Collects records in any order; `rows` may be asked for at any time."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._windows = terms.draft.lattice.scheduled
        self._kpis = frozenset(p.kpi for p in terms.plans)
        self._said: list[dict[int, _Window]] = [{} for _ in range(NODES)]
        """By node, then window: no more than there are, whatever anybody sends."""
        self._refused_all: dict[int, str] = {}
        self._final: set[str] = set()
        self._sealed: dict[str, dict[int, int]] = {p.name: {} for p in terms.draft.parties}
        """Party → shard → panes, as its workers said."""
        self._awaiting: dict[int, Awaiting] = {}
        """Node → its last word."""

    def add(self, record: AnyRecord) -> None:
        """Take a record whose signature was checked; repeats change nothing."""
        match record:
            case Done():
                for said in self._of(record.node, record.windows):
                    said.kpis |= self._kpis.intersection(record.kpis) if record.kpis else self._kpis
                    said.due_at = said.due_at or record.due_at
                    said.ended_at = max(filter(None, (said.ended_at, record.ended_at)), default=None)
                    said.words = record.late or said.words
            case Skipped():
                for said in self._of(record.node, record.windows):
                    said.skipped, said.words = True, record.reason
            case Missed():
                for said in self._of(record.node, record.windows):
                    said.missed, said.words = True, said.words or record.reason
            case Refused(request=None, windows=()):
                self._refused_all[record.node] = record.rule
            case Refused(request=None):
                for said in self._of(record.node, record.windows):
                    said.rule = record.rule
            case Events(final=True):
                self._final.add(record.party)
            case PanesSealed():
                known = self._sealed[record.party]
                for shard, panes in record.sealed.items():
                    # A worker that was replaced may speak after its successor; what is sealed stays so.
                    known[shard] = max(known.get(shard, 0), panes)
            case Awaiting():
                last = self._awaiting.get(record.node)
                if last is None or last.said_at < record.said_at:
                    self._awaiting[record.node] = record
            case _:
                pass  # failed attempts and answers to requests say nothing of the schedule

    def rows(self, today: date | None = None) -> tuple[ScheduleRow, ...]:
        """A row for every scheduled window, in order.

        Args:
            today: local date in the agreement's zone; None: no window is due because of the calendar.
        """
        return tuple(self._row(window, today) for window in self._windows)

    def sealed_until(self) -> dict[str, date | None]:
        """Party → the first local day that it has not sealed in all shards; None: unknown."""
        draft = self._terms.draft
        return {
            party: None if any(shard not in known for shard in range(draft.shards))
            else draft.panes.first_day(min(draft.panes.count, *(known[shard] for shard in range(draft.shards))))
            for party, known in self._sealed.items()
        }

    def awaited(self) -> tuple[Awaited, ...]:
        """What nodes wait for, each as it said last."""
        return waits(self._terms.draft, self._awaiting.values())

    def _of(self, node: int, windows: Iterable[int]) -> Iterable[_Window]:
        for index in windows:
            if 0 <= index < len(self._windows):
                yield self._said[node].setdefault(index, _Window())

    def _row(self, window: Window, today: date | None) -> ScheduleRow:
        draft = self._terms.draft
        expected = expected_on(draft, window)
        nodes = {j: said[window.index] for j, said in enumerate(self._said) if window.index in said}
        nodes |= {j: _Window() for j in self._refused_all if j not in nodes}
        states = {
            j: state for j, said in nodes.items()
            if (state := said.state(self._kpis, self._refused_all.get(j))) is not None
        }
        ended = [state for state in states.values() if state in _ENDED]
        counted = Counter(ended if len(ended) >= BELIEVED else states.values()).most_common(1)
        agreed = counted[0][0] if counted and (len(ended) >= BELIEVED or counted[0][1] >= BELIEVED) else None
        complete = self._final == {p.name for p in draft.parties}
        said_by = [j for j, state in states.items() if state == agreed]
        rules = Counter(r for j in said_by if (r := nodes[j].rule or self._refused_all.get(j)) is not None)
        return ScheduleRow(
            window=DateWindow.of_panes(draft.panes, window.start, window.stop),
            expected=expected,
            state=agreed or ("due" if complete or (today is not None and expected <= today) else "waiting"),
            due_at=_middle(nodes[j].due_at for j in said_by), ended_at=_middle(nodes[j].ended_at for j in said_by),
            nodes=tuple(sorted(said_by)),
            said={str(j): words for j, said in sorted(nodes.items()) if (words := said.words)},
            rule=rules.most_common(1)[0][0] if agreed == "refused" and rules else None,
        )


def timetable(terms: Terms, records: Iterable[AnyRecord], today: date | None = None) -> tuple[ScheduleRow, ...]:
    """The table that follows from these records."""
    table = Timetable(terms)
    for record in records:
        table.add(record)
    return table.rows(today)


def _middle(values: Iterable[datetime | None]) -> datetime | None:
    """The middle one in time, the later of two: one node alone cannot choose it."""
    known = sorted(value for value in values if value is not None)
    return known[len(known) // 2] if known else None
