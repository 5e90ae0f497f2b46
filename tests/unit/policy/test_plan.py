"""KPI programs, plans and their bounds."""

import pytest

from policy.errors import PlanError
from policy.kpi import catalogue, compile_plan, load_kpi
from policy.measure import LIMB_BITS, Measure


def measures(**changes):
    common = {
        "app_user": {"party": "hospital", "aggregation": "exposed", "programme": "app"},
        "app_not_yet": {"party": "hospital", "aggregation": "not-yet-exposed", "programme": "app", "cohort": "care"},
        "insured_days": {"party": "insurer", "aggregation": "days", "programme": "insured", "bound": 7},
        "insured_any": {"party": "insurer", "aggregation": "nonzero", "of": "insured_days"},
        "gp_visits": {"party": "insurer", "aggregation": "count", "kind": "claim", "bound": 63},
        "gp_any": {"party": "insurer", "aggregation": "nonzero", "of": "gp_visits"},
        **{name: {"party": "insurer", "aggregation": "count", "kind": "claim", "care_type": care, "bound": 63}
           for name, care in (("outpatient_visits", "outpatient"), ("admissions", "admission"))},
        **{f"{name}_any": {"party": "insurer", "aggregation": "nonzero", "of": name}
           for name in ("outpatient_visits", "admissions")},
        "cost": {"party": "insurer", "aggregation": "sum", "kind": "claim", "bound": 2**26 - 1},
        "cost_any": {"party": "insurer", "aggregation": "nonzero", "of": "cost"},
        **{f"income_{q}": {"party": "statistics", "aggregation": "category", "field": "income", "value": str(q)}
           for q in range(1, 6)},
    }
    common.update(changes)
    return {name: Measure(name=name, **fields) for name, fields in common.items() if fields is not None}


def test_every_catalogue_program_compiles_and_its_hash_is_stable():
    for name in catalogue():
        first, second = (compile_plan(load_kpi(name), measures()) for _ in range(2))
        assert first.hash == second.hash
        assert len(first.strata) == 6
        first.check_bounds(patients=10_000, panes=4)


def test_an_amount_is_two_limbs_that_cover_its_bound():
    plan = compile_plan(load_kpi("cost-difference"), measures())
    high, low = plan.outcome
    assert (high.bound << LIMB_BITS) + low.bound >= 2**26 - 1
    assert high.signed
    assert not low.signed
    assert plan.quantities == (
        "exposed.time", "exposed.outcome.high", "exposed.outcome.low",
        "comparator.time", "comparator.outcome.high", "comparator.outcome.low",
    )


@pytest.mark.parametrize(("change", "message"), [
    ({"gp_visits": None}, "needs measure 'gp_visits'"),
    ({"gp_any": None}, "nobody shares who contributes to 'gp_visits'"),
    ({"app_user": {"party": "hospital", "aggregation": "days", "programme": "app"}}, "is a days, expected exposed"),
])
def test_a_program_that_does_not_fit_says_what_is_missing(change, message):
    with pytest.raises(PlanError, match=message):
        compile_plan(load_kpi("gp-visit-rate-ratio"), measures(**change))


def test_any_change_changes_the_hash():
    plan = compile_plan(load_kpi("gp-visit-rate-ratio"), measures())
    changed = plan.model_copy(update={"outputs": (*plan.outputs, "sums")})
    assert plan.hash != changed.hash


def test_bounds_are_refused_before_they_can_overflow():
    plan = compile_plan(load_kpi("cost-difference"), measures())
    with pytest.raises(PlanError, match="ring has 62"):
        plan.check_bounds(patients=10**9, panes=1_000)
    with pytest.raises(PlanError, match="tail's field has room"):
        plan.check_bounds(patients=10**6, panes=52)


def test_an_unknown_program_names_the_catalogue():
    with pytest.raises(PlanError, match="cost-difference, gp-visit-rate-ratio, outpatient"):
        load_kpi("no-such-kpi")


def test_fine_rounding_needs_the_sums_to_be_declared():
    kpi = load_kpi("gp-visit-rate-ratio").model_copy(update={"significant_bits": 27})
    with pytest.raises(PlanError, match="Declare the sums as outputs, or round to 26 bits"):
        compile_plan(kpi, measures())
    with_sums = kpi.model_copy(update={"outputs": ("value", "interval", "sums")})
    assert compile_plan(with_sums, measures()).significant_bits == 27
