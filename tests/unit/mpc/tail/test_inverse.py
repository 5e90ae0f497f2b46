"""Inverses of secret matrices against mpmath; their public factors; that their numbers fit under their masks."""

import mpmath
import numpy as np
import pytest

from mpc.tail.field import PRIME, ROOM_BITS
from mpc.tail.inverse import (
    CONDITION_BITS,
    FACTOR_BITS,
    INVERSE_BITS,
    LARGEST_DIAGONAL,
    MATRIX_BITS,
    PROVEN,
    RESIDUAL_BITS,
    factors,
    inverse,
    size_bits,
)
from mpc.tail.regression import CUT_BITS, MOST_COVARIATES, SPARE_BITS, solution_bits
from tests.unit.mpc.tail.test_vectors import recombined

SIZES = range(1, MOST_COVARIATES + 1)


def run(value, steps):
    for factor in steps:
        lifted = value * factor / 2**FACTOR_BITS
        value = lifted * (2 - lifted)
    return value


@pytest.mark.parametrize("size", SIZES)
def test_every_eigenvalue_of_the_declared_range_is_brought_to_one_before_the_last_two_steps(size):
    *steps, last, final = factors(size)
    assert last == final == 2**FACTOR_BITS
    least = 2.0**-CONDITION_BITS / 2 ** (LARGEST_DIAGONAL * size - 1).bit_length()
    for k in range(2001):
        value = least ** (k / 2000)
        rest = [abs(1 - run(value, steps[:stop])) for stop in range(len(steps) + 1)]
        assert max(rest) <= 1
        assert rest[-1] * size**0.5 < 2.0**-RESIDUAL_BITS
    for k in range(1000):
        assert 1 - run(least * 2 ** (-1 - k / 10), steps) > 2.0**-RESIDUAL_BITS


@pytest.mark.parametrize("size", SIZES)
def test_what_is_opened_fits_under_its_mask(size):
    widest = 2 * INVERSE_BITS + size_bits(size) + 1
    assert widest <= ROOM_BITS
    assert INVERSE_BITS + MATRIX_BITS + 2 * FACTOR_BITS + 4 <= ROOM_BITS
    assert solution_bits(size) + max(SPARE_BITS, CUT_BITS + 1) + 1 <= ROOM_BITS
    # A sum of so many sizes is still below what the comparison takes.
    assert size <= 2**CUT_BITS


def equicorrelated(k, least, diagonal):
    """k − 1 eigenvalues of `least` before rows and columns are scaled to this diagonal."""
    matrix = np.full((k, k), 1 - least)
    np.fill_diagonal(matrix, 1.0)
    roots = np.sqrt(diagonal)
    with mpmath.workprec(200):
        return np.array([[int(mpmath.ldexp(mpmath.mpf(x) * r * s, MATRIX_BITS)) for x, s in zip(row, roots, strict=True)]
                         for row, r in zip(matrix, roots, strict=True)], object)


async def inverted(matrices):
    """X and the residual of each, as integers."""
    n, k, _ = shape = np.shape(matrices)

    async def step(vectors, x):
        found, residual = await inverse(vectors, x.reshape(shape))
        return found.reshape(-1), residual

    values, residuals = await recombined([int(x) % PRIME for x in np.ravel(matrices)], step)
    return list(np.array(values, object).reshape(n, k, k)), residuals


@pytest.mark.parametrize("k", [1, 2, 7, MOST_COVARIATES])
async def test_inverses_are_within_the_stated_bound_down_to_the_declared_eigenvalue(k):
    rng = np.random.default_rng(k)
    diagonals = [np.ones(k), rng.uniform(1, 4, k), np.full(k, 3.999)]
    matrices = [
        equicorrelated(k, 2.0**-bits, diagonal) for bits in (0, 12, CONDITION_BITS) for diagonal in diagonals
    ]
    found, residuals = await inverted(matrices)
    assert all(0 <= residual < PROVEN for residual in residuals)
    with mpmath.workprec(300):
        for matrix, x in zip(matrices, found, strict=True):
            assert (x == x.T).all()
            wanted = mpmath.ldexp(1, MATRIX_BITS) * mpmath.inverse(mpmath.matrix(matrix.tolist()))
            error = mpmath.matrix(x.tolist()) / mpmath.mpf(2) ** INVERSE_BITS - wanted
            # The Frobenius norm is above the spectral one, a diagonal element below.
            assert mpmath.mnorm(error, "f") <= mpmath.ldexp(max(wanted[i, i] for i in range(k)), -75)


@pytest.mark.parametrize("k", [1, 2, MOST_COVARIATES])
async def test_a_singular_matrix_is_not_proven(k):
    rank_one = np.full((k, k), 1 << MATRIX_BITS, object)
    first_only = np.zeros((k, k), object)
    first_only[0, 0] = (4 << MATRIX_BITS) - 1
    matrices = [first_only, np.zeros((k, k), object)] if k == 1 else [rank_one, first_only]
    _, residuals = await inverted(matrices)
    assert [residual < PROVEN for residual in residuals] == [k == 1, False]
