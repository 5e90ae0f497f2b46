"""A recipient's account of an evaluation: signed records and recombined results become the result document."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Literal

from evaluation.answers import Answer, Answers
from evaluation.awaited import Awaited
from evaluation.document import AlertRow, DateWindow, Document, Refusal, Release, Run, Status, settled
from evaluation.document import Events as EventsRow
from evaluation.errors import Tampered
from evaluation.records import (
    BELIEVED,
    Answered,
    AnyRecord,
    Awaiting,
    Closed,
    Done,
    Erased,
    Events,
    Failed,
    Missed,
    PanesSealed,
    Refused,
    Skipped,
)
from evaluation.results import Released, ResultShares, combine, combine_alerts
from evaluation.schedule import Timetable
from policy.agreement import Terms
from policy.growth import spare_links
from policy.identity import NODES
from policy.window import Window

_Cell = tuple[tuple[str, str], ...]
MAX_PENDING = 16
"""Results of one node that wait for the other two's; further ones are left."""
MAX_REFUSALS = 50_000


@dataclass
class _RunAccount:
    id: str
    windows: tuple[int, ...]
    kpis: frozenset[str]
    batch: int
    """Of a linkage."""
    epoch: int
    done: dict[int, Done] = field(default_factory=dict)


@dataclass
class _RefusalAccount:
    refusal: Refusal
    nodes: set[int] = field(default_factory=set)


class Account:
    """Collects in any order; `document` may be asked for at any time."""

    def __init__(self, terms: Terms, recipient: str) -> None:
        self._terms = terms
        self._recipient = recipient
        self._lattice = terms.draft.lattice
        self._scheduled = range(len(self._lattice.scheduled))
        self._expected = frozenset(self._scheduled) | {w.index for w in self._lattice.full}
        """Windows that run by themselves, in every edition."""
        later = len(terms.draft.batch_edges)
        linkages = later + spare_links(terms.draft.linkage.renew_batches, later)
        self._most_runs = linkages + 2 * len(self._expected) + sum(r.runs for r in terms.draft.requesters)
        """Runs that one node is believed to have done: more is a flood."""
        self._kpis = frozenset(p.kpi for p in terms.plans)
        self._mine = self._kpis.intersection(next(r.kpis for r in terms.draft.recipients if r.name == recipient))
        self._runs: dict[tuple[str, tuple[int, ...], frozenset[str], int, int], _RunAccount] = {}
        """By run, windows, KPIs, batch, epoch: so nobody can claim a run for others before the rest has spoken."""
        self._answers, self._timetable = Answers(), Timetable(terms)
        self._refusals: dict[tuple[object, ...], _RefusalAccount] = {}
        self._refused_windows: dict[int, set[int]] = {}
        self._refused_all: set[int] = set()
        self._closed = [0] * NODES
        """By node: leading panes in which rows are erased."""
        self._events: dict[str, Events] = {}
        self._shares: dict[str, dict[int, ResultShares]] = {}
        self._released: dict[str, list[Released]] = {}
        self._alerts = {a.id: a for a in terms.draft.alerts if a.recipient == recipient}
        self._states: dict[str, dict[int, bool | None]] = {alert: {} for alert in self._alerts}
        """Alert → scheduled window → raised; None: no data."""

    def add_record(self, record: AnyRecord) -> None:
        """Take a record whose signature was checked; repeats change nothing."""
        self._timetable.add(record)
        match record:
            case Done():
                self._add_done(record)
            case Answered():
                self._answers.add(record)
            case Refused() if record.request is None:
                self._add_refused(record)
            case Refused():
                self._answers.add(record)
            case Events():
                self._events[record.party] = record
            case Closed():
                self._closed[record.node] = max(record.panes, self._closed[record.node])
            case Awaiting() | Failed() | Missed() | Skipped() | PanesSealed() | Erased():
                pass  # these change nothing of what came out or will not; the topic keeps them

    def add_result(self, shares: ResultShares) -> None:
        """Take one node's shares; the third of a run recombines them.

        Raises:
            evaluation.errors.Tampered, mpc.errors.IntegrityError: the shares do not fit; nothing is released.
        """
        if shares.run in self._released:
            return
        if shares.run not in self._shares and sum(shares.node in s for s in self._shares.values()) >= MAX_PENDING:
            return
        if any(self._lattice.window(cell.window) is None for kpi in shares.kpis for cell in kpi.cells):
            raise Tampered(f"node {shares.node} has results for windows that the agreement does not have")
        if any(
            a.alert not in self._alerts or any(w not in self._scheduled for w in (*a.windows, *a.no_data))
            for a in shares.alerts
        ):
            raise Tampered(f"node {shares.node} has states of alerts that are not this recipient's, or of no window")
        found = self._shares.setdefault(shares.run, {})
        found.setdefault(shares.node, shares)  # the first one counts: a repeat after a restart is the same
        if len(found) == NODES:
            run = list(found.values())
            cells, states = combine(run, self._terms.plans), combine_alerts(run)
            self._released[shares.run] = cells
            for state in states:
                self._states[state.alert].setdefault(state.window, state.raised)
            del self._shares[shares.run]

    @property
    def complete(self) -> bool:
        """Whether every window of the agreement has ended at every node, and its results are here."""
        everybody = set(range(NODES))
        if self._refused_all == everybody:
            return True
        if not self._delivered:
            return False
        if any(
            len(run.done) == NODES and self._expects(run) and run.id not in self._released
            for run in self._runs.values()
        ):
            return False
        ended = self._computed()
        return all(
            self._refused_all | self._refused_windows.get(w, set())
            | {j for j in everybody if ended.get((j, w), frozenset()) >= self._kpis} == everybody
            for w in self._expected
        )

    @property
    def recombined(self) -> int:
        """Runs whose results are here."""
        return len(self._released)

    @property
    def progress(self) -> tuple[int, int]:
        """(scheduled windows that ended at every node, scheduled windows of the agreement)."""
        return len(self._ended().intersection(self._scheduled)), len(self._scheduled)

    def answer(self, request: str) -> Answer:
        """What the nodes say about a request (its digest)."""
        return self._answers.about(request)

    def settled(self, kpi: str, window: int) -> bool:
        """Whether a KPI of this recipient ended for a window at two nodes or more, and what came out of it is here."""
        return any(
            kpi in run.kpis and window in run.windows
            and (run.id in self._released or not self._expects(run, {kpi}, {window}))
            for run in self._believed()
        )

    def covered(self) -> set[tuple[str, int]]:
        """(KPI, window) of all that ended or that a request made run, as two nodes say."""
        found = {(kpi, window) for run in self._believed() for kpi in run.kpis for window in run.windows}
        return found | {(kpi, window) for _, _, _, window, kpis in self._answers.admitted() for kpi in kpis}

    def runs_used(self, requester: str) -> int:
        """New runs of a requester, as two nodes say."""
        return sum(who == requester and outcome == "run" for _, who, outcome, _, _ in self._answers.admitted())

    @property
    def stopped(self) -> Refusal | None:
        """The rule by which two nodes or more refuse everything that is left."""
        return next((
            a.refusal.model_copy(update={"nodes": tuple(sorted(a.nodes))}) for a in self._refusals.values()
            if a.refusal.window is None and not a.refusal.suppression and len(a.nodes) >= BELIEVED
        ), None)

    @property
    def complete_panes(self) -> int:
        """Panes whose inputs are surely complete: those of windows that ended, or all when every party has finished."""
        if self._delivered:
            return self._terms.draft.panes.count
        return max((self._window(w).stop for run in self._believed() for w in run.windows), default=0)

    @property
    def erased_panes(self) -> int:
        """Leading panes in which rows are erased, as enough nodes say; they do so once they are."""
        return sorted(self._closed)[-BELIEVED]

    def sealed_until(self) -> dict[str, date | None]:
        """Party → the first local day that it has not sealed in all its shards; None: unknown."""
        return self._timetable.sealed_until()

    def awaited(self) -> tuple[Awaited, ...]:
        """What nodes wait for, each as it said last."""
        return self._timetable.awaited()

    def document(self, today: date | None = None) -> Document:
        """The account so far; `today` (local) tells which windows the calendar makes due."""
        releases, refusals = self.releases(), self.refusals()
        alerts = tuple(self.alert_rows())
        status: Status = settled(releases, refusals, alerts) if self.complete else "running"
        return Document(
            status=status, releases=releases, refusals=refusals, runs=tuple(self._run_rows()), alerts=alerts,
            schedule=self._timetable.rows(today),
            events={
                p.name: self._events_row(p.name) for p in self._terms.draft.parties if p.name in self._events
            },
        )

    def _add_done(self, record: Done) -> None:
        if any(self._lattice.window(w) is None for w in record.windows):
            return
        if not self._kpis.issuperset(record.kpis):
            return
        kpis = frozenset(record.kpis) or self._kpis
        key = (record.run, record.windows, kpis, record.batch, record.epoch)
        if key not in self._runs and sum(record.node in r.done for r in self._runs.values()) > self._most_runs:
            return
        run = self._runs.setdefault(key, _RunAccount(*key))
        run.done[record.node] = record
        for cell in record.suppressed:
            window = self._lattice.window(cell.window)
            if window is not None:
                self._refuse(record.node, Refusal(
                    kpi=cell.kpi, window=self._dates(window), revision=self._lattice.edition(window.index),
                    cell=cell.cell, rule=cell.rule, required=cell.required,
                ))

    def _add_refused(self, record: Refused) -> None:
        windows = [self._window(w) for w in record.windows if w in self._expected]
        if not windows:
            self._refused_all.add(record.node)
            self._refuse(record.node, Refusal(rule=record.rule, found=record.found, required=record.required))
        for window in windows:
            self._refused_windows.setdefault(window.index, set()).add(record.node)
            self._refuse(record.node, Refusal(
                window=self._dates(window), revision=self._lattice.edition(window.index), rule=record.rule,
                found=record.found, required=record.required,
            ))

    def _refuse(self, node: int, refusal: Refusal) -> None:
        cell: _Cell | None = None if refusal.cell is None else tuple(sorted(refusal.cell.items()))
        window = refusal.window
        dates = None if window is None else (window.start.isoformat(), window.end.isoformat())
        key = (refusal.kpi, dates, cell, refusal.rule, refusal.required, refusal.revision)
        if key in self._refusals or len(self._refusals) < MAX_REFUSALS:
            self._refusals.setdefault(key, _RefusalAccount(refusal)).nodes.add(node)

    @property
    def _delivered(self) -> bool:
        """Whether every party has read all of its files."""
        return {p for p, e in self._events.items() if e.final} == {p.name for p in self._terms.draft.parties}

    def _believed(self) -> list[_RunAccount]:
        """Runs that enough nodes say are done."""
        return [run for run in self._runs.values() if len(run.done) >= BELIEVED]

    def _ended(self) -> set[int]:
        """Windows of which every KPI is done at every node."""
        computed = self._computed()
        return {
            w for w in {w for _, w in computed}
            if all(computed.get((j, w), frozenset()) >= self._kpis for j in range(NODES))
        }

    def _computed(self) -> dict[tuple[int, int], set[str]]:
        """(node, window) → the KPIs that it computed for it."""
        found: dict[tuple[int, int], set[str]] = {}
        for run in self._runs.values():
            for node in run.done:
                for window in run.windows:
                    found.setdefault((node, window), set()).update(run.kpis)
        return found

    def _expects(
        self, run: _RunAccount, kpis: Collection[str] | None = None, windows: Collection[int] | None = None
    ) -> bool:
        """Whether this recipient gets something from the run, or from these KPIs and windows: as two nodes say."""
        mine = self._mine & run.kpis & (run.kpis if kpis is None else frozenset(kpis))
        asked = [w for w in run.windows if windows is None or w in windows]
        cells = sum(len(p.strata) for p in self._terms.plans if p.kpi in mine) * len(asked)
        alerts = set() if kpis is not None else set(self._alerts)
        return sum(
            cells > sum(1 for s in done.suppressed if s.kpi in mine and s.window in asked)
            or not alerts.isdisjoint(done.alerts)
            for done in run.done.values()
        ) >= BELIEVED

    def _window(self, index: int) -> Window:
        """A window that was looked at before it was kept."""
        window = self._lattice.window(index)
        assert window is not None
        return window

    def _dates(self, window: Window) -> DateWindow:
        return DateWindow.of_panes(self._terms.draft.panes, window.start, window.stop)

    def releases(
        self, kpis: Collection[str] | None = None, windows: Collection[int] | None = None
    ) -> tuple[Release, ...]:
        """What came out, in order; of these KPIs and windows only, unless None."""
        rows: list[tuple[tuple[int, str, str], Release]] = []
        for cells in self._released.values():
            for cell in cells:
                if (kpis is not None and cell.kpi not in kpis) or (windows is not None and cell.window not in windows):
                    continue
                release = partial(
                    Release, kpi=cell.kpi, window=self._dates(self._window(cell.window)),
                    revision=self._lattice.edition(cell.window), edition=self._edition(cell.window), cell=cell.cell,
                    on_demand=cell.window not in self._expected,
                )
                order = (cell.window, cell.kpi, str(sorted(cell.cell.items())))
                result = cell.result
                if result.value is not None:
                    rows.append((order, release(
                        output="value", value=result.value, low=result.low, high=result.high, unit=cell.unit,
                        noise=cell.noise(interval=True),
                    )))
                rows += [
                    (order, release(
                        output=f"sums.{name}", value=value, unit=self._unit(cell.kpi, name), noise=cell.noise(),
                    ))
                    for name, value in result.sums.items()
                ]
        return tuple(release for _, release in sorted(rows, key=lambda row: row[0]))

    def refusals(self) -> tuple[Refusal, ...]:
        """What was refused or suppressed, by whom; in order."""
        done = self._ended()
        over = done.issuperset(self._expected)
        ended = {(self._dates(self._window(w)), self._lattice.edition(w)) for w in done}
        return tuple(
            a.refusal.model_copy(update={"nodes": tuple(sorted(a.nodes))})
            for _, a in sorted(self._refusals.items(), key=lambda item: str(item[0][1:2] + item[0]))
            # A rule is said to have stopped what all three nodes, the speaker too, say is done: it did not.
            if a.refusal.suppression or not (
                over if a.refusal.window is None else (a.refusal.window, a.refusal.revision) in ended
            )
        )

    def alert_rows(self) -> Iterable[AlertRow]:
        """Every alert of the recipient after every window so far; in order."""
        for alert in self._alerts.values():
            before = False
            for window, raised in sorted(self._states[alert.id].items()):
                after = before if raised is None else raised
                yield AlertRow(
                    id=alert.id, kpi=alert.kpi, cell=alert.cell, window=self._dates(self._lattice.scheduled[window]),
                    when=alert.when, raise_at=alert.raise_at, clear_at=alert.clear_at,
                    state="no-data" if raised is None else "raised" if raised else "clear", changed=after != before,
                )
                before = after

    def _edition(self, window: int) -> Literal["provisional", "full"] | None:
        if self._lattice.editions == 1:
            return None
        return "full" if self._lattice.edition(window) else "provisional"

    def _unit(self, kpi: str, quantity: str) -> str:
        plan = next(p for p in self._terms.plans if p.kpi == kpi)
        column = plan.time if quantity.endswith(".time") else plan.outcome[0]
        return next(m.unit for m in self._terms.draft.measures if column.name in m.columns)

    def _run_rows(self) -> Iterable[Run]:
        for run in sorted(self._believed(), key=lambda run: min(d.sequence for d in run.done.values())):
            phases = list(dict.fromkeys(phase for done in run.done.values() for phase in done.seconds))
            released = sum(done.released > 0 for done in run.done.values()) >= BELIEVED
            yield Run(
                id=run.id, windows=tuple(self._dates(self._window(w)) for w in run.windows),
                revision=max(map(self._lattice.edition, run.windows), default=0),
                batch=run.batch, epoch=run.epoch,
                outcome="linked" if not run.windows else "released" if released else "suppressed",
                seconds={p: round(max(d.seconds.get(p, 0) for d in run.done.values()), 3) for p in phases},
            )

    def _events_row(self, party: str) -> EventsRow:
        found = self._events[party]
        return EventsRow(
            read=found.read, accepted=found.accepted, rejected=found.rejected, late_pending=found.late_pending,
            late_after_maturity=found.late_after_maturity,
        )
