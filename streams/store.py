"""A node's share store: which batches are here, what is complete, what is missed; their files are streams.sharefile's.

It holds this node's two components of everything and nothing of the third. The first content of a batch id stays;
another one under the same id is an incident, also if the file was lost meanwhile (streams.taken). A file that cannot be
read is set aside and missed: a pane of which something is missed is not complete.

Shares are linear: a pane at a revision is the sum of all its revisions up to it. Each edition of results is made of
one agreed revision of every pane (policy.maturity); what is later is kept.

Registers grow in batches, of blocks of their own (streams.growth): a pane has the blocks of those batches that had
opened by then, and nothing of later ones.

Rows that a party had erased are 0 in all that is kept and in all that still comes (streams.erased).
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from policy.agreement import Terms
from policy.identity import NODES
from streams.batch import BatchHeader
from streams.durable import force_folder
from streams.erased import Erased, Side
from streams.erasure import ErasureList
from streams.errors import StoreError
from streams.growth import Ends, Growth
from streams.holding import Name
from streams.sharefile import REGISTER, Damaged, ShareBatch, ShareFiles
from streams.sparing import Sparing
from streams.taken import Key, Taken, digest

MAX_INCIDENTS = 1_000
"""Incidents remembered; the count goes on."""


@dataclass(frozen=True)
class _Entry:
    batch_id: str
    commitments: dict[int, bytes]
    erased: int
    """Erasure lists that its file obeys."""


class ShareStore:
    """The batches of one agreement at node `number`, under `folder`.

    Raises:
        StoreError: the folder holds another version's, agreement's or node's files, or ones that cannot be read now.
        OSError: it cannot be read or written.
    """

    def __init__(self, folder: Path, terms: Terms, number: int) -> None:
        self._terms = terms
        self._agreement = terms.hash
        self._revisions = tuple(range(1 + last) for last in terms.draft.maturities.editions)
        self._held = (number, (number + 1) % NODES)
        self._index: dict[Key, _Entry] = {}
        self._growth = Growth(terms.draft)
        self._ends: defaultdict[Side, Ends] = defaultdict(Ends)
        self._held_of: Counter[tuple[str, int]] = Counter()
        self._newest: dict[str, dict[int, int]] = {}
        """Party → revision → the last pane of which something of the party is here, of any shard."""
        self._batches: dict[str, int] = {}
        """Party → leading batches of its registers that are there, as far as anything told, in any shard."""
        self._opened, self._complete = 0, [0] * len(self._revisions)
        self._passed: Counter[tuple[Side, int]] = Counter()
        """Party, shard and revision → leading panes that are here at all revisions up to it, as far as was looked."""
        self.incidents: list[Key] = []
        """Batches of which a second, different content came."""
        self.set_aside: list[Path] = []
        """Files that were here at the start and are not used."""
        self._log, self._sparing = structlog.get_logger(), Sparing()
        self._rewriting = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.erased = Erased(folder, terms)
        self.files = ShareFiles(folder, terms, number, self.erased)
        self._taken = Taken(folder, terms.hash, number, [party.name for party in terms.draft.parties])
        self._lost = dict(self._taken.found)
        """Batches that were here once and are not now → the digest that they must have."""
        self._open(self.files.found())
        self.rewrite({side: self.unerased(side) for side in self.erased.sides})
        for side in self.erased.sides:
            self.erased.finish(side)

    def add(self, batches: Iterable[ShareBatch | ErasureList]) -> None:
        """Keep batches; one already here is ignored if it is the same, and an incident if not. So with lists.

        Raises:
            OSError: the disk is full, or does not let us write.
        """
        for batch in batches:
            if isinstance(batch, ErasureList):
                self.erased.take(batch, self._slots(batch.side, batch.boundary), datetime.now(UTC))
                continue
            header = batch.header
            if header.agreement != self._agreement or set(batch.components) != set(self._held):
                raise StoreError("a batch of another agreement or another node was given to this store")
            known = self._index.get(header.key)
            if known is None and self._fits(header) and self._is_first(header, batch.commitments):
                if header.key not in self._lost:
                    self._taken.note({header.key: digest(header, batch.commitments)})
                self._enter(header, batch.commitments, self.files.write(batch))
            elif known is None or known.commitments != batch.commitments or known.batch_id != header.batch_id.hex():
                if len(self.incidents) < MAX_INCIDENTS:
                    self.incidents.append(header.key)
                if not (count := self._sparing.due(header.party)):
                    continue
                self._log.error(
                    "conflicting share batches ignored", batches=count, party=header.party, shard=header.shard,
                    block=header.block, pane=header.pane, revision=header.revision,
                )

    @property
    def received(self) -> int:
        """Batches held."""
        return len(self._index)

    def held(self, party: str) -> int:
        """Batches of one party."""
        return sum(count for (name, _), count in self._held_of.items() if name == party)

    def missing(self, party: str, most: int) -> list[Name]:
        """Up to `most` batches of a party that are not here, though something of the same pane and revision, or of a
        later pane in that revision, is here, or was once, from the same party; the latest first.
        """
        found: list[Name] = []
        newest = self._newest.get(party, {})
        for shard in range(self._terms.draft.shards if newest else 0):
            ends, batches = self._ends[party, shard], self._batches[party]
            known = min(ends.leading, batches)
            if known < batches:
                # Only its first block tells how many there are.
                found.append((shard, ends.end(known) or 0, REGISTER, known))
            # Of batches that nobody told of more may be here than is due.
            left = self._growth.most_due(ends, known, newest) - (self._held_of[party, shard] if known == batches else 0)
            for pane, revision, blocks in self._growth.due(ends, known, newest):
                if left <= 0 or len(found) >= most:
                    break
                gone = [(shard, b, pane, revision) for b in blocks
                        if (party, shard, b, pane, revision) not in self._index]
                found += gone
                left -= len(gone)
        return found[:most]

    @property
    def expected(self) -> int:
        """Batches there will be; a lower bound until the first block of every batch of every register is here."""
        panes, revisions = self._terms.draft.panes.count, 1 + self._terms.draft.maturities.last
        return sum(self._growth.shared(self._ends[side], panes, revisions) for side in self._sides())

    @property
    def registers_complete(self) -> bool:
        """Whether every block of every register's first batch is here."""
        return self._have(REGISTER, 0)

    @property
    def batches_complete(self) -> int:
        """Leading batches of which every block of every register is here."""
        while self._opened < self._growth.batches and self._have(REGISTER, self._opened):
            self._opened += 1
        return self._opened

    @property
    def complete_panes(self) -> int:
        """Leading panes of which every block of every party and shard is here, for the first edition of results, as are
        the batches of the registers that have them.
        """
        return self._leading(0)

    @property
    def mature_panes(self) -> int:
        """The same, for the last edition."""
        return self._leading(len(self._revisions) - 1)

    def commitments(self, panes: range | None, edition: int = 0, batches: int = 1) -> dict[str, dict[int, bytes]]:
        """Batch id → component → commitment of all share batches that an edition of results over `panes` is made of; of
        the first so many batches of the registers for None.

        Raises:
            StoreError: one is missing.
        """
        found: dict[str, dict[int, bytes]] = {}
        for side in self._sides():
            wanted = [(REGISTER, batch) for batch in range(batches)]
            if panes is not None:
                wanted = [(p, r) for p in panes for r in self._revisions[edition]]
            for pane, revision in wanted:
                for block in self._blocks(side, pane, revision):
                    entry = self._entry((*side, block, pane, revision))
                    found[entry.batch_id] = entry.commitments
        return found

    def register(self, party: str, shard: int, batch: int = 0) -> NDArray[np.uint64]:
        """(2, slots of the batch) this node's components of the link keys.

        Raises:
            StoreError: a block is missing.
        """
        blocks = self._blocks((party, shard), REGISTER, batch)
        return np.concatenate([self._load((party, shard, b, REGISTER, batch))[1][:, 0] for b in blocks], axis=1)

    def register_slots(self, party: str, shard: int, batches: int) -> int:
        """Slots of the first so many batches of a register, at least 1.

        Raises:
            StoreError: nothing of the last of them is here.
        """
        return self._end((party, shard), batches) * self._terms.draft.linkage.block_slots

    def panes(
        self, party: str, shard: int, panes: range, columns: Sequence[str], edition: int = 0, batches: int = 1
    ) -> NDArray[np.uint64]:
        """(2, panes, columns, slots) this node's components of some columns, all slots of the shard's first so many
        batches, as an edition of results is made of them. 0 where a slot's batch opens after the pane.

        Raises:
            StoreError: a block or a column is missing.
        """
        size, side = self._terms.draft.linkage.block_slots, (party, shard)
        out = np.zeros((2, len(panes), len(columns), self.register_slots(party, shard, batches)), dtype=np.uint64)
        for place, pane in enumerate(panes):
            for block in range(self._end(side, min(batches, self._growth.until(pane)))):
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

    def sealed(self, side: Side) -> int:
        """Leading panes of one party and shard that are here, as first sealed."""
        return self._here(side, range(1))

    def first_missed(self, side: Side, stop: int, edition: int = 0) -> tuple[int, int] | None:
        """What one party and shard lacks first of all that an edition of results over panes before `stop` needs.

        Returns:
            (pane, revision) of share batches of which one at least is not here; pane −1: of a batch of the register,
            which `revision` is then; None: all are here.
        """
        pane, batch = self._here(side, self._revisions[edition]), self.batches_complete
        while batch < self._growth.until(stop - 1) and self._has(side, REGISTER, batch):
            batch += 1
        if batch < self._growth.until(stop - 1) and self._growth.edge(batch) <= pane:
            return REGISTER, batch
        if pane >= stop:
            return None
        return pane, next(r for r in self._revisions[edition] if not self._has(side, pane, r))

    def unerased(self, side: Side) -> list[Key]:
        """What does not obey yet what is marked as erased."""
        if not self.erased.marked(side):
            return []
        held = [(key, entry) for key, entry in self._index.items() if key[:2] == side]
        return [key for key, entry in held if self.erased.changes(side, key[3], entry.erased)]

    def rewrite(self, wanted: Mapping[Side, Sequence[Key]]) -> None:
        """Have files of parties and shards obey what is marked as erased, on disk; in any thread, while others come."""
        with self._rewriting:
            folders = set()
            for side, keys in wanted.items():
                for key in keys:
                    if self.erased.changes(side, key[3], self._index[key].erased):
                        batch, _ = self.files.read(self.files.path(key))
                        self._index[key] = replace(self._index[key], erased=self.files.write(batch, durable=True))
                        folders.add(self.files.path(key).parent)
                if self.erased.marked(side):
                    self.files.drop_damaged(*side)
            for folder in folders:
                force_folder(folder)

    def _slots(self, side: Side, boundary: int) -> int | None:
        """Of a register's batches of which panes before a boundary are shared, if all of these batches are here."""
        batches = self._growth.until(boundary - 1)
        if not all(self._has(side, REGISTER, batch) for batch in range(batches)):
            return None
        return self.register_slots(*side, batches)

    def _fits(self, header: BatchHeader) -> bool:
        """Whether a batch agrees with what is known of its register's blocks."""
        ends = self._ends[header.key[:2]]
        if header.blocks is None:
            return ends.may_have(self._growth.until(header.pane), header.block)
        return ends.fits(header.revision, header.block, header.blocks)

    def _leading(self, edition: int) -> int:
        while (
            (pane := self._complete[edition]) < self._terms.draft.panes.count
            and self.batches_complete >= self._growth.until(pane)
            and all(self._have(pane, revision) for revision in self._revisions[edition])
        ):
            self._complete[edition] += 1
        return self._complete[edition]

    def _sides(self) -> list[tuple[str, int]]:
        draft = self._terms.draft
        return [(p.name, shard) for p in draft.parties for shard in range(draft.shards)]

    def _end(self, side: Side, batches: int) -> int:
        """Blocks of the first so many batches, at least 1."""
        end = self._ends[side].end(batches)
        if end is None:
            of = "" if batches == 1 else f"batch {batches - 1} of "
            raise StoreError(f"{of}the register of {side[0]}, shard {side[1]}, is not here")
        return end

    def _blocks(self, side: Side, pane: int, revision: int) -> range:
        """The blocks that there are of a pane, or of a batch of the register, which `revision` is then."""
        if pane != REGISTER:
            return range(self._end(side, self._growth.until(pane)))
        return range(self._end(side, revision) if revision else 0, self._end(side, revision + 1))

    def _has(self, side: Side, pane: int, revision: int) -> bool:
        try:
            return all((*side, b, pane, revision) in self._index for b in self._blocks(side, pane, revision))
        except StoreError:
            return False

    def _here(self, side: Side, revisions: range) -> int:
        """Leading panes of one party and shard that are here at some first revisions."""
        key = side, revisions[-1]
        while self._passed[key] < self._terms.draft.panes.count and all(
            self._has(side, self._passed[key], revision) for revision in revisions
        ):
            self._passed[key] += 1
        return self._passed[key]

    def _have(self, pane: int, revision: int) -> bool:
        return all(self._has(side, pane, revision) for side in self._sides())

    def _entry(self, key: Key) -> _Entry:
        entry = self._index.get(key)
        if entry is None:
            party, shard, block, pane, revision = key
            raise StoreError(
                f"revision {revision} of block {block} of pane {pane} of {party}, shard {shard}, is not here"
            )
        return entry

    def _open(self, paths: Sequence[Path]) -> None:
        """Enter files that are here; what cannot be read, or is not what was taken, is set aside."""
        new: dict[Key, bytes] = {}
        for path in paths:
            try:
                batch, erased = self.files.read(path)
                header, commitments = batch.header, batch.commitments
                if not self._is_first(header, commitments) or self.files.path(header.key) != path:
                    raise Damaged(f"{path} is not the batch that was taken")
            except Damaged as error:
                self.files.set_aside(path)
                self.set_aside.append(path)
                self._log.error("share batch set aside, and missed until its party sends it again", reason=str(error))
                continue
            if header.key not in self._lost:
                new[header.key] = digest(header, commitments)
            self._enter(header, commitments, erased)
        self._taken.note(new)
        for party, _, _, pane, revision in self._lost:
            self._heard_of(party, pane, revision)

    def _is_first(self, header: BatchHeader, commitments: dict[int, bytes]) -> bool:
        """Whether a batch is the one that was taken under its key, if any was."""
        return self._lost.get(header.key) in (None, digest(header, commitments))

    def _enter(self, header: BatchHeader, commitments: dict[int, bytes], erased: int) -> None:
        self._index[header.key] = _Entry(header.batch_id.hex(), commitments, erased)
        self._lost.pop(header.key, None)
        self._held_of[header.key[:2]] += 1
        self._heard_of(header.party, header.pane, header.revision)
        if header.blocks is not None:
            self._ends[header.key[:2]].note(header.revision, header.block, header.blocks)

    def _heard_of(self, party: str, pane: int, revision: int) -> None:
        newest = self._newest.setdefault(party, {0: REGISTER})
        batches = revision + 1 if pane == REGISTER else self._growth.until(pane)
        self._batches[party] = max(batches, self._batches.get(party, 1))
        if pane != REGISTER:
            newest[revision] = max(pane, newest.get(revision, REGISTER))

    def _load(self, key: Key) -> tuple[BatchHeader, NDArray[np.uint64]]:
        self._entry(key)
        return self.files.load(key)
