"""Alert rules: what an agreement may say, and what is refused."""

from fractions import Fraction

import pytest

from policy.agreement import Draft, Terms
from policy.alert import Alert, check_alerts
from policy.compilation import compile_plans
from policy.errors import PlanError
from policy.kpi import load_kpi
from tests.support.terms import draft_data, make_terms

COST = {
    "id": "costly", "kpi": "cost-difference", "recipient": "innovation-team", "when": "above", "raise_at": "25.50",
    "clear_at": "-10",
}


def test_an_alert_is_part_of_what_is_signed():
    terms = make_terms(alerts=[COST])
    (alert,) = terms.draft.alerts
    assert (alert.when, alert.raise_at, alert.clear_at, alert.cell) == ("above", "25.50", "-10", {})
    assert Terms.model_validate_json(terms.model_dump_json()).hash == terms.hash
    assert make_terms(alerts=[COST | {"raise_at": "25.51"}]).hash != terms.hash != make_terms().hash


def test_bounds_are_exact_and_without_the_public_scale():
    terms = make_terms(alerts=[COST])
    plan = next(p for p in terms.plans if p.kpi == "cost-difference")
    euros_a_month = Fraction(487, 1600)
    assert terms.draft.alerts[0].ratios(plan) == (Fraction("25.5") / euros_a_month, -10 / euros_a_month)


def test_its_cell_is_found_in_the_plan():
    terms = make_terms(alerts=[COST | {"cell": {"income": "3"}}])
    plan = next(p for p in terms.plans if p.kpi == "cost-difference")
    assert plan.strata[terms.draft.alerts[0].stratum(plan)].cell == {"income": "3"}
    assert Alert(**COST).stratum(plan) == 0


@pytest.mark.parametrize(("change", "message"), [
    ({"clear_at": "25.50"}, "clear_at must be below raise_at"),
    ({"clear_at": "25.51"}, "clear_at must be below raise_at"),
    ({"when": "below"}, "clear_at must be above raise_at"),
    ({"recipient": "nobody"}, "'nobody' is not a recipient; expected one of innovation-team"),
    ({"raise_at": "1e3"}, "raise_at"),
    ({"raise_at": "nan"}, "raise_at"),
    ({"raise_at": "1.0000001"}, "raise_at"),
    ({"raise_at": "1000000000000"}, "raise_at"),
    ({"raise_at": "٣"}, "raise_at"),
    ({"raise_at": 26.0}, "raise_at"),
    ({"when": "beside"}, "when"),
    ({"id": "Costly!"}, "id"),
    ({"colour": "red"}, "colour"),
])
def test_what_is_wrong_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Draft.model_validate(draft_data(alerts=[COST | change]))


def test_ids_number_and_work_are_bounded():
    with pytest.raises(ValueError, match="alert ids repeat"):
        Draft.model_validate(draft_data(alerts=[COST, COST]))
    many = [COST | {"id": f"a{i}"} for i in range(33)]
    with pytest.raises(ValueError, match="at most 32"):
        Draft.model_validate(draft_data(alerts=many))
    days = {"zone": "UTC", "unit": "day", "start": "2024-01-01", "count": 3_000}
    with pytest.raises(ValueError, match="32 alerts over 2997 windows are 95904 states"):
        Draft.model_validate(draft_data(alerts=many[:32], panes=days))


@pytest.mark.parametrize(("change", "message"), [
    ({"kpi": "unheard-of"}, "about KPI unheard-of, which the agreement does not compute; it computes gp-visit"),
    ({"cell": {"income": "6"}}, "has no cell {'income': '6'}; besides all patients it has {'income': '1'}, "),
    ({"cell": {"region": "north"}}, "has no cell"),
])
def test_an_alert_about_nothing_is_refused_before_and_at_signing(change, message):
    draft = Draft.model_validate(draft_data(alerts=[COST | change]))
    with pytest.raises(PlanError, match=message):
        compile_plans(draft, tuple(load_kpi(k) for k in draft.kpis))
    terms = make_terms()
    with pytest.raises(ValueError, match=message):
        Terms.model_validate({**terms.model_dump(), "draft": draft.model_dump()})


@pytest.mark.parametrize(("change", "message"), [
    ({"cap": 100_000}, "alert costly: KPI cost-difference has a cap"),
    ({"estimator": "share", "outcome": ()}, "alert costly: KPI cost-difference is a share; found bounds 25.50 and -10"),
])
def test_a_kpi_that_no_alert_can_be_about_is_refused(change, message):
    terms = make_terms(alerts=[COST])
    plans = [p.model_copy(update=change) if p.kpi == "cost-difference" else p for p in terms.plans]
    with pytest.raises(PlanError, match=message):
        check_alerts(terms.draft.alerts, plans)


def test_a_share_may_be_watched_from_0_to_1():
    plan = make_terms().plans[0].model_copy(update={"estimator": "share", "outcome": ()})
    edges = Alert(**COST | {"kpi": plan.kpi, "raise_at": "1", "clear_at": "0"})
    check_alerts([edges], [plan])
    assert edges.ratios(plan) == (1, 0)


def test_a_comparison_that_leaves_the_field_is_refused():
    terms = make_terms(alerts=[COST | {"raise_at": "999999999999.999999"}])
    plan = next(p for p in terms.plans if p.kpi == "cost-difference")
    alert = terms.draft.alerts[0]
    alert.check_bounds(plan, 4_000, 4)
    with pytest.raises(PlanError, match=r"alert costly: comparing KPI cost-difference .* room for 212"):
        alert.check_bounds(plan, 2**60, 4)
