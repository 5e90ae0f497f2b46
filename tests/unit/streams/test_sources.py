"""Reading files: order of recording, positions, and every kind of bad line."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.agreement import Draft
from streams.envelope import ClaimEvent, EnrolmentEvent, SocialEvent, encode, parse
from streams.errors import ConfigurationError, SourceError
from streams.pseudonym import Pseudonyms
from streams.rejects import Reason
from streams.sources.agreed import check_sources, open_sources
from streams.sources.lines import MAX_LINE_BYTES, read_events
from tests.support import parties as p
from tests.support.checking import Checker
from tests.support.terms import draft_data

PSEUDONYMS = Pseudonyms(p.LINK_SECRET, p.PSEUDONYM_KEY)
DRAFT = Draft.model_validate(draft_data())
GOOD = "c1,P00000001,gp,consult,2024-01-05,4500,D,,2024-02-01T09:00:00+01:00"


def read(folder, party):
    return [event for _, _, event, _ in read_events(open_sources(DRAFT, party, folder, PSEUDONYMS))]


def claims(folder, *lines):
    p.write_lines(folder / "members.csv", p.MEMBERS)
    p.write_lines(folder / "claims.csv", p.CLAIMS, *lines)
    return read(folder, "insurer")


def hospital(folder, patients=(), episodes=(), tasks=()):
    p.write_lines(folder / "Patient.ndjson", *patients)
    p.write_lines(folder / "EpisodeOfCare.ndjson", *episodes)
    p.write_lines(folder / "Task.ndjson", *tasks)
    return read(folder, "hospital")


def test_a_claim_becomes_an_event_without_its_identifiers(tmp_path):
    (event,) = claims(tmp_path, GOOD)
    assert isinstance(event, ClaimEvent)
    assert event.patient == PSEUDONYMS.patient("P00000001")
    assert event.occurred_at.isoformat() == "2024-01-05T00:00:00+01:00"
    assert event.recorded_at.isoformat() == "2024-02-01T09:00:00+01:00"
    assert (event.payload.care_type, event.payload.cents, event.payload.credit) == ("gp", 4500, False)
    assert b"P00000001" not in encode(event)
    assert parse(encode(event)) == event


def test_summer_time_and_offsets(tmp_path):
    first, second = claims(
        tmp_path, GOOD.replace("2024-01-05", "2024-07-05"), GOOD.replace("2024-01-05", "2024-01-05T23:30:00Z")
    )
    assert first.occurred_at.isoformat() == "2024-07-05T00:00:00+02:00"
    assert second.occurred_at.isoformat() == "2024-01-05T23:30:00+00:00"


@pytest.mark.parametrize(("change", "reason"), [
    (("4500", "-1"), Reason.NEGATIVE_AMOUNT),
    (("4500", "-0"), None),
    (("4500", "9" * 39), Reason.AMOUNT_TOO_LARGE),
    (("4500", "9" * 5000), Reason.WRONG_TYPE),
    (("4500", "NaN"), Reason.WRONG_TYPE),
    (("4500", "Infinity"), Reason.WRONG_TYPE),
    (("4500", "45.00"), Reason.WRONG_TYPE),
    (("4500", "٤٥"), Reason.WRONG_TYPE),
    (("4500", ""), Reason.MISSING_FIELD),
    (("P00000001", ""), Reason.MISSING_FIELD),
    (("P00000001", "P 1"), Reason.WRONG_TYPE),
    (("P00000001", "P" * 33), Reason.WRONG_TYPE),
    (("c1", ""), Reason.MISSING_FIELD),
    (("c1", "c" * 129), Reason.WRONG_TYPE),
    (("gp", "GP visit!"), Reason.UNKNOWN_CODE),
    (("gp", ""), Reason.MISSING_FIELD),
    ((",D,", ",X,"), Reason.UNKNOWN_CODE),
    ((",D,", ",C,"), Reason.MISSING_FIELD),
    (("2024-01-05", "2024-02-30"), Reason.WRONG_TYPE),
    (("2024-01-05", "20240105"), Reason.WRONG_TYPE),
    (("2024-01-05", "2024-W01-5"), Reason.WRONG_TYPE),
    (("2024-01-05", "0001-01-01"), Reason.WRONG_TYPE),
    (("2024-01-05", "9999-12-31"), Reason.WRONG_TYPE),
    (("2024-01-05", "2024-01-05T10:00:00"), Reason.WRONG_TYPE),
    (("2024-01-05", ""), Reason.MISSING_FIELD),
    (("consult", "con,sult"), Reason.BROKEN_CSV),
    (("consult", '"consult'), Reason.BROKEN_CSV),
    (("consult", '"con""sult"'), Reason.WRONG_TYPE),
    (("consult", '"consult"'), None),
    ((",D,,", ",D"), Reason.BROKEN_CSV),
])
def test_a_claim_with_one_fault_is_refused_for_it(tmp_path, change, reason):
    events = claims(tmp_path, GOOD, GOOD.replace(*change, 1), GOOD)
    assert [e if isinstance(e, Reason) else None for e in events] == [None, reason, None]


def test_bytes_that_are_no_text(tmp_path):
    events = claims(tmp_path, b"\xff\xfe" + GOOD.encode(), GOOD.encode() + b"\0", b"\0" * 50, b"   ", b"", GOOD)
    assert events[:3] == [Reason.NOT_TEXT] * 3
    assert isinstance(events[3], ClaimEvent)
    assert len(events) == 4


def test_a_huge_line_is_skipped_whole_and_the_next_one_read(tmp_path):
    events = claims(tmp_path, b"x" * 10_000_000, GOOD, b"y" * MAX_LINE_BYTES, GOOD, b"z" * (MAX_LINE_BYTES - 1))
    assert [e if isinstance(e, Reason) else "event" for e in events] == [
        Reason.TOO_LARGE, "event", Reason.TOO_LARGE, "event", Reason.BROKEN_CSV,
    ]


def test_line_ends_byte_order_mark_and_no_last_line_end(tmp_path):
    p.write_lines(tmp_path / "members.csv", p.MEMBERS)
    text = "\ufeff" + p.CLAIMS + "\r\n" + GOOD + "\r\n" + GOOD.replace("c1", "c2")
    (tmp_path / "claims.csv").write_bytes(text.encode())
    files = open_sources(DRAFT, "insurer", tmp_path, PSEUDONYMS)
    lines = [(position, event, line) for _, position, event, line in read_events(files)]
    assert all(isinstance(event, ClaimEvent) for _, event, _ in lines)
    raw = text.encode()
    assert [raw[q.offset : q.offset + q.length] for q, _, _ in lines] == [line for _, _, line in lines]
    assert [q.line for q, _, _ in lines] == [2, 3]


def test_headers_and_files_are_checked_before_anything_runs(tmp_path):
    p.write_lines(tmp_path / "members.csv", p.MEMBERS)
    with pytest.raises(SourceError, match=r"claims.csv.*No such file.*source 'claims'"):
        read(tmp_path, "insurer")
    for header in ("", "record_id,person", p.CLAIMS + ",more", p.CLAIMS.replace("person", "bsn")):
        p.write_lines(tmp_path / "claims.csv", header)
        with pytest.raises(SourceError, match=r"the header is .*expected 'record_id,person,care_type"):
            read(tmp_path, "insurer")
    (tmp_path / "claims.csv").write_bytes(b"")
    with pytest.raises(SourceError, match="the header is missing, expected"):
        read(tmp_path, "insurer")
    p.write_lines(tmp_path / "claims.csv", p.CLAIMS.replace(",", ";"))
    with pytest.raises(SourceError, match="the header is 'record_id;person"):
        read(tmp_path, "insurer")
    p.write_lines(tmp_path / "claims.csv", GOOD)
    with pytest.raises(SourceError) as caught:
        check_sources(DRAFT, "insurer", tmp_path)
    assert "P00000001" not in str(caught.value)
    p.write_lines(tmp_path / "claims.csv", p.CLAIMS)
    assert read(tmp_path, "insurer") == []


@pytest.mark.parametrize("make", [
    os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to(path.name),
    lambda path: path.symlink_to("nowhere"),
])
def test_what_is_no_file_is_refused_at_once(tmp_path, make):
    p.write_lines(tmp_path / "members.csv", p.MEMBERS)
    make(tmp_path / "claims.csv")
    with pytest.raises(SourceError, match=r"claims\.csv"):
        check_sources(DRAFT, "insurer", tmp_path)


def test_a_link_to_a_file_is_read(tmp_path):
    p.write_lines(tmp_path / "members.csv", p.MEMBERS)
    p.write_lines(tmp_path / "elsewhere", p.CLAIMS, GOOD)
    (tmp_path / "claims.csv").symlink_to("elsewhere")
    check_sources(DRAFT, "insurer", tmp_path)
    assert [event.kind for event in read(tmp_path, "insurer")] == ["claim"]


def test_a_party_that_is_asked_for_nothing_known(tmp_path):
    data = draft_data()
    data["parties"][2]["sources"][0]["kinds"] = ["heartbeat"]
    data["measures"] = [m for m in data["measures"] if m["party"] != "statistics"]
    with pytest.raises(ConfigurationError, match="no reader for what the agreement asks of it .heartbeat."):
        open_sources(Draft.model_validate(data), "statistics", tmp_path, PSEUDONYMS)


def test_events_come_in_the_order_of_recording_whatever_the_files_order(tmp_path):
    p.write_lines(
        tmp_path / "members.csv", p.MEMBERS,
        "m1,P00000001,2020-01-01,,2024-03-01", "m2,P00000002,2020-01-01,2024-01-31,2024-01-01",
    )
    p.write_lines(
        tmp_path / "claims.csv", p.CLAIMS, GOOD.replace("2024-02-01T09:00:00+01:00", "2024-03-01"), "broken",
        GOOD.replace("2024-02-01T09:00:00+01:00", "2024-02-29T23:59:59-05:00"), GOOD,
    )
    seen = [
        (f.form.file, q.line, isinstance(e, Reason))
        for f, q, e, _ in read_events(open_sources(DRAFT, "insurer", tmp_path, PSEUDONYMS))
    ]
    assert seen == [
        ("members.csv", 3, False), ("claims.csv", 5, False), ("members.csv", 2, False), ("claims.csv", 2, False),
        ("claims.csv", 3, True), ("claims.csv", 4, False),
    ]


def test_the_end_of_an_insurance_is_the_first_day_without_and_of_a_period_its_last(tmp_path):
    p.write_lines(tmp_path / "members.csv", p.MEMBERS, "m1,P00000001,2020-01-01,2024-03-31,2024-03-31")
    p.write_lines(tmp_path / "claims.csv", p.CLAIMS)
    (member,) = read(tmp_path, "insurer")
    assert member.payload.stop.isoformat() == "2024-03-31T00:00:00+01:00"
    _, care = hospital(
        tmp_path, [p.patient("a", p.person(1), "2024-01-01")],
        [p.episode("e", "a", "2024-01-02", "2024-04-01", end="2024-03-31")],
    )
    assert isinstance(care, EnrolmentEvent)
    assert care.payload.stop.isoformat() == "2024-04-01T00:00:00+02:00"
    assert care.payload.programme == "ibd-care"


NAN = '{"resourceType": "Task", "id": "t", "x": NaN, "meta": {"lastUpdated": "2024-01-03"}, "status": NaN}'


@pytest.mark.parametrize(("line", "reason"), [
    (p.task("t", "a", "2024-01-02", "2024-01-03"), None),
    (p.task("t", "a", "2024-01-02", "2024-01-03", unused={"deep": [1, {"x": None}]}), None),
    (p.task("t", "b", "2024-01-02", "2024-01-03"), Reason.UNKNOWN_REFERENCE),
    (p.task("t", "a", "2024-01-02", "2024-01-03", code="other-app"), Reason.UNKNOWN_CODE),
    (p.task("t", "a", "2024-01-02", "2024-01-03", status="cancelled"), Reason.NOT_MAPPED),
    (p.task("t", "a", "2024-01-02", "2024-01-03", status="on-fire"), Reason.UNKNOWN_CODE),
    (p.task("t", "a", "2024-01-02", "2024-01-03", status=7), Reason.UNKNOWN_CODE),
    (p.task("t", "a", "soon", "2024-01-03"), Reason.WRONG_TYPE),
    (p.task("t", "a", "2024-01-02", "2024"), Reason.WRONG_TYPE),
    (p.task("t", "a", "2024-01-02", "2024-01-03", executionPeriod=[]), Reason.WRONG_TYPE),
    (p.task("t", "a", "2024-01-02", "2024-01-03", executionPeriod={}), Reason.MISSING_FIELD),
    (p.task("t", "a", "2024-01-02", "2024-01-03", id=5), Reason.WRONG_TYPE),
    (p.task("t/../x", "a", "2024-01-02", "2024-01-03"), Reason.WRONG_TYPE),
    (p.task("t", "a", "2024-01-02", "2024-01-03", **{"for": {"reference": "Group/a"}}), Reason.WRONG_TYPE),
    (p.episode("t", "a", "2024-01-02", "2024-01-03"), Reason.UNKNOWN_CODE),
    ('{"resourceType": "Task"', Reason.BROKEN_JSON),
    ("[" * 100_000, Reason.BROKEN_JSON),
    ('{"a":' * 5_000 + "1" + "}" * 5_000, Reason.BROKEN_JSON),
    (NAN, Reason.UNKNOWN_CODE),
    ("[]", Reason.WRONG_TYPE),
    ("null", Reason.WRONG_TYPE),
    ("1" * 10_000, Reason.BROKEN_JSON),
    (b'{"resourceType": "Task", "id": "\xff"}', Reason.NOT_TEXT),
    ('{"id": "\\ud800"}', Reason.BROKEN_JSON),
])
def test_a_task_with_one_fault_is_refused_for_it(tmp_path, line, reason):
    good = p.task("good", "a", "2024-01-02", "2024-01-03")
    known, before, task = hospital(tmp_path, [p.patient("a", p.person(1), "2024-01-01")], tasks=[good, line])
    assert isinstance(known, EnrolmentEvent)
    assert isinstance(before, EnrolmentEvent)
    assert (task if isinstance(task, Reason) else None) == reason


def test_patients_without_the_shared_number_and_references_to_later_ones(tmp_path):
    other = json.loads(p.patient("b", p.person(2), "2024-01-01"))
    other["identifier"].pop()
    events = hospital(
        tmp_path, [json.dumps(other), p.patient("c", p.person(3), "2024-01-05")],
        tasks=[p.task("t", "c", "2024-01-02", "2024-01-03"), p.task("u", "c", "2024-01-02", "2024-01-06")],
    )
    kinds = [e if isinstance(e, Reason) else e.payload.programme for e in events]
    assert kinds == [Reason.MISSING_FIELD, Reason.UNKNOWN_REFERENCE, "registered", "ibd-coach"]


def test_files_that_are_read_again_give_the_same_again(tmp_path):
    """A reader remembers patients and versions; a worker that starts anew reads its files twice."""
    p.write_lines(tmp_path / "Patient.ndjson", p.patient("a", p.person(1), "2024-01-01"), p.patient("c", p.person(3), "2024-01-05"))
    p.write_lines(tmp_path / "EpisodeOfCare.ndjson")
    taken_back = json.loads(p.task("v", "a", "2024-01-02", "2024-01-02")) | {"status": "entered-in-error"}
    p.write_lines(
        tmp_path / "Task.ndjson", json.dumps(taken_back), p.task("t", "c", "2024-01-02", "2024-01-03"),
        p.task("v", "a", "2024-01-02", "2024-01-06"),
    )
    files = open_sources(DRAFT, "hospital", tmp_path, PSEUDONYMS)
    first, part, second = (list(read_events(files, last=last)) for last in (None, 2, None))
    assert [e for *_, e, _ in first if isinstance(e, Reason)] == [Reason.NOT_MAPPED, Reason.UNKNOWN_REFERENCE]
    assert second == first
    assert part == first[:2]


def test_incomes(tmp_path):
    p.write_lines(
        tmp_path / "persons.csv", p.PERSONS, "a,P00000001,3,2023-01-01,2023-06-01", "b,P00000001,,2023-01-01,2023-06-02",
        "c,P00000001,6,2023-01-01,2023-06-03", "d,P00000001,3,never,2023-06-04",
    )
    known, unknown, *bad = read(tmp_path, "statistics")
    assert isinstance(known, SocialEvent)
    assert (known.payload.field, known.payload.value, unknown.payload.value) == ("income_quintile", "3", None)
    assert bad == [Reason.UNKNOWN_CODE, Reason.WRONG_TYPE]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(
    st.binary(max_size=400),
    st.lists(st.sampled_from([GOOD.encode(), b"\n", b",", b'"', b"\xff", b"\0", b"D", b"-", b"\r\n"]), max_size=40)
    .map(b"".join),
))
def test_every_line_of_garbage_is_accepted_or_refused_with_a_reason(tmp_path, data):
    p.write_lines(tmp_path / "members.csv", p.MEMBERS, "m1,P00000001,2020-01-01,,2024-01-01")
    (tmp_path / "claims.csv").write_bytes(p.CLAIMS.encode() + b"\n" + data)
    validator, accepted, refused = Checker(DRAFT, "insurer", PSEUDONYMS), 0, 0
    for event in read(tmp_path, "insurer"):
        outcome = event if isinstance(event, Reason) else validator.check(event)
        accepted += isinstance(outcome, ClaimEvent | EnrolmentEvent)
        refused += isinstance(outcome, Reason)
    assert accepted + refused == 1 + sum(1 for line in data.split(b"\n") if line.strip())
    # Of lines with one id at most one is accepted.
    assert accepted <= 1 + len({line.split(b",")[0] for line in data.split(b"\n")})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=8,
)
FIELDS = ("resourceType", "id", "meta", "status", "code", "for", "executionPeriod")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from(FIELDS), JSON, min_size=1))
def test_resources_with_random_elements_never_stop_the_stream(tmp_path, changes):
    good = json.loads(p.task("t", "a", "2024-01-02", "2024-01-03"))
    patient = p.patient("a", p.person(1), "2024-01-01")
    outcome = hospital(tmp_path, [patient], tasks=[json.dumps(good | changes)])
    assert len(outcome) == 2
    assert all(isinstance(e, Reason | EnrolmentEvent) for e in outcome)
