"""The files that the three parties have: FHIR R4 NDJSON at the hospital, CSV at the other two.

Each file is in the order of recording. What ends is recorded twice, as in a history export: first open, and on
the day it ends once more under the same identifier (FHIR: with the next `meta.versionId`), now with its end.
The end date of a FHIR period is its last day; that of a membership is the first day without insurance.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from console.cohort.claims import MINUTES_PER_DAY, Claims
from console.cohort.people import NEVER, Days, People
from console.cohort.shape import CARE, Shape

PERSON_SYSTEM = "urn:winnow:person"
PROGRAMME_SYSTEM = "urn:winnow:programme"
CARE_PROGRAMME = "ibd-care"
APP_PROGRAMME = "ibd-coach"
FIRST_PUBLICATION_DAY = -45
"""The registry's first incomes were published this long before the period."""

HEADERS = {
    "insurer/members.csv": "record_id,person,start,end,recorded_at",
    "insurer/claims.csv": (
        "record_id,person,care_type,product,service_date,amount_cents,debit_credit,previous_record_id,recorded_at"
    ),
    "statistics/persons.csv": "record_id,person,income_quintile,valid_from,recorded_at",
}


@dataclass(frozen=True)
class Line:
    """One line of a file, without its end, and the local minute (from the start of the period) it belongs at."""

    minute: int
    content: bytes


class Clock:
    """Turns days and local minutes since the start of the period into ISO 8601 text."""

    def __init__(self, shape: Shape) -> None:
        self._start = shape.start
        self._zone = ZoneInfo(shape.zone)
        self._dates: dict[int, str] = {}
        self._offsets: dict[int, str] = {}

    def date(self, day: int) -> str:
        """The local date; "" for NEVER."""
        if day >= NEVER:
            return ""
        found = self._dates.get(day)
        if found is None:
            found = self._dates[day] = (self._start + timedelta(days=day)).isoformat()
        return found

    def instant(self, minute: int) -> str:
        """The date and time with offset; `minute` falls within office hours, so on no clock change."""
        day, rest = divmod(minute, MINUTES_PER_DAY)
        offset = self._offsets.get(day)
        if offset is None:
            noon = datetime.combine(self._start + timedelta(days=day), time(12), self._zone)
            offset = self._offsets[day] = noon.isoformat()[-6:]
        return f"{self.date(day)}T{rest // 60:02d}:{rest % 60:02d}:00{offset}"


def person_number(number: int) -> str:
    """The synthetic national number."""
    return f"P{number:08d}"


def compact(resource: dict[str, Any]) -> bytes:
    """One NDJSON line."""
    return json.dumps(resource, separators=(",", ":")).encode()


def coded(code: str) -> dict[str, Any]:
    """A CodeableConcept of our programmes."""
    return {"coding": [{"system": PROGRAMME_SYSTEM, "code": code}]}


def period(start: str, end: str) -> dict[str, str]:
    """A FHIR period; an empty end leaves it open."""
    return {"start": start, "end": end} if end else {"start": start}


def patient_resource(key: str, person: str, recorded: str) -> dict[str, Any]:
    """A Patient with the shared number."""
    return {
        "resourceType": "Patient", "id": key, "meta": {"versionId": "1", "lastUpdated": recorded}, "active": True,
        "identifier": [{"system": PERSON_SYSTEM, "value": person}],
    }


def episode_resource(key: str, patient: str, start: str, end: str, recorded: str) -> dict[str, Any]:
    """An EpisodeOfCare of the programme for which patients come to the hospital."""
    return {
        "resourceType": "EpisodeOfCare", "id": key,
        "meta": {"versionId": "2" if end else "1", "lastUpdated": recorded},
        "status": "finished" if end else "active", "type": [coded(CARE_PROGRAMME)],
        "patient": {"reference": f"Patient/{patient}"}, "period": period(start, end),
    }


def task_resource(key: str, patient: str, start: str, end: str, recorded: str) -> dict[str, Any]:
    """A Task: the activation of the app."""
    return {
        "resourceType": "Task", "id": key, "meta": {"versionId": "2" if end else "1", "lastUpdated": recorded},
        "status": "completed" if end else "in-progress", "intent": "order", "code": coded(APP_PROGRAMME),
        "for": {"reference": f"Patient/{patient}"}, "executionPeriod": period(start, end),
    }


def hospital_lines(people: People, shape: Shape) -> dict[str, list[Line]]:
    """The hospital's files: who is a patient, since when in care, since when using the app."""
    clock = Clock(shape)
    files: dict[str, list[Line]] = {"Patient": [], "EpisodeOfCare": [], "Task": []}
    for row in np.flatnonzero(people.patient).tolist():
        key = f"h{row + 1:06d}"
        minute = _at(people.patient_from, row, 8)
        known = patient_resource(key, person_number(int(people.number[row])), clock.instant(minute))
        files["Patient"].append(Line(minute, compact(known)))
        for kind, hour, prefix, build, starts, ends in (
            ("EpisodeOfCare", 10, "e", episode_resource, people.care_start, people.care_end),
            ("Task", 14, "t", task_resource, people.app_start, people.app_stop),
        ):
            start, end = int(starts[row]), int(ends[row])
            if start >= shape.days:
                continue
            for day, last in ((start, NEVER), (end, end - 1)):
                if day < shape.days:
                    minute = day * MINUTES_PER_DAY + hour * 60
                    dates = clock.date(start), clock.date(last), clock.instant(minute)
                    files[kind].append(Line(minute, compact(build(f"{prefix}{row + 1:06d}", key, *dates))))
    return {f"hospital/{kind}.ndjson": lines for kind, lines in files.items()}


def insurer_lines(people: People, claims: Claims, shape: Shape) -> dict[str, list[Line]]:
    """The insurer's files: who is insured when, and what was claimed."""
    clock = Clock(shape)
    members: list[Line] = []
    for row in np.flatnonzero(people.insured).tolist():
        person = person_number(int(people.number[row]))
        start, stop, again = (int(days[row]) for days in (people.insured_from, people.gap_start, people.gap_end))
        for key, day, first, end in (
            (f"m{row + 1:06d}", start, start, NEVER),
            (f"m{row + 1:06d}", stop, start, stop),
            (f"n{row + 1:06d}", again, again, NEVER),
        ):
            if day < shape.days:
                minute = day * MINUTES_PER_DAY + 8 * 60
                text = f"{key},{person},{clock.date(first)},{clock.date(end)},{clock.instant(minute)}"
                members.append(Line(minute, text.encode()))
    names = [care.name for care in CARE]
    products = [care.products for care in CARE]
    persons = [person_number(n) for n in people.number.tolist()]
    lines: list[Line] = []
    columns = (
        claims.who, claims.care, claims.product, claims.day, claims.cents, claims.credit, claims.previous,
        claims.recorded,
    )
    for index, (who, care, product, day, cents, credit, previous, minute) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        earlier = claim_key(previous) if credit else ""
        text = (
            f"{claim_key(index)},{persons[who]},{names[care]},{products[care][product]},{clock.date(day)},{cents},"
            f"{'C' if credit else 'D'},{earlier},{clock.instant(minute)}"
        )
        lines.append(Line(minute, text.encode()))
    return {"insurer/members.csv": members, "insurer/claims.csv": lines}


def claim_key(index: int) -> str:
    """The record id of a claim line."""
    return f"c{index + 1:08d}"


def statistics_lines(people: People, shape: Shape) -> dict[str, list[Line]]:
    """The registry's file: income quintiles, published before the period and once more during it."""
    clock = Clock(shape)
    lines: list[Line] = []
    later = shape.publication_day
    for prefix, valid, published, who, quintiles in (
        ("a", -365, FIRST_PUBLICATION_DAY, people.registered & ~people.registered_late, people.quintile),
        ("b", later, later, people.registered, people.quintile_later),
    ):
        minute = published * MINUTES_PER_DAY + 9 * 60
        stamp = clock.instant(minute)
        for row in np.flatnonzero(who).tolist():
            quintile = int(quintiles[row]) or ""
            person = person_number(int(people.number[row]))
            text = f"{prefix}{row + 1:06d},{person},{quintile},{clock.date(valid)},{stamp}"
            lines.append(Line(minute, text.encode()))
    return {"statistics/persons.csv": lines}


def write(directory: Path, files: dict[str, list[Line]]) -> None:
    """Write every file in the order of recording; lines of the same minute keep their order."""
    for name, lines in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        header: Iterable[bytes] = (HEADERS[name].encode(),) if name in HEADERS else ()
        ordered = (line.content for line in sorted(lines, key=lambda line: line.minute))
        path.write_bytes(b"".join(content + b"\n" for content in (*header, *ordered)))


def _at(days: Days, row: int, hour: int) -> int:
    return int(days[row]) * MINUTES_PER_DAY + hour * 60
