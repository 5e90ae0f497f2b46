"""The whole tail against fractions and mpmath."""

import asyncio
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.errors import ProtocolError
from mpc.tail import cells as tail_cells
from mpc.tail.decode import decode
from mpc.tail.estimators import CellBatch, estimate
from policy.errors import PlanError
from tests.support.dealing import deal
from tests.support.wires import run_three
from tests.unit.mpc.tail.helpers import AMOUNT, PANES, PATIENTS, answer, batches, compute, make_plan, number, patients


def close(found, wanted, bits):
    """Rounded to `bits` significant bits: half a unit of the last place, and next to nothing for the arithmetic."""
    assert wanted == 0 or abs(found / wanted - 1) <= 2.0**-bits + 2.0**-49, (float(found), float(wanted))
    assert wanted != 0 or found == 0


@pytest.mark.parametrize("bits", [8, 20, 44])
async def test_values_and_variances_match_fractions(bits):
    rng = np.random.default_rng(bits)
    plans = [
        make_plan("rate-ratio", bits=bits), make_plan("mean-difference", bits=bits),
        make_plan("mean-difference", bits=bits, limbs=True), make_plan("rate-ratio", bits=bits, signed=True),
    ]
    work = [(plan, [patients(rng, plan, n, low=-1 if plan.outcome[0].signed else 0) for n in (2, 3, 40, 150)])
            for plan in plans]
    for (plan, cells), outputs in zip(work, await compute(rng, work), strict=True):
        for at, rows in enumerate(cells):
            value, variance = answer(plan, rows)
            close(number(outputs, "value", at), value, bits)
            close(number(outputs, "variance", at), variance, bits)
            for name in ("value", "variance"):
                mantissa = abs(outputs[f"{name}.mantissa"][at])
                assert mantissa == 0 or 2 ** (bits - 1) <= mantissa <= 2**bits


@pytest.mark.parametrize("bits", [24, 44])
@pytest.mark.parametrize(("estimator", "limbs"), [("rate-ratio", False), ("mean-difference", True)])
async def test_intervals_match_mpmath_at_the_recipient(bits, estimator, limbs):
    rng = np.random.default_rng(bits)
    plan = make_plan(estimator, bits=bits, limbs=limbs, scale=(487, 1600))
    cells = [patients(rng, plan, n) for n in (30, 200, 600)]
    (outputs,) = await compute(rng, [(plan, cells)])
    with mpmath.workprec(200):
        z, scale = mpmath.sqrt(2) * mpmath.erfinv(mpmath.mpf("0.95")), mpmath.mpf(487) / 1600
        for rows, result in zip(cells, decode(plan, outputs), strict=True):
            value, variance = (mpmath.mpf(x.numerator) / x.denominator for x in answer(plan, rows))
            half = z * mpmath.sqrt(variance)
            ends = (
                (value * mpmath.exp(-half), value * mpmath.exp(half)) if estimator == "rate-ratio"
                else (value - half, value + half)
            )
            size = max(abs(x) for x in (value, *ends)) * scale
            for found, wanted in zip((result.value, result.low, result.high), (value, *ends), strict=True):
                assert abs(found - wanted * scale) <= 1e-6 * size


ESTIMATORS = {
    "rate-ratio": make_plan("rate-ratio", bits=44),
    "mean-difference": make_plan("mean-difference", bits=44, limbs=True),
    "mean change": make_plan("mean-difference", bits=44, signed=True, scale=(1, 100)),
    "capped": make_plan("mean-difference", bits=44, limbs=True, cap=2_500_000, scale=(487, 1600)),
    "share": make_plan("share", bits=44),
    "completion": make_plan("completion", bits=44),
}


@st.composite
def any_cell(draw, plan):
    """A few patients with anything that the plan's bounds allow: extremes, nobody, one arm empty. No time, no outcome."""
    outcome = plan.outcome[0].bound * PANES if plan.outcome else 0
    most = {"capped": plan.cap, "amount": AMOUNT * PANES}.get(
        "capped" if plan.cap else "amount" if len(plan.outcome) == 2 else "", outcome,
    )
    least = 0 if plan.cap or not (len(plan.outcome) == 2 or any(c.signed for c in plan.outcome)) else -most
    time = plan.time.bound * PANES
    rows = []
    for _ in range(draw(st.integers(0, 4))):
        row = []
        for arm in (True, plan.estimator != "completion"):
            t = draw(st.sampled_from([0, 1, time]) | st.integers(0, time)) if arm else 0
            high = t if plan.estimator == "completion" else most
            some = t and plan.outcome
            y = draw(st.sampled_from([least, 0, high]) | st.integers(least, high)) if some else 0
            row += [t, y]
        rows.append(row)
    return np.array(rows, dtype=object).reshape(-1, 4)


def expected_numbers(plan, rows):
    """(value, low, high) by the definitions, in mpmath; None where there is none."""
    TU, YU, TC, YC = (int(x) for x in rows.sum(axis=0)) if len(rows) else (0,) * 4
    z = mpmath.sqrt(2) * mpmath.erfinv(mpmath.mpf("0.95"))
    scale = mpmath.mpf(plan.scale_numerator) / plan.scale_denominator
    mp = mpmath.mpf
    if plan.estimator in ("share", "completion"):
        part, rest = ([r[0] for r in rows], [r[2] for r in rows]) if plan.estimator == "share" else (
            [r[1] for r in rows], [r[0] - r[1] for r in rows])
        A, B = sum(part), sum(rest)
        if B == 0:
            return None, None, None
        value = mp(A) / (A + B)
        if A == 0:
            return value, None, None
        half = z * mpmath.sqrt(sum((mp(a) / A - mp(b) / B) ** 2 for a, b in zip(part, rest, strict=True)))
        logit = mpmath.log(value / (1 - value))
        ends = [1 / (1 + mpmath.exp(-(logit + side * half))) for side in (-1, 1)]
        return value, *ends
    if 0 in (TU, TC) or (plan.estimator == "rate-ratio" and YC == 0):
        return None, None, None
    rows = [[mp(x) for x in row] for row in rows]
    if plan.estimator == "rate-ratio":
        value = (mp(YU) / TU) / (mp(YC) / TC)
        if YU == 0:
            return value, None, None
        half = z * mpmath.sqrt(sum((yu / YU - tu / TU - yc / YC + tc / TC) ** 2 for tu, yu, tc, yc in rows))
        return value, value * mpmath.exp(-half), value * mpmath.exp(half)
    means = mp(YU) / TU, mp(YC) / TC
    half = z * mpmath.sqrt(sum(((yu - means[0] * tu) / TU - (yc - means[1] * tc) / TC) ** 2 for tu, yu, tc, yc in rows))
    value = means[0] - means[1]
    return value * scale, (value - half) * scale, (value + half) * scale


@settings(max_examples=12)
@given(data=st.data())
@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_is_right_over_its_declared_range(name, data):
    plan = ESTIMATORS[name]
    cells = [data.draw(any_cell(plan)) for _ in range(8)]
    (outputs,) = asyncio.run(compute(np.random.default_rng(0), [(plan, cells)]))
    with mpmath.workprec(200):
        for rows, result in zip(cells, decode(plan, outputs), strict=True):
            wanted = expected_numbers(plan, rows)
            size = max((abs(x) for x in wanted if x is not None), default=0)
            for found, number_ in zip((result.value, result.low, result.high), wanted, strict=True):
                assert (found is None) == (number_ is None), (rows, result, wanted)
                assert found is None or abs(found - number_) <= 1e-6 * size, (rows, result, wanted)
            columns = {"share": (0, 2), "completion": (0, 1)}.get(plan.estimator, (0, 1, 2, 3))
            assert list(result.sums.values()) == [sum(row[c] for row in rows) for c in columns]


async def test_a_share_without_its_interval_comes_from_the_sums_alone():
    rows = np.array([[7, 3, 14, 0], [7, 4, 0, 0], [0, 0, 0, 0]], dtype=object)
    plans = [make_plan(name, outputs=("sums",)) for name in ("share", "completion")]
    share, completion = await compute(np.random.default_rng(9), [(plan, [rows, rows[2:]]) for plan in plans])
    assert [r.value for r in decode(plans[0], share)] == [0.5, None]
    assert decode(plans[0], share)[0].sums == {"exposed.time": 14, "comparator.time": 14}
    assert [r.value for r in decode(plans[1], completion)] == [0.5, None]
    assert decode(plans[1], completion)[0].sums == {"exposed.time": 14, "exposed.outcome": 7}


async def test_more_done_than_due_is_a_share_above_1_without_an_interval():
    """A party that counts so contradicts itself; nothing breaks."""
    plan = make_plan("completion", bits=44)
    (outputs,) = await compute(np.random.default_rng(10), [(plan, [np.array([[10, 11, 0, 0]], dtype=object)])])
    (result,) = decode(plan, outputs)
    assert result.value == pytest.approx(1.1)
    assert (result.low, result.high) == (None, None)


async def test_the_largest_and_the_smallest_declared_numbers():
    rng = np.random.default_rng(1)
    most = AMOUNT * PANES
    cost, visits = make_plan("mean-difference", bits=44, limbs=True), make_plan("rate-ratio", bits=44)
    both_extremes = np.array([[7 * PANES, most, 0, 0], [0, 0, 7 * PANES, -most]] * (PATIENTS // 2), dtype=object)
    one_cent = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [7 * PANES, 0, 0, 0]], dtype=object)
    busy = np.array([[7 * PANES, 160, 0, 0], [0, 0, 1, 1]] * (PATIENTS // 2), dtype=object)
    busy[0, 1] -= 1
    share, completion = make_plan("share", bits=44), make_plan("completion", bits=44)
    whole = np.array([[7 * PANES, 0, 0, 0], [0, 0, 7 * PANES, 0]] * (PATIENTS // 2), dtype=object)
    one_day = np.array([[7 * PANES, 0, 0, 0]] * (PATIENTS - 1) + [[0, 0, 1, 0]], dtype=object)
    all_but_one = np.array([[160, 160, 0, 0]] * (PATIENTS - 1) + [[160, 159, 0, 0]], dtype=object)
    all_but_one_not = np.array([[160, 0, 0, 0]] * (PATIENTS - 1) + [[160, 1, 0, 0]], dtype=object)
    work = [
        (cost, [both_extremes, one_cent]), (visits, [busy, busy[:, [2, 3, 0, 1]]]),
        (share, [whole, one_day, one_day[:, [2, 3, 0, 1]]]), (completion, [all_but_one, all_but_one_not]),
    ]
    for (plan, cells), outputs in zip(work, await compute(rng, work), strict=True):
        for at, rows in enumerate(cells):
            value, variance = answer(plan, rows)
            close(number(outputs, "value", at), value, 44)
            close(number(outputs, "variance", at), variance, 44)


async def test_zeros_are_exact_and_undefined_results_say_so():
    rng = np.random.default_rng(2)
    difference, ratio = make_plan("mean-difference", limbs=True), make_plan("rate-ratio", signed=True)
    equal = np.array([[7, 70, 0, 0], [0, 0, 14, 140]], dtype=object)
    negative = np.array([[7, -70, 0, 0], [0, 0, 14, 139], [3, 9, 0, 0]], dtype=object)
    no_visits = np.array([[7, 0, 0, 0], [0, 0, 14, 1], [0, 0, 7, 2]], dtype=object)
    netted_out = np.array([[7, 5, 0, 0], [0, 0, 14, 1], [0, 0, 7, -1]], dtype=object)
    work = [(difference, [equal, negative]), (ratio, [equal, negative, no_visits, netted_out])]
    differences, ratios = await compute(rng, work)
    same, below = decode(difference, differences)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert below.value == pytest.approx(-61 / 10 - 139 / 14, rel=1e-7)
    one, sign, none, undefined = decode(ratio, ratios)
    assert (one.value, one.low, one.high) == (1, 1, 1)
    assert sign.value == pytest.approx(-61 / 10 / (139 / 14), rel=1e-7)
    assert (sign.low, sign.high) == (None, None)
    assert (none.value, none.low, none.high) == (0, None, None)
    assert (undefined.value, undefined.low, undefined.high) == (None, None, None)


async def test_only_declared_outputs_leave_and_sums_are_exact():
    rng = np.random.default_rng(3)
    plans = [
        make_plan("mean-difference", limbs=True, outputs=("sums",)), make_plan(outputs=("value",), bits=8),
        make_plan(outputs=("value", "interval", "sums")), make_plan("mean-difference"),
    ]
    work = [(plan, [patients(rng, plan, 20) for _ in range(3)]) for plan in plans[:3]] + [(plans[3], [])]
    sums_only, value_only, everything, empty = await compute(rng, work)
    sums = {f"sums.{arm}.{part}" for arm in ("exposed", "comparator") for part in ("time", "outcome")}
    derived = {f"{name}.{part}" for name in ("value", "variance") for part in ("mantissa", "exponent")}
    assert set(sums_only) == sums
    assert set(value_only) == {"value.mantissa", "value.exponent"}
    assert set(everything) == derived | sums
    assert empty == {name: [] for name in derived}
    for plan, cells, outputs in ((*work[0], sums_only), (*work[2], everything)):
        for rows, result in zip(cells, decode(plan, outputs), strict=True):
            assert list(result.sums.values()) == list(rows.sum(axis=0))
            assert result.value == pytest.approx(float(answer(plan, rows)[0]), rel=1e-7)
            assert (result.low is None) == (plan is plans[0])
    outside = decode(plans[1], value_only)[0]
    assert outside.low is None
    assert outside.sums == {}


async def test_nothing_to_release_needs_no_message():
    lost = await compute(np.random.default_rng(4), [(make_plan(), [])], tap=lambda *_: None)
    assert all(vector == [] for vector in lost[0].values())


async def test_large_runs_go_in_slices(monkeypatch):
    monkeypatch.setattr(tail_cells, "CELLS_AT_ONCE", 3)
    rng = np.random.default_rng(5)
    plans = [make_plan(bits=20), make_plan("mean-difference", bits=12)]
    work = [(plan, [patients(rng, plan, 10) for _ in range(n)]) for plan, n in zip(plans, (4, 3), strict=True)]
    for (plan, cells), outputs in zip(work, await compute(rng, work), strict=True):
        for at, rows in enumerate(cells):
            close(number(outputs, "value", at), answer(plan, rows)[0], plan.significant_bits)


async def test_the_same_data_gives_the_same_numbers_from_other_shares():
    rng = np.random.default_rng(6)
    plan = make_plan(bits=12)
    cells = [patients(rng, plan, 50) for _ in range(10)]
    held = batches(rng, plan, cells)
    first, second = [
        await run_three(lambda wire: estimate(wire, [held[wire.number]], PATIENTS, PANES, 30)) for _ in range(2)
    ]
    assert await compute(rng, [(plan, cells)]) == await compute(rng, [(plan, cells)])
    for node in range(3):
        for name in first[node][0]:
            assert not set(first[node][0][name]) & set(second[node][0][name])


@pytest.mark.parametrize(("sixteenths", "eighths"), [(257, 129), (259, 130), (387, 194), (511, 256), (258, 129), (256, 128)])
async def test_a_ratio_between_two_mantissas_goes_up_each_time(sixteenths, eighths):
    """The odd ones lie exactly between two of eight bits. The arithmetic's error, which is another one for other masks,
    may not decide: whoever sees a release twice would learn the ratio to all its bits."""
    plan = make_plan(bits=8, outputs=("value",))
    visits = [sixteenths // 4] * 3 + [sixteenths - sixteenths // 4 * 3]
    rows = np.array([[4, outcome, 4, 4] for outcome in visits], dtype=object)
    found = set()
    for seed in range(4):
        (outputs,) = await compute(np.random.default_rng(seed), [(plan, [rows] * 10)])
        found |= {number(outputs, "value", at) for at in range(10)}
    assert found == {Fraction(eighths, 8)}


async def test_one_tail_an_attempt():
    rng = np.random.default_rng(7)
    held = batches(rng, make_plan(), [patients(rng, make_plan(), 5)])

    async def twice(wire):
        await estimate(wire, [held[wire.number]], PATIENTS, PANES, 10)
        await estimate(wire, [held[wire.number]], PATIENTS, PANES, 10)

    with pytest.raises(ProtocolError, match="used twice"):
        await run_three(twice)


async def test_a_plan_that_may_leave_the_field_is_refused_before_any_message():
    plan = make_plan("rate-ratio", limbs=True)
    with pytest.raises(PlanError, match="the tail's field has room for 212"):
        await run_three(lambda wire: estimate(wire, [empty_batch(plan)], 100_000, 26, 1), tap=lambda *_: None)


def empty_batch(plan):
    q = len(plan.quantities)
    return CellBatch(plan, np.zeros((2, 0, q), np.uint64), np.zeros((2, 0, q, q), np.uint64))


def test_a_batch_of_another_shape_is_refused():
    plan = make_plan(limbs=True)
    sums = deal(np.zeros((3, 4), np.int64), np.random.default_rng(8))[0].parts
    with pytest.raises(ValueError, match=r"expected uint64 \(2, n, 6\)"):
        CellBatch(plan, sums, np.zeros((2, 3, 6, 6), np.uint64))
