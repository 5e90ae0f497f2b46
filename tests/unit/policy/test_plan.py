"""KPI programs, plans and their bounds."""

import pytest

from policy.canonical import canonical_hash
from policy.errors import PlanError
from policy.kpi import catalogue, compile_plan, load_kpi
from policy.measure import LIMB_BITS, Measure
from policy.plan import Plan


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
        "modules_due": {"party": "hospital", "aggregation": "count", "kind": "monitoring", "code": "due", "bound": 15},
        "modules_completed": {"party": "hospital", "aggregation": "count", "kind": "monitoring", "code": "completed",
                              "bound": 15},
        "modules_missed": {"party": "hospital", "aggregation": "missed", "bound": 15},
        "prom_follow_ups": {"party": "hospital", "aggregation": "follow-ups", "code": "control-8", "bound": 7},
        "prom_change": {"party": "hospital", "aggregation": "change", "code": "control-8", "bound": 12_000},
        **{f"{name}_any": {"party": "hospital", "aggregation": "nonzero", "of": name}
           for name in ("modules_due", "modules_completed", "modules_missed", "prom_follow_ups")},
        **{f"income_{q}": {"party": "statistics", "aggregation": "category", "field": "income", "value": str(q)}
           for q in range(1, 6)},
    }
    common.update(changes)
    return {name: Measure(name=name, **fields) for name, fields in common.items() if fields is not None}


def test_a_changed_copy_has_another_hash_and_an_equal_plan_the_same():
    plan = compile_plan(load_kpi("gp-visit-rate-ratio"), measures())
    known = plan.hash
    other = plan.model_copy(update={"unit": "days"})
    assert other.hash == canonical_hash(other) != known
    assert Plan.model_validate_json(plan.model_dump_json()).hash == known == plan.hash
    assert plan.model_copy(deep=True).hash == known


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
    ({"insured_days": {"party": "insurer", "aggregation": "count", "kind": "claim"}}, "is a count, expected days"),
])
def test_a_program_that_does_not_fit_says_what_is_missing(change, message):
    with pytest.raises(PlanError, match=message):
        compile_plan(load_kpi("gp-visit-rate-ratio"), measures(**change))


@pytest.mark.parametrize(("content", "said"), [
    ("a = " + "9" * 5_000, "own.toml is not TOML: a whole number"), ("a = [", "own.toml is not TOML: "),
    ("significant_bits = 1", "own.toml: .*significant_bits: Input should be"),
])
def test_an_own_program_that_is_none_is_said_in_a_line(tmp_path, content, said):
    path = tmp_path / "own.toml"
    path.write_text(content)
    with pytest.raises(PlanError, match=said) as error:
        load_kpi(path)
    assert "\n" not in str(error.value)


def test_plans_have_no_column_that_they_do_not_need():
    uptake, adherence, change, capped = (
        compile_plan(load_kpi(name), measures())
        for name in ("uptake", "monitoring-adherence", "prom-change", "cost-difference-winsorised")
    )
    income = {f"income_{q}" for q in range(1, 6)}
    assert {c.name for c in uptake.columns} == {"app_user", "app_not_yet", "insured_days", "insured_any"} | income
    assert uptake.quantities == ("exposed.time", "comparator.time")
    assert {c.name for c in adherence.columns} - income == {
        "app_user", "modules_due", "modules_completed", "modules_due_any", "modules_completed_any", "modules_missed_any",
    }
    assert adherence.quantities == adherence.sums == ("exposed.time", "exposed.outcome")
    assert {c.name for c in change.columns} - income == {
        "app_user", "app_not_yet", "prom_follow_ups", "prom_change", "prom_follow_ups_any",
    }
    assert change.outcome[0].signed
    assert [p.unit for p in (uptake, adherence, change, capped)] == ["share", "share", "points", "EUR/patient-month"]
    assert (change.scale_numerator, change.scale_denominator) == (1, 100)
    assert len(capped.totals) == 6
    assert capped.quantities == capped.sums == (
        "exposed.time", "exposed.outcome", "comparator.time", "comparator.outcome",
    )


def program(name, **changes):
    return load_kpi(name).model_copy(update=changes)


@pytest.mark.parametrize(("kpi", "message"), [
    (program("uptake", outcome="gp_visits"), "is a count, expected none"),
    (program("uptake", comparator=None), "a share has 2 arms and no outcome; found 1 and 0"),
    (program("monitoring-adherence", comparator="app_not_yet"), "a completion has 1 arms"),
    (program("monitoring-adherence", outcome=None), "found 1 and 0 columns"),
    (program("monitoring-adherence", missed="modules_due"), "is a count, expected missed"),
    (program("monitoring-adherence", time="insured_days"), "is a days, expected count"),
    (program("gp-visit-rate-ratio", comparator=None), "a rate-ratio has 2 arms and an outcome"),
    (program("gp-visit-rate-ratio", cap=5), "only the outcome of a mean-difference"),
    (program("prom-change", outcome="cost"), "is a sum, expected change"),
    (program("cost-difference", time="prom_follow_ups"), "is a sum, expected change"),
    (program("prom-change", unit=None), 'is in points, not in EUR/patient-month. Write unit = "points"'),
    (program("uptake", unit="ratio"), "is in share, not in ratio"),
])
def test_a_program_of_another_form_is_refused(kpi, message):
    with pytest.raises(PlanError, match=message):
        compile_plan(kpi, measures())


def test_a_cap_bounds_the_squares():
    plan = compile_plan(load_kpi("cost-difference-winsorised"), measures())
    plan.check_bounds(patients=20_000, panes=13)
    with pytest.raises(PlanError, match=r"capped cost.high may need 7\d bits"):
        plan.model_copy(update={"cap": 2**26}).check_bounds(patients=20_000, panes=13)
    # In one week nobody changes category.
    plan.model_copy(update={"cap": 2**23}).check_bounds(patients=20_000, panes=1)


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
    with pytest.raises(PlanError, match="cost-difference, cost-difference-winsorised, gp-visit-rate-ratio, monitoring"):
        load_kpi("no-such-kpi")


def test_fine_rounding_needs_the_sums_to_be_declared():
    kpi = load_kpi("gp-visit-rate-ratio").model_copy(update={"significant_bits": 27})
    with pytest.raises(PlanError, match="Declare the sums as outputs, or round to 26 bits"):
        compile_plan(kpi, measures())
    with_sums = kpi.model_copy(update={"outputs": ("value", "interval", "sums")})
    assert compile_plan(with_sums, measures()).significant_bits == 27
