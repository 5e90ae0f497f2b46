"""Division by powers of two on shares against numpy: every number of places, both signs, all edges, hand-made sharings."""

import itertools

import numpy as np
import pytest

from mpc.engine import Engine
from mpc.errors import ProtocolError
from mpc.share import Share
from tests.support.dealing import deal, reveal
from tests.support.wires import run_three

LIMIT = 2**62
PLACES = range(63)


def hand_made(values, first, second):
    """Shares of which components 0 and 1 are given."""
    parts = [np.asarray(each).astype(np.uint64) for each in (first, second)]
    parts.append(np.asarray(values).astype(np.uint64) - parts[0] - parts[1])
    return [Share(np.stack([parts[node], parts[(node + 1) % 3]])) for node in range(3)]


async def shifted(shares, places):
    return await run_three(lambda wire: Engine(wire).shift_right(shares[wire.number], places))


def edges(places):
    """Around 0, around multiples of 2^places, and both ends of the range."""
    unit = 2**places
    near = [k * unit + off for k in (-3, -1, 0, 1, 2) for off in (-1, 0, 1)]
    ends = [-LIMIT, -LIMIT + 1, LIMIT - 1, LIMIT - unit, -LIMIT + unit - 1]
    return [value for value in (*near, *ends) if -LIMIT <= value < LIMIT]


@pytest.mark.parametrize("places", PLACES)
async def test_the_whole_range_and_its_edges(places):
    rng = np.random.default_rng(places)
    values = np.array([*edges(places), *rng.integers(-LIMIT, LIMIT, 100), *rng.integers(-(2**20), 2**20, 50)])
    np.testing.assert_array_equal(reveal(await shifted(deal(values, rng), places)), values >> places)


@pytest.mark.parametrize("places", [1, 7, 8, 31, 32, 61, 62])
async def test_every_way_in_which_components_carry_and_wrap(places):
    """Components at their own edges, for values at theirs: carries and wraps of all kinds, together."""
    unit = 2**places
    parts = [0, 1, unit - 1, unit, 2**62, 2**63 - 1, 2**63, 2**64 - unit, 2**64 - 1]
    cases = np.array([(v % 2**64, a, b) for v in edges(places) for a, b in itertools.product(parts, parts)], np.uint64).T
    values = cases[0].view(np.int64)
    np.testing.assert_array_equal(reveal(await shifted(hand_made(*cases), places)), values >> places)


@pytest.mark.parametrize("shape", [(), (1,), (65,), (2, 3, 5), (0,), (4, 0)])
async def test_shapes(shape):
    values = np.random.default_rng(1).integers(-LIMIT, LIMIT, shape)
    found = reveal(await shifted(deal(values, np.random.default_rng(2)), 13))
    assert found.shape == shape
    np.testing.assert_array_equal(found, values >> 13)


@pytest.mark.parametrize(("bound", "places", "after"), [
    (100, 3, 13), (104, 3, 13), (7, 3, 1), (0, 3, 0), (2**63, 10, 2**52), (2**63, 0, 2**63), (5, 0, 5),
])
async def test_the_bound_is_that_of_both_ends(bound, places, after):
    shares = [share.bounded(bound) for share in deal([0], np.random.default_rng(1))]
    assert {share.bound for share in await shifted(shares, places)} == {after}
    most = min(bound, LIMIT)
    assert max(-(-most >> places), most >> places) == min(after, LIMIT)


@pytest.mark.parametrize("places", [-1, 63, 64])
async def test_other_places_are_refused(places):
    with pytest.raises(ProtocolError, match=r"expected 0\.\.62"):
        await shifted(deal([1], np.random.default_rng(1)), places)


@pytest.mark.parametrize(("places", "first", "others"), [(7, 36, 11), (15, 40, 14), (31, 48, 20), (62, 64, 32)])
async def test_what_it_costs(places, first, others):
    rows, sent, rounds = 6400, [0, 0, 0], set()

    def tap(sender, _receiver, _channel, label, payload):
        sent[sender] += len(payload)
        rounds.add(label)
        return payload

    shares = deal(np.zeros(rows, np.int64), np.random.default_rng(1))
    await run_three(lambda wire: Engine(wire).shift_right(shares[wire.number], places), tap=tap)
    assert (first - 1) * rows < sent[0] <= first * rows
    assert (others - 1) * rows < sent[1] == sent[2] <= others * rows
    assert len(rounds) == {7: 7, 15: 8, 31: 9, 62: 10}[places]
