"""Sensitivity and accounting against brute force, and how errors grow."""

import math
import random
from fractions import Fraction
from itertools import product

import pytest

from policy.privacy import LEAST_VARIANCE, blocks, epsilon, squared_sensitivity, variance


def span(block):
    return block.place << block.level, (block.place + 1) << block.level


@pytest.mark.parametrize("panes", [1, 2, 7, 16, 33])
def test_blocks_make_up_a_window_and_are_few(panes):
    for start in range(panes):
        for stop in range(start + 1, panes + 1):
            found = [span(block) for block in blocks(start, stop)]
            assert [pane for a, b in found for pane in range(a, b)] == list(range(start, stop))
            assert len(found) <= 2 * math.log2(stop - start) + 2


@pytest.mark.parametrize(("start", "stop"), [(3, 3), (4, 2), (-1, 2)])
def test_windows_without_panes_are_refused(start, stop):
    with pytest.raises(ValueError, match="expected some"):
        blocks(start, stop)


def all_blocks(panes):
    return [(i << level, (i + 1) << level) for level in range(panes.bit_length()) for i in range(panes >> level)]


@pytest.mark.parametrize(("panes", "pane_bound", "horizon_bound"), [
    (1, 3, 3), (4, 2, 8), (4, 2, 3), (5, 2, 4), (6, 1, 6), (6, 1, 2), (8, 1, 5),
])
def test_no_patient_changes_the_blocks_by_more(panes, pane_bound, horizon_bound):
    """Neighbours: with the patient and without; every series of parts that the bounds allow."""
    largest = 0
    for parts in product(range(-pane_bound, pane_bound + 1), repeat=panes):
        if sum(map(abs, parts)) <= horizon_bound:
            largest = max(largest, sum(sum(parts[a:b]) ** 2 for a, b in all_blocks(panes)))
    bound = squared_sensitivity(panes, pane_bound, horizon_bound, panes)
    assert largest <= bound <= 2 * largest


def test_random_patients_of_long_series_stay_below():
    source = random.Random(3)
    for _ in range(300):
        panes, pane_bound = source.randint(10, 150), source.randint(1, 50)
        parts = [source.choice((0, 0, pane_bound, source.randint(-pane_bound, pane_bound))) for _ in range(panes)]
        horizon_bound = sum(map(abs, parts))
        changed = sum(sum(parts[a:b]) ** 2 for a, b in all_blocks(panes))
        assert changed <= squared_sensitivity(panes, pane_bound, horizon_bound, panes)


def test_errors_grow_with_the_square_of_the_logarithm_of_the_horizon():
    """Of a patient who adds at most 10 in all: variance of the worst window, in units of what one release needs."""
    rho, found = Fraction(1, 2), {}
    for exponent in range(4, 13):
        panes = 1 << exponent
        noise = variance(squared_sensitivity(panes, 10, 10, panes), rho)
        found[exponent] = max(len(blocks(start, stop)) for start, stop in ((1, panes - 1), (0, panes - 1))) * noise
    ratios = [float(found[exponent] / exponent**2) for exponent in found]
    assert max(ratios) / min(ratios) < 1.5


def test_the_variance_is_what_the_budget_asks_for():
    assert variance(400, Fraction(1, 2)) == 400
    assert variance(400, Fraction(2)) == 100
    assert variance(1, Fraction(5)) == LEAST_VARIANCE
    with pytest.raises(ValueError, match="more than 0"):
        variance(1, Fraction(0))


@pytest.mark.parametrize(("rho", "delta"), [(0.1, 1e-6), (0.5, 1e-5), (2.0, 1e-9)])
def test_epsilon_covers_the_gaussian_mechanism(rho, delta):
    """Its exact δ(ε) (Balle and Wang, ICML 2018) at this ε is not above δ."""
    found, sigma = epsilon(rho, delta), 1 / math.sqrt(2 * rho)

    def phi(x):
        return 0.5 * math.erfc(-x / math.sqrt(2))

    exact = phi(0.5 / sigma - found * sigma) - math.exp(found) * phi(-0.5 / sigma - found * sigma)
    assert exact <= delta
