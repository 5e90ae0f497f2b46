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


EVENT_KINDS = '"enrolment", "encounter", "monitoring", "prom", "withdrawal"'
EVENT_MEASURES = """
[[measures]]
name = "visits"
party = "hospital"
aggregation = "count"
kind = "encounter"
code = "outpatient"
bound = 3

[[measures]]
name = "procedures"
party = "hospital"
aggregation = "count"
kind = "encounter"
code = "procedure"
bound = 3

[[measures]]
name = "modules_missed"
party = "hospital"
aggregation = "missed"
module = "diary"
bound = 2

[[measures]]
name = "follow_ups"
party = "hospital"
aggregation = "follow-ups"
code = "control-8"
bound = 9

[[measures]]
name = "change"
party = "hospital"
aggregation = "change"
code = "control-8"
bound = 1600

[[measures]]
name = "device_user"
party = "hospital"
aggregation = "exposed"
programme = "meter"
"""


def with_events(agreement):
    """An agreement's text, of which the hospital has events of all kinds too."""
    assert agreement.count('kinds = ["enrolment"]') == 1
    return agreement.replace('kinds = ["enrolment"]', f"kinds = [{EVENT_KINDS}]") + EVENT_MEASURES


def spoil_events(folder):
    """The same for files of encounters, monitoring, answers and withdrawals; after spoil_hospital."""
    reasons = Counter()
    act = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
    who = {"reference": "Patient/x1"}

    def resource(kind, key, at="2024-03-01T08:00:00+01:00", **elements):
        return {"resourceType": kind, "id": key, "meta": {"lastUpdated": at}} | elements

    def encounter(key, at="2024-03-01T08:00:00+01:00", **changes):
        return resource("Encounter", key, at, **{
            "status": "finished", "class": {"system": act, "code": "AMB"}, "subject": who,
            "period": {"start": "2024-01-15T10:00:00+01:00"},
        } | changes)

    def lines(name, *pairs):
        """Resources are written as JSON, texts as they are."""
        _append(folder / name, [(x if isinstance(x, str | bytes) else json.dumps(x), why) for x, why in pairs], reasons)

    later = "2024-03-02T08:00:00+01:00"
    lines(
        "Encounter.ndjson",
        (encounter("e1"), "accepted"), (encounter("e1"), "duplicate-id"), (encounter("e1", at=later), "accepted"),
        (encounter("e2", **{"class": {"system": "http://loinc.org", "code": "AMB"}}), "unknown-code"),
        (encounter("e3", **{"class": {"system": act, "code": "HOSPITAL"}}), "unknown-code"),
        (encounter("e4", **{"class": {"code": "AMB"}}), "missing-field"),
        (encounter("e5", **{"class": "AMB"}), "wrong-type"), (encounter("e6", **{"class": None}), "wrong-type"),
        (encounter("e7", status="FINISHED"), "unknown-code"), (encounter("e8", status="planned"), "not-mapped"),
        (encounter("e9", status="entered-in-error"), "not-mapped"), (encounter("e10", status=1e308), "unknown-code"),
        (encounter("e11", subject={"reference": "Patient/nobody"}), "unknown-reference"),
        (encounter("e12", subject={"reference": "Patient/x1/../x2"}), "wrong-type"),
        (encounter("e13", subject={"reference": "urn:uuid:x1"}), "wrong-type"),
        (encounter("e14", subject={"identifier": {"value": f"{MARK}1"}}), "missing-field"),
        (encounter("e15", period={"start": "2023-12-31T23:59:59+01:00"}), "outside-agreement"),
        (encounter("e16", period={"start": "2024-07-01"}, at="2024-07-02"), "outside-agreement"),
        (encounter("e17", period={"start": "2024-05-01"}), "in-the-future"),
        (encounter("e18", period={"end": "2024-01-15"}), "missing-field"),
        (encounter("e19", period={"start": 20240115}), "wrong-type"),
        (encounter("e20") | {"resourceType": "Observation"}, "unknown-code"),
        (encounter("e21"), "accepted"), (encounter("e22"), "accepted"), (encounter("e23"), "too-many-events"),
        (encounter("e21", at=later, status="cancelled"), "accepted"),
        (encounter("e21", at="2024-03-03T08:00:00+01:00", status="cancelled"), "already-cancelled"),
        (encounter("e21", at="2024-03-03T07:00:00+01:00", subject={"reference": "Patient/h000008"}), "duplicate-id"),
        (json.dumps(encounter("e24"))[:-1] + ',"a":' + "[" * DEEP + "]" * DEEP + "}", "broken-json"),
        (json.dumps(encounter("e25"))[:-1] + ',"a":' + "9" * 100_000 + "}", "broken-json"),
        (json.dumps(encounter("e26")).encode("utf-16"), "not-text"), (b"y" * LONG_LINE, "too-large"),
    )
    lines(
        "Procedure.ndjson",
        (resource("Procedure", "p1", status="completed", subject=who, performedDateTime="2024-01-20"), "accepted"),
        (resource("Procedure", "p2", status="not-done", subject=who), "not-mapped"),
        (resource("Procedure", "p3", status="completed", subject=who, performedAge={"value": 40}), "missing-field"),
        (resource("Procedure", "p1", status="entered-in-error", subject=who), "duplicate-id"),
        (resource("Procedure", "p1", later, status="entered-in-error", subject=who), "accepted"),
    )

    def observation(key, value, code="control-8", at="2024-03-01T08:00:00+01:00", **changes):
        said = value if isinstance(value, dict) else {"valueQuantity": {"value": value}}
        return resource("Observation", key, at, **{
            "status": "final", "code": {"coding": [{"code": code}]}, "subject": who, "effectiveDateTime": "2024-02-20",
        } | said | changes)

    def number(key, text):
        return json.dumps(observation(key, 0.125)).replace("0.125", text)

    lines(
        "Observation.ndjson",
        (observation("o1", 10), "accepted"), (observation("o2", 26), "accepted"),
        (observation("o3", 11), "amount-too-large"), (observation("o4", 0.001), "wrong-type"),
        (number("o5", "NaN"), "wrong-type"), (number("o6", "-Infinity"), "wrong-type"), (number("o7", "1e999"), "wrong-type"),
        (number("o8", "1e300"), "amount-too-large"), (number("o9", "9" * 4_000), "wrong-type"),
        (number("o10", '"10"'), "wrong-type"), (number("o11", "true"), "wrong-type"), (number("o12", "[]"), "wrong-type"),
        (observation("o13", {}), "missing-field"), (observation("o14", 10, code="weight"), "unknown-code"),
        (observation("o15", 10, code="CONTROL-8"), "unknown-code"), (observation("o16", 10, status="registered"), "not-mapped"),
        (observation("o17", 10, status="best"), "unknown-code"),
        (observation("o18", 10, effectiveDateTime="2024-02-30"), "wrong-type"),
        (observation("o19", 10, effectiveDateTime="0001-01-01"), "wrong-type"),
        (observation("o20", 10, code="diary"), "accepted"), (observation("o20", 10, code="diary"), "duplicate-id"),
        (observation("o20", 10, at=later), "duplicate-id"),
        (observation("o1", 12, at=later, status="corrected"), "accepted"),
        (observation("o1", {}, at="2024-03-03T08:00:00+01:00", status="entered-in-error"), "accepted"),
    )

    def response(key, *items, name="control-8", at="2024-03-01T08:00:00+01:00", **changes):
        return resource("QuestionnaireResponse", key, at, **{
            "status": "completed", "questionnaire": f"https://a.example/Questionnaire/{name}", "subject": who,
            "authored": "2023-11-01", "item": list(items),
        } | changes)

    def item(value, link="total"):
        return {"linkId": link, "answer": [value]}

    nested = item({"valueInteger": 14})
    for _ in range(DEEP // 1_000):
        nested = {"linkId": "g", "item": [nested]}
    lines(
        "QuestionnaireResponse.ndjson",
        (response("r1", item({"valueInteger": 14})), "accepted"),
        (response("r2", item({"valueInteger": "14"})), "wrong-type"),
        (response("r3", item({"valueString": "14"})), "missing-field"),
        (response("r4", item({"valueInteger": 14}, "score")), "missing-field"),
        (response("r5", item({"valueInteger": 1}), item({"valueInteger": 1})), "wrong-type"),
        (response("r6", *[item({}, "x")] * 1_001), "wrong-type"), (response("r7", nested), "broken-json"),
        (response("r8", item({"valueInteger": 14}), name="sf-36"), "unknown-code"),
        (response("r9", item({"valueInteger": 14}), name="../control-8?"), "unknown-code"),
        (response("r10", item({"valueInteger": 14}), authored="soon"), "wrong-type"),
        (response("r11", item({"valueInteger": 14}), status="stopped"), "not-mapped"),
        (response("r12", item({"valueInteger": 14}), questionnaire=None), "wrong-type"),
        (response("r13", item({"valueInteger": 14}), subject=[who]), "wrong-type"),
        (response("r14", item({"valueInteger": 2**70})), "amount-too-large"),
    )
    lines(
        "Task.ndjson",
        *((resource("Task", f"m{n}", status="requested", code={"coding": [{"code": "diary"}]}, **{
            "for": who, "executionPeriod": {"start": "2024-02-01"},
        }), why) for n, why in enumerate(["accepted", "accepted", "too-many-events"])),
        (resource("Task", "m0", later, status="completed", code={"coding": [{"code": "diary"}]}, **{
            "for": who, "executionPeriod": {"start": "2024-02-01", "end": "2024-02-09"},
        }), "accepted"),
        (resource("Task", "m9", status="completed", code={"coding": [{"code": "walk"}]}, **{"for": who}), "unknown-code"),
    )
    meter = {"type": {"coding": [{"code": "meter"}]}, "patient": who}
    lines(
        "Device.ndjson",
        (resource("Device", "d1", status="inactive", **meter), "missing-field"),
        (resource("Device", "d2", status="active", **meter), "accepted"),
        (resource("Device", "d2", status="active", **meter), "duplicate-id"),
        (resource("Device", "d2", later, status="inactive", **meter), "accepted"),
        (resource("Device", "d3", status="lost", **meter), "unknown-code"),
        (resource("Device", "d4", status="active", **meter | {"type": {"text": "meter"}}), "missing-field"),
    )
    lines(
        "withdrawals.csv", ("record_id,person,withdrawn_on,recorded_at", None),
        (f"w1,{MARK}1,2024-03-05,2024-03-05", "accepted"), (f"w1,{MARK}1,2024-03-05,2024-03-06", "duplicate-id"),
        (f"w2,{MARK}9,2024-03-05,2024-03-06", "unknown-person"), (f"w3,{MARK}1,never,2024-03-06", "wrong-type"),
        (f"w4,{MARK}1,2024-03-09,2024-03-06", "in-the-future"), (f"w5,{MARK}1", "broken-csv"),
    )
    del reasons[None]  # a header is no line
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
