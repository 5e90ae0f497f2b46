"""Somebody may write to a party's own topics and read them, without its keys: what is shared stays the party's own."""

import json
from dataclasses import dataclass, field
from itertools import count
from random import Random
from types import SimpleNamespace

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from streams import sparing, topics
from streams.batch import open_snapshot, snapshot
from streams.columns import EventColumns, Header
from streams.erasure import LIST_KEY
from streams.errors import SupersededError
from streams.flow import Counts, Pulse
from streams.owner import CLAIM_KEY, Owner
from streams.pseudonym import Pseudonyms
from streams.shard import Shard
from streams.share import share
from streams.snapshots import BLOCK_KEY, END_KEY, PaneStage
from streams.tags import TAG_BYTES, Tags
from tests.support.parties import LINK_SECRET, SHARING_KEY
from tests.support.pipelines import PARTIES
from tests.support.schedules import Evaluation, schedules_cohort, schedules_expected, terms
from tests.support.world import SimulatedProcess, World
from tests.unit.streams.test_resend import BATCHES, NAMES, PANES_TOPIC, SHARER, TAGS, TERMS, Place, content, header

OFTEN = 0.2
OTHER = Tags(b"X" * 32, TERMS.hash)
"""The attacker's: right in form, under a key of its own."""


@dataclass(kw_only=True)
class Attacked(World):
    """Between operations somebody writes to the parties' own topics."""

    planted: dict = field(default_factory=dict)
    """What → how often."""

    async def operation(self, process, batch=None):
        if self.rng.random() < OFTEN:
            self.plant()
        await super().operation(process, batch)

    def plant(self):
        draft, party = terms().draft, self.rng.choice(PARTIES)
        name = self.rng.choice([topics.sharded, topics.panes, topics.owner])(party, draft.name)
        partition = 0 if name.endswith("owner") else self.rng.randrange(draft.shards)
        theirs = [r for (topic, _), log in sorted(self.logs.items()) for r in log if topic.startswith(f"{party}.quick")]
        what = self.rng.choice(["junk", "end", "copied", "untagged", "resigned", "changed"])
        if what in ("junk", "end") or not theirs:
            key, value = (END_KEY, b"") if what == "end" else (BLOCK_KEY, self.rng.randbytes(self.rng.randrange(60)))
        else:
            # Every second one of what was said last: it is new to whoever reads.
            record = self.rng.choice(theirs[-3:] if self.rng.random() < 0.5 else theirs)
            key, value = record.key, record.value
            body = value[:-TAG_BYTES]
            value = {
                "copied": value, "untagged": body, "resigned": OTHER.put(name, partition, key, body),
                "changed": value[:-TAG_BYTES - 1] + bytes([value[-TAG_BYTES - 1] ^ 1]) + value[-TAG_BYTES:]
                if len(value) > TAG_BYTES else value,
            }[what]
        self.planted[what] = self.planted.get(what, 0) + 1
        log = self.log(name, partition)
        log.append(SimpleNamespace(topic=name, partition=partition, offset=len(log), key=key, value=value, timestamp=0))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = schedules_cohort(tmp_path_factory.mktemp("cohort"))
    return folder, schedules_expected(folder)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_planted_the_same_comes_out(cohort, tmp_path, seed):
    data, expected = cohort
    world = Attacked(rng=Random(seed), incidents=[])
    with structlog.testing.capture_logs() as said:
        await Evaluation(data, tmp_path, world).end_as(expected)
    assert min(world.planted.values()) > 10
    assert len(world.planted) == 6
    incidents = {line["topic"].split(".")[-1] for line in said if line["event"].startswith("records passed over")}
    assert incidents == {"sharded", "panes", "owner"}


def record(topic, partition, key, value, offset=0):
    return SimpleNamespace(topic=topic, partition=partition, key=key, value=value, offset=offset, timestamp=0)


def test_a_record_is_true_at_its_own_place_only():
    value = TAGS.put(PANES_TOPIC, 1, BLOCK_KEY, b"what it says")
    assert TAGS.take(PANES_TOPIC, record(PANES_TOPIC, 1, BLOCK_KEY, value)) == b"what it says"
    for topic, partition, key, what, tags in (
        (PANES_TOPIC, 0, BLOCK_KEY, value, TAGS), ("insurer.other.panes", 1, BLOCK_KEY, value, TAGS),
        ("insurer.small.sharded", 1, BLOCK_KEY, value, TAGS), (PANES_TOPIC, 1, END_KEY, value, TAGS),
        (PANES_TOPIC, 1, None, value, TAGS), (PANES_TOPIC, 1, b"", b"block" + value, TAGS),
        (PANES_TOPIC, 1, BLOCK_KEY, value[:-1], TAGS), (PANES_TOPIC, 1, BLOCK_KEY, b"W" + value[1:], TAGS),
        (PANES_TOPIC, 1, BLOCK_KEY, b"", TAGS), (PANES_TOPIC, 1, BLOCK_KEY, value, OTHER),
        (PANES_TOPIC, 1, BLOCK_KEY, value, Tags(SHARING_KEY, "ab" * 32)),
    ):
        assert tags.take(topic, record(topic, partition, key, what)) is None
    assert TAGS.put(PANES_TOPIC, 1, None, b"x") != TAGS.put(PANES_TOPIC, 1, b"", b"x")


def test_a_flood_is_counted_and_does_not_fill_the_log(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(sparing.time, "monotonic", lambda: now[0])
    tags = Tags(SHARING_KEY, TERMS.hash)
    with structlog.testing.capture_logs() as said:
        for offset in range(500):
            tags.report(PANES_TOPIC, record(PANES_TOPIC, 0, None, b"", offset))
        tags.report("insurer.small.sharded", record("insurer.small.sharded", 0, None, b""))
        now[0] += sparing.TELL_SECONDS
        tags.report(PANES_TOPIC, record(PANES_TOPIC, 0, None, b"", 500))
    assert [(line["topic"], line["offset"], line["records"]) for line in said] == [
        (PANES_TOPIC, 0, 1), ("insurer.small.sharded", 0, 1), (PANES_TOPIC, 500, 500),
    ]


async def test_a_planted_end_or_snapshot_is_not_shared_and_is_counted(monkeypatch):
    place = Place(monkeypatch)
    log, more = place.world.log(PANES_TOPIC, 0), place.world.log(PANES_TOPIC, 1)
    more[:] = [r for r in more if r.key != LIST_KEY]
    head = header((0, 0, 2, 0))
    other = snapshot(head, content(head) + 1)
    true = [r for r in log if r.key == BLOCK_KEY]
    log[:] = []
    for key, value in (
        (END_KEY, b""), (END_KEY, OTHER.put(PANES_TOPIC, 0, END_KEY, b"")), (BLOCK_KEY, b"no snapshot"),
        (BLOCK_KEY, OTHER.put(PANES_TOPIC, 0, BLOCK_KEY, other)), *((r.key, r.value) for r in true),
        (BLOCK_KEY, other), (END_KEY, TAGS.put(PANES_TOPIC, 0, END_KEY, b"")),
    ):
        place.put(PANES_TOPIC, 0, value, key)
    process, shards = SimulatedProcess("insurer", place.world), [SimpleNamespace(shared=0, foreign=0) for _ in range(2)]
    await share(
        TERMS, SHARER, TAGS, shards, process.consumer(None, PANES_TOPIC, [0, 1]), process.producer(None),
        lambda *_: None, Pulse(5.0),
    )
    names, batches = place.sent(1)
    assert sorted(names) == sorted(NAMES)
    assert all((b.header, b.commitments) == (BATCHES[b.header.key[1:]].header, BATCHES[b.header.key[1:]].commitments)
               for b in batches)
    assert [shard.foreign for shard in shards] == [5, 0]


async def test_what_was_planted_among_events_is_counted_and_the_count_outlives_the_worker():
    names, draft = Pseudonyms(LINK_SECRET, SHARING_KEY), terms().draft
    process, log = SimulatedProcess("insurer", World(rng=Random(1), incidents=[], hides=0.0, repeats=0.0)), "insurer.quick.sharded"

    def new():
        return Shard(draft, "insurer", 0, bytes(32), draft.shards)

    shard, tags = new(), Tags(SHARING_KEY, terms().hash)
    stage = PaneStage(draft, terms().hash, "insurer", tags, [shard], names.link_key, X25519PrivateKey.generate().public_key())
    stretch = EventColumns.from_events([], [], [], Header(partition=0, first=0, next=5)).to_bytes()
    await process.producer(None).send(log, 0, [
        (None, stretch), (None, tags.put(log, 1, None, stretch)), (None, tags.put(log, 0, None, stretch)), (None, b"junk"),
    ])
    await stage.catch_up(process.consumer(None, log, [0]), process.producer(None), Counts(), Pulse(5.0))
    assert (shard.position, shard.foreign, shard.seen[0].next) == (4, 3, 5)
    again = new()
    again.load(b"K" * 32, shard.dump(b"K" * 32))
    assert (again.position, again.foreign, again.seen[0].next) == (4, 3, 5)


async def test_what_was_planted_is_not_sent_again(monkeypatch):
    """Even where the true one has left the topic."""
    place, name = Place(monkeypatch), (0, 0, 2, 0)
    log, head = place.world.log(PANES_TOPIC, 0), header(name)
    log[:] = [r for r in log if r.key != BLOCK_KEY or open_snapshot(r.value[:-TAG_BYTES])[0].key[1:] != name]
    planted = snapshot(head, content(head) + 1)
    for value in (planted, OTHER.put(PANES_TOPIC, 0, BLOCK_KEY, planted), TAGS.put(PANES_TOPIC, 1, BLOCK_KEY, planted)):
        log.insert(0, record(PANES_TOPIC, 0, BLOCK_KEY, value))
    await place.ask(1, name, (0, 0, 1, 0))
    assert place.sent(1)[0] == [(0, 0, 1, 0)]
    assert place.resender.gone == {0: 1}


async def test_an_owner_stays_whatever_claims_are_planted():
    world = World(rng=Random(3), incidents=[], hides=0.0, repeats=0.0)
    process, topic = SimulatedProcess("insurer", world), topics.owner("insurer", "small")
    producer = process.producer(None)

    def owner():
        return Owner(process.consumer(None, topic, [0]), "insurer", TAGS)

    first, second = owner(), owner()
    await first.claim(producer)
    await second.claim(producer)
    copied = [r.value for r in world.log(topic, 0)]
    claim = json.dumps({"token": "a" * 32, "number": 9}).encode()
    for value in (claim, OTHER.put(topic, 0, CLAIM_KEY, claim), *copied, *copied):
        await producer.send(topic, 0, [(CLAIM_KEY, value)])
    second._take(world.log(topic, 0))
    with pytest.raises(SupersededError):
        first._take(world.log(topic, 0))
    third = owner()
    await third.claim(producer)
    await producer.send(topic, 0, [(CLAIM_KEY, value) for value in copied])
    third._take(world.log(topic, 0))
    with pytest.raises(SupersededError):
        second._take(world.log(topic, 0))


async def test_claims_at_the_same_moment_leave_one_owner_also_when_one_is_copied():
    world = World(rng=Random(3), incidents=[], hides=0.0, repeats=0.0)
    process, topic = SimulatedProcess("insurer", world), topics.owner("insurer", "small")
    slow, producer = Owner(process.consumer(None, topic, [0]), "insurer", TAGS), process.producer(None)

    class Late:
        """Before our claim is stored others have come and gone."""

        async def send(self, *what):
            if not world.log(topic, 0):
                for _ in range(3):
                    await Owner(process.consumer(None, topic, [0]), "insurer", TAGS).claim(producer)
            return await producer.send(*what)

    assert await slow.claim(Late()) == 4, "the second claim is the highest"
    await producer.send(topic, 0, [(CLAIM_KEY, r.value) for r in world.log(topic, 0)])
    slow._take(world.log(topic, 0))


async def test_a_claim_that_was_compacted_away_is_still_an_old_one(monkeypatch):
    """The topic keeps one record of a key: what is planted takes true claims away. Workers begin seconds apart."""
    seconds = count(1_700_000_000)
    monkeypatch.setattr("streams.owner.time.time_ns", lambda: next(seconds) * 10**9)
    world = World(rng=Random(3), incidents=[], hides=0.0, repeats=0.0)
    process, topic = SimulatedProcess("insurer", world), topics.owner("insurer", "small")
    producer = process.producer(None)
    owners = [Owner(process.consumer(None, topic, [0]), "insurer", TAGS) for _ in range(4)]
    for owner in owners[:3]:
        await owner.claim(producer)
    copied = [r.value for r in world.log(topic, 0)]
    await producer.send(topic, 0, [(CLAIM_KEY, b"junk")])
    world.log(topic, 0)[:3] = [record(topic, 0, b"other", b"", offset) for offset in range(3)]
    await owners[3].claim(producer)
    with pytest.raises(SupersededError):
        owners[2]._take(world.log(topic, 0))
    await producer.send(topic, 0, [(CLAIM_KEY, value) for value in copied])
    owners[3]._take(world.log(topic, 0))
