"""Nodes' stores of registers that grow: what is there, what is complete, what is missed, and what may not be."""

from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import ValidationError

from streams import resend
from streams.batch import BatchHeader, party_columns, snapshot
from streams.erasure import ErasureList
from streams.errors import BatchError, StoreError
from streams.holding import Holding, seal_holding
from streams.inbox import Opener
from streams.resend import Resender
from streams.share import Sharer
from streams.snapshots import BLOCK_KEY
from streams.store import ShareStore
from streams.tags import Tags
from tests.support.parties import BATCH_KEY, NODE_KEYS, SHARING_KEY, keyed_terms
from tests.support.world import SimulatedProcess, World

RECORD_KEYS = [Ed25519PrivateKey.generate() for _ in range(3)]
_MADE = keyed_terms(
    linkage={"date": "2024-01-08", "block_slots": 64, "dummies": 0, "batch_panes": 4},
    maturities={"days": [30], "release": "both", "revisions": 9},
    erasure={"every_panes": 2, "batch_slots": 4, "within_days": 10},
)
TERMS = _MADE.model_copy(update={"nodes": tuple(
    n.model_copy(update={"record_key": k.public_key().public_bytes_raw().hex()})
    for n, k in zip(_MADE.nodes, RECORD_KEYS, strict=True)
)})
TAGS = Tags(SHARING_KEY, TERMS.hash)
SHARER = Sharer(TERMS, SHARING_KEY, Ed25519PrivateKey.from_private_bytes(BATCH_KEY))
OPENER = Opener(TERMS, 1, X25519PrivateKey.from_private_bytes(NODE_KEYS[1]))
PARTIES, EDGES, PANES = ("hospital", "insurer", "statistics"), (0, 4, 8), 12
ENDS = {"hospital": (2, 3, 5), "insurer": (1, 2, 3), "statistics": (1, 4, 5)}
"""Blocks up to the end of each batch."""


def header(party, block, pane, revision=0, blocks=None, **changes):
    register = pane < 0
    return BatchHeader(**{
        "agreement": TERMS.hash, "epoch": 0, "party": party, "shard": 0, "block": block,
        "kind": "register" if register else "pane", "pane": pane, "revision": revision,
        "columns": ("link",) if register else party_columns(TERMS.draft, party), "slots": 64, "blocks": blocks, **changes,
    })


def content(head):
    return np.random.default_rng([head.block, head.pane + 1, head.revision]).integers(0, 2**64, head.shape, np.uint64)


def made(head):
    return OPENER.open(SHARER.messages(head, content(head))[1], 0)


def names(party, panes=PANES, revisions=2):
    """(block, pane, revision) of all that a party shares of its first panes."""
    ends = ENDS[party]
    found = [(b, -1, g) for g, stop in enumerate(ends) for b in range(ends[g - 1] if g else 0, stop) if EDGES[g] < panes]
    for pane in range(panes):
        blocks = ends[sum(edge <= pane for edge in EDGES) - 1]
        found += [(block, pane, revision) for block in range(blocks) for revision in range(revisions)]
    return found


def head_of(party, name):
    block, pane, revision = name
    return header(party, block, pane, revision, ENDS[party][revision] if pane < 0 else None)


BATCHES = {(party, *name): made(head_of(party, name)) for party in PARTIES for name in names(party)}


def filled(folder, panes, without=()):
    store = ShareStore(folder, TERMS, 1)
    wanted = [(party, *name) for party in PARTIES for name in names(party, panes)]
    order = [key for key in wanted if key not in without]
    Random(len(order)).shuffle(order)
    store.add([BATCHES[key] for key in order])
    assert store.incidents == []
    return store


def test_a_whole_register_and_its_panes(tmp_path):
    store = filled(tmp_path / "store", PANES)
    for again in (store, ShareStore(tmp_path / "store", TERMS, 1)):
        assert (again.registers_complete, again.batches_complete, again.complete_panes, again.mature_panes) == (True, 3, 12, 12)
        assert again.received == again.expected == len(BATCHES)
        assert all(again.missing(party, 99) == [] for party in PARTIES)
        assert [again.register_slots("statistics", 0, n) for n in (1, 2, 3)] == [64, 256, 320]
        assert [again.register("statistics", 0, g).shape for g in range(3)] == [(2, 64), (2, 192), (2, 64)]
        np.testing.assert_array_equal(again.register("statistics", 0), again.register("statistics", 0, 0))
        for place, component in enumerate((1, 2)):
            np.testing.assert_array_equal(
                again.register("statistics", 0, 1)[place, 64:128], BATCHES["statistics", 2, -1, 1].components[component][0]
            )
        assert len(again.commitments(None)) == sum(ends[0] for ends in ENDS.values())
        assert len(again.commitments(None, batches=3)) == sum(ends[2] for ends in ENDS.values())
        assert again.commitments(None).items() <= again.commitments(None, batches=2).items()


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_panes_have_zeros_where_a_batch_opens_later_and_no_more_slots_than_asked(tmp_path, batches):
    store, columns = filled(tmp_path / "store", PANES), party_columns(TERMS.draft, "hospital")
    for edition, revisions in enumerate(((0,), (0, 1))):
        found = store.panes("hospital", 0, range(2, 10), columns, edition, batches)
        assert found.shape == (2, 8, 2, 64 * ENDS["hospital"][batches - 1])
        for place, pane in enumerate(range(2, 10)):
            for block in range(ENDS["hospital"][batches - 1]):
                of = next(g for g, stop in enumerate(ENDS["hospital"]) if block < stop)
                mine = found[:, place, :, 64 * block : 64 * block + 64]
                if pane < EDGES[of]:
                    assert not mine.any()
                    continue
                for side, component in enumerate((1, 2)):
                    expected = sum(BATCHES["hospital", block, pane, r].components[component] for r in revisions)
                    np.testing.assert_array_equal(mine[side], expected)
    assert store.panes("hospital", 0, range(1), columns).shape == (2, 1, 2, 128)
    assert len(store.commitments(range(3, 5))) == sum(ends[0] + ends[1] for ends in ENDS.values())
    assert len(store.commitments(range(3, 5), 1)) == 2 * sum(ends[0] + ends[1] for ends in ENDS.values())


@pytest.mark.parametrize(("lost", "complete"), [
    (("insurer", 1, -1, 1), (1, 4, 4)), (("statistics", 2, -1, 1), (1, 4, 4)), (("hospital", 2, 4, 0), (3, 4, 4)),
    (("hospital", 4, 9, 1), (3, 12, 9)), (("hospital", 0, -1, 0), (0, 0, 0)), (("insurer", 2, -1, 2), (2, 8, 8)),
    (("hospital", 0, 5, 0), (3, 5, 5)),
])
def test_a_pane_is_complete_with_the_batches_that_were_open_and_what_is_lost_is_missed(tmp_path, lost, complete):
    store = filled(tmp_path / "store", PANES, {lost})
    assert (store.batches_complete, store.complete_panes, store.mature_panes) == complete
    for again in (store, ShareStore(tmp_path / "store", TERMS, 1)):
        party, *name = lost
        assert again.missing(party, 99) == [(0, *name)]
        assert all(again.missing(other, 99) == [] for other in PARTIES if other != party)
    store.add([BATCHES[lost]])
    assert (store.batches_complete, store.complete_panes, store.mature_panes) == (3, 12, 12)


@pytest.mark.parametrize(("lost", "stop", "edition", "found"), [
    (("insurer", 1, -1, 1), 12, 0, (-1, 1)), (("insurer", 1, -1, 1), 5, 1, (-1, 1)), (("insurer", 1, -1, 1), 4, 0, None),
    (("statistics", 4, -1, 2), 12, 0, (-1, 2)), (("hospital", 0, -1, 0), 1, 0, (-1, 0)), (("hospital", 2, 4, 0), 6, 0, (4, 0)),
    (("hospital", 4, 9, 1), 12, 0, None), (("hospital", 4, 9, 1), 12, 1, (9, 1)), (("hospital", 4, 9, 1), 9, 1, None),
])
def test_a_store_names_what_a_party_lacks_first(tmp_path, lost, stop, edition, found):
    store = filled(tmp_path / "store", PANES, {lost})
    for again in (store, ShareStore(tmp_path / "store", TERMS, 1)):
        assert {p: again.first_missed((p, 0), stop, edition) for p in PARTIES} == {**dict.fromkeys(PARTIES), lost[0]: found}
    store.add([BATCHES[lost]])
    assert [store.first_missed((p, 0), PANES, e) for p in PARTIES for e in (0, 1)] == [None] * 6


@pytest.mark.parametrize(("panes", "found"), [(0, (-1, 0)), (3, (3, 0)), (4, (-1, 1)), (5, (5, 0)), (8, (-1, 2)), (11, (11, 0))])
def test_of_a_party_that_stops_the_next_batch_or_pane_is_lacking(tmp_path, panes, found):
    store = ShareStore(tmp_path / "store", TERMS, 1)
    store.add([BATCHES["insurer", *name] for name in (names("insurer", panes) if panes else ())])
    assert [store.first_missed(("insurer", 0), PANES, edition) for edition in (0, 1)] == [found] * 2
    assert store.first_missed(("hospital", 0), PANES) == (-1, 0)


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_lost_all_comes_back_by_asking(tmp_path, seed):
    rng = Random(seed)
    panes = rng.randrange(1, PANES + 1)
    wanted = [("statistics", *name) for name in names("statistics", panes)]
    store = ShareStore(tmp_path / "store", TERMS, 1)
    store.add([BATCHES[key] for key in wanted if rng.random() < 0.5] + [BATCHES["statistics", 0, panes - 1, r] for r in range(2)])
    for _ in range(8):
        asked = store.missing("statistics", 999)
        assert {("statistics", *name[1:]) for name in asked} <= set(wanted), "nothing is asked for that there is not"
        store.add([BATCHES["statistics", *name[1:]] for name in asked])
    assert store.missing("statistics", 99) == []
    assert store.held("statistics") == len(wanted)
    assert store.incidents == []


def test_only_the_first_block_of_a_batch_is_asked_for_until_it_tells_how_many_there_are(tmp_path):
    gone = {("statistics", b, -1, 1) for b in (1, 2, 3)}
    store = filled(tmp_path / "store", 6, gone)
    assert (0, 1, -1, 1) in store.missing("statistics", 99)
    assert not {(0, 2, -1, 1), (0, 3, -1, 1)} & set(store.missing("statistics", 99))
    store.add([BATCHES["statistics", 1, -1, 1]])
    assert store.missing("statistics", 99) == [(0, 2, -1, 1), (0, 3, -1, 1)]


def test_a_register_of_a_later_batch_is_missed_though_no_pane_of_it_is_here(tmp_path):
    store = ShareStore(tmp_path / "store", TERMS, 1)
    store.add([BATCHES["statistics", *name] for name in names("statistics", 4)] + [BATCHES["statistics", 4, -1, 2]])
    assert store.missing("statistics", 99) == [(0, 1, -1, 1)]


def test_a_block_of_a_later_batch_whose_file_is_lost_is_missed_and_comes_back_as_it_was(tmp_path):
    store = filled(tmp_path / "store", PANES)
    for block in (1, 4):
        store.files.path(("statistics", 0, block, -1, 1)).unlink()
    again = ShareStore(tmp_path / "store", TERMS, 1)
    assert (again.batches_complete, again.complete_panes, again.missing("statistics", 99)) == (
        1, 4, [(0, 4, -1, 2), (0, 1, -1, 1)]
    )
    other = header("statistics", 1, -1, 1, 4)
    again.add([OPENER.open(SHARER.messages(other, content(other) + np.uint64(1))[1], 0)])
    assert (again.incidents, again.batches_complete) == ([other.key], 1)
    again.add([BATCHES["statistics", 1, -1, 1], BATCHES["statistics", 4, -1, 2]])
    assert (again.batches_complete, again.complete_panes, again.missing("statistics", 99)) == (3, 12, [])


def test_a_store_names_the_batch_that_is_not_here(tmp_path):
    store = filled(tmp_path / "store", 4)
    with pytest.raises(StoreError, match="batch 1 of the register of hospital, shard 0, is not here"):
        store.register("hospital", 0, 1)
    with pytest.raises(StoreError, match="batch 2 of the register of hospital"):
        store.register_slots("hospital", 0, 3)
    with pytest.raises(StoreError, match="batch 1 of the register of hospital"):
        store.commitments(range(5))


@pytest.mark.parametrize("head", [
    header("hospital", 2, -1, 1, 4), header("hospital", 1, -1, 1, 3), header("hospital", 3, -1, 2, 4),
    header("hospital", 2, -1, 0, 3), header("hospital", 4, -1, 1, 5), header("hospital", 3, 4), header("hospital", 2, 3),
    header("hospital", 4_095, 8),
])
def test_a_header_that_contradicts_known_numbers_is_an_incident_and_fills_no_disk(tmp_path, head):
    store = filled(tmp_path / "store", PANES, {head.key[:1] + head.key[2:]})
    before = store.received
    store.add([made(head)])
    assert (store.received, store.incidents) == (before, [head.key])
    assert ShareStore(tmp_path / "store", TERMS, 1).received == before


@pytest.mark.parametrize("head", [
    header("hospital", 3, -1, 3, 5), header("hospital", 0, -1, 1, 5), header("hospital", 1, -1, 2, 5),
    header("hospital", 3, -1, 1, 3), header("hospital", 3, 5, 2),
])
def test_an_inbox_takes_no_batch_that_is_not_agreed(head):
    with pytest.raises(BatchError, match="does not fit the agreement"):
        made(head)


@pytest.mark.parametrize("changes", [
    {"pane": 5, "revision": 13}, {"pane": -1, "revision": 120, "blocks": 4_096}, {"pane": -1, "revision": 1, "blocks": 4_097},
])
def test_revisions_and_blocks_have_bounds_of_their_own(changes):
    with pytest.raises(ValidationError):
        header("hospital", 3, **changes)
    assert header("hospital", 200, -1, 119, 4_096).revision == 119


def test_a_word_may_ask_for_any_batch_of_a_register():
    name = (0, 200, -1, 119)
    assert Holding(agreement=TERMS.hash, party="hospital", node=0, held=1, missing=(name,)).missing == (name,)
    with pytest.raises(ValidationError):
        Holding(agreement=TERMS.hash, party="hospital", node=0, held=1, missing=((0, 200, -1, 120),))


def resender(party, words=None, producer=None):
    """Of a party that has sealed six panes."""
    panes = SimpleNamespace(
        has_sealed=lambda pane, revision: revision < 2 if pane < 0 else pane < 6, register=SimpleNamespace(blocks=ENDS[party][1]),
        has_block=lambda *name: name in names(party, 6), withdrawn=SimpleNamespace(made=0),
    )
    shard = SimpleNamespace(shared=len(names(party, 6)), panes=panes)
    return Resender(None, TERMS, party, [shard], SHARER, TAGS, words, producer, lambda _: None)


def test_a_party_sends_again_what_was_sealed_and_nothing_else():
    party = "statistics"
    sender = resender(party)
    asked = [
        (block, pane, revision) for block in range(6) for pane in range(-1, 13) for revision in range(4)
        if pane < 0 or revision < 3
    ]
    assert {name for name in asked if sender._may_send(0, (0, *name), 0.0)} == set(names(party, 6))


async def test_blocks_of_a_later_batch_are_sent_again_as_they_were(monkeypatch, tmp_path):
    party = "statistics"
    lost = {(party, 2, -1, 1), (party, 3, 4, 0), (party, 0, 5, 1)}
    store = filled(tmp_path / "store", 6, lost)
    process = SimulatedProcess(party, World(rng=Random(1), incidents=[], hides=0.0, repeats=0.0))
    monkeypatch.setattr(resend, "Consumer", process.consumer)
    monkeypatch.setattr(resend, "SETTLE_SECONDS", 0.0)
    topic, producer = f"{party}.small.panes", process.producer(None)
    for name in names(party, 6):
        value = snapshot(head := head_of(party, name), content(head))
        await producer.send(topic, 0, [(BLOCK_KEY, TAGS.put(topic, 0, BLOCK_KEY, value))])
    word = Holding(agreement=TERMS.hash, party=party, node=1, held=1, missing=tuple(store.missing(party, 99)), lists=(0,))
    await producer.send(f"{party}.small.holdings", 0, [(None, seal_holding(word, RECORD_KEYS[1]))])
    await resender(party, process.consumer(None, f"{party}.small.holdings", [0]), producer).settle()
    sent = [OPENER.open(record.value, 0) for record in process.world.log("node-1.small.inbox", 0)]
    assert {(party, *batch.header.key[2:]) for batch in sent} == lost
    assert all(batch.commitments == BATCHES[party, *batch.header.key[2:]].commitments for batch in sent)
    store.add(sent)
    assert (store.missing(party, 99), store.incidents, store.complete_panes) == ([], [], 6)


def test_a_list_may_name_rows_of_the_batches_that_were_open_before_its_boundary(tmp_path):
    def listed(boundary, *slots, number=0):
        return ErasureList(
            agreement=TERMS.hash, party="hospital", shard=0, number=number, boundary=boundary, slots=slots
        )

    store = filled(tmp_path / "store", PANES)
    store.add([listed(4, 1, 2, 3, 128), listed(6, 1, 2, 3, 192)])
    assert store.erased.known("hospital") == (0,)
    assert len(store.erased.incidents) == 2
    store.add([listed(4, 1, 2, 3, 127), listed(6, 4, 5, 6, 191, number=1), listed(10, 7, 8, 9, 319, number=2)])
    assert store.erased.known("hospital") == (3,)
    side = ("hospital", 0)
    store.erased.mark(side, 3, store.erased.lists(side)[0].received_at)
    store.rewrite({side: store.unerased(side)})
    assert store.unerased(side) == []
    found = store.panes("hospital", 0, range(12), party_columns(TERMS.draft, "hospital"), 0, 3)
    for slots, boundary in (([1, 2, 3, 127], 4), ([4, 5, 6, 191], 6), ([7, 8, 9, 319], 10)):
        assert not found[:, :boundary, :, slots].any()
        assert found[:, boundary:, :, slots].any(axis=(0, 1, 2)).all()
    words = np.concatenate([store.register("hospital", 0, batch) for batch in range(3)], axis=1)
    assert not words[:, [1, 2, 3, 127, 191, 319]].any()


def test_a_list_waits_until_the_batches_of_which_it_may_name_rows_are_here(tmp_path):
    store = filled(tmp_path / "store", 4)
    later = ErasureList(agreement=TERMS.hash, party="hospital", shard=0, number=0, boundary=6, slots=(1, 2, 3, 191))
    store.add([later])
    assert (store.erased.known("hospital"), store.erased.incidents) == ((0,), [])
    store.add([BATCHES["hospital", 2, -1, 1], later])
    assert store.erased.known("hospital") == (1,)
