"""What a hospital records besides programmes: contacts, questionnaires and home monitoring, as FHIR R4 resources.

Rates are assumed where shape.py has none. Some resources come again, corrected or entered in error.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from console.cohort.claims import MINUTES_PER_DAY
from console.cohort.files import PROGRAMME_SYSTEM, Clock, Line, compact
from console.cohort.people import Days, People
from console.cohort.shape import CARE, DAYS_PER_YEAR, Shape

ACT_CODES = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
QUESTIONNAIRE = "https://example.org/Questionnaire/"
INSTRUMENT = "ibd-control-8"
MODULE, MEASUREMENT = "check-in", "calprotectin"
MODULE_DAYS, MEASUREMENT_DAYS, ANSWER_DAYS = 28, 84, 84
LARGEST_SCORE = 16
CONTACTS = (
    # (class, contacts a year without the app, with it)
    ("AMB", CARE[1].rate, None), ("IMP", CARE[2].rate, None), ("EMER", 0.2, 0.2), ("VR", 0.3, 1.5),
)
RATIOS = {"AMB": "outpatient", "IMP": "admission"}
Lines = dict[str, list[Line]]


def hospital_events(people: People, shape: Shape) -> Lines:
    """Lines to add to the hospital's files. The randomness is their own, so the other files stay as they are."""
    rng = np.random.default_rng([shape.seed, 2])
    writer = _Writer(rng, people, shape)
    for draw in (_contacts, _answers, _modules, _measurements):
        draw(writer)
    return {f"hospital/{kind}.ndjson": lines for kind, lines in writer.lines.items()}


class _Writer:
    """Collects versions of resources."""

    def __init__(self, rng: np.random.Generator, people: People, shape: Shape) -> None:
        self.rng, self.people, self.shape = rng, people, shape
        self.clock = Clock(shape)
        self.patients = np.flatnonzero(people.patient)
        self.lines: dict[str, list[Line]] = {
            kind: [] for kind in ("Encounter", "QuestionnaireResponse", "Observation", "Task")
        }

    def add(self, kind: str, key: str, version: int, day: int, hour: int, elements: dict[str, Any]) -> None:
        """A version recorded on a day of the period; later ones are not in the files yet."""
        if day >= self.shape.days:
            return
        minute = day * MINUTES_PER_DAY + hour * 60
        meta = {"versionId": str(version), "lastUpdated": self.clock.instant(minute)}
        self.lines[kind].append(Line(minute, compact({"resourceType": kind, "id": key, "meta": meta} | elements)))

    def period(self, day: int, end: int | None = None) -> dict[str, str]:
        """A FHIR period of days."""
        start = {"start": self.clock.date(day)}
        return start if end is None else start | {"end": self.clock.date(end)}

    def in_care(self, row: int) -> tuple[int, int]:
        """First and first day after a patient's care, within the period."""
        return max(0, int(self.people.care_start[row])), min(self.shape.days, int(self.people.care_end[row]))


def _subject(row: int) -> dict[str, str]:
    return {"reference": f"Patient/h{row + 1:06d}"}


def _contacts(w: _Writer) -> None:
    number = 0
    years = w.shape.days / DAYS_PER_YEAR
    for code, plain, using in CONTACTS:
        rate = max(plain, using or 0.0)
        counts = w.rng.poisson(rate * years, len(w.patients))
        who = np.repeat(w.patients, counts)
        day = w.rng.integers(0, w.shape.days, len(who))
        with_app = plain * w.shape.ratio(RATIOS[code]) if using is None else using
        keep = w.rng.random(len(who)) * rate < np.where(w.people.uses_app(who, day), with_app, plain)
        keep &= (w.people.care_start[who] <= day) & (day < w.people.care_end[who])
        for row, start in zip(who[keep].tolist(), day[keep].tolist(), strict=True):
            number += 1
            _contact(w, f"c{number:07d}", row, start, code)


def _contact(w: _Writer, key: str, row: int, day: int, code: str) -> None:
    said = {"class": {"system": ACT_CODES, "code": code}, "subject": _subject(row)}
    stay = int(w.rng.integers(1, 9)) if code == "IMP" else 0
    if stay:
        w.add("Encounter", key, 1, day, 11, {"status": "in-progress"} | said | {"period": w.period(day)})
    finished = {"status": "finished"} | said | {"period": w.period(day, day + stay)}
    w.add("Encounter", key, 2, day + stay, 16, finished)
    chance, later = w.rng.random(), day + stay + int(w.rng.integers(1, 21))
    if chance < 0.01:
        w.add("Encounter", key, 3, later, 9, {"status": "entered-in-error"} | said)
    elif chance < 0.03:
        other = {"class": {"system": ACT_CODES, "code": "VR" if code == "AMB" else "AMB"}}
        w.add("Encounter", key, 3, later, 9, finished | other)


def _every(w: _Writer, start: Days, step: int, share: float) -> Iterator[tuple[int, int]]:
    """(patient, day): every `step` days from `start`, give or take some, a `share` of them while in care."""
    for row, first in zip(w.patients.tolist(), start.tolist(), strict=True):
        begin, end = w.in_care(row)
        days = np.arange(first, end, step)
        days = np.sort(days + w.rng.integers(0, 8, len(days)))[w.rng.random(len(days)) < share]
        known = max(int(w.people.patient_from[row]) + 1, begin if w.people.care_start[row] >= 0 else -10_000)
        for day in days[(days >= known) & (days < end)].tolist():
            yield row, day


def _answers(w: _Writer) -> None:
    mean = w.rng.normal(10.5, 3.0, len(w.people))
    start = -w.rng.integers(0, ANSWER_DAYS, len(w.patients))
    for number, (row, day) in enumerate(_every(w, start, ANSWER_DAYS, 0.75), 1):
        better = 0.8 if w.people.app_start[row] <= day < w.people.app_stop[row] else 0.0
        score = int(np.clip(np.rint(w.rng.normal(mean[row] + better, 1.5)), 0, LARGEST_SCORE))
        key = f"r{number:07d}"
        said = {
            "questionnaire": f"{QUESTIONNAIRE}{INSTRUMENT}", "subject": _subject(row), "authored": w.clock.date(day),
        }
        w.add("QuestionnaireResponse", key, 1, day, 9, {"status": "completed"} | said | _total(score))
        chance, later = w.rng.random(), day + int(w.rng.integers(1, 21))
        if chance < 0.02:
            other = _total(LARGEST_SCORE - score)
            w.add("QuestionnaireResponse", key, 2, later, 9, {"status": "amended"} | said | other)
        elif chance < 0.03:
            w.add("QuestionnaireResponse", key, 2, later, 9, {"status": "entered-in-error"} | said)


def _total(score: int) -> dict[str, Any]:
    return {"item": [{"linkId": "total", "answer": [{"valueInteger": score}]}]}


def _users(w: _Writer, step: int) -> Iterator[tuple[int, int]]:
    """(patient, day) of what is due every `step` days while somebody uses the app."""
    for row in w.patients.tolist():
        stop = min(int(w.people.app_stop[row]), w.shape.days)
        for day in range(int(w.people.app_start[row]), stop, step):
            if day >= 0:
                yield row, day


def _modules(w: _Writer) -> None:
    adherence = w.rng.beta(6, 2, len(w.people))
    for number, (row, day) in enumerate(_users(w, MODULE_DAYS), 1):
        key, said = f"m{number:07d}", _task(row, MODULE)
        w.add("Task", key, 1, day, 8, {"status": "requested"} | said | {"executionPeriod": w.period(day)})
        chance = w.rng.random()
        if w.rng.random() < adherence[row]:
            done = day + int(w.rng.integers(0, 14))
            completed = {"status": "completed"} | said | {"executionPeriod": w.period(day, done)}
            w.add("Task", key, 2, done, 17, completed)
            if chance < 0.01:
                w.add("Task", key, 3, done + 3, 9, {"status": "entered-in-error"} | said)
        elif chance < 0.02:
            w.add("Task", key, 2, day + 2, 9, {"status": "cancelled"} | said)


def _measurements(w: _Writer) -> None:
    for number, (row, day) in enumerate(_users(w, MEASUREMENT_DAYS), 1):
        w.add("Task", f"k{number:07d}", 1, day, 8, {"status": "ready"} | _task(row, MEASUREMENT) | {
            "executionPeriod": w.period(day),
        })
        if w.rng.random() < 0.6:
            done = day + int(w.rng.integers(0, 10))
            said = {
                "code": {"coding": [{"system": PROGRAMME_SYSTEM, "code": MEASUREMENT}]}, "subject": _subject(row),
                "effectiveDateTime": w.clock.date(done),
                "valueQuantity": {"value": int(w.rng.gamma(1.5, 150)), "unit": "ug/g"},
            }
            w.add("Observation", f"o{number:07d}", 1, done, 12, {"status": "final"} | said)
            if w.rng.random() < 0.02:
                w.add("Observation", f"o{number:07d}", 2, done + 1, 12, {"status": "cancelled"} | said)


def _task(row: int, code: str) -> dict[str, Any]:
    return {
        "intent": "order", "code": {"coding": [{"system": PROGRAMME_SYSTEM, "code": code}]}, "for": _subject(row),
    }
