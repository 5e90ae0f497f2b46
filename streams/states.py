"""States of a party's shards on its own disk: one file a shard, replaced whole (ADR 16).

A copy of what the state topic has, so that a start on the same machine need not fetch it. What cannot be read, or is
damaged, is as if it were not there: the topic has it too.
"""

import contextlib
import os
from pathlib import Path

from streams.errors import StoreError

DIRECTORY_MODE, FILE_MODE = 0o700, 0o600


class StateFolder:
    """One party's folder, made when it is not there; one worker writes it at a time."""

    def __init__(self, folder: Path) -> None:
        """Of a folder.

        Raises:
            StoreError: it cannot be made.
        """
        self._folder = folder
        try:
            folder.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make the state folder {folder}: {error.strerror}") from error

    def read(self, shard: int) -> bytes | None:
        """The latest state of a shard; None if there is none that can be read."""
        try:
            return self._path(shard).read_bytes()
        except OSError:
            return None

    def write(self, shard: int, state: bytes) -> None:
        """Replace a shard's state; whenever the machine stops, the old one or the new one is there, whole.

        Raises:
            StoreError: the disk is full, or does not let us write.
        """
        path = self._path(shard)
        new = path.with_suffix(".new")
        try:
            with contextlib.suppress(FileNotFoundError):
                new.unlink()
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as file:
                file.write(state)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StoreError(
                f"cannot store the state of shard {shard} in {self._folder}: {error.strerror}. Make room, or let this "
                "user write there; nothing is lost, the party goes on from its last state"
            ) from error

    def _path(self, shard: int) -> Path:
        return self._folder / f"shard-{shard}.state"
