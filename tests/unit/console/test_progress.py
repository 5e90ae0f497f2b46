"""Progress is shown at all times, with and without a terminal."""

import io

import pytest
from rich.console import Console

from console.progress import MAX_PROCESSES, QUIET_SECONDS, STEP_SECONDS, Progress


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def plain():
    out, clock = io.StringIO(), Clock()
    return out, clock, Progress(Console(file=out, width=200, force_terminal=False), clock)


def report(done=0, total=10, **changes):
    return {"process": "insurer", "phase": "read", "done": done, "total": total, "detail": "claims.csv", **changes}


def test_without_a_terminal_a_report_is_a_line():
    out, _, progress = plain()
    with progress:
        progress.update(report(3))
    assert out.getvalue().splitlines() == [
        "[0:00] started", "[0:00] insurer: read 3 of 10 (claims.csv)", "[0:00] ended after 0:00",
    ]


def test_quick_reports_of_one_phase_share_a_line_but_its_end_and_the_next_phase_get_their_own():
    out, clock, progress = plain()
    with progress:
        for done in range(10):
            progress.update(report(done))
        clock.now += STEP_SECONDS
        progress.update(report(9))
        progress.update(report(10))
        progress.update(report(0, phase="share"))
    said = [line.split("] ")[1] for line in out.getvalue().splitlines()[1:-1]]
    assert said == [
        "insurer: read 0 of 10 (claims.csv)", "insurer: read 9 of 10 (claims.csv)",
        "insurer: read 10 of 10 (claims.csv)", "insurer: share 0 of 10 (claims.csv)",
    ]


def test_silence_is_broken_with_what_is_going_on():
    out, clock, progress = plain()
    with progress:
        clock.now += QUIET_SECONDS
        progress.heartbeat()
        progress.update(report(3))
        clock.now += QUIET_SECONDS - 1
        progress.heartbeat()
        clock.now += 1
        progress.heartbeat()
    lines = out.getvalue().splitlines()
    assert lines[1] == "[0:10] waiting for the first report"
    assert lines[2:4] == ["[0:10] insurer: read 3 of 10 (claims.csv)", "[0:20] insurer: read 3 of 10 (claims.csv)"]


def test_a_stop_by_an_error_is_told_from_an_end():
    out, clock, progress = plain()
    with pytest.raises(RuntimeError), progress:
        clock.now = 75
        raise RuntimeError
    assert out.getvalue().splitlines()[-1] == "[1:15] stopped after 1:15"


@pytest.mark.parametrize("wrong", [{}, {"process": "", "phase": "x"}, report(done=-1), report(done="many"), report(process=7)])
def test_a_malformed_report_is_left_out(wrong):
    out, _, progress = plain()
    with progress:
        progress.update(wrong)
    assert len(out.getvalue().splitlines()) == 2


def test_reports_cannot_grow_without_bound_nor_write_control_characters():
    out, _, progress = plain()
    with progress:
        progress.update(report(detail="a\x1b[2Jb\nc" + "x" * 10_000))
        for i in range(2 * MAX_PROCESSES):
            progress.update(report(process=f"p{i}"))
    lines = out.getvalue().splitlines()
    assert len(lines) == MAX_PROCESSES + 2
    assert "a [2Jb c" in lines[1]
    assert len(lines[1]) < 200


def test_on_a_terminal_every_process_has_a_line_with_its_bar():
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=True, color_system=None)
    with Progress(console) as progress:
        progress.update(report(3))
        progress.update({"process": "node 0", "phase": "link"})
        console.print("refresh")  # printing over a live display redraws it
    text = out.getvalue()
    assert "insurer" in text
    assert "3 of 10" in text
    assert "node 0" in text
    assert "ended after" in text
