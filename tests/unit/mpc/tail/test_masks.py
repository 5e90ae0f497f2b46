"""What is opened under a mask lies in the range that the mask is made for: outside, the mask would hide less."""

import numpy as np
import pytest

from mpc.tail.field import ROOM_BITS
from mpc.tail.roots import square_root
from mpc.tail.vectors import Vectors
from tests.unit.mpc.tail.test_regression import LARGEST, cohort, nearly_dependent, normal_equations, solved
from tests.unit.mpc.tail.test_vectors import recombined


@pytest.fixture
def seen(monkeypatch):
    """(bits, smallest, largest) of each masked vector; all nodes open it, as they never would."""
    found = []
    masked = Vectors._masked

    async def looked_at(self, x, bits):
        values = (await self.open(await self.reshare(x))).tolist()
        found.append((bits, min(values), max(values)))
        return await masked(self, x, bits)

    monkeypatch.setattr(Vectors, "_masked", looked_at)
    return found


def check(seen):
    assert len(seen) > 10
    for bits, smallest, largest in seen:
        assert 0 <= smallest <= largest < 2**bits, (bits, smallest.bit_length(), largest.bit_length())


@pytest.mark.parametrize("bits", [3, 62, ROOM_BITS - 1])
async def test_roots(seen, bits):
    values = [0, 1, 2, 3, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 1) - 1, 2 ** (bits - 2)]
    await recombined(values, lambda vectors, x: square_root(vectors, x, bits))
    check(seen)


async def test_regressions_of_few_covariates_with_extreme_numbers(seen):
    one = np.ones((1, 1), object)
    numbers = [(one * LARGEST, [LARGEST]), (one * LARGEST, [-LARGEST]), (one, [2**31 - 1]), (one * 0, [0]), (one * 3, [1])]
    await solved([(gram, np.array(moments, object)) for gram, moments in numbers])
    check(seen)


async def test_regressions_that_are_singular_badly_conditioned_or_as_large_as_may_be(seen):
    rng = np.random.default_rng(2)
    k, rows = 20, 60
    largest = np.full((rows, k), 2**28)
    alternating = np.where(np.arange(rows) % 2, 2**28, -(2**28))
    await solved([
        normal_equations(largest, np.full(rows, 2**28)), normal_equations(largest, alternating),
        normal_equations(np.zeros((rows, k), np.int64), alternating), cohort(rng, 12, k),
        *(nearly_dependent(rng, k, spread) for spread in (10, 10_000, 60_000, 2**26)),
    ])
    check(seen)
