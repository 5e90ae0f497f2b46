"""The table of expected windows, from records in any order; the calendar by hand."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest

from evaluation.calendar import expected_on, local_today
from evaluation.records import Done, Events, Failed, Missed, Refused, Skipped
from evaluation.schedule import timetable
from tests.support.terms import draft_data, make_terms

NOON = datetime(2024, 6, 3, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def terms():
    """Three windows of four of six weeks; the insurer has two weeks of grace, and three days for a source."""
    parties = draft_data()["parties"]
    parties[0]["sources"][0]["bound_days"] = 3
    return make_terms(panes={"zone": "Europe/Amsterdam", "unit": "week", "start": "2024-01-01", "count": 6},
                      parties=parties)


def done(terms, node, *windows, kpis=(), late=None, at=NOON):
    return Done(agreement=terms.hash, node=node, run="ab" * 32, windows=windows, sequence=1, seconds={}, kpis=kpis,
                due_at=at - timedelta(hours=1), ended_at=at, late=late)


def refused(terms, node, *windows, rule="quota", request=None):
    return Refused(agreement=terms.hash, node=node, run=None, windows=windows, rule=rule, found=None, required="x",
                   next_step="y", request=request)


def missed(terms, node, *windows, words="node 1 is away"):
    return Missed(agreement=terms.hash, node=node, windows=windows, reason=words, since=NOON, until=None)


def skipped(terms, node, *windows):
    return Skipped(agreement=terms.hash, node=node, windows=windows, reason="a request released it")


def finals(terms):
    return [Events(agreement=terms.hash, party=p.name, final=True, read=0, accepted=0, rejected={}, late_pending=0)
            for p in terms.draft.parties]


def states(terms, records, today=None):
    return [row.state for row in timetable(terms, records, today)]


def test_a_window_is_expected_after_its_end_grace_and_bound(terms):
    windows = terms.draft.lattice.scheduled
    assert [(w.start, w.stop) for w in windows] == [(0, 4), (1, 5), (2, 6)]
    # Four weeks from 1 January end on 29 January; two weeks of grace and three days later it is 15 February.
    assert [expected_on(terms.draft, w) for w in windows] == [date(2024, 2, 15), date(2024, 2, 22), date(2024, 2, 29)]
    rows = timetable(terms, [])
    assert [(r.window.start, r.window.end) for r in rows] == [
        (date(2024, 1, 1), date(2024, 1, 29)), (date(2024, 1, 8), date(2024, 2, 5)), (date(2024, 1, 15), date(2024, 2, 12)),
    ]
    assert [r.expected for r in rows] == [expected_on(terms.draft, w) for w in windows]


@pytest.mark.parametrize(("release", "days"), [("seal", 0), ("maturity", 90), ("both", 0)])
def test_a_window_of_mature_panes_is_expected_once_they_are(terms, release, days):
    """Else it would be shown as due for three months in which nothing is wrong."""
    maturities = {"days": [30, 90], "release": release, **({"revisions": 3} if release == "both" else {})}
    other = make_terms(**terms.draft.model_dump(mode="json", exclude_none=True) | {"maturities": maturities})
    first = other.draft.lattice.scheduled[0]
    assert expected_on(other.draft, first) == date(2024, 2, 15) + timedelta(days=days)


def test_the_calendar_and_the_end_of_all_files_make_windows_due(terms):
    assert states(terms, []) == ["waiting"] * 3
    assert states(terms, [], date(2024, 2, 21)) == ["due", "waiting", "waiting"]
    assert states(terms, [], date(2024, 2, 22)) == ["due", "due", "waiting"]
    assert states(terms, finals(terms)[:2]) == ["waiting"] * 3
    assert states(terms, finals(terms)) == ["due"] * 3


def test_a_date_beyond_all_calendars_is_far_away():
    endless = make_terms(panes={"zone": "UTC", "unit": "year", "start": "2024-01-01", "count": 4},
                         parties=[{**p, "grace_panes": 10**6} for p in draft_data()["parties"]])
    assert timetable(endless, [])[0].expected == date.max


def test_one_node_alone_is_not_believed(terms):
    alone = [done(terms, 0, 0), skipped(terms, 0, 1), refused(terms, 0, 2)]
    assert states(terms, alone) == ["waiting"] * 3
    assert states(terms, [missed(terms, 2, 0, 1, 2)], date(2024, 3, 1)) == ["due"] * 3


@pytest.mark.parametrize(("state", "say"), [
    ("ran", done), ("skipped", skipped), ("refused", refused), ("missed", missed),
])
def test_two_of_three_nodes_are(terms, state, say):
    rows = timetable(terms, [say(terms, 0, 1), say(terms, 2, 1)], date(2024, 1, 1))
    assert [r.state for r in rows] == ["waiting", state, "waiting"]
    assert rows[1].nodes == (0, 2)


def test_a_run_ends_what_was_missed_or_refused_before_and_says_why_it_was_late(terms):
    records = [
        missed(terms, 0, 0), missed(terms, 2, 0), refused(terms, 1, 0),
        done(terms, 0, 0, at=NOON), done(terms, 1, 0, late="this node was down for an hour", at=NOON + timedelta(hours=9)),
        done(terms, 2, 0, at=NOON + timedelta(minutes=1)),
    ]
    row = timetable(terms, records)[0]
    assert (row.state, row.nodes) == ("ran", (0, 1, 2))
    assert row.ended_at == NOON + timedelta(minutes=1)
    assert row.due_at == NOON - timedelta(minutes=59)
    assert row.said == {"0": "node 1 is away", "1": "this node was down for an hour", "2": "node 1 is away"}


def test_a_window_ran_when_every_kpi_did_whoever_asked(terms):
    first, second = (p.kpi for p in terms.plans)
    half = [done(terms, j, 0, kpis=(first,)) for j in range(3)]
    assert states(terms, half) == ["waiting"] * 3
    assert states(terms, [*half, *(done(terms, j, 0, kpis=(second,)) for j in range(2))]) == ["ran", "waiting", "waiting"]
    assert states(terms, [*half, *(skipped(terms, j, 0) for j in (0, 2))]) == ["skipped", "waiting", "waiting"]


def test_nodes_that_ended_it_in_two_ways_still_ended_it(terms):
    assert states(terms, [done(terms, 0, 0), skipped(terms, 1, 0), refused(terms, 2, 0)])[0] in {"ran", "skipped"}


def test_a_refusal_of_everything_names_its_rule(terms):
    records = [*(done(terms, j, 0) for j in range(3)), *(refused(terms, j, rule="agreement-active") for j in (1, 2))]
    rows = timetable(terms, records)
    assert [r.state for r in rows] == ["ran", "refused", "refused"]
    assert [r.rule for r in rows] == [None, "agreement-active", "agreement-active"]


def test_a_refused_request_says_nothing_of_the_schedule(terms):
    assert states(terms, [refused(terms, j, 0, request="cd" * 32) for j in range(3)]) == ["waiting"] * 3
    assert states(terms, [refused(terms, j, request="cd" * 32) for j in range(3)]) == ["waiting"] * 3


def test_order_and_windows_that_do_not_exist_change_nothing(terms):
    records = [
        *finals(terms), *(done(terms, j, 0) for j in range(3)), *(missed(terms, j, 1, 99) for j in range(2)),
        *(skipped(terms, j, 2) for j in range(3)), done(terms, 0, 4_999),
        Failed(agreement=terms.hash, node=0, run=None, reason="x"),
    ]
    expected = timetable(terms, records)
    assert [r.state for r in expected] == ["ran", "missed", "skipped"]
    for seed in range(20):
        random.Random(seed).shuffle(records)
        assert timetable(terms, records) == expected


def test_today_is_that_of_the_agreements_zone(terms):
    assert local_today(terms.draft, datetime(2024, 3, 1, 23, 30, tzinfo=UTC)) == date(2024, 3, 2)
