"""Benchmarks of the engine and of the tail at a small size: three processes over TLS; results are checked, then timed."""

import pytest

from benchmarks.trio import measure

CASES = {
    "engine": {
        "multiply", "less", "less-undeclared", "equal-zero", "equal-zero-undeclared", "inner", "shuffle", "group-by-8",
        "indicator-sum",
    },
    "window": {"secret", "public"}, "link": {"cold", "later-window", "batch-1024"}, "history": {"4", "26", "104"},
    "node": {"run"},
}


@pytest.mark.parametrize("name", CASES)
def test_every_case_is_right_and_timed(name):
    found = measure(f"benchmarks.{name}", "winnow", [1000], 1, 120.0, 8)
    assert {each.case for each in found} == CASES[name]
    assert all(each.rows == (1024 if each.case == "batch-1024" else 1000) for each in found)
    assert all(len(each.seconds) == 1 and 0 < each.seconds[0] < 60 for each in found)


def test_every_case_of_the_tail_is_right_and_timed():
    found = measure("benchmarks.tail", "winnow", [20], 1, 120.0, 0)
    assert {each.case: each.rows for each in found} == {"10 cells": 10, "20 cells": 20, "sqrt 20": 20, "solve 20": 1}
    assert all(0 < each.seconds[0] < 60 and each.bytes_a_row > 100 for each in found)


def test_a_process_that_fails_is_an_error_with_its_words():
    with pytest.raises(RuntimeError, match="KeyError: 'nobody'"):
        measure("benchmarks.engine", "nobody", [10], 1, 60.0, 8)
