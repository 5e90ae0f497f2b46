"""A party, a node or someone in between against a node's inbox and store."""

import numpy as np
import pyarrow as pa
import pytest

from streams import parcel
from streams.batch import framed
from streams.errors import BatchError
from streams.inbox import Opener
from streams.parcel import unseal
from streams.share import Sharer
from streams.store import ShareStore
from tests.support.parties import SHARING_KEY, keyed_terms
from tests.unit.streams.test_shares import KEYS, OPENERS, SHARER, SIGNING, TERMS, block, header, register

LIMIT_BYTES = 64 << 20


def compressed_stream(sink, schema, plain=pa.ipc.new_stream):
    """As nobody honest writes."""
    return plain(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd"))


@pytest.mark.parametrize("size", [1 << 10, 256 << 20])
def test_a_small_message_does_not_become_large_in_memory(monkeypatch, size):
    """A signed and sealed message of a few kB whose body says that it is 256 MiB."""
    head = header()
    pieces = unseal(SHARER.messages(head, block(head))[2], 2, KEYS[2], SIGNING.public_key())
    monkeypatch.setattr(parcel.pa.ipc, "new_stream", compressed_stream)
    bomb = parcel.Piece(**{**vars(pieces[1]), "body": bytes(size)})
    message = parcel.seal(head, [pieces[0], bomb], 2, KEYS[2].public_key(), SIGNING)
    assert len(message) < 40_000
    usual, watched = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(watched)
    try:
        with pytest.raises(BatchError, match="not Arrow"):
            OPENERS[2].open(message, 0)
    finally:
        pa.set_memory_pool(usual)
    assert (watched.max_memory() or 0) < LIMIT_BYTES


@pytest.mark.parametrize("change", ["agreement", "party", "shard", "block", "pane", "kind"])
def test_a_batch_replayed_under_another_name_does_not_open(change):
    """Signed bytes are taken from one batch and put under the header of another."""
    head = header()
    message = SHARER.messages(head, block(head))[0]
    other = {
        "agreement": header(agreement="0" * 64), "party": header(party="hospital"), "shard": header(shard=1),
        "block": header(block=2), "pane": header(pane=4), "kind": register(),
    }[change]
    _, _, sealed = parcel.unframed(message[parcel.SIGNATURE_BYTES :])
    with pytest.raises(BatchError):
        OPENERS[0].open(message[: parcel.SIGNATURE_BYTES] + framed(other, sealed), other.shard)


def test_a_batch_of_another_agreement_between_the_same_parties_is_refused():
    """Same keys, same parties, another agreement (and so another epoch and other masks)."""
    theirs = keyed_terms(disclosure={"minimum_cohort": 4})
    head = header(agreement=theirs.hash)
    message = Sharer(theirs, SHARING_KEY, SIGNING).messages(head, block(head))[0]
    with pytest.raises(BatchError, match="expected this agreement"):
        OPENERS[0].open(message, 0)
    assert Opener(theirs, 0, KEYS[0]).open(message, 0).header.agreement == theirs.hash


def test_a_batch_on_another_shards_partition_is_refused():
    head = header()
    with pytest.raises(BatchError, match="does not fit the agreement"):
        OPENERS[0].open(SHARER.messages(head, block(head))[0], 1)


def test_a_party_that_tells_two_nodes_different_things_is_found_out_before_anything_is_computed(tmp_path):
    """Each message is good by itself; the holders of a component see that their commitments differ."""
    head = register(blocks=1)
    one, two = block(head, 1), block(head, 2)
    stores = []
    for node, content in enumerate((one, two, one)):
        store = ShareStore(tmp_path / str(node), TERMS, node)
        store.add([OPENERS[node].open(SHARER.messages(head, content)[node], 0)])
        stores.append(next(iter(store._index.values())).commitments)
    assert stores[0][1] != stores[1][1]
    assert stores[1][2] != stores[2][2]
    assert stores[2][0] == stores[0][0]


def test_the_first_content_stays_and_a_second_one_shares_no_mask_with_it(tmp_path):
    """Someone replaces a pane after it was used: the store keeps the first, and remembers that it was tried."""
    head = header()
    zero = np.zeros(head.shape, np.uint64)
    one = zero.copy()
    one[0, 0] = 1
    store = ShareStore(tmp_path, TERMS, 0)
    batches = [OPENERS[0].open(SHARER.messages(head, content)[0], 0) for content in (zero, one)]
    store.add(batches)
    assert store.incidents == [head.key]
    np.testing.assert_array_equal(store._load(head.key)[1][0], batches[0].components[0])
    for component in (0, 1):
        difference = batches[1].components[component] - batches[0].components[component]
        assert np.count_nonzero(difference == 0) == 0


def test_nobody_gets_a_checkable_digest_of_the_component_it_lacks():
    """With sparse data a guess at the missing component is easy; it must not be checkable from a node's own message."""
    head = header()
    messages = SHARER.messages(head, block(head))
    for node in range(3):
        pieces = unseal(messages[node], node, KEYS[node], SIGNING.public_key())
        missing = (node + 2) % 3
        theirs = unseal(messages[missing], missing, KEYS[missing], SIGNING.public_key())[0]
        assert theirs.component == missing
        mine = b"".join(p.salt + p.commitment + p.body for p in pieces)
        assert theirs.commitment not in mine
        assert theirs.salt not in mine
