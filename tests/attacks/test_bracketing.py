"""Who may not read a KPI, and drafts alerts until their states tell its value."""

import pytest
import tomli_w

from policy.agreement import Draft, Terms
from policy.compilation import compile_plans
from policy.errors import PlanError
from policy.kpi import load_kpi
from policy.review import review
from tests.support.terms import draft_data, make_terms

BOUNDS = [f"{cents / 100:.2f}" for cents in range(1000, 3200, 100)]
"""Ten to 31 euros a month, a euro apart."""
WATCHERS = ["watcher", "other-watcher"]


def alert(place, **changes):
    return {
        "id": f"cost-{place}", "kpi": "cost-difference", "recipient": "watcher", "when": "above",
        "raise_at": BOUNDS[place], "clear_at": "-10", **changes,
    }


def data(alerts, **changes):
    readers = [*draft_data()["recipients"], *({"name": name, "kpis": []} for name in WATCHERS)]
    return draft_data(recipients=readers, alerts=alerts, **changes)


def compiled(alerts, kpis=()):
    draft = Draft.model_validate(data(alerts))
    return compile_plans(draft, (*map(load_kpi, draft.kpis), *kpis))


@pytest.mark.parametrize("alerts", [
    [alert(place) for place in range(len(BOUNDS))],
    [alert(0), alert(1)],
    [alert(0), alert(1, recipient="other-watcher")],
    [alert(0), alert(1, when="below", clear_at="99"), alert(2)],
    [alert(0, cell={"income": "3"}), alert(1), alert(2, cell={"income": "3"})],
    [alert(0, when="below", clear_at="99"), alert(1, when="below", clear_at="99")],
])
def test_bounds_on_one_side_of_a_value_that_they_may_not_read_are_refused(alerts):
    with pytest.raises(PlanError, match=r"for recipients that may not read it: .*Leave one out"):
        compiled(alerts)


def test_a_second_name_of_one_computation_is_no_way_around_it():
    twin = load_kpi("cost-difference").model_copy(update={"id": "twin"})
    compiled([alert(0)], [twin])
    with pytest.raises(PlanError, match="cost-0 and cost-1 compare one value"):
        compiled([alert(0), alert(1, kpi="twin")], [twin])


def test_terms_that_somebody_made_without_the_check_are_refused_by_every_reader():
    terms = make_terms(**{k: v for k, v in data([alert(0)]).items() if k in ("recipients", "alerts")})
    forged = terms.model_dump(mode="json")
    forged["draft"]["alerts"].append(alert(1))
    with pytest.raises(ValueError, match="cost-0 and cost-1 compare one value"):
        Terms.model_validate(forged)


def test_validate_names_every_pair(tmp_path):
    path = tmp_path / "agreement.toml"
    path.write_text(tomli_w.dumps(data([alert(0), alert(1), alert(2)])), encoding="utf-8")
    wheres = [fault.where for fault in review(path).faults]
    assert wheres == [f"alerts cost-{a} and cost-{b}" for a, b in ((0, 1), (0, 2), (1, 2))]


@pytest.mark.parametrize("alerts", [
    [alert(0), alert(1, when="below", clear_at="99")],
    [alert(0), alert(0, id="same", recipient="other-watcher", raise_at="10.0", clear_at="-10.00")],
    [alert(0), alert(1, cell={"income": "3"}), alert(2, kpi="gp-visit-rate-ratio", clear_at="0.1")],
    [alert(place, recipient="innovation-team") for place in range(len(BOUNDS))],
])
def test_one_on_each_side_of_each_value_and_as_many_as_they_like_for_who_reads_it(alerts):
    assert compiled(alerts)
