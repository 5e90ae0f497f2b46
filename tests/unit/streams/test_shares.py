"""From a block to three nodes' stores: who can open what, what is refused, and what a resend does."""

import errno
import hashlib
import json
import os
import stat

import numpy as np
import pyarrow as pa
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from evaluation.errors import EXIT_USAGE
from evaluation.process import exit_code
from mpc.sharing import mask_seed
from streams.batch import BatchHeader, check_size, framed, open_snapshot, party_columns, snapshot
from streams.errors import BatchError, ConfigurationError, StoreError
from streams.inbox import Opener
from streams.parcel import Piece, held, seal, unseal
from streams.share import Sharer
from streams.sharefile import ShareBatch, ShareFiles
from streams.store import ShareStore
from tests.support.parties import BATCH_KEY, NODE_KEYS, SHARING_KEY, keyed_terms

TERMS = keyed_terms()
COLUMNS = party_columns(TERMS.draft, "insurer")
SIGNING = Ed25519PrivateKey.from_private_bytes(BATCH_KEY)
SHARER = Sharer(TERMS, SHARING_KEY, SIGNING)
KEYS = [X25519PrivateKey.from_private_bytes(k) for k in NODE_KEYS]
OPENERS = [Opener(TERMS, node, key) for node, key in enumerate(KEYS)]


def header(**changes):
    return BatchHeader(**{
        "agreement": TERMS.hash, "epoch": 0, "party": "insurer", "shard": 0, "block": 0, "kind": "pane", "pane": 3,
        "revision": 0, "columns": COLUMNS, "slots": 64, **changes,
    })


def register(**changes):
    return header(**{"kind": "register", "pane": -1, "columns": ("link",), "blocks": 3, **changes})


def block(head, seed=1):
    return np.random.default_rng(seed).integers(0, 2**64, head.shape, dtype=np.uint64)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("kind", [header, register])
def test_three_nodes_components_make_the_block_and_holders_agree(kind, number):
    head = kind(block=number)
    content = block(head)
    batches = [OPENERS[n].open(m, 0) for n, m in enumerate(SHARER.messages(head, content))]
    parts = {}
    for node, batch in enumerate(batches):
        assert batch.header == head
        assert set(batch.components) == {node, (node + 1) % 3}
        for component, values in batch.components.items():
            known = parts.setdefault(component, (values, batch.commitments[component]))
            np.testing.assert_array_equal(known[0], values)
            assert known[1] == batch.commitments[component]
    s0, s1, s2 = (parts[c][0] for c in range(3))
    np.testing.assert_array_equal(s0 ^ s1 ^ s2 if head.kind == "register" else s0 + s1 + s2, content)


def test_messages_are_small_and_the_missing_component_cannot_be_found_in_them():
    head = header(block=1)
    messages = SHARER.messages(head, block(head))
    size = 8 * len(COLUMNS) * 64
    # Component 1 travels, to nodes 0 and 1; node 2 holds 2 and 0, two seeds.
    assert [len(m) > size for m in messages] == [True, True, False]
    assert all(len(m) < size + 2500 for m in messages)
    opened = [
        {p.component: p for p in unseal(m, n, KEYS[n], SIGNING.public_key())} for n, m in enumerate(messages)
    ]
    for node in range(3):
        missing = (node + 2) % 3
        secrets = {opened[missing][missing].salt, opened[missing][missing].body, opened[missing][missing].commitment}
        mine = b"".join(p.salt + p.body + p.commitment for p in opened[node].values())
        assert not any(s in mine for s in secrets)


def test_a_resend_is_the_same_and_another_content_shares_no_mask():
    head = header()
    content = block(head)
    other = content.copy()
    other[0, 0] += np.uint64(1)

    def components(values):
        return [OPENERS[n].open(m, 0) for n, m in enumerate(SHARER.messages(head, values))]

    first, again, changed = components(content), components(content), components(other)
    for a, b, c in zip(first, again, changed, strict=True):
        assert a.commitments == b.commitments
        for component in a.components:
            np.testing.assert_array_equal(a.components[component], b.components[component])
            assert (a.components[component] == c.components[component]).mean() < 0.01


def test_a_batch_id_is_the_hash_of_the_canonical_header():
    plain = json.dumps(header().model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()
    assert header().batch_id == hashlib.sha256(plain).digest()
    assert len({header(**{name: 1}).batch_id for name in ("shard", "block", "pane")} | {header().batch_id}) == 4


def damaged(message, place):
    return message[:place] + bytes([message[place] ^ 1]) + message[place + 1 :]


def test_messages_that_are_not_the_partys_or_not_for_this_node_are_refused():
    head = header()
    messages = SHARER.messages(head, block(head))
    with pytest.raises(BatchError, match="not signed by the party or not for this node"):
        OPENERS[1].open(messages[0], 0)
    for place in (0, 63, 64, 70, 300, len(messages[0]) - 1):
        with pytest.raises(BatchError):
            OPENERS[0].open(damaged(messages[0], place), 0)
    stranger = Sharer(TERMS, SHARING_KEY, Ed25519PrivateKey.generate())
    with pytest.raises(BatchError, match="InvalidSignature"):
        OPENERS[0].open(stranger.messages(head, block(head))[0], 0)
    for junk in (b"", b"x" * 64, b"x" * 65, b"x" * 900_001, bytes(64) + b"\xff\xff\xff\xff{}"):
        with pytest.raises(BatchError):
            OPENERS[0].open(junk, 0)


@pytest.mark.parametrize("head", [
    header(agreement="ab" * 32), header(party="nobody"), header(pane=12), header(pane=-1), header(columns=("days",)),
    header(slots=128), header(shard=1), header(blocks=1), register(block=3), register(pane=0),
    register(blocks=None), register(columns=("x",)),
])
def test_headers_that_do_not_fit_the_agreement(head):
    with pytest.raises(BatchError, match="expected this agreement's|does not fit the agreement"):
        OPENERS[0].open(SHARER.messages(head, block(head))[0], 0)


def test_a_header_is_canonical():
    head = header()
    loose = head.model_dump_json(indent=1).encode()
    message = bytes(64) + len(loose).to_bytes(4, "little") + loose + b"sealed"
    with pytest.raises(BatchError, match="not canonical"):
        OPENERS[0].open(message, 0)


def pieces(head, node, **changes):
    """Pieces of zeros, each with its true commitment unless changed."""
    size = 8 * head.shape[0] * head.shape[1]
    made = []
    for component in held(node):
        travels = component == head.block % 3
        made.append(Piece(**{
            "component": component, "travels": travels, "salt": bytes(32), "commitment": hashlib.sha256(bytes(32 + size)).digest(),
            "body": bytes(size if travels else 32), **changes,
        }))
    return made


@pytest.mark.parametrize(("changes", "message"), [
    ({}, "does not fit its commitment"),
    ({"commitment": bytes(32)}, "does not fit its commitment"),
    ({"component": 2}, "does not hold components"),
    ({"travels": True}, "of another form"),
    ({"body": bytes(31)}, "of another form"),
    ({"body": b""}, "of another form"),
])
def test_contents_that_are_not_a_nodes_two_components(changes, message):
    head = header()
    sealed = seal(head, pieces(head, 0, **changes), 0, KEYS[0].public_key(), SIGNING)
    with pytest.raises(BatchError, match=message):
        OPENERS[0].open(sealed, 0)


def test_snapshots():
    head = header()
    content = block(head)
    again, values = open_snapshot(snapshot(head, content))
    assert again == head
    np.testing.assert_array_equal(values, content)
    with pytest.raises(BatchError, match="a snapshot of"):
        open_snapshot(snapshot(head, content)[:-8])
    with pytest.raises(BatchError, match="whose header is not one"):
        open_snapshot(framed(head, b"").replace(b"insurer", b"insurer\xff"))


def test_blocks_fit_a_message():
    linkage = {"date": "2024-01-08", "block_slots": 65_536, "dummies": 0}
    with pytest.raises(ConfigurationError, match="Lower linkage.block_slots to 15776"):
        check_size(keyed_terms(linkage=linkage).draft, "insurer")


# The store.


def batch(node, head, seed=1):
    return OPENERS[node].open(SHARER.messages(head, block(head, seed))[node], 0)


@pytest.fixture
def stored(tmp_path):
    """A node's store with everything of panes 0 and 2, of all but one block of pane 1."""
    store = ShareStore(tmp_path / "store", TERMS, 1)
    contents = {}
    for party in ("hospital", "insurer", "statistics"):
        columns = party_columns(TERMS.draft, party)
        for number in range(3):
            heads = [register(party=party, block=number)]
            heads += [header(party=party, block=number, pane=p, columns=columns) for p in range(3)]
            for head in heads:
                if (party, number, head.pane) != ("insurer", 2, 1):
                    contents[head.key] = batch(1, head, seed=len(contents))
                    store.add([contents[head.key]])
    return store, contents


def test_a_store_assembles_blocks_panes_and_columns(stored):
    store, contents = stored
    assert store.registers_complete
    assert store.complete_panes == 1
    assert (store.received, store.expected) == (35, 3 * 3 * 13)
    wanted = ["gp_visits", "cost.high"]
    found = store.panes("insurer", 0, range(2, 3), wanted)
    assert found.shape == (2, 1, 2, 192)
    for number in range(3):
        kept = contents["insurer", 0, number, 2, 0]
        for place, component in enumerate((1, 2)):
            for row, name in enumerate(wanted):
                np.testing.assert_array_equal(
                    found[place, 0, row, 64 * number : 64 * number + 64],
                    kept.components[component][kept.header.columns.index(name)],
                )
    links = store.register("hospital", 0)
    assert links.shape == (2, 192)
    np.testing.assert_array_equal(links[1, 64:128], contents["hospital", 0, 1, -1, 0].components[2][0])


def test_a_store_names_what_is_missing(stored):
    store, contents = stored
    with pytest.raises(StoreError, match="revision 0 of block 2 of pane 1 of insurer, shard 0, is not here"):
        store.panes("insurer", 0, range(3), ["gp_visits"])
    with pytest.raises(StoreError, match="block 2 of pane 1"):
        store.commitments(range(3))
    with pytest.raises(StoreError, match="insurer does not share nothing"):
        store.panes("insurer", 0, range(1), ["nothing"])
    with pytest.raises(StoreError, match="register of hospital, shard 5"):
        store.register("hospital", 5)
    of_pane = store.commitments(range(1))
    assert set(of_pane) == {b.header.batch_id.hex() for b in contents.values() if b.header.pane == 0}
    one = contents["insurer", 0, 0, 0, 0]
    assert of_pane[one.header.batch_id.hex()] == one.commitments
    assert len(store.commitments(None)) == 9


def test_a_store_is_read_again_after_a_restart_and_is_private(stored, tmp_path):
    store, _ = stored
    again = ShareStore(tmp_path / "store", TERMS, 1)
    assert (again.received, again.complete_panes) == (35, 1)
    np.testing.assert_array_equal(again.register("insurer", 0), store.register("insurer", 0))
    assert again.commitments(None) == store.commitments(None)
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
    assert not list(tmp_path.glob("store/**/*.tmp"))


def test_what_came_last_is_read_from_memory_within_a_bound_and_the_rest_from_files(tmp_path, monkeypatch):
    heads = [register(block=0, blocks=1), header(pane=0), header(pane=1), header(pane=2)]
    size = sum(values.nbytes for values in batch(1, heads[1]).components.values())
    monkeypatch.setattr("streams.recent.RECENT_BYTES", 2 * size)
    store = ShareStore(tmp_path / "store", TERMS, 1)
    store.add([batch(1, head) for head in heads])
    opened, read = [], ShareFiles.read
    monkeypatch.setattr(ShareFiles, "read", lambda self, path: opened.append(path.name) or read(self, path))
    found = store.panes("insurer", 0, range(3), COLUMNS)
    assert opened == ["pane-00000-00.arrow"]
    again = ShareStore(tmp_path / "store", TERMS, 1)
    np.testing.assert_array_equal(found, again.panes("insurer", 0, range(3), COLUMNS))


def test_blocks_that_the_register_does_not_have_fill_no_disk(stored):
    store, _ = stored
    before = store.received
    store.add([batch(1, header(block=3, pane=0)), batch(1, header(block=900, pane=2))])
    assert store.received == before
    assert [key[2] for key in store.incidents] == [3, 900]


def test_the_first_content_stays_and_another_is_an_incident(stored):
    store, contents = stored
    head = contents["insurer", 0, 0, 2, 0].header
    before = store.panes("insurer", 0, range(2, 3), ["gp_visits"])
    store.add([contents[head.key]])
    assert store.incidents == []
    store.add([batch(1, head, seed=99)])
    assert store.incidents == [head.key]
    np.testing.assert_array_equal(store.panes("insurer", 0, range(2, 3), ["gp_visits"]), before)
    other_count = register(party="insurer", block=0, blocks=7)
    store.add([batch(1, other_count)])
    assert store.incidents[1:] == [other_count.key]


@pytest.mark.parametrize(("agreed", "revisions", "complete"), [
    ({"release": "seal"}, ((0,),), (3, 3)), ({"release": "maturity"}, ((0, 1, 2),), (1, 1)),
    ({"release": "both", "revisions": 9}, ((0,), (0, 1, 2)), (3, 1)),
])
def test_an_edition_is_made_of_one_agreed_revision_of_every_pane(tmp_path, agreed, revisions, complete):
    """Pane 0 is here in all revisions, pane 1 without the first of them, pane 2 without the last block of the last."""
    terms = keyed_terms(maturities={"days": [30, 60], **agreed})
    opener, sharer = Opener(terms, 1, KEYS[1]), Sharer(terms, SHARING_KEY, SIGNING)
    store, kept = ShareStore(tmp_path / "store", terms, 1), {}
    columns = party_columns(terms.draft, "insurer")
    for party in ("hospital", "insurer", "statistics"):
        for number in range(3):
            heads = [register(party=party, block=number, agreement=terms.hash)]
            heads += [
                header(party=party, block=number, pane=p, revision=r, agreement=terms.hash,
                       columns=party_columns(terms.draft, party))
                for r in range(3) for p in range(3)
                if (p, r) != (1, 1) and (party, number, p, r) != ("statistics", 2, 2, 2)
            ]
            for head in heads:
                kept[head.key] = opener.open(sharer.messages(head, block(head, seed=len(kept)))[1], 0)
                store.add([kept[head.key]])
    assert (store.complete_panes, store.mature_panes) == complete
    assert (store.received, store.expected) == (len(kept), 9 * (1 + 3 * 12))
    again = ShareStore(tmp_path / "store", terms, 1)
    assert (again.received, again.complete_panes, again.mature_panes) == (len(kept), *complete)
    for edition, numbers in enumerate(revisions):
        batches = [kept["insurer", 0, 0, 0, r] for r in numbers]
        found = store.panes("insurer", 0, range(1), list(columns), edition)
        for place, component in enumerate((1, 2)):
            expected = sum(b.components[component] for b in batches)
            np.testing.assert_array_equal(found[place, 0, :, :64], expected)
        commitments = store.commitments(range(1), edition)
        assert len(commitments) == 9 * len(numbers)
        assert all(commitments[b.header.batch_id.hex()] == b.commitments for b in batches)
        np.testing.assert_array_equal(again.panes("insurer", 0, range(1), list(columns), edition), found)
        if len(numbers) > 1:
            with pytest.raises(StoreError, match="revision 1 of block 0 of pane 1 of insurer"):
                store.panes("insurer", 0, range(2), list(columns), edition)


def test_revisions_of_a_pane_have_different_masks_even_of_equal_content():
    heads = [header(revision=r) for r in range(3)]
    content = np.zeros(heads[0].shape, dtype=np.uint64)
    seeds = {mask_seed(SHARING_KEY, head.batch_id, content) for head in heads}
    assert len(seeds) == 3


@pytest.mark.parametrize(("changes", "fits"), [
    ({"revision": 2}, True), ({"revision": 3}, False), ({"kind": "register", "revision": 1}, False),
])
def test_a_node_takes_no_revision_that_is_not_agreed(changes, fits):
    terms = keyed_terms(maturities={"days": [30, 60]})
    of_register = changes.get("kind") == "register"
    head = (register if of_register else header)(**changes, agreement=terms.hash)
    message = Sharer(terms, SHARING_KEY, SIGNING).messages(head, block(head))[0]
    opener = Opener(terms, 0, KEYS[0])
    if fits:
        assert opener.open(message, 0).header == head
    else:
        with pytest.raises(BatchError, match="does not fit the agreement"):
            opener.open(message, 0)


def test_a_store_refuses_what_is_not_its_own(stored, tmp_path):
    store, contents = stored
    one = contents["insurer", 0, 0, 0, 0]
    with pytest.raises(StoreError, match="another agreement or another node"):
        store.add([ShareBatch(one.header, {0: one.components[1], 1: one.components[2]}, one.commitments)])
    for terms, number in ((keyed_terms(name="other"), 1), (TERMS, 0)):
        with pytest.raises(StoreError, match="taken is of another agreement or another node"):
            ShareStore(tmp_path / "store", terms, number)
    (tmp_path / "store" / "taken").unlink()
    for terms, number in ((keyed_terms(name="other"), 1), (TERMS, 0)):
        with pytest.raises(StoreError, match="arrow has component-1, component-2 of agreement"):
            ShareStore(tmp_path / "store", terms, number)
        (tmp_path / "store" / "taken").unlink()
    assert not list(tmp_path.rglob("*.damaged"))


def test_a_store_that_it_may_not_read_is_left_as_it_is(stored, tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr("streams.sharefile.pa.memory_map", refuse)
    with pytest.raises(StoreError, match="may not be read by this user"):
        ShareStore(tmp_path / "store", TERMS, 1)
    assert not list(tmp_path.rglob("*.damaged"))


def file_of(tmp_path, key):
    party, shard, block, pane, _ = key
    return tmp_path / "store" / party / f"shard-{shard:02d}" / f"block-{block:04d}" / f"pane-{pane:05d}-00.arrow"


LOST = ("insurer", 0, 1, 0, 0)


@pytest.mark.parametrize("harm", [
    lambda path: path.write_bytes(b"ARROW1"), lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:-400]),
    lambda path: path.write_bytes(path.with_name("pane-00002-00.arrow").read_bytes()),
    lambda path: path.unlink(),
], ids=["no batch", "empty", "cut off", "another batch", "gone"])
def test_a_file_that_is_lost_is_missed_and_only_the_same_content_comes_back(stored, tmp_path, harm):
    store, contents = stored
    path, whole = file_of(tmp_path, LOST), file_of(tmp_path, LOST).read_bytes()
    before = store.panes("insurer", 0, range(1), ["gp_visits"])
    harm(path)
    there = path.exists()
    for _ in range(2):  # what is set aside once stays so
        again = ShareStore(tmp_path / "store", TERMS, 1)
        assert (again.received, again.complete_panes) == (34, 0)
        assert LOST[1:] in again.missing("insurer", 99)
        with pytest.raises(StoreError, match="block 1 of pane 0 of insurer, shard 0, is not here"):
            again.panes("insurer", 0, range(1), ["gp_visits"])
        assert not path.exists()
        assert path.with_suffix(".damaged").exists() == there
    again.add([batch(1, contents[LOST].header, seed=99)])
    assert (again.incidents, again.received) == ([LOST], 34)
    again.add([contents[LOST]])
    assert (again.incidents, again.received, again.complete_panes) == ([LOST], 35, 1)
    assert path.read_bytes() == whole
    np.testing.assert_array_equal(again.panes("insurer", 0, range(1), ["gp_visits"]), before)


def test_another_content_in_a_file_is_set_aside(stored, tmp_path):
    """A copy of another time, say: of the right name and form, but not what was taken."""
    _, contents = stored
    other = ShareStore(tmp_path / "other", TERMS, 1)
    other.add([batch(1, contents[LOST].header, seed=99)])
    (theirs,) = (tmp_path / "other").rglob("*.arrow")
    file_of(tmp_path, LOST).write_bytes(theirs.read_bytes())
    again = ShareStore(tmp_path / "store", TERMS, 1)
    assert again.set_aside == [file_of(tmp_path, LOST)]
    assert LOST[1:] in again.missing("insurer", 99)


def test_the_last_pane_is_missed_though_nothing_of_it_is_left(stored, tmp_path):
    gone = [("insurer", 0, block, 2, 0) for block in range(3)]
    for key in gone:
        file_of(tmp_path, key).unlink()
    again = ShareStore(tmp_path / "store", TERMS, 1)
    assert {key[1:] for key in gone} < set(again.missing("insurer", 99))


@pytest.mark.parametrize("harm", [
    lambda stored: stored[:-30], lambda stored: stored + stored[-30:], lambda stored: stored[:-50] + bytes(50),
    lambda stored: b"", lambda stored: stored[:20], lambda stored: b"x" * 99,
], ids=["cut off", "half a record", "zeros", "empty", "half a head", "another file"])
def test_what_was_taken_is_remembered_as_far_as_it_can_be_read(stored, tmp_path, harm):
    """And what is here is noted anew."""
    _, contents = stored
    path = tmp_path / "store" / "taken"
    path.write_bytes(harm(path.read_bytes()))
    again = ShareStore(tmp_path / "store", TERMS, 1)
    assert (again.received, again.complete_panes, again.set_aside) == (35, 1, [])
    new = header(party="insurer", block=2, pane=1, columns=party_columns(TERMS.draft, "insurer"))
    again.add([batch(1, new)])
    for found in tmp_path.rglob("*.arrow"):
        found.unlink()
    last = ShareStore(tmp_path / "store", TERMS, 1)
    last.add([batch(1, b.header, seed=77) for b in contents.values()] + [batch(1, new, seed=77)])
    assert (len(last.incidents), last.received) == (36, 0)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("harm", [
    lambda path: path.unlink(), lambda path: path.write_bytes(b""), lambda path: path.write_bytes(path.read_bytes()[:20]),
    lambda path: path.write_bytes(path.read_bytes()[:-30]), lambda path: path.write_bytes(b"x" * 20),
], ids=["gone", "empty", "half a head", "half a record", "another file"])
def test_what_was_taken_is_remembered_also_if_its_file_is_harmed_while_the_node_runs(stored, tmp_path, harm):
    store, path = stored[0], tmp_path / "store" / "taken"
    harm(path)
    new = [
        batch(1, header(party="insurer", block=2, pane=pane, columns=party_columns(TERMS.draft, "insurer"))) for pane in (1, 3)
    ]
    for found in new:
        store.add([found])
    for found in tmp_path.rglob("*.arrow"):
        if found != file_of(tmp_path, LOST):
            found.unlink()
    for _ in range(2):
        again = ShareStore(tmp_path / "store", TERMS, 1)
        assert (again.received, again.set_aside) == (1, [])
        again.add([batch(1, b.header, seed=77) for b in new])
        assert (len(again.incidents), again.received) == (2, 1)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("error", [
    OSError(errno.EMFILE, "Too many open files"), OSError(errno.EIO, "Input/output error"), OSError(errno.ESTALE, "Stale file handle"),
    pa.ArrowMemoryError("malloc of size 64 failed"),
])
def test_files_that_cannot_be_read_for_a_while_are_left_as_they_are(stored, tmp_path, monkeypatch, error):
    def refuse(_path):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("streams.sharefile.pa.memory_map", refuse)
        with pytest.raises(StoreError, match="cannot be read now"):
            ShareStore(tmp_path / "store", TERMS, 1)
    assert not list(tmp_path.rglob("*.damaged"))
    assert ShareStore(tmp_path / "store", TERMS, 1).received == 35


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_is_for_whoever_configured_the_node_and_loses_nothing(stored, tmp_path, monkeypatch, number):
    store, _ = stored
    new = batch(1, header(party="insurer", block=2, pane=1, columns=party_columns(TERMS.draft, "insurer")))
    whole = os.fdopen

    def full(descriptor, mode):
        with whole(descriptor, mode) as file:
            file.write(b"half")
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("streams.taken.os.fdopen", full)
        with pytest.raises(OSError, match="Make room") as told:
            store.add([new])
    assert exit_code(told.value) == EXIT_USAGE
    assert str(tmp_path / "store" / "taken") in str(told.value)
    again = ShareStore(tmp_path / "store", TERMS, 1)
    assert again.received == 35
    again.add([new])
    assert (again.received, again.incidents) == (36, [])


def test_conflicts_and_refusals_are_counted_and_do_not_fill_the_log(stored):
    store, contents = stored
    with structlog.testing.capture_logs() as said:
        for seed in range(200):
            store.add([batch(1, contents[LOST].header, seed=100 + seed)])
    assert len(store.incidents) == 200
    assert [line["batches"] for line in said] == [1]


@pytest.mark.parametrize("point", ["before it is noted", "before it is written", "half written", "after"])
def test_a_node_that_is_killed_while_it_takes_a_batch_takes_the_same_one_again(stored, tmp_path, monkeypatch, point):
    store, _ = stored
    new = header(party="insurer", block=2, pane=1, columns=party_columns(TERMS.draft, "insurer"))
    honest = store.files.write

    def killed(*_):
        raise KeyboardInterrupt

    def half(found):
        store.files.path(found.header.key).with_suffix(".tmp").write_bytes(b"ARROW1")
        raise KeyboardInterrupt

    def after(found):
        honest(found)
        raise KeyboardInterrupt

    if point == "before it is noted":
        monkeypatch.setattr(store._taken, "note", killed)
    else:
        monkeypatch.setattr(store.files, "write", {"before it is written": killed, "half written": half, "after": after}[point])
    with pytest.raises(KeyboardInterrupt):
        store.add([batch(1, new)])
    again = ShareStore(tmp_path / "store", TERMS, 1)
    assert (again.received, again.set_aside) == (36 if point == "after" else 35, [])
    assert not list(tmp_path.rglob("*.tmp"))
    if point != "before it is noted":
        again.add([batch(1, new, seed=77)])
        assert again.incidents == [new.key]
    again.add([batch(1, new)])
    assert (again.received, len(again.incidents)) == (36, point != "before it is noted")
