"""Panes where the calendar is odd: clocks that change, also at midnight, long weeks' years, leap days, skipped days."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policy.window import PaneGrid
from streams.moment import start_reader, stop_reader

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def at(text):
    return datetime.fromisoformat(text)


def hours(grid):
    utc = [edge.astimezone(UTC) for edge in grid.edges]
    return [(b - a).total_seconds() / 3600 for a, b in pairwise(utc)]


def test_the_day_on_which_clocks_go_back_lasts_25_hours():
    grid = PaneGrid(zone="Europe/Amsterdam", unit="day", start=date(2024, 10, 26), count=3)
    assert hours(grid) == [24, 25, 24]
    # 02:30 comes twice, first in summer time; both are of Sunday, and so are the first and last instants of it.
    twice = [datetime(2024, 10, 27, 2, 30, fold=fold, tzinfo=AMSTERDAM) for fold in (0, 1)]
    assert [moment.astimezone(UTC).hour for moment in twice] == [0, 1]
    assert [grid.pane_of(moment) for moment in twice] == [1, 1]
    for text, pane in (
        ("2024-10-26T23:59:59.999999+02:00", 0), ("2024-10-27T00:00:00+02:00", 1), ("2024-10-27T02:30:00+02:00", 1),
        ("2024-10-27T02:30:00+01:00", 1), ("2024-10-27T23:59:59.999999+01:00", 1), ("2024-10-28T00:00:00+01:00", 2),
        ("2024-10-27T23:30:00+02:00", 1), ("2024-10-28T00:30:00+02:00", 1), ("2024-10-26T22:00:00Z", 1), ("2024-10-27T23:00:00Z", 2),
    ):
        assert grid.pane_of(at(text)) == pane, text


def test_the_day_on_which_clocks_go_forward_lasts_23_hours():
    grid = PaneGrid(zone="Europe/Amsterdam", unit="day", start=date(2024, 3, 30), count=3)
    assert hours(grid) == [24, 23, 24]
    for text, pane in (
        ("2024-03-30T23:59:59.999999+01:00", 0), ("2024-03-31T00:00:00+01:00", 1), ("2024-03-31T01:59:59+01:00", 1),
        ("2024-03-31T03:00:00+02:00", 1), ("2024-03-31T23:59:59.999999+02:00", 1), ("2024-04-01T00:00:00+02:00", 2),
        ("2024-03-31T22:30:00Z", 2), ("2024-03-31T21:30:00Z", 1),
    ):
        assert grid.pane_of(at(text)) == pane, text


def test_larger_panes_hold_the_hour_too_many_and_the_hour_too_few():
    weeks = PaneGrid(zone="Europe/Amsterdam", unit="week", start=date(2024, 3, 25), count=32)
    assert {pane: h for pane, h in enumerate(hours(weeks)) if h != 168} == {0: 167, 30: 169}
    months = PaneGrid(zone="Europe/Amsterdam", unit="month", start=date(2024, 1, 1), count=12)
    assert [h - 24 * months.days(p) for p, h in enumerate(hours(months))] == [0, 0, -1, 0, 0, 0, 0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize(("zone", "day", "starts", "lasts"), [
    # Midnight does not exist: 24:00 is followed by 01:00.
    ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00Z", 23), ("Africa/Cairo", "2024-04-26", "2024-04-25T22:00Z", 23),
    ("Atlantic/Azores", "2024-03-31", "2024-03-31T01:00Z", 23), ("America/Havana", "2024-03-10", "2024-03-10T05:00Z", 23),
    # Clocks go back at midnight, to the evening before: that day is longer, midnight comes once.
    ("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00Z", 25), ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00Z", 24),
    ("Africa/Cairo", "2024-10-31", "2024-10-30T21:00Z", 25), ("Africa/Cairo", "2024-11-01", "2024-10-31T22:00Z", 24),
    # Midnight comes twice: clocks go back from 01:00 to it.
    ("Atlantic/Azores", "2024-10-27", "2024-10-27T00:00Z", 25), ("America/Havana", "2024-11-03", "2024-11-03T04:00Z", 25),
    # Clocks go back from 00:01 to 23:01: the new day began a minute before.
    ("America/St_Johns", "2010-11-06", "2010-11-06T02:30Z", 24), ("America/St_Johns", "2010-11-07", "2010-11-07T02:30Z", 25),
])
def test_where_midnight_is_missing_or_twice(zone, day, starts, lasts):
    first = date.fromisoformat(day)
    grid = PaneGrid(zone=zone, unit="day", start=first, count=2)
    assert grid.edges[0].astimezone(UTC) == at(starts)
    assert hours(grid)[0] == lasts
    assert grid.pane_of(at(starts)) == 0
    assert grid.pane_of(at(starts) - timedelta(microseconds=1)) is None
    # A date without a time falls into the pane of its day, and its end is the next one's begin.
    assert grid.pane_of(start_reader(zone)(day)) == 0
    assert stop_reader(zone)(day) == start_reader(zone)((first + timedelta(days=1)).isoformat())
    assert grid.pane_of(stop_reader(zone)(day)) == 1


ZONES = sorted(available_timezones())


@given(st.sampled_from(ZONES), st.dates(date(1970, 1, 2), date(2037, 12, 30)), st.booleans())
def test_a_pane_starts_at_the_first_instant_of_its_day(zone, day, near_a_change):
    if near_a_change:  # the next day on which the zone's clocks change
        local = ZoneInfo(zone)
        offsets = [(day + timedelta(days=i), datetime(day.year, day.month, day.day, 12, tzinfo=local) + timedelta(days=i))
                   for i in range(400)]
        day = next((b for (_, x), (b, y) in pairwise(offsets) if x.utcoffset() != y.utcoffset()), day)
    minutes = pd.date_range(f"{day} 00:00", periods=52 * 60, freq="min", tz="UTC") - pd.Timedelta(hours=26)
    days = minutes.tz_convert(zone).tz_localize(None).normalize()
    if pd.Timestamp(day) not in days:
        return  # the zone skipped the day
    found = PaneGrid(zone=zone, unit="week", start=day, count=1).edges[0].astimezone(UTC)
    expected = minutes[(days >= pd.Timestamp(day)).argmax()].to_pydatetime()
    # Before about 1972 some zones' clocks were seconds off.
    assert abs(found - expected) < timedelta(minutes=1)


def test_iso_weeks_over_the_end_of_a_year_of_53():
    grid = PaneGrid(zone="Europe/Amsterdam", unit="week", start=date(2019, 12, 30), count=106)
    named = [grid.first_day(pane).isocalendar()[:2] for pane in range(106)]
    assert named == [(2020, w) for w in range(1, 54)] + [(2021, w) for w in range(1, 53)] + [(2022, 1)]
    for text, pane in (("2021-01-01", 52), ("2021-01-03", 52), ("2021-01-04", 53), ("2020-12-31", 52), ("2020-12-27", 51)):
        moment = datetime.combine(date.fromisoformat(text), datetime.min.time(), AMSTERDAM)
        assert grid.pane_of(moment) == pane, text
        assert named[pane] == moment.isocalendar()[:2]


def test_weeks_may_start_on_any_day():
    grid = PaneGrid(zone="UTC", unit="week", start=date(2024, 2, 25), count=2)  # a Sunday before a leap day
    assert [grid.first_day(pane) for pane in range(3)] == [date(2024, 2, 25), date(2024, 3, 3), date(2024, 3, 10)]
    assert grid.pane_of(at("2024-02-29T12:00Z")) == 0


def test_leap_days():
    days = PaneGrid(zone="Europe/Amsterdam", unit="day", start=date(2024, 2, 28), count=3)
    assert [days.first_day(pane) for pane in range(3)] == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
    months = PaneGrid(zone="UTC", unit="month", start=date(2023, 12, 1), count=27)
    assert [months.days(pane) for pane in (2, 14, 26)] == [29, 28, 28]
    assert months.pane_of(at("2024-02-29T23:59Z")) == 2
    assert PaneGrid(zone="UTC", unit="month", start=date(2100, 2, 1), count=1).days(0) == 28


def test_years_whenever_they_start():
    years = PaneGrid(zone="Europe/Amsterdam", unit="year", start=date(2023, 1, 1), count=3)
    assert [years.days(pane) for pane in range(3)] == [365, 366, 365]
    assert hours(years) == [8760, 8784, 8760]
    assert years.pane_of(at("2024-01-01T00:00+01:00")) == 1
    assert years.pane_of(at("2023-12-31T23:59:59+01:00")) == 0
    budget = PaneGrid(zone="Europe/Amsterdam", unit="year", start=date(2023, 7, 1), count=2)
    assert [budget.days(pane) for pane in range(2)] == [366, 365]
    assert budget.pane_of(at("2024-06-30T23:30+02:00")) == 0
    assert budget.pane_of(at("2024-06-30T22:30Z")) == 1


@pytest.mark.parametrize(("changes", "message"), [
    ({"zone": "Pacific/Apia", "unit": "day", "start": "2011-12-01"}, "skipped the day of 2011-12-30"),
    ({"unit": "month", "start": "2024-01-31"}, "first of a month"),
    ({"unit": "year", "start": "2024-02-29"}, "first of a month"),
    ({"unit": "year", "start": "9000-01-01", "count": 2_000}, "2000 panes of a year from 9000-01-01 go beyond the calendar"),
    ({"unit": "day", "start": "9999-12-01"}, "beyond the calendar"),
    ({"zone": "Mars/Olympus"}, "not a time zone"),
])
def test_panes_that_no_calendar_has_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        PaneGrid.model_validate({"zone": "UTC", "unit": "day", "start": "2024-01-01", "count": 60, **changes})


def test_a_week_from_which_the_zone_skipped_a_day_is_shorter():
    grid = PaneGrid(zone="Pacific/Apia", unit="week", start=date(2011, 12, 26), count=2)
    assert hours(grid) == [144, 168]
