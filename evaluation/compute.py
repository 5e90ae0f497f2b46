"""What a run computes on shares, phase by phase; the gate around it is evaluation.run's business.

State that outlives a run: the linkage, and running totals over panes. If an attempt fails while it adds panes, the
totals are dropped and rebuilt from the share store, so that a half-added pane can never count. It may fail at one
node and not at another: so nodes compare `totals` before every run, and all begin again when they differ.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.results import AlertShares, KpiShares, ReleasedCell
from mpc.aes import draw_key, expand_key
from mpc.changes import changed
from mpc.disclosure import atom_ranges, judge, opened
from mpc.engine import Engine
from mpc.linkage import Columns, LinkedShard, align, link, repeatable
from mpc.moments import capped, cell_statistics, incomplete
from mpc.share import Bits, Share
from mpc.statistics import ShardStatistics
from mpc.tail import AlertBatch, CellBatch, alert_states, estimate
from policy.agreement import NODES, Terms
from policy.plan import Plan
from policy.window import Window
from streams.store import ShareStore

VALUES_AT_ONCE = 1 << 21
"""Values aligned at once, unless one pane has more: 32 MiB of both components."""
TAIL_SECONDS = 120.0


@dataclass(frozen=True)
class ReleaseBits:
    """Which parts of a run come out: (plans, windows, 2), the last axis total, table."""

    bits: NDArray[np.bool_]

    def strata(self, plan: int, window: int, strata: int) -> tuple[int, ...]:
        """Positions of the strata of a plan that come out for a window, the total first."""
        total, table = self.bits[plan, window]
        return (*((0,) if total else ()), *(range(1, strata) if table else ()))

    def of(self, plan: int, stratum: int) -> NDArray[np.bool_]:
        """(windows,) whether a stratum comes out."""
        found: NDArray[np.bool_] = self.bits[plan, :, 1 if stratum else 0]
        return found

    def after(self, windows: int) -> "ReleaseBits":
        """Without the first windows."""
        return ReleaseBits(self.bits[:, windows:])


class Computation:
    """One node's computation under one agreement."""

    def __init__(
        self, terms: Terms, plans: Sequence[Plan], store: ShareStore, number: int, noise_key: bytes,
        folder: Path | None = None,
    ) -> None:
        """Nothing is linked yet.

        Args:
            terms: of the agreement.
            plans: that may be asked for.
            store: this node's shares.
            number: of this node.
            noise_key: 32 secret bytes of this node, from which its dummy patients follow.
            folder: where running totals have room (mpc.totals).
        """
        self._terms, self._plans, self._store, self._number = terms, tuple(plans), store, number
        self._noise_key, self._folder = noise_key, folder
        draft = terms.draft
        self._atoms = draft.lattice.atoms
        needed = frozenset(c.name for plan in plans for c in plan.columns)
        self._read = {
            position: [c for m in draft.party_measures(party.name) for c in m.columns if c in needed]
            for position, party in enumerate(draft.parties)
        }
        """Party's position → its shared columns that a plan needs, in the agreement's order."""
        self._linked: dict[int, LinkedShard] = {}
        self._statistics: dict[int, dict[int, ShardStatistics]] = {}
        """Edition → shard → its running totals."""
        self.linkage = ""
        """The attempt of which this node keeps the linkage, hexadecimal; empty before."""
        self.totals = ""
        """A digest of the attempts that made the running totals, equal at nodes whose totals belong together."""

    def manifest(self, windows: Sequence[Window]) -> tuple[str, dict[int, str]]:
        """What a run reads: a digest of the batch ids and of what is erased in them, and one of the commitments per
        component held here.

        Commitments are salted, so a digest tells a node that lacks the component nothing. Without windows: the
        registers.
        """
        panes = range(min(w.start for w in windows), max(w.stop for w in windows)) if windows else None
        batches = self._store.commitments(panes, self._edition(windows) if windows else 0)
        digest = hashlib.sha256(self._store.erased_digest.encode())
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
        self.resume(engine.wire.attempt.hex(), linked)
        for plan in self._plans:
            plan.check_bounds(self.patients, self._terms.draft.lattice.largest)
        for alert in self._terms.draft.alerts:
            plan = next(p for p in self._terms.plans if p.kpi == alert.kpi)
            alert.check_bounds(plan, self.patients, self._terms.draft.lattice.longest_scheduled)

    @property
    def linked(self) -> Mapping[int, LinkedShard]:
        """Shard → its linkage; kept from one start of the process to the next."""
        return self._linked

    def resume(self, linkage: str, linked: Mapping[int, LinkedShard]) -> None:
        """Go on with a linkage made before, in the attempt `linkage`; with "" and none, be unlinked."""
        self._linked, self.linkage = dict(linked), linkage
        self.forget_totals()

    async def extend(self, engine: Engine, windows: Sequence[Window]) -> None:
        """Bring the running totals of all shards up to the windows' end; a full edition needs the first one's too."""
        stop, last = max(w.stop for w in windows), self._edition(windows)
        try:
            for edition in range(last + 1):
                statistics = self._statistics.setdefault(edition, {})
                for shard, linked in self._linked.items():
                    if shard not in statistics:
                        statistics[shard] = ShardStatistics(
                            self._plans, self._atoms, linked.linked, self._folder
                        )
                await self._extend_edition(engine, edition, stop)
        except BaseException:
            self.forget_totals()
            raise
        self.totals = hashlib.sha256(f"{self.totals} {engine.wire.attempt.hex()} {last} {stop}".encode()).hexdigest()

    def _edition(self, windows: Sequence[Window]) -> int:
        """Of the windows of one run, which is the same for all of them."""
        return max(self._terms.draft.lattice.edition(w.index) for w in windows)

    def _shards(self, windows: Sequence[Window]) -> list[ShardStatistics]:
        """All shards' running totals for the edition of these windows."""
        return list(self._statistics[self._edition(windows)].values())

    def forget_totals(self) -> None:
        """Begin again at the first pane: after half an attempt, or when the nodes' totals do not belong together."""
        self._statistics, self.totals = {}, ""

    async def _extend_edition(self, engine: Engine, edition: int, stop: int) -> None:
        """Add panes to all shards, which are equally far."""
        statistics = self._statistics[edition]
        pane = {
            shard: sum(linked.rows[at] * len(names) for at, names in self._read.items())
            for shard, linked in self._linked.items()
        }
        first_missing = min(each.next_pane for each in statistics.values())
        for first, last in self._steps(first_missing, stop, max(1, VALUES_AT_ONCE // max(sum(pane.values()), 1))):
            for shards in _together(pane, VALUES_AT_ONCE // (last - first)):
                aligned = await self._aligned(engine, shards, range(first, last), edition)
                for shard in shards:
                    await statistics[shard].add_panes(engine, first, aligned.pop(shard))

    async def _aligned(
        self, engine: Engine, shards: Sequence[int], panes: range, edition: int
    ) -> dict[int, dict[str, Share]]:
        """Shard → column → (panes, linked); all columns wait for the same messages."""
        places = [(shard, at) for shard in shards for at, names in self._read.items() if names]
        rows = await align(engine, [
            Columns(self._linked[shard], at, self._stored(shard, at, panes, edition)) for shard, at in places
        ])
        found: dict[int, dict[str, Share]] = {shard: {} for shard in shards}
        for (shard, at), values in zip(places, rows, strict=True):
            table = values.reshape(len(panes), len(self._read[at]), self._linked[shard].linked)
            found[shard] |= {name: table[:, place] for place, name in enumerate(self._read[at])}
        return found

    def _stored(self, shard: int, position: int, panes: range, edition: int) -> Share:
        """(panes · columns, slots) of one party's columns, as they are in the store."""
        party = self._terms.draft.parties[position].name
        stored = self._store.panes(party, shard, panes, self._read[position], edition)
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

    async def opened(self, engine: Engine, judged: Share) -> ReleaseBits:
        """Open what `judge` decided."""
        return ReleaseBits(await opened(engine, judged))

    async def judge(self, engine: Engine, plans: Sequence[Plan], windows: Sequence[Window]) -> Share:
        """Decide on shares what may come out of the run's plans and windows: (plans, windows, 2), opened by nobody."""
        draft = self._terms.draft
        counts = [
            _total([statistics.contributors(plan) for statistics in self._shards(windows)]) for plan in plans
        ]
        cancelling = {
            position: await self._incomplete(engine, plan, windows)
            for position, plan in enumerate(plans) if plan.estimator == "completion"
        }
        ranges = atom_ranges(windows, self._atoms)
        changes = [await self._changes(engine, plan, ranges) for plan in plans] if self._edition(windows) else []
        return await judge(engine, counts, ranges, draft.disclosure.minimum_cohort, cancelling, changes)

    async def _changes(self, engine: Engine, plan: Plan, ranges: Sequence[tuple[int, int]]) -> Share:
        """(atoms, counted cells, arms, sums) patients of all shards whom the last edition tells more of than the first.

        Atoms in none of the ranges have zeros.
        """
        atoms = sorted({atom for first, last in ranges for atom in range(first, last)})
        every = np.zeros((2, len(self._atoms), plan.counted_cells, len(plan.arms), 1 + bool(plan.outcome)), np.uint64)
        for editions in zip(self._statistics[0].values(), self._statistics[1].values(), strict=True):
            pieces = (each.windows(plan, [self._atoms[atom] for atom in atoms]) for each in editions)
            for (place, before), (_, after) in zip(*pieces, strict=True):
                every[:, atoms[place]] += (await changed(engine, plan, before, after)).parts
        return Share(every)

    async def _incomplete(self, engine: Engine, plan: Plan, windows: Sequence[Window]) -> Share:
        """(windows, counted cells, 1, 1) patients of all shards who did not do all that was due in a window."""
        found = np.zeros((2, len(windows), plan.counted_cells, 1, 1), np.uint64)
        for statistics in self._shards(windows):
            for place, totals in statistics.windows(plan, [(w.start, w.stop) for w in windows]):
                found[:, place] += (await incomplete(engine, totals)).parts
        return Share(found)

    async def estimate(
        self, engine: Engine, plans: Sequence[Plan], windows: Sequence[Window], released: ReleaseBits
    ) -> tuple[KpiShares, ...]:
        """This node's shares of the outputs of every released cell; `released`: of these plans and windows."""
        batches, cells = [], []
        for position, plan in enumerate(plans):
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
            for plan, places, found in zip(plans, cells, outputs, strict=True)
        )

    async def alerts(
        self, engine: Engine, plans: Sequence[Plan], windows: Sequence[Window], released: ReleaseBits, shown: int
    ) -> tuple[AlertShares, ...]:
        """This node's shares of the states, after the last `shown` windows, of all alerts about these plans.

        No state is kept: it follows from the sums of all windows so far, so an attempt that fails leaves none behind.

        Args:
            engine: the ring engine.
            plans: the run's.
            windows: the scheduled windows so far, in order.
            released: their release bits.
            shown: how many at the end are the run's own.
        """
        batches, rows = [], []
        for alert in self._terms.draft.alerts:
            position = next((i for i, plan in enumerate(plans) if plan.kpi == alert.kpi), None)
            if position is None:
                continue
            plan = plans[position]
            stratum = alert.stratum(plan)
            known = released.of(position, stratum)
            own = {w.index: bool(bit) for w, bit in zip(windows[-shown:], known[-shown:], strict=True)}
            sums = self._sums(plan, stratum, [w for w, bit in zip(windows, known, strict=True) if bit])
            batches.append(AlertBatch(alert, plan, sums, sum(own.values())))
            rows.append((alert.id, own))
        states = await alert_states(
            engine.wire, batches, self.patients, self._terms.draft.lattice.longest_scheduled, TAIL_SECONDS
        )
        return tuple(
            AlertShares(alert=alert, windows=tuple(w for w, bit in own.items() if bit),
                        states=tuple(f"{v:x}" for v in values),
                        no_data=tuple(w for w, bit in own.items() if not bit))
            for (alert, own), values in zip(rows, states, strict=True)
        )

    def _sums(self, plan: Plan, stratum: int, windows: Sequence[Window]) -> NDArray[np.uint64]:
        """(2, windows, q) sums over the patients of all shards."""
        panes = [(w.start, w.stop) for w in windows]
        return _total([each.sums(plan, stratum, panes) for each in self._statistics[0].values()]).parts

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
        strata, shown = len(plan.strata), list(dict.fromkeys(w for w, _ in kept))
        for statistics in self._shards(windows):
            for place, totals in statistics.windows(plan, [(windows[w].start, windows[w].stop) for w in shown]):
                by_quantity = totals if plan.cap is None else await capped(engine, plan, totals)
                chosen = shown[place]
                at = [position for position, (w, _) in enumerate(kept) if w in chosen]
                rows = np.array([chosen.index(kept[position][0]) * strata + kept[position][1] for position in at])
                cells = by_quantity.reshape(len(chosen) * strata, quantities, totals.shape[-1]).take(rows, axis=0)
                cell_sums, cell_gram = await cell_statistics(engine, cells)
                sums[:, at] += cell_sums.parts
                gram[:, at] += cell_gram.parts
        return sums, gram


def _together(values: Mapping[int, int], most: int) -> list[list[int]]:
    """Shards in groups whose values are together at most so many, or one shard."""
    groups: list[list[int]] = []
    left = 0
    for shard, size in values.items():
        if not groups or size > left:
            groups.append([])
            left = most
        groups[-1].append(shard)
        left -= size
    return groups


def _total(shares: Sequence[Share]) -> Share:
    total = shares[0]
    for share in shares[1:]:
        total = total + share
    return total
