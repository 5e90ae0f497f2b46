"""Polls parsed at once decide as the envelope does for every row by itself."""

import base64
import json
import random
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from streams import parse as parsing
from streams.columns import UNKNOWN_SOURCE, Header
from streams.envelope import Claim, ClaimEvent, Heartbeat, Social, SocialEvent, encode, parse
from streams.fixed import Texts, ids, instants
from streams.judge import EARLIEST, LATEST
from streams.parse import parse_batch
from streams.rejects import reason_of
from tests.support.kinds import at, common, encounter, enrolled, monitoring, prom, withdrawal

SOURCES = ("claims", "ehr", "persons")


def claim(number, event, day, corrects=None, product="x1", cents=4_500):
    payload = Claim(care_type="gp", product=product, cents=cents, credit=corrects is not None)
    return ClaimEvent(**common(number, event, day, None, corrects), payload=payload)


def social(number, event, day, value="3"):
    return SocialEvent(**common(number, event, day, None), payload=Social(field="income", value=value))


GOOD = [
    claim(1, "c1", 3), claim(2, "c2", 4.5, corrects="c1"), enrolled(1), social(1, "s1", 0), social(2, "s2", 1, None),
    encounter(1, "e1", 3), encounter(1, "e2", 4, corrects="e1", cancels=True), monitoring(1, "m1", 5),
    monitoring(1, "m2", 6, status="completed", due=4), prom(1, "p1", 7, score=-250), withdrawal(1, "w1", 9),
    Heartbeat(source="ehr"), Heartbeat(source="ehr", final=False, until=at(3), recorded_at=at(4)),
]
NASTY_VALUES = [
    None, True, False, 0, -1, 1, 1.0, 1.5, 10**9, 10**9 + 1, 10**6, -(10**6) - 1, 2**63, -(2**63) - 1, 10**40, "", "1", "null",
    "true", "x", "X", "é", "a\n", "\u0000", "2024-01-01", "2024-02-30T00:00:00Z", "2023-02-29T00:00:00+01:00",
    "2024-02-29T23:59:59.999999-14:00", "2024-01-01T00:00:00", "2024-01-01 00:00:00Z", "2024-01-01T24:00:00Z",
    "2024-01-01T00:00:60Z", "2024-01-01T00:00:00+24:00", "2024-01-01T00:00:00+14:01", "2024-01-01T00:00:00-00:00",
    "2024-01-01T00:00:00+1:000", "2024-01-01T00:00:00z", "2024-01-01t00:00:00Z", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-12:00", "1899-12-31T00:00:00Z", "2200-01-01T00:00:00Z", "2024-01-01T00:00:00.123Z",
    "2024-01-01T00:00:00,123456Z", "2024-01-01T00:00:00.1234567Z", "20240101T000000Z", 1704067200, "1704067200", "due",
    "completed", "admission", "claim", "ehr", "nobody", "A" * 22, "A" * 21 + "_", "A" * 21 + "+", "A" * 23,
    "v1:" + "b" * 43, "v2:" + "b" * 43, "v1:" + "b" * 42 + "=", [], {}, [1], {"a": 1}, {"care_type": "gp", "cents": 1},
]
FIELDS = [
    "event_id", "patient", "occurred_at", "recorded_at", "source", "corrects", "kind", "payload", "until", "final", "extra",
    "care_type", "product", "cents", "credit", "programme", "stop", "field", "value", "type", "cancels", "module", "status",
    "due", "instrument", "score",
]
NASTY_ROWS = [
    b"", b" ", b"\n", b"{}", b"[]", b"null", b"1", b'"', b"\xff", b"\x00", b"{" * 30_000, b'{"a":' * 5_000, b"[" * 200_000,
    b"{}{}", b'{"kind":"claim"}{"kind":"claim"}', b'{"kind":', b'"claim"}', b'{"kind":"claim","payload":{"cents":NaN}}',
    b"// nothing", b"\xef\xbb\xbf{}", b"{" + b" " * 5_000 + b"}",
]


def outcome(value):
    try:
        event = parse(value)
    except ValidationError as error:
        return reason_of(error)
    if isinstance(event, Heartbeat):
        return event
    again = lambda text: base64.urlsafe_b64encode(base64.urlsafe_b64decode(text + "==")).rstrip(b"=").decode()  # noqa: E731
    return event.model_copy(update={
        "event_id": again(event.event_id), "patient": "v1:" + again(event.patient[3:]),
        "corrects": None if event.corrects is None else again(event.corrects),
    })


def agree(values):
    """Both ways come to the same, row by row; returns how many events there are."""
    offsets = [7 + 3 * i for i in range(len(values))]
    keys = [None if i % 3 == 0 else b"key-%d" % i for i in range(len(values))]
    header = Header(partition=2, first=0, next=10**6)
    columns, rejected, heartbeats = parse_batch(values, offsets, keys, SOURCES, header)
    expected = [outcome(value) for value in values]
    assert dict(rejected) == {i: e for i, e in enumerate(expected) if isinstance(e, str)}
    assert dict(heartbeats) == {i: e for i, e in enumerate(expected) if isinstance(e, Heartbeat)}
    events = [(i, e) for i, e in enumerate(expected) if not isinstance(e, str | Heartbeat)]
    assert columns.offset.tolist() == [offsets[i] for i, _ in events]
    assert columns.key.to_pylist() == [keys[i] for i, _ in events]
    for row, (_, event) in enumerate(events):
        instants = [columns.occurred[row], columns.recorded[row], columns.until[row]]
        told = [event.occurred_at, event.recorded_at, getattr(event.payload, "stop", None) or getattr(event.payload, "due", None)]
        assert [t for t in told if t is not None] == [
            datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(n)) if EARLIEST <= n <= LATEST else t
            for n, t in zip(instants, told, strict=True) if t is not None
        ]
        agreed = event.source in SOURCES
        assert (columns.source[row] == UNKNOWN_SOURCE) == (not agreed)
        if agreed and all(EARLIEST <= n <= LATEST for n in instants):
            assert columns.event_at(row, SOURCES) == event
    return len(events)


@st.composite
def rows(draw):
    """JSON of an event with something done to it."""
    text = encode(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(0, 2))):
        how = draw(st.sampled_from(["set", "drop", "twice", "space", "bytes", "cut", "whole", "escape", "style"]))
        if how == "whole":
            return draw(st.sampled_from(NASTY_ROWS))
        if how == "bytes":
            place = draw(st.integers(0, len(text)))
            text = text[:place] + draw(st.sampled_from([b"\n", b"\r", b" ", b"}", b"{", b'"', b",", b"\\", b"\x00", b"\xc3\xa9",
                                                        b"\xef\xbb\xbf", b"0", b"null", b"-", b"."])) + text[place:]
            continue
        if how == "cut":
            text = text[: draw(st.integers(0, len(text)))]
            continue
        if how == "space":
            text = draw(st.sampled_from([b" ", b"\n", b"\t", b"\xef\xbb\xbf"])) + text + draw(st.sampled_from([b"", b"\n", b" ", b"{}"]))
            continue
        try:
            data = json.loads(text)
        except ValueError:
            continue
        if not isinstance(data, dict):
            continue
        inner = data.get("payload")
        target = inner if isinstance(inner, dict) and draw(st.booleans()) else data
        name, value = draw(st.sampled_from([*target] * 2 + FIELDS)), draw(st.sampled_from(NASTY_VALUES))
        if how == "set":
            target[name] = value
        elif how == "drop":
            target.pop(name, None)
        if how == "style":
            text = json.dumps(data, indent=draw(st.sampled_from([None, 1])), sort_keys=draw(st.booleans())).encode()
        elif how == "escape":
            text = json.dumps(data).replace("e", "\\u0065", draw(st.integers(1, 3))).encode()
        else:
            text = json.dumps(data, separators=(",", ":")).encode()
        if how == "twice":
            extra = json.dumps({name: value})[1:-1].encode()
            text = draw(st.sampled_from([
                text[:-1] + b"," + extra + b"}", b"{" + extra + b"," + text[1:], text.replace(b"{", b"{" + extra + b",", 2),
            ]))
    return text


@pytest.mark.parametrize("fewest", [1, 16])
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(nasty=st.lists(rows(), min_size=1, max_size=12), seed=st.integers(0, 9))
@example(nasty=NASTY_ROWS, seed=0)
def test_whatever_comes_is_decided_as_row_by_row(fewest, nasty, seed):
    good = [encode(event) for event in GOOD] * 3
    values = good + nasty
    random.Random(seed).shuffle(values)
    before = parsing.FEWEST_ROWS
    parsing.FEWEST_ROWS = fewest
    try:
        assert agree(values) >= 3 * (len(GOOD) - 2)
    finally:
        parsing.FEWEST_ROWS = before


@pytest.mark.parametrize("kind", range(len(GOOD)))
def test_every_value_in_every_field_of_every_kind(kind):
    plain = json.loads(encode(GOOD[kind]))
    values = []
    for name in FIELDS:
        for value in NASTY_VALUES:
            values += [json.dumps({**plain, name: value}, separators=(",", ":")).encode()]
            if isinstance(plain.get("payload"), dict):
                changed = {**plain, "payload": {**plain["payload"], name: value}}
                values += [json.dumps(changed, separators=(",", ":") if len(values) % 2 else None).encode()]
    before = parsing.FEWEST_ROWS
    parsing.FEWEST_ROWS = 1
    try:
        agree(values)
    finally:
        parsing.FEWEST_ROWS = before


def test_rows_that_lean_on_their_neighbours_are_refused_all_the_same():
    good = encode(GOOD[0])
    pair = good + good[: good.index(b'"payload"')]
    rest = good[good.index(b'"payload"') :]
    assert agree([good] * 20 + [pair, rest, good[:50], good[50:], good + good, b""] + [good] * 20) == 40


def test_ordinary_polls_take_the_fast_path(monkeypatch):
    """The slow path would be 5 times as slow, in silence."""
    values = [encode(event) for event in GOOD if not isinstance(event, Heartbeat)] * 10
    monkeypatch.setattr(parsing, "parse", None)
    header = Header(partition=0, first=0, next=len(values))
    found = parse_batch(values, range(len(values)), [None] * len(values), SOURCES, header)
    assert len(found.columns) == len(values)
    styled = [json.dumps(json.loads(value)).encode() for value in values]
    assert len(parse_batch(styled, range(len(values)), [None] * len(values), SOURCES, header).columns) == len(values)


@given(st.lists(st.tuples(
    st.datetimes(datetime(1890, 1, 1), datetime(2210, 1, 1)), st.integers(-1439, 1439), st.booleans(),
), min_size=1, max_size=30))
def test_instants_are_those_of_the_calendar(moments):
    texts, expected = [], []
    for moment, minutes, whole in moments:
        zoned = moment.replace(microsecond=0 if whole else moment.microsecond, tzinfo=timezone(timedelta(minutes=minutes)))
        texts.append(zoned.isoformat().replace("+00:00", "Z").encode())
        expected.append(zoned)
    certain, found = instants(Texts(pa.array(texts, pa.binary())))
    for sure, micros, zoned in zip(certain, found.tolist(), expected, strict=True):
        if sure:
            assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros) == zoned
        assert sure == (1900 <= zoned.year <= 2199 and abs(zoned.utcoffset()) < timedelta(hours=15))


@given(st.lists(st.one_of(st.none(), st.binary(min_size=16, max_size=16)), max_size=20), st.sampled_from([b"", b"v1:"]))
def test_ids_are_those_of_base64(found, prefix):
    texts = [None if f is None else prefix + base64.urlsafe_b64encode(f).rstrip(b"=") for f in found]
    certain, decoded = ids(Texts(pa.array(texts, pa.binary())), prefix, 16)
    assert certain.tolist() == [f is not None for f in found]
    assert decoded.tolist() == [f or bytes(16) for f in found]


def test_more_sources_than_an_index_holds():
    many = [f"s{i}" for i in range(256)]
    with pytest.raises(parsing.ConfigurationError, match="256 sources"):
        parse_batch([], [], [], many, Header(partition=0, first=0, next=0))
    assert len(parse_batch([], [], [], many[:255], Header(partition=0, first=0, next=0)).columns) == 0
