"""Panes and windows against pandas' calendar."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

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


KINDS = st.one_of(
    st.tuples(st.integers(1, 6), st.integers(1, 6)).map(lambda s: {"size": s[0], "step": s[1]}),
    st.integers(1, 6).map(lambda size: {"kind": "tumbling", "size": size}),
    st.integers(1, 6).map(lambda step: {"kind": "cumulative", "step": step}),
    st.tuples(st.integers(1, 4), st.integers(1, 4)).map(
        lambda s: {"kind": "cumulative", "step": s[0], "every": s[0] * s[1]}),
)


def by_hand(spec, panes):
    """Every window of a kind, by its definition: among all pairs of panes."""
    size, step = spec.get("size"), spec.get("step", spec.get("size"))
    if spec.get("kind") == "cumulative":
        every = spec.get("every", panes)
        found = [(a, b) for a in range(0, panes, every) for b in range(a + 1, panes + 1)
                 if b - a <= every and (b - a) % step == 0]
    else:
        found = [(a, b) for a in range(0, panes, step) for b in range(panes + 1) if b - a == size]
    return sorted(found, key=lambda window: window[1])


@given(KINDS, st.integers(1, 30))
def test_windows_are_those_of_their_kind(said, panes):
    spec = WindowSpec.model_validate(said)
    windows = spec.windows(panes)
    assert [(w.start, w.stop) for w in windows] == by_hand(said, panes)
    assert [w.index for w in windows] == list(range(len(windows)))
    assert Lattice(panes, spec).longest_scheduled == max((b - a for a, b in by_hand(said, panes)), default=0)
    again = WindowSpec.model_validate_json(spec.model_dump_json())
    assert again == spec


@pytest.mark.parametrize(("said", "kind", "words"), [
    ({"size": 4, "step": 2}, "hopping", "windows of 4 weeks every 2"),
    ({"size": 4, "step": 4}, "tumbling", "windows of 4 weeks every 4"),
    ({"kind": "tumbling", "size": 1}, "tumbling", "windows of 1 week every 1"),
    ({"kind": "cumulative", "step": 1}, "cumulative", "windows that grow by 1 week"),
    ({"kind": "cumulative", "step": 2, "every": 12}, "cumulative",
     "windows that grow by 2 weeks, beginning anew every 12 weeks"),
])
def test_a_kind_has_one_form_and_words(said, kind, words):
    spec = WindowSpec.model_validate(said)
    assert (spec.kind, spec.words("week")) == (kind, words)
    assert WindowSpec.model_validate({**said, "kind": kind}) == spec


@pytest.mark.parametrize(("said", "message"), [
    ({"kind": "sliding", "size": 4, "step": 1}, "'tumbling', 'hopping' or 'cumulative'"),
    ({"kind": "cumulative", "size": 4, "step": 1}, "cumulative windows grow, so they have no size"),
    ({"kind": "cumulative", "step": 5, "every": 12}, "grow by 5 do not end where they begin anew, every 12"),
    ({"kind": "cumulative"}, "step"),
    ({"step": 1}, "hopping windows need a size"),
    ({"kind": "tumbling", "step": 1}, "tumbling windows need a size"),
    ({"size": 4}, "step"),
    ({"size": 4, "step": 1, "every": 12}, "every = 12 is for cumulative windows"),
    ({"kind": "tumbling", "size": 4, "step": 2}, "windows of 4 every 2 are not tumbling"),
    ({"kind": "hopping", "size": 4, "step": 4}, "windows of 4 every 4 are not hopping"),
    ({"kind": "cumulative", "step": 0}, "step"),
    ({"kind": "cumulative", "step": 1, "every": 5_001}, "every"),
])
def test_windows_that_do_not_fit_their_kind_are_refused(said, message):
    with pytest.raises(ValidationError, match=message):
        WindowSpec.model_validate(said)


def test_only_windows_that_share_a_start_are_nested():
    assert WindowSpec(kind="cumulative", step=1).nested
    assert WindowSpec(kind="cumulative", step=1, every=2).nested
    assert not WindowSpec(kind="cumulative", step=2, every=2).nested
    assert not WindowSpec(size=4, step=1).nested


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


@given(KINDS, st.integers(1, 24), st.integers(0, 24))
def test_windows_on_demand_are_unions_of_atoms_whatever_the_kind(said, panes, longest):
    spec = WindowSpec.model_validate(said)
    lattice = Lattice(panes, spec, OnDemand(largest=longest) if longest else None)
    scheduled = by_hand(said, panes)
    cuts = sorted({edge for window in scheduled for edge in window})
    assert list(lattice.atoms) == list(pairwise(cuts))
    for a in range(panes + 1):
        for b in range(a + 1, panes + 1):
            agreed = (a, b) in scheduled or (a in cuts and b in cuts and b - a <= longest)
            assert (lattice.at(a, b) is not None) == agreed
            if agreed:
                assert lattice.window(lattice.at(a, b).index) == lattice.at(a, b)


@given(
    panes=st.integers(1, 30), size=st.integers(1, 6), step=st.integers(1, 6), longest=st.none() | st.integers(1, 8),
)
def test_full_editions_have_numbers_of_their_own(panes, size, step, longest):
    on_demand = None if longest is None else OnDemand(largest=longest)
    spec = WindowSpec(kind="tumbling" if size == step else "hopping", size=size, step=step)
    one, two = Lattice(panes, spec, on_demand), Lattice(panes, spec, on_demand, 2)
    assert two.scheduled == one.scheduled
    assert one.full == ()
    assert [(w.start, w.stop) for w in two.full] == [(w.start, w.stop) for w in two.scheduled]
    first = {w.index for a in two.edges for b in two.edges if (w := two.at(a, b)) is not None}
    full = {w.index for w in two.full}
    assert first >= {w.index for w in two.scheduled}
    assert not first & full
    for index in range(max(first | full, default=0) + 3):
        assert two.window(index) == next((w for w in two.full if w.index == index), one.window(index))
        assert (two.window(index) is None) == (index not in first | full)
    assert {i for i in first | full if two.edition(i)} == full
    assert not any(two.is_scheduled(w) for w in two.full)
