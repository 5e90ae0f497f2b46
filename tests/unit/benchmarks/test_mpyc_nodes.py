"""MPyC as a contender does the same work as the engine, over loopback alone."""

from benchmarks.trio import measure


def test_every_case_is_right_and_says_its_size():
    timings = measure("benchmarks.mpyc_nodes", "mpyc", [64], 1, 120, 8)
    assert {timing.case: timing.rows for timing in timings} == dict.fromkeys(("multiply", "inner", "less", "equal-zero"), 64)
    assert all(len(timing.seconds) == 1 for timing in timings)
    assert {timing.case for timing in timings if timing.bytes_a_row > 100} == {"less", "equal-zero"}
