"""Panes of one shard: events become, pane by pane, a matrix of measures by slots.

Event time only. A pane is sealed when the watermark has passed its end by the party's grace. An event that would
change a pane over which its own source partition has passed likewise, or is about a patient outside this epoch's
register, changes nothing here: it is counted as late and stays on the sharded topic.
"""

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from policy.agreement import Draft
from policy.measure import LIMB_BITS, Measure
from streams.additive import Contributions
from streams.answers import Answer, Answers
from streams.bounds import check_bounds
from streams.chest import Tables, table
from streams.columns import ENDED, NEVER
from streams.counted import moments
from streams.debits import Debits, Enrolments, persons
from streams.envelope import (
    REGISTERED,
    ClaimEvent,
    EncounterEvent,
    EnrolmentEvent,
    MonitoringEvent,
    PatientEvent,
    PromEvent,
    RevisableEvent,
    SocialEvent,
    WithdrawalEvent,
)
from streams.errors import ConfigurationError
from streams.exposure import put_all, starts
from streams.facts import Facts
from streams.fixed import Bools, Int64s
from streams.horizon import Horizon
from streams.intervals import LIMIT, Numbers, Programme
from streams.passing import Passing
from streams.places import Place, Standing
from streams.register import Register
from streams.rowwise import micros

OPEN_END = LIMIT
"""The end of what has none."""


class Progress(BaseModel):
    """How far a shard's panes are."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    closed: bool
    """Whether the register is."""
    watermark: int = Field(ge=NEVER, le=ENDED)
    sealed: int = Field(ge=0)
    late_pending: int = Field(ge=0)


def _schema(*names: str, **types: pa.DataType) -> pa.Schema:
    """Names of int64 columns, and other columns; those of `types` may be null."""
    return pa.schema([*(pa.field(n, pa.int64(), nullable=False) for n in names), *types.items()])


_REGISTER = _schema(patient=pa.string())
_PROGRAMMES = pa.schema([
    ("programme", pa.string()), ("event", pa.string()), *_schema("person", "start", "stop", "first", "end"),
])
_FACTS = pa.schema([("field", pa.string()), *_schema("person", "since", value=pa.string())])
_EVENTS = _schema("pane", "person", "measure", "value")
_ANSWERS = pa.schema([
    ("instrument", pa.string()), *_schema("person"), ("at", pa.float64()), *_schema("score", "pane"),
    ("stands", pa.bool_()),
])
_STANDING = pa.schema([("event", pa.string()), *_schema("person", "least", row=pa.int64())])
_PLACES = pa.schema([
    ("event", pa.string()), *_schema("pane", kind=pa.string(), code=pa.string(), module=pa.string()),
    ("at", pa.float64()), ("score", pa.int64()),
])
_WITHDRAWN = _schema("person", "pane")


class ShardPanes:
    """The state of one shard of one party; `seed`: of its register (streams.register)."""

    def __init__(self, draft: Draft, party: str, seed: bytes) -> None:
        check_bounds(draft, party)
        self._grid, self._zone = draft.panes, ZoneInfo(draft.panes.zone)
        self._measures = draft.party_measures(party)
        self._origin = draft.panes.edges[0].timestamp()
        self._stamps = [edge.timestamp() for edge in draft.panes.edges]
        self._edges = [round(stamp - self._origin) for stamp in self._stamps]
        self.passing, self.horizon = Passing(draft, party), Horizon(draft)
        self._watermark = NEVER
        self.register = Register(draft.linkage.block_slots, seed)
        self._programmes: defaultdict[str, Programme] = defaultdict(Programme)
        self._facts: defaultdict[str, Facts] = defaultdict(Facts)
        self._events = Contributions(self._measures)
        self._answers: defaultdict[str, Answers] = defaultdict(Answers)
        self._standing: dict[str, Standing] = {}
        self._withdrawn: dict[int, int] = {}
        """Person → the first pane in which nothing of theirs counts."""
        self._passed, self._since = 0, NEVER
        self.sealed = 0
        """Panes sealed: 0 ≤ pane < sealed."""
        self.late_pending = 0

    def reach(self, watermark: int, clock: int) -> None:
        """What comes next comes after this: the least watermark of all that the shard's events come from, and the least
        of their latest times of recording; µs since 1970, streams.columns.NEVER or ENDED. Neither ever falls.
        """
        self._watermark = max(self._watermark, watermark)
        if not self.register.closed and self.passing.linked(self._watermark, clock):
            self.register.close()

    def apply(self, event: PatientEvent, watermark: int = NEVER, clock: int = NEVER) -> None:
        """Take in an accepted event.

        What is late follows from the event's own source partition, never from how far others happened to be read: the
        same events seal the same content however their partitions come together.

        Args:
            event: as Validator.enter gives it.
            watermark: of its source partition, before it; NEVER if it says nothing.
            clock: the latest recorded_at there, before it.
        """
        # Who is first heard of after the linkage date is not in this epoch, however long the register stays open.
        linked = self._turn(watermark, max(clock, micros(event.recorded_at)))
        person = self.register.known(event.patient) if linked else self.register.person(event.patient)
        late = person is None
        if person is not None:
            match event:
                case ClaimEvent():
                    late = self._claim(event, person)
                case EnrolmentEvent():
                    late = self._enrolment(event, person)
                case SocialEvent():
                    late = self._fact(event, person)
                case EncounterEvent() | MonitoringEvent() | PromEvent():
                    late = self._revisable(event, person)
                case WithdrawalEvent():
                    self._withdrawn.setdefault(person, self._passed)
        self.late_pending += late

    def _turn(self, watermark: int, clock: int) -> bool:
        """Take over how far the source partition of what comes is; whether the linkage date has come for it."""
        linked = self.register.closed or self.passing.linked(watermark, clock)
        self._passed = max(self.sealed, self.passing.passed(watermark) if linked else 0)
        self._since = self.horizon.at(watermark)
        return linked

    def apply_debits(self, lines: Debits, entered: Bools, watermark: int, clock: int) -> None:
        """Claim lines at once, between whose first and last nothing passes (streams.passing).

        Args:
            lines: n debit lines.
            entered: (n,) which were accepted; at least one.
            watermark: of their source partition, before the first.
            clock: the latest recorded_at there, before the first and of it.
        """
        person = persons(lines, entered, self.register.numbers(known=self._turn(watermark, clock)))
        late = entered & ((person < 0) | (lines.pane < self._passed))
        self.late_pending += int(late.sum())
        kept = np.flatnonzero(entered & ~late)
        self._events.add_debits(lines.pane[kept], person[kept], lines.care[kept], lines.care_types, lines.cents[kept])

    def on_time(self, lines: Enrolments, watermark: int, clock: int) -> Bools:
        """(n,) which of enrolments of new ids change nothing that has passed; see apply_debits."""
        known, passed = self._turn(watermark, clock), self._passed
        found = starts(lines, self._origin) >= (self._edges[passed] if passed else -OPEN_END)
        return found & (persons(lines, found, self.register.numbers(known=True)) >= 0) if known else found

    def apply_enrolments(self, lines: Enrolments, rows: Int64s) -> None:
        """Take in enrolments at `rows`, all accepted, of new ids, and just found to be on time."""
        person = persons(lines, rows, self.register.numbers(known=False))
        for name, mine in lines.by_programme(rows):
            if name != REGISTERED:
                put_all(self._programmes[name], lines, mine, person[mine], self._origin, self._zone)

    def _claim(self, event: ClaimEvent, person: int) -> bool:
        pane = bisect_right(self._stamps, event.occurred_at.timestamp()) - 1
        if pane < self._passed:
            return True
        claim = event.payload
        self._events.add_claim(pane, person, claim.care_type, claim.cents, -1 if claim.credit else 1)
        return False

    def _revisable(self, event: RevisableEvent, person: int) -> bool:
        ids = {event.event_id, event.corrects or event.event_id}
        # What is too old for its own source partition may be forgotten, so it is as if it were.
        gone = {i: s for i in ids if (s := self._standing.get(i)) is not None and s.least >= self._since}
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
        if any(number != 0 and place.pane < self._passed for place, number in changes.items()):
            return True
        answers = self._answers[event.payload.instrument] if isinstance(event, PromEvent) else None
        removed = [earlier.row for earlier in gone.values() if earlier.row is not None]
        if answers is not None and answers.moves_sealed(person, removed, answer, self._passed):
            return True
        for name in gone:
            del self._standing[name]
        for place, number in changes.items():
            self._events.add(place.pane, person, place.key, number)
        row = None
        if answers is not None:
            for old in removed:
                answers.remove(old)
            row = None if answer is None else answers.add(person, answer)
        if not cancels:
            least = min([*(micros(at) for at, _ in moments(event)), *(earlier.least for earlier in gone.values())])
            self._standing[event.event_id] = Standing(person, tuple(places), row, least)
        return False

    def _enrolment(self, event: EnrolmentEvent, person: int) -> bool:
        if event.payload.programme == REGISTERED:
            return False
        programme, stop = self._programmes[event.payload.programme], event.payload.stop
        span = (math.floor(event.occurred_at.timestamp() - self._origin), OPEN_END)
        days = (event.occurred_at.astimezone(self._zone).toordinal(), OPEN_END)
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
            changed = min(before[1], span[1]) if before[1] != span[1] else OPEN_END
        if self._passed > 0 and changed < self._edges[self._passed]:
            return True
        programme.put(event.event_id, person, *span, days)
        return False

    def _fact(self, event: SocialEvent, person: int) -> bool:
        since = math.floor(event.occurred_at.timestamp() - self._origin)
        if self._passed > 0 and since <= self._edges[self._passed - 1]:
            return True
        self._facts[event.payload.field].add(person, since, event.payload.value)
        return False

    def forget(self, before: int) -> None:
        """Events that may be corrected, of before an instant (µs since 1970); what they added to panes stays."""
        self._standing = {event: standing for event, standing in self._standing.items() if standing.least >= before}

    def dump(self) -> tuple[Progress, dict[str, pa.RecordBatch]]:
        """The whole state."""
        progress = Progress(
            closed=self.register.closed, watermark=self._watermark, sealed=self.sealed, late_pending=self.late_pending
        )
        return progress, {
            "register": table(_REGISTER, ((patient,) for patient in self.register.people)),
            "programmes": table(_PROGRAMMES, (
                (name, *row) for name, programme in self._programmes.items() for row in programme.rows()
            )),
            "facts": table(_FACTS, ((name, *row) for name, held in self._facts.items() for row in held.rows())),
            "events": table(_EVENTS, self._events.rows()),
            "answers": table(_ANSWERS, (
                (name, *row) for name, answers in self._answers.items() for row in answers.rows()
            )),
            "standing": table(_STANDING, ((event, s.person, s.least, s.row) for event, s in self._standing.items())),
            "places": table(_PLACES, (
                (event, p.pane, *p.key, *(p.answer or (None, None))[:2])
                for event, s in self._standing.items() for p in s.places
            )),
            "withdrawn": table(_WITHDRAWN, self._withdrawn.items()),
        }

    def load(self, progress: Progress, tables: Tables) -> None:
        """Put a new one back to where it was.

        Raises:
            StoreError: not the tables of `dump`.
        """
        self.register.restore([who for (who,) in tables.rows("register", _REGISTER)], closed=progress.closed)
        self._watermark, self.sealed, self.late_pending = progress.watermark, progress.sealed, progress.late_pending
        for name, event, person, start, stop, first, end in tables.rows("programmes", _PROGRAMMES):
            self._programmes[name].put(event, person, start, stop, (first, end))
        for name, person, since, value in tables.rows("facts", _FACTS):
            self._facts[name].add(person, since, value)
        self._events.restore(tables.rows("events", _EVENTS))
        for name, person, at, score, pane, stands in tables.rows("answers", _ANSWERS):
            row = self._answers[name].add(person, Answer(at, score, pane))
            if not stands:
                self._answers[name].remove(row)
        places: defaultdict[str, list[Place]] = defaultdict(list)
        for event, pane, kind, code, module, at, score in tables.rows("places", _PLACES):
            places[event].append(Place(pane, (kind, code, module), None if at is None else Answer(at, score, pane)))
        for event, person, least, of in tables.rows("standing", _STANDING):
            self._standing[event] = Standing(person, tuple(places[event]), of, least)
        self._withdrawn = dict(tables.rows("withdrawn", _WITHDRAWN))

    @property
    def watermark(self) -> int:
        """Nothing on time comes from before it."""
        return self._watermark

    @property
    def sealable(self) -> int:
        """Panes that may be sealed by now, those already sealed included; 0 while the register is open."""
        if not self.register.closed:
            return 0
        return max(self.sealed, self.passing.passed(self._watermark))

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
        self._events.forget(pane)
        self.sealed += 1
        rows: list[Numbers] = []
        withdrawn = np.array([p for p, first in self._withdrawn.items() if first <= pane], dtype=np.int64)
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
                value = self._events.sums(pane, self._measures.index(measure), people)
                if measure.aggregation == "missed":
                    np.maximum(value, 0, out=value)
        return value


def _named(name: str | None) -> str:
    if name is None:
        raise ConfigurationError("a measure lacks a name that policy.measure demands")
    return name
