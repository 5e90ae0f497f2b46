"""Events of encounters, monitoring, PROM answers and withdrawals for tests, and an agreement with measures over them."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from streams.envelope import (
    Encounter,
    EncounterEvent,
    Enrolment,
    EnrolmentEvent,
    Monitoring,
    MonitoringEvent,
    Prom,
    PromEvent,
    WithdrawalEvent,
)
from streams.pseudonym import Pseudonyms
from tests.support.parties import LINK_SECRET, PSEUDONYM_KEY, person
from tests.support.terms import draft_data

NAMES = Pseudonyms(LINK_SECRET, PSEUDONYM_KEY)
ZONE = ZoneInfo("Europe/Amsterdam")
START = date(2024, 1, 1)
MEASURES = (
    {"name": "outpatient", "aggregation": "count", "kind": "encounter", "code": "outpatient", "bound": 7},
    {"name": "contacts", "aggregation": "count", "kind": "encounter", "bound": 8},
    {"name": "due", "aggregation": "count", "kind": "monitoring", "code": "due", "bound": 6},
    {"name": "done", "aggregation": "count", "kind": "monitoring", "code": "completed", "module": "diary", "bound": 6},
    {"name": "missed", "aggregation": "missed", "bound": 5},
    {"name": "diary_missed", "aggregation": "missed", "module": "diary", "bound": 5},
    {"name": "answers", "aggregation": "count", "kind": "prom", "code": "control-8", "bound": 9},
    {"name": "later", "aggregation": "follow-ups", "code": "control-8", "bound": 9},
    {"name": "change", "aggregation": "change", "code": "control-8", "bound": 6_400},
    {"name": "any_later", "aggregation": "nonzero", "of": "later"},
)
COLUMNS = tuple(m["name"] for m in MEASURES)


def kinds_data(**changes):
    """draft_data, in which the hospital has all kinds and shares MEASURES besides who uses the app."""
    data = draft_data()
    data["parties"][0]["sources"] = [
        {"name": "ehr", "kinds": ["enrolment", "encounter", "monitoring", "prom", "withdrawal"]}
    ]
    data["measures"] = [*data["measures"], *({**m, "party": "hospital"} for m in MEASURES)]
    return data | changes


def at(day: float) -> datetime:
    """Local midnight, or a fraction of a day after it, of a day from the grid's start."""
    whole = int(day // 1)
    return datetime.combine(START + timedelta(days=whole), time(), ZONE) + timedelta(seconds=round((day - whole) * 86_400))


def common(number, event, occurred, recorded, corrects=None):
    return {
        "event_id": NAMES.event_id("t", event), "patient": NAMES.patient(person(number)), "occurred_at": at(occurred),
        "recorded_at": at(occurred if recorded is None else recorded), "source": "ehr",
        "corrects": NAMES.event_id("t", corrects) if corrects else None,
    }


def enrolled(number, recorded=-20):
    return EnrolmentEvent(
        **common(number, f"care-{number}", -20, recorded), payload=Enrolment(programme="ibd-care")
    )


def encounter(number, event, occurred, recorded=None, code="outpatient", corrects=None, cancels=False):
    return EncounterEvent(
        **common(number, event, occurred, recorded, corrects), payload=Encounter(type=code, cancels=cancels)
    )


def monitoring(
    number, event, occurred, recorded=None, status="due", module="diary", due=None, corrects=None, cancels=False,
):
    return MonitoringEvent(
        **common(number, event, occurred, recorded, corrects),
        payload=Monitoring(module=module, status=status, due=None if due is None else at(due), cancels=cancels),
    )


def prom(number, event, occurred, recorded=None, score=1_000, instrument="control-8", corrects=None, cancels=False):
    return PromEvent(
        **common(number, event, occurred, recorded, corrects),
        payload=Prom(instrument=instrument, score=score, cancels=cancels),
    )


def withdrawal(number, event, occurred, recorded=None):
    return WithdrawalEvent(**common(number, event, occurred, recorded))
