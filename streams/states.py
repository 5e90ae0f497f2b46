"""States of a party's shards on its own disk: one file a shard, replaced whole (ADR 16).

A copy of what the state topic has, so that a start on the same machine need not fetch it. What cannot be read, or is
damaged, is as if it were not there: the topic has it too.
"""

import os
import tempfile
from pathlib import Path

from streams.durable import force_folder
from streams.errors import ConfigurationError, StoreError

DIRECTORY_MODE = 0o700
NEW = ".new"


class StateFolder:
    """One party's folder, made when it is not there; whoever worked there last is superseded."""

    def __init__(self, folder: Path) -> None:
        """Of a folder, without what a worker that died left half written.

        Raises:
            ConfigurationError: it cannot be made or written.
        """
        self._folder = folder
        try:
            folder.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            for left in folder.glob(f"*{NEW}"):
                left.unlink(missing_ok=True)  # a worker died while it wrote
        except OSError as error:
            raise ConfigurationError(
                f"cannot make the state folder {folder}: {error.strerror}. Name another one, or none: the state topic "
                "has the same"
            ) from error

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
        try:
            # A name of its own (mode 0600): a worker that was superseded may write at the same time.
            number, new = tempfile.mkstemp(suffix=NEW, dir=self._folder)
            with os.fdopen(number, "wb") as file:
                file.write(state)
                file.flush()
                os.fsync(file.fileno())
            Path(new).replace(path)
            force_folder(self._folder)
        except OSError as error:
            raise StoreError(
                f"cannot store the state of shard {shard} in {self._folder}: {error.strerror}. Make room, or let this "
                "user write there; nothing is lost, the party goes on from its last state"
            ) from error

    def _path(self, shard: int) -> Path:
        return self._folder / f"shard-{shard}.state"
