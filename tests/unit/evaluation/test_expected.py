"""The table of expected windows: what is due, what was missed, why a run is late."""

from datetime import UTC, datetime, timedelta

import pytest

from evaluation.expected import Expected
from evaluation.ledger import Ended
from evaluation.state import NodeState
from tests.support.runs import run_terms

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock(datetime):
    """A time of day that a test moves."""

    at = START

    @classmethod
    def now(cls, tz=None):
        return cls.at


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr("evaluation.expected.datetime", Clock)
    Clock.at = START

    def go(seconds):
        Clock.at = Clock.at + timedelta(seconds=seconds)
        return Clock.at

    return go


@pytest.fixture
def terms():
    return run_terms()


@pytest.fixture
def state(tmp_path, terms):
    return NodeState(tmp_path / "state", terms.hash)


@pytest.fixture
def table(terms, state, clock):
    return Expected(terms, state, 1)


def end(state, terms, *windows):
    state.update(runs=(*state.ledger.runs, Ended(run="a" * 64, plans=tuple(p.hash for p in terms.plans),
                                                 windows=windows)))
    state._index()


def test_a_window_is_due_when_its_last_input_was_sent(table, terms):
    sent = {pane: START - timedelta(hours=10 - pane) for pane in range(6)}
    table.note(4, sent)
    due_at, late = table.account(terms.draft.lattice.scheduled[:3])
    assert due_at == sent[3]
    assert late is None
    assert table.account(terms.draft.lattice.scheduled[3:]) == (None, None)


def test_stamps_of_the_future_are_not_believed(table, terms):
    table.note(2, {0: START, 1: START + timedelta(days=400)})
    assert table.account(terms.draft.lattice.scheduled[:1])[0] == START


def test_what_was_due_while_this_node_was_down_was_missed(table, terms, clock):
    down, up = START - timedelta(hours=3), START - timedelta(minutes=1)
    table.was("this node was down", down, up)
    assert table.missed() == []
    table.note(6, {p: START - timedelta(hours=5 - p) for p in range(6)})
    (missed,) = table.missed()
    assert missed.windows == (0, 1, 2, 3)  # the last one was due after the start
    assert (missed.node, missed.since, missed.until) == (1, down, up)
    assert table.missed() == []
    _, late = table.account(terms.draft.lattice.scheduled[:1])
    assert late == "this node was down from 2026-03-01 09:00:00 UTC to 2026-03-01 11:59:00 UTC"
    assert table.account(terms.draft.lattice.scheduled[4:])[1] is None


def test_a_peer_that_is_away_is_told_when_it_lasts_and_when_it_is_over(table, clock, state, terms):
    table.begins("node-0", "node 0 was away")
    clock(60)
    table.note(3, {})
    assert table.missed() == []  # two windows are due since now
    clock(3)
    (lasts,) = table.missed()
    assert (lasts.windows, lasts.since, lasts.until) == ((0, 1), START, None)
    assert table.missed() == []
    table.note(4, {})
    clock(3)
    (more,) = table.missed()
    assert more.windows == (0, 1, 2)
    back = clock(1)
    table.ends("node-0")
    (over,) = table.missed()
    assert (over.windows, over.until) == ((0, 1, 2), back)
    end(state, terms, 0, 1, 2)
    clock(100)
    assert table.missed() == []
    assert table.following() == 3


def test_nothing_is_missed_in_the_blink_of_an_eye(table, clock):
    table.note(6, {})
    table.begins("node-2", "node 2 was away")
    clock(1)
    table.ends("node-2")
    clock(10)
    assert table.missed() == []


def test_due_times_outlive_the_process(table, terms, state, tmp_path, clock):
    table.note(3, {p: START - timedelta(minutes=9) for p in range(3)})
    table.save()
    clock(1000)
    later = Expected(terms, NodeState(tmp_path / "state", terms.hash), 1)
    later.note(3, {})
    assert later.account(terms.draft.lattice.scheduled[:2])[0] == START - timedelta(minutes=9)


def test_a_window_ends_when_all_its_plans_did(table, terms, state):
    state.update(runs=(Ended(run="a" * 64, plans=(terms.plans[0].hash,), windows=(0,)),))
    state._index()
    assert table.following() == 0
    state.update(runs=(*state.ledger.runs, Ended(run="b" * 64, plans=(terms.plans[1].hash,), windows=(0,))))
    state._index()
    assert table.ended(0)
    assert table.following() == 1


def test_reasons_have_a_bound(table, clock):
    table.begins("attempts", "attempts failed: " + "x" * 10_000)
    table.note(2, {})
    clock(5)
    (missed,) = table.missed()
    assert len(missed.reason) < 500
