"""Dates and cells of a request: what is agreed, and the nearest of what is."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.asking import cells_asked, nearest, panes_between, plans_asked, window_dates
from console.errors import ConsoleError
from evaluation.errors import Refused
from policy.agreement import Draft
from policy.window import Lattice, OnDemand, WindowSpec
from tests.support.terms import draft_data, make_terms

MONTHS = {"panes": {"zone": "UTC", "unit": "month", "start": "2024-01-01", "count": 12}, "windows": {"size": 3, "step": 3}}


def draft(**changes):
    return Draft.model_validate(draft_data(**{**MONTHS, **changes}))


def test_dates_of_the_agreement_are_its_panes():
    asked = draft(on_demand={"largest": 6})
    assert panes_between(asked, date(2024, 1, 1), date(2024, 4, 1)) == (0, 3)
    assert panes_between(asked, date(2024, 4, 1), date(2024, 10, 1)) == (3, 9)
    assert panes_between(asked, date(2024, 10, 1), date(2025, 1, 1)) == (9, 12)


@pytest.mark.parametrize(("start", "end", "named"), [
    (date(2024, 2, 1), date(2024, 5, 1), "--window 2024-01-01/2024-04-01"),
    (date(2024, 1, 1), date(2024, 3, 31), "--window 2024-01-01/2024-04-01"),
    (date(2024, 3, 20), date(2024, 9, 20), "--window 2024-04-01/2024-10-01"),
    (date(2024, 1, 1), date(2024, 9, 1), "--window 2024-01-01/2024-07-01"),
    (date(1999, 1, 1), date(1999, 2, 1), "--window 2024-01-01/2024-04-01"),
    (date(2030, 1, 1), date(2030, 2, 1), "--window 2024-10-01/2025-01-01"),
])
def test_another_window_is_refused_and_the_nearest_one_named(start, end, named):
    with pytest.raises(Refused, match="window-on-lattice") as caught:
        panes_between(draft(on_demand={"largest": 6}), start, end)
    assert named in str(caught.value)
    assert f"found {start}/{end}" in str(caught.value)
    assert caught.value.exit_code == 3


def test_without_windows_on_demand_only_scheduled_ones_are_named():
    with pytest.raises(Refused, match=r"windows of 3 months every 3 from 2024-01-01 on\. Next.*2024-01-01/2024-04-01"):
        panes_between(draft(), date(2024, 1, 1), date(2024, 7, 1))


@given(st.integers(1, 5), st.integers(1, 4), st.integers(6, 20), st.integers(0, 20), st.integers(-30, 200), st.integers(1, 200))
def test_no_agreed_window_is_nearer(size, step, panes, largest, begin, days):
    lattice = Lattice(panes, WindowSpec(size=size, step=step), OnDemand(largest=largest) if largest else None)
    first = [date(2024, 1, 1) + timedelta(weeks=pane) for pane in range(panes + 1)]
    start = date(2024, 1, 1) + timedelta(days=begin)
    end = start + timedelta(days=days)
    every = [(a, b) for a in range(panes + 1) for b in range(a + 1, panes + 1) if lattice.at(a, b) is not None]

    def distance(window):
        return abs((first[window[0]] - start).days) + abs((first[window[1]] - end).days)

    assert distance(nearest(lattice, first, start, end)) == min(map(distance, every))


@pytest.mark.parametrize("text", ["", "2024-01-01", "2024-01-01/", "2024-01-01/2024-01-01", "2024-02-01/2024-01-01",
                                  "last quarter", "2024-01-01/2024-04-31", "2024-01-01 / 2024-04-01x"])
def test_what_is_no_window_says_how_one_is_written(text):
    with pytest.raises(ConsoleError, match="expected START/END"):
        window_dates(text)
    assert window_dates("2024-01-01/2024-04-01") == (date(2024, 1, 1), date(2024, 4, 1))


def test_cells_and_kpis_are_those_of_the_agreement():
    terms = make_terms()
    assert cells_asked(terms.plans, ["income:1", "all"]) == ({"income": "1"}, {})
    with pytest.raises(ConsoleError, match=r"--cell income:9: KPI gp-visit-rate-ratio has all, income:1, .*income:5"):
        cells_asked(terms.plans, ["income:9"])
    assert plans_asked(terms, "innovation-team", ["cost-difference"] * 2) == (terms.plans[1],)
    with pytest.raises(ConsoleError, match="--kpi made-up: the agreement does not compute it. innovation-team may read gp"):
        plans_asked(terms, "innovation-team", ["cost-difference", "made-up"])
