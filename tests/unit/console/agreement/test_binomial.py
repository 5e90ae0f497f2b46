"""Tails of binomial counts, against exact fractions and an independent library."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from console.agreement.binomial import below, few


@given(st.integers(0, 60), st.integers(1, 99), st.integers(0, 65))
def test_small_counts_are_exact(patients, hundredths, minimum):
    share = Fraction(hundredths, 100)
    exact = sum(
        comb(patients, k) * share**k * (1 - share) ** (patients - k) for k in range(min(minimum, patients + 1))
    )
    assert below(patients, hundredths / 100, minimum) == pytest.approx(float(exact), rel=1e-10, abs=1e-14)


@given(st.integers(1, 10**7), st.floats(1e-7, 1 - 1e-7), st.floats(-6, 6))
def test_large_counts_are_those_of_another_library(patients, share, sigmas):
    minimum = max(0, round(patients * share + sigmas * (patients * share * (1 - share)) ** 0.5))
    assert below(patients, share, minimum) == pytest.approx(binom.cdf(minimum - 1, patients, share), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(("patients", "share", "minimum", "expected"), [
    (0, 0.5, 1, 1.0), (5, 0.0, 1, 1.0), (5, 1.0, 5, 0.0), (5, 1.0, 6, 1.0), (5, 0.5, 0, 0.0), (10**9, 0.5, 10, 0.0),
])
def test_ends(patients, share, minimum, expected):
    assert below(patients, share, minimum) == expected


def test_a_few_is_not_nobody():
    assert few(10, 0.0, 5) == 0.0
    assert few(10, 1.0, 5) == 0.0
    assert few(10, 0.1, 5) == pytest.approx(sum(binom.pmf(k, 10, 0.1) for k in range(1, 5)))
