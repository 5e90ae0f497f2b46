"""A node's share batches as files: one Arrow IPC file each, by party, shard, block, pane and revision.

A file is replaced at once, so a reader or a restart never sees half of one. Rows that are to be erased are blank in all
that is written (streams.erased), and the file says how many lists it obeys.
"""

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError

from policy.agreement import Terms
from policy.identity import NODES
from streams.batch import BatchHeader
from streams.erased import Erased
from streams.errors import StoreError
from streams.recent import Recent
from streams.taken import DAMAGED, Key

FORMAT = b"1"
REGISTER = -1
"""Instead of a pane."""
_FORMAT, _HEADER, _COMMITMENTS = b"winnow.format", b"winnow.header", b"winnow.commitments"
_ERASED = b"winnow.erased"
"""How many erasure lists of its party and shard a file obeys."""


class Damaged(StoreError):
    """A file that is no share batch at all, as opposed to one of somebody else's."""


@dataclass(frozen=True)
class ShareBatch:
    """One batch as a node holds it."""

    header: BatchHeader
    components: dict[int, NDArray[np.uint64]]
    """Component → (columns, slots), for the two that this node holds."""
    commitments: dict[int, bytes]
    """Component → 32 bytes, H(salt ‖ component)."""


class ShareFiles:
    """Of one agreement at node `number`, under `folder`, which is there."""

    def __init__(self, folder: Path, terms: Terms, number: int, erased: Erased) -> None:
        self._folder, self._agreement, self._number, self._erased = folder, terms.hash, number, erased
        self._held = (number, (number + 1) % NODES)
        self._recent = Recent()

    def found(self) -> list[Path]:
        """Every file that is here.

        What a process that died was writing is taken away: rows in it may be erased by now.
        """
        for left in self._folder.glob("*/*/*/*.tmp"):
            left.unlink()
        return sorted(self._folder.glob("*/*/*/*.arrow"))

    def path(self, key: Key) -> Path:
        """Where a batch is kept."""
        party, shard, block, pane, revision = key
        name = "register" if pane == REGISTER else f"pane-{pane:05d}-{revision:02d}"
        return self._side(party, shard) / f"block-{block:04d}" / f"{name}.arrow"

    def write(self, batch: ShareBatch, *, durable: bool = False) -> int:
        """Replace a batch's file; `durable`: force it to the disk. Returns how many erasure lists it obeys."""
        header = batch.header
        erased, components = self._erased.marked(header.key[:2]), self._erased.blanked(header, batch.components)
        commitments = b"".join(batch.commitments[c] for c in self._held)
        schema = pa.schema(
            [pa.field(f"component-{c}", pa.uint64(), nullable=False) for c in self._held],
            metadata={
                _FORMAT: FORMAT, _HEADER: header.canonical, _COMMITMENTS: commitments.hex(), _ERASED: str(erased),
            },
        )
        table = pa.record_batch([pa.array(components[c].ravel()) for c in self._held], schema=schema)
        path = self.path(header.key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            writer.write_batch(table)
        if durable:
            with draft.open("rb") as written:
                os.fsync(written.fileno())
        draft.replace(path)
        self._recent.keep(header, np.stack([components[c] for c in self._held]))
        return erased

    def load(self, key: Key) -> tuple[BatchHeader, NDArray[np.uint64]]:
        """Header and (2, columns, slots) components.

        Raises:
            StoreError: see read.
        """
        if (recent := self._recent.get(key)) is not None:
            return recent
        batch, _ = self.read(self.path(key))
        return batch.header, np.stack([batch.components[c] for c in self._held])

    def read(self, path: Path) -> tuple[ShareBatch, int]:
        """A batch, and how many erasure lists it obeys.

        Raises:
            Damaged: it is not a share batch, or not there.
            StoreError: it is of another version, agreement or node, or cannot be read for now.
        """
        try:
            with pa.memory_map(str(path)) as source:
                table = pa.ipc.open_file(source).read_all()
                metadata = table.schema.metadata or {}
                if metadata.get(_FORMAT) != FORMAT:
                    raise StoreError(f"{path} has format {metadata.get(_FORMAT)!r}, this version reads {FORMAT!r}")
                header = BatchHeader.model_validate_json(metadata[_HEADER])
                digests = bytes.fromhex(metadata[_COMMITMENTS].decode())
                if header.agreement != self._agreement or table.schema.names != [f"component-{c}" for c in self._held]:
                    raise StoreError(
                        f"{path} has {', '.join(table.schema.names)} of agreement {header.agreement[:16]}; this is "
                        f"node {self._number} of {self._agreement[:16]}. Give every node and agreement its own folder."
                    )
                components = {
                    c: table.column(f"component-{c}").to_numpy().reshape(header.shape).copy() for c in self._held
                }
                erased = int(metadata.get(_ERASED, 0))
        except PermissionError as error:
            raise StoreError(f"{path} may not be read by this user. Give the node its own folder.") from error
        except MemoryError as error:
            raise StoreError(f"{path} cannot be read now: {error}. Give this node more memory.") from error
        except OSError as error:
            # Arrow's own have no number: they are of what the file holds.
            if error.errno in (None, errno.ENOENT):
                raise Damaged(f"{path} cannot be read ({error}); it is not a share batch") from error
            raise StoreError(
                f"{path} cannot be read now: {error.strerror}. Start again when it can, or move the file away."
            ) from error
        except (pa.ArrowException, KeyError, ValueError, ValidationError) as error:
            raise Damaged(f"{path} cannot be read ({type(error).__name__}); it is not a share batch") from error
        commitments = {c: digests[32 * i : 32 * i + 32] for i, c in enumerate(self._held)}
        return ShareBatch(header, components, commitments), erased

    @staticmethod
    def set_aside(path: Path) -> None:
        """Use a file no longer, and leave it for people to look at."""
        path.replace(path.with_suffix(DAMAGED))

    def drop_damaged(self, party: str, shard: int) -> None:
        """Take away what was set aside: nobody can tell whether rows that are to be erased are in it."""
        for left in self._side(party, shard).glob(f"*/*{DAMAGED}"):
            left.unlink()

    def _side(self, party: str, shard: int) -> Path:
        return self._folder / party / f"shard-{shard:02d}"
