"""One event between its two forms: the envelope and a row of event columns.

A row holds ids as bytes. Where an id's last character has spare bits (RFC 4648, 3.5) several writings are one id; an
envelope made of a row has the canonical one.
"""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from streams.envelope import (
    Claim,
    ClaimEvent,
    Encounter,
    EncounterEvent,
    Enrolment,
    EnrolmentEvent,
    Monitoring,
    MonitoringEvent,
    PatientEvent,
    Prom,
    PromEvent,
    Social,
    SocialEvent,
    Withdrawal,
    WithdrawalEvent,
)
from streams.pseudonym import encrypted, written

KINDS = ("claim", "enrolment", "social", "encounter", "monitoring", "prom", "withdrawal")
CLAIM, ENROLMENT, SOCIAL, ENCOUNTER, MONITORING, PROM, WITHDRAWAL = range(len(KINDS))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
EVENT_CLASSES = (
    ClaimEvent, EnrolmentEvent, SocialEvent, EncounterEvent, MonitoringEvent, PromEvent, WithdrawalEvent,
)


class Row(NamedTuple):
    """One event; see streams.columns.EventColumns for the fields."""

    kind: int
    event: bytes
    patient: bytes
    corrects: bytes | None
    occurred: int
    recorded: int
    source: str
    code: str | None
    value: int
    detail: str | None
    until: int | None
    flag: bool


def micros(at: datetime) -> int:
    """µs since 1970 UTC of a zone-aware time."""
    return (at - EPOCH) // MICROSECOND


def moment(at: int) -> datetime:
    """The instant, in UTC.

    Raises:
        OverflowError: outside the years 1 to 9999.
    """
    return EPOCH + timedelta(microseconds=at)


def event_name(found: bytes) -> str:
    """An event id of 16 bytes as envelopes write it."""
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode()


def id_bytes(event_id: str) -> bytes:
    """16 bytes: an event id, decoded."""
    return base64.urlsafe_b64decode(event_id + "==")


def row_of(event: PatientEvent) -> Row:
    """An envelope as a row."""
    code: str | None = None
    value, detail, until, flag = 0, None, None, False
    match event:
        case ClaimEvent(payload=claim):
            code, value, detail, flag = claim.care_type, claim.cents, claim.product, claim.credit
        case EnrolmentEvent(payload=enrolment):
            code, until = enrolment.programme, enrolment.stop
        case SocialEvent(payload=social):
            code, detail = social.field, social.value
        case EncounterEvent(payload=encounter):
            code, flag = encounter.type, encounter.cancels
        case MonitoringEvent(payload=monitoring):
            code, detail, until = monitoring.module, monitoring.status, monitoring.due
            flag = monitoring.cancels
        case PromEvent(payload=prom):
            code, value, flag = prom.instrument, prom.score, prom.cancels
        case WithdrawalEvent():
            pass
    return Row(
        kind=KINDS.index(event.kind), event=id_bytes(event.event_id),
        patient=encrypted(event.patient),
        corrects=None if event.corrects is None else id_bytes(event.corrects),
        occurred=micros(event.occurred_at), recorded=micros(event.recorded_at), source=event.source, code=code,
        value=value, detail=detail, until=None if until is None else micros(until), flag=flag,
    )


def event_of(row: Row) -> PatientEvent:
    """The envelope of a row.

    Raises:
        OverflowError: an instant outside the years 1 to 9999.
        pydantic.ValidationError: not a row that `row_of` or streams.parse made.
    """
    until = None if row.until is None else moment(row.until)
    payload: Any
    match row.kind:
        case 0:
            payload = Claim(care_type=_given(row.code), product=row.detail or "", cents=row.value, credit=row.flag)
        case 1:
            payload = Enrolment(programme=_given(row.code), stop=until)
        case 2:
            payload = Social(field=_given(row.code), value=row.detail)
        case 3:
            payload = Encounter.model_validate({"type": row.code, "cancels": row.flag})
        case 4:
            payload = Monitoring.model_validate(
                {"module": row.code, "status": row.detail, "due": until, "cancels": row.flag}
            )
        case 5:
            payload = Prom(instrument=_given(row.code), score=row.value, cancels=row.flag)
        case _:
            payload = Withdrawal()
    return EVENT_CLASSES[row.kind].model_validate({
        "event_id": event_name(row.event), "patient": written(row.patient),
        "corrects": None if row.corrects is None else event_name(row.corrects), "occurred_at": moment(row.occurred),
        "recorded_at": moment(row.recorded), "source": row.source, "payload": payload,
    })


def _given(name: str | None) -> str:
    return "" if name is None else name
