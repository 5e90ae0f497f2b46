"""Whether an event may enter: a decision per event, over what was accepted before it.

The state is one shard's: which event ids were seen, which claims stand, who is known, and what each patient's
panes already hold. An event that would lift a measure above its declared bound is refused, so that sums on
shares never leave their range.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from policy.agreement import Draft
from policy.window import MAX_PANES
from streams.chest import Tables, table
from streams.claims import CANCELLED, CREDIT, ID_BYTES, STANDS, Claims
from streams.columns import NEVER, EventColumns
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
from streams.errors import StoreError
from streams.fixed import Bools, Int64s
from streams.people import NOBODY, People
from streams.pseudonym import PATIENT_BYTES, encrypted, written
from streams.rejects import Reason
from streams.revisions import Revisions
from streams.rowwise import MICROSECOND, WITHDRAWAL, id_bytes, micros, moment
from streams.sources.agreed import programmes
from streams.totals import Totals

CARE_TYPES = frozenset({
    "admission", "dental", "device", "ed", "gp", "maternity", "medication", "mental", "other", "outpatient",
    "paramedic", "tele", "transport",
})
"""Care types that claims may have, besides those that the agreement's measures name."""
CLOCK_SLACK = timedelta(days=1)
"""An event recorded this long before it happened is a clock's fault; longer before is the future."""
STOP_SLACK = CLOCK_SLACK + timedelta(days=1)
"""The same for the first instant after an enrolment, whose last day may be a whole one."""


class _Enrolled(NamedTuple):
    """The last version of an enrolment."""

    recorded: int
    person: int
    programme: str


_PEOPLE = pa.schema([pa.field("patient", pa.binary(PATIENT_BYTES), nullable=False)])
_IDS = pa.schema([pa.field("kind", pa.string(), nullable=False), pa.field("event", pa.string(), nullable=False)])
_ENROLMENTS = pa.schema([
    pa.field("event", pa.binary(ID_BYTES), nullable=False), pa.field("recorded", pa.int64(), nullable=False),
    pa.field("person", pa.int64(), nullable=False), pa.field("programme", pa.string(), nullable=False),
])
_LEFT = pa.schema([
    pa.field("patient", pa.binary(PATIENT_BYTES), nullable=False), pa.field("forgotten", pa.bool_(), nullable=False),
])
_CARE = pa.schema([pa.field("care_type", pa.string(), nullable=False)])


class Validator:
    """Checks events in their order: one shard's, or all of a party's."""

    def __init__(self, draft: Draft, party: str) -> None:
        self._grid = draft.panes
        self._programmes = programmes(draft, party) | {REGISTERED}
        measures = [m for m in draft.party_measures(party) if m.kind == "claim"]
        self._limits = {
            care: tuple(
                (index, m.aggregation == "sum", m.bound)
                for index, m in enumerate(measures)
                if m.aggregation in ("count", "sum") and m.care_type in (None, care)
            )
            for care in CARE_TYPES | {m.care_type for m in measures if m.care_type is not None}
        }
        """Care type → (measure, whether it adds cents, bound) of the measures that a claim counts for."""
        self._needs_enrolment = any("enrolment" in s.kinds for s in draft.party(party).sources)
        self._care = sorted(self._limits)
        self._bounds = {index: bound for limits in self._limits.values() for index, _, bound in limits}
        self._counting = {
            index: (np.array([any(i == index for i, _, _ in self._limits[c]) for c in self._care]), is_sum)
            for limits in self._limits.values() for index, is_sum, _ in limits
        }
        """Measure → whether a claim of each care type counts for it, and whether it adds cents."""
        self._people = People()
        self._claims = Claims()
        self._care_number = {care: number for number, care in enumerate(self._care)}
        self._social: set[str] = set()
        self._withdrawals: set[str] = set()
        self._erases = draft.erasure is not None
        self._left: dict[bytes, bool] = {}
        """Patients who withdrew, where rows are erased → whether all else that was accepted of them is forgotten."""
        self._revisions = Revisions(draft.panes, draft.party_measures(party))
        self._enrolments: dict[bytes, _Enrolled] = {}
        self._totals = Totals(max(1, len(measures)))

    def enter(self, event: PatientEvent, since: int = NEVER) -> PatientEvent | Reason:
        """The event as it may enter, or why not; what needs no history streams.judge decided before.

        A credit line enters with the date and care type of the line that it cancels; see Revisions.check too.

        Args:
            event: the next one.
            since: what happened before this instant (µs since 1970) is too old, and as if it had been forgotten.
        """
        match event:
            case ClaimEvent():
                return self._credit(event, since) if event.payload.credit else self._debit(event, since)
            case EnrolmentEvent():
                return self._enrolment(event)
            case SocialEvent():
                return self._social_fact(event)
            case EncounterEvent() | MonitoringEvent() | PromEvent():
                return self._revisable(event, since)
            case WithdrawalEvent():
                return self._withdrawal(event)

    def plain(self, lines: Enrolments) -> Bools:
        """(n,) which enrolments enter whatever becomes of the others: nothing was said of their id, nor is again."""
        agreed = np.array([name in self._programmes for name in lines.programmes], dtype=np.bool_)[lines.programme]
        held = np.fromiter(map(self._enrolments.__contains__, lines.event), dtype=np.bool_, count=len(lines.event))
        stops = (lines.until >= lines.occurred) & (lines.until <= lines.recorded + STOP_SLACK // MICROSECOND)
        return agreed & ~held & ~lines.repeated & (stops | ~lines.has_until)

    def enter_enrolments(self, lines: Enrolments, rows: Int64s) -> None:
        """Enter those at `rows`, all of them plain."""
        person = persons(lines, rows, self._people.add_all)
        for programme, mine in lines.by_programme(rows):
            numbers = person[mine].tolist()
            self._enrolments.update(
                (lines.event[row], _Enrolled(recorded, number, programme))
                for row, recorded, number in zip(mine.tolist(), lines.recorded[mine].tolist(), numbers, strict=True)
            )

    def unknown(self, patients: Sequence[bytes]) -> list[bytes]:
        """Those of whom nothing was accepted."""
        return [patient for patient in patients if self._people.find(patient) is None]

    def enter_debits(self, lines: Debits, heard: Bools, since: int) -> dict[int, Reason]:
        """Enter debit lines at once, with the outcome that they would have one by one: row → reason of the refused.

        Rows that touch nothing of each other are entered together: their id comes once, and no total of their patient
        and pane can exceed its bound, whatever else of these lines enters. The others follow one by one.

        Args:
            lines: n debit lines.
            heard: (n,) False where the patient's first enrolment was entered already, but stands after the line.
            since: as for `enter`.
        """
        pane = lines.pane
        care = np.array([self._care_number.get(name, -1) for name in lines.care_types], dtype=np.int64)[lines.care]
        number = self._people.find_all(lines.patients)[lines.patient]
        person = np.where(heard, number, NOBODY)
        agreed = (care >= 0) & (pane >= 0) & (pane < self._grid.count) & (lines.occurred >= since)
        single = agreed & ~lines.repeated & ~self._claims.held(lines.event, since)
        if self._needs_enrolment:
            single &= person >= 0
        fits = np.flatnonzero(agreed)
        group, of = np.unique(lines.patient[fits] * MAX_PANES + pane[fits], return_inverse=True)
        first = np.empty(len(group), dtype=np.int64)
        first[of] = fits
        totals = self._totals.get_all(pane[first], number[first])
        crowded = np.zeros(len(group), dtype=np.bool_)
        for index, mine, adds in self._adds(care[fits], lines.cents[fits]):
            total = totals[:, index]
            np.add.at(total, of[mine], adds)
            crowded |= total > self._bounds[index]
        single[fits[crowded[of]]] = False
        self._enter_singles(lines, np.flatnonzero(single), care)
        refused: dict[int, Reason] = {}
        for row in np.flatnonzero(~single).tolist():
            reason = self._enter_debit(
                lines.event[row], lines.patients[lines.patient[row]], lines.care_types[lines.care[row]], int(pane[row]),
                int(lines.occurred[row]), int(lines.cents[row]), since, heard=bool(heard[row]),
            )
            if reason is not None:
                refused[row] = reason
        return refused

    def _enter_singles(self, lines: Debits, rows: Int64s, care: Int64s) -> None:
        person, pane = persons(lines, rows, self._people.add_all)[rows], lines.pane[rows]
        for index, mine, adds in self._adds(care[rows], lines.cents[rows]):
            self._totals.add_all(pane[mine], person[mine], index, adds)
        events = [lines.event[row] for row in rows.tolist()]
        self._claims.extend(events, person, lines.occurred[rows], care[rows], lines.cents[rows])

    def _adds(self, care: Int64s, cents: Int64s) -> Iterator[tuple[int, Int64s, Int64s]]:
        """Measure, the lines (of n) that count for it, and what they add."""
        for index, (counts, is_sum) in self._counting.items():
            mine = np.flatnonzero(counts[care])
            yield index, mine, cents[mine] if is_sum else np.ones(len(mine), dtype=np.int64)

    def _debit(self, event: ClaimEvent, since: int) -> ClaimEvent | Reason:
        claim, pane = event.payload, self._grid.pane_of(event.occurred_at)
        reason = self._enter_debit(
            id_bytes(event.event_id), encrypted(event.patient), claim.care_type, -1 if pane is None else pane,
            micros(event.occurred_at), claim.cents, since,
        )
        return event if reason is None else reason

    def _enter_debit(
        self, name: bytes, patient: bytes, care_type: str, pane: int, occurred: int, cents: int, since: int, *,
        heard: bool = True,
    ) -> Reason | None:
        limits = self._limits.get(care_type)
        if limits is None:
            return Reason.UNKNOWN_CODE
        if not 0 <= pane < self._grid.count:
            return Reason.OUTSIDE_AGREEMENT
        if occurred < since:
            return Reason.TOO_OLD
        if self._claims.find(name, since) is not None:
            return Reason.DUPLICATE_ID
        person = self._people.find(patient)
        if person is None or not heard:
            if self._needs_enrolment:
                return Reason.UNKNOWN_PERSON
            person = self._people.add(patient)
        totals = self._totals
        for index, is_sum, bound in limits:
            if totals.get(pane, person, index) + (cents if is_sum else 1) > bound:
                return Reason.AMOUNT_TOO_LARGE if is_sum else Reason.TOO_MANY_EVENTS
        for index, is_sum, _ in limits:
            totals.add(pane, person, index, cents if is_sum else 1)
        self._claims.add(name, person, occurred, self._care_number[care_type], cents)
        return None

    def _credit(self, event: ClaimEvent, since: int) -> ClaimEvent | Reason:
        claim = event.payload
        if claim.care_type not in self._limits:
            return Reason.UNKNOWN_CODE
        name, lines = id_bytes(event.event_id), self._claims
        if lines.find(name, since) is not None:
            return Reason.DUPLICATE_ID
        if event.corrects is None:
            return Reason.MISSING_FIELD
        row = lines.find(id_bytes(event.corrects), since)
        if row is None:
            # Nobody remembers whether it was ever there.
            return Reason.TOO_OLD if since != NEVER else Reason.UNKNOWN_REFERENCE
        if lines.state[row] == CREDIT:
            return Reason.UNKNOWN_REFERENCE
        if lines.state[row] != STANDS:
            return Reason.ALREADY_CANCELLED
        person, cents = lines.person[row], lines.cents[row]
        if (person, cents) != (self._people.find(encrypted(event.patient)), claim.cents):
            return Reason.CREDIT_MISMATCH
        occurred_at, care = moment(lines.occurred[row]), self._care[lines.care[row]]
        lines.state[row] = CANCELLED
        lines.add(name, person, lines.occurred[row], lines.care[row], cents, CREDIT)
        pane = self._grid.pane_of(occurred_at)
        assert pane is not None
        for index, is_sum, _ in self._limits[care]:
            self._totals.add(pane, person, index, -cents if is_sum else -1)
        payload = claim.model_copy(update={"care_type": care})
        return event.model_copy(update={"occurred_at": occurred_at, "payload": payload})

    def _enrolment(self, event: EnrolmentEvent) -> EnrolmentEvent | Reason:
        enrolment = event.payload
        if enrolment.programme not in self._programmes:
            return Reason.UNKNOWN_CODE
        if enrolment.stop is not None:
            if enrolment.stop < event.occurred_at:
                return Reason.STOP_BEFORE_START
            # Within one time zone Python adds to what clocks show, not to the instant.
            if micros(enrolment.stop) > micros(event.recorded_at) + STOP_SLACK // MICROSECOND:
                return Reason.IN_THE_FUTURE
        name, patient, recorded = id_bytes(event.event_id), encrypted(event.patient), micros(event.recorded_at)
        earlier = self._enrolments.get(name)
        if earlier is not None and (
            recorded <= earlier.recorded
            or (self._people.find(patient), enrolment.programme) != (earlier.person, earlier.programme)
        ):
            return Reason.DUPLICATE_ID
        self._enrolments[name] = _Enrolled(recorded, self._people.add(patient), enrolment.programme)
        return event

    def _social_fact(self, event: SocialEvent) -> SocialEvent | Reason:
        if event.event_id in self._social:
            return Reason.DUPLICATE_ID
        self._social.add(event.event_id)
        self._people.add(encrypted(event.patient))
        return event

    def _revisable(self, event: RevisableEvent, since: int) -> RevisableEvent | Reason:
        person = self._people.find(encrypted(event.patient))
        if person is None and not self._needs_enrolment:
            person = len(self._people)
        outcome = self._revisions.check(event, person, since)
        if not isinstance(outcome, Reason):
            self._people.add(encrypted(event.patient))
        return outcome

    def _withdrawal(self, event: WithdrawalEvent) -> WithdrawalEvent | Reason:
        if event.event_id in self._withdrawals:
            return Reason.DUPLICATE_ID
        if self._people.find(encrypted(event.patient)) is None:
            return Reason.UNKNOWN_PERSON
        self._withdrawals.add(event.event_id)
        if self._erases:
            self._left.setdefault(encrypted(event.patient), False)
        return event

    def staying(self, columns: EventColumns, rows: Int64s) -> Int64s:
        """Those of `rows` that are to be entered: not what comes of who withdrew before, where rows are erased.

        It would change nothing that is sealed for the first time, and what it refers to may be forgotten. It counts as
        accepted: a count of its own, which everybody reads, could be about one patient.
        """
        if not self._left:
            return rows
        who = zip(columns.patient[rows].tolist(), columns.kind[rows].tolist(), strict=True)
        return rows[[kind == WITHDRAWAL or patient not in self._left for patient, kind in who]]

    def forget_withdrawn(self) -> None:
        """All that was accepted of patients who withdrew, but that they did: nothing of them is entered any more."""
        people = {
            number: written(patient) for patient, forgotten in self._left.items()
            if not forgotten and (number := self._people.find(patient)) is not None
        }
        if not people:
            return
        numbers = np.array(list(people), dtype=np.int64)
        self._claims.forget_people(numbers)
        self._totals.forget_people(numbers)
        self._revisions.forget_people(people)
        self._enrolments = {event: said for event, said in self._enrolments.items() if said.person not in people}
        self._left = dict.fromkeys(self._left, True)

    def forget(self, before: int) -> None:
        """Events of what happened before an instant (µs since 1970), the end of a pane, and their totals."""
        pane = self._grid.pane_of(moment(before))
        gone = self._grid.count if pane is None else pane
        self._claims.forget(before)
        self._totals.forget(gone)
        self._revisions.forget(before, gone)

    def dump(self) -> dict[str, pa.RecordBatch]:
        """All that was accepted, as tables."""
        ids = {"social": self._social, "withdrawal": self._withdrawals}
        return {
            "people": table(_PEOPLE, ((patient,) for patient in self._people)),
            "care": table(_CARE, ((care,) for care in self._care)),
            "claims": self._claims.dump(),
            "ids": table(_IDS, ((kind, event) for kind, events in ids.items() for event in sorted(events))),
            "enrolments": table(_ENROLMENTS, ((event, *e) for event, e in self._enrolments.items())),
            "totals": self._totals.dump(),
            **self._revisions.dump(),
            **({"left": table(_LEFT, self._left.items())} if self._erases else {}),
        }

    def load(self, tables: Tables) -> None:
        """Put a new one back to where it was.

        Raises:
            StoreError: not the tables of `dump` under the same agreement.
        """
        if [care for (care,) in tables.rows("care", _CARE)] != self._care:
            raise StoreError("a state with other care types than this agreement's")
        self._people = People(patient for (patient,) in tables.rows("people", _PEOPLE))
        self._claims.load(tables, "claims")
        ids: Mapping[str, set[str]] = {"social": self._social, "withdrawal": self._withdrawals}
        for kind, event in tables.rows("ids", _IDS):
            ids[kind].add(event)
        self._enrolments = {event: _Enrolled(*said) for event, *said in tables.rows("enrolments", _ENROLMENTS)}
        self._totals.load(tables, "totals")
        self._revisions.load(tables)
        if self._erases:
            self._left = dict(tables.rows("left", _LEFT))
