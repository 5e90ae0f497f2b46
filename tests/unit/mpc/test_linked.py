"""What is kept of a linkage comes back whole, or not at all."""

from dataclasses import replace

import numpy as np
import pytest

from mpc.aes import SharedKey
from mpc.engine import Permutation
from mpc.errors import LinkageError
from mpc.linked import CHECKSUM_BYTES, LinkedShard, Segment, checksum
from mpc.matching import Table, match

HEAD = 16 + CHECKSUM_BYTES
"""Where what the checksum is of begins."""


def made(join="inner", parties=3, segments=2):
    """A linkage with made-up permutations; tags of 20 to 40 rows a segment."""
    rng = np.random.default_rng(1)
    tables = [[] for _ in range(parties)]
    order, found = (), []
    for segment in range(segments):
        permutations = []
        for own in tables:
            tags = rng.permutation(np.arange(100 * segment, 100 * segment + 40, dtype=np.uint64))[: 20 + 5 * len(permutations)]
            permutations.append(Permutation((rng.permutation(len(tags)), None, rng.permutation(len(tags))), len(tags)))
            own.append(Table.of(tags * np.uint64(2**40)))
        order = match(tables, order, join)
        found.append((tuple(permutations), tuple(own[-1] for own in tables)))
    kept = [Segment(permutations, own, 6, places) for (permutations, own), places in zip(found, order, strict=True)]
    return LinkedShard(join, SharedKey(bytes(range(32))), rng.integers(0, 2**63, (parties, 4)).astype(np.uint64), tuple(kept))


@pytest.mark.parametrize("join", ["inner", "left"])
@pytest.mark.parametrize(("parties", "segments"), [(2, 1), (3, 2), (5, 4)])
def test_a_stored_linkage_comes_back_as_it_was(join, parties, segments):
    linked = made(join, parties, segments)
    again = LinkedShard.from_bytes(linked.to_bytes())
    assert (again.join, again.key, again.rows, again.linked) == (linked.join, linked.key, linked.rows, linked.linked)
    np.testing.assert_array_equal(again.planted, linked.planted)
    for party in range(parties):
        np.testing.assert_array_equal(again.places(party), linked.places(party))
    for old, new in zip(linked.segments, again.segments, strict=True):
        for mine, theirs in zip(old.tables, new.tables, strict=True):
            np.testing.assert_array_equal(mine.tags, theirs.tags)
            np.testing.assert_array_equal(mine.rows, theirs.rows)
    assert again.to_bytes() == linked.to_bytes()


def test_rows_and_slots_run_through_the_segments():
    linked = made()
    assert linked.rows == (40, 50, 60)
    assert [linked.slots(party) for party in range(3)] == [28, 38, 48]


def with_segments(linked, change):
    first, *rest = linked.segments
    return LinkedShard(linked.join, linked.key, linked.planted, (change(first), *rest))


def elsewhere(segment):
    """A linked row that no register has."""
    order = segment.order.copy()
    order[1, 0] = 10**6
    return Segment(segment.permutations, segment.tables, segment.dummies, order)


def missing(segment):
    order = segment.order.copy()
    order[0, 0] = -1
    return Segment(segment.permutations, segment.tables, segment.dummies, order)


def unsorted(segment):
    first, *rest = segment.tables
    return Segment(segment.permutations, (Table(first.tags[::-1], first.rows), *rest), segment.dummies, segment.order)


def twice(segment):
    first, *rest = segment.tables
    return Segment(segment.permutations, (Table(first.tags, np.zeros_like(first.rows)), *rest), segment.dummies, segment.order)


def too_many_dummies(segment):
    return Segment(segment.permutations, segment.tables, 100, segment.order)


def short(segment):
    first, *rest = segment.permutations
    less = Permutation((np.arange(first.n - 1), None, np.arange(first.n - 1)), first.n - 1)
    return Segment((less, *rest), segment.tables, segment.dummies, segment.order)


def whole(stored):
    """With the checksum of what it holds now."""
    body = bytes(stored[HEAD:])
    return bytes(stored[:16]) + checksum(body) + body


@pytest.mark.parametrize("change", [elsewhere, missing, unsorted, twice, too_many_dummies, short])
@pytest.mark.parametrize("join", ["inner", "left"])
def test_what_contradicts_itself_is_refused(change, join):
    stored = with_segments(made(join), change).to_bytes()
    with pytest.raises(LinkageError, match="Link this shard again"):
        LinkedShard.from_bytes(stored)


def test_a_left_join_in_another_order_is_refused():
    def swapped(segment):
        return Segment(segment.permutations, segment.tables, segment.dummies, segment.order[:, ::-1])

    with pytest.raises(LinkageError, match="not those of the first register"):
        LinkedShard.from_bytes(with_segments(made("left"), swapped).to_bytes())


@pytest.mark.parametrize("first", [1, 2, 7])
def test_batches_of_the_first_segment_are_kept(first):
    found = LinkedShard.from_bytes(replace(made(segments=3), first=first).to_bytes())
    assert (found.first, found.batches) == (first, first + 2)
    assert [len(found.until(batches).segments) for batches in range(1, first + 4)] == [1] * first + [2, 3, 3]


@pytest.mark.parametrize("first", [0, 2**10 + 1])
def test_a_first_segment_out_of_bounds_is_refused(first):
    with pytest.raises(LinkageError, match=f"a first segment of {first} batches"):
        LinkedShard.from_bytes(replace(made(), first=first).to_bytes())


def test_a_stored_linkage_survives_only_whole():
    stored = made().to_bytes()
    for size in (0, 10, 16, 40, 80, len(stored) // 2, len(stored) - 1):
        for cut in (stored[:size], whole(stored[:size])):
            with pytest.raises(LinkageError, match="Link this shard again"):
                LinkedShard.from_bytes(cut)
    with pytest.raises(LinkageError, match="it is damaged"):
        LinkedShard.from_bytes(stored + b"\0")
    with pytest.raises(LinkageError, match="1 bytes follow its end"):
        LinkedShard.from_bytes(whole(stored + b"\0"))


@pytest.mark.parametrize("version", [b"winnow linked 3\n", b"winnow linked 5\n"])
def test_another_version_is_refused(version):
    stored = made().to_bytes()
    with pytest.raises(LinkageError, match="does not start with b'winnow linked 4"):
        LinkedShard.from_bytes(version + stored[len(version):])


@pytest.mark.parametrize("join", ["inner", "left"])
def test_no_bit_can_flip_unnoticed(join):
    """Of the key, a permutation, a tag, an order or whatever it is: each of some hundreds."""
    stored, rng = made(join, segments=3).to_bytes(), np.random.default_rng(5)
    every = 8 * len(stored)
    for bit in {*range(8 * 128), *rng.integers(0, every, 400).tolist(), *range(every - 64, every)}:
        damaged = bytearray(stored)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(LinkageError, match="it is damaged|does not start with"):
            LinkedShard.from_bytes(bytes(damaged))


@pytest.mark.parametrize("place", range(HEAD, HEAD + 49))
def test_no_number_of_the_head_makes_room_before_it_is_checked(place):
    """Joins, parties, segments and dummies beyond all bounds: refused; or of the key, or a possible number, and read."""
    stored = bytearray(made().to_bytes())
    stored[place] ^= 0xFF
    if place == HEAD + 9:
        assert LinkedShard.from_bytes(whole(stored)).first == 0xFE
    elif HEAD + 13 <= place < HEAD + 45:
        assert LinkedShard.from_bytes(whole(stored)).key.parts != bytes(range(32))
    else:
        with pytest.raises(LinkageError, match="Link this shard again"):
            LinkedShard.from_bytes(whole(stored))
