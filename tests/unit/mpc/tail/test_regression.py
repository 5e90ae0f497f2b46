"""Regressions on shares against mpmath, well and badly conditioned, and singular ones."""

import asyncio

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.errors import IntegrityError
from mpc.tail import Equations, solve
from mpc.tail import regression as tail_regression
from mpc.tail.decode import coefficients
from mpc.tail.field import RESIDUE_BYTES
from mpc.tail.recombine import recombine_outputs
from mpc.tail.regression import MOST_COVARIATES, REGRESSION_CHANNEL
from tests.support.dealing import deal
from tests.support.wires import run_three

SIGNIFICANT = 44
LARGEST = 2**62 - 1


def shared(gram, moments, bits=SIGNIFICANT):
    """The three nodes' equations from (n, k, k) and (n, k) integers."""
    rng = np.random.default_rng(len(gram))
    gram, moments = np.array(gram, dtype=np.int64), np.array(moments, dtype=np.int64)
    # The lower triangle is not read.
    upper = np.triu(gram) + np.tril(np.full_like(gram, 12345), -1)
    return [
        Equations(g.parts, m.parts, bits) for g, m in zip(deal(upper, rng), deal(moments, rng), strict=True)
    ]


async def outputs_of(gram, moments, bits=SIGNIFICANT, **options):
    held = shared(gram, moments, bits)
    return recombine_outputs(await run_three(lambda wire: solve(wire, held[wire.number], 60), **options))


async def solved(systems, bits=SIGNIFICANT):
    """Coefficients of each (gram, moments), all of one size; None where singular."""
    grams, moments = zip(*systems, strict=True)
    return coefficients(await outputs_of(grams, moments, bits), len(moments[0]))


def normal_equations(design, outcome):
    design, outcome = design.astype(object), outcome.astype(object)
    return design.T @ design, design.T @ outcome


def condition(gram):
    """Of the matrix scaled to a diagonal of 1."""
    with mpmath.workprec(200):
        roots = [mpmath.sqrt(int(x)) for x in np.diag(gram)]
        scaled = mpmath.matrix([[int(x) / (r * s) for x, s in zip(row, roots, strict=True)]
                                for row, r in zip(gram, roots, strict=True)])
        eigenvalues = mpmath.eigsy(scaled, eigvals_only=True)
        return max(eigenvalues) / min(eigenvalues)


def check(gram, moments, found, bits=SIGNIFICANT):
    """The stated bound, and half a unit of the last place of each coefficient."""
    with mpmath.workprec(400):
        wanted = mpmath.lu_solve(mpmath.matrix(gram.tolist()), mpmath.matrix(moments.tolist()))
        found = [mpmath.mpf(x.numerator) / x.denominator for x in found]
        roots = [mpmath.sqrt(mpmath.mpf(int(gram[i, i]))) for i in range(len(gram))]
        size = mpmath.norm(mpmath.matrix([w * r for w, r in zip(wanted, roots, strict=True)]))
        arithmetic = (mpmath.ldexp(1, -50) + mpmath.ldexp(condition(gram), -72)) * size
        cut = mpmath.ldexp(sum(abs(w) * r for w, r in zip(wanted, roots, strict=True)), -40)
        for w, f, r in zip(wanted, found, roots, strict=True):
            if f:
                assert abs(w - f) * r <= arithmetic + mpmath.ldexp(abs(w), -bits) * r
            else:
                assert abs(w) * r <= 3 * cut
            if abs(w) * r < cut / 3 and condition(gram) <= 2**30:
                assert f == 0


def cohort(rng, rows, k):
    """An intercept, 0/1 columns, counts and ages in days; an outcome that depends on them, with noise."""
    kinds = (
        lambda: rng.integers(0, 2, rows), lambda: rng.poisson(3.0, rows),
        lambda: rng.integers(6_000, 36_000, rows), lambda: rng.integers(-50, 50, rows),
    )
    design = np.stack([np.ones(rows, np.int64), *(kinds[place % 4]() for place in range(k - 1))], axis=1)
    outcome = design @ rng.integers(-20, 20, k) + rng.integers(-1000, 1000, rows)
    return normal_equations(design, outcome)


@pytest.mark.parametrize("bits", [8, 26, 44])
async def test_twenty_covariates_of_very_different_sizes(bits):
    rng = np.random.default_rng(bits)
    systems = [cohort(rng, rows, MOST_COVARIATES) for rows in (25, 300)]
    for (gram, moments), found in zip(systems, await solved(systems, bits), strict=True):
        check(gram, moments, found, bits)
        for number in found:
            assert number == 0 or abs(number.numerator) >> ((number.numerator & -number.numerator).bit_length() - 1) <= 2**bits


def nearly_dependent(rng, k, spread):
    """Columns that are one column but for differences of one `spread`th."""
    base = rng.integers(-(2**29), 2**29, 60)
    columns = [base] + [base + rng.integers(-(2**29) // spread, 2**29 // spread + 1, 60) for _ in range(k - 1)]
    return normal_equations(np.stack(columns, axis=1) // 16, rng.integers(-(2**20), 2**20, 60))


@pytest.mark.parametrize("k", [2, 5, MOST_COVARIATES])
async def test_up_to_the_declared_condition_no_cell_is_singular_and_the_bound_holds(k):
    rng = np.random.default_rng(k)
    systems, conditions = [], []
    for spread in (1, 10, 100, 1_000, 3_000, 10_000):
        gram, moments = nearly_dependent(rng, k, spread)
        if condition(gram) <= 2**30:
            systems.append((gram, moments))
            conditions.append(float(condition(gram)))
    assert max(conditions) > 2**24
    for (gram, moments), found in zip(systems, await solved(systems), strict=True):
        assert found is not None
        check(gram, moments, found)


async def test_beyond_the_declared_condition_a_cell_is_singular_or_the_bound_holds():
    rng = np.random.default_rng(3)
    systems = [nearly_dependent(rng, 6, spread) for spread in (20_000, 60_000, 200_000, 600_000, 2_000_000, 2**26)]
    results = await solved(systems)
    assert results[-1] is None
    for (gram, moments), found in zip(systems, results, strict=True):
        if found is not None:
            check(gram, moments, found)


async def test_singular_cells_say_so_and_nothing_else():
    rng = np.random.default_rng(5)
    rows = 40
    dummies = np.eye(3, dtype=np.int64)[rng.integers(0, 3, rows)]
    trap = np.concatenate((np.ones((rows, 1), np.int64), dummies), axis=1)
    absent = np.stack((np.ones(rows, np.int64), rng.integers(0, 9, rows), np.zeros(rows, np.int64), np.arange(rows)), axis=1)
    few = rng.integers(0, 100, (3, 4))
    fine = np.stack((np.ones(rows, np.int64), rng.integers(0, 9, rows), rng.integers(0, 2, rows), np.arange(rows)), axis=1)
    designs = [trap, absent, few, fine, np.zeros((1, 4), np.int64), np.full((rows, 4), 2**27)]
    systems = [normal_equations(design, rng.integers(0, 1000, len(design))) for design in designs]
    outputs = await outputs_of(*zip(*systems, strict=True))
    assert outputs["singular"] == [1, 1, 1, 0, 1, 1]
    for cell, singular in enumerate(outputs["singular"]):
        numbers = outputs["coefficient.mantissa"][4 * cell:4 * cell + 4] + outputs["coefficient.exponent"][4 * cell:4 * cell + 4]
        assert any(numbers) != bool(singular)
    check(*systems[3], coefficients(outputs, 4)[3])


async def test_the_largest_and_the_smallest_numbers():
    ones = np.ones((1, 1), object)
    systems = [
        (ones * LARGEST, np.array([LARGEST], object)), (ones * LARGEST, np.array([1], object)),
        (ones, np.array([2**31 - 1], object)), (ones, np.array([-1], object)), (ones * 3, np.array([0], object)),
        (ones * 2**61, np.array([-(2**61)], object)),
    ]
    results = await solved(systems)
    for (gram, moments), found in zip(systems, results, strict=True):
        check(gram, moments, found)
    assert results[3] == (-1,)
    assert results[4] == (0,)


async def test_coefficients_that_are_or_contribute_next_to_nothing_come_out_as_zero():
    rng = np.random.default_rng(6)
    dummies = np.eye(4, dtype=np.int64)[np.arange(80) % 4]
    outcome = np.where(np.arange(80) % 4 == 2, 0, rng.integers(1, 100, 80))
    dependent, _ = nearly_dependent(rng, 4, 1_000)
    large, small = np.eye(4, dtype=object) * 2**50, np.array([2**55, 2**55 + 1, 2**12, 2**17], object)
    systems = [
        normal_equations(dummies, outcome), normal_equations(dummies, 0 * outcome),
        (dependent, dependent @ np.array([3, 0, -2, 0], object)), (large, small),
    ]
    results = await solved(systems)
    for (gram, moments), found in zip(systems, results, strict=True):
        check(gram, moments, found)
    assert [[number == 0 for number in found] for found in results] == [
        [False, False, True, False], [True] * 4, [False, True, False, True], [False, False, True, False],
    ]


@settings(max_examples=8)
@given(data=st.data())
@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_any_small_design(k, data):
    """Designs drawn from few and from extreme numbers: many are singular, or nearly."""
    entry = st.sampled_from([0, 1, -1, 2**28, -(2**28)]) | st.integers(-5, 5) | st.integers(-(2**28), 2**28)
    systems = []
    for _ in range(4):
        rows = data.draw(st.integers(1, 8))
        design = np.array(data.draw(st.lists(st.lists(entry, min_size=k, max_size=k), min_size=rows, max_size=rows)), object)
        outcome = np.array(data.draw(st.lists(entry, min_size=rows, max_size=rows)), object)
        systems.append(normal_equations(design, outcome))
    for (gram, moments), found in zip(systems, asyncio.run(solved(systems)), strict=True):
        with mpmath.workprec(800):
            regular = mpmath.det(mpmath.matrix(gram.tolist())) > 0.5  # it is an integer
        if not regular:
            assert found is None
        elif found is None:
            assert condition(gram) > 2**30
        else:
            check(gram, moments, found)


async def test_slices_give_what_one_step_gives_and_no_cells_take_no_message(monkeypatch):
    monkeypatch.setattr(tail_regression, "ENTRIES_AT_ONCE", 20)
    k = 3
    rng = np.random.default_rng(8)
    systems = [cohort(rng, 60, k) for _ in range(5)]
    for (gram, moments), found in zip(systems, await solved(systems, 20), strict=True):
        check(gram, moments, found, 20)

    def refuse(*_):
        raise AssertionError("a message was sent")

    nothing = await outputs_of(np.zeros((0, k, k)), np.zeros((0, k)), tap=refuse)
    assert coefficients(nothing, k) == []


async def test_messages_say_only_how_many_cells_and_covariates_there_are():
    """The same messages, byte counts and rounds, whatever the numbers are."""
    rng = np.random.default_rng(9)
    designs = [rng.integers(0, 100, (30, 3)), np.ones((30, 3), np.int64), rng.integers(-(2**28), 2**28, (30, 3))]
    seen = []
    for design in designs:
        lengths = []

        def tap(sender, receiver, channel, label, payload, lengths=lengths):
            assert channel == REGRESSION_CHANNEL
            lengths.append((sender, receiver, len(payload)))
            return payload

        await outputs_of(*([part] for part in normal_equations(design, np.arange(30))), tap=tap)
        seen.append(sorted(lengths))
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("step", [0, 23, 44])
async def test_a_changed_opening_is_noticed(step):
    """Of the two in each step of the inversion: of k² and of k(k + 1)/2 numbers."""
    systems = [normal_equations(np.array([[1, 2, 0], [1, 5, 1], [1, 7, 5]]), np.arange(3))]
    openings = 0

    def tap(sender, receiver, channel, label, payload):
        nonlocal openings
        if (sender, receiver, label % 2) == (0, 1, 0) and len(payload) in {9 * RESIDUE_BYTES, 6 * RESIDUE_BYTES}:
            openings += 1
            if openings == step + 1:
                return bytes([payload[0] ^ 1]) + payload[1:]
        return payload

    with pytest.raises(IntegrityError):
        await outputs_of(*zip(*systems, strict=True), tap=tap)


def test_wrong_shapes_and_bits_are_named():
    gram, moments = np.zeros((2, 3, 4, 4), np.uint64), np.zeros((2, 3, 4), np.uint64)
    with pytest.raises(ValueError, match=r"expected uint64 \(2, n, k, k\)"):
        Equations(gram[:, :, :3], moments, 26)
    with pytest.raises(ValueError, match="1 to 20 covariates"):
        Equations(np.zeros((2, 1, 21, 21), np.uint64), np.zeros((2, 1, 21), np.uint64), 26)
    with pytest.raises(ValueError, match="int64"):
        Equations(gram, moments.astype(np.int64), 26)
    with pytest.raises(ValueError, match="expected 8 to 44"):
        Equations(gram, moments, 45)


@pytest.mark.parametrize(("change", "message"), [
    ({"singular": []}, "2 covariates a cell"), ({"singular": [2]}, "expected 0 or 1"),
    ({"coefficient.exponent": [0, 5000]}, "outside"), ({"coefficient.mantissa": [1]}, "2 covariates a cell"),
])
def test_a_recipient_refuses_what_nodes_cannot_release(change, message):
    good = {"coefficient.mantissa": [3, 0], "coefficient.exponent": [1, 0], "singular": [0]}
    assert coefficients(good, 2) == [(6, 0)]
    with pytest.raises(IntegrityError, match=message):
        coefficients(good | change, 2)
