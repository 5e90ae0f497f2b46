"""Choosing on shares against numpy."""

import numpy as np
import pytest

from mpc.engine import Engine
from mpc.selection import maximum, minimum, select
from tests.support.dealing import deal, reveal
from tests.support.wires import run_three

EDGES = np.array([0, 1, -1, 2**62 - 1, 1 - 2**62, 2**31, -(2**31), 5])


async def computed(operation, *inputs):
    shares = [deal(values, np.random.default_rng(seed)) for seed, values in enumerate(inputs)]

    async def program(wire):
        return await operation(Engine(wire), *(dealt[wire.number] for dealt in shares))

    return reveal(await run_three(program))


@pytest.mark.parametrize(("operation", "expected"), [(minimum, np.minimum), (maximum, np.maximum)])
async def test_the_smaller_and_the_larger(operation, expected):
    x, y = (side.ravel() for side in np.meshgrid(EDGES, EDGES))
    np.testing.assert_array_equal(await computed(operation, x, y), expected(x, y))


async def test_select_takes_whole_words_and_broadcasts():
    rng = np.random.default_rng(4)
    chosen, x, y = rng.integers(0, 2, (3, 1)), rng.integers(-(2**63), 2**63 - 1, (3, 40)), rng.integers(-(2**63), 2**63 - 1, 40)
    np.testing.assert_array_equal(await computed(select, chosen, x, y), np.where(chosen == 1, x, y))


async def test_what_is_chosen_has_the_larger_bound():
    async def program(wire):
        x, y = (Engine(wire).zeros((4,)).bounded(0) + bound for bound in (3, 9))
        return (await minimum(Engine(wire.channel(5)), x, y)).bound

    assert await run_three(program) == (9, 9, 9)
