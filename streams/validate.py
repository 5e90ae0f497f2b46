"""Whether an event may enter: a decision per event, over what was accepted before it.

The state is one shard's: which event ids were seen, which claims stand, who is known, and what each patient's
panes already hold. An event that would lift a measure above its declared bound is refused, so that sums on
shares never leave their range.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from policy.agreement import Draft
from policy.window import MAX_PANES
from streams.chest import Tables, table
from streams.claims import CANCELLED, CREDIT, STANDS, Claims, id_bytes
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
from streams.rejects import Reason
from streams.revisions import Revisions
from streams.rowwise import micros, moment
from streams.sources.agreed import programmes

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

    recorded_at: datetime
    patient: str
    programme: str


_PEOPLE = pa.schema([pa.field("patient", pa.string(), nullable=False)])
_IDS = pa.schema([pa.field("kind", pa.string(), nullable=False), pa.field("event", pa.string(), nullable=False)])
_ENROLMENTS = pa.schema([
    pa.field("event", pa.string(), nullable=False), pa.field("recorded", pa.int64(), nullable=False),
    pa.field("patient", pa.string(), nullable=False), pa.field("programme", pa.string(), nullable=False),
])
_TOTALS = pa.schema([pa.field("cell", pa.int64(), nullable=False), pa.field("total", pa.int64(), nullable=False)])
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
        self._measures = max(1, len(measures))
        self._people: dict[str, int] = {}
        self._claims, self._care = Claims(), sorted(self._limits)
        self._care_number = {care: number for number, care in enumerate(self._care)}
        self._social: set[str] = set()
        self._withdrawals: set[str] = set()
        self._revisions = Revisions(draft.panes, draft.party_measures(party))
        self._enrolments: dict[str, _Enrolled] = {}
        self._totals: dict[int, int] = {}

    def enter(self, event: PatientEvent) -> PatientEvent | Reason:
        """The event as it may enter, or why not; what needs no history streams.judge decided before.

        A credit line enters with the date and care type of the line that it cancels; see Revisions.check too.
        """
        match event:
            case ClaimEvent():
                return self._credit(event) if event.payload.credit else self._debit(event)
            case EnrolmentEvent():
                return self._enrolment(event)
            case SocialEvent():
                return self._social_fact(event)
            case EncounterEvent() | MonitoringEvent() | PromEvent():
                return self._revisable(event)
            case WithdrawalEvent():
                return self._withdrawal(event)

    def _debit(self, event: ClaimEvent) -> ClaimEvent | Reason:
        claim = event.payload
        limits = self._limits.get(claim.care_type)
        if limits is None:
            return Reason.UNKNOWN_CODE
        pane = self._grid.pane_of(event.occurred_at)
        if pane is None:
            return Reason.OUTSIDE_AGREEMENT
        name = id_bytes(event.event_id)
        if name in self._claims.row:
            return Reason.DUPLICATE_ID
        person = self._people.get(event.patient)
        if person is None:
            if self._needs_enrolment:
                return Reason.UNKNOWN_PERSON
            person = self._know(event.patient)
        cell = (person * MAX_PANES + pane) * self._measures
        totals = self._totals
        for index, is_sum, bound in limits:
            if totals.get(cell + index, 0) + (claim.cents if is_sum else 1) > bound:
                return Reason.AMOUNT_TOO_LARGE if is_sum else Reason.TOO_MANY_EVENTS
        for index, is_sum, _ in limits:
            totals[cell + index] = totals.get(cell + index, 0) + (claim.cents if is_sum else 1)
        self._claims.add(name, person, micros(event.occurred_at), self._care_number[claim.care_type], claim.cents)
        return event

    def _credit(self, event: ClaimEvent) -> ClaimEvent | Reason:
        claim = event.payload
        if claim.care_type not in self._limits:
            return Reason.UNKNOWN_CODE
        name, lines = id_bytes(event.event_id), self._claims
        if name in lines.row:
            return Reason.DUPLICATE_ID
        if event.corrects is None:
            return Reason.MISSING_FIELD
        row = lines.row.get(id_bytes(event.corrects))
        if row is None or lines.state[row] == CREDIT:
            return Reason.UNKNOWN_REFERENCE
        if lines.state[row] != STANDS:
            return Reason.ALREADY_CANCELLED
        person, cents = lines.person[row], lines.cents[row]
        if (person, cents) != (self._people.get(event.patient), claim.cents):
            return Reason.CREDIT_MISMATCH
        occurred_at, care = moment(lines.occurred[row]), self._care[lines.care[row]]
        lines.state[row] = CANCELLED
        lines.add(name, person, lines.occurred[row], lines.care[row], cents, CREDIT)
        pane = self._grid.pane_of(occurred_at)
        assert pane is not None
        cell = (person * MAX_PANES + pane) * self._measures
        for index, is_sum, _ in self._limits[care]:
            self._totals[cell + index] -= cents if is_sum else 1
        payload = claim.model_copy(update={"care_type": care})
        return event.model_copy(update={"occurred_at": occurred_at, "payload": payload})

    def _enrolment(self, event: EnrolmentEvent) -> EnrolmentEvent | Reason:
        enrolment = event.payload
        if enrolment.programme not in self._programmes:
            return Reason.UNKNOWN_CODE
        if enrolment.stop is not None:
            if enrolment.stop < event.occurred_at:
                return Reason.STOP_BEFORE_START
            if enrolment.stop > event.recorded_at + STOP_SLACK:
                return Reason.IN_THE_FUTURE
        earlier = self._enrolments.get(event.event_id)
        if earlier is not None and (
            event.recorded_at <= earlier.recorded_at
            or (event.patient, enrolment.programme) != (earlier.patient, earlier.programme)
        ):
            return Reason.DUPLICATE_ID
        self._enrolments[event.event_id] = _Enrolled(event.recorded_at, event.patient, enrolment.programme)
        self._know(event.patient)
        return event

    def _social_fact(self, event: SocialEvent) -> SocialEvent | Reason:
        if event.event_id in self._social:
            return Reason.DUPLICATE_ID
        self._social.add(event.event_id)
        self._know(event.patient)
        return event

    def _revisable(self, event: RevisableEvent) -> RevisableEvent | Reason:
        person = self._people.get(event.patient)
        if person is None and not self._needs_enrolment:
            person = len(self._people)
        outcome = self._revisions.check(event, person)
        if not isinstance(outcome, Reason):
            self._know(event.patient)
        return outcome

    def _withdrawal(self, event: WithdrawalEvent) -> WithdrawalEvent | Reason:
        if event.event_id in self._withdrawals:
            return Reason.DUPLICATE_ID
        if event.patient not in self._people:
            return Reason.UNKNOWN_PERSON
        self._withdrawals.add(event.event_id)
        return event

    def dump(self) -> dict[str, pa.RecordBatch]:
        """All that was accepted, as tables."""
        totals = [np.fromiter(found, dtype=np.int64, count=len(self._totals))
                  for found in (self._totals.keys(), self._totals.values())]
        ids = {"social": self._social, "withdrawal": self._withdrawals}
        return {
            "people": table(_PEOPLE, ((patient,) for patient in self._people)),
            "care": table(_CARE, ((care,) for care in self._care)),
            "claims": self._claims.dump(),
            "ids": table(_IDS, ((kind, event) for kind, events in ids.items() for event in sorted(events))),
            "enrolments": table(_ENROLMENTS, (
                (event, micros(e.recorded_at), e.patient, e.programme) for event, e in self._enrolments.items()
            )),
            "totals": pa.record_batch([pa.array(found) for found in totals], schema=_TOTALS),
            **self._revisions.dump(),
        }

    def load(self, tables: Tables) -> None:
        """Put a new one back to where it was.

        Raises:
            StoreError: not the tables of `dump` under the same agreement.
        """
        if [care for (care,) in tables.rows("care", _CARE)] != self._care:
            raise StoreError("a state with other care types than this agreement's")
        self._people = {patient: number for number, (patient,) in enumerate(tables.rows("people", _PEOPLE))}
        self._claims.load(tables, "claims")
        ids: Mapping[str, set[str]] = {"social": self._social, "withdrawal": self._withdrawals}
        for kind, event in tables.rows("ids", _IDS):
            ids[kind].add(event)
        for event, recorded, patient, programme in tables.rows("enrolments", _ENROLMENTS):
            self._enrolments[event] = _Enrolled(moment(recorded), patient, programme)
        self._totals = dict(tables.rows("totals", _TOTALS))
        self._revisions.load(tables)

    def _know(self, patient: str) -> int:
        return self._people.setdefault(patient, len(self._people))
