"""Plans with privacy in the tail: values, variances and alerts of groups' noisy sums, of either sign, against fractions."""

import math

import numpy as np
import pytest

from mpc.tail.alerts import AlertBatch, alert_states
from mpc.tail.decode import T_95, decode
from mpc.tail.estimators import CellBatch, estimate
from mpc.tail.recombine import recombine, recombine_outputs
from policy.privacy import GROUPS, Horizon, Privacy
from tests.support.dealing import deal
from tests.support.wires import run_three
from tests.unit.mpc.tail.helpers import PANES, PATIENTS, answer, make_plan, number
from tests.unit.mpc.tail.test_alerts import machine, rule, value_of

BITS = 44
HORIZON = Horizon(panes=16, atoms=16, atom_panes=1, window_atoms=4, windows=13)
PLANS = {
    name: plan.model_copy(update={"privacy": Privacy(rho="1", delta="0.000001", horizon=HORIZON)}) for name, plan in {
        "rate-ratio": make_plan("rate-ratio", bits=BITS),
        "mean-difference": make_plan("mean-difference", bits=BITS, limbs=True),
        "mean change": make_plan("mean-difference", bits=BITS, signed=True), "share": make_plan("share", bits=BITS),
        "completion": make_plan("completion", bits=BITS),
    }.items()
}


def by_group(rng, low):
    """(GROUPS, 4) noisy sums: tu, yu, tc, yc."""
    rows = rng.integers(low, 4_000, (GROUPS, 4)).astype(object)
    rows[:, 1] += 2 * rng.integers(low, 4_000, GROUPS)
    return rows


def chosen(plan, rows):
    """(…, q) the plan's quantities."""
    return rows[..., {"share": [0, 2], "completion": [0, 1]}.get(plan.estimator, [0, 1, 2, 3])]


async def compute(rng, plan, cells):
    table = np.array([chosen(plan, rows) for rows in cells], np.int64)
    pairs = list(zip(deal(table.sum(axis=1), rng), deal(table, rng), strict=True))

    async def program(wire):
        sums, groups = pairs[wire.number]
        return await estimate(wire, [CellBatch(plan, sums.parts, groups.parts)], PATIENTS, PANES, 30)

    shares = await run_three(program)
    return recombine_outputs([share[0] for share in shares])


@pytest.mark.parametrize("name", PLANS)
async def test_values_and_variances_are_those_of_groups(name):
    """Also where noise makes sums, and denominators, negative."""
    rng, plan = np.random.default_rng(len(name)), PLANS[name]
    cells = [by_group(rng, low) for low in (0, 0, -3_900, -3_900, -7_500, -7_500)]
    outputs = await compute(rng, plan, cells)
    for at, rows in enumerate(cells):
        for found, wanted in zip(("value", "variance"), answer(plan, rows), strict=True):
            assert abs(number(outputs, found, at) / wanted - 1) <= 2.0**-BITS + 2.0**-49
        assert [outputs[f"sums.{sum_}"][at] for sum_ in plan.sums] == chosen(plan, rows).sum(axis=0).tolist()
    assert min(chosen(plan, rows).sum(axis=0).min() for rows in cells) < 0


async def test_the_recipient_widens_for_few_groups():
    rng, plan = np.random.default_rng(1), PLANS["rate-ratio"]
    rows = by_group(rng, 1_000)
    (result,) = decode(plan, await compute(rng, plan, [rows]))
    value, variance = answer(plan, rows)
    half = T_95 * math.sqrt(variance * GROUPS / (GROUPS - 1))
    assert math.isclose(result.low, value * math.exp(-half), rel_tol=1e-9)
    assert math.isclose(result.high, value * math.exp(half), rel_tol=1e-9)


async def test_nothing_that_is_0_divides():
    rng, plan = np.random.default_rng(1), PLANS["mean-difference"]
    rows = by_group(rng, 0)
    rows[:, 2] = [5, -5] * (GROUPS // 2)
    (result,) = decode(plan, await compute(rng, plan, [rows]))
    assert (result.value, result.low, result.high) == (None, None, None)


@pytest.mark.parametrize("name", PLANS)
async def test_alerts_compare_what_has_noise_of_either_sign(name):
    rng, plan = np.random.default_rng(len(name)), PLANS[name]
    cells = [by_group(rng, low).sum(axis=0) for low in (0, 0, -3_900, -4_100, -7_500, 0, -7_500, -3_900)]
    values = sorted(value_of(plan, cell) for cell in cells)
    alert = rule(raise_at=f"{float(values[5]):.3f}", clear_at=f"{float(values[2]):.3f}")
    assert float(values[2]) < float(values[5])
    held = deal(chosen(plan, np.array(cells)).astype(np.int64), rng)

    async def program(wire):
        batch = AlertBatch(alert, plan, held[wire.number].parts, len(cells))
        return await alert_states(wire, [batch], PATIENTS, PANES, 30)

    shares = await run_three(program)
    assert recombine([share[0] for share in shares]) == machine(alert, plan, cells)


def test_groups_of_another_shape_are_refused():
    plan = PLANS["rate-ratio"]
    with pytest.raises(ValueError, match=rf"expected uint64 \(2, n, 4\) and \(2, n, {GROUPS}, 4\)"):
        CellBatch(plan, np.zeros((2, 1, 4), np.uint64), np.zeros((2, 1, 4, 4), np.uint64))
