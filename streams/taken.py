"""What a node once took: of every batch the content's digest, so that a lost file comes back as it was or not at all.

One file in the store's folder, only ever appended to: a head, then a record a batch. A record that was half written
when a machine stopped is passed over. It is not forced to the disk: what a power cut takes away is still in the
inbox, which is read in its order again.

A digest is made of the batch id and of the commitments (salted hashes) that came with the node's own two components. It
tells nothing of the third, and never leaves the node.
"""

import hashlib
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import structlog

from streams.batch import BatchHeader
from streams.errors import StoreError

Key = tuple[str, int, int, int, int]
"""(party, shard, block, pane, revision)"""
NAME = "taken"
DAMAGED = ".damaged"
DIGEST_BYTES = 32
_MAGIC = b"winnow taken 1\n"
_HEAD = struct.Struct(f"<{len(_MAGIC)}s32sB")
_RECORD = struct.Struct(f"<BHHiB{DIGEST_BYTES}s8s")
"""Party's place in the agreement, shard, block, pane, revision, digest, check."""


def digest(header: BatchHeader, commitments: Mapping[int, bytes]) -> bytes:
    """32 bytes: of a batch as one node gets it."""
    return hashlib.sha256(header.batch_id + b"".join(commitments[c] for c in sorted(commitments))).digest()


class Taken:
    """The file of one node under one agreement, in `folder`; made when it is not there.

    Raises:
        StoreError: it is of another agreement or node.
        OSError: it cannot be read or written; says where.
    """

    def __init__(self, folder: Path, agreement: str, number: int, parties: Sequence[str]) -> None:
        self._path, self._parties = folder / NAME, tuple(parties)
        self._head = _HEAD.pack(_MAGIC, bytes.fromhex(agreement), number)
        self.found: dict[Key, bytes] = {}
        """Batch → digest, as they were when this was opened."""
        try:
            stored = self._path.read_bytes() if self._path.exists() else b""
            if stored[: len(_MAGIC)] == _MAGIC and len(stored) >= _HEAD.size:
                self._read(stored)
            else:
                self._begin(stored)
        except OSError as error:
            raise self._unusable(error) from error

    def note(self, batches: Mapping[Key, bytes]) -> None:
        """Remember digests of batches that were never here.

        If the file was taken away or cut off while this node ran, it begins anew.

        Raises:
            OSError: the disk is full, or does not let us write; says where.
        """
        if not batches:
            return
        try:
            with self._opened(os.O_APPEND) as file:
                if (size := os.fstat(file.fileno()).st_size) < _HEAD.size:
                    file.truncate(0)
                    file.write(self._head)
                else:
                    # A record that was half written before is made good with zeros, which are none.
                    file.write(bytes(-(size - _HEAD.size) % _RECORD.size))
                file.write(b"".join(self._record(key, value) for key, value in batches.items()))
        except OSError as error:
            raise self._unusable(error) from error

    def _begin(self, stored: bytes) -> None:
        if stored:
            self._path.replace(self._path.with_name(NAME + DAMAGED))
            structlog.get_logger().error("record of what was taken set aside: it cannot be read", path=str(self._path))
        with self._opened(os.O_TRUNC) as file:
            file.write(self._head)

    def _opened(self, how: int) -> BinaryIO:
        return os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | how, 0o600), "wb")

    def _unusable(self, error: OSError) -> OSError:
        advice = "Make room, or let this user read and write there"
        return OSError(error.errno, f"{error.strerror}. {advice}", str(self._path))

    def _read(self, stored: bytes) -> None:
        if stored[: _HEAD.size] != self._head:
            raise StoreError(
                f"{self._path} is of another agreement or another node. Give every node and agreement a folder of "
                "its own. If everything else in the folder is this node's, its first bytes are damaged: move it away."
            )
        for at in range(_HEAD.size, len(stored) - _RECORD.size + 1, _RECORD.size):
            record = stored[at : at + _RECORD.size]
            party, shard, block, pane, revision, value, check = _RECORD.unpack(record)
            if check == _check(record) and party < len(self._parties):
                self.found.setdefault((self._parties[party], shard, block, pane, revision), value)

    def _record(self, key: Key, value: bytes) -> bytes:
        party, shard, block, pane, revision = key
        record = _RECORD.pack(self._parties.index(party), shard, block, pane, revision, value, bytes(8))
        return record[:-8] + _check(record)


def _check(record: bytes) -> bytes:
    return hashlib.sha256(record[:-8]).digest()[:8]
