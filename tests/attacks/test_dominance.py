"""One expensive patient: whoever sees a sum that consists of hardly anything else knows what that patient cost.

The attacker may read every KPI, every window, both editions. The patient has 400 times the cost of others in one week.
"""

import numpy as np

from evaluation.compute import Computation
from policy.agreement import Draft
from policy.compilation import compile_plans
from policy.kpi import load_kpi
from tests.support import runs
from tests.support.runs import PANES, PATIENTS, Shares, run_terms
from tests.support.wires import run_three

RULES = {"largest_percent": 50, "two_largest_percent": 85, "p_percent": 10}
EXPENSIVE = 12
"""In the exposed arm, in income group 2."""
WEEK = 3
KPIS = ("gp-visit-rate-ratio", "cost-difference")


class Costs(Shares):
    """As usual, but for some patients' costs of one week; `late` of the second edition."""

    def __init__(self, terms, number, cents, late):
        usual = runs._values

        def values(column, patient):
            found = np.broadcast_to(usual(column, patient), (PANES, *patient.shape)).copy()
            for person, amount in cents.items() if column == "cost.low" else ():
                found[WEEK, patient == person] = amount
            return found

        runs._values = values
        try:
            more = np.zeros((PANES, PATIENTS), np.int64)
            for person, amount in late.items():
                more[WEEK, person] = amount
            super().__init__(terms, number, late={"cost.low": more} if late else ())
        finally:
            runs._values = usual


def agreed(rules, kpis, **changes):
    disclosure = {"minimum_cohort": 3, **({} if rules is None else {"dominance": rules})}
    terms = run_terms(disclosure=disclosure, **changes)
    made = [load_kpi(name).model_copy(update={"outputs": ("sums",)}) for name in kpis]
    if "cost-difference-winsorised" in kpis:
        made[-1] = made[-1].model_copy(update={"cap": 30_000})
    return terms.model_copy(update={"plans": compile_plans(Draft.model_validate(terms.draft.model_dump()), tuple(made))})


async def released(rules, cents, kpis=KPIS, *, late=(), edition=0, **changes):
    """(plans, windows, 2) whether the total comes out, and all categories."""
    terms = agreed(rules, kpis, **changes)
    lattice = terms.draft.lattice
    windows = lattice.full if edition else lattice.scheduled

    async def program(wire):
        store = Costs(terms, wire.number, dict(cents), dict(late))
        computation = Computation(terms, terms.plans, store, wire.number, bytes([wire.number]) * 32)
        engines = computation.engines(wire)
        await computation.link(engines)
        await computation.extend(engines, windows)
        return (await computation.opened(engines, await computation.judge(engines, terms.plans, windows))).strata

    found, *others = await run_three(program)
    assert all(np.array_equal(found, other) for other in others)
    return np.stack([found > 0, found == 6], axis=-1)


TOUCHED = np.array([WEEK in (start, start + 1) for start in range(PANES - 1)])
"""Windows of two weeks that the week is in."""


async def test_without_rules_it_comes_out():
    assert (await released(None, {EXPENSIVE: 40_000})).all()


async def test_every_window_with_that_week_keeps_it_inside_and_nothing_else():
    found = await released(RULES, {EXPENSIVE: 40_000})
    visits, costs = found
    assert visits.all()
    np.testing.assert_array_equal(costs[:, 0], ~TOUCHED)
    np.testing.assert_array_equal(costs[:, 1], ~TOUCHED)


async def test_in_a_table_less_is_enough():
    """20 patients of €1 hide €11 in the total: not the three others in the group."""
    costs = (await released(RULES, {EXPENSIVE: 1_100}))[1]
    assert costs[:, 0].all()
    np.testing.assert_array_equal(costs[:, 1], ~TOUCHED)


async def test_two_together_and_a_credit():
    costs = (await released({"two_largest_percent": 85}, {EXPENSIVE: 8_000, EXPENSIVE + 2: -8_000}))[1]
    np.testing.assert_array_equal(costs[:, 0], ~TOUCHED)
    assert (await released({"largest_percent": 50}, {EXPENSIVE: 8_000, EXPENSIVE + 2: -8_000}))[1][:, 0].all()


async def test_a_cap_below_the_rules_lets_it_out():
    """Winsorised before anything is judged: of 20 patients of €2, one of at most €300 in the window dominates, one of €25 does not."""
    kpis = ("cost-difference-winsorised",)
    (found,) = await released(RULES, {EXPENSIVE: 40_000}, kpis)
    np.testing.assert_array_equal(found[:, 0], ~TOUCHED)
    (found,) = await released(RULES, {EXPENSIVE: 2_500}, kpis)
    assert found[:, 0].all()


async def test_what_a_later_edition_adds_is_a_sum_too():
    """Four patients' costs come late, enough for the minimum; one of them has nearly all of what is added."""
    both = {"maturities": {"days": [7], "release": "both", "revisions": 10}}
    late = {EXPENSIVE: 20, EXPENSIVE + 10: 20, EXPENSIVE + 20: 20, 1: 20, 3: 20, 5: 20}
    assert (await released(RULES, {}, late=late, edition=1, **both))[1][:, 0].all()
    one = {**late, EXPENSIVE: 900}
    found = (await released(RULES, {}, late=one, edition=1, **both))[1]
    np.testing.assert_array_equal(found[:, 0], ~TOUCHED)
