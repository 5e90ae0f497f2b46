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


def test_rows_that_come_later_are_zero_so_far_and_take_no_room(tmp_path):
    """Written and read across the pieces, before and after each growth; against an array."""
    totals, rng = RunningTotals(3, 2, 4, tmp_path), np.random.default_rng(2)
    expected = np.zeros((3, 2, 2, 4), np.uint64)
    for more in (0, 3, 1, 5_000):
        if more:
            totals.grow(more)
            expected = np.concatenate([expected, np.zeros((3, 2, 2, more), np.uint64)], axis=3)
        rows = expected.shape[3]
        for edge in range(3):
            for start, stop in ((0, rows), (2, rows - 1), (3, 3), (rows - 1, rows)):
                found = totals.read(edge, np.array([1, 0]), slice(start, stop))
                np.testing.assert_array_equal(found, expected[edge][:, [1, 0], start:stop])
        if more == 5_000:
            assert os.fstat(totals._file.fileno()).st_blocks * 512 < 2 * 8 * 5_000
        for edge, start, stop in ((1, 0, rows), (2, rows // 2, rows)):
            found = rng.integers(0, 2**64, (2, 2, stop - start), np.uint64)
            totals.write(edge, slice(start, stop), found)
            expected[edge, :, :, start:stop] = found
    grown = totals.handed_over()
    np.testing.assert_array_equal(grown.read(2, np.array([0, 1]), slice(0, rows)), expected[2])


def test_totals_that_may_not_grow_stay_as_they_are(tmp_path):
    totals = RunningTotals(2, 1, 16, tmp_path)
    totals.write(1, slice(0, 16), np.ones((2, 1, 16), np.uint64))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, hard))
    try:
        with pytest.raises(OSError, match=rf"of 131,072 bytes in {tmp_path}, cannot be used: File too large"):
            totals.grow(4_080)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (totals.read(1, np.array([0]), slice(0, 16)) == 1).all()
    totals.grow(1)
    assert totals.read(1, np.array([0]), slice(15, 17)).tolist() == [[[1, 0]]] * 2
