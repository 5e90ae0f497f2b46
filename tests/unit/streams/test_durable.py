"""Files that are replaced at once: who may read them, and what a full disk leaves."""

import errno
import os

import pytest

from streams.durable import replace_file


@pytest.mark.parametrize(("mode", "found"), [({}, 0o600), ({"mode": 0o666}, 0o644)])
def test_a_file_is_its_owners_alone_unless_said_otherwise(tmp_path, mode, found):
    path, before = tmp_path / "file", os.umask(0o022)
    try:
        replace_file(path, b"one")
        replace_file(path, b"another", **mode)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"another"
    assert path.stat().st_mode & 0o777 == found
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["os.fsync", "Path.replace"])
def test_a_disk_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch, failing):
    path = tmp_path / "file"
    replace_file(path, b"one")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(f"streams.durable.{failing}", full)
        with pytest.raises(OSError, match="No space left"):
            replace_file(path, b"another")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]
