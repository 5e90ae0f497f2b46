"""Sums by secret category against numpy."""

import numpy as np
import pytest

from mpc.engine import Engine
from mpc.errors import MpcError
from mpc.groups import MAX_GROUPS, sums_by_group, sums_by_known_group
from tests.support.dealing import deal, reveal
from tests.support.wires import run_three


async def summed(groups, count, values, seed=1):
    rng = np.random.default_rng(seed)
    dealt_groups, dealt_values = deal(groups, rng), deal(values, rng)

    async def program(wire):
        return await sums_by_group(Engine(wire), dealt_groups[wire.number], count, dealt_values[wire.number])

    return reveal(await run_three(program))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 24, 33, 64])
@pytest.mark.parametrize(("k", "n"), [(1, 300), (3, 64), (5, 1), (2, 0)])
async def test_sums_by_category(count, k, n):
    rng = np.random.default_rng(count * 1000 + n)
    groups, values = rng.integers(0, count, n), rng.integers(-(2**40), 2**40, (k, n))
    expected = np.zeros((count, k), np.int64)
    np.add.at(expected, groups, values.T)
    np.testing.assert_array_equal(await summed(groups, count, values), expected)


@pytest.mark.parametrize(("count", "k", "n"), [(1, 1, 5), (24, 3, 1000), (7, 2, 0), (9, 1, 1)])
def test_sums_by_categories_that_everybody_knows(count, k, n):
    rng = np.random.default_rng(n)
    groups, values = rng.integers(0, count, n), rng.integers(-(2**63), 2**63 - 1, (k, n))
    expected = np.zeros((count, k), np.int64)
    with np.errstate(over="ignore"):
        np.add.at(expected, groups, values.T)
    found = [sums_by_known_group(groups, count, share) for share in deal(values, rng)]
    np.testing.assert_array_equal(reveal(found), expected)


@pytest.mark.parametrize("groups", [[0, 3], [-1, 0], [0, 1, 2]])
def test_known_categories_out_of_bounds_are_refused(groups):
    (share, *_) = deal(np.zeros((1, 2), int), np.random.default_rng(0))
    with pytest.raises(MpcError, match=r"expected as many rows, and 0\.\.2"):
        sums_by_known_group(np.array(groups), 3, share)


async def test_values_of_the_whole_ring_wrap():
    values = np.array([[2**63 - 1, 2**63 - 1, -(2**63), -1]])
    with np.errstate(over="ignore"):
        expected = np.array([[values[0, 0] + values[0, 1]], [values[0, 2] + values[0, 3]], [0]])
    np.testing.assert_array_equal(await summed(np.array([0, 0, 1, 1]), 3, values), expected)


async def test_rows_of_no_category_count_nowhere():
    """Of five categories three bits are read: 5, 6 and 7 are nobody's, and 8 reads as 0."""
    found = await summed(np.array([0, 4, 5, 6, 7, 8]), 5, np.array([[1, 10, 100, 1000, 10_000, 100_000]]))
    np.testing.assert_array_equal(found[:, 0], [100_001, 0, 0, 0, 10])


@pytest.mark.parametrize(("count", "rows"), [(0, 4), (MAX_GROUPS + 1, 4), (3, 5)])
async def test_bad_requests_are_refused(count, rows):
    with pytest.raises(MpcError, match="expected 1..4096 and as many rows"):
        await summed(np.zeros(rows, int), count, np.zeros((1, 4), int))


async def test_bytes_grow_with_the_root_of_the_number_of_categories():
    """Of 64 categories: 6 bits, 3 of them multiplied with the values, 3 among themselves."""
    n, sent = 6400, [0, 0, 0]
    rng = np.random.default_rng(2)
    groups, values = deal(rng.integers(0, 64, n), rng), deal(rng.integers(0, 9, (1, n)), rng)

    def tap(sender, _receiver, _channel, _label, data):
        sent[sender] += len(data)
        return data

    async def program(wire):
        return await sums_by_group(Engine(wire), groups[wire.number], 64, values[wire.number])

    await run_three(program, tap=tap)
    products = 7 + (8 - 1 - 3)
    lanes = 2 + 2 * 3
    assert max(sent) <= n * (6 * 16 + 8 * products + lanes) + 64 * 8
