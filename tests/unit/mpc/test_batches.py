"""Registers that grow within an epoch, against plain sets: batches of new blocks, matched with all that was linked."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mpc.aes import SharedKey, draw_key, expand_key, from_planes
from mpc.dummies import region_cap, regions, repeatable
from mpc.engine import Engine
from mpc.errors import LinkageError
from mpc.linkage import Columns, LinkedShard, align, extend, link
from tests.support.dealing import deal, deal_bits, reveal
from tests.support.wires import run_three

NOISE_KEYS = [bytes([node]) * 32 for node in range(3)]


def cohort(seed, parties, patients, segments, absent=0.25):
    """Each party's link keys in each segment; a patient comes to a party in any of them, or never."""
    rng = np.random.default_rng(seed)
    keys = np.array(random.Random(seed).sample(range(1, 2**60), patients), np.uint64)
    where = rng.integers(0, segments, (parties, patients))
    where[rng.random((parties, patients)) < absent] = -1
    return [[rng.permutation(keys[at == segment]) for segment in range(segments)] for at in where]


def stored(linked):
    """As it comes back from disk."""
    return LinkedShard.from_bytes(linked.to_bytes())


async def linked_three(tables, dummies, join="inner"):
    """Every node's linkage of first segments."""
    shares = [deal_bits(table, np.random.default_rng(1)) for table in tables]

    async def program(wire):
        engine = Engine(wire)
        keys = await expand_key(engine, draw_key(engine))
        return await link(
            engine, keys, [s[wire.number] for s in shares], dummies, repeatable(NOISE_KEYS[wire.number], b"0"), join=join,
        )

    return await run_three(program)


async def extended_three(before, tables, dummies, opened=None):
    """Every node's linkage after one batch, in an attempt of its own; `opened` takes what node 0 saw."""
    shares = [deal_bits(table, np.random.default_rng(2)) for table in tables]

    async def program(wire):
        engine = Engine(wire)
        if opened is not None and wire.number == 0:
            watched = engine.open_bits

            async def open_bits(x):
                opened.append(await watched(x))
                return opened[-1]

            engine.open_bits = open_bits
        linked = stored(before[wire.number])
        keys = await expand_key(engine, linked.key)
        noise = repeatable(NOISE_KEYS[wire.number], b"%d" % len(linked.segments))
        return await extend(engine, keys, linked, [s[wire.number] for s in shares], dummies, noise)

    return await run_three(program)


async def aligned_three(results, columns, seed=3):
    """The opened columns of all parties, in linked order."""
    shares = [deal(values, np.random.default_rng(seed)) for values in columns]

    async def program(wire):
        linked = stored(results[wire.number])
        return await align(Engine(wire), [Columns(linked, p, s[wire.number]) for p, s in enumerate(shares)])

    at_nodes = await run_three(program)
    return [reveal([node[party] for node in at_nodes]) for party in range(len(columns))]


def whole(registers, segments):
    """Each party's keys of all segments so far, as one column of its register."""
    return [np.concatenate(own[:segments])[None] for own in registers]


def batch(registers, segment):
    return [own[segment] for own in registers]


@pytest.mark.parametrize("join", ["inner", "left"])
@pytest.mark.parametrize(("parties", "dummies", "later"), [(2, 0, 0), (2, 5, 4), (3, 32, 16), (4, 14, 52), (5, 30, 160)])
async def test_every_batch_links_whom_sets_say(join, parties, dummies, later):
    registers = cohort(parties, parties, 60, 3)
    results = await linked_three(batch(registers, 0), dummies, join)
    seen_before = None
    for segments in (1, 2, 3):
        if segments > 1:
            results = await extended_three(results, batch(registers, segments - 1), later)
        keys = whole(registers, segments)
        seen = [found[0] for found in await aligned_three(results, keys)]
        held = [set(column[0].tolist()) for column in keys]
        wanted = set.intersection(*held) if join == "inner" else held[0]
        assert sorted(seen[0][seen[0] != 0].tolist()) == sorted(wanted)
        for mine, column in zip(held, seen, strict=True):
            np.testing.assert_array_equal(column, [key if key in mine else 0 for key in seen[0].tolist()])
        # What was linked stays where it is.
        if seen_before is not None:
            np.testing.assert_array_equal(seen[0][: len(seen_before)], seen_before)
        seen_before = seen[0]


async def test_values_follow_their_patients_through_the_segments():
    registers = cohort(7, 3, 80, 3)
    results = await linked_three(batch(registers, 0), 8)
    for segment in (1, 2):
        results = await extended_three(results, batch(registers, segment), 16)
    keys = whole(registers, 3)
    rng = np.random.default_rng(8)
    columns = [rng.integers(-(2**60), 2**60, (3, column.shape[1])) for column in keys]
    by_key = [dict(zip(k[0].tolist(), c.T.tolist(), strict=True)) for k, c in zip(keys, columns, strict=True)]
    order, moved = await aligned_three(results, keys), await aligned_three(results, columns)
    assert order[0].shape[1] > 0
    for place, key in enumerate(order[0][0].tolist()):
        for party in range(3):
            assert moved[party][:, place].tolist() == (by_key[party][key] if key else [0, 0, 0])


async def test_many_columns_of_many_segments_move_in_pieces(monkeypatch):
    monkeypatch.setattr("mpc.linkage.CELLS_PER_SHUFFLE", 50)
    registers = cohort(9, 2, 60, 3)
    results = await linked_three(batch(registers, 0), 0)
    for segment in (1, 2):
        results = await extended_three(results, batch(registers, segment), 0)
    keys = whole(registers, 3)
    first, second = await aligned_three(results, [column + np.arange(5, dtype=np.uint64)[:, None] for column in keys])
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, first[0] + np.arange(5)[:, None])


async def test_a_party_may_have_nobody_new():
    registers = [[np.array([1, 2, 3], np.uint64), np.array([4], np.uint64)], [np.array([3, 4, 5], np.uint64), np.array([], np.uint64)]]
    results = await extended_three(await linked_three(batch(registers, 0), 0), batch(registers, 1), 0)
    first, second = await aligned_three(results, whole(registers, 2))
    assert first.tolist() == second.tolist() == [[3, 4]]


async def test_a_batch_opens_its_own_tags_alone_under_the_epochs_key():
    registers = cohort(10, 3, 60, 2)
    before = await linked_three(batch(registers, 0), 6)
    opened = []
    after = await extended_three(before, batch(registers, 1), 16, opened)
    (planes,) = opened
    rows = [len(table) + 3 * 16 for table in batch(registers, 1)]
    assert [segment.n for segment in after[0].segments[1].permutations] == rows
    tags = from_planes(planes, sum(rows))
    np.testing.assert_array_equal(np.sort(tags), np.sort(np.concatenate([t.tags for t in after[0].segments[1].tables])))
    for node, linked in enumerate(after):
        assert linked.key == before[node].key
        for old, new in zip(before[node].segments[0].tables, linked.segments[0].tables, strict=True):
            np.testing.assert_array_equal(old.tags, new.tags)


async def test_a_batch_has_permutations_of_its_own_of_which_no_node_knows_all():
    registers = cohort(11, 2, 200, 2, absent=0)
    registers = [[own[0][:40], own[1][:40]] for own in registers]
    results = await extended_three(await linked_three(batch(registers, 0), 0), batch(registers, 1), 0)
    for linked in results:
        for first, later in zip(*(segment.permutations for segment in linked.segments), strict=True):
            assert sum(piece is None for piece in later.pieces) == 1
            for old, new in zip(first.pieces, later.pieces, strict=True):
                assert old is None or not np.array_equal(old, new)


def region_sizes(tables, linked):
    """Sizes of a batch's regions, as tags of the last segment and of those before tell."""
    where = {}
    for party, table in enumerate(tables):
        for tag in table.tolist():
            where[tag] = (*where.get(tag, ()), party)
    earlier = [np.concatenate([s.tables[p].tags for s in linked.segments[:-1]]).tolist() for p in range(len(tables))]
    earlier = [set(each) for each in earlier]
    return Counter((new, tuple(p for p, own in enumerate(earlier) if tag in own)) for tag, new in where.items())


async def test_region_sizes_of_a_batch_carry_dummies_old_rows_included():
    registers = cohort(12, 3, 90, 2)
    plain = await extended_three(await linked_three(batch(registers, 0), 0), batch(registers, 1), 0)
    true = region_sizes([t.tags for t in plain[0].segments[1].tables], plain[0])
    noisy = await extended_three(await linked_three(batch(registers, 0), 64), batch(registers, 1), 64)
    found = region_sizes([t.tags for t in noisy[0].segments[1].tables], noisy[0])
    added = {region: found[region] - true[region] for region in regions(3, later=True)}
    assert all(0 <= count <= 3 * region_cap(3, 64, later=True) for count in added.values())
    assert sum(count for (_, earlier), count in added.items() if earlier) > 10
    assert len(set(added.values())) > 1


async def test_attempts_at_a_batch_show_the_same_tags_in_another_order():
    """The key is the epoch's: a tag that came once and not again would be a dummy's."""
    registers = cohort(13, 3, 90, 2)
    before = await linked_three(batch(registers, 0), 6)
    first, again = [(await extended_three(before, batch(registers, 1), 16))[0].segments[1] for _ in range(2)]
    for old, new in zip(first.tables, again.tables, strict=True):
        np.testing.assert_array_equal(old.tags, new.tags)
        assert np.mean(old.rows == new.rows) < 0.2


@pytest.mark.parametrize("join", ["inner", "left"])
async def test_a_key_that_its_register_has_already_is_refused(join):
    registers = [np.arange(1, 11, dtype=np.uint64), np.arange(5, 25, dtype=np.uint64)]
    before = await linked_three(registers, 0, join)
    with pytest.raises(LinkageError, match="register of party 1 holds a link key twice") as caught:
        await extended_three(before, [np.array([30], np.uint64), np.array([31, 24], np.uint64)], 0)
    assert caught.value.party == 1


async def test_a_batch_that_does_not_fit_its_linkage_is_refused():
    registers = [np.arange(1, 11, dtype=np.uint64), np.arange(5, 25, dtype=np.uint64)]
    new = [np.array([30], np.uint64), np.array([31], np.uint64)]
    before = await linked_three(registers, 0)
    with pytest.raises(LinkageError, match="a batch of 3 registers; the linkage is of 2"):
        await extended_three(before, [*new, *new[:1]], 0)
    with pytest.raises(LinkageError, match="in a batch. Agree on 0 or at least 4"):
        await extended_three(before, new, 3)


async def test_tags_under_another_key_are_refused():
    before = await linked_three([np.arange(1, 11, dtype=np.uint64)] * 2, 0)
    strange = [replace(linked, key=SharedKey(bytes(32))) for linked in before]
    new = deal_bits(np.array([50], np.uint64), np.random.default_rng(1))

    async def program(wire):
        engine = Engine(wire)
        keys = await expand_key(engine, before[wire.number].key)
        await extend(engine, keys, strange[wire.number], [new[wire.number]] * 2, 0, random.getrandbits)

    with pytest.raises(LinkageError, match="made under another key"):
        await run_three(program)


async def test_segments_and_rows_are_bounded(monkeypatch):
    before = await linked_three([np.arange(1, 11, dtype=np.uint64)] * 2, 0)
    new = [np.array([50], np.uint64)] * 2
    with monkeypatch.context() as patch:
        patch.setattr("mpc.linkage.MAX_SEGMENTS", 1)
        with pytest.raises(LinkageError, match="begin a new epoch"):
            await extended_three(before, new, 0)
    monkeypatch.setattr("mpc.linkage.MAX_ROWS", 10)
    with pytest.raises(LinkageError, match="a register of 11 rows; at most 10 fit"):
        await extended_three(before, new, 0)


async def test_a_column_without_the_batchs_blocks_is_refused():
    registers = [np.arange(1, 11, dtype=np.uint64), np.arange(5, 25, dtype=np.uint64)]
    results = await extended_three(await linked_three(registers, 0), [np.array([n], np.uint64) for n in (30, 31)], 0)
    with pytest.raises(LinkageError, match="has 10 rows, its linked register 11"):
        await aligned_three(results, [np.ones((1, 10)), np.ones((1, 21))])


@pytest.mark.parametrize("join", ["inner", "left"])
async def test_a_linkage_as_it_was_aligns_the_columns_of_that_time(join):
    """Columns of the first segments' slots; linked rows as they were before the later ones came."""
    registers = cohort(11, 3, 70, 3)
    then = results = await linked_three(batch(registers, 0), 8, join)
    for segment in (1, 2):
        results = await extended_three(results, batch(registers, segment), 16)
    assert all(found.until(3) is found for found in results)
    for segments, before in ((1, then), (2, None)):
        keys = whole(registers, segments)
        seen = await aligned_three([found.until(segments) for found in results], keys)
        np.testing.assert_array_equal(
            seen[0][0], (await aligned_three(results, whole(registers, 3)))[0][0][: seen[0].shape[1]]
        )
        held = [set(column[0].tolist()) for column in keys]
        for mine, column in zip(held, seen, strict=True):
            np.testing.assert_array_equal(column[0], [key if key in mine else 0 for key in seen[0][0].tolist()])
        if before is not None:
            for mine, was in zip(seen, await aligned_three(before, keys), strict=True):
                np.testing.assert_array_equal(mine, was)
