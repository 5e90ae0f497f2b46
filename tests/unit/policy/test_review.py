"""A review finds every fault at once, and none where terms can be made."""

from datetime import date

import pytest
import tomli_w

from policy.agreement import Draft
from policy.errors import PolicyError
from policy.review import PATTERNS, Review, review
from policy.runs import runs_needed
from tests.support.full_agreements import changed, full_data, measure, put, subject
from tests.support.terms import draft_data, make_terms


@pytest.fixture
def looked_at(tmp_path):
    """Review an agreement of these tables."""
    def look(data) -> Review:
        path = tmp_path / "agreement.toml"
        path.write_text(data if isinstance(data, str) else tomli_w.dumps(data), encoding="utf-8")
        return review(path)
    return look


def places(found):
    return [fault.where for fault in found.faults]


def test_a_sound_draft_has_no_fault(looked_at):
    found = looked_at(draft_data())
    assert found.faults == ()
    assert found.plans == make_terms().plans
    assert [kpi.id for kpi in found.kpis] == [plan.kpi for plan in found.plans]
    assert looked_at({k: v for k, v in full_data().items() if v is not None}).faults == ()


def test_every_wrong_field_is_named_with_what_to_do(looked_at):
    data = changed(draft_data(), put(["disclosure", "minimum_cohort"], 1))
    data = changed(data, measure("cost", bound=0))
    data["shard"] = data.pop("shards")
    data["xyz"] = "z" * 1000
    del data["quota"]
    found = looked_at(data)
    assert found.draft is None
    said = {fault.where: (fault.found, fault.expected, fault.next_step) for fault in found.faults}
    assert said == {
        "disclosure.minimum_cohort": ("1", "greater than or equal to 3", "change it"),
        "measures[cost].bound": ("0", "greater than or equal to 1", "change it"),
        "quota": ("nothing", "this field", "add it"),
        "shard": ("1", "no such field", "take it out, or correct its name: perhaps shards"),
        "xyz": ("'" + "z" * 79 + "…", "no such field", "take it out, or correct its name"),
    }


def test_more_faults_are_named_than_a_start_names(looked_at):
    data = changed(draft_data(), lambda d: [m.update(bound=0) for m in d["measures"]])
    assert len(looked_at(data).faults) == len(data["measures"])


def test_every_kpi_is_looked_at_by_itself_and_with_the_others(looked_at):
    data = draft_data(kpis=["uptakes", "gp-visit-rate-ratio", "prom-change", "cost-difference", "cost-difference-winsorised"])
    found = looked_at(data)
    assert places(found) == ["KPI uptakes", "KPI prom-change", "KPIs cost-difference and cost-difference-winsorised"]
    assert [plan.kpi for plan in found.plans] == ["gp-visit-rate-ratio", "cost-difference", "cost-difference-winsorised"]
    assert places(looked_at({**data, "on_demand": {"largest": 5}}))[-1] == "KPI cost-difference-winsorised"
    assert places(looked_at(draft_data(kpis=["cost-difference", "cost-difference"], recipients=[
        {"name": "team", "kpis": ["cost-difference"]},
    ]))) == ["KPI cost-difference"]


def test_recipients_and_alerts_are_looked_at_once_all_kpis_compile(looked_at):
    alert = {"id": "a", "kpi": "uptake", "recipient": "team", "when": "above", "raise_at": "1", "clear_at": "0"}
    data = draft_data(recipients=[{"name": "team", "kpis": ["uptake"]}], alerts=[alert])
    assert places(looked_at(data)) == ["recipient team", "alert a"]
    assert places(looked_at({**data, "kpis": ["uptakes"]})) == ["KPI uptakes"]


@pytest.mark.parametrize("text", ["a = [", "\x00", f"a = {'9' * 5_000}"])
def test_what_is_no_toml_is_one_fault(looked_at, text):
    found = looked_at(text)
    assert len(found.faults) == 1
    assert "is not TOML" in found.faults[0].expected


def test_a_rule_over_several_fields_says_all_itself(looked_at):
    (fault,) = looked_at(draft_data(valid_until="2023-01-01")).faults
    assert (fault.where, fault.found, fault.next_step) == ("agreement", None, None)
    assert fault.expected == "valid_until must be after valid_from, 2024-01-01; found 2023-01-01. Take a later day."


def test_panes_that_begin_in_the_middle_of_a_month_are_told_where_to_begin(looked_at):
    data = changed(draft_data(), put(["panes"], {**draft_data()["panes"], "unit": "month", "start": "2024-01-15"}))
    (fault,) = looked_at(data).faults
    assert fault.expected == (
        "monthly and yearly panes start on the first of a month; found 2024-01-15. Take 2024-01-01, or another first."
    )


def test_fields_are_told_in_plain_words(looked_at):
    data = draft_data(
        valid_until=date(1, 1, 1), purposes=[], quota={"runs": 100, "rho": "0,5"}, shards=[True, date(2024, 1, 1), {"a": 1}],
    )
    said = {fault.where: (fault.found, fault.expected, fault.next_step) for fault in looked_at(data).faults}
    assert said == {
        "valid_until": ("0001-01-01", "greater than or equal to 1970-01-01", "change it"),
        "purposes": ("[]", "1 or more of them", "add what is missing"),
        "quota.rho": (
            "'0,5'", 'a number in quotation marks, such as "0.5": at most 3 digits before the point and 6 behind it', "write it so",
        ),
        "shards": ("[true, 2024-01-01, {a = 1}]", "a valid integer", "change it"),
    }


def test_every_pattern_of_a_draft_has_words():
    patterns = set()

    def walk(schema):
        for key, value in schema.items() if isinstance(schema, dict) else enumerate(schema):
            if key == "pattern" and isinstance(value, str):
                patterns.add(value)
            elif isinstance(value, dict | list):
                walk(value)

    walk(Draft.model_json_schema())
    assert patterns == set(PATTERNS)


@pytest.mark.parametrize("changes", [
    {}, {"recipients": [{"name": "team", "kpis": ["none"]}]}, {"kpis": ["cost-difference", "cost-difference-winsorised"]},
    {"on_demand": {"largest": 3}}, {"valid_until": "2020-01-01"},
    {"kpis": ["cost-difference-winsorised"], "on_demand": {"largest": 3}, "recipients": [{"name": "team", "kpis": []}]},
    {"windows": {"kind": "cumulative", "step": 2}}, {"linkage": {"date": "2024-01-08", "dummies": 3}},
])
def test_it_finds_a_fault_exactly_where_no_terms_can_be_made(looked_at, changes):
    try:
        make_terms(**changes)
    except (PolicyError, ValueError):
        assert looked_at(draft_data(**changes)).faults
    else:
        assert not looked_at(draft_data(**changes)).faults


def test_runs_that_an_agreement_may_need():
    needed = runs_needed(subject(full_data()).draft)
    # 12 weeks: 9 windows of 4; batches open at panes 3, 6 and 9, and all from the third on may be linked anew.
    assert (needed.links, needed.renewals, needed.windows, needed.full, needed.requests) == (4, 2, 9, 7, 5)
    assert needed.schedule == 22
    small = runs_needed(subject(draft_data()).draft)
    assert (small.links, small.renewals, small.windows, small.full, small.requests) == (1, 0, 9, 0, 0)
