"""Linkage against plain sets: the right patients, in one order for everyone, and what the opened tags tell."""

import random
from collections import Counter

import numpy as np
import pytest

from mpc.aes import draw_key, expand_key, from_planes
from mpc.dummies import region_cap, regions
from mpc.engine import Engine
from mpc.errors import MpcError
from mpc.linkage import Columns, LinkageError, LinkedShard, align, link
from tests.support.dealing import deal, deal_bits, reveal
from tests.support.wires import run_three


class Watching(Engine):
    """Keeps what is opened."""

    def __init__(self, wire):
        super().__init__(wire)
        self.opened = []

    async def open_bits(self, x):
        found = await super().open_bits(x)
        self.opened.append(found)
        return found

    async def open(self, x):
        raise AssertionError("linkage opens nothing but tags")


def registers(rng, sizes, shared):
    """Link keys of each party; `shared` of them are everybody's, and some belong to the first two only."""
    keys = random.Random(int(rng.integers(2**32))).sample(range(1, 2**60), sum(sizes) + 5)
    common, pairwise_only, rest = keys[:shared], keys[shared : shared + 5], keys[shared + 5 :]
    tables = []
    for party, size in enumerate(sizes):
        own = common + (pairwise_only if party < 2 else [])
        own += [rest.pop() for _ in range(size - len(own))]
        tables.append(rng.permutation(np.array(own, np.uint64)))
    return tables


async def link_three(tables, dummies, seed=0, join="inner"):
    """Every node's (engine, linkage)."""
    rng = np.random.default_rng(seed)
    shares = [deal_bits(table, rng) for table in tables]

    async def program(wire):
        engine = Watching(wire)
        keys = await expand_key(engine, draw_key(engine))
        return engine, await link(engine, keys, [s[wire.number] for s in shares], dummies, join=join)

    return await run_three(program)


async def align_three(results, party, columns, seed=1):
    """The opened, aligned columns, computed in a new attempt from the stored linkages."""
    shares = deal(columns, np.random.default_rng(seed))
    stored = [linked.to_bytes() for _, linked in results]

    async def program(wire):
        linked = LinkedShard.from_bytes(stored[wire.number])
        (aligned,) = await align(Engine(wire), [Columns(linked, party, shares[wire.number])])
        return aligned

    return reveal(await run_three(program))


@pytest.mark.parametrize(
    ("sizes", "shared", "dummies"),
    [((40, 40), 20, 0), ((30, 70, 50), 17, 0), ((30, 70, 50), 17, 8), ((20, 25, 40, 31), 12, 14), ((15, 9, 8, 7, 6), 4, 30)],
)
async def test_linked_rows_are_the_common_keys(sizes, shared, dummies):
    rng = np.random.default_rng(sum(sizes))
    tables = registers(rng, sizes, shared)
    results = await link_three(tables, dummies)
    orders = [[linked.places(party) for party in range(len(sizes))] for _, linked in results]
    np.testing.assert_array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[0], orders[2])
    assert results[0][1].rows == tuple(len(t) + 3 * dummies for t in tables)
    # Sharing the keys as a column shows whom each linked row stands for, in every party's register.
    seen = [await align_three(results, party, table[None]) for party, table in enumerate(tables)]
    for other in seen[1:]:
        np.testing.assert_array_equal(seen[0], other)
    patients = seen[0][0][seen[0][0] != 0]
    assert sorted(patients.tolist()) == sorted(set.intersection(*(set(t.tolist()) for t in tables)))


async def test_later_columns_follow_the_same_order_and_dummies_are_zero():
    rng = np.random.default_rng(5)
    tables = registers(rng, (60, 80, 70), 33)
    results = await link_three(tables, 60)  # of which some fall to all three, but in one run of billions
    columns = [rng.integers(-(2**60), 2**60, (3, len(table))) for table in tables]
    aligned = [await align_three(results, party, c) for party, c in enumerate(columns)]
    keys = await align_three(results, 0, tables[0][None])
    by_key = [dict(zip(t.tolist(), c.T.tolist(), strict=True)) for t, c in zip(tables, columns, strict=True)]
    assert results[0][1].linked > 33
    for position, key in enumerate(keys[0].tolist()):
        for party in range(3):
            assert aligned[party][:, position].tolist() == (by_key[party][key] if key else [0, 0, 0])


async def test_many_columns_are_shuffled_in_pieces(monkeypatch):
    monkeypatch.setattr("mpc.linkage.CELLS_PER_SHUFFLE", 100)
    rng = np.random.default_rng(6)
    tables = registers(rng, (40, 30), 20)
    results = await link_three(tables, 0)
    column = rng.integers(0, 1000, 40)
    aligned = await align_three(results, 0, np.stack([column + k for k in range(7)]))
    np.testing.assert_array_equal(aligned, aligned[0] + np.arange(7)[:, None])


@pytest.mark.parametrize("cells", [10, 100, 1 << 21])
async def test_columns_of_several_parties_and_shards_move_side_by_side(monkeypatch, cells):
    monkeypatch.setattr("mpc.linkage.CELLS_PER_SHUFFLE", cells)
    rng = np.random.default_rng(7)
    shards = [registers(rng, (40, 30), 20), registers(rng, (25, 35), 12)]
    stored = [[linked.to_bytes() for _, linked in await link_three(tables, 2, seed)] for seed, tables in enumerate(shards)]
    # The keys themselves, and one and two more: they show whose the linked rows are.
    moved = [(shard, party, table + np.arange(3, dtype=np.uint64)[:, None])
             for shard, tables in enumerate(shards) for party, table in enumerate(tables)]
    shares = [deal(values, rng) for _, _, values in moved]

    async def program(wire):
        linked = [LinkedShard.from_bytes(files[wire.number]) for files in stored]
        return await align(Engine(wire), [
            Columns(linked[shard], party, dealt[wire.number])
            for (shard, party, _), dealt in zip(moved, shares, strict=True)
        ])

    at_nodes = await run_three(program)
    seen = [reveal([node[place] for node in at_nodes]) for place in range(len(moved))]
    for shard, tables in enumerate(shards):
        first, second = seen[2 * shard], seen[2 * shard + 1]
        np.testing.assert_array_equal(first, second)
        patients = first[:, first[0] != 0]
        np.testing.assert_array_equal(patients, patients[0] + np.arange(3)[:, None])
        assert sorted(patients[0].tolist()) == sorted(set(tables[0].tolist()) & set(tables[1].tolist()))


def region_sizes(tables):
    """Sizes of the Venn regions of sets."""
    where = {}
    for party, table in enumerate(tables):
        for key in np.asarray(table).tolist():
            where[key] = (*where.get(key, ()), party)
    return Counter(where.values())


def opened_tags(engine, linked):
    """Each register's tags, in shuffled order: all that a node saw."""
    (planes,) = engine.opened
    return np.split(from_planes(planes, sum(linked.rows)), np.cumsum(linked.rows)[:-1])


async def test_opened_region_sizes_carry_the_dummies():
    rng = np.random.default_rng(7)
    tables = registers(rng, (50, 60, 70), 25)
    true = region_sizes(tables)
    noisy = []
    for _ in range(4):
        (engine, linked), *_ = await link_three(tables, 32)
        noisy.append(region_sizes(opened_tags(engine, linked)))
    added = [{region: sizes[region] - true[region] for region, _ in regions(3)} for sizes in noisy]
    for sizes, extra in zip(noisy, added, strict=True):
        assert all(0 <= count <= 3 * region_cap(3, 32) for count in extra.values())
        assert sum(extra.values()) > 0
        # Rows per register are public and fixed: whatever is not shared fills up with keys that match nothing.
        for party, table in enumerate(tables):
            assert sum(n for region, n in sizes.items() if party in region) == len(table) + 3 * 32
    assert len({tuple(extra.values()) for extra in added}) > 1


async def test_without_dummies_the_opened_sizes_are_the_true_ones():
    tables = registers(np.random.default_rng(8), (50, 60, 70), 25)
    (engine, linked), *_ = await link_three(tables, 0)
    assert region_sizes(opened_tags(engine, linked)) == region_sizes(tables)


async def test_tags_are_not_the_link_keys_and_change_with_the_attempt():
    tables = registers(np.random.default_rng(9), (40, 40), 20)
    first, second = [np.concatenate(opened_tags(*(await link_three(tables, 0))[0])) for _ in range(2)]
    assert not set(first.tolist()) & set(np.concatenate(tables).tolist())
    assert not set(first.tolist()) & set(second.tolist())


async def test_a_retry_on_changed_data_uses_other_permutations():
    rng = np.random.default_rng(10)
    tables = registers(rng, (200, 200), 100)
    first = await link_three(tables, 0)
    tables[0][0] ^= np.uint64(1)
    second = await link_three(tables, 0)
    for node in range(3):
        pieces = [dict(enumerate(results[node][1].segments[0].permutations[0].pieces)) for results in (first, second)]
        known = [step for step, piece in pieces[0].items() if piece is not None]
        assert len(known) == 2
        for step in known:
            assert not np.array_equal(pieces[0][step], pieces[1][step])


async def test_no_node_knows_a_whole_permutation():
    results = await link_three(registers(np.random.default_rng(11), (40, 40), 20), 0)
    for _, linked in results:
        for permutation in linked.segments[0].permutations:
            assert sum(piece is None for piece in permutation.pieces) == 1


async def test_a_repeated_key_is_refused_and_names_the_register():
    tables = registers(np.random.default_rng(12), (40, 50, 60), 20)
    tables[1][7] = tables[1][8]
    with pytest.raises(LinkageError, match="register of party 1 holds a link key twice") as caught:
        await link_three(tables, 0)
    assert caught.value.party == 1


@pytest.mark.parametrize(
    ("sizes", "shared", "dummies"),
    [((40, 40), 20, 0), ((40, 60), 25, 3), ((30, 70, 50), 17, 8), ((20, 25, 40, 31), 12, 14), ((15, 9, 8, 7, 6), 4, 30)],
)
async def test_a_left_join_has_every_row_of_the_first_register(sizes, shared, dummies):
    rng = np.random.default_rng(sum(sizes))
    tables = registers(rng, sizes, shared)
    results = await link_three(tables, dummies, join="left")
    assert {linked.linked for _, linked in results} == {sizes[0] + 3 * dummies}
    seen = [(await align_three(results, party, table[None]))[0] for party, table in enumerate(tables)]
    assert sorted(seen[0][seen[0] != 0].tolist()) == sorted(tables[0].tolist())
    for table, other in zip(tables, seen, strict=True):
        held = set(table.tolist())
        np.testing.assert_array_equal(other, [key if key in held else 0 for key in seen[0].tolist()])


async def test_a_left_join_opens_what_an_inner_one_does():
    tables = registers(np.random.default_rng(15), (50, 60, 70), 25)
    for join in ("inner", "left"):
        (engine, linked), *_ = await link_three(tables, 0, join=join)
        assert region_sizes(opened_tags(engine, linked)) == region_sizes(tables)


async def test_registers_without_a_common_patient_link_to_nothing():
    tables = [np.arange(10, dtype=np.uint64), np.arange(100, 130, dtype=np.uint64)]
    results = await link_three(tables, 0)
    assert results[0][1].linked == 0
    assert (await align_three(results, 1, np.ones((2, 30)))).shape == (2, 0)


async def test_a_column_of_another_length_is_refused():
    results = await link_three(registers(np.random.default_rng(13), (40, 40), 20), 4)
    with pytest.raises(LinkageError, match="has 39 rows, its linked register 40"):
        await align_three(results, 0, np.ones((1, 39)))


@pytest.mark.parametrize(("parties", "message"), [(1, "1 registers"), (6, "6 registers")])
async def test_number_of_parties_is_bounded(parties, message):
    with pytest.raises(LinkageError, match=message):
        await link_three([np.arange(4, dtype=np.uint64)] * parties, 0)


def test_errors_are_of_the_family():
    assert issubclass(LinkageError, MpcError)
