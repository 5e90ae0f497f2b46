"""Three processes are timed once their results are right, whatever a contender prints or does not count."""

import pytest

from benchmarks.trio import measure

MODULE = """
from contextlib import asynccontextmanager
from benchmarks.trio import Case

class Node:
    async def barrier(self): pass
    def sent(self): return None
    async def cases(self, rows):
        async def work(): return rows
        async def correct(found): return found != 13
        return {"nothing": Case(rows, work, correct)}

@asynccontextmanager
async def noisy(place):
    print("a library says hello")
    yield Node()

def contenders(_): return {"noisy": noisy}
"""


@pytest.fixture(autouse=True)
def _module(tmp_path, monkeypatch):
    (tmp_path / "made_up_contender.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_a_contender_may_print_and_need_not_count_bytes():
    timing, = measure("made_up_contender", "noisy", [5], 3, 60, 0)
    row = timing.row("nothing", "noisy")
    assert (row["rows"], row["runs"], row["contender"]) == (5, 3, "noisy")
    assert "bytes_per_row" not in row


def test_what_is_over_at_once_is_repeated_more_often():
    timing, = measure("made_up_contender", "noisy", [5], 3, 60, 0, often={"nothing": 20, "something": 9})
    assert timing.row("nothing", "noisy")["runs"] == 60


def test_a_wrong_result_is_not_timed():
    with pytest.raises(RuntimeError, match="nothing of 13 rows: a wrong result"):
        measure("made_up_contender", "noisy", [13], 3, 60, 0)
