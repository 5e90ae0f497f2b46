"""How many patients changed between two editions, on shares, against numpy; and what may be told of them."""

import numpy as np
import pytest

from mpc.changes import changed
from mpc.disclosure import Findings, judge, opened
from mpc.engine import Engine
from policy.measure import LIMB_BITS
from tests.support.dealing import deal
from tests.support.terms import make_terms
from tests.support.wires import run_three

PEOPLE, ATOMS = 50, 3


def plan(kpi):
    return next(p for p in make_terms().plans if p.kpi == kpi)


async def counted(plan, before, after, seed=1):
    rng = np.random.default_rng(seed)
    one, other = deal(before, rng), deal(after, rng)

    async def program(wire):
        engine = Engine(wire)
        found = await changed(engine, plan, one[wire.number], other[wire.number])
        return await engine.open(found)

    found, *others = await run_three(program)
    for other_view in others:
        np.testing.assert_array_equal(found, other_view)
    return found


def totals(plan, rng):
    """Every patient in one arm and in one stratum or none."""
    made = np.zeros((ATOMS, len(plan.strata), len(plan.totals), PEOPLE), np.int64)
    per_arm = len(plan.totals) // len(plan.arms)
    for person in range(PEOPLE):
        arm, stratum = rng.integers(len(plan.arms)), rng.integers(len(plan.strata))
        values = rng.integers(0, 1 << 31, (ATOMS, per_arm))
        for cell in {0, int(stratum)}:
            made[:, cell, arm * per_arm : (arm + 1) * per_arm, person] = values
    return made


@pytest.mark.parametrize("kpi", ["gp-visit-rate-ratio", "cost-difference"])
async def test_changes_are_counted_by_atom_cell_arm_and_sum(kpi):
    rng, made = np.random.default_rng(7), plan(kpi)
    before = totals(made, rng)
    after = np.where(rng.random(PEOPLE) < 0.3, totals(made, rng), before)
    found = await counted(made, before, after)
    difference = (after - before).reshape(ATOMS, len(made.strata), len(made.arms), -1, PEOPLE)
    limbs = len(made.outcome)
    outcome = difference[:, :, :, 1] if limbs == 1 else (difference[:, :, :, 1] << LIMB_BITS) + difference[:, :, :, 2]
    sums = np.stack([difference[:, :, :, 0], outcome], axis=3)
    sums = np.concatenate([sums, sums[:, :1] - sums[:, 1:].sum(axis=1, keepdims=True)], axis=1)
    np.testing.assert_array_equal(found, (sums != 0).sum(axis=-1))
    assert found.shape == (ATOMS, len(made.strata) + 1, 2, 2)
    assert found.max() > 3


async def test_limbs_that_make_the_same_amount_are_no_change():
    made = plan("cost-difference")
    before = np.zeros((1, len(made.strata), len(made.totals), PEOPLE), np.int64)
    after = before.copy()
    before[:, 0, 1, 0], after[:, 0, 2, 0] = 1, 1 << LIMB_BITS
    assert not (await counted(made, before, after)).any()
    after[:, 0, 2, 0] -= 1
    found = await counted(made, before, after)
    assert found[0, 0, 0].tolist() == [0, 1]
    assert found[0, -1, 0].tolist() == [0, 1], "somebody outside all strata"
    assert found.sum() == 2


async def decide(counts, changes, windows, minimum):
    rng = np.random.default_rng(3)
    dealt, more = deal(counts, rng), deal(changes, rng)
    made = plan("gp-visit-rate-ratio")
    cut = made.model_copy(update={"strata": made.strata[: counts.shape[1] - 1]})

    async def program(wire):
        findings = [Findings(cut, dealt[wire.number], changes=more[wire.number])]
        engine = Engine(wire)
        return await opened(engine, await judge(engine, findings, windows, minimum))

    found, *_ = await run_three(program)
    return [[shown > 0, shown == len(cut.strata)] for shown in found[0]]


@pytest.mark.parametrize(("number", "free"), [(0, True), (1, False), (9, False), (10, True), (40, True)])
async def test_nobody_or_enough_may_have_changed(number, free):
    counts, nobody = np.full((2, 4, 2, 2), 10), np.zeros((2, 4, 2, 2), np.int64)
    for cell, expected in ((0, [free, free]), (1, [True, free]), (3, [True, free])):
        changes = nobody.copy()
        changes[1, cell, 1, 0] = number
        assert await decide(counts, changes, [(0, 1), (1, 2), (0, 2)], 10) == [[True, True], expected, expected]


async def test_few_and_few_do_not_make_up_for_each_other():
    """Two cells with 4 who changed are not 8, and an atom with many does not excuse one with few."""
    counts, changes = np.full((2, 4, 2, 2), 10), np.zeros((2, 4, 2, 2), np.int64)
    changes[0, 0], changes[1, 0, 0, 0] = 50, 4
    assert await decide(counts, changes, [(0, 1), (0, 2)], 10) == [[True, True], [False, False]]


async def test_a_full_edition_obeys_the_minimum_too():
    counts, changes = np.full((1, 4, 2, 2), 10), np.zeros((1, 4, 2, 2), np.int64)
    counts[0, 0, 0, 1] = 9
    assert await decide(counts, changes, [(0, 1)], 10) == [[False, False]]


async def test_changes_of_other_atoms_are_refused():
    async def program(wire):
        engine = Engine(wire)
        share = deal(np.full((1, 7, 2, 2), 10), np.random.default_rng(1))[wire.number]
        two, made = type(share).concat([share, share]), plan("gp-visit-rate-ratio")
        with pytest.raises(ValueError, match=r"changes of shape \(2, 7, 2, 2\); expected 4 axes, the first \(1, 7\)"):
            await judge(engine, [Findings(made, share, changes=two)], [(0, 1)], 10)
        with pytest.raises(ValueError, match="do not fit 1 atoms"):
            await judge(engine, [Findings(made, share, changes=share)], [(0, 2)], 10)

    await run_three(program)
