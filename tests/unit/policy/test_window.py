"""Panes and windows against pandas' calendar."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.window import Lattice, OnDemand, PaneGrid, Window, WindowSpec

FREQUENCIES = {"day": pd.DateOffset(days=1), "week": pd.DateOffset(weeks=1), "month": pd.DateOffset(months=1),
               "year": pd.DateOffset(years=1)}


@pytest.mark.parametrize("unit", FREQUENCIES)
@pytest.mark.parametrize("zone", ["Europe/Amsterdam", "UTC", "America/New_York"])
def test_edges_follow_the_calendar(unit, zone):
    grid = PaneGrid(zone=zone, unit=unit, start=date(2023, 1, 1), count=40)
    expected = [pd.Timestamp("2023-01-01", tz=zone) + FREQUENCIES[unit] * i for i in range(41)]
    assert [e.timestamp() for e in grid.edges] == [e.timestamp() for e in expected]
    assert [grid.days(p) for p in range(40)] == [
        (b.date() - a.date()).days for a, b in pairwise(expected)
    ]


def test_days_of_daylight_saving_last_23_and_25_hours():
    grid = PaneGrid(zone="Europe/Amsterdam", unit="day", start=date(2024, 1, 1), count=366)
    utc = [edge.astimezone(UTC) for edge in grid.edges]  # same-zone subtraction would ignore the change of clocks
    hours = [(b - a).total_seconds() / 3600 for a, b in pairwise(utc)]
    assert {i: h for i, h in enumerate(hours) if h != 24} == {90: 23.0, 300: 25.0}


@given(st.datetimes(min_value=datetime(2023, 6, 1), max_value=datetime(2025, 6, 1)), st.sampled_from(list(FREQUENCIES)))
def test_pane_of_is_the_pane_that_holds_the_instant(at, unit):
    grid = PaneGrid(zone="Europe/Amsterdam", unit=unit, start=date(2024, 1, 1), count=3)
    at = at.replace(tzinfo=UTC)
    holding = [p for p in range(3) if grid.edges[p].astimezone(UTC) <= at < grid.edges[p + 1].astimezone(UTC)]
    assert grid.pane_of(at) == (holding[0] if holding else None)


def test_an_instant_without_zone_is_refused():
    grid = PaneGrid(zone="UTC", unit="day", start=date(2024, 1, 1), count=3)
    with pytest.raises(ValueError, match="no time zone"):
        grid.pane_of(datetime(2024, 1, 1) + timedelta(hours=1))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 30))
def test_atoms_are_the_coarsest_common_cut(size, step, panes):
    spec = WindowSpec(size=size, step=step)
    windows, atoms = spec.windows(panes), spec.atoms(panes)
    edges = {e for w in windows for e in (w.start, w.stop)}
    assert {e for atom in atoms for e in atom} == edges
    for w in windows:
        inside = [a for a in atoms if w.start <= a[0] and a[1] <= w.stop]
        assert inside[0][0] == w.start
        assert inside[-1][1] == w.stop
        assert all(a[1] == b[0] for a, b in pairwise(inside))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(6, 30), st.integers(0, 30))
def test_a_lattice_numbers_every_agreed_window_once(size, step, panes, longest):
    spec = WindowSpec(size=size, step=step)
    lattice = Lattice(panes, spec, OnDemand(largest=longest) if longest else None)
    scheduled = [(s, s + size) for s in range(0, panes - size + 1, step)]
    edges = {edge for window in scheduled for edge in window}
    expected = {
        (a, b) for a in range(panes + 1) for b in range(a + 1, panes + 1)
        if (a, b) in scheduled or ({a, b} <= edges and b - a <= longest)
    }
    found = {
        (a, b): lattice.at(a, b) for a in range(-1, panes + 3) for b in range(-1, panes + 3)
        if lattice.at(a, b) is not None
    }
    assert set(found) == expected
    assert [found[w].index for w in scheduled] == list(range(len(scheduled)))
    assert all(lattice.window(w.index) == w for w in found.values())
    numbers = {w.index: w for w in found.values()}
    assert len(numbers) == len(expected)
    assert all(lattice.window(i) == numbers.get(i) for i in range(-3, len(scheduled) + (panes + 2) * (longest + 1)))
    assert lattice.largest == max(size, longest)
    assert {w for w in found.values() if lattice.is_scheduled(w)} == set(lattice.scheduled)


def test_the_number_of_an_asked_for_window_is_the_one_all_nodes_compute():
    lattice = Lattice(12, WindowSpec(size=4, step=2), OnDemand(largest=8))
    assert lattice.at(2, 6) == Window(index=1, start=2, stop=6)
    assert lattice.at(2, 8) == Window(index=5 + 2 * 8 + 5, start=2, stop=8)
    assert lattice.at(0, 10) is None
    assert lattice.at(1, 5) is None
