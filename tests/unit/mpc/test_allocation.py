"""Arrays that come and go cost few page faults once a process keeps their memory."""

import subprocess
import sys

import pytest

from evaluation import node
from mpc import allocation

ARRAYS = """
import resource
import numpy as np
from mpc.allocation import keep_freed_memory

assert {kept} is False or keep_freed_memory()

def work():
    for _ in range(20):
        held = [np.ones(2**17) for _ in range(8)]
    del held

work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(kept):
    """Page faults of 20 times 8 arrays of a mebibyte."""
    ended = subprocess.run(
        [sys.executable, "-c", ARRAYS.format(kept=kept)], capture_output=True, text=True, timeout=60, check=True,
    )
    return int(ended.stdout)


def test_freed_memory_serves_again():
    kept, given_back = faults(kept=True), faults(kept=False)
    assert given_back > 10_000
    assert kept < given_back / 20


@pytest.mark.parametrize("library", [object(), None], ids=["another C library", "no handle"])
def test_elsewhere_nothing_is_set(monkeypatch, library):
    def opened(_):
        if library is None:
            raise OSError("no such library")
        return library

    monkeypatch.setattr(allocation.ctypes, "CDLL", opened)
    assert allocation.keep_freed_memory() is False


def test_a_node_sets_it_before_anything_else(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(node, "keep_freed_memory", lambda: called.append("set"))
    monkeypatch.setattr(node, "load_settings", lambda *_: called.append("read") or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        node.main(tmp_path)
    assert called == ["set", "read"]
