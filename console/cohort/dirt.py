"""Bad lines of every kind, put among the good ones on purpose.

Each line breaks exactly one rule, so its reason is certain, and none changes a result.
"""

from typing import Any

import numpy as np

from console.cohort.claims import MINUTES_PER_DAY, Claims
from console.cohort.files import (
    Clock,
    Line,
    claim_key,
    coded,
    compact,
    person_number,
    task_resource,
)
from console.cohort.people import People
from console.cohort.shape import Shape

LARGE_LINE_BYTES = 10_000_000
"""Far beyond the 1 MiB that a line may have."""
NO_PERSON = "P99999999"
Bad = list[tuple[str, str, Line]]
"""(file, reason, line)"""


def add_dirt(
    files: dict[str, list[Line]], people: People, claims: Claims, shape: Shape, count: int
) -> dict[str, dict[str, int]]:
    """Add `count` bad lines of each kind (of too large lines one) to `files`.

    Returns:
        Number of bad lines added: party → reason → number.
    """
    rng = np.random.default_rng([shape.seed, 1])
    bad: Bad = []
    for index in range(count):
        day = int(rng.integers(10, shape.days - 10))
        bad += _hospital(files, people, shape, day, index, rng)
        bad += _insurer(files, people, claims, shape, day, index, rng)
        bad += _statistics(files, people, shape, day, index, rng)
    filler = b"x" * LARGE_LINE_BYTES
    noon = shape.days // 2 * MINUTES_PER_DAY
    for name in ("hospital/Task.ndjson", "insurer/claims.csv", "statistics/persons.csv"):
        bad.append((name, "too-large", Line(noon, filler)))
    rejected: dict[str, dict[str, int]] = {}
    for name, reason, line in bad:
        files[name].append(line)
        counts = rejected.setdefault(name.partition("/")[0], {})
        counts[reason] = counts.get(reason, 0) + 1
    return rejected


def _again(lines: list[Line], rng: np.random.Generator) -> Line:
    """A good line once more, directly after itself."""
    return lines[int(rng.integers(len(lines)))]


def _hospital(
    files: dict[str, list[Line]], people: People, shape: Shape, day: int, index: int, rng: np.random.Generator
) -> Bad:
    name = "hospital/Task.ndjson"
    clock = Clock(shape)
    minute = day * MINUTES_PER_DAY + 15 * 60
    patient = f"h{int(rng.choice(np.flatnonzero(people.patient & (people.patient_from < 0)))) + 1:06d}"

    def task(reason: str, start: int = day, without: str = "", **changes: Any) -> tuple[str, str, Line]:
        made = task_resource(f"x-{reason}-{index}", patient, clock.date(start), "", clock.instant(minute)) | changes
        return name, reason, Line(minute, compact({key: value for key, value in made.items() if key != without}))

    astray = task_resource(f"x-astray-{index}", f"nobody-{index}", clock.date(day), "", clock.instant(minute))
    return [
        task("wrong-type", executionPeriod={"start": "soon"}),
        task("missing-field", without="for"),
        task("unknown-code", code=coded("another-app")),
        task("in-the-future", start=day + 30),
        (name, "unknown-reference", Line(minute, compact(astray))),
        (name, "broken-json", Line(minute, b'{"resourceType": "Task", "id": ')),
        (name, "not-text", Line(minute, b'{"resourceType": "Task", "id": "\xff\xfe"}')),
        (name, "duplicate-id", _again(files[name], rng)),
    ]


def _insurer(
    files: dict[str, list[Line]], people: People, claims: Claims, shape: Shape, day: int, index: int,
    rng: np.random.Generator,
) -> Bad:
    name = "insurer/claims.csv"
    clock = Clock(shape)
    steady = people.insured & (people.insured_from < 0) & (people.gap_start >= shape.days)
    member = int(rng.choice(np.flatnonzero(steady)))
    person = person_number(int(people.number[member]))
    minute = (day + 30) * MINUTES_PER_DAY + 12 * 60

    def claim(reason: str, at: int = minute, **changes: str) -> tuple[str, str, Line]:
        fields = {
            "record_id": f"x-{reason}-{index}", "person": person, "care_type": "gp", "product": "consult",
            "service_date": clock.date(day), "amount_cents": "4500", "debit_credit": "D",
            "previous_record_id": "", "recorded_at": clock.instant(at),
        }
        return name, reason, Line(at, ",".join((fields | changes).values()).encode())

    def credit(reason: str, line: int, cents: int) -> tuple[str, str, Line]:
        # Two months later, and after a good credit of the same line.
        at = int(claims.recorded[line]) + 60 * MINUTES_PER_DAY
        return claim(
            reason, at, person=person_number(int(people.number[claims.who[line]])),
            service_date=clock.date(int(claims.day[line])), amount_cents=str(cents), debit_credit="C",
            previous_record_id=claim_key(line),
        )

    credited = claims.previous[claims.credit]
    standing = np.setdiff1d(np.flatnonzero(~claims.credit), credited)
    once, never = int(rng.choice(credited)), int(rng.choice(standing))
    backwards = f"x-back-{index},{person},{clock.date(day)},{clock.date(day - 9)},{clock.instant(minute)}"
    return [
        ("insurer/members.csv", "stop-before-start", Line(minute, backwards.encode())),
        claim("wrong-type", service_date="yesterday"),
        claim("missing-field", person=""),
        claim("unknown-code", debit_credit="X"),
        claim("unknown-code", record_id=f"x-care-{index}", care_type="GP visit"),
        claim("negative-amount", amount_cents="-4500"),
        claim("amount-too-large", amount_cents="9999999999999"),
        claim("outside-agreement", service_date="2001-02-03"),
        claim("in-the-future", at=(day - 5) * MINUTES_PER_DAY + 12 * 60),
        claim("unknown-reference", debit_credit="C", previous_record_id=f"nothing-{index}"),
        claim("unknown-person", person=NO_PERSON),
        credit("already-cancelled", once, int(claims.cents[once])),
        credit("credit-mismatch", never, int(claims.cents[never]) + 1),
        (name, "broken-csv", Line(minute, b'x-broken,"P00000001')),
        (name, "not-text", Line(minute, b"x-\xff\xfe,P00000001,gp,consult,2024-02-01,100,D,,2024-02-02")),
        (name, "duplicate-id", _again(files[name], rng)),
    ]


def _statistics(
    files: dict[str, list[Line]], people: People, shape: Shape, day: int, index: int, rng: np.random.Generator
) -> Bad:
    name = "statistics/persons.csv"
    clock = Clock(shape)
    minute = day * MINUTES_PER_DAY + 12 * 60
    person = person_number(int(people.number[int(rng.choice(np.flatnonzero(people.registered)))]))

    def social(reason: str, who: str = person, quintile: str = "3", valid: str = "") -> tuple[str, str, Line]:
        text = f"x-{reason}-{index},{who},{quintile},{valid or clock.date(day)},{clock.instant(minute)}"
        return name, reason, Line(minute, text.encode())

    return [
        social("wrong-type", valid="long ago"),
        social("missing-field", who=""),
        social("unknown-code", quintile="9"),
        social("in-the-future", valid=clock.date(day + 30)),
        (name, "broken-csv", Line(minute, f"x-few-{index},{person},3".encode())),
        (name, "not-text", Line(minute, b"x-\xff\xfe,P00000001,3,2023-01-01,2023-01-02")),
        (name, "duplicate-id", _again(files[name], rng)),
    ]
