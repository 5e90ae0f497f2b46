"""Strata of the agreement: any social factor in place of the programs' own."""

import pytest
import tomli_w
from pydantic import ValidationError

from console.series import cells
from console.telling import cell_key, cell_name, cell_of
from policy.agreement import Draft, Terms, load_draft
from policy.compilation import compile_plans, load_kpis
from policy.errors import PlanError
from tests.support.terms import draft_data, make_terms

LEVELS = ("low", "middle", "high")
MEASURES = [
    *draft_data()["measures"],
    *({"name": f"education_{level}", "party": "statistics", "aggregation": "category", "field": "education",
       "value": level} for level in LEVELS),
]
EDUCATION = {
    "dimension": "education", "name": {"en": "Education", "nl": "Opleiding"},
    "categories": [
        {"value": "low", "measure": "education_low", "name": {"en": "lower", "nl": "lager"}},
        {"value": "middle", "measure": "education_middle"},
        {"value": "high", "measure": "education_high", "name": {"en": "higher", "nl": "hoger"}},
    ],
}


def test_every_kpi_of_the_agreement_is_split_by_them(tmp_path):
    path = tmp_path / "agreement.toml"
    path.write_text(tomli_w.dumps(draft_data(measures=MEASURES, strata=EDUCATION)), encoding="utf-8")
    draft = load_draft(path)
    plans = compile_plans(draft, load_kpis(draft, tmp_path))
    assert [p.kpi for p in plans] == ["gp-visit-rate-ratio", "cost-difference"]
    for plan in plans:
        assert [s.cell for s in plan.strata] == [{}, *({"education": level} for level in LEVELS)]
        assert [s.column.name for s in plan.strata[1:]] == [f"education_{level}" for level in LEVELS]
    without = Draft.model_validate(draft_data(measures=MEASURES))
    assert [s.cell for s in compile_plans(without, load_kpis(without, tmp_path))[0].strata[1:]] == [
        {"income": str(q)} for q in range(1, 6)
    ]


def test_cells_are_told_by_the_names_of_the_agreement(tmp_path):
    draft = Draft.model_validate(draft_data(measures=MEASURES, strata=EDUCATION))
    kpi = load_kpis(draft, tmp_path)[0]
    assert [cell_name(kpi, cell, "en") for cell in cells(kpi)] == [
        "All patients", "Education: lower", "Education: middle", "Education: higher",
    ]
    assert cell_name(kpi, cells(kpi)[3], "nl") == "Opleiding: hoger"
    assert cell_of(kpi, cell_key({"education": "low"})) == {"education": "low"}
    bare = {"dimension": "income", "categories": [{"value": "1", "measure": "income_1"}]}
    plain = load_kpis(Draft.model_validate(draft_data(strata=bare)), tmp_path)[0]
    assert cell_name(plain, cells(plain)[1], "nl") == "Inkomenskwintiel 1 (laagste)"


def test_the_names_are_signed_with_the_rest():
    hashes = {make_terms(measures=MEASURES, strata=EDUCATION).hash, make_terms(measures=MEASURES).hash,
              make_terms(measures=MEASURES, strata=EDUCATION | {"name": None}).hash}
    assert len(hashes) == 3


def test_terms_whose_plans_are_split_otherwise_are_refused():
    terms = make_terms(measures=MEASURES, strata=EDUCATION)
    assert all(len(plan.strata) == 4 for plan in terms.plans)
    data = terms.model_dump(mode="json")
    data["plans"][0]["strata"] = data["plans"][0]["strata"][:3]
    with pytest.raises(ValidationError, match="not split by the agreement's strata"):
        Terms.model_validate(data)


@pytest.mark.parametrize(("change", "message"), [
    ({"categories": [{"value": "low", "measure": "nothing"}]}, "education low needs measure 'nothing'"),
    ({"categories": [EDUCATION["categories"][0]] * 2}, "categories of education repeat"),
    ({"categories": []}, "at least 1"),
    ({"categories": [{"value": "Low!", "measure": "education_low"}]}, "should match"),
    ({"dimension": "Education level"}, "should match"),
])
def test_strata_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        Draft.model_validate(draft_data(measures=MEASURES, strata=EDUCATION | change))


def test_a_category_that_is_no_category_is_refused():
    strata = {"dimension": "use", "categories": [{"value": "gp", "measure": "gp_any"}]}
    with pytest.raises(PlanError, match="is a nonzero, expected category"):
        make_terms(strata=strata)
