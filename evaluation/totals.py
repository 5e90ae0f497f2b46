"""Running totals of all shards over panes, added in portions that each count at all three nodes or not at all.

A portion is some panes of one edition, in every shard. It counts at a node when it has compared with its peers what all
three did for it, and gets a *mark*. Where that fails, in the middle of a pane perhaps, the node goes back to the mark
before. An attempt may fail at one node just after another one counted the portion, never further apart, because nobody
begins the next one before all three have compared. So each remembers two marks, and before every run the nodes go back
to the last mark that all three have (`Stance.totals`). A node that was restarted has none: all three begin again.

Panes are aligned by the linkage of the batches that had opened by then (`Draft.batch_edges`), whenever they are added:
a patient counts from the pane at which the last of the parties had an own row for the patient. Of panes before, rows
that were linked later have zeros. Where several batches were linked together, nobody knows which rows these are: every
party has a column of 1 in its slots of the batches that had opened, and what is aligned is multiplied, on shares, by
the product of these columns. So totals are those of any other linkage of the same batches.
"""

import asyncio
import gc
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evaluation.dominating import AtomDominance
from evaluation.growing import batches_before, stretches
from mpc.engine import Engine
from mpc.linkage import Columns, LinkedShard, align
from mpc.share import Share, public
from mpc.statistics import VALUES_PER_STEP, ShardStatistics, StatisticsError
from mpc.workers import ShardEngines, together
from policy.agreement import Terms
from policy.plan import Plan
from streams.store import ShareStore

VALUES_AT_ONCE = 1 << 21
"""Values aligned at once, unless one atom has more: 32 MiB of both components."""
MARKS = 2
"""Remembered ones."""


class Portion(NamedTuple):
    """Panes that are added together."""

    edition: int
    first: int
    stop: int


class _Mark(NamedTuple):
    digest: str
    panes: dict[int, int]
    """Edition → its first pane that is not added."""


class PaneTotals:
    """One node's."""

    def __init__(self, terms: Terms, plans: Sequence[Plan], store: ShareStore, folder: Path | None) -> None:
        """Start with no panes.

        Args:
            terms: of the agreement.
            plans: that need totals.
            store: this node's shares.
            folder: where running totals have room (mpc.totals).
        """
        self._terms, self._plans, self._store, self._folder = terms, tuple(plans), store, folder
        draft = terms.draft
        self._atoms, self._edges = draft.lattice.atoms, draft.batch_edges
        needed = frozenset(c.name for plan in plans for c in plan.columns)
        read = {
            position: [c for m in draft.party_measures(party.name) for c in m.columns if c in needed]
            for position, party in enumerate(draft.parties)
        }
        self._read = {position: names for position, names in read.items() if names}
        """Party's position → its shared columns that a plan needs, in the agreement's order; no party without any."""
        self._statistics: dict[int, dict[int, ShardStatistics]] = {}
        """Edition → shard → its running totals."""
        self._dominance = AtomDominance(plans, self._atoms, draft.disclosure.dominance)
        self._kept: tuple[_Mark, ...] = ()
        self._cut = False
        """Whether tracebacks of an attempt that failed may still hold its arrays, in circles."""

    def of(self, edition: int) -> Mapping[int, ShardStatistics]:
        """Shard → its running totals; none before the first portion."""
        return self._statistics.get(edition, {})

    def dominance(self, edition: int, plan: Plan) -> Share | None:
        """See AtomDominance.of."""
        return self._dominance.of(edition, plan)

    @property
    def marks(self) -> tuple[str, ...]:
        """Digests of the attempts and panes that made these totals, the last ones; equal at nodes whose totals belong
        together.
        """
        return tuple(mark.digest for mark in self._kept)

    def left(self, linked: Mapping[int, LinkedShard], stops: Sequence[int]) -> list[Portion]:
        """What is left to add for windows whose last ends at stops[e] in edition e; equal at all nodes."""
        largest = max(map(sum, (self._width(linked, shards) for shards in together(array_rows(linked)))), default=0)
        found = []
        for edition, stop in enumerate(stops):
            first = min((each.next_pane for each in self.of(edition).values()), default=self._atoms[0][0])
            found += [Portion(edition, *step) for step in self._steps(first, stop, VALUES_AT_ONCE // max(largest, 1))]
        return found

    async def add(self, engines: ShardEngines, linked: Mapping[int, LinkedShard], portion: Portion) -> None:
        """Add a portion, the first of those that are left; when it fails, it is as if nothing was added.

        Raises:
            MpcError: see mpc.errors.
            OSError: there is no room, or the disk fails.
        """
        if self._cut:
            gc.collect()
            self._cut = False
        try:
            self.grow(linked)
            statistics = self._statistics.setdefault(portion.edition, {})
            for shard, found in linked.items():
                if shard not in statistics:
                    statistics[shard] = ShardStatistics(self._plans, self._atoms, found.linked, self._folder)
            for shards in together(array_rows(linked)):
                at_once = VALUES_AT_ONCE // max(sum(self._width(linked, shards)), 1)
                for first, stop in self._steps(portion.first, portion.stop, at_once):
                    await engines.each({
                        shard: partial(
                            self._add, statistics[shard],
                            self._columns(linked[shard], shard, range(first, stop), portion.edition), first,
                            VALUES_PER_STEP // len(shards),
                        )
                        for shard in shards
                    })
            panes = range(portion.first, portion.stop)
            await self._dominance.add(engines.main, statistics, portion.edition, panes)
            await engines.main.verify()
            self._count(engines.main.wire.attempt.hex(), portion)
        except BaseException:
            self._cut = True
            self.go_back(self._kept[-1].digest if self._kept else "")
            raise

    def grow(self, linked: Mapping[int, LinkedShard]) -> None:
        """Have as many rows as are linked by now, in all editions.

        Raises:
            OSError: a file may not be so large.
        """
        for shards in self._statistics.values():
            for shard, statistics in shards.items():
                statistics.grow(linked[shard].linked)

    def go_back(self, digest: str) -> None:
        """Be as at one of the `marks`; begin again at the first pane if it is none of them."""
        place = next((place for place, mark in enumerate(self._kept) if mark.digest == digest), None)
        if place is None:
            self.forget()
            return
        panes = self._kept[place].panes
        for edition in [edition for edition in self._statistics if edition not in panes]:
            _close(self._statistics.pop(edition))
        try:
            for edition, shards in self._statistics.items():
                for shard, statistics in shards.items():
                    shards[shard] = statistics.taken_back(panes[edition])
        except (OSError, StatisticsError):
            self.forget()
            return
        self._dominance.go_back(panes)
        self._kept = self._kept[: place + 1]

    def forget(self) -> None:
        """Begin again at the first pane."""
        for shards in self._statistics.values():
            _close(shards)
        self._cut |= bool(self._statistics)
        self._statistics, self._kept = {}, ()
        self._dominance.go_back({})

    def _count(self, attempt: str, portion: Portion) -> None:
        """The portion is compared with the peers."""
        before = self._kept[-1] if self._kept else _Mark("", {})
        digest = hashlib.sha256(f"{before.digest} {attempt} {portion.edition} {portion.stop}".encode()).hexdigest()
        panes = {**before.panes, portion.edition: portion.stop}
        self._kept = (*self._kept, _Mark(digest, panes))[-MARKS:]

    def _width(self, linked: Mapping[int, LinkedShard], shards: Sequence[int]) -> list[int]:
        """Values of a pane, by shard and party."""
        return [linked[shard].rows[at] * len(names) for shard in shards for at, names in self._read.items()]

    def _columns(self, linked: LinkedShard, shard: int, panes: range, edition: int) -> list[list[Columns]]:
        """What the store has of each party, in the order of `self._read`; for each stretch of panes between edges.

        Then, of a stretch that has not all batches which were linked together, each party's column of who had a row.
        """
        found = []
        for stretch in stretches(self._edges, panes):
            batches = batches_before(self._edges, stretch.stop)
            then, held = linked.until(batches), max(batches, linked.first)
            stored = [Columns(then, at, self._stored(shard, at, stretch, edition, held)) for at in self._read]
            if batches < held:
                stored += [
                    Columns(then, at, self._opened(shard, at, batches, then.slots(at)))
                    for at in range(len(self._terms.draft.parties))
                ]
            found.append(stored)
        return found

    def _opened(self, shard: int, position: int, batches: int, slots: int) -> Share:
        """(1, slots) a public 1 for a party's slots of the first so many batches, else 0."""
        opened = self._store.register_slots(self._terms.draft.parties[position].name, shard, batches)
        return public((np.arange(slots) < opened).astype(np.uint64)[None])

    async def _add(
        self, statistics: ShardStatistics, columns: Sequence[Sequence[Columns]], first: int, at_once: int,
        engine: Engine,
    ) -> None:
        """One shard's program: bring panes into linked order and add them to its totals."""
        values = iter(await align(engine, [each for stretch in columns for each in stretch]))
        parts: dict[str, list[Share]] = {}
        for stretch in columns:
            stored = [next(values) for _ in self._read]
            there = [next(values) for _ in stretch[len(stored) :]]
            if there:
                everywhere = await _product(engine, there)
                stored = await asyncio.gather(*(engine.multiply(each, everywhere) for each in stored))
            for found, names in zip(stored, self._read.values(), strict=True):
                rows = found.shape[1]
                table = found.reshape(len(found) // len(names), len(names), rows)
                if rows < statistics.linked:
                    later = np.zeros((2, *table.shape[:2], statistics.linked - rows), np.uint64)
                    table = Share.concat([table, Share(later)], axis=-1)
                for place, name in enumerate(names):
                    parts.setdefault(name, []).append(table[:, place])
        aligned = {name: each[0] if len(each) == 1 else Share.concat(each) for name, each in parts.items()}
        await statistics.add_panes(engine, first, aligned, at_once)

    def _stored(self, shard: int, position: int, panes: range, edition: int, batches: int) -> Share:
        """(panes · columns, slots of so many batches) of one party's columns, as they are in the store."""
        party = self._terms.draft.parties[position].name
        stored = self._store.panes(party, shard, panes, self._read[position], edition, batches)
        return Share(stored.reshape(2, -1, stored.shape[-1]))

    def _steps(self, first: int, stop: int, chunk: int) -> list[tuple[int, int]]:
        """Ranges of about `chunk` panes that end where atoms do."""
        ends = [b for a, b in self._atoms if first < b <= stop]
        steps, begin = [], first
        for place, end in enumerate(ends):
            if place + 1 == len(ends) or ends[place + 1] - begin > chunk:
                steps.append((begin, end))
                begin = end
        return steps


def array_rows(linked: Mapping[int, LinkedShard]) -> dict[int, int]:
    """Shard → rows of its largest register, or linked ones if these are more: what bounds its arrays."""
    return {shard: max(found.linked, *found.rows) for shard, found in linked.items()}


async def _product(engine: Engine, columns: Sequence[Share]) -> Share:
    """(1, rows) each of them 1 or 0: 1 where all are."""
    product, *others = columns
    for each in others:
        product = await engine.multiply(product, each)
    return product


def _close(shards: Mapping[int, ShardStatistics]) -> None:
    for statistics in shards.values():
        statistics.close()
