"""Event columns: nothing is lost on the way to a record and back, and a record that is not one is refused."""

import re
from dataclasses import replace

import numpy as np
import pytest

from streams.columns import MAX_KEY_BYTES, NEVER, EventColumns, Header, Mark
from streams.envelope import Claim, ClaimEvent, Social, SocialEvent
from streams.errors import BatchError
from tests.support.kinds import common, encounter, enrolled, monitoring, prom, withdrawal

SOURCES = ("claims", "ehr")
EVENTS = [
    ClaimEvent(**common(1, "c", 2, None), payload=Claim(care_type="gp", product="", cents=10**9)),
    ClaimEvent(**common(1, "d", 3.25, 4, "c"), payload=Claim(care_type="ed", product="A-1", cents=0, credit=True)),
    enrolled(1), enrolled(2).model_copy(update={"payload": enrolled(2).payload.model_copy(update={"stop": enrolled(2).occurred_at})}),
    SocialEvent(**common(1, "s", 0, None), payload=Social(field="income", value="3")),
    SocialEvent(**common(1, "t", 0, None), payload=Social(field="income", value=None)),
    encounter(1, "e", 3), encounter(1, "f", 4, corrects="e", cancels=True), monitoring(2, "m", 5),
    monitoring(2, "n", 6, status="completed", due=4), prom(1, "p", 7, score=-250), withdrawal(1, "w", 9),
]
OFFSETS = [3 * i + 1 for i in range(len(EVENTS))]
HEADER = Header(
    partition=5, first=0, next=100, marks={"ehr": Mark(told=3, final=True), "claims": Mark(occurred=-1, seen=2**62)},
    watermark=NEVER, accepted=12, refused={"wrong-type": 3},
)


def columns(keys=None):
    return EventColumns.from_events(EVENTS, OFFSETS, SOURCES, HEADER, keys)


def events(found):
    return [found.event_at(i, SOURCES) for i in range(len(found))]


def test_a_record_holds_everything():
    keys = [None, b"", b"file:1:2:3", b"\xff" * 500, *[None] * (len(EVENTS) - 4)]
    back = EventColumns.from_bytes(columns(keys).to_bytes())
    assert events(back) == EVENTS
    assert back.offset.tolist() == OFFSETS
    assert back.key.to_pylist()[:4] == [None, b"", b"file:1:2:3", b"\xff" * MAX_KEY_BYTES]
    assert back.header == HEADER
    assert set(back.watermark.tolist()) == {NEVER} == set(back.clock.tolist())


def test_a_record_without_rows_is_small_and_has_the_header():
    empty = columns().take(np.array([], dtype=np.int64))
    record = empty.to_bytes()
    assert len(record) < 600
    back = EventColumns.from_bytes(record)
    assert (len(back), back.header, back.codes, back.event.dtype) == (0, HEADER, (), np.dtype("V16"))


def test_rows_taken_bring_only_their_names():
    picked = np.array([1, 5, 11])
    back = EventColumns.from_bytes(columns().take(picked).to_bytes())
    assert events(back) == [EVENTS[i] for i in picked]
    assert (back.codes, back.details) == (("ed", "income"), ("A-1",))


def test_parts_come_together_in_order_of_offsets():
    whole, other = columns(), Header(partition=1, first=0, next=99)
    parts = [whole.take(np.array([2, 5, 9])), whole.take(np.array([0, 1, 3])), whole.take(np.array([4, 6, 7, 8, 10, 11]))]
    together = EventColumns.concat(parts, other)
    assert (events(together), together.offset.tolist(), together.header) == (EVENTS, OFFSETS, other)


def test_ids_that_end_in_zeros_stay_whole():
    event = EVENTS[0].model_copy(update={"event_id": "A" * 22, "patient": "v1:" + "A" * 43})
    made = EventColumns.from_events([event], [0], SOURCES)
    assert made.event.tolist() == [bytes(16)]
    assert made.event_at(0, SOURCES) == event


def test_what_is_no_record_is_refused():
    record = columns().to_bytes()
    length = 4 + int.from_bytes(record[:4], "little")
    bad = [
        b"", b"\0" * 3, record[:4], record[: length - 1], record[:length] + b"x", record[:-20], b"\xff" * 100,
        (2**31).to_bytes(4, "little") + record[4:], record[:length].replace(b'"partition":5', b'"partition":"5') + record[length:],
        record[:4] + record[4:length].replace(b'"next":100', b'"next":034') + record[length:], b"0" * 900_001,
        record[:4] + record[4:length].replace(b'"next":100', b'"next":  1') + record[length:],
    ]
    for found in bad:
        with pytest.raises(BatchError):
            EventColumns.from_bytes(found)
    good = columns()
    wrong = [
        {"kind": np.full(len(good), 7, dtype=np.uint8)}, {"offset": good.offset[::-1]}, {"offset": good.offset + 90},
        {"offset": np.zeros(len(good), dtype=np.int64)}, {"flag": np.full(len(good), 2, dtype=np.uint8)},
    ]
    for change in wrong:
        with pytest.raises(BatchError):
            EventColumns.from_bytes(replace(good, **change).to_bytes())


@pytest.mark.parametrize("names", [b'"codes":["gp"]', b'"details":[]'])
def test_rows_that_point_beyond_the_names_are_refused(names):
    record = columns().to_bytes()
    end = 4 + int.from_bytes(record[:4], "little")
    head = re.sub(names.split(b":")[0] + rb":\[[^]]*\]", names, record[4:end])
    assert head != record[4:end]
    with pytest.raises(BatchError, match="indices"):
        EventColumns.from_bytes(len(head).to_bytes(4, "little") + head + record[end:])


def test_any_byte_changed_is_refused_or_read_as_columns():
    record = columns().to_bytes()
    for place in range(0, len(record), 7):
        changed = bytearray(record)
        changed[place] ^= 0x55
        try:
            found = EventColumns.from_bytes(bytes(changed))
        except BatchError:
            continue
        assert len(found) <= len(EVENTS)
