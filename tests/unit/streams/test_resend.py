"""What a node misses, how it says so, and what a party sends again."""

import asyncio
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from streams import holding, resend
from streams import word as word_module
from streams.batch import BatchHeader, party_columns, snapshot
from streams.erasure import LIST_KEY, ErasureList
from streams.errors import BatchError
from streams.holding import MOST_ASKED, Holding, Patience, open_holding, seal_holding
from streams.inbox import Opener
from streams.resend import MOST_TIMES, Resender
from streams.share import Sharer
from streams.snapshots import BLOCK_KEY, END_KEY
from streams.store import ShareStore
from streams.tags import Tags
from streams.word import REPEAT_SECONDS, PartyWord
from tests.support.parties import BATCH_KEY, NODE_KEYS, SHARING_KEY, keyed_terms
from tests.support.world import SimulatedProcess, World

RECORD_KEYS = [Ed25519PrivateKey.generate() for _ in range(3)]
_MADE = keyed_terms(
    shards=2, maturities={"days": [30], "release": "maturity"},
    erasure={"every_panes": 2, "batch_slots": 4, "within_days": 10},
)
TERMS = _MADE.model_copy(update={"nodes": tuple(
    n.model_copy(update={"record_key": k.public_key().public_bytes_raw().hex()})
    for n, k in zip(_MADE.nodes, RECORD_KEYS, strict=True)
)})
PANES_TOPIC, TAGS = "insurer.small.panes", Tags(SHARING_KEY, TERMS.hash)
SHARER = Sharer(TERMS, SHARING_KEY, Ed25519PrivateKey.from_private_bytes(BATCH_KEY))
OPENERS = [Opener(TERMS, n, X25519PrivateKey.from_private_bytes(k)) for n, k in enumerate(NODE_KEYS)]
BLOCKS, PANES, LISTS = 2, 3, 3
NAMES = [
    (shard, block, pane, revision) for shard in range(2) for block in range(BLOCKS)
    for pane in range(-1, PANES) for revision in range(1 if pane < 0 else 2)
]


def header(name, party="insurer"):
    shard, block, pane, revision = name
    register = pane < 0
    return BatchHeader(
        agreement=TERMS.hash, epoch=0, party=party, shard=shard, block=block,
        kind="register" if register else "pane", pane=pane, revision=revision,
        columns=("link",) if register else party_columns(TERMS.draft, party), slots=64,
        blocks=BLOCKS if register else None,
    )


def content(head):
    return np.random.default_rng(abs(hash(head.key))).integers(0, 2**64, head.shape, dtype=np.uint64)


def batch(node, name, party="insurer"):
    head = header(name, party)
    return OPENERS[node].open(SHARER.messages(head, content(head))[node], head.shard)


BATCHES = {name: batch(1, name) for name in NAMES}


@pytest.mark.parametrize("seed", range(12))
def test_a_node_misses_what_others_of_its_pane_or_later_ones_are_here_of(tmp_path, seed):
    rng = Random(seed)
    here = {name for name in NAMES if rng.random() < rng.choice([0.3, 0.8, 0.97])}
    store = ShareStore(tmp_path / "store", TERMS, 1)
    store.add([BATCHES[name] for name in here])
    if not here:
        assert store.missing("insurer", 99) == []
    last = {r: max((n[2] for n in here if n[3] == r), default=None) for r in range(2)}
    expected = set()
    for shard in range(2):
        if here and not any(n[0] == shard and n[2] < 0 for n in here):
            expected.add((shard, 0, -1, 0))
        elif here:
            expected |= {
                n for n in NAMES if n[0] == shard and n not in here
                and (n[2] < 0 or (last[n[3]] is not None and n[2] <= last[n[3]]))
            }
    again = ShareStore(tmp_path / "store", TERMS, 1)
    for found in (store, again):
        assert set(found.missing("insurer", 99)) == expected
        assert found.held("insurer") == len(here)
        assert found.missing("hospital", 99) == []
    assert len(store.missing("insurer", 2)) == min(2, len(expected))


def test_other_parties_panes_make_nothing_missed(tmp_path):
    """Parties have their own grace: one may be weeks ahead."""
    store = ShareStore(tmp_path / "store", TERMS, 1)
    store.add([BATCHES[0, 0, -1, 0], batch(1, (0, 0, 2, 0), "hospital")])
    assert set(store.missing("insurer", 99)) == {(0, 1, -1, 0), (1, 0, -1, 0)}


def word(node=0, **changes):
    return Holding(**{"agreement": TERMS.hash, "party": "insurer", "node": node, "held": 3, **changes})


@pytest.mark.parametrize(("message", "said"), [
    (seal_holding(word(), RECORD_KEYS[1]), "not signed by it"),
    (seal_holding(word(node=1), RECORD_KEYS[0]), "not signed by it"),
    (seal_holding(word(party="hospital"), RECORD_KEYS[0]), "expected to insurer"),
    (seal_holding(word(agreement="0" * 64), RECORD_KEYS[0]), "under 0000"),
    (b"", "of 0 bytes"), (b"x" * 64, "of 64 bytes"), (b"x" * 65, "none or not signed"), (b"x" * 70_000, "of 70000 bytes"),
    (b"s" * 64 + b'{"node": 7}', "none or not signed"),
])
def test_a_word_that_is_not_a_nodes_to_this_party_is_refused(message, said):
    with pytest.raises(BatchError, match=said):
        open_holding(message, TERMS, "insurer")
    good = word(missing=((0, 1, -1, 0), (1, 0, 2, 1)))
    assert open_holding(seal_holding(good, RECORD_KEYS[0]), TERMS, "insurer") == good


@pytest.mark.parametrize("missing", [
    [(0, 0, 0, 0)] * (MOST_ASKED + 1), [(-1, 0, 0, 0)], [(0, 0, -2, 0)], [(0, 0, 0)], [(0, 4_096, 0, 0)], [(0, 0, 5_000, 0)],
])
def test_a_word_asks_for_so_much_at_most(missing):
    with pytest.raises(ValueError, match="missing"):
        word(missing=missing)


def test_what_is_under_way_is_not_asked_for(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(holding.time, "monotonic", lambda: now[0])
    waits = Patience()
    assert waits.overdue([(0, 0, 1, 0)]) == ()
    now[0] += 29
    assert waits.overdue([(0, 0, 1, 0), (0, 0, 0, 0)]) == ()
    now[0] += 1
    assert waits.overdue([(0, 0, 1, 0), (0, 0, 0, 0)]) == ((0, 0, 1, 0),)
    assert waits.overdue([]) == ()
    assert waits.overdue([(0, 0, 1, 0)]) == (), "it came, and is missed anew"
    now[0] += 31
    many = [(0, b, 0, 0) for b in range(MOST_ASKED + 9)]
    waits.overdue(many)
    now[0] += 30
    assert waits.overdue(many) == tuple(many[:MOST_ASKED])


def erasure(shard, number):
    slots = tuple(4 * number + place for place in range(4))
    return ErasureList(agreement=TERMS.hash, party="insurer", shard=shard, number=number, boundary=2, slots=slots)


LISTED, LONG = 1_000_000, 30_000
"""When lists came to the panes topic, and how long after that they are missed; ms."""


class Place:
    """A party's topics and what its worker knows."""

    def __init__(self, monkeypatch, shared=None):
        self.world = World(rng=Random(1), incidents=[], hides=0.0, repeats=0.0)
        process = SimulatedProcess("insurer", self.world)
        monkeypatch.setattr(resend, "Consumer", process.consumer)
        self.now = [1000.0]
        monkeypatch.setattr(resend.time, "monotonic", lambda: self.now[0])
        # No time passes while one waits for more words.
        monkeypatch.setattr(resend, "SETTLE_SECONDS", 0.0)
        for name in NAMES:
            head = header(name)
            self.put_own(name[0], snapshot(head, content(head)), BLOCK_KEY)
        for shard in range(2):
            for number in range(LISTS):
                self.put_own(shard, erasure(shard, number).canonical, LIST_KEY, LISTED)
            self.put_own(shard, b"", END_KEY)
        size = len(NAMES)
        shards = [SimpleNamespace(shared=size if shared is None else shared, panes=SimpleNamespace(
            has_sealed=lambda pane, revision: pane < PANES, register=SimpleNamespace(blocks=BLOCKS),
            withdrawn=SimpleNamespace(made=LISTS),
        )) for _ in range(2)]
        self.told = []
        self.resender = Resender(
            None, TERMS, "insurer", shards, SHARER, TAGS, process.consumer(None, "insurer.small.holdings", [0]),
            process.producer(None), self.told.append,
        )

    def put_own(self, shard, value, key, timestamp=0):
        self.put(PANES_TOPIC, shard, TAGS.put(PANES_TOPIC, shard, key, value), key, timestamp)

    def put(self, topic, partition, value, key=b"k", timestamp=0):
        log = self.world.log(topic, partition)
        log.append(SimpleNamespace(topic=topic, partition=partition, offset=len(log), key=key, value=value, timestamp=timestamp))

    async def ask(self, node, *names, key=None, at=LISTED + LONG, **changes):
        self.put("insurer.small.holdings", 0, seal_holding(
            word(node, missing=names, **changes), RECORD_KEYS[node] if key is None else key
        ), timestamp=at)
        await self.resender.settle()

    def sent(self, node):
        found = [OPENERS[node].open(m, s) for s in range(2)
                 for m in [r.value for r in self.world.log(f"node-{node}.small.inbox", s)]]
        return [b.header.key[1:] for b in found], found

    def lists(self, node):
        return [OPENERS[node].open_list(r.value, s) for s in range(2) for r in self.world.log(f"node-{node}.small.inbox", s)]


async def test_a_party_sends_the_same_batches_again_to_whom_asked(monkeypatch):
    place = Place(monkeypatch)
    await place.ask(1, (0, 1, 2, 1), (1, 0, -1, 0))
    await place.ask(2, (0, 1, 2, 1))
    names, batches = place.sent(1)
    assert sorted(names) == [(0, 1, 2, 1), (1, 0, -1, 0)]
    for again in batches:
        first = BATCHES[again.header.key[1:]]
        assert again.header == first.header
        assert again.commitments == first.commitments
        for component, values in first.components.items():
            np.testing.assert_array_equal(again.components[component], values)
    assert (place.sent(0)[0], place.sent(2)[0]) == ([], [(0, 1, 2, 1)])
    assert place.told == [2, 3]


async def test_what_was_not_shared_yet_or_never_was_is_not_sent(monkeypatch):
    place = Place(monkeypatch, shared=1)
    await place.ask(0, *NAMES, (7, 0, 0, 0), (0, 9, 0, 0), (0, 0, 11, 0), (0, 0, 4_000, 0), (0, 0, 0, 12))
    first = [next(name for name in NAMES if name[0] == shard) for shard in range(2)]
    assert sorted(place.sent(0)[0]) == first
    await place.ask(1, (0, 0, 0, 0), key=RECORD_KEYS[2])
    await place.ask(1, (0, 0, -1, 0), party="hospital")
    assert place.sent(1)[0] == []


async def test_a_node_cannot_have_a_party_send_without_end(monkeypatch):
    place, name = Place(monkeypatch), (0, 0, 0, 0)
    for _ in range(3):
        await place.ask(1, name)
    assert place.sent(1)[0] == [name], "just sent: it is on its way"
    for _ in range(3 * MOST_TIMES):
        place.now[0] += 31
        await place.ask(1, name)
    assert place.sent(1)[0] == [name] * MOST_TIMES
    place.now[0] += 31
    await place.ask(0, name)
    assert place.sent(0)[0] == [name], "others still may"


async def test_a_later_word_replaces_an_earlier_one(monkeypatch):
    place = Place(monkeypatch)
    place.put("insurer.small.holdings", 0, seal_holding(word(1, missing=((0, 0, 0, 0),)), RECORD_KEYS[1]))
    place.put("insurer.small.holdings", 0, seal_holding(word(1, held=9), RECORD_KEYS[1]))
    await place.resender.settle()
    assert place.sent(1)[0] == []


async def test_what_has_left_the_topic_is_told_until_it_is_there_again(monkeypatch):
    place = Place(monkeypatch)
    log = place.world.log(PANES_TOPIC, 1)
    kept, asked = list(log), [name for name in NAMES if name[0] == 1]
    log[:] = [r for r in kept if r.key == END_KEY]
    await place.ask(0, *asked, (0, 0, 0, 0))
    assert place.sent(0)[0] == [(0, 0, 0, 0)]
    assert place.resender.gone == {1: len(asked)}
    await place.ask(1, *asked)
    assert place.resender.gone == {1: len(asked)}, "whoever asks, it is one batch"
    log[:] = kept
    place.now[0] += 31
    await place.ask(0, *asked)
    assert sorted(place.sent(0)[0]) == sorted([*asked, (0, 0, 0, 0)])
    assert place.resender.gone == {}


async def test_what_is_still_to_be_shared_is_not_gone(monkeypatch):
    place = Place(monkeypatch, shared=1)
    await place.ask(0, *NAMES)
    assert place.resender.gone == {}


async def test_who_is_cancelled_while_looking_leaves_the_question(monkeypatch):
    place, name = Place(monkeypatch), (0, 0, 0, 0)
    place.put("insurer.small.holdings", 0, seal_holding(word(1, missing=(name,)), RECORD_KEYS[1]))
    looking, honest = asyncio.Event(), place.resender._look

    async def slow(*_):
        looking.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(place.resender, "_look", slow)
    task = asyncio.create_task(place.resender.run())
    await looking.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    monkeypatch.setattr(place.resender, "_look", honest)
    await place.resender.settle()
    assert place.sent(1)[0] == [name]


async def test_who_is_cancelled_while_sending_sends_again_what_may_not_have_gone_out(monkeypatch):
    place, name = Place(monkeypatch), (0, 0, 0, 0)
    place.put("insurer.small.holdings", 0, seal_holding(word(1, missing=(name,)), RECORD_KEYS[1]))
    sending, producer = asyncio.Event(), place.resender._producer

    class Stuck:
        async def send(self, *_):
            sending.set()
            await asyncio.Event().wait()

    place.resender._producer = Stuck()
    task = asyncio.create_task(place.resender.run())
    await sending.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert place.told == []
    place.resender._producer = producer
    await place.resender.settle()
    assert (place.sent(1)[0], place.told) == ([name], [1])


async def test_what_was_sent_is_told_also_by_who_is_cancelled_then(monkeypatch):
    place = Place(monkeypatch)
    monkeypatch.setattr(resend, "POLL_SNAPSHOTS", 1)
    place.put("insurer.small.holdings", 0, seal_holding(word(1, missing=((0, 0, 0, 0), (0, 1, 2, 1))), RECORD_KEYS[1]))
    second, count, producer = asyncio.Event(), [0], place.resender._producer

    class SlowLater:
        async def send(self, *what):
            count[0] += 1
            if count[0] == 2:
                second.set()
                await asyncio.Event().wait()
            return await producer.send(*what)

    place.resender._producer = SlowLater()
    task = asyncio.create_task(place.resender.run())
    await second.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (place.sent(1)[0], place.told) == ([(0, 0, 0, 0)], [1])


def test_a_node_says_what_it_has_when_that_changes_and_again_after_a_while(monkeypatch, tmp_path):
    now, store = [100.0], ShareStore(tmp_path / "store", TERMS, 1)
    monkeypatch.setattr(word_module.time, "monotonic", lambda: now[0])
    words = PartyWord(TERMS, 1, "insurer", store)
    said = words.due()
    assert (said.held, said.lists, said.differing, said.missing) == (0, (0, 0), (), ())
    assert words.due() is None
    store.add([*(BATCHES[name] for name in NAMES if name[2] < 0), erasure(1, 0)])
    assert words.due().lists == (0, 1)
    assert words.due() is None
    now[0] += REPEAT_SECONDS
    assert words.due().lists == (0, 1), "so that a party can tell what was lost"
    store.erased.differs(("insurer", 1), 0)
    store.erased.differs(("hospital", 0), 3)
    assert words.due().differing == ((1, 0),)
    plain = PartyWord(keyed_terms(), 1, "insurer", ShareStore(tmp_path / "plain", keyed_terms(), 1))
    assert plain.due().lists == ()
    now[0] += REPEAT_SECONDS
    assert plain.due() is None, "where nothing is erased a word is said once"


async def test_lists_that_a_node_lacks_are_sent_again_in_order_and_to_it_alone(monkeypatch):
    place = Place(monkeypatch)
    await place.ask(1, lists=(1, LISTS))
    assert place.lists(1) == [erasure(0, 1), erasure(0, 2)]
    assert place.lists(0) == place.lists(2) == []
    assert place.told == [2]
    await place.ask(2, lists=(LISTS, LISTS))
    await place.ask(0)
    assert place.lists(2) == place.lists(0) == []


async def test_a_node_that_lost_its_lists_has_them_all_again_and_a_store_takes_them(monkeypatch, tmp_path):
    place, store = Place(monkeypatch), ShareStore(tmp_path / "store", TERMS, 1)
    store.add([BATCHES[name] for name in NAMES if name[2] < 0])
    await place.ask(1, lists=store.erased.known("insurer"))
    store.add(place.lists(1))
    assert (store.erased.known("insurer"), store.erased.incidents) == ((LISTS, LISTS), [])


async def test_a_list_that_may_be_under_way_is_not_sent_again(monkeypatch):
    place = Place(monkeypatch)
    await place.ask(1, lists=(0, 0), at=LISTED + LONG - 1)
    await place.ask(1, lists=(0, 0), at=LISTED + LONG - 1)
    assert place.lists(1) == []
    await place.ask(1, lists=(0, LISTS), at=LISTED + LONG)
    assert place.lists(1) == [erasure(0, number) for number in range(LISTS)]


async def test_whether_lists_are_missed_is_looked_up_once(monkeypatch):
    place, looks = Place(monkeypatch), []
    look = place.resender._look

    async def counted(*arguments):
        looks.append(arguments)
        await look(*arguments)

    monkeypatch.setattr(place.resender, "_look", counted)
    for _ in range(3):
        await place.ask(1, lists=(0, 0), at=LISTED + 1)
    assert len(looks) == 1


async def test_a_list_that_is_still_to_be_shared_is_not_sent(monkeypatch):
    place = Place(monkeypatch, shared=len(NAMES) // 2)
    await place.ask(1, lists=(0, 0))
    assert place.lists(1) == []
    assert place.resender.gone == {}


async def test_a_node_cannot_have_lists_sent_without_end(monkeypatch):
    place = Place(monkeypatch)
    for _ in range(3 * MOST_TIMES):
        place.now[0] += 31
        await place.ask(1, lists=(LISTS, LISTS - 1))
    assert place.lists(1) == [erasure(1, LISTS - 1)] * MOST_TIMES
    await place.ask(2, lists=(0,) * 64)
    assert len(place.lists(2)) == 2 * LISTS, "no more shards than there are"


async def test_a_list_that_has_left_the_topic_is_told(monkeypatch):
    place = Place(monkeypatch)
    log = place.world.log(PANES_TOPIC, 1)
    log[:] = [r for r in log if r.key != LIST_KEY]
    await place.ask(0, lists=(LISTS, 0))
    assert place.resender.gone == {1: LISTS}


async def test_a_list_that_is_made_just_now_is_not_gone_and_what_a_node_has_is_gone_no_more(monkeypatch):
    place = Place(monkeypatch)
    for shard in place.resender._shards:
        shard.panes.withdrawn.made += 1
    await place.ask(0, lists=(LISTS, LISTS))
    assert place.resender.gone == {}, "it is on its way to the panes topic"
    place.now[0] += 31
    await place.ask(0, lists=(LISTS, LISTS))
    assert place.resender.gone == {0: 1, 1: 1}
    await place.ask(1, lists=(LISTS + 1, LISTS + 1))
    assert place.resender.gone == {0: 1, 1: 1}, "another node has them"
    await place.ask(0, lists=(LISTS + 1, LISTS))
    assert place.resender.gone == {1: 1}, "its folder was restored"


async def test_lists_that_differ_between_nodes_are_told_until_no_node_says_so(monkeypatch):
    place = Place(monkeypatch)
    await place.ask(0, lists=(LISTS, LISTS), differing=((1, 2),))
    await place.ask(2, lists=(LISTS, LISTS), differing=((1, 2),))
    assert place.resender.differing == {1: 1}
    await place.ask(0, lists=(LISTS, LISTS))
    assert place.resender.differing == {1: 1}
    await place.ask(2, lists=(LISTS, LISTS))
    assert place.resender.differing == {}
