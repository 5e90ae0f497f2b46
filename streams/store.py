"""A node's share store: one Arrow IPC file per batch, by party, shard, block, pane and revision.

It holds this node's two components of everything and nothing of the third. Files are replaced at once, so a reader
or a restart never sees half of one; they outlive the process. The first content of a batch id stays; another
one under the same id is an incident.

Shares are linear: a pane at a revision is the sum of all its revisions up to it. Each edition of results is made of
one agreed revision of every pane (policy.maturity); what is later is kept.

Rows that a party had erased are 0 in all that is kept and in all that still comes (streams.erased).
"""

import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import structlog
from numpy.typing import NDArray
from pydantic import ValidationError

from policy.agreement import NODES, Terms
from streams.batch import BatchHeader
from streams.erased import Erased, Side, force_folder
from streams.erasure import ErasureList
from streams.errors import StoreError

FORMAT = b"1"
MAX_INCIDENTS = 1_000
"""Incidents remembered; the count goes on."""
_FORMAT, _HEADER, _COMMITMENTS = b"winnow.format", b"winnow.header", b"winnow.commitments"
_ERASED = b"winnow.erased"
"""How many erasure lists of its party and shard a file obeys."""

Key = tuple[str, int, int, int, int]
REGISTER = -1
"""Instead of a pane."""


@dataclass(frozen=True)
class ShareBatch:
    """One batch as a node holds it."""

    header: BatchHeader
    components: dict[int, NDArray[np.uint64]]
    """Component → (columns, slots), for the two that this node holds."""
    commitments: dict[int, bytes]
    """Component → 32 bytes, H(salt ‖ component)."""


@dataclass(frozen=True)
class _Entry:
    batch_id: str
    commitments: dict[int, bytes]
    blocks: int | None
    erased: int
    """Erasure lists that its file obeys."""


class ShareStore:
    """The batches of one agreement at node `number`, under `folder`.

    Raises:
        StoreError: the folder holds another version's or another agreement's files.
    """

    def __init__(self, folder: Path, terms: Terms, number: int) -> None:
        self._folder, self._terms, self._number = folder, terms, number
        self._agreement = terms.hash
        self._revisions = tuple(range(1 + last) for last in terms.draft.maturities.editions)
        self._held = (number, (number + 1) % NODES)
        self._index: dict[Key, _Entry] = {}
        self._blocks: dict[tuple[str, int], int] = {}
        self._complete = [0] * len(self._revisions)
        self.incidents: list[Key] = []
        """Batches of which a second, different content came."""
        self._log = structlog.get_logger()
        self._rewriting = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.erased = Erased(folder, terms)
        for left in folder.glob("*/*/*/*.tmp"):
            left.unlink()  # a process died while it wrote; rows in it may be erased by now
        for path in sorted(folder.glob("*/*/*/*.arrow")):
            header, commitments, _, erased = self._read(path)
            self._enter(header, commitments, erased)
        for side in self.erased.sides:
            self.rewrite(self.unerased(side))
            self.erased.finish(side)

    def add(self, batches: Iterable[ShareBatch | ErasureList]) -> None:
        """Keep batches; one already here is ignored if it is the same, and an incident if not. So with lists."""
        for batch in batches:
            if isinstance(batch, ErasureList):
                self.erased.take(batch, self._slots(batch.side), datetime.now(UTC))
                continue
            header = batch.header
            if header.agreement != self._agreement or set(batch.components) != set(self._held):
                raise StoreError("a batch of another agreement or another node was given to this store")
            known = self._index.get(header.key)
            blocks = self._blocks.get(header.key[:2])
            if known is None and (header.blocks is None or blocks in (None, header.blocks)):
                self._enter(header, batch.commitments, self._write(batch))
            elif known is None or known.commitments != batch.commitments or known.batch_id != header.batch_id.hex():
                if len(self.incidents) < MAX_INCIDENTS:
                    self.incidents.append(header.key)
                self._log.error(
                    "conflicting share batch ignored", party=header.party, shard=header.shard, block=header.block,
                    pane=header.pane, revision=header.revision,
                )

    @property
    def received(self) -> int:
        """Batches held."""
        return len(self._index)

    @property
    def expected(self) -> int:
        """Batches there will be; a lower bound until every register's first block is here."""
        draft = self._terms.draft
        of_block = 1 + draft.panes.count * (1 + draft.maturities.last)
        return sum(self._blocks.get(side, 1) * of_block for side in self._sides())

    @property
    def registers_complete(self) -> bool:
        """Whether every block of every register is here."""
        return all(self._has(side, REGISTER, 0) for side in self._sides())

    @property
    def complete_panes(self) -> int:
        """Leading panes of which every block of every party and shard is here, for the first edition of results."""
        return self._leading(0)

    @property
    def mature_panes(self) -> int:
        """The same, for the last edition."""
        return self._leading(len(self._revisions) - 1)

    def commitments(self, panes: range | None, edition: int = 0) -> dict[str, dict[int, bytes]]:
        """Batch id → component → commitment of all batches that an edition of results over `panes` is made of; of the
        registers for None.

        Raises:
            StoreError: one is missing.
        """
        found: dict[str, dict[int, bytes]] = {}
        for side in self._sides():
            wanted = [(REGISTER, 0)] if panes is None else [(p, r) for p in panes for r in self._revisions[edition]]
            for pane, revision in wanted:
                for block in range(self._count(side)):
                    entry = self._entry((*side, block, pane, revision))
                    found[entry.batch_id] = entry.commitments
        return found

    def register(self, party: str, shard: int) -> NDArray[np.uint64]:
        """(2, slots) this node's components of the link keys.

        Raises:
            StoreError: a block is missing.
        """
        return np.concatenate(
            [self._load((party, shard, b, REGISTER, 0))[1][:, 0] for b in range(self._count((party, shard)))], axis=1
        )

    def panes(
        self, party: str, shard: int, panes: range, columns: Sequence[str], edition: int = 0
    ) -> NDArray[np.uint64]:
        """(2, panes, columns, slots) this node's components of some columns, all slots of the shard, as an edition of
        results is made of them.

        Raises:
            StoreError: a block or a column is missing.
        """
        size, blocks = self._terms.draft.linkage.block_slots, self._count((party, shard))
        out = np.zeros((2, len(panes), len(columns), blocks * size), dtype=np.uint64)
        for place, pane in enumerate(panes):
            for block in range(blocks):
                for revision in self._revisions[edition]:
                    header, data = self._load((party, shard, block, pane, revision))
                    unknown = set(columns) - set(header.columns)
                    if unknown:
                        raise StoreError(f"{party} does not share {', '.join(sorted(unknown))}")
                    rows = [header.columns.index(c) for c in columns]
                    out[:, place, :, block * size : (block + 1) * size] += data[:, rows]
        return out

    @property
    def erased_digest(self) -> str:
        """Of the lists that everything here obeys, or will before anything is read; empty without any."""
        return self.erased.digest

    def sealed(self, side: Side, pane: int) -> bool:
        """Whether a pane of one party and shard is here, as first sealed."""
        return self._has(side, pane, 0)

    def unerased(self, side: Side) -> list[Key]:
        """What does not obey yet what is marked as erased."""
        if not self.erased.marked(side):
            return []
        held = [(key, entry) for key, entry in self._index.items() if key[:2] == side]
        return [key for key, entry in held if self.erased.changes(side, key[3], entry.erased)]

    def rewrite(self, keys: Sequence[Key]) -> None:
        """Have files obey what is marked as erased, on disk; in any thread, while others come."""
        with self._rewriting:
            folders = set()
            for key in keys:
                if self.erased.changes(key[:2], key[3], self._index[key].erased):
                    header, commitments, data, _ = self._read(self._path(key))
                    batch = ShareBatch(header, dict(zip(self._held, data, strict=True)), commitments)
                    self._index[key] = replace(self._index[key], erased=self._write(batch, durable=True))
                    folders.add(self._path(key).parent)
            for folder in folders:
                force_folder(folder)

    def _slots(self, side: Side) -> int | None:
        """Of a register, if all of it is here."""
        return self._blocks[side] * self._terms.draft.linkage.block_slots if self._has(side, REGISTER, 0) else None

    def _leading(self, edition: int) -> int:
        if self.registers_complete:
            while self._complete[edition] < self._terms.draft.panes.count and all(
                self._has(side, self._complete[edition], revision)
                for side in self._sides() for revision in self._revisions[edition]
            ):
                self._complete[edition] += 1
        return self._complete[edition]

    def _sides(self) -> list[tuple[str, int]]:
        draft = self._terms.draft
        return [(p.name, shard) for p in draft.parties for shard in range(draft.shards)]

    def _count(self, side: tuple[str, int]) -> int:
        blocks = self._blocks.get(side)
        if blocks is None:
            raise StoreError(f"the register of {side[0]}, shard {side[1]}, is not here")
        return blocks

    def _has(self, side: tuple[str, int], pane: int, revision: int) -> bool:
        blocks = self._blocks.get(side)
        return blocks is not None and all((*side, b, pane, revision) in self._index for b in range(blocks))

    def _entry(self, key: Key) -> _Entry:
        entry = self._index.get(key)
        if entry is None:
            party, shard, block, pane, revision = key
            raise StoreError(
                f"revision {revision} of block {block} of pane {pane} of {party}, shard {shard}, is not here"
            )
        return entry

    def _enter(self, header: BatchHeader, commitments: dict[int, bytes], erased: int) -> None:
        self._index[header.key] = _Entry(header.batch_id.hex(), commitments, header.blocks, erased)
        if header.blocks is not None:
            self._blocks[header.key[:2]] = header.blocks

    def _path(self, key: Key) -> Path:
        party, shard, block, pane, revision = key
        name = "register" if pane == REGISTER else f"pane-{pane:05d}-{revision:02d}"
        return self._folder / party / f"shard-{shard:02d}" / f"block-{block:04d}" / f"{name}.arrow"

    def _write(self, batch: ShareBatch, *, durable: bool = False) -> int:
        """Replace a batch's file; returns how many erasure lists it obeys."""
        header = batch.header
        erased, components = self.erased.marked(header.key[:2]), self.erased.blanked(header, batch.components)
        commitments = b"".join(batch.commitments[c] for c in self._held)
        schema = pa.schema(
            [pa.field(f"component-{c}", pa.uint64(), nullable=False) for c in self._held],
            metadata={
                _FORMAT: FORMAT, _HEADER: header.canonical, _COMMITMENTS: commitments.hex(), _ERASED: str(erased),
            },
        )
        table = pa.record_batch([pa.array(components[c].ravel()) for c in self._held], schema=schema)
        path = self._path(header.key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            writer.write_batch(table)
        if durable:
            with draft.open("rb") as written:
                os.fsync(written.fileno())
        draft.replace(path)
        return erased

    def _load(self, key: Key) -> tuple[BatchHeader, NDArray[np.uint64]]:
        self._entry(key)
        header, _, data, _ = self._read(self._path(key))
        return header, data

    def _read(self, path: Path) -> tuple[BatchHeader, dict[int, bytes], NDArray[np.uint64], int]:
        """Header, commitments, (2, columns, slots), erasure lists that it obeys."""
        try:
            with pa.memory_map(str(path)) as source:
                table = pa.ipc.open_file(source).read_all()
                metadata = table.schema.metadata or {}
                if metadata.get(_FORMAT) != FORMAT:
                    raise StoreError(f"{path} has format {metadata.get(_FORMAT)!r}, this version reads {FORMAT!r}")
                header = BatchHeader.model_validate_json(metadata[_HEADER])
                digests = bytes.fromhex(metadata[_COMMITMENTS].decode())
                data = np.stack([table.column(f"component-{c}").to_numpy() for c in self._held])
                data = data.reshape(2, *header.shape)
                erased = int(metadata.get(_ERASED, 0))
        except (pa.ArrowException, OSError, KeyError, ValueError, ValidationError) as error:
            raise StoreError(f"{path} cannot be read ({type(error).__name__}); it is not a share batch") from error
        if header.agreement != self._agreement:
            raise StoreError(f"{path} belongs to agreement {header.agreement[:16]}, not {self._agreement[:16]}")
        return header, {c: digests[32 * i : 32 * i + 32] for i, c in enumerate(self._held)}, data, erased
