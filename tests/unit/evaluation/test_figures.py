"""Stands of a party's workers: how often they are said, to whom, and what is believed."""

from datetime import UTC, date, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluation.errors import Tampered
from evaluation.figures import (
    MAX_STAND_BYTES,
    MAX_WORKERS,
    SEALED_SECONDS,
    STAND_SECONDS,
    Reporter,
    Stands,
    Told,
    open_stand,
    seal_stand,
)
from evaluation.records import Events, PanesSealed, open_record, seal_record
from evaluation.schedule import Timetable
from streams.figures import MAX_SOURCES, PartitionStand, ShardStand, SourceStand, Stand
from tests.support.parties import BATCH_KEY, keyed_terms

KEY = Ed25519PrivateKey.from_private_bytes(BATCH_KEY)
NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def terms():
    return keyed_terms(shards=2)


class World:
    """A clock that a test moves, and what was sent."""

    def __init__(self, terms, worker="a"):
        self.terms, self.now, self.sent = terms, 0.0, []
        self.reporter = Reporter(terms, "insurer", worker, KEY, self, lambda: self.now)

    async def send(self, topic, partition, records):
        self.sent += [(topic, key, value) for key, value in records]
        return len(records)

    async def tell(self, sealed=(3, 4), **more):
        shards = [ShardStand(shard=i, sealed=s, late=1) for i, s in enumerate(sealed)]
        await self.reporter.tell([PartitionStand(partition=0, rejected=1)], shards, **more)

    def stands(self):
        return [open_stand(value, self.terms, "insurer") for topic, _, value in self.sent if topic == "insurer.small.figures"]

    def records(self):
        return [open_record(value, self.terms) for topic, _, value in self.sent if topic == "runs"]


async def test_a_worker_says_how_it_stands_at_a_bounded_rate(terms):
    world = World(terms)
    steps = int(600 / 0.5)
    for step in range(steps):
        world.now = step * 0.5
        await world.tell(sealed=(step, step))
    seconds = steps * 0.5
    assert len(world.stands()) == seconds / STAND_SECONDS
    assert len(world.records()) == seconds / SEALED_SECONDS
    assert {key for topic, key, _ in world.sent if topic != "runs"} == {b"a"}


async def test_its_last_word_is_said_at_once(terms):
    world = World(terms)
    await world.tell()
    assert not world.reporter.due
    await world.tell(sealed=(5, 5), last=True)
    assert [s.last for s in world.stands()] == [False, True]
    assert [r.sealed for r in world.records()] == [{0: 3, 1: 4}, {0: 5, 1: 5}]


async def test_everybody_hears_of_sealed_panes_only_and_only_when_there_are_more(terms):
    world = World(terms)
    for step in range(4):
        world.now = step * SEALED_SECONDS
        await world.tell(sealed=(3, None) if step < 2 else (3, 1))
    assert [r.sealed for r in world.records()] == [{0: 3}, {0: 3, 1: 1}]
    assert set(PanesSealed.model_fields) == {"agreement", "kind", "party", "sealed"}
    nothing = World(terms)
    await nothing.tell(sealed=(None, None))
    assert nothing.records() == []


def told(terms, party="insurer", worker="a", at=NOW, sealed=3, **more):
    stand = Stand(worker=worker, at=at, shards=(ShardStand(shard=0, sealed=sealed),), **more)
    return Told(agreement=terms.hash, party=party, stand=stand)


def test_stands_of_all_workers_become_figures(terms):
    book = Stands(terms, "insurer")
    book.add(seal_stand(told(terms), KEY), NOW)
    other = Stand(worker="b", at=NOW, shards=(ShardStand(shard=1, sealed=5, late=0),), partitions=(PartitionStand(partition=1, end=3, position=1),))
    book.add(seal_stand(Told(agreement=terms.hash, party="insurer", stand=other), KEY), NOW)
    found = book.figures(NOW)
    assert [s.sealed_until for s in found.shards] == [date(2024, 1, 22), date(2024, 2, 5)]
    assert (found.sealed_until, found.late, found.source_lag_messages) == (date(2024, 1, 22), None, None)
    assert [p.lag_messages for p in found.partitions] == [None, 2]
    book.add(seal_stand(told(terms, at=NOW + timedelta(seconds=1), sealed=6), KEY), NOW)
    book.add(seal_stand(told(terms, at=NOW - timedelta(seconds=1), sealed=1), KEY), NOW)
    assert book.figures(NOW).sealed_until == date(2024, 2, 5)


def test_a_word_from_a_clock_that_was_ahead_does_not_stay_the_last_one(terms):
    book = Stands(terms, "insurer")
    with pytest.raises(Tampered, match="worker a of 2099-01-01 00:00:00, which is still to come"):
        book.add(seal_stand(told(terms, at=datetime(2099, 1, 1, tzinfo=UTC), sealed=9), KEY), NOW)
    book.add(seal_stand(told(terms, sealed=2), KEY), NOW)
    found = book.figures(NOW + timedelta(hours=1))
    assert (found.shards[0].sealed_until, found.shards[0].stale) == (date(2024, 1, 15), True)


def test_more_workers_than_anybody_has_do_not_fill_the_memory(terms):
    book = Stands(terms, "insurer")
    for number in range(MAX_WORKERS + 3):
        book.add(seal_stand(told(terms, worker=f"w{number}", at=NOW + timedelta(seconds=number), sealed=number % 12), KEY), NOW + timedelta(hours=1))
    assert len(book._last) == MAX_WORKERS
    assert "w2" not in book._last
    assert f"w{MAX_WORKERS + 2}" in book._last


@pytest.mark.parametrize(("change", "found"), [
    (lambda m, t: m[:64], "64 bytes, expected 65"), (lambda m, t: m + b" " * MAX_STAND_BYTES, "expected 65 to"),
    (lambda m, t: bytes(64) + m[64:], "insurer did not sign"), (lambda m, t: m[:-1] + b" ", "insurer did not sign"),
    (lambda m, t: seal_stand(told(t), Ed25519PrivateKey.generate()), "insurer did not sign"),
    (lambda m, t: seal_stand(told(t, party="hospital"), KEY), "a stand of hospital under"),
    (lambda m, t: seal_stand(told(t).model_copy(update={"agreement": "ab" * 32}), KEY), "expected insurer under"),
    (lambda m, t: KEY.sign(b"winnow-stand\0{}") + b"{}", "not a stand"),
    (lambda m, t: seal_record(Events(agreement=t.hash, party="insurer", final=True, read=0, accepted=0, rejected={}, late_pending=0), KEY),
     "insurer did not sign"),
])
def test_what_the_party_did_not_say_is_ignored(terms, change, found):
    message = change(seal_stand(told(terms), KEY), terms)
    with pytest.raises(Tampered, match=found):
        Stands(terms, "insurer").add(message, NOW)


def test_a_stand_and_a_record_are_not_taken_for_each_other(terms):
    with pytest.raises(Tampered):
        open_record(seal_stand(told(terms), KEY), terms)


def test_the_largest_stand_of_a_usual_party_is_far_below_the_limit(terms):
    source = SourceStand(source="s" * 40, watermark=NOW, heard=NOW)
    whole = Stand(worker="w" * 100, at=NOW, partitions=tuple(
        PartitionStand(partition=i, end=2**52, position=2**52, rejected=2**52, sources=(source,) * 8) for i in range(64)
    ), shards=tuple(ShardStand(shard=i, end=2**52, position=2**52, watermark=NOW, sealed=5_000, late=2**52) for i in range(64)))
    assert len(seal_stand(Told(agreement=terms.hash, party="insurer", stand=whole), KEY)) < MAX_STAND_BYTES / 8
    with pytest.raises(ValueError, match="sources"):
        PartitionStand(partition=0, sources=(source,) * (MAX_SOURCES + 1))


def test_the_schedule_knows_until_when_each_party_is_sealed(terms):
    table = Timetable(terms)

    def say(party, sealed):
        table.add(open_record(seal_record(PanesSealed(agreement=terms.hash, party=party, sealed=sealed), KEY), terms))

    assert table.sealed_until() == {"hospital": None, "insurer": None, "statistics": None}
    say("hospital", {0: 3})
    say("insurer", {0: 2, 1: 12})
    assert table.sealed_until() == {"hospital": None, "insurer": date(2024, 1, 15), "statistics": None}
    say("hospital", {1: 0})
    say("insurer", {0: 1})  # of a worker that was replaced
    say("insurer", {0: 5_000, 63: 1})
    assert table.sealed_until() == {"hospital": date(2024, 1, 1), "insurer": date(2024, 3, 25), "statistics": None}


@pytest.mark.parametrize("sealed", [{}, {64: 1}, {-1: 1}, {0: -1}, {0: 5_001}])
def test_sealed_panes_that_no_agreement_has_are_no_record(terms, sealed):
    body = f'{{"agreement": "{terms.hash}", "kind": "sealed", "party": "insurer", "sealed": {str({str(k): v for k, v in sealed.items()}).replace(chr(39), chr(34))}}}'.encode()
    with pytest.raises(Tampered, match="not a record"):
        open_record(KEY.sign(b"winnow-record\0" + body) + body, terms)
