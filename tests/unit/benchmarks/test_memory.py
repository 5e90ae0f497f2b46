"""A long stream leaves a state of one size, and keeps nothing else, when there is a horizon."""

import tracemalloc
from itertools import pairwise

import pytest

from benchmarks.memory import MARKS, stream

ROWS, PATIENTS = 60_000, 200


def test_state_and_memory_stay_flat_under_a_horizon():
    held, states = [], []
    tracemalloc.start()
    try:
        for mark in stream(ROWS, PATIENTS, 13):
            held.append(tracemalloc.get_traced_memory()[0])
            states.append(mark.state)
    finally:
        tracemalloc.stop()
    assert len(states) == MARKS
    # The first fifth fills the horizon: 21 of 104 weeks.
    assert max(states[1:]) < 1.1 * states[0]
    assert max(held[1:]) < 1.1 * held[0] + 300_000


def test_without_a_horizon_the_state_grows_with_the_events():
    states = [mark.state for mark in stream(ROWS, PATIENTS, None)]
    assert all(later - earlier > 0.8 * states[0] for earlier, later in pairwise(states))


def test_a_stream_that_goes_wrong_is_no_measurement(monkeypatch):
    monkeypatch.setattr("benchmarks.memory.CREDIT_BACK", 1_000)
    with pytest.raises(RuntimeError, match="were accepted, refused"):
        list(stream(20_000, PATIENTS, 13))
