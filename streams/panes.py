"""Panes of one shard: events become, pane by pane, a matrix of measures by slots.

Event time only. A pane is sealed when the watermark has passed its end by the party's grace. An event that would
change a sealed pane, or is about a patient outside this epoch's register, changes nothing here: it is counted as
late and stays on the sharded topic.
"""

import math
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from datetime import datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from policy.agreement import Draft
from policy.measure import LIMB_BITS, Measure
from streams.answers import Answer, Answers
from streams.counted import Key, counted, moments
from streams.envelope import (
    REGISTERED,
    ClaimEvent,
    EncounterEvent,
    EnrolmentEvent,
    Heartbeat,
    MonitoringEvent,
    PatientEvent,
    PromEvent,
    RevisableEvent,
    SocialEvent,
    WithdrawalEvent,
)
from streams.errors import ConfigurationError
from streams.intervals import LIMIT, Numbers, Programme
from streams.register import Register
from streams.watermark import Watermark

NEVER = LIMIT
COUNTED_KINDS = ("claim", "encounter", "monitoring", "prom")


class Place(NamedTuple):
    """What an event says happened in a pane."""

    pane: int
    key: Key
    answer: Answer | None


class Standing(NamedTuple):
    """What stands of an event that may be corrected."""

    person: int
    places: tuple[Place, ...]
    row: int | None
    """Of a PROM answer."""


class PaneEvents:
    """Contributions to one open pane: (person, measure, value)."""

    __slots__ = ("measure", "person", "value")

    def __init__(self) -> None:
        self.person, self.measure, self.value = array("q"), array("q"), array("q")

    def add(self, person: int, measure: int, value: int) -> None:
        """One contribution; they add up."""
        self.person.append(person)
        self.measure.append(measure)
        self.value.append(value)


class Facts:
    """Values of one social field: (person, valid from, value), the latest valid one counts."""

    def __init__(self) -> None:
        self._person, self._since, self._code = array("q"), array("q"), array("q")
        self._codes: dict[str | None, int] = {None: 0}
        self._sorted: tuple[Numbers, Numbers, Numbers] | None = None

    def add(self, person: int, since: int, value: str | None) -> None:
        """A value from `since` on; of equal ones the last added counts."""
        self._person.append(person)
        self._since.append(since)
        self._code.append(self._codes.setdefault(value, len(self._codes)))
        self._sorted = None

    def at(self, moment: int, value: str, people: int) -> NDArray[np.bool_]:
        """(people,) whether the field equals `value` at `moment`."""
        if self._sorted is None:
            person, since, code = (np.array(a, dtype=np.int64) for a in (self._person, self._since, self._code))
            order = np.lexsort((since, person))
            self._sorted = person[order], since[order], code[order]
        person, since, code = self._sorted
        valid = since <= moment
        found = np.zeros(people, dtype=np.int64)
        # Of several assignments to one place numpy keeps the last: the latest valid one.
        found[person[valid]] = code[valid]
        same: NDArray[np.bool_] = found == self._codes.get(value, -1)
        return same


class ShardPanes:
    """The state of one shard of one party; `seed`: of its register (streams.register)."""

    def __init__(self, draft: Draft, party: str, seed: bytes) -> None:
        check_bounds(draft, party)
        self._grid, self._zone = draft.panes, ZoneInfo(draft.panes.zone)
        self._grace = draft.party(party).grace_panes
        self._measures = draft.party_measures(party)
        self._origin = draft.panes.edges[0].timestamp()
        self._stamps = [edge.timestamp() for edge in draft.panes.edges]
        self._edges = [round(stamp - self._origin) for stamp in self._stamps]
        self._linkage = datetime.combine(draft.linkage.date, time(), self._zone)
        self._watermark = Watermark({s.name: s.bound_days for s in draft.party(party).sources})
        self._additive: dict[str, tuple[tuple[int, bool], ...]] = {}
        self.register = Register(draft.linkage.block_slots, seed)
        self._programmes: defaultdict[str, Programme] = defaultdict(Programme)
        self._facts: defaultdict[str, Facts] = defaultdict(Facts)
        self._events: defaultdict[int, PaneEvents] = defaultdict(PaneEvents)
        self._counted: dict[Key, tuple[tuple[int, int], ...]] = {}
        self._answers: defaultdict[str, Answers] = defaultdict(Answers)
        self._standing: dict[str, Standing] = {}
        self._withdrawn: set[int] = set()
        self.sealed = 0
        """Panes sealed: 0 ≤ pane < sealed."""
        self.late_pending = 0

    def finish(self, source: str) -> None:
        """A source has ended."""
        self._watermark.finish(source)
        if self._watermark.value == math.inf and not self.register.closed:
            self.register.close()

    def hear(self, heartbeat: Heartbeat) -> None:
        """A source says how far it is."""
        if heartbeat.until is None or heartbeat.recorded_at is None:
            self.finish(heartbeat.source)
            return
        self._look_at_the_clock(heartbeat.recorded_at)
        self._watermark.hear(heartbeat.source, heartbeat.until.timestamp(), heartbeat.recorded_at.timestamp())

    def _look_at_the_clock(self, recorded_at: datetime) -> None:
        if not self.register.closed and recorded_at >= self._linkage:
            self.register.close()

    def add(self, event: PatientEvent) -> None:
        """Take in an accepted event."""
        self._look_at_the_clock(event.recorded_at)
        occurred = event.occurred_at.timestamp()
        person = self.register.person(event.patient)
        late = person is None
        if person is not None:
            match event:
                case ClaimEvent():
                    late = self._claim(event, person, occurred)
                case EnrolmentEvent():
                    late = self._enrolment(event, person, occurred)
                case SocialEvent():
                    late = self._fact(event, person, occurred)
                case EncounterEvent() | MonitoringEvent() | PromEvent():
                    late = self._revisable(event, person)
                case WithdrawalEvent():
                    self._withdrawn.add(person)
        self.late_pending += late
        self._watermark.observe(event.source, occurred, event.recorded_at.timestamp())

    def _claim(self, event: ClaimEvent, person: int, occurred: float) -> bool:
        pane = bisect_right(self._stamps, occurred) - 1
        if pane < self.sealed:
            return True
        claim = event.payload
        targets = self._additive.get(claim.care_type)
        if targets is None:
            targets = self._additive[claim.care_type] = tuple(
                (index, m.aggregation == "sum")
                for index, m in enumerate(self._measures)
                if m.kind == "claim" and m.care_type in (None, claim.care_type)
            )
        events = self._events[pane]
        sign = -1 if claim.credit else 1
        for index, is_sum in targets:
            events.add(person, index, sign * claim.cents if is_sum else sign)
        return False

    def _revisable(self, event: RevisableEvent, person: int) -> bool:
        ids = {event.event_id, event.corrects or event.event_id}
        gone = {name: self._standing[name] for name in ids if name in self._standing}
        cancels = event.payload.cancels
        if cancels and not gone:
            # What it takes back was late.
            return True
        answer, places = None, []
        for moment, key in moments(event):
            pane = bisect_right(self._stamps, moment.timestamp()) - 1
            if isinstance(event, PromEvent):
                answer = Answer(moment.timestamp(), event.payload.score, pane)
            if 0 <= pane < self._grid.count:
                places.append(Place(pane, key, answer))
        changes = Counter(places)
        for earlier in gone.values():
            changes.subtract(earlier.places)
        if any(number != 0 and place.pane < self.sealed for place, number in changes.items()):
            return True
        answers = self._answers[event.payload.instrument] if isinstance(event, PromEvent) else None
        removed = [earlier.row for earlier in gone.values() if earlier.row is not None]
        if answers is not None and answers.moves_sealed(person, removed, answer, self.sealed):
            return True
        for name in gone:
            del self._standing[name]
        for place, number in changes.items():
            for index, value in self._adds(place.key):
                self._events[place.pane].add(person, index, number * value)
        row = None
        if answers is not None:
            for old in removed:
                answers.remove(old)
            row = None if answer is None else answers.add(person, answer)
        if not cancels:
            self._standing[event.event_id] = Standing(person, tuple(places), row)
        return False

    def _adds(self, key: Key) -> tuple[tuple[int, int], ...]:
        found = self._counted.get(key)
        if found is None:
            found = self._counted[key] = counted(self._measures, key)
        return found

    def _enrolment(self, event: EnrolmentEvent, person: int, occurred: float) -> bool:
        if event.payload.programme == REGISTERED:
            return False
        programme, stop = self._programmes[event.payload.programme], event.payload.stop
        span = (math.floor(occurred - self._origin), NEVER)
        days = (event.occurred_at.astimezone(self._zone).toordinal(), NEVER)
        if stop is not None:
            span = (span[0], math.ceil(stop.timestamp() - self._origin))
            # The day of the last instant is the last one enrolled.
            days = (days[0], (stop - timedelta(microseconds=1)).astimezone(self._zone).toordinal() + 1)
        before = programme.interval(event.event_id)
        if before is None:
            changed = span[0]
        elif before[0] != span[0]:
            changed = min(before[0], span[0])
        else:
            changed = min(before[1], span[1]) if before[1] != span[1] else NEVER
        if self.sealed > 0 and changed < self._edges[self.sealed]:
            return True
        programme.put(event.event_id, person, *span, days)
        return False

    def _fact(self, event: SocialEvent, person: int, occurred: float) -> bool:
        since = math.floor(occurred - self._origin)
        if self.sealed > 0 and since <= self._edges[self.sealed - 1]:
            return True
        self._facts[event.payload.field].add(person, since, event.payload.value)
        return False

    @property
    def sealable(self) -> int:
        """Panes that may be sealed by now, those already sealed included; 0 while the register is open."""
        if not self.register.closed:
            return 0
        value = self._watermark.value
        if value == math.inf:
            return self._grid.count
        ended = bisect_right(self._stamps, value) - 1
        return max(self.sealed, min(self._grid.count, ended - self._grace))

    @property
    def ripe(self) -> bool:
        """Whether a pane may be sealed now."""
        return self.register.closed and self.sealed < self.sealable

    def seal(self) -> tuple[int, NDArray[np.int64]]:
        """Seal the next pane: its number and its content, (columns, slots).

        Raises:
            ValueError: no pane may be sealed yet.
        """
        pane, slot_of = self.sealed, self.register.slot_of
        if pane >= self.sealable or slot_of is None:
            raise ValueError(f"pane {pane} may not be sealed yet: {self.sealable} may")
        values: dict[str, Numbers] = {}
        for measure in self._measures:
            self._evaluate(measure, pane, len(slot_of), values)
        self._events.pop(pane, None)
        self.sealed += 1
        rows: list[Numbers] = []
        withdrawn = np.array(sorted(self._withdrawn), dtype=np.int64)
        for measure in self._measures:
            value = values[measure.name]
            value[withdrawn] = 0
            limbs = (value >> LIMB_BITS, value & ((1 << LIMB_BITS) - 1)) if measure.aggregation == "sum" else (value,)
            rows += limbs
        content = np.zeros((len(rows), self.register.slots), dtype=np.int64)
        for row, value in zip(content, rows, strict=True):
            row[slot_of] = value
        return pane, content

    def _evaluate(self, measure: Measure, pane: int, people: int, values: dict[str, Numbers]) -> Numbers:
        """(people,) a measure's values in a pane; `values` holds those already known."""
        if measure.name in values:
            return values[measure.name]
        value = self._plain(measure, pane, people, values)
        if measure.at_risk is not None:
            twin = next(m for m in self._measures if m.name == measure.at_risk)
            value[self._evaluate(twin, pane, people, values) == 0] = 0
        values[measure.name] = value
        return value

    def _plain(self, measure: Measure, pane: int, people: int, values: dict[str, Numbers]) -> Numbers:
        start, stop = self._edges[pane], self._edges[pane + 1]
        value = np.zeros(people, dtype=np.int64)
        match measure.aggregation:
            case "exposed":
                value[self._programmes[_named(measure.programme)].whole(start, stop)] = 1
            case "not-yet-exposed":
                value[self._programmes[_named(measure.cohort)].whole(start, stop)] = 1
                value[self._programmes[_named(measure.programme)].begun(stop)] = 0
            case "days":
                first, end = (self._grid.first_day(p).toordinal() for p in (pane, pane + 1))
                np.add.at(value, *self._programmes[_named(measure.programme)].days(first, end))
            case "category":
                value[self._facts[_named(measure.field)].at(start, _named(measure.value), people)] = 1
            case "nonzero":
                twin = next(m for m in self._measures if m.name == measure.of)
                value[self._evaluate(twin, pane, people, values) != 0] = 1
            case "follow-ups" | "change":
                who, change = self._answers[_named(measure.code)].follow_ups(pane)
                np.add.at(value, who, change if measure.aggregation == "change" else 1)
            case "count" | "sum" | "missed":
                events = self._events.get(pane)
                if events is not None:
                    mine = np.array(events.measure) == self._measures.index(measure)
                    np.add.at(value, np.array(events.person)[mine], np.array(events.value)[mine])
                if measure.aggregation == "missed":
                    np.maximum(value, 0, out=value)
        return value


def check_bounds(draft: Draft, party: str) -> None:
    """Refuse an agreement that this package cannot serve within a measure's bound.

    Raises:
        ConfigurationError: names the measure, and what to change.
    """
    measures = {m.name: m for m in draft.party_measures(party)}
    longest = max(draft.panes.days(pane) for pane in range(draft.panes.count))
    for measure in measures.values():
        if measure.aggregation == "days" and measure.bound < longest:
            raise ConfigurationError(
                f"measure {measure.name} may reach {longest} days a pane, its bound is {measure.bound}. Raise it."
            )
        kinds = {"count": COUNTED_KINDS, "sum": ("claim",)}.get(measure.aggregation)
        if kinds is not None and measure.kind not in kinds:
            raise ConfigurationError(
                f"measure {measure.name} is a {measure.aggregation} of {measure.kind} events, expected "
                f"{' or '.join(kinds)} events. Change its kind"
            )
        _check_acyclic(measure, measures, ())


def _check_acyclic(measure: Measure, measures: dict[str, Measure], path: tuple[str, ...]) -> None:
    if measure.name in path:
        raise ConfigurationError(f"measure {measure.name} depends on itself: {' → '.join((*path, measure.name))}")
    for name in (measure.of, measure.at_risk):
        if name is not None:
            _check_acyclic(measures[name], measures, (*path, measure.name))


def _named(name: str | None) -> str:
    if name is None:
        raise ConfigurationError("a measure lacks a name that policy.measure demands")
    return name
