"""Panes of one shard: events become, pane by pane, a matrix of measures by slots.

Event time only. A pane is sealed when the watermark has passed its end by the party's grace, and again at each agreed
maturity: then with what came since. What an event changes follows from how far its own source partition was: it is
known to every cut that had not passed there. What would change a pane after its last one, or is about a patient outside
this epoch's register, changes nothing here: it is counted, and stays on the sharded topic.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from policy.agreement import Draft
from streams.answers import Answer
from streams.bounds import check_bounds
from streams.chest import Tables, table
from streams.columns import ENDED, NEVER
from streams.content import Content
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
from streams.exposure import put_all, starts
from streams.fixed import Bools, Int64s
from streams.horizon import Horizon
from streams.intervals import LIMIT, STANDS
from streams.passing import Passing
from streams.places import Place, Standing
from streams.register import Register
from streams.rowwise import micros
from streams.withdrawn import Listed, Withdrawals


class Sealed(NamedTuple):
    """What is shared of a pane at once."""

    pane: int
    content: NDArray[np.int64]
    """(columns, slots): all of it in revision 0, afterwards what is to be added to what was shared before."""
    revision: int


class Progress(BaseModel):
    """How far a shard's panes are."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    closed: bool
    """Whether the register is."""
    watermark: int = Field(ge=NEVER, le=ENDED)
    cuts: int = Field(ge=0)
    """Taken so far."""
    late_pending: int = Field(ge=0)
    late_after_maturity: int = Field(ge=0)


def _schema(*names: str, **types: pa.DataType) -> pa.Schema:
    """Names of int64 columns, and other columns; those of `types` may be null."""
    return pa.schema([*(pa.field(n, pa.int64(), nullable=False) for n in names), *types.items()])


_REGISTER = _schema(patient=pa.string())
_PROGRAMMES = pa.schema([
    ("programme", pa.string()), ("event", pa.string()),
    *_schema("person", "start", "stop", "first", "end", "told", "until"),
])
_FACTS = pa.schema([("field", pa.string()), *_schema("person", "since", value=pa.string()), *_schema("told")])
_EVENTS = _schema("pane", "person", "measure", "value", "told")
_ANSWERS = pa.schema([
    ("instrument", pa.string()), *_schema("person"), ("at", pa.float64()), *_schema("score", "pane", "told", "gone"),
])
_STANDING = pa.schema([("event", pa.string()), *_schema("person", "least", row=pa.int64())])
_PLACES = pa.schema([
    ("event", pa.string()), *_schema("pane", kind=pa.string(), code=pa.string(), module=pa.string()),
    ("at", pa.float64()), ("score", pa.int64()),
])


class ShardPanes:
    """The state of one shard of one party; `seed`: of its register (streams.register)."""

    def __init__(self, draft: Draft, party: str, seed: bytes) -> None:
        check_bounds(draft, party)
        self._count = draft.panes.count
        self._stamps = [edge.timestamp() for edge in draft.panes.edges]
        self.passing, self.horizon = Passing(draft, party), Horizon(draft)
        self._watermark = NEVER
        self.register = Register(draft.linkage.block_slots, seed)
        self._said = Content(draft, party)
        self._standing: dict[str, Standing] = {}
        self.withdrawn = Withdrawals(draft.erasure, self._count)
        self._cuts = self._told = 0
        """Cuts taken; and those that had passed for what comes now."""
        self._since = NEVER
        self.late_pending = 0
        """Events that came after a pane they change was sealed: what they change is shared later, where it can be."""
        self.late_after_maturity = 0
        """Those that came after the last one."""

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
        if person is None:
            self.late_pending += 1
            return
        match event:
            case ClaimEvent():
                self._claim(event, person)
            case EnrolmentEvent():
                self._enrolment(event, person)
            case SocialEvent():
                self._fact(event, person)
            case EncounterEvent() | MonitoringEvent() | PromEvent():
                self._revisable(event, person)
            case WithdrawalEvent():
                self.withdrawn.add(person, self.passing.sealed(self._told))

    def _turn(self, watermark: int, clock: int) -> bool:
        """Take over how far the source partition of what comes is; whether the linkage date has come for it."""
        linked = self.register.closed or self.passing.linked(watermark, clock)
        self._told = max(self._cuts, self.passing.passed(watermark) if linked else 0)
        self._since = self.horizon.at(watermark)
        return linked

    def _admits(self, first: int) -> bool:
        """Whether what changes this pane, and none before it, still does; counted if it is late."""
        if first >= self.passing.over(self._told):
            self.late_pending += first < self.passing.sealed(self._told)
            return True
        self._too_late(1)
        return False

    def _too_late(self, events: int) -> None:
        if self.passing.last:
            self.late_after_maturity += events
        else:
            self.late_pending += events

    def apply_debits(self, lines: Debits, entered: Bools, watermark: int, clock: int) -> None:
        """Claim lines at once, between whose first and last nothing passes (streams.passing).

        Args:
            lines: n debit lines.
            entered: (n,) which were accepted; at least one.
            watermark: of their source partition, before the first.
            clock: the latest recorded_at there, before the first and of it.
        """
        person = persons(lines, entered, self.register.numbers(known=self._turn(watermark, clock)))
        known, over = entered & (person >= 0), lines.pane < self.passing.over(self._told)
        late = known & ~over & (lines.pane < self.passing.sealed(self._told))
        self.late_pending += int((entered & ~known).sum() + late.sum())
        self._too_late(int((known & over).sum()))
        kept = np.flatnonzero(known & ~over)
        self._said.events.add_debits(
            lines.pane[kept], person[kept], lines.care[kept], lines.care_types, lines.cents[kept], self._told
        )

    def on_time(self, lines: Enrolments, watermark: int, clock: int) -> Bools:
        """(n,) which of enrolments of new ids change nothing that has passed; see apply_debits."""
        known = self._turn(watermark, clock)
        sealed = self.passing.sealed(self._told)
        found = starts(lines, self._said.origin) >= (self._said.edges[sealed] if sealed else -LIMIT)
        return found & (persons(lines, found, self.register.numbers(known=True)) >= 0) if known else found

    def apply_enrolments(self, lines: Enrolments, rows: Int64s) -> None:
        """Take in enrolments at `rows`, all accepted, of new ids, and just found to be on time."""
        said, person = self._said, persons(lines, rows, self.register.numbers(known=False))
        for name, mine in lines.by_programme(rows):
            if name != REGISTERED:
                put_all(said.programmes[name], lines, mine, person[mine], said.origin, said.zone, self._told)

    def _claim(self, event: ClaimEvent, person: int) -> None:
        pane = bisect_right(self._stamps, event.occurred_at.timestamp()) - 1
        if self._admits(pane):
            claim = event.payload
            sign = -1 if claim.credit else 1
            self._said.events.add_claim(pane, person, claim.care_type, claim.cents, sign, self._told)

    def _revisable(self, event: RevisableEvent, person: int) -> None:
        ids = {event.event_id, event.corrects or event.event_id}
        # What is too old for its own source partition may be forgotten, so it is as if it were.
        gone = {i: s for i in ids if (s := self._standing.get(i)) is not None and s.least >= self._since}
        cancels = event.payload.cancels
        if cancels and not gone:
            # What it takes back was too late itself.
            self._too_late(1)
            return
        answer, places = None, []
        for moment, key in moments(event):
            pane = bisect_right(self._stamps, moment.timestamp()) - 1
            if isinstance(event, PromEvent):
                answer = Answer(moment.timestamp(), event.payload.score, pane)
            if 0 <= pane < self._count:
                places.append(Place(pane, key, answer))
        changes = Counter(places)
        for earlier in gone.values():
            changes.subtract(earlier.places)
        changed = [place.pane for place, number in changes.items() if number != 0]
        answers = self._said.answers[event.payload.instrument] if isinstance(event, PromEvent) else None
        removed = [earlier.row for earlier in gone.values() if earlier.row is not None]
        if answers is not None and (first := answers.moved(person, removed, answer)) is not None:
            changed.append(first)
        if not self._admits(min(changed, default=self._count)):
            return
        for name in gone:
            del self._standing[name]
        for place, number in changes.items():
            if number == 0:
                continue
            self._said.events.add(place.pane, person, place.key, number, self._told)
        row = None
        if answers is not None:
            for old in removed:
                answers.remove(old, self._told)
            row = None if answer is None else answers.add(person, answer, self._told)
        if not cancels:
            least = min([*(micros(at) for at, _ in moments(event)), *(earlier.least for earlier in gone.values())])
            self._standing[event.event_id] = Standing(person, tuple(places), row, least)

    def _enrolment(self, event: EnrolmentEvent, person: int) -> None:
        if event.payload.programme == REGISTERED:
            return
        programme, stop, origin = self._said.programmes[event.payload.programme], event.payload.stop, self._said.origin
        zone = self._said.zone
        span = (math.floor(event.occurred_at.timestamp() - origin), LIMIT)
        days = (event.occurred_at.astimezone(zone).toordinal(), LIMIT)
        if stop is not None:
            span = (span[0], math.ceil(stop.timestamp() - origin))
            # The day of the last instant is the last one enrolled.
            days = (days[0], (stop - timedelta(microseconds=1)).astimezone(zone).toordinal() + 1)
        before = programme.interval(event.event_id)
        if before is None:
            changed = span[0]
        elif before[0] != span[0]:
            changed = min(before[0], span[0])
        else:
            changed = min(before[1], span[1]) if before[1] != span[1] else LIMIT
        if self._admits(max(0, bisect_right(self._said.edges, changed) - 1)):
            programme.put(event.event_id, person, *span, days, self._told)

    def _fact(self, event: SocialEvent, person: int) -> None:
        since = math.floor(event.occurred_at.timestamp() - self._said.origin)
        if self._admits(bisect_left(self._said.edges, since)):
            self._said.facts[event.payload.field].add(person, since, event.payload.value, self._told)

    def forget(self, before: int) -> None:
        """Events that may be corrected, of before an instant (µs since 1970); what they added to panes stays."""
        self._standing = {event: standing for event, standing in self._standing.items() if standing.least >= before}

    def dump(self) -> tuple[Progress, dict[str, pa.RecordBatch]]:
        """The whole state."""
        progress = Progress(
            closed=self.register.closed, watermark=self._watermark, cuts=self._cuts, late_pending=self.late_pending,
            late_after_maturity=self.late_after_maturity,
        )
        said = self._said
        return progress, {
            "register": table(_REGISTER, ((patient,) for patient in self.register.people)),
            "programmes": table(_PROGRAMMES, (
                (name, *row) for name, programme in said.programmes.items() for row in programme.rows()
            )),
            "facts": table(_FACTS, ((name, *row) for name, held in said.facts.items() for row in held.rows())),
            "events": table(_EVENTS, said.events.rows()),
            "answers": table(_ANSWERS, (
                (name, *row) for name, answers in said.answers.items() for row in answers.rows()
            )),
            "standing": table(_STANDING, ((event, s.person, s.least, s.row) for event, s in self._standing.items())),
            "places": table(_PLACES, (
                (event, p.pane, *p.key, *(p.answer or (None, None))[:2])
                for event, s in self._standing.items() for p in s.places
            )),
            **dict(self.withdrawn.dump()),
        }

    def load(self, progress: Progress, tables: Tables) -> None:
        """Put a new one back to where it was.

        Raises:
            StoreError: not the tables of `dump`.
        """
        self.register.restore([who for (who,) in tables.rows("register", _REGISTER)], closed=progress.closed)
        self._watermark, self._cuts, said = progress.watermark, progress.cuts, self._said
        self.late_pending, self.late_after_maturity = progress.late_pending, progress.late_after_maturity
        for name, event, person, start, stop, first, end, told, until in tables.rows("programmes", _PROGRAMMES):
            said.programmes[name].put(event, person, start, stop, (first, end), told, until)
        for name, person, since, value, told in tables.rows("facts", _FACTS):
            said.facts[name].add(person, since, value, told)
        said.events.restore(tables.rows("events", _EVENTS))
        for name, person, at, score, pane, told, gone in tables.rows("answers", _ANSWERS):
            row = said.answers[name].add(person, Answer(at, score, pane), told)
            if gone != STANDS:
                said.answers[name].remove(row, gone)
        places: defaultdict[str, list[Place]] = defaultdict(list)
        for event, pane, kind, code, module, at, score in tables.rows("places", _PLACES):
            places[event].append(Place(pane, (kind, code, module), None if at is None else Answer(at, score, pane)))
        for event, person, least, of in tables.rows("standing", _STANDING):
            self._standing[event] = Standing(person, tuple(places[event]), of, least)
        self.withdrawn.load(tables)

    @property
    def watermark(self) -> int:
        """Nothing on time comes from before it."""
        return self._watermark

    @property
    def sealed(self) -> int:
        """Panes sealed for the first time: 0 ≤ pane < sealed."""
        return self.passing.sealed(self._cuts)

    def has_sealed(self, pane: int, revision: int) -> bool:
        """Whether a revision of a pane is sealed; of pane −1, the register, whether that is closed."""
        return self.register.closed if pane < 0 else self.passing.place(pane, revision) < self._cuts

    @property
    def sealable(self) -> int:
        """Panes that may be sealed by now, those already sealed included; 0 while the register is open."""
        return self.passing.sealed(self._reachable)

    @property
    def ripe(self) -> bool:
        """Whether a pane may be sealed now, for the first time or anew."""
        return self._cuts < self._reachable

    @property
    def _reachable(self) -> int:
        """Cuts that may be taken by now, those already taken included."""
        return max(self._cuts, self.passing.passed(self._watermark)) if self.register.closed else 0

    def seal(self) -> Sealed:
        """Take the next cut.

        Raises:
            ValueError: no pane may be sealed yet.
        """
        if not self.ripe:
            raise ValueError(f"pane {self.sealed} may not be sealed yet: {self.sealable} may")
        pane, revision = self.passing.cut(self._cuts)
        content = self._content(pane, self._cuts)
        if revision:
            content -= self._content(pane, self.passing.place(pane, revision - 1))
        self._cuts += 1
        if revision == self.passing.last:
            # No pane that follows asks for what was known before its own first cut.
            following = self.passing.over(self._cuts)
            self._said.forget(pane, self.passing.place(following, 0) if following < self._count else self._cuts)
        return Sealed(pane, content, revision)

    def list_before(self, boundary: int) -> list[Listed]:
        """The next lists of whose rows are erased; nothing that was said of these people is asked for any more."""
        lists, people = self.withdrawn.list_before(boundary, self.register)
        self._said.forget_people(people)
        self._standing = {event: s for event, s in self._standing.items() if s.person not in people}
        return lists

    def _content(self, pane: int, cut: int) -> NDArray[np.int64]:
        """(columns, slots) all of a pane, as known at a cut."""
        slot_of = self.register.slot_of
        if slot_of is None:
            raise ValueError("the register is open; close it first")
        columns = self._said.columns(pane, cut, len(slot_of), self.withdrawn.without(pane))
        content = np.zeros((len(columns), self.register.slots), dtype=np.int64)
        for row, values in zip(content, columns, strict=True):
            row[slot_of] = values
        return content
