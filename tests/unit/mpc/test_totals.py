"""The file of running totals: what was written is read, rows and quantities alone, and a full disk is named."""

import os
import resource
import threading
from pathlib import Path

import numpy as np
import pytest

from mpc import totals as totals_module
from mpc.totals import RunningTotals


def open_files():
    """This process's open files, by number."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_what_was_written_is_read_and_the_rest_is_zero(tmp_path):
    totals, rng = RunningTotals(4, 3, 10, tmp_path), np.random.default_rng(1)
    expected = np.zeros((4, 2, 3, 10), np.uint64)
    for edge, start, stop in ((1, 0, 10), (2, 0, 4), (2, 4, 9), (3, 9, 10), (1, 3, 4)):
        found = rng.integers(0, 2**64, (2, 3, stop - start), np.uint64)
        totals.write(edge, slice(start, stop), found)
        expected[edge, :, :, start:stop] = found
    for edge in range(4):
        for quantities in ([0, 1, 2], [2, 0], [1, 1], []):
            for rows in (slice(0, 10), slice(3, 9), slice(5, 5)):
                found = totals.read(edge, np.array(quantities, np.intp), rows)
                np.testing.assert_array_equal(found, expected[edge][:, quantities, rows])


def test_the_file_has_no_name_and_goes_with_its_user(tmp_path):
    before = open_files()
    totals = RunningTotals(2, 3, 1_000, tmp_path)
    totals.write(1, slice(0, 1_000), np.ones((2, 3, 1_000), np.uint64))
    assert list(tmp_path.iterdir()) == []
    assert len(open_files() - before) == 1
    del totals
    assert open_files() <= before


def test_closed_totals_give_their_room_back_though_somebody_refers_to_them(tmp_path):
    before = open_files()
    totals = RunningTotals(2, 1, 3, tmp_path)
    totals.close()
    totals.close()
    assert open_files() <= before
    with pytest.raises(ValueError, match="closed"):
        totals.read(0, np.array([0]), slice(0, 3))
    with pytest.raises(ValueError, match="closed"):
        totals.write(0, slice(0, 3), np.zeros((2, 1, 3), np.uint64))


def test_a_disk_that_hangs_does_not_keep_whoever_closes(tmp_path, monkeypatch):
    monkeypatch.setattr(totals_module, "CLOSE_SECONDS", 0.1)
    hangs, goes_on = threading.Event(), threading.Event()

    def hang(*_):
        hangs.set()
        assert goes_on.wait(30)
        return 8

    totals = RunningTotals(2, 1, 1, tmp_path)
    monkeypatch.setattr(os, "pwrite", hang)
    thread = threading.Thread(target=totals.write, args=(0, slice(0, 1), np.zeros((2, 1, 1), np.uint64)))
    thread.start()
    assert hangs.wait(10)
    closing = threading.Thread(target=totals.close)
    closing.start()
    closing.join(10)
    ended = not closing.is_alive()
    goes_on.set()
    thread.join(10)
    assert ended
    totals.close()
    with pytest.raises(ValueError, match="closed"):
        totals.read(0, np.array([0]), slice(0, 1))


def test_a_folder_that_is_gone_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a file without a name of 48 bytes in .*/gone, cannot be used: No such file .*Make room"):
        RunningTotals(1, 1, 3, tmp_path / "gone")


def test_a_file_that_may_not_grow_is_named(tmp_path):
    """As a full disk: the operating system refuses the write."""
    totals = RunningTotals(2, 1, 4_096, tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, hard))
    try:
        with pytest.raises(OSError, match=rf"of 131,072 bytes in {tmp_path}, cannot be used: File too large"):
            totals.write(1, slice(0, 4_096), np.ones((2, 1, 4_096), np.uint64))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_totals_that_are_handed_over_keep_what_they_have_and_take_nothing_from_whoever_had_them(tmp_path):
    before = open_files()
    totals, everything = RunningTotals(2, 1, 3, tmp_path), np.array([0])
    totals.write(1, slice(0, 3), np.full((2, 1, 3), 7, np.uint64))
    found = totals.handed_over()
    assert len(open_files() - before) == 1
    with pytest.raises(ValueError, match="closed"):
        totals.write(1, slice(0, 3), np.zeros((2, 1, 3), np.uint64))
    with pytest.raises(ValueError, match="closed"):
        totals.handed_over()
    assert (found.read(1, everything, slice(0, 3)) == 7).all()
    found.write(0, slice(0, 3), np.full((2, 1, 3), 5, np.uint64))
    assert (found.read(0, everything, slice(0, 3)) == 5).all()
    del found, totals
    assert open_files() <= before


def test_totals_of_a_disk_that_hangs_are_not_handed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(totals_module, "CLOSE_SECONDS", 0.1)
    totals = RunningTotals(2, 1, 1, tmp_path)
    with totals._lock, pytest.raises(OSError, match="cannot be used: Device or resource busy"):
        totals.handed_over()
    totals.close()
