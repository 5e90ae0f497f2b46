"""Re-keying: accepted + refused = read, and how records came together, or that they come again, changes nothing."""

import asyncio
import gc
import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from policy.agreement import Draft
from streams import rekey as rekeying
from streams.columns import ENDED, NEVER, EventColumns
from streams.envelope import Claim, ClaimEvent, Heartbeat, encode
from streams.errors import BrokerError, StreamsError
from streams.flow import Counts, Pulse
from streams.numbering import numbered
from streams.rejects import Reason, open_rejected
from streams.rekey import Rekeyer, beginning, rekey
from streams.tags import TAG_BYTES, Tags
from tests.support.kinds import NAMES, at, common, encounter, kinds_data, prom, withdrawal

SECRET = X25519PrivateKey.from_private_bytes(b"R" * 32)
SOURCES = ("ehr", "lab")
TAGS = Tags(b"S" * 32, "ab" * 32)


def draft(shards=3):
    data = kinds_data(shards=shards)
    data["parties"][0]["sources"] += [{"name": "lab", "kinds": ["encounter", "prom"], "bound_days": 5}]
    return Draft.model_validate(data)


def rekeyer(shards=3):
    return Rekeyer(draft(shards), "hospital", NAMES, SECRET.public_key())


def story(seed, length=300):
    """(value, event or None, reason or None): what one source partition brings."""
    rng, found, day = random.Random(seed), [], 0.0
    for number in range(length):
        day = min(83.0, day + rng.random() * 0.5)
        source = rng.choice(SOURCES)
        match rng.randrange(9):
            case 0:
                until = day - rng.random() * 4
                beat = Heartbeat(source=rng.choice([*SOURCES, "nobody"]), final=False, until=at(until), recorded_at=at(day))
                found.append((encode(beat), beat, None))
            case 1:
                found.append((b'{"kind":"claim"', None, Reason.BROKEN_JSON))
            case 2:
                early = encounter(1, f"x{number}", day, day - 1.1)
                found.append((encode(early), None, Reason.IN_THE_FUTURE))
            case 3:
                unknown = prom(2, f"x{number}", day).model_copy(update={"source": "nobody"})
                found.append((encode(unknown), None, Reason.UNKNOWN_CODE))
            case _:
                said = max(0.0, day - rng.random() * 6)
                made = rng.choice([encounter, prom])(rng.randrange(1, 30), f"x{number}", said, day)
                made = made.model_copy(update={"source": source})
                found.append((encode(made), made, None))
    return found


def polled(found, start=0):
    return [
        SimpleNamespace(partition=4, offset=2 * i, timestamp=0, key=None if i % 2 else b"ehr.csv:%d" % i, value=value)
        for i, (value, _, _) in enumerate(found)
    ][start:]


def cut(records, seed):
    rng, place = random.Random(seed), 0
    while place < len(records):
        size = rng.choice([1, 2, 7, 40, 150])
        yield records[place : place + size]
        place += size


def run(made, records, before=None, seed=0):
    """(header, shard → columns, rejected) of all stretches."""
    header, shards, rejected = before or beginning(4), {}, []
    for stretch in cut(records, seed):
        step = made.step(header, stretch)
        for shard, messages in enumerate(step.sharded):
            for message in messages:
                columns = EventColumns.from_bytes(message)
                assert (columns.header.first, columns.header.next) == (header.next, step.header.next)
                assert columns.header == step.header
                shards.setdefault(shard, []).append(columns)
        assert step.events == sum(1 for r in stretch if b"heartbeat" not in r.value)
        header, rejected = step.header, rejected + step.rejected
    return header, {s: EventColumns.concat(parts, header) for s, parts in shards.items()}, rejected


def micros(moment):
    """An instant of the oracle; None: before the first word, True: ended."""
    return {None: NEVER, True: ENDED}.get(moment) or (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def stands(said, ended):
    """A watermark by its definition, from all that was said: (source, happened, recorded), and (source, until)."""
    marks = []
    for source, bound in (("ehr", 0), ("lab", 5)):
        if source in ended:
            continue
        words = [until for s, until, _ in said if s == source and until is not None]
        events = [recorded for s, until, recorded in said if s == source and until is None]
        if events:
            words.append(min(max(o for o, _ in events) - timedelta(days=bound), max(r for _, r in events)))
        marks.append(max(words, default=None))
    if not marks:
        return True
    return None if None in marks else min(marks)


def test_a_clock_that_is_ahead_does_not_take_the_watermark_along():
    """One word from 2099 would seal every pane, and close the register, before anything else has come."""
    sent, ahead = at(10), at(27_000)
    beat = Heartbeat(source="ehr", final=False, until=ahead, recorded_at=ahead)
    events = [
        encounter(1, "a", 9), encounter(2, "b", 9, 27_000), beat, prom(3, "c", 9, 11), prom(3, "d", 9, 11.01),
        Heartbeat(source="ehr", final=False, until=at(9), recorded_at=at(11)), encounter(1, "e", 10),
    ]
    records = [
        SimpleNamespace(partition=0, offset=n, key=None, value=encode(event), timestamp=int(sent.timestamp() * 1000))
        for n, event in enumerate(events)
    ]
    for one_by_one in (False, True):
        header, rejected = beginning(0), []
        for stretch in [[r] for r in records] if one_by_one else [records]:
            step = rekeyer(1).step(header, stretch)
            header, rejected = step.header, rejected + step.rejected
        assert (header.accepted, header.refused) == (3, {Reason.IN_THE_FUTURE: 3})
        assert header.marks["ehr"].recorded == micros(at(11))
        assert header.marks["ehr"].watermark(0) == micros(at(10))
        assert [open_rejected(r, SECRET)[0].position for r in rejected] == [f"hospital.source:0:{n}" for n in (1, 2, 4)]


def test_a_record_that_does_not_tell_when_it_was_sent_is_believed():
    for timestamp in (-1, 0, 2**62):
        record = SimpleNamespace(partition=0, offset=0, key=None, value=encode(encounter(1, "a", 9)), timestamp=timestamp)
        assert rekeyer(1).step(beginning(0), [record]).accepted == 1


@pytest.mark.parametrize("seed", range(6))
def test_watermarks_before_every_event_are_those_of_its_partition(seed):
    found = [*story(seed), (encode(Heartbeat(source="lab")), Heartbeat(source="lab"), None)]
    found += [(encode(event), event, None) for event in [encounter(n, f"last{n}", 80, 83) for n in range(1, 6)]]
    header, shards, _ = run(rekeyer(), polled(found), seed=seed)
    told = {
        int(offset): (int(mark), int(clock)) for columns in shards.values()
        for offset, mark, clock in zip(columns.offset, columns.watermark, columns.clock, strict=True)
    }
    said, ended, latest = [], set(), None
    for place, (_, event, _) in enumerate(found):
        if event is None or event.source not in SOURCES:
            continue
        if isinstance(event, Heartbeat):
            if event.final:
                ended.add(event.source)
                continue
            said.append((event.source, min(event.until, event.recorded_at), None))
        else:
            assert told.pop(2 * place) == (micros(stands(said, ended)), micros(latest))
            said.append((event.source, None, (event.occurred_at, event.recorded_at)))
        latest = event.recorded_at if latest is None else max(latest, event.recorded_at)
    assert not told
    assert header.watermark == micros(stands(said, ended))
    assert header.marks["lab"].final


@pytest.mark.parametrize("seed", range(6))
def test_how_records_come_together_changes_nothing(seed):
    found = story(seed)
    header, shards, rejected = run(rekeyer(), polled(found), seed=seed)
    whole = rekeyer().step(beginning(4), polled(found))
    assert header.model_copy(update={"first": 0}) == whole.header
    for shard, (message,) in enumerate(whole.sharded):
        once = EventColumns.from_bytes(message)
        assert message == EventColumns.concat([shards[shard]], whole.header).to_bytes()
        assert {NAMES.shard(once.event_at(i, SOURCES).patient, 3) for i in range(len(once))} <= {shard}
    accepted = {int(o): c.event_at(i, SOURCES) for c in shards.values() for i, o in enumerate(c.offset)}
    assert accepted == {2 * i: e for i, (_, e, _) in enumerate(found) if e is not None and not isinstance(e, Heartbeat)}
    opened = [open_rejected(record, SECRET) for record in rejected]
    expected = [(i, value, reason) for i, (value, _, reason) in enumerate(found) if reason is not None]
    assert [(r.reason, original) for r, original in opened] == [(reason, value) for _, value, reason in expected]
    assert [r.position for r, _ in opened] == [
        f"hospital.source:4:{2 * i}" if i % 2 else f"ehr.csv:{i}" for i, _, _ in expected
    ]
    assert {r.source for r, _ in opened} == {"", "ehr", "nobody"}
    assert header.accepted == len(accepted)
    assert sum(header.refused.values()) == len(expected)


def test_a_start_from_any_header_goes_on_as_if_nothing_had_happened():
    found = story(9)
    end, _, _ = run(rekeyer(), polled(found), seed=1)
    middle = rekeyer().step(beginning(4), polled(found)[:100]).header
    again, _, _ = run(rekeyer(), polled(found, 100), middle, seed=5)
    assert again.model_copy(update={"first": end.first}) == end
    with pytest.raises(StreamsError, match="came again"):
        rekeyer().step(middle, polled(found, 99))


def test_a_stretch_too_large_for_a_message_is_cut(monkeypatch):
    found = story(3)
    whole = rekeyer(1).step(beginning(4), polled(found))
    monkeypatch.setattr(rekeying, "MAX_BYTES", 8_000)
    parts = rekeyer(1).step(beginning(4), polled(found))
    columns = [EventColumns.from_bytes(message) for message in parts.sharded[0]]
    assert len(columns) > 2
    assert max(map(len, parts.sharded[0])) <= 8_000
    assert [c.header.first for c in columns[1:]] == [c.header.next for c in columns[:-1]]
    assert EventColumns.concat(columns, whole.header).to_bytes() == whole.sharded[0][0]
    assert (parts.accepted, parts.refused, len(parts.rejected)) == (whole.accepted, whole.refused, len(whole.rejected))


class Polled:
    topic = "hospital.source"

    def __init__(self, polls):
        self.polls, self.sought = polls, []

    async def seek(self, partition, offset):
        self.sought.append((partition, offset))

    async def poll(self, _seconds, _most):
        return self.polls.pop(0)


class Kept:
    def __init__(self):
        self.sent = []

    async def send(self, topic, partition, records):
        self.sent += [(topic, partition, key, value) for key, value in records]


async def test_the_stage_reads_its_partitions_to_their_ends():
    final = [(encode(Heartbeat(source=s)), None, None) for s in SOURCES]
    claim = ClaimEvent(**common(1, "c", 3, 4), payload=Claim(care_type="gp", cents=1))
    first = [(encode(encounter(1, "a", 3, 4)), None, None), (encode(claim), None, None), *final]
    second = [(encode(withdrawal(2, "b", 3, 4)), None, None), *final]
    records = [[SimpleNamespace(partition=p, offset=5 + i, timestamp=0, key=None, value=v) for i, (v, _, _) in enumerate(f)]
               for p, f in enumerate((first, second))]
    consumer, producer, counts, told = Polled([records[0][:2] + records[1], records[0][2:]]), Kept(), Counts(read=3), []
    starts = {p: beginning(p).model_copy(update={"first": 5, "next": 5}) for p in (0, 1)}
    await rekey(
        rekeyer(2), TAGS, "hospital", "small", starts, consumer, producer, counts, lambda *state: told.append(state), Pulse(5.0),
    )
    assert consumer.sought == [(0, 5), (1, 5)]
    assert (dict(counts.rejected), consumer.polls) == ({Reason.UNKNOWN_CODE: 1}, [])
    assert told == [("ingest", 3, 3), ("ingest", 3, 3)]
    sharded = [(p, EventColumns.from_bytes(v[:-TAG_BYTES]).header) for t, p, _, v in producer.sent if t == "hospital.small.sharded"]
    assert sorted((p, h.partition, h.first, h.next) for p, h in sharded) == sorted(
        (shard, *stretch) for shard in (0, 1) for stretch in ((0, 5, 7), (1, 5, 8), (0, 7, 9))
    )
    assert [t for t, *_ in producer.sent if t == "hospital.rejected"] == ["hospital.rejected"]
    assert sharded[-1][1].watermark == ENDED


async def test_a_broker_that_goes_while_it_is_read_and_written_is_told_once():
    """A read, and one of the sends that run beside it, fail at the same moment: of the second error nobody hears."""
    gone = asyncio.Event()

    class Gone(Polled):
        async def poll(self, _seconds, most):
            if self.polls:
                return await super().poll(_seconds, most)
            await asyncio.sleep(0.01)
            asyncio.get_running_loop().call_soon(gone.set)
            await gone.wait()
            raise BrokerError("reading failed")

    class Refusing:
        async def send(self, _topic, partition, _records):
            await (gone if partition == 0 else asyncio.Event()).wait()
            raise BrokerError("sending failed")

    left = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context["message"]))
    record = SimpleNamespace(partition=0, offset=0, timestamp=0, key=None, value=encode(encounter(1, "a", 3, 4)))
    consumer = Gone([[record]])
    with pytest.raises(BrokerError, match="reading failed"):
        await rekey(
            rekeyer(2), TAGS, "hospital", "small", {0: beginning(0)}, consumer, Refusing(), Counts(), lambda *_: None, Pulse(5.0),
        )
    await asyncio.sleep(0.01)
    gc.collect()
    assert left == []


def test_lines_that_stand_there_twice_are_passed_over_the_second_time():
    """Two workers replay for a moment: each line in order, those of one between those of the other."""
    events = [encode(encounter(1, f"e{i}", 3, 4)) for i in range(8)]

    def lines(numbers):
        return [SimpleNamespace(partition=0, offset=i, timestamp=0, key=numbered(n, b"mark", b"f:%d:1:1" % n) if n else b"own",
                                value=events[n]) for i, n in enumerate(numbers)]

    once, twice = lines([1, 2, 0, 3, 4, 5]), lines([1, 2, 0, 1, 3, 2, 3, 4, 5, 4, 5])
    whole = rekeyer(1).step(beginning(0), once)
    for cut in range(1, len(twice)):
        first = rekeyer(1).step(beginning(0), twice[:cut])
        second = rekeyer(1).step(first.header, twice[cut:])
        assert second.header.line == 5
        assert first.accepted + second.accepted == whole.accepted == 6
        found = [EventColumns.from_bytes(value) for step in (first, second) for value in step.sharded[0]]
        assert [e.tobytes() for c in found for e in c.event] == [
            e.tobytes() for e in EventColumns.from_bytes(whole.sharded[0][0]).event
        ]
        assert (found[-1].header.next, found[-1].header.marks) == (len(twice), whole.header.marks)
