"""What a schedule can be expected to let out: against simulated cohorts, in the calendar and for programs."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import tomli_w
from rich.console import Console

from console.agreement.cohort import read_cohort
from console.agreement.lattice import as_document, outlooks
from console.agreement.lattice import draw as draw_lattice
from console.agreement.outlook import ENOUGH, Cohort, Outlook
from console.agreement.run import draw
from console.agreement.words import Words
from console.errors import ConsoleError
from tests.support.full_agreements import full_data, subject
from tests.support.terms import draft_data

PLAIN = subject(draft_data(disclosure={"minimum_cohort": 10}))
COST = "cost-difference"
SAY = Words("en", "week")


def outlook(one, cohort, kpi=COST):
    return next(found for found in outlooks(one, cohort) if found.plan.kpi == kpi)


def with_windows(**windows):
    return subject(draft_data(disclosure={"minimum_cohort": 10}, windows=windows))


def simulated(cohort, panes, minimum, draws=1_500):
    """(mean thinnest count of a group, how often each part falls short) of cohorts drawn patient by patient."""
    rng = np.random.default_rng(7)
    shares = [cohort.groups[str(q)] for q in range(1, 6)]
    where = [*shares, 1 - sum(shares)]
    short, counts = {"total": 0, "table": 0}, []
    for _ in range(draws):
        exposed = rng.random(cohort.patients) < cohort.exposed
        group = rng.choice(6, size=cohort.patients, p=where)
        active = (rng.random((cohort.patients, panes)) < cohort.active[""]).any(axis=1)
        sizes = np.array([[(active & (exposed == arm) & (group == g)).sum() for g in range(6)] for arm in (True, False)])
        counts.append(sizes[0, 0])
        times = np.array([[((exposed == arm) & (group == g)).sum() for g in range(6)] for arm in (True, False)])
        total = (sizes.sum(axis=1) < minimum).any()
        few = (sizes[:, :5] < minimum).any() or any(((a[:, 5] > 0) & (a[:, 5] < minimum)).any() for a in (sizes, times))
        short["total"] += total
        short["table"] += total or few
    return float(np.mean(counts)), {part: number / draws for part, number in short.items()}


def test_expectations_are_those_of_simulated_cohorts():
    groups = {"1": 0.1, "2": 0.2, "3": 0.2, "4": 0.2, "5": 0.29}
    cohort = Cohort(500, 0.4, groups, {"": 0.4})
    found = outlook(with_windows(size=2, step=2), cohort)
    mean, short = simulated(cohort, 2, 10)
    poorest = next(c for c in found._counts("table", 2) if c.cell == {"income": "1"} and c.counted == "cost")
    assert poorest.expected == pytest.approx(500 * 0.4 * 0.1 * (1 - 0.6**2))
    assert mean == pytest.approx(poorest.expected, rel=0.01)
    row = found.windows[0]
    for part in ("total", "table"):
        assert row.chances[part] <= 1 - short[part] + 0.03  # a bound from below, but for the drawing
        assert 1 - found._judged(part, 2).thinnest.risk >= 1 - short[part] - 0.03
    assert found.thinnest("table", 2).cell is None  # 1 % in no group: a few, seldom nobody
    assert row.outcome == "total"


def test_time_counts_for_everybody_and_what_is_done_in_any_pane():
    found = outlook(PLAIN, Cohort(1000, 0.5, None, {"": 0.5, COST: 0.1}))
    counts = {c.counted: c.share for c in found._cell({}, 1.0, 3)}
    assert counts == {"insured_days": 0.5, "cost": pytest.approx(0.5 * (1 - 0.9**3))}
    visits = outlook(PLAIN, Cohort(1000, 0.5, None, {"": 0.5, COST: 0.1}), "gp-visit-rate-ratio")
    assert visits.thinnest("total", 1).share == 0.25


@pytest.mark.parametrize(("patients", "outcome"), [
    (100_000, "all"), (110, "all-unsure"), (90, "total"), (24, "total-unsure"), (10, "nothing"),
])
def test_outcomes_by_size(patients, outcome):
    found = outlook(PLAIN, Cohort(patients))
    assert {row.outcome for row in found.windows} == {outcome}


def test_without_groups_there_is_no_table():
    one = subject(draft_data(disclosure={"minimum_cohort": 10}))
    (first, *_) = one.plans
    alone = Outlook(one, first.model_copy(update={"strata": first.strata[:1]}), Cohort(1000))
    assert alone.parts == ("total",)
    assert {row.outcome for row in alone.windows} == {"all"}


def test_the_thinnest_piece_decides_and_each_window_has_its_own():
    one = with_windows(size=4, step=3)  # edges at 0, 3, 4, 6, 7, 9, 10: pieces of 3, 1, 2, 1, 2 and 1 weeks
    found = outlook(one, Cohort(1500, active={"": 0.15}))
    assert [row.atom for row in found.windows] == [(3, 4), (3, 4), (6, 7)]
    assert found.shortest == (3, 4)
    assert found.windows[0].chances["table"] > found.windows[1].chances["table"]


@pytest.mark.parametrize("active", [0.02, 0.05, 0.3])
def test_the_step_that_is_advised_is_the_shortest_that_will_do(active):
    cohort = Cohort(1_500, active={"": active})
    advised = outlook(PLAIN, cohort).step_that_would_do("table")
    for step in range(1, 13):
        enough = outlook(with_windows(size=step, step=step), cohort).sure("table")
        assert enough == (advised is not None and step >= advised)


@pytest.mark.parametrize("part", ["total", "table"])
def test_the_number_of_patients_that_is_advised_is_the_smallest_that_will_do(part):
    advised = outlook(PLAIN, Cohort(50)).patients_that_would_do(part)
    for patients, enough in ((advised, True), (advised - 1, False)):
        found = outlook(PLAIN, Cohort(patients))
        assert (found.thinnest(part, 1).risk <= ENOUGH) == enough
        assert found.sure(part) == enough
    nearly_nobody = Cohort(50, active={"": 1e-12})
    assert outlook(PLAIN, nearly_nobody).patients_that_would_do(part) is None
    assert outlook(PLAIN, nearly_nobody).step_that_would_do(part) is None


def test_more_patients_are_advised_where_a_few_are_in_no_group():
    groups = {"1": 0.2, "2": 0.2, "3": 0.2, "4": 0.2, "5": 0.19}
    advised = outlook(PLAIN, Cohort(500, 0.5, groups)).patients_that_would_do("table")
    assert advised > outlook(PLAIN, Cohort(500)).patients_that_would_do("table") * 10
    assert outlook(PLAIN, Cohort(advised, 0.5, groups)).sure("table")
    seldom = {**groups, "5": 0.2 - 1e-7}
    assert outlook(PLAIN, Cohort(50, 0.5, seldom)).patients_that_would_do("table") == outlook(
        PLAIN, Cohort(50)).patients_that_would_do("table")


def drawn(one, cohort, lang="en", encoding="utf-8", width=100):
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    draw_lattice(one, cohort, outlooks(one, cohort), Words(lang, one.draft.panes.unit), Console(file=out, width=width))
    out.flush()
    return out.buffer.getvalue().decode(encoding)


def test_the_calendar_has_a_mark_for_every_window():
    said = drawn(PLAIN, Cohort(110))
    assert said.count("▨") == 2 * (9 + 1)  # of two KPIs, nine windows and the legend
    assert "all is expected, but not sure: 9" in said
    assert "\n2024 " in said
    assert "Expected are 11.0 in 1 Jan – 7 Jan 2024; 10 are needed." in " ".join(said.split())
    assert "These are expectations." in said
    assert "What would help, for the groups: no longer step" in said


def test_a_terminal_of_few_characters_can_tell_the_marks_apart():
    one = subject(draft_data(disclosure={"minimum_cohort": 10}, title={"en": "A", "nl": "A"}))
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace")
    for patients, mark in ((110, "%"), (10, "."), (90, "o"), (24, "~"), (10**6, "#")):
        draw_lattice(one, Cohort(patients), outlooks(one, Cohort(patients)), SAY, Console(file=out, width=100))
        out.flush()
        assert f"2024  {mark * 9}" in out.buffer.getvalue().decode("ascii")


def test_daily_windows_have_a_line_a_month():
    panes = {"zone": "UTC", "unit": "day", "start": "2024-01-01", "count": 91}
    one = subject(draft_data(panes=panes, windows={"size": 1, "step": 1}, kpis=[COST], disclosure={"minimum_cohort": 10},
                             recipients=[{"name": "team", "kpis": [COST]}]))
    said = drawn(one, Cohort(100_000), "nl")
    for month, days in (("2024-01", 31), ("2024-02", 29), ("2024-03", 31)):
        assert f"{month}  {'■' * days}" in said
    assert "alles komt eruit: 91" in said


def test_dutch_says_the_same():
    said = " ".join(drawn(PLAIN, Cohort(110), "nl").split())
    assert "Verwacht: 11,0 in 1 jan – 7 jan 2024. Nodig: 10." in said
    assert "Dit zijn verwachtingen." in said


@pytest.mark.parametrize("lang", ["en", "nl"])
def test_every_kind_of_remark_can_be_said(lang):
    full = subject(full_data())
    for cohort in (Cohort(10), Cohort(400), Cohort(10**9), Cohort(500, 0.5, {"low": 0.3, "middle": 0.3, "high": 0.39})):
        said = drawn(full, cohort, lang)
        assert "{" not in said
        assert "None" not in said


def test_programs_get_every_window():
    document = as_document(PLAIN, Cohort(90), outlooks(PLAIN, Cohort(90)))
    assert json.loads(json.dumps(document)) == document
    (_, cost) = document["kpis"]
    assert len(cost["windows"]) == 9
    assert cost["windows"][0]["window"] == {"start": "2024-01-01", "end": "2024-01-29"}
    assert cost["windows"][0]["expected"] == "total"
    assert cost["parts"]["total"]["advice"] is None
    assert cost["parts"]["table"]["advice"]["patients"] > 90
    assert cost["parts"]["table"]["cell"] == {"income": "1"}


@pytest.mark.parametrize(("options", "message"), [
    ({"patients": 0}, "--patients: found 0, expected 1 to 1,000,000,000"), ({"exposed": 1.0}, "--exposed: found 1"),
    ({"exposed": float("nan")}, "--exposed"), ({"groups": "1"}, "found '1'; expected NAME=SHARE"),
    ({"groups": "1=0.5,1=0.5"}, "each name once"), ({"groups": "=0.5"}, "each name once"),
    ({"groups": "1=2"}, "expected a share from 0 to 1"), ({"active": ["0"]}, "a share above 0"),
    ({"active": ["0.1", "0.2"]}, "each KPI once"), ({"active": ["x=y"]}, "expected a share"),
    ({"active": ["nan"]}, "expected a share"),
    ({"groups": "1=0.5"}, "expected one of each of 1, 2, 3, 4, 5"), ({"active": ["uptake=0.5"]}, "found KPI uptake"),
    ({"groups": "1=0.5,2=0.5,3=0.5,4=0,5=0"}, "found shares of 1.5 together"),
])
def test_options_that_make_no_cohort_are_refused(options, message):
    given = {"patients": 100, "exposed": 0.5, "groups": None, "active": [], **options}
    with pytest.raises(ConsoleError, match=message):
        outlooks(PLAIN, read_cohort(**given))


def test_the_command_draws_and_refuses(tmp_path, capsys):
    path = tmp_path / "agreement.toml"
    path.write_text(tomli_w.dumps(draft_data()), encoding="utf-8")
    assert draw(path, 4350, 0.3, None, ["0.5"], "en", as_json=False) == 0
    assert "For 4,350 linked patients, 30.0% of whom" in capsys.readouterr().out
    assert draw(path, 4350, 0.3, None, [f"{COST}=0.5"], "en", as_json=True) == 0
    assert [kpi["active"] for kpi in json.loads(capsys.readouterr().out)["kpis"]] == [1.0, 0.5]
    assert draw(path, 0, 0.3, None, [], "en", as_json=False) == 2
    assert draw(path.with_name("none"), 1, 0.3, None, [], "en", as_json=False) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 2)


def test_a_shared_cohort_is_read_once_for_plans_of_fewer_groups():
    first, second = PLAIN.plans
    fewer = replace(PLAIN, plans=(first, second.model_copy(update={"strata": second.strata[:3]})))
    groups = {str(q): 0.2 for q in range(1, 6)}
    whole, part = outlooks(fewer, Cohort(400, groups=groups))
    assert whole.windows[0].outcome == part.windows[0].outcome == "all"
    assert {str(count.cell) for count in part._counts("table", 1)} == {
        "{}", "{'income': '1'}", "{'income': '2'}", "None",
    }
