"""Whether an event may enter: a decision per event, over what was accepted before it.

The state is one party's: which event ids were seen, which claims stand, who is known, and what each patient's
panes already hold. An event that would lift a measure above its declared bound is refused, so that sums on
shares never leave their range.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from policy.agreement import Draft
from policy.window import MAX_PANES
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
from streams.pseudonym import Pseudonyms
from streams.rejects import Reason
from streams.revisions import Revisions
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


@dataclass(slots=True)
class _Line:
    """A debit line that was accepted."""

    patient: str
    occurred_at: datetime
    pane: int
    care_type: str
    cents: int
    cancelled: bool = False


class Validator:
    """Checks one party's events in their order."""

    def __init__(self, draft: Draft, party: str, pseudonyms: Pseudonyms) -> None:
        self._grid, self._shards, self._pseudonyms = draft.panes, draft.shards, pseudonyms
        self._kinds = {s.name: frozenset(s.kinds) for s in draft.party(party).sources}
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
        self._needs_enrolment = any("enrolment" in kinds for kinds in self._kinds.values())
        self._measures = max(1, len(measures))
        self._people: dict[str, int] = {}
        self._claims: dict[str, _Line | None] = {}
        self._social: set[str] = set()
        self._withdrawals: set[str] = set()
        self._revisions = Revisions(draft.panes, draft.party_measures(party))
        self._enrolments: dict[str, EnrolmentEvent] = {}
        self._totals: dict[int, int] = {}

    def check(self, event: PatientEvent, partition: int) -> PatientEvent | Reason:
        """The event as it may enter, or why not.

        A credit line enters with the date and care type of the line that it cancels; see Revisions.check too.
        """
        try:
            if self._pseudonyms.shard(event.patient, self._shards) != partition:
                return Reason.WRONG_PARTITION
        except ValueError:
            return Reason.WRONG_TYPE
        if event.kind not in self._kinds.get(event.source, ()):
            return Reason.UNKNOWN_CODE
        if event.occurred_at > event.recorded_at + CLOCK_SLACK:
            return Reason.IN_THE_FUTURE
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
        if event.event_id in self._claims:
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
        self._claims[event.event_id] = _Line(
            event.patient, event.occurred_at, pane, claim.care_type, claim.cents
        )
        return event

    def _credit(self, event: ClaimEvent) -> ClaimEvent | Reason:
        claim = event.payload
        if claim.care_type not in self._limits:
            return Reason.UNKNOWN_CODE
        if event.event_id in self._claims:
            return Reason.DUPLICATE_ID
        if event.corrects is None:
            return Reason.MISSING_FIELD
        line = self._claims.get(event.corrects)
        if line is None:
            return Reason.UNKNOWN_REFERENCE
        if line.cancelled:
            return Reason.ALREADY_CANCELLED
        if (line.patient, line.cents) != (event.patient, claim.cents):
            return Reason.CREDIT_MISMATCH
        line.cancelled = True
        self._claims[event.event_id] = None
        cell = (self._people[line.patient] * MAX_PANES + line.pane) * self._measures
        for index, is_sum, _ in self._limits[line.care_type]:
            self._totals[cell + index] -= line.cents if is_sum else 1
        payload = claim.model_copy(update={"care_type": line.care_type})
        return event.model_copy(update={"occurred_at": line.occurred_at, "payload": payload})

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
            or (event.patient, enrolment.programme) != (earlier.patient, earlier.payload.programme)
        ):
            return Reason.DUPLICATE_ID
        self._enrolments[event.event_id] = event
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

    def _know(self, patient: str) -> int:
        return self._people.setdefault(patient, len(self._people))
