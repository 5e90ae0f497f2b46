"""What a run computes on shares, phase by phase; the gate around it is evaluation.run's business.

State that outlives a run: the linkage, and running totals over panes. If an attempt fails while it adds panes, the
totals are dropped and rebuilt from the share store, so that a half-added pane can never count. It may fail at one
node and not at another: so nodes compare `totals` before every run, and all begin again when they differ.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.results import KpiShares, ReleasedCell
from mpc.aes import draw_key, expand_key
from mpc.disclosure import atom_ranges, releasable
from mpc.engine import Engine
from mpc.linkage import LinkedShard, align, link, repeatable
from mpc.share import Bits, Share
from mpc.statistics import ShardStatistics, cell_statistics
from mpc.tail import CellBatch, estimate
from policy.agreement import NODES, Terms
from policy.plan import Plan
from policy.window import Window
from streams.store import ShareStore

VALUES_AT_ONCE = 1 << 21
"""Aligned values of one party at once: 32 MiB of both components."""
TAIL_SECONDS = 120.0


@dataclass(frozen=True)
class ReleaseBits:
    """Which parts of a run come out: (plans, windows, 2), the last axis total, table."""

    bits: NDArray[np.bool_]

    def strata(self, plan: int, window: int, strata: int) -> tuple[int, ...]:
        """Positions of the strata of a plan that come out for a window, the total first."""
        total, table = self.bits[plan, window]
        return (*((0,) if total else ()), *(range(1, strata) if table else ()))


class Computation:
    """One node's computation under one agreement."""

    def __init__(
        self, terms: Terms, plans: Sequence[Plan], store: ShareStore, number: int, noise_key: bytes
    ) -> None:
        """`noise_key`: 32 secret bytes of this node, from which its dummy patients follow."""
        self._terms, self._plans, self._store, self._number = terms, tuple(plans), store, number
        self._noise_key = noise_key
        draft = terms.draft
        self._atoms = draft.lattice.atoms
        self._needed = frozenset(c.name for plan in plans for c in plan.columns)
        self._linked: dict[int, LinkedShard] = {}
        self._statistics: dict[int, ShardStatistics] = {}
        self.linkage = ""
        """The attempt of which this node keeps the linkage, hexadecimal; empty before."""
        self.totals = ""
        """A digest of the attempts that made the running totals, equal at nodes whose totals belong together."""

    def manifest(self, windows: Sequence[Window]) -> tuple[str, dict[int, str]]:
        """What a run reads: a digest of the batch ids, and one of the commitments per component held here.

        Commitments are salted, so a digest tells a node that lacks the component nothing. Without windows: the
        registers.
        """
        panes = range(windows[0].start, windows[-1].stop) if windows else None
        batches = self._store.commitments(panes)
        digest = hashlib.sha256()
        components = {c: hashlib.sha256() for c in (self._number, (self._number + 1) % NODES)}
        for batch_id in sorted(batches):
            digest.update(batch_id.encode())
            for component, commitment in batches[batch_id].items():
                components[component].update(commitment)
        return digest.hexdigest(), {c: h.hexdigest() for c, h in components.items()}

    async def link(self, engine: Engine) -> None:
        """Link every shard under one AES key drawn for this attempt.

        Raises:
            mpc.linkage.LinkageError: a register repeats a patient.
            policy.errors.PlanError: with so many patients a plan could leave its arithmetic bounds.
            MpcError: see mpc.errors.
        """
        keys = await expand_key(engine, draw_key(engine))
        linked = {}
        for shard in range(self._terms.draft.shards):
            registers = [Bits(self._store.register(p.name, shard)) for p in self._terms.draft.parties]
            linked[shard] = await link(
                engine, keys, registers, self._terms.draft.linkage.dummies,
                repeatable(self._noise_key, f"dummies {self._terms.hash} {shard}".encode()),
            )
        self._linked = linked
        self.linkage = engine.wire.attempt.hex()
        self.forget_totals()
        for plan in self._plans:
            plan.check_bounds(self.patients, self._terms.draft.lattice.largest)

    async def extend(self, engine: Engine, stop: int) -> None:
        """Bring the running totals of all shards up to pane `stop` (exclusive)."""
        try:
            for shard, linked in self._linked.items():
                if shard not in self._statistics:
                    self._statistics[shard] = ShardStatistics(self._plans, self._atoms, linked.linked)
                await self._extend_shard(engine, shard, stop)
        except BaseException:
            self.forget_totals()
            raise
        self.totals = hashlib.sha256(f"{self.totals} {engine.wire.attempt.hex()} {stop}".encode()).hexdigest()

    def forget_totals(self) -> None:
        """Begin again at the first pane: after half an attempt, or when the nodes' totals do not belong together."""
        self._statistics, self.totals = {}, ""

    async def _extend_shard(self, engine: Engine, shard: int, stop: int) -> None:
        statistics, linked = self._statistics[shard], self._linked[shard]
        widest = max(linked.rows) * max(len(self._columns(p.name)) for p in self._terms.draft.parties)
        chunk = max(1, VALUES_AT_ONCE // widest)
        for first, last in self._steps(statistics.next_pane, stop, chunk):
            aligned: dict[str, Share] = {}
            for position, party in enumerate(self._terms.draft.parties):
                columns = self._columns(party.name)
                if not columns:
                    continue
                stored = self._store.panes(party.name, shard, range(first, last), columns)
                _, panes, count, slots = stored.shape
                rows = await align(engine, linked, position, Share(stored.reshape(2, panes * count, slots)))
                table = rows.reshape(panes, count, linked.linked)
                aligned |= {name: table[:, place] for place, name in enumerate(columns)}
            await statistics.add_panes(engine, first, aligned)

    def _steps(self, first: int, stop: int, chunk: int) -> list[tuple[int, int]]:
        """Ranges of about `chunk` panes that end where atoms do."""
        ends = [b for a, b in self._atoms if first < b <= stop]
        steps, begin = [], first
        for place, end in enumerate(ends):
            if place + 1 == len(ends) or ends[place + 1] - begin > chunk:
                steps.append((begin, end))
                begin = end
        return steps

    def _columns(self, party: str) -> list[str]:
        """The party's shared columns that a plan needs, in the agreement's order."""
        return [c for m in self._terms.draft.party_measures(party) for c in m.columns if c in self._needed]

    async def releasable(self, engine: Engine, windows: Sequence[Window]) -> ReleaseBits:
        """Decide on shares what may come out, and open only that."""
        draft = self._terms.draft
        counts = [
            _total([statistics.contributors(plan) for statistics in self._statistics.values()])
            for plan in self._plans
        ]
        ranges = atom_ranges(windows, self._atoms)
        return ReleaseBits(await releasable(engine, counts, ranges, draft.disclosure.minimum_cohort))

    async def estimate(
        self, engine: Engine, windows: Sequence[Window], released: ReleaseBits
    ) -> tuple[KpiShares, ...]:
        """This node's shares of the outputs of every released cell."""
        batches, cells = [], []
        for position, plan in enumerate(self._plans):
            kept = [
                (w, s) for w in range(len(windows)) for s in released.strata(position, w, len(plan.strata))
            ]
            cells.append(tuple(ReleasedCell(window=windows[w].index, stratum=s) for w, s in kept))
            sums, gram = await self._moments(engine, plan, windows, kept)
            batches.append(CellBatch(plan, sums, gram))
        outputs = await estimate(engine.wire, batches, self.patients, self._terms.draft.lattice.largest, TAIL_SECONDS)
        return tuple(
            KpiShares(plan=plan.hash, cells=places,
                      outputs={name: tuple(f"{v:x}" for v in values) for name, values in found.items()})
            for plan, places, found in zip(self._plans, cells, outputs, strict=True)
        )

    @property
    def patients(self) -> int:
        """Most patients that any sum runs over: the linked rows of all shards."""
        return sum(linked.linked for linked in self._linked.values())

    async def _moments(
        self, engine: Engine, plan: Plan, windows: Sequence[Window], kept: Sequence[tuple[int, int]]
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Sums (2, cells, q) and second moments (2, cells, q, q) of the released cells, all shards together."""
        quantities = len(plan.quantities)
        sums = np.zeros((2, len(kept), quantities), np.uint64)
        gram = np.zeros((2, len(kept), quantities, quantities), np.uint64)
        by_window: Mapping[int, list[tuple[int, int]]] = {
            w: [(place, s) for place, (x, s) in enumerate(kept) if x == w] for w in dict.fromkeys(w for w, _ in kept)
        }
        for statistics in self._statistics.values():
            for w, places in by_window.items():
                strata = np.array([s for _, s in places])
                totals = statistics.window(plan, windows[w].start, windows[w].stop).take(strata, axis=0)
                cell_sums, cell_gram = await cell_statistics(engine, totals)
                at = [place for place, _ in places]
                sums[:, at] += cell_sums.parts
                gram[:, at] += cell_gram.parts
        return sums, gram


def _total(shares: Sequence[Share]) -> Share:
    total = shares[0]
    for share in shares[1:]:
        total = total + share
    return total
