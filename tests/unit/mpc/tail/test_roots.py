"""Square roots of secret integers against mpmath."""

import asyncio

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.tail.field import ROOM_BITS
from mpc.tail.roots import square_root
from mpc.tail.vectors import FRACTION_BITS
from tests.unit.mpc.tail.test_vectors import recombined

UNITS = 32


def check(values, mantissas, exponents, present):
    with mpmath.workprec(300):
        for value, mantissa, exponent, there in zip(values, mantissas, exponents, present, strict=True):
            assert there == int(value > 0)
            assert abs(mantissa - 2 ** (FRACTION_BITS - 1)) <= UNITS or mantissa >= 2 ** (FRACTION_BITS - 1)
            assert mantissa <= 2**FRACTION_BITS + UNITS
            if value:
                found = mpmath.ldexp(mantissa, exponent + 1 - FRACTION_BITS)
                assert abs(found / mpmath.sqrt(value) - 1) < mpmath.mpf(2) ** -52
            else:
                assert exponent == 0


@pytest.mark.parametrize("bits", [3, 4, 61, FRACTION_BITS - 1, ROOM_BITS - 1])
async def test_roots_at_the_edges_of_every_octave(bits):
    values = [0, *(2**k for k in range(bits)), *(2**k - 1 for k in range(1, bits + 1)), *(2**k + 1 for k in range(1, bits))]
    check(values, *await recombined(values, lambda vectors, x: square_root(vectors, x, bits)))


async def test_errors_stay_within_the_stated_units_over_two_octaves():
    step = 2**53
    values = [2**60 + k * step for k in range(3 * 2**60 // step)]
    mantissas, exponents, _ = await recombined(values, lambda vectors, x: square_root(vectors, x, 62))
    with mpmath.workprec(300):
        off = [
            abs(mantissa - mpmath.ldexp(mpmath.sqrt(value), FRACTION_BITS - 1 - exponent))
            for value, mantissa, exponent in zip(values, mantissas, exponents, strict=True)
        ]
    assert max(off) <= UNITS
    assert np.mean([float(each) for each in off]) < 8


@settings(max_examples=15)
@given(
    bits=st.integers(3, ROOM_BITS - 1),
    parts=st.lists(st.tuples(st.integers(0, ROOM_BITS), st.integers(0, 2**ROOM_BITS)), min_size=1, max_size=20),
)
def test_roots_over_the_declared_range(bits, parts):
    values = [part % 2 ** min(size, bits) for size, part in parts]
    check(values, *asyncio.run(recombined(values, lambda vectors, x: square_root(vectors, x, bits))))


async def test_a_root_of_a_number_too_wide_for_its_mask_is_refused():
    with pytest.raises(ValueError, match="cannot be masked"):
        await recombined([5], lambda vectors, x: square_root(vectors, x, ROOM_BITS))
