"""Panes of one shard: events become, pane by pane, a matrix of measures by slots.

Event time only. A pane is sealed when the watermark has passed its end by the party's grace, and again at each agreed
maturity: then with what came since. What an event changes follows from how far its own source partition was: it is
known to every cut that had not passed there. What would change a pane after its last one, or is about a patient outside
this epoch's register, changes nothing here: it is counted, and stays on the sharded topic.

A patient who comes after the linkage date may enter a later batch of the register. Nothing of panes before that batch
is theirs; what holds on, such as an enrolment, does so from its first pane on.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from policy.agreement import Draft
from streams.admission import Admission
from streams.answers import Answer
from streams.bounds import check_bounds
from streams.chest import Tables
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
from streams.intervals import LIMIT
from streams.people import NOBODY
from streams.places import Place, Standing, dump_standing, load_standing
from streams.register import Opened
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
    """Whether the register's first batch is open."""
    later: int = Field(default=0, ge=0, exclude_if=lambda batches: batches == 0)
    """Batches that opened after it."""
    watermark: int = Field(ge=NEVER, le=ENDED)
    cuts: int = Field(ge=0)
    """Taken so far."""
    late_pending: int = Field(ge=0)
    late_after_maturity: int = Field(ge=0)


class ShardPanes(Admission):
    """The state of one shard of one party; `seed`: of its register (streams.register)."""

    def __init__(self, draft: Draft, party: str, seed: bytes) -> None:
        check_bounds(draft, party)
        super().__init__(draft, party, seed)
        self._count = draft.panes.count
        self._stamps = [edge.timestamp() for edge in draft.panes.edges]
        self._watermark = NEVER
        self._said = Content(draft, party)
        self._standing: dict[str, Standing] = {}
        self.withdrawn = Withdrawals(draft.erasure, self._count, grows=self.growth.batches > 1)

    def reach(self, watermark: int, clock: int) -> None:
        """What comes next comes after this: the least watermark of all that the shard's events come from, and the least
        of their latest times of recording; µs since 1970, streams.columns.NEVER or ENDED. Neither ever falls.
        """
        self._watermark = max(self._watermark, watermark)
        while self.register.opened < self.passing.batch(self._watermark, clock):
            self._open()

    def _open(self) -> Opened:
        entered, out = super()._open()
        self._forget_people(set(out))
        self.withdrawn.forget(out)
        return Opened(entered, out)

    def apply(self, event: PatientEvent, watermark: int = NEVER, clock: int = NEVER) -> None:
        """Take in an accepted event.

        What is late follows from the event's own source partition, never from how far others happened to be read: the
        same events seal the same content however their partitions come together.

        Args:
            event: as Validator.enter gives it.
            watermark: of its source partition, before it; NEVER if it says nothing.
            clock: the latest recorded_at there, before it.
        """
        # Who is first heard of after a batch's edge is not in it, however long it takes until it opens.
        self._turn(watermark, max(clock, micros(event.recorded_at)))
        person = self.register.person(event.patient, self._batch)
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
                self.register.leave(person, self._batch)
                self._await(person, self._count)

    def apply_debits(self, lines: Debits, entered: Bools, watermark: int, clock: int) -> None:
        """Claim lines at once, between whose first and last nothing passes (streams.passing).

        Args:
            lines: n debit lines.
            entered: (n,) which were accepted; at least one.
            watermark: of their source partition, before the first.
            clock: the latest recorded_at there, before the first and of it.
        """
        self._turn(watermark, clock)
        person = persons(lines, entered, self.register.numbers(self._batch))
        known = entered & (person >= 0) & (lines.pane >= self._edges(person))
        over = lines.pane < self.passing.over(self._told)
        late = known & ~over & (lines.pane < self.passing.sealed(self._told))
        self.late_pending += int((entered & ~known).sum() + late.sum())
        for who, events in Counter(person[known & over].tolist()).items():
            self._is_over(who, events)
        kept = np.flatnonzero(known & ~over)
        if self.growth.batches > 1:
            on_time = kept[~late[kept]]
            self._await_all(person[on_time], lines.pane[on_time])
        self._said.events.add_debits(
            lines.pane[kept], person[kept], lines.care[kept], lines.care_types, lines.cents[kept], self._told
        )

    def on_time(self, lines: Enrolments, watermark: int, clock: int) -> Bools:
        """(n,) which of enrolments of new ids change nothing that has passed; see apply_debits."""
        self._turn(watermark, clock)
        sealed = self.passing.sealed(self._told)
        found = starts(lines, self._said.origin) >= (self._said.edges[sealed] if sealed else -LIMIT)
        if self._batch == 0:
            return found
        enters = self._batch < self.growth.batches
        return found & (persons(lines, found, self.register.find_all) >= (NOBODY if enters else 0))

    def apply_enrolments(self, lines: Enrolments, rows: Int64s) -> None:
        """Take in enrolments at `rows`, all accepted, of new ids, and just found to be on time."""
        said, person = self._said, persons(lines, rows, self.register.numbers(self._batch))
        if self.growth.batches > 1:
            self._await_all(person[rows], np.full(len(rows), self._count))
        for name, mine in lines.by_programme(rows):
            if name != REGISTERED:
                put_all(said.programmes[name], lines, mine, person[mine], said.origin, said.zone, self._told)

    def _claim(self, event: ClaimEvent, person: int) -> None:
        pane = bisect_right(self._stamps, event.occurred_at.timestamp()) - 1
        if pane < self._edge(person):
            self.late_pending += 1
        elif self._admits(person, pane, pane):
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
            self._is_over(person)
            return
        answer, places, edge = None, [], self._edge(person)
        for moment, key in moments(event):
            pane = bisect_right(self._stamps, moment.timestamp()) - 1
            if isinstance(event, PromEvent):
                answer = Answer(moment.timestamp(), event.payload.score, pane)
            if edge <= pane < self._count:
                places.append(Place(pane, key, answer))
        changes = Counter(places)
        for earlier in gone.values():
            changes.subtract(earlier.places)
        changed = [place.pane for place, number in changes.items() if number != 0]
        answers = self._said.answers[event.payload.instrument] if isinstance(event, PromEvent) else None
        removed = [earlier.row for earlier in gone.values() if earlier.row is not None]
        if answers is not None:
            changed += answers.moved(person, removed, answer, edge)
        if edge and not changed:
            # Of before the person's first pane: later answers may be compared with it.
            self.late_pending += 1
        elif not self._admits(person, min(changed, default=self._count), max(changed, default=self._count)):
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
            self._await(person, self._count)
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
        if self._admits(person, max(self._edge(person), bisect_right(self._said.edges, changed) - 1), self._count):
            programme.put(event.event_id, person, *span, days, self._told)

    def _fact(self, event: SocialEvent, person: int) -> None:
        since = math.floor(event.occurred_at.timestamp() - self._said.origin)
        if self._admits(person, max(self._edge(person), bisect_left(self._said.edges, since)), self._count):
            self._said.facts[event.payload.field].add(person, since, event.payload.value, self._told)

    def forget(self, before: int) -> None:
        """Events that may be corrected, of before an instant (µs since 1970); what they added to panes stays."""
        self._standing = {event: standing for event, standing in self._standing.items() if standing.least >= before}

    def dump(self) -> tuple[Progress, dict[str, pa.RecordBatch]]:
        """The whole state."""
        progress = Progress(
            closed=self.register.closed, later=max(0, self.register.opened - 1), watermark=self._watermark,
            cuts=self._cuts, late_pending=self.late_pending, late_after_maturity=self.late_after_maturity,
        )
        return progress, {
            "register": self.register.dump(),
            **self._said.dump(),
            **dump_standing(self._standing),
            **dict(self.withdrawn.dump()),
            **({"awaited": self._awaited.dump(), "overdue": self._overdue.dump()} if self.growth.batches > 1 else {}),
        }

    def load(self, progress: Progress, tables: Tables) -> None:
        """Put a new one back to where it was.

        Raises:
            StoreError: not the tables of `dump`.
        """
        self.register.load(tables, "register", progress.closed + progress.later)
        self._watermark, self._cuts = progress.watermark, progress.cuts
        self.late_pending, self.late_after_maturity = progress.late_pending, progress.late_after_maturity
        self._said.load(tables)
        self._standing = load_standing(tables)
        self.withdrawn.load(tables, self.register)
        if self.growth.batches > 1:
            self._awaited.load(tables, "awaited")
            self._overdue.load(tables, "overdue")

    @property
    def watermark(self) -> int:
        """Nothing on time comes from before it."""
        return self._watermark

    @property
    def sealed(self) -> int:
        """Panes sealed for the first time: 0 ≤ pane < sealed."""
        return self.passing.sealed(self._cuts)

    def has_sealed(self, pane: int, revision: int) -> bool:
        """Whether a revision of a pane is sealed; of pane −1, the register, whether that batch is open."""
        return revision < self.register.opened if pane < 0 else self.passing.place(pane, revision) < self._cuts

    def has_block(self, block: int, pane: int, revision: int) -> bool:
        """Whether what is sealed of a pane, or a batch of the register that is open, has a block."""
        if pane < 0:
            return block in self.register.blocks_of(revision)
        return block < self.register.blocks_of(self.growth.until(pane) - 1).stop

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
        opened = self.register.opened
        if opened == 0:
            return 0
        reached = max(self._cuts, self.passing.passed(self._watermark))
        return reached if opened == self.growth.batches else min(
            reached, self.passing.place(self.growth.edge(opened), 0)
        )

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
        lists, people = self.withdrawn.list_before(boundary, self.register, self.growth.until(boundary - 1))
        self._forget_people(people)
        return lists

    def _forget_people(self, people: Collection[int]) -> None:
        if people:
            self._said.forget_people(people)
            self._standing = {event: s for event, s in self._standing.items() if s.person not in people}

    def _content(self, pane: int, cut: int) -> NDArray[np.int64]:
        """(columns, slots of the batches that it is shared of) all of a pane, as known at a cut."""
        slot_of = self.register.slot_of
        if slot_of is None:
            raise ValueError("the register is open; close it first")
        slots = self.register.slots_of(self.growth.until(pane))
        people = np.flatnonzero((slot_of >= 0) & (slot_of < slots))
        mine = slot_of[people]
        columns = self._said.columns(pane, cut, self.register.heard, self.withdrawn.without(pane))
        content = np.zeros((len(columns), slots), dtype=np.int64)
        for row, values in zip(content, columns, strict=True):
            row[mine] = values[people]
        return content
