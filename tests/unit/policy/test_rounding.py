"""Bases of sums: what an agreement may declare, and which KPIs would tell what is rounded away."""

import random

import pytest
import tomli_w
from pydantic import ValidationError

from policy.agreement import Draft, Terms
from policy.compilation import compile_plans
from policy.errors import PlanError
from policy.kpi import load_kpi
from policy.review import review
from policy.rounding import MOST_BASE, Rounding
from tests.support.terms import draft_data, make_terms

KPIS = {name: load_kpi(name) for name in ("gp-visit-rate-ratio", "cost-difference")}


def plans(rounding, **outputs):
    """Compiled plans; KPI → outputs, otherwise its own."""
    disclosure = {"minimum_cohort": 3, **({} if rounding is None else {"rounding": rounding})}
    kpis = [
        kpi.model_copy(update={"outputs": outputs.get(name.split("-")[0], kpi.outputs)}) for name, kpi in KPIS.items()
    ]
    return compile_plans(Draft.model_validate(draft_data(disclosure=disclosure)), tuple(kpis))


def test_each_sum_gets_the_base_of_its_unit():
    visits, costs = plans({"days": 7, "count": 5, "cents": 100}, gp=("sums",), cost=("sums",))
    assert dict(zip(visits.sums, visits.bases, strict=True)) == {
        "exposed.time": 7, "exposed.outcome": 5, "comparator.time": 7, "comparator.outcome": 5,
    }
    assert costs.bases == (7, 100, 7, 100)


def test_without_rounding_plans_have_the_hash_that_they_had():
    """And so they do with it, if they release no sums: these are rounded to significant bits."""
    assert [p.hash for p in plans({"days": 7, "count": 5, "cents": 100})] == [p.hash for p in plans(None)]
    exact, rounded = (plans(r, gp=("sums",))[0] for r in (None, {"days": 1, "count": 1}))
    assert exact.hash == rounded.hash
    assert "bases" not in exact.model_dump()
    assert plans({"days": 7, "count": 5}, gp=("sums",))[0].hash != exact.hash


@pytest.mark.parametrize(("rounding", "outputs", "said"), [
    ({"count": 5}, {"gp": ("sums",)}, "gp-visit-rate-ratio releases sums in days, for which disclosure.rounding has no base"),
    ({"days": 7, "count": 5}, {"cost": ("sums",)}, "cost-difference releases sums in cents"),
    ({"days": 7, "count": 5}, {"gp": ("value", "sums")}, "beside a value of about 6 digits"),
    ({"days": 1, "count": 5}, {"gp": ("value", "interval", "sums")}, "Declare its sums alone"),
])
def test_what_would_tell_what_is_rounded_away_is_refused(rounding, outputs, said):
    with pytest.raises(PlanError, match=said):
        plans(rounding, **outputs)


def test_a_value_of_another_kpi_over_the_same_sums_is_refused():
    """As an attacker would: the value by one name, the rounded sums that it is made of by another."""
    draft = Draft.model_validate(draft_data(disclosure={"minimum_cohort": 3, "rounding": {"days": 7, "count": 5}}))
    value = KPIS["gp-visit-rate-ratio"]
    sums = value.model_copy(update={"id": "visits-in-sums", "outputs": ("sums",)})
    with pytest.raises(PlanError, match="KPI gp-visit-rate-ratio releases a value of which gp_visits, insured_days is a part"):
        compile_plans(draft, (value, sums))
    assert len(compile_plans(draft, (KPIS["cost-difference"], sums))) == 2  # its value has an amount that is nowhere else


def test_a_value_that_shares_one_rounded_sum_is_refused():
    """Days to within a week, and a ratio of visits to them: one number of days is left, whatever the visits are."""
    clinic = {"name": "outpatient_visits", "party": "insurer", "aggregation": "count", "kind": "claim", "care_type": "outpatient"}
    measures = [
        *draft_data()["measures"], {**clinic, "at_risk": "insured_days", "bound": 63},
        {"name": "outpatient_any", "party": "insurer", "aggregation": "nonzero", "of": "outpatient_visits"},
    ]
    sums = KPIS["gp-visit-rate-ratio"].model_copy(update={"outputs": ("sums",)})
    other = load_kpi("outpatient-visit-rate-ratio")

    def compiled(days, kpi):
        disclosure = {"minimum_cohort": 3, "rounding": {"days": days, "count": 5}}
        return compile_plans(Draft.model_validate(draft_data(measures=measures, disclosure=disclosure)), (sums, kpi))

    with pytest.raises(PlanError, match="KPI outpatient-visit-rate-ratio releases a value of which insured_days is a part"):
        compiled(7, other)
    assert len(compiled(1, other)) == 2  # days come out as they are
    assert len(compiled(7, other.model_copy(update={"outputs": ("sums",)}))) == 2


def test_what_would_be_found_is_found():
    """Why that is refused: 20 patients' days rounded to weeks, and the ratio to 20 bits."""
    rng, exact = random.Random(2), 0
    for _ in range(40):
        days = [sum(rng.choice((28, 28, 21, 9)) for _ in range(20)) for _ in range(2)]
        visits = [rng.randint(5, 30) for _ in range(2)]
        value = (visits[0] / days[0]) / (visits[1] / days[1])
        likely = [range((d + 3) // 7 * 7 - 3, (d + 3) // 7 * 7 + 4) for d in days]
        fitting = {
            (one, other) for one in likely[0] for other in likely[1] for count in range(1, 41)
            if abs((count / one) / (max(1, round(count / one * other / value)) / other) / value - 1) < 2**-20
        }
        assert tuple(days) in fitting
        exact += len(fitting) == 1
    assert exact > 20


@pytest.mark.parametrize("rounding", [
    {}, {"days": 0}, {"days": -5}, {"days": MOST_BASE + 1}, {"euros": 5}, {"days": "five"}, {"days": 2.5},
])
def test_bases_that_cannot_be_are_refused(rounding):
    with pytest.raises(ValidationError):
        Rounding.model_validate(rounding)


def test_terms_whose_plans_round_otherwise_are_refused():
    made = make_terms(disclosure={"minimum_cohort": 3, "rounding": {"days": 7, "count": 5, "cents": 100}})
    plan = made.plans[0].model_copy(update={"outputs": ("sums",)})
    for bases, said in (((), r"to nothing, agreed is \(7, 5, 7, 5\)"), ((7, 1, 7, 1), r"to \(7, 1, 7, 1\), agreed is")):
        other = made.model_copy(update={"plans": (plan.model_copy(update={"bases": bases}), made.plans[1])})
        with pytest.raises(ValidationError, match=said):
            Terms.model_validate(other.model_dump())
    good = plan.model_copy(update={"bases": (7, 5, 7, 5)})
    Terms.model_validate(made.model_copy(update={"plans": (good, made.plans[1])}).model_dump())


@pytest.mark.parametrize("change", [{"bases": (7, 5)}, {"bases": (7, 5, 7, 0)}, {"outputs": ("value", "sums")}])
def test_a_plan_has_a_base_for_each_of_its_sums_and_releases_nothing_else(change):
    plan = plans({"days": 7, "count": 5}, gp=("sums",))[0]
    with pytest.raises(ValidationError, match="expected a base for each of exposed.time"):
        type(plan).model_validate({**plan.model_dump(), **change})


def test_a_review_finds_it_with_all_else_that_is_wrong(tmp_path):
    kpi = KPIS["gp-visit-rate-ratio"].model_copy(update={"outputs": ("value", "sums")})
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(kpi.model_dump(exclude_none=True)), encoding="utf-8")
    data = draft_data(kpis=["mine.toml"], disclosure={"minimum_cohort": 3, "rounding": {"days": 7, "count": 5}})
    data["recipients"][0]["kpis"] = ["gp-visit-rate-ratio"]
    (tmp_path / "agreement.toml").write_text(tomli_w.dumps(data), encoding="utf-8")
    (fault,) = review(tmp_path / "agreement.toml").faults
    assert "from which they could be found exactly" in fault.expected
