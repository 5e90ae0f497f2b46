"""Rows of a list are 0 at three nodes together, whatever comes later and wherever a node is killed; nothing else changes."""

import contextlib
import errno
import json
import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from streams import topics
from streams.access import Operation, rules
from streams.batch import party_columns
from streams.erased import _Side
from streams.erasure import ErasureList, open_sent
from streams.errors import BatchError, StoreError
from streams.inbox import Opener
from streams.share import Sharer
from streams.store import ShareStore
from streams.taken import DAMAGED
from tests.support.dealing import reveal, reveal_bits
from tests.support.parties import SHARING_KEY, keyed_terms
from tests.unit.streams.test_shares import KEYS, SIGNING, header

AGREED = {"every_panes": 2, "batch_slots": 4, "within_days": 10}
TERMS = keyed_terms(erasure=AGREED, maturities={"days": [7]}, windows={"size": 2, "step": 1})
COLUMNS = party_columns(TERMS.draft, "insurer")
SHARER = Sharer(TERMS, SHARING_KEY, SIGNING)
OPENERS = [Opener(TERMS, node, key) for node, key in enumerate(KEYS)]
SIDE = ("insurer", 0)
SLOTS, NOW = 128, datetime(2024, 5, 1, tzinfo=UTC)


def batch(block, pane=-1, revision=0, seed=0):
    """(header, content) of one block."""
    head = header(agreement=TERMS.hash, block=block, pane=pane, revision=revision)
    if pane < 0:
        head = head.model_copy(update={"kind": "register", "columns": ("link",), "blocks": 2})
    head = type(head)(**head.model_dump())
    return head, np.random.default_rng([seed, block, pane + 1, revision]).integers(0, 2**64, head.shape, dtype=np.uint64)


def erasure(number=0, boundary=2, slots=(1, 5, 70, 127), **changes):
    return ErasureList(**{
        "agreement": TERMS.hash, "party": "insurer", "shard": 0, "number": number, "boundary": boundary, "slots": slots,
        **changes,
    })


def deliver(stores, *sent):
    for each in sent:
        messages = SHARER.lists(each) if isinstance(each, ErasureList) else SHARER.messages(*each)
        for store, opener, message in zip(stores, OPENERS, messages, strict=True):
            store.add([(opener.open_list if isinstance(each, ErasureList) else opener.open)(message, 0)])


def everything(panes=4):
    return [batch(b) for b in range(2)] + [batch(b, p, r) for p in range(panes) for r in range(2) for b in range(2)]


@pytest.fixture
def stores(tmp_path):
    made = [ShareStore(tmp_path / f"node-{node}", TERMS, node) for node in range(3)]
    deliver(made, *everything())
    return made


def erase(store, lists=1):
    store.erased.mark(SIDE, lists, NOW)
    store.rewrite({SIDE: store.unerased(SIDE)})
    store.erased.finish(SIDE)


class Opened:
    """Three nodes' parts, as tests.support.dealing takes them."""

    def __init__(self, parts):
        self.parts = parts


def held(stores):
    """The register (slots,) and panes 0 to 3 with all revisions (4, columns, slots), after comparing holders."""
    register = reveal_bits([Opened(s.register(*SIDE)[:, None]) for s in stores])[0]
    total = 0
    for revision in range(2):
        parts = [
            np.stack([np.concatenate([s._load((*SIDE, b, p, revision))[1] for b in range(2)], axis=2) for p in range(4)], axis=1)
            for s in stores
        ]
        total = total + reveal([Opened(part) for part in parts])
    return register, total


def expected(erased):
    """The same from what was sent; `erased`: slot → boundary."""
    register = np.concatenate([batch(b)[1][0] for b in range(2)])
    panes = np.stack([
        sum(np.concatenate([batch(b, p, r)[1] for b in range(2)], axis=1).view(np.int64) for r in range(2)) for p in range(4)
    ])
    for slot, boundary in erased.items():
        panes[:boundary, :, slot] = 0
    return register, panes


ROWS = dict.fromkeys((1, 5, 70, 127), 2)


def check(stores, erased):
    register, panes = held(stores)
    before, wanted = expected(erased)
    np.testing.assert_array_equal(panes, wanted)
    changed = set(np.flatnonzero(register != before).tolist())
    assert changed == set(erased)
    assert len(set(register.tolist())) == SLOTS, "linkage refuses equal keys"


def test_listed_rows_are_0_in_all_earlier_panes_and_revisions_and_nothing_else_changes(stores):
    deliver(stores, erasure())
    check(stores, {})
    for store in stores:
        erase(store)
    check(stores, ROWS)
    assert {store.erased.digest for store in stores} != {""}
    assert len({store.erased.digest for store in stores}) == 1
    assert {store.erased.panes for store in stores} == {2}


def test_a_second_list_erases_its_own_rows_before_its_own_boundary(stores):
    more = erasure(1, 4, (0, 2, 64, 65))
    deliver(stores, erasure(), more)
    for store in stores:
        erase(store, 2)
    check(stores, {**ROWS, **dict.fromkeys(more.slots, 4)})


def test_what_comes_later_is_erased_when_it_comes(tmp_path):
    stores = [ShareStore(tmp_path / f"node-{node}", TERMS, node) for node in range(3)]
    late = [batch(b, p, 1) for p in range(4) for b in range(2)]
    early = [each for each in everything() if each[0].revision == 0]
    deliver(stores, *early, erasure())
    for store in stores:
        erase(store)
    deliver(stores, *late, *early, *late)
    check(stores, ROWS)
    assert all(store.incidents == [] for store in stores)


def killed_after(files, write):
    """`write`, in a process that ends when one more than so many files are to be written."""
    def killed(*arguments, **more):
        nonlocal files
        files -= 1
        if files < 0:
            raise KeyboardInterrupt
        return write(*arguments, **more)

    return killed


@pytest.mark.parametrize("files", [0, 1, 7, 9])
def test_a_node_that_was_killed_between_two_files_goes_on_when_it_starts(stores, tmp_path, files, monkeypatch):
    deliver(stores, erasure())
    for store in stores[:2]:
        erase(store)
    store = stores[2]
    monkeypatch.setattr(store.files, "write", killed_after(files, store.files.write))
    with pytest.raises(KeyboardInterrupt):
        erase(store)
    assert store.erased.stand(SIDE, 4, NOW, 12).done == 0, "not told before all files are"
    again = [ShareStore(tmp_path / f"node-{node}", TERMS, node) for node in range(3)]
    assert [store.erased.stand(SIDE, 4, NOW, 12).done for store in again] == [1, 1, 1]
    check(again, ROWS)


def test_a_file_that_is_written_while_a_list_is_marked_never_says_that_it_obeys_it_and_does_not(stores, monkeypatch):
    """By the thread of an attempt that was given up, while the next one marks more."""
    gather = _Side.gather

    def meanwhile(held, *more):
        store.rewrite({SIDE: store.unerased(SIDE)})
        gather(held, *more)

    deliver(stores, erasure())
    monkeypatch.setattr(_Side, "gather", meanwhile)
    for store in stores:
        erase(store)
    check(stores, ROWS)


def test_what_a_write_that_was_cut_off_left_is_taken_away(stores, tmp_path):
    left = stores[0].files.path((*SIDE, 0, 1, 0)).with_suffix(".tmp")
    left.write_bytes(b"rows as they were")
    ShareStore(tmp_path / "node-0", TERMS, 0)
    assert not left.exists()


def test_what_was_set_aside_as_damaged_goes_with_the_rows_of_its_side(stores):
    party, shard = SIDE
    aside = [stores[0].files.path((party, of, 0, 1, 0)).with_suffix(DAMAGED) for of in (shard, shard + 1)]
    for path in aside:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"whatever")
    deliver(stores, erasure())
    erase(stores[0])
    assert [path.exists() for path in aside] == [False, True]


def test_a_batch_that_is_lost_and_sent_again_comes_back_erased(stores, tmp_path):
    deliver(stores, erasure())
    for store in stores:
        erase(store)
    for store in stores:
        store.files.path((*SIDE, 0, 0, 0)).unlink()
    again = [ShareStore(tmp_path / f"node-{node}", TERMS, node) for node in range(3)]
    deliver(again, batch(0, 0, 0))
    check(again, ROWS)


def test_lists_outlive_the_process_with_when_they_came(stores, tmp_path):
    for store in stores:
        store.erased.take(erasure(), SLOTS, NOW)
    again = ShareStore(tmp_path / "node-1", TERMS, 1).erased
    again.take(erasure(), SLOTS, NOW + timedelta(days=9))
    (kept,) = again.lists(SIDE)
    assert (kept.number, kept.boundary, kept.received_at, kept.digest) == (0, 2, NOW, erasure().digest)
    assert again.incidents == []


@pytest.mark.parametrize("wrong", [
    {"slots": (1, 5, 70, 126)}, {"boundary": 4}, {"number": 1},
    {"number": 1, "slots": (2, 3, 4, 128)}, {"number": 1, "slots": (2, 3, 4, 127)},
])
def test_a_list_that_does_not_follow_is_an_incident_and_changes_nothing(stores, wrong):
    first = erasure(boundary=4) if wrong.get("boundary") != 4 else erasure()
    deliver(stores, first, erasure(**{"boundary": 4, **wrong}))
    for store in stores:
        assert store.erased.incidents == [(*SIDE, wrong.get("number", 0))]
        assert [kept.digest for kept in store.erased.lists(SIDE)] == [first.digest]


def test_boundaries_never_go_back(stores):
    deliver(stores, erasure(boundary=4), erasure(1, 2, (2, 3, 4, 6)))
    assert all(store.erased.incidents == [(*SIDE, 1)] for store in stores)


def test_a_list_that_comes_before_what_it_follows_on_is_nobodys_fault_and_is_taken_when_it_comes_again(stores, tmp_path):
    more = erasure(1, slots=(2, 3, 4, 6))
    empty = [ShareStore(tmp_path / f"empty-{node}", TERMS, node) for node in range(3)]
    deliver(empty, batch(0), erasure())
    deliver(stores, more)
    for store in (*stores, *empty):
        assert (store.erased.known("insurer"), store.erased.incidents) == ((0,), [])
    deliver(empty, batch(1), erasure(), more)
    deliver(stores, erasure(), more)
    for store in (*stores, *empty):
        assert (store.erased.known("insurer"), store.erased.incidents) == ((2,), [])


@pytest.mark.parametrize(("changes", "message"), [
    ({"slots": (1, 5, 70)}, "list of 3 rows, expected 4"), ({"slots": (1, 5, 70, 71, 72)}, "list of 5 rows, expected 4"),
    ({"slots": (5, 1, 70, 71)}, "do not ascend"), ({"slots": (5, 5, 70, 71)}, "do not ascend"),
    ({"boundary": 3}, "expected a multiple of 2 up to 12"), ({"boundary": 14}, "expected a multiple of 2 up to 12"),
    ({"agreement": "0" * 64}, "under 0000"), ({"shard": 1}, "on partition 0"),
])
def test_a_list_that_was_not_agreed_is_refused(changes, message):
    sealed = SHARER.lists(erasure(**changes))
    for opener, each in zip(OPENERS, sealed, strict=True):
        with pytest.raises(BatchError, match=message):
            opener.open_list(each, 0)


def test_the_end_of_the_grid_may_be_a_lists_boundary():
    terms = keyed_terms(erasure={**AGREED, "every_panes": 5})
    sharer, opener = Sharer(terms, SHARING_KEY, SIGNING), Opener(terms, 0, KEYS[0])
    for boundary, fits in ((5, True), (11, False), (12, True)):
        message = sharer.lists(erasure(agreement=terms.hash, boundary=boundary))[0]
        with contextlib.nullcontext() if fits else pytest.raises(BatchError, match="before pane 11"):
            assert opener.open_list(message, 0).boundary == boundary


def test_a_list_is_for_one_node_and_signed_by_its_party():
    messages = SHARER.lists(erasure())
    with pytest.raises(BatchError, match="not signed by the party or not for this node"):
        OPENERS[1].open_list(messages[0], 0)
    stranger = Sharer(TERMS, SHARING_KEY, Ed25519PrivateKey.generate())
    with pytest.raises(BatchError, match="InvalidSignature"):
        OPENERS[0].open_list(stranger.lists(erasure())[0], 0)
    for place in (0, 64, 85, 120, len(messages[0]) - 1):
        broken = messages[0][:place] + bytes([messages[0][place] ^ 1]) + messages[0][place + 1 :]
        with pytest.raises(BatchError):
            OPENERS[0].open_list(broken, 0)
    for junk in (b"", bytes(64), bytes(64) + b"winnow erasure 1\n", bytes(64) + b"winnow erasure 1\n" + b"\xff" * 9):
        with pytest.raises(BatchError):
            OPENERS[0].open_list(junk, 0)
    without = Opener(keyed_terms(), 0, KEYS[0])
    with pytest.raises(BatchError, match="this|under"):
        without.open_list(messages[0], 0)


def test_a_note_of_a_list_is_the_partys():
    note = SHARER.sent(erasure())
    sent = open_sent(note, SIGNING.public_key())
    assert (sent.number, sent.boundary, sent.rows, sent.digest) == (0, 2, 4, erasure().digest)
    for wrong in (note[:-1], note[:64] + note[65:], b"", Sharer(TERMS, SHARING_KEY, Ed25519PrivateKey.generate()).sent(erasure())):
        with pytest.raises(BatchError):
            open_sent(wrong, SIGNING.public_key())


@pytest.mark.parametrize(("complete", "days", "sealed", "due", "overdue"), [
    (3, 0, 12, 0, 0), (4, 0, 4, 1, 0), (5, 0, 12, 1, 0), (6, 0, 6, 2, 0), (0, 10, 12, 2, 2), (0, 10, 3, 1, 1),
    (4, 9.9, 12, 1, 0), (12, 11, 1, 0, 0),
])
def test_a_list_is_due_when_windows_have_run_or_a_node_has_waited_long_enough(stores, complete, days, sealed, due, overdue):
    erased = stores[0].erased
    erased.take(erasure(), SLOTS, NOW)
    erased.take(erasure(1, 4, (2, 3, 4, 6)), SLOTS, NOW)
    stand = erased.stand(SIDE, complete, NOW + timedelta(days=days), sealed)
    assert stand == (2, due, overdue, 0, 0)


def test_a_folder_that_lost_what_it_erased_by_is_refused(stores, tmp_path):
    deliver(stores, erasure())
    erase(stores[0])
    (tmp_path / "node-0" / "insurer" / "shard-00" / "erasure" / "list-00000.json").unlink()
    with pytest.raises(StoreError, match="lacks lists of which rows were erased"):
        ShareStore(tmp_path / "node-0", TERMS, 0)


@pytest.mark.parametrize("changes", [{"shard": 1}, {"party": "hospital"}, {"agreement": "0" * 64}, {"number": 1}])
def test_a_file_with_another_ones_list_is_refused(stores, tmp_path, changes):
    deliver(stores, erasure())
    file = tmp_path / "node-0" / "insurer" / "shard-00" / "erasure" / "list-00000.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({**kept, "list": erasure(**changes).canonical.decode()}))
    with pytest.raises(StoreError, match="list-00000.json holds another list"):
        ShareStore(tmp_path / "node-0", TERMS, 0)


@pytest.mark.parametrize("content", ["{", '{"received_at": "swordfish"}'])
def test_a_damaged_list_is_refused_and_not_shown(stores, tmp_path, content):
    deliver(stores, erasure())
    (tmp_path / "node-0" / "insurer" / "shard-00" / "erasure" / "list-00000.json").write_text(content)
    with pytest.raises(StoreError, match=r"erasure cannot be read: a file in it is damaged\. Restore the folder") as error:
        ShareStore(tmp_path / "node-0", TERMS, 0)
    assert "swordfish" not in str(error.value)


def test_a_disk_that_takes_no_list_is_said_to_be_that(stores, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("streams.durable.os.fsync", full)
    with pytest.raises(StoreError, match="No space left on device. Make room"):
        stores[0].erased.take(erasure(), SLOTS, NOW)
    monkeypatch.undo()
    stores[0].erased.take(erasure(), SLOTS, NOW)
    assert len(ShareStore(tmp_path / "node-0", TERMS, 0).erased.lists(SIDE)) == 1


def test_receipts_have_a_topic_only_where_rows_are_erased_which_nodes_write_and_the_party_reads():
    name = topics.receipts("insurer", TERMS.draft.name)
    assert name in {t.name for t in topics.all_topics(TERMS.draft)}
    assert name not in {t.name for t in topics.all_topics(keyed_terms().draft)}
    mine = {(r.user, r.operation) for r in rules(TERMS.draft) if r.name == name}
    assert mine == {
        ("party-insurer", Operation.READ), ("party-insurer", Operation.WRITE),
        *((f"node-{node}", Operation.WRITE) for node in range(3)),
    }


LISTS = (erasure(), erasure(1, 4, (0, 2, 64, 65)))
SENT = {
    each: [opener.open_list(message, 0) if isinstance(each, ErasureList) else opener.open(message, 0)
           for opener, message in zip(OPENERS, SHARER.lists(each) if isinstance(each, ErasureList) else SHARER.messages(*made), strict=True)]
    for each, made in [*((head.key, (head, content)) for head, content in everything()), *((kept, None) for kept in LISTS)]
}


class Unlucky:
    """A node to which anything may happen at any time."""

    def __init__(self, number, folder, rng):
        self.number, self.folder, self.rng = number, folder, rng
        self.store = ShareStore(folder, TERMS, number)

    def restart(self):
        self.store = ShareStore(self.folder, TERMS, self.number)

    def take(self, *names):
        self.store.add([SENT[name][self.number] for name in names])

    def mark(self, most):
        erased = self.store.erased
        erased.mark(SIDE, min(most, len(erased.lists(SIDE))), NOW)

    def erase(self, most, monkeypatch):
        """Killed before some file."""
        self.mark(most)
        monkeypatch.setattr(self.store.files, "write", killed_after(self.rng.randrange(12), self.store.files.write))
        try:
            self.store.rewrite({SIDE: self.store.unerased(SIDE)})
            self.store.erased.finish(SIDE)
            monkeypatch.undo()
        except KeyboardInterrupt:
            monkeypatch.undo()
            self.restart()

    def hurt(self):
        """A file is lost, cut off, or full of nonsense; a start notices."""
        path = self.rng.choice([*sorted(self.folder.rglob("*.arrow")), None])
        if path is not None:
            content = path.read_bytes()
            path.write_bytes(self.rng.choice([content[: len(content) // 2], b"", self.rng.randbytes(len(content))]))
            if self.rng.random() < 0.3:
                path.unlink()
            path.with_suffix(".tmp").write_bytes(content)
        if self.rng.random() < 0.2:
            (self.folder / "taken").unlink(missing_ok=True)
        self.restart()


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_to_nodes_listed_rows_are_gone_and_all_else_is_there(tmp_path, seed, monkeypatch):
    rng, names = random.Random(seed), list(SENT)
    nodes = [Unlucky(number, tmp_path / f"node-{number}", rng) for number in range(3)]
    for _ in range(150):
        node = rng.choice(nodes)
        match rng.randrange(8):
            case 0:
                node.erase(rng.randrange(3), monkeypatch)
            case 1:
                node.mark(rng.randrange(3))
            case 2:
                node.hurt()
            case 3:
                node.restart()
            case _:
                node.take(*rng.choices(names, k=rng.randrange(1, 6)))
    for node in nodes:
        node.restart()
        for _ in range(2):
            node.take(*names)
        erase(node.store, 2)
        node.restart()
    stores = [node.store for node in nodes]
    check(stores, {**ROWS, **dict.fromkeys(LISTS[1].slots, 4)})
    assert all((s.incidents, s.erased.incidents, s.missing("insurer", 9)[1:]) == ([], [], []) for s in stores)
    for node in nodes:
        party = node.folder / "insurer"
        assert not [*party.rglob("*.tmp"), *party.rglob(f"*{DAMAGED}")]
        for kept in LISTS:
            for pane in range(kept.boundary):
                for slot in kept.slots:
                    for revision in range(2):
                        assert not node.store._load((*SIDE, slot // 64, pane, revision))[1][:, :, slot % 64].any()
