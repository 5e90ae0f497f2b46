"""What `winnow agreement validate` says of sound and unsound files."""

import json

import pytest
import tomli_w

from console.agreement.run import validate
from console.agreement.validation import doubts, permitted
from console.agreement.words import Words
from tests.support.full_agreements import changed, full_data, measure, put, subject, with_sums
from tests.support.terms import draft_data, make_terms

SAY = Words("en", "week")


@pytest.fixture
def validated(tmp_path, capsys):
    """Exit code and what was printed of an agreement of these tables."""
    def run(data, lang="en", *, as_json=False):
        path = tmp_path / "agreement.toml"
        path.write_text(tomli_w.dumps(data), encoding="utf-8")
        code = validate(path, lang, as_json=as_json)
        out, err = capsys.readouterr()
        assert err == ""
        return code, out
    return run


def test_a_sound_agreement_tells_what_it_permits(validated):
    code, said = validated(full_data())
    assert code == 0
    assert "agreement.toml can be signed as it is.\nIt permits “gp-visit-rate-ratio” and “cost-difference”, for " in said
    for sentence in (
        "for innovation-team and insurer-alerts.", "Windows that are computed by themselves: 9.",
        "They come provisionally, and later in full: up to 7 of them.", "Times that later patients enter: 3.",
        "More computations that analyst may ask for: up to 5.",
        "All that is planned needs up to 22 computations; 100 are agreed.",
    ):
        assert sentence in said
    assert "Vensters die vanzelf worden berekend: 9." in validated(full_data(), "nl")[1]


@pytest.mark.parametrize(("change", "words"), [
    (put(["quota", "runs"], 21), "Only 21 computations are agreed, and the schedule can need 22."),
    (put(["quota", "runs"], 26), "26 computations are agreed. Schedule and requests together can need 27"),
    (put(["valid_until"], "2024-03-01"), "Windows that can come only after 1 Mar 2024, when the agreement is over: 6."),
    (put(["recipients", 0, "kpis"], ["cost-difference"]), "Nobody may read “gp-visit-rate-ratio”."),
    (lambda d: d["parties"][0]["sources"][0]["kinds"].remove("withdrawal"), "nobody can withdraw"),
])
def test_what_may_have_been_overlooked_is_asked(validated, change, words):
    code, said = validated(changed(full_data(), change))
    assert code == 0
    assert words in said
    assert words not in validated(full_data())[1]


def test_measures_that_no_kpi_needs_are_named():
    (unused,) = [d for d in doubts(subject(full_data()), SAY) if d.startswith("No KPI needs")]
    assert "“visits”" in unused
    assert "“insured_days”" not in unused  # cost_any is of cost, which is 0 where these are 0
    assert list(doubts(subject(draft_data(measures=draft_data()["measures"])), SAY)) == [SAY("no_withdrawals")]


def test_rounding_of_sums_that_do_not_come_out_is_doubted():
    nothing = "so what disclosure.rounding says of these rounds nothing."
    assert f"No KPI lets out sums in “hundredths”, {nothing}" in doubts(with_sums(full_data(alerts=[])), SAY)
    assert f"No KPI lets out sums in “days”, “cents”, “hundredths” and “count”, {nothing}" in doubts(subject(full_data()), SAY)
    agreed = full_data(alerts=[], disclosure={"minimum_cohort": 10, "rounding": {"days": 7, "count": 5, "cents": 100}})
    assert not any("rounding" in doubt for doubt in doubts(with_sums(agreed), SAY))


def test_quota_that_is_just_enough_is_not_doubted():
    enough = subject(changed(full_data(), put(["quota", "runs"], 27)))
    assert not any("computations" in doubt for doubt in doubts(enough, SAY))
    assert "needs up to 22 computations; 27 are agreed" in permitted(enough, SAY)


def test_faults_are_told_as_found_expected_and_what_to_do(validated):
    code, said = validated(changed(draft_data(), put(["disclosure", "minimum_cohort"], 2)))
    assert code == 2
    assert said.split("cannot be signed as it is.\n", 1)[1] == (
        "\ndisclosure.minimum_cohort\n  found: 2\n  expected: greater than or equal to 3\n  what to do: change it\n"
    )
    code, said = validated(draft_data(kpis=["uptakes"]))
    assert code == 2
    assert "\nKPI uptakes\n  KPI 'uptakes' is not in the catalogue; known: " in said


def test_what_a_party_would_refuse_when_it_starts_is_a_fault(validated):
    code, said = validated(changed(draft_data(), measure("insured_days", bound=6)))
    assert code == 2
    assert "party insurer\n  measure insured_days may reach 7 days a pane, its bound is 6. Raise it." in said


def test_programs_get_faults_doubts_and_numbers(validated):
    code, said = validated(full_data(), as_json=True)
    document = json.loads(said)
    assert (code, document["valid"], document["faults"]) == (0, True, [])
    assert document["permits"] == {
        "kpis": ["gp-visit-rate-ratio", "cost-difference"],
        "recipients": {"innovation-team": ["gp-visit-rate-ratio", "cost-difference"], "insurer-alerts": []},
        "windows": 9, "editions": 2, "batches": 4, "requests": {"analyst": 5},
        "runs": {"agreed": 100, "links": 4, "renewals": 2, "windows": 9, "full_editions": 7, "requests": 5, "budgets": 0,
                 "schedule": 22},
    }
    code, said = validated(draft_data(kpis=["uptakes"]), as_json=True)
    document = json.loads(said)
    assert (code, document["valid"], document["permits"]) == (2, False, None)
    assert [fault["where"] for fault in document["faults"]] == ["KPI uptakes"]


def test_terms_can_be_validated_too(tmp_path, capsys):
    path = tmp_path / "terms.json"
    path.write_text(make_terms().model_dump_json(), encoding="utf-8")
    assert validate(path, "en", as_json=False) == 0
    path.write_text(make_terms().model_dump_json().replace('"shards":1', '"shards":0'), encoding="utf-8")
    assert validate(path, "en", as_json=False) == 2
    assert "draft.shards: Input should be greater than or equal to 1" in capsys.readouterr().out
