"""The outbox of alerts: one message a change, whatever is repeated, lost or out of order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.errors import Tampered
from evaluation.outbox import (
    MAX_FAILURES,
    MAX_PENDING,
    Figure,
    Row,
    Seen,
    decide,
    delivered,
    given_up,
    message_id,
    next_for,
    retry_after,
    without,
)
from evaluation.rows import NAME_BYTES, RowSeal

TARGETS = ("mail", "hook")


def seen(*states):
    """"r" and "c" for the windows 0, 1, 2 …; "-" for one without data."""
    return [Seen(w, {"r": "raised", "c": "clear"}[s]) for w, s in enumerate(states) if s != "-"]


def after(states, row=None, targets=TARGETS):
    return decide(row or Row(), "a", "agreement", seen(*states), targets, 100.0)


def said(row):
    return [(m.window, m.state) for m in row.pending]


def test_one_message_a_change():
    assert said(after("ccrr-rccr")) == [(2, "raised"), (6, "clear"), (8, "raised")]


def test_an_alert_that_never_was_raised_says_nothing():
    assert after("ccc-c") == Row()


def test_ids_follow_from_the_change_alone():
    first, again = after("cr"), decide(Row(), "a", "agreement", seen(*"cr"), ("other",), 7.0)
    assert first.pending[0].id == again.pending[0].id == message_id("agreement", "a", 1, "raised")
    others = {message_id("other", "a", 1, "raised"), message_id("agreement", "b", 1, "raised"),
              message_id("agreement", "a", 2, "raised"), message_id("agreement", "a", 1, "clear")}
    assert len(others) == 4
    assert first.pending[0].id not in others


def test_the_figure_goes_with_its_change():
    figure = Figure(value=1.5, low=1.0, high=2.0)
    row = decide(Row(), "a", "x", [Seen(3, "raised", figure)], TARGETS, 1.0)
    assert row.pending[0].figure == figure


@given(st.lists(st.sampled_from("rc-"), max_size=30), st.data())
def test_repeats_and_splits_change_nothing(states, data):
    """Whatever is seen again, in whatever pieces: the windows so far, seen at once, decide."""
    row, place = Row(), 0
    while place < len(states):
        place = data.draw(st.integers(place + 1, len(states)))
        row = after(states[:place], row)
        row = after(states[: data.draw(st.integers(0, place))], row)
    assert row == after(states)


@given(st.lists(st.sampled_from("rc"), max_size=30), st.data())
def test_what_was_delivered_is_never_decided_again(states, data):
    row, sent = Row(), []
    for place in range(len(states) + 1):
        row = after(states[:place], row)
        while (message := next_for(row, "mail")) and data.draw(st.booleans()):
            sent.append((message.window, message.state))
            row = delivered(row, message.id, "mail")
    assert after(states, row) == row
    sent += [(m.window, m.state) for m in row.pending if "mail" in m.waiting]
    words = {"r": "raised", "c": "clear"}
    assert sent == [(w, words[s]) for w, s in enumerate(states) if s != ["c", *states][w]]


def test_a_message_waits_for_every_target_and_leaves_with_the_last():
    row = after("r")
    message = row.pending[0]
    assert message.waiting == ("hook", "mail")
    row = delivered(row, message.id, "mail")
    assert next_for(row, "mail") is None
    assert next_for(row, "hook").id == message.id
    row = delivered(row, message.id, "hook")
    assert row == Row(window=0, state="raised")
    assert delivered(row, message.id, "hook") == row


def test_the_next_message_of_an_alert_waits_for_the_one_before():
    row = after("rc")
    assert next_for(row, "mail").state == "raised"
    assert next_for(delivered(row, row.pending[0].id, "mail"), "mail").state == "clear"


def test_what_is_given_up_stays_visible():
    row = after("r")
    row = given_up(row, row.pending[0].id, "hook", "timed out")
    assert [(f.target, f.reason, f.window) for f in row.failures] == [("hook", "timed out", 0)]
    assert given_up(row, row.pending[0].id, "hook", "again") == row


def test_without_targets_states_are_still_followed():
    assert after("rcr", targets=()) == Row(window=2, state="raised")


def test_a_target_that_is_gone_waits_no_longer():
    row = without(after("r"), ("mail", "new"))
    assert row.pending[0].waiting == ("mail",)
    assert row.failures[0].target == "hook"


def test_a_target_that_is_away_keeps_a_bounded_number():
    row = after("rc" * 5_000)
    assert len(row.pending) == MAX_PENDING
    assert row.pending[-1].window == 9_999
    assert len(row.failures) == MAX_FAILURES
    assert "superseded" in row.failures[-1].reason
    assert len(row.model_dump_json()) < 64_000


def test_waiting_doubles_up_to_a_bound():
    assert [retry_after(n, 2, 900) for n in (1, 2, 3, 9, 10, 5_000)] == [2, 4, 8, 512, 900, 900]


def test_rows_are_sealed_under_names_that_say_nothing():
    seal, other = RowSeal(b"s" * 32, "alerts x"), RowSeal(b"s" * 32, "alerts y")
    name = seal.name("cost-alert")
    assert len(name) == NAME_BYTES
    assert name != other.name("cost-alert")
    texts = [b"", b"{}", b"a\x80\0\0", b"x" * 1023, b"y" * 5_000]
    for text in texts:
        assert seal.open(name, seal.seal(name, text)) == text
    assert len({len(seal.seal(name, t)) for t in texts[:3]}) == 1
    sealed = seal.seal(name, b"raised")
    assert b"raised" not in sealed
    forged = (b"", b"short", sealed[:-1], sealed[:20] + bytes([sealed[20] ^ 1]) + sealed[21:])
    for wrong in forged:
        with pytest.raises(Tampered):
            seal.open(name, wrong)
    with pytest.raises(Tampered):
        seal.open(seal.name("other-alert"), sealed)
    with pytest.raises(Tampered):
        other.open(name, sealed)
