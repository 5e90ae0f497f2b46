"""Noise: its distribution against the formula, that it repeats, and who knows how much of it."""

import math
import random
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from mpc.engine import Engine
from mpc.noise import Draw, discrete_gaussian, discrete_laplace, noise, part
from policy.privacy import Block, blocks
from tests.support.wires import run_three

KEYS = [bytes([number]) * 32 for number in range(3)]
DRAWS = 20_000
SMALLEST_P = 1e-6
"""A right sampler fails one of these tests once in a million; the seeds are fixed."""


def fits(drawn, weight, reach):
    """Pearson's chi-square against weights, with tails in one class each."""
    values = np.arange(-reach, reach + 1)
    weights = np.array([weight(int(x)) for x in np.arange(-20 * reach, 20 * reach + 1)])
    weights /= weights.sum()
    middle = weights[19 * reach : 19 * reach + len(values)]
    tails = [weights[: 19 * reach].sum(), weights[19 * reach + len(values) :].sum()]
    counts = Counter(drawn)
    observed = [counts[int(x)] for x in values]
    observed += [sum(n for x, n in counts.items() if x < -reach), sum(n for x, n in counts.items() if x > reach)]
    return stats.chisquare(observed, np.array([*middle, *tails]) * len(drawn)).pvalue


@pytest.mark.parametrize("variance", [Fraction(1, 3), Fraction(1), Fraction(7, 2), Fraction(40)])
def test_discrete_gaussians(variance):
    source = random.Random(5)
    drawn = [discrete_gaussian(variance, source.getrandbits) for _ in range(DRAWS)]
    reach = max(1, math.ceil(2.5 * math.sqrt(variance)))
    assert fits(drawn, lambda x: math.exp(-x * x / (2 * variance)), reach) > SMALLEST_P
    wrong = variance * Fraction(5, 4)
    assert fits(drawn, lambda x: math.exp(-x * x / (2 * wrong)), reach) < SMALLEST_P


@pytest.mark.parametrize("scale", [1, 3, 10])
def test_discrete_laplaces(scale):
    source = random.Random(6)
    drawn = [discrete_laplace(scale, source.getrandbits) for _ in range(DRAWS)]
    assert fits(drawn, lambda x: math.exp(-abs(x) / scale), 3 * scale) > SMALLEST_P
    assert fits(drawn, lambda x: math.exp(-abs(x) / (1.2 * scale)), 3 * scale) < SMALLEST_P


def test_a_large_variance_is_a_normal_one():
    source = random.Random(7)
    variance = Fraction(10**18, 3)
    drawn = np.array([discrete_gaussian(variance, source.getrandbits) for _ in range(3_000)], float)
    assert stats.kstest(drawn / math.sqrt(variance), "norm").pvalue > SMALLEST_P


def test_parts_repeat_and_differ_by_key_series_block_and_variance():
    variance = Fraction(10**12)
    one = part(KEYS[0], b"a", Block(1, 2), variance)
    assert one == part(KEYS[0], b"a", Block(1, 2), variance)
    others = [
        part(KEYS[1], b"a", Block(1, 2), variance), part(KEYS[0], b"b", Block(1, 2), variance),
        part(KEYS[0], b"a", Block(1, 3), variance), part(KEYS[0], b"a", Block(2, 2), variance),
        part(KEYS[0], b"a", Block(1, 2), variance + 1),
    ]
    assert len({one, *others}) == 6


async def added(windows, variance, keys=KEYS):
    async def program(wire):
        engine = Engine(wire)
        wanted = [[Draw(b"series", block, variance) for block in blocks(*window)] for window in windows]
        return await engine.open(await noise(engine, keys[wire.number], wanted))

    found, *others = await run_three(program)
    assert all(np.array_equal(found, other) for other in others)
    return found.view(np.int64)


async def test_windows_share_the_noise_of_what_they_have_in_common():
    variance = Fraction(10**6)
    whole, first, second, again = await added([(0, 8), (0, 4), (4, 8), (0, 4)], variance)
    assert first == again
    assert whole not in (first + second, first, second)  # a block of its own
    left, right, both = await added([(1, 2), (2, 3), (1, 3)], variance)
    assert both == left + right


async def test_nothing_wanted_is_nothing():
    assert (await added([], Fraction(9))).shape == (0,)


async def test_an_attempt_made_again_adds_the_same_and_any_two_parts_have_the_variance():
    variance = Fraction(400)
    windows = [(pane, pane + 1) for pane in range(2_000)]
    found = await added(windows, variance)
    np.testing.assert_array_equal(found, await added(windows, variance))
    for known in range(3):
        mine = np.array([part(KEYS[known], b"series", Block(0, pane), variance) for pane in range(2_000)])
        unknown = found - mine
        # A variance of n normal draws is within 15 % of the true one with n = 2,000, but for once in a million.
        assert math.isclose(unknown.var(), float(variance), rel_tol=0.15)
        assert abs(np.corrcoef(unknown, mine)[0, 1]) < 0.11
