"""Adds to a party's files every kind of bad line that we could think of, with the reason that each must get."""

import json
from collections import Counter

DEEP = 100_000
LONG_LINE = 10_000_000
REPEATS = 20_000
MARK = "P6660000"
"""Every person in these lines has a number that begins so: it may stand in no log and on no topic."""


def _append(path, lines, reasons):
    """Append (bytes, reason) lines; returns how many of each reason."""
    with path.open("ab") as file:
        for line, reason in lines:
            file.write((line if isinstance(line, bytes) else line.encode()) + b"\n")
            reasons[reason] += 1


def spoil_hospital(folder):
    """Returns the reasons, by count; "accepted" for lines that must enter."""
    reasons = Counter()
    at = '"meta":{"lastUpdated":"2024-01-01T08:00:00+01:00"}'

    def patient(number, person=f"{MARK}1", extra="", meta=at):
        system = '"system":"urn:winnow:person"'
        return f'{{"resourceType":"Patient","id":"x{number}",{meta},"identifier":[{{{system},"value":{person}}}]{extra}}}'

    _append(folder / "Patient.ndjson", [
        (patient(1, f'"{MARK}1"'), "accepted"),
        (patient(1, f'"{MARK}2"'), "duplicate-id"),
        (patient(2, "12345678"), "wrong-type"),
        (patient(3, "null"), "missing-field"),
        (patient(4, f'" {MARK}1"'), "wrong-type"),
        (patient(5, f'"{MARK}1\\u0000"'), "wrong-type"),
        (patient(6, f'"{MARK}1"', meta='"meta":{"lastUpdated":"2024-02-30T08:00:00+01:00"}'), "wrong-type"),
        (patient(7, f'"{MARK}1"', meta='"meta":{"lastUpdated":"0001-01-01T00:00:00+01:00"}'), "wrong-type"),
        (patient(8, f'"{MARK}1"', meta='"meta":{"lastUpdated":"9999-12-31T23:59:59-12:00"}'), "wrong-type"),
        (patient(9, f'"{MARK}1"', meta='"meta":{}'), "missing-field"),
        (patient(10, f'"{MARK}1"')[:-1], "broken-json"),
        (patient(11, f'"{MARK}1"', ',"a":' + "[" * DEEP + "]" * DEEP), "broken-json"),
        (patient(12, f'"{MARK}1"', ',"a":NaN'), "accepted"),
        (patient(13, f'"{MARK}1"').encode() + b"\xff", "not-text"),
        (patient(14, f'"{MARK}1"').encode() + b"\0", "not-text"),
        (b"x" * LONG_LINE, "too-large"),
        ("{}", "missing-field"), ("[]", "wrong-type"), ("null", "wrong-type"), ("1e999", "wrong-type"),
        ('"', "broken-json"), ('{"resourceType":"Bundle"}', "missing-field"),
    ], reasons)

    def task(number, **changes):
        resource = {
            "resourceType": "Task", "id": f"y{number}", "meta": {"lastUpdated": "2024-02-01T08:00:00+01:00"},
            "status": "completed", "code": {"coding": [{"code": "ibd-coach"}]},
            "for": {"reference": "Patient/x1"}, "executionPeriod": {"start": "2024-01-05", "end": "2024-01-20"},
        }
        return json.dumps(resource | changes)

    _append(folder / "Task.ndjson", [
        (task(1), "accepted"), (task(1), "duplicate-id"),
        (task(2, status="on-fire"), "unknown-code"),
        (task(3, code={"coding": [{"code": "homeopathy"}]}), "unknown-code"),
        (task(4, code={"coding": [{"code": "ibd-coach"}] * 100}), "wrong-type"),
        (task(5, **{"for": {"reference": "Patient/nobody"}}), "unknown-reference"),
        (task(6, **{"for": {"reference": "Group/x1"}}), "wrong-type"),
        (task(7, executionPeriod={"start": "2024-01-20", "end": "2024-01-05"}), "stop-before-start"),
        (task(8, executionPeriod={"start": "2024-01-05", "end": "2030-01-05"}), "in-the-future"),
        (task(9, executionPeriod={"start": "2030-01-05"}), "in-the-future"),
        (task(10, executionPeriod=[]), "wrong-type"), (task(11, executionPeriod={}), "missing-field"),
        (task(12, id="y" * 65), "wrong-type"), (task(13, id=13), "wrong-type"),
        (task(14, executionPeriod={"start": "2024-01-05", "end": "9999-12-31"}), "wrong-type"),
    ], reasons)
    return reasons


def spoil_insurer(folder):
    """See spoil_hospital."""
    reasons = Counter()
    one, two, at = f"{MARK}1", f"{MARK}2", "2024-03-01T09:00:00+01:00"
    _append(folder / "members.csv", [
        (f"q1,{one},2020-01-01,,2020-01-01", "accepted"), (f"q1,{one},2020-01-01,,2020-01-01", "duplicate-id"),
        (f"q1,{two},2020-01-01,,2021-01-01", "duplicate-id"),
        (f"q2,{one},2020-01-01,2019-01-01,2020-01-01", "stop-before-start"),
        (f"q3,{one},2020-02-30,,2020-01-01", "wrong-type"), (f"q4,{one},,,2020-01-01", "missing-field"),
        (f"q5,{one},2020-01-01,,", "missing-field"), ("q6,,2020-01-01,,2020-01-01", "missing-field"),
        (f"q7,{one}", "broken-csv"), (f'q8,"{one},2020-01-01,,2020-01-01', "broken-csv"),
        (f'q9,"{one[:4]}', "broken-csv"), (f'{one[4:]}",2020-01-01,,2020-01-01', "broken-csv"),
    ], reasons)

    def claim(number, amount=100, side="D", previous="", day="2024-01-10", care="gp", person=one, at=at):
        return f"z{number},{person},{care},consult,{day},{amount},{side},{previous},{at}"

    _append(folder / "claims.csv", [
        (claim(1), "accepted"), (claim(1), "duplicate-id"), (claim(1, 200), "duplicate-id"),
        (claim(2, -1), "negative-amount"), (claim(3, "1.5"), "wrong-type"), (claim(4, "NaN"), "wrong-type"),
        (claim(5, "1e3"), "wrong-type"), (claim(6, 10**30), "amount-too-large"), (claim(7, 10**9), "amount-too-large"),
        (claim(8, "9" * 5_000), "wrong-type"), (claim(9, '"1"",2"'), "wrong-type"), (claim(10, ""), "missing-field"),
        (claim(11, day="2023-12-31"), "outside-agreement"), (claim(12, day="2024-12-31"), "in-the-future"),
        (claim(13, day="2024-02-30"), "wrong-type"), (claim(14, day="0001-01-01"), "wrong-type"),
        (claim(15, day="9999-12-31"), "wrong-type"), (claim(16, care="witchcraft"), "unknown-code"),
        (claim(17, care="GP"), "unknown-code"), (claim(18, person=two), "unknown-person"),
        (claim(19, person=one.lower()), "unknown-person"), (claim(20, person=f" {one} "), "accepted"),
        (claim(21, side="d"), "unknown-code"), (claim(22, side="C"), "missing-field"),
        (claim(23, side="C", previous="z24"), "unknown-reference"), (claim(24), "accepted"),
        (claim(25, side="C", previous="z1"), "accepted"), (claim(26, side="C", previous="z1"), "already-cancelled"),
        (claim(27, side="C", previous="z25"), "unknown-reference"),
        (claim(28, 101, side="C", previous="z24"), "credit-mismatch"),
        (claim(29, side="C", previous="z29"), "unknown-reference"),
        (claim(30) + "\r", "accepted"), (claim(31) + ",more", "broken-csv"), (claim(32).replace(",", ";"), "broken-csv"),
        (claim(33).encode("utf-16"), "not-text"), (claim(34, at="yesterday"), "wrong-type"),
        *[(claim(1), "duplicate-id")] * REPEATS,
    ], reasons)
    return reasons


def spoil_statistics(folder):
    """See spoil_hospital."""
    reasons = Counter()
    _append(folder / "persons.csv", [
        (f"s1,{MARK}1,3,2023-01-01,2023-11-17", "accepted"), (f"s1,{MARK}1,3,2023-01-01,2023-11-17", "duplicate-id"),
        (f"s2,{MARK}1,6,2023-01-01,2023-11-17", "unknown-code"), (f"s3,{MARK}1,0,2023-01-01,2023-11-17", "unknown-code"),
        (f"s4,{MARK}1,3.0,2023-01-01,2023-11-17", "unknown-code"), (f"s5,{MARK}1,,2023-01-01,2023-11-17", "accepted"),
        (f"s6,{MARK}1,3,2024-01-01,2023-11-17", "in-the-future"), (f"s7,{MARK}!,3,2023-01-01,2023-11-17", "wrong-type"),
        ("record_id,person,income_quintile,valid_from,recorded_at", "unknown-code"),
        ("", None), ("   ", None), (",,,,", "missing-field"), ("\ufeff", "broken-csv"),
    ], reasons)
    del reasons[None]  # blank lines are no lines
    return reasons
