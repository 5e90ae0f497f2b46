"""Contenders of a benchmark are measured in turns, and their repetitions add up."""

import pytest

from benchmarks.trio import Timing
from benchmarks.turns import in_turns


def taking(order, name, case=lambda _: "less"):
    """A contender whose repetitions take as many seconds as there were turns before."""
    def measured(runs):
        order.append((name, runs))
        return [Timing(case(len(order)), 10, (float(len(order)),) * runs, 8.0, len(order))]

    return measured


def test_contenders_take_turns():
    order = []
    found = in_turns({name: taking(order, name) for name in ("one", "other")}, 2)
    assert order == 3 * [("one", 2), ("other", 2)]
    assert found == {
        "one": [Timing("less", 10, (1.0, 1.0, 3.0, 3.0, 5.0, 5.0), 8.0, 5)],
        "other": [Timing("less", 10, (2.0, 2.0, 4.0, 4.0, 6.0, 6.0), 8.0, 6)],
    }


def test_a_turn_of_other_cases_is_refused():
    with pytest.raises(ValueError, match="found case 2 of 10 rows, expected case 1 of 10 again"):
        in_turns({"one": taking([], "one", lambda turn: f"case {turn}")}, 2)
