"""What a run computes on shares, phase by phase; the gate around it is evaluation.run's business.

State that outlives a run: the epoch in force and the one to come, with running totals over panes (evaluation.epoch).
"""

import hashlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.dominating import over_changes, over_windows
from evaluation.epoch import Epoch
from evaluation.growing import Link
from evaluation.noising import Noising, group_sums
from evaluation.results import AlertShares, KpiShares, ReleasedCell
from evaluation.totals import PaneTotals, Portion, array_rows
from mpc.changes import changed
from mpc.disclosure import Findings, atom_ranges, judge, opened
from mpc.engine import Engine
from mpc.linkage import LinkedShard
from mpc.moments import capped, cell_statistics, incomplete
from mpc.share import Share, Words
from mpc.statistics import VALUES_AT_ONCE as WINDOW_VALUES
from mpc.tail import AlertBatch, CellBatch, alert_states, estimate
from mpc.wire import Wire
from mpc.workers import ShardEngines, Workers, together
from policy.agreement import Terms
from policy.identity import NODES
from policy.plan import Plan
from policy.window import Window
from streams.store import ShareStore

TAIL_SECONDS = 120.0
ALERT_NOISE_CHANNEL = 7
"""Alerts go on beside estimates, so that the order of what both did on one engine would differ between nodes."""
FIRST = Link()

ShardProgram = Callable[[int, int, Engine], Coroutine[Any, Any, tuple[Words, ...]]]
"""What is computed for a shard: its number, how many values at once, its engine → components that add up."""


@dataclass(frozen=True)
class Shown:
    """Which parts of a run come out: (plans, windows) how many strata, the total first."""

    strata: NDArray[np.int64]

    def positions(self, plan: int, window: int) -> range:
        """Of the strata of a plan that come out for a window."""
        return range(int(self.strata[plan, window]))

    def of(self, plan: int, stratum: int) -> NDArray[np.bool_]:
        """(windows,) whether a stratum comes out."""
        found: NDArray[np.bool_] = self.strata[plan] > stratum
        return found

    def after(self, windows: int) -> "Shown":
        """Without the first windows."""
        return Shown(self.strata[:, windows:])


class Computation:
    """One node's computation under one agreement."""

    def __init__(
        self, terms: Terms, plans: Sequence[Plan], store: ShareStore, number: int, noise_key: bytes,
        folder: Path | None = None, workers: Workers | None = None,
    ) -> None:
        """Nothing is linked yet.

        Args:
            terms: of the agreement.
            plans: that may be asked for.
            store: this node's shares.
            number: of this node.
            noise_key: 32 secret bytes of this node, from which its dummy patients and its noise follow.
            folder: where running totals have room (mpc.totals).
            workers: threads that compute for shards; None: everything is done where it is asked for.
        """
        self._terms, self._plans, self._store, self._number = terms, tuple(plans), store, number
        self._workers = workers or Workers()
        self._atoms = terms.draft.lattice.atoms
        self._noise = Noising(terms, noise_key)
        self._epoch = partial(Epoch, terms, self._plans, store, noise_key, folder)
        self.now = self._epoch()
        """The epoch in force."""
        self.coming = self._epoch()
        """The one that is made in the background, to take its place."""

    def engines(self, wire: Wire) -> ShardEngines:
        """The engines of one attempt."""
        return ShardEngines(wire, self._workers)

    @property
    def _totals(self) -> PaneTotals:
        return self.now.totals

    def manifest(self, windows: Sequence[Window], what: Link = FIRST) -> tuple[str, dict[int, str]]:
        """What a run reads: a digest of the batch ids and of what is erased in them, and one of the commitments per
        component held here.

        Commitments are salted, so a digest tells a node that lacks the component nothing. Without windows: the
        registers, up to the batch that is linked, and the epoch if it is not the first.
        """
        if windows:
            panes = range(min(w.start for w in windows), max(w.stop for w in windows))
            batches = self._store.commitments(panes, self._edition(windows))
        else:
            batches = self._store.commitments(None, batches=what.batch + 1)
        digest = hashlib.sha256(self._store.erased_digest.encode())
        if not windows and what.epoch > 1:
            digest.update(f"epoch {what.epoch}".encode())
        components = {c: hashlib.sha256() for c in (self._number, (self._number + 1) % NODES)}
        for batch_id in sorted(batches):
            digest.update(batch_id.encode())
            for component, commitment in batches[batch_id].items():
                components[component].update(commitment)
        return digest.hexdigest(), {c: h.hexdigest() for c, h in components.items()}

    async def link(self, engines: ShardEngines, what: Link = FIRST) -> None:
        """Link a batch of every shard's registers, or several together under a new key; see evaluation.epoch.

        Raises:
            mpc.linkage.LinkageError: a register repeats a patient.
            policy.errors.PlanError: with so many patients a plan could leave its arithmetic bounds.
            MpcError: see mpc.errors.
        """
        await self.epoch(what).link(engines, what)

    def epoch(self, what: Link) -> Epoch:
        """The one in which that is linked."""
        return self.coming if what.ahead else self.now

    def take_over(self) -> None:
        """Go on with the epoch to come; nothing is left of the one before."""
        self.now.totals.forget()
        self.now, self.coming = self.coming, self._epoch()

    @property
    def linkage(self) -> str:
        """The attempt of which this node keeps the linkage in force, hexadecimal; empty before."""
        return self.now.linkage

    @property
    def linked(self) -> Mapping[int, LinkedShard]:
        """Shard → its linkage; kept from one start of the process to the next."""
        return self.now.linked

    @property
    def batches(self) -> int:
        """Batches of the registers that are linked."""
        return self.now.batches

    def resume(self, linkage: str, linked: Mapping[int, LinkedShard]) -> None:
        """Go on with a linkage made before; see Epoch.resume."""
        self.now.resume(linkage, linked)

    async def extend(self, engines: ShardEngines, windows: Sequence[Window]) -> None:
        """Bring the running totals of all shards up to the windows' end; a full edition needs the first one's too."""
        while self.left(windows):
            await self.add(engines, windows)
        self._totals.grow(self.linked)

    def left(self, windows: Sequence[Window]) -> list[Portion]:
        """What is left to add before the windows' totals are complete; equal at nodes whose `totals` are."""
        stop = max(w.stop for w in windows)
        return self._totals.left(self.linked, (stop,) * (1 + self._edition(windows)))

    async def add(self, engines: ShardEngines, windows: Sequence[Window]) -> None:
        """Add the first portion that is left."""
        await self._totals.add(engines, self.linked, self.left(windows)[0])

    @property
    def totals(self) -> tuple[str, ...]:
        """Marks of the running totals; see evaluation.totals."""
        return self._totals.marks

    def forget_totals(self) -> None:
        """Begin again at the first pane, also for the epoch to come."""
        self.now.totals.forget()
        self.coming.totals.forget()

    def _edition(self, windows: Sequence[Window]) -> int:
        """Of the windows of one run, which is the same for all of them."""
        return max(self._terms.draft.lattice.edition(w.index) for w in windows)

    async def opened(self, engines: ShardEngines, judged: Share) -> Shown:
        """Open what `judge` decided."""
        return Shown(await opened(engines.main, judged))

    async def judge(self, engines: ShardEngines, plans: Sequence[Plan], windows: Sequence[Window]) -> Share:
        """Decide on shares what may come out of the run's plans and windows: (plans, windows), opened by nobody."""
        draft, edition = self._terms.draft, self._edition(windows)
        ranges, shards = atom_ranges(windows, self._atoms), self._totals.of(edition)
        findings = [
            Findings(
                plan, _total([statistics.contributors(plan) for statistics in shards.values()]),
                over_windows=await self._incomplete(engines, plan, windows) if plan.estimator == "completion" else None,
                changes=await self._changes(engines, plan, ranges) if edition else None,
                dominance=await self._dominance(engines, plan, ranges, edition),
                dominance_over_windows=await self._dominance_windows(engines, plan, windows),
            )
            for plan in plans
        ]
        return await judge(engines.main, findings, ranges, draft.disclosure.minimum_cohort)

    async def _dominance(
        self, engines: ShardEngines, plan: Plan, ranges: Sequence[tuple[int, int]], edition: int
    ) -> Share | None:
        """(atoms, counted cells, arms) of a plan without a cap, where a rule applies: of its sums, and, in the ranges,
        of what the last edition says more than the first.
        """
        rules, by_atom = self._terms.draft.disclosure.dominance, self._totals.dominance(edition, plan)
        if rules is None or by_atom is None or not edition:
            return by_atom
        atoms = _atoms_in(ranges)
        judged = await over_changes(
            engines.main, plan, self._totals.of(0), self._totals.of(edition), [self._atoms[a] for a in atoms], rules
        )
        found = by_atom.parts.copy()
        found[:, atoms] += judged.parts
        return Share(found)

    async def _dominance_windows(self, engines: ShardEngines, plan: Plan, windows: Sequence[Window]) -> Share | None:
        """(windows, counted cells, arms) of a plan with a cap; None: no rule applies."""
        rules = self._terms.draft.disclosure.dominance
        if rules is None or plan.cap is None:
            return None
        shards, spans = self._totals.of(self._edition(windows)), [(w.start, w.stop) for w in windows]
        return await over_windows(engines.main, plan, shards, spans, rules)

    async def _changes(self, engines: ShardEngines, plan: Plan, ranges: Sequence[tuple[int, int]]) -> Share:
        """(atoms, counted cells, arms, sums) patients of all shards whom the last edition tells more of than the first.

        Atoms in none of the ranges have zeros.
        """
        atoms = _atoms_in(ranges)
        spans = [self._atoms[atom] for atom in atoms]

        async def program(shard: int, at_once: int, engine: Engine) -> tuple[Words]:
            shape = (2, len(self._atoms), plan.counted_cells, len(plan.arms), 1 + bool(plan.outcome))
            found = np.zeros(shape, np.uint64)
            editions = (self._totals.of(edition)[shard].windows(plan, spans, at_once) for edition in (0, 1))
            for (place, before), (_, after) in zip(*editions, strict=True):
                found[:, atoms[place]] += (await changed(engine, plan, before, after)).parts
            return (found,)

        (total,) = await self._added(engines, program)
        return Share(total)

    async def _incomplete(self, engines: ShardEngines, plan: Plan, windows: Sequence[Window]) -> Share:
        """(windows, counted cells, 1, 1) patients of all shards who did not do all that was due in a window."""
        statistics, spans = self._totals.of(self._edition(windows)), [(w.start, w.stop) for w in windows]

        async def program(shard: int, at_once: int, engine: Engine) -> tuple[Words]:
            found = np.zeros((2, len(windows), plan.counted_cells, 1, 1), np.uint64)
            for place, totals in statistics[shard].windows(plan, spans, at_once):
                found[:, place] += (await incomplete(engine, plan, totals)).parts
            return (found,)

        (total,) = await self._added(engines, program)
        return Share(total)

    async def _added(self, engines: ShardEngines, program: ShardProgram) -> tuple[Words, ...]:
        """Run a program (shard, values at once, engine) for every shard and add up what it finds."""
        found: list[tuple[Words, ...]] = []
        for shards in together(array_rows(self.linked)):
            at_once = WINDOW_VALUES // len(shards)
            each = await engines.each({shard: partial(program, shard, at_once) for shard in shards})
            found += each.values()
        return tuple(np.sum(parts, axis=0, dtype=np.uint64) for parts in zip(*found, strict=True))

    async def estimate(
        self, engines: ShardEngines, plans: Sequence[Plan], windows: Sequence[Window], released: Shown
    ) -> tuple[KpiShares, ...]:
        """This node's shares of the outputs of every released cell; `released`: of these plans and windows."""
        batches, cells = [], []
        for position, plan in enumerate(plans):
            kept = [
                (w, s) for w in range(len(windows)) for s in released.positions(position, w)
            ]
            cells.append(tuple(ReleasedCell(window=windows[w].index, stratum=s) for w, s in kept))
            if plan.noise:
                gram = await self._groups(engines, plan, windows, kept)
                sums = gram.sum(axis=2, dtype=np.uint64)
            else:
                sums, gram = await self._moments(engines, plan, windows, kept)
            batches.append(CellBatch(plan, sums, gram))
        await engines.main.verify()
        wire, largest = engines.main.wire, self._terms.draft.lattice.largest
        outputs = await estimate(wire, batches, self.patients, largest, TAIL_SECONDS)
        return tuple(
            KpiShares(plan=plan.hash, cells=places,
                      outputs={name: tuple(f"{v:x}" for v in values) for name, values in found.items()})
            for plan, places, found in zip(plans, cells, outputs, strict=True)
        )

    async def alerts(
        self, engines: ShardEngines, plans: Sequence[Plan], windows: Sequence[Window], released: Shown, shown: int
    ) -> tuple[AlertShares, ...]:
        """This node's shares of the states, after the last `shown` windows, of all alerts about these plans.

        No state is kept: it follows from the sums of all windows so far, so an attempt that fails leaves none behind.

        Args:
            engines: of the attempt.
            plans: the run's.
            windows: the scheduled windows so far, in order.
            released: what came out of them.
            shown: how many at the end are the run's own.
        """
        engine, batches, rows = Engine(engines.main.wire.channel(ALERT_NOISE_CHANNEL)), [], []
        for alert in self._terms.draft.alerts:
            position = next((i for i, plan in enumerate(plans) if plan.kpi == alert.kpi), None)
            if position is None:
                continue
            plan = plans[position]
            stratum = alert.stratum(plan)
            known = released.of(position, stratum)
            own = {w.index: bool(bit) for w, bit in zip(windows[-shown:], known[-shown:], strict=True)}
            sums = await self._sums(engine, plan, stratum, [w for w, bit in zip(windows, known, strict=True) if bit])
            batches.append(AlertBatch(alert, plan, sums, sum(own.values())))
            rows.append((alert.id, own))
        if any(batch.plan.noise for batch in batches):
            await engine.verify()
        states = await alert_states(
            engines.main.wire, batches, self.patients, self._terms.draft.lattice.longest_scheduled, TAIL_SECONDS
        )
        return tuple(
            AlertShares(alert=alert, windows=tuple(w for w, bit in own.items() if bit),
                        states=tuple(f"{v:x}" for v in values),
                        no_data=tuple(w for w, bit in own.items() if not bit))
            for (alert, own), values in zip(rows, states, strict=True)
        )

    async def _sums(self, engine: Engine, plan: Plan, stratum: int, windows: Sequence[Window]) -> Words:
        """(2, windows, q) sums over the patients of all shards, with the noise with which they come out."""
        panes = [(w.start, w.stop) for w in windows]
        sums = _total([each.sums(plan, stratum, panes) for each in self._totals.of(0).values()])
        return (await self._noise.added(engine, plan, windows, stratum, sums) if plan.noise else sums).parts

    @property
    def patients(self) -> int:
        """Most patients that any sum runs over: the linked rows of all shards, at least 1."""
        return self.now.patients

    async def _groups(
        self, engines: ShardEngines, plan: Plan, windows: Sequence[Window], kept: Sequence[tuple[int, int]]
    ) -> Words:
        """(2, cells, groups, q) sums with noise of the released cells by group of patients, all shards together."""
        edition = self._edition(windows)
        statistics, cells = self._totals.of(edition), [(windows[w], s) for w, s in kept]

        async def program(shard: int, at_once: int, engine: Engine) -> tuple[Words]:
            return (await group_sums(engine, plan, statistics[shard], cells, at_once),)

        (sums,) = await self._added(engines, program)
        return (Share(sums) + await self._noise.of(engines.main, plan, edition, cells)).parts

    async def _moments(
        self, engines: ShardEngines, plan: Plan, windows: Sequence[Window], kept: Sequence[tuple[int, int]]
    ) -> tuple[Words, ...]:
        """Sums (2, cells, q) and second moments (2, cells, q, q) of the released cells, all shards together."""
        statistics = self._totals.of(self._edition(windows))
        quantities, strata = len(plan.quantities), len(plan.strata)
        shown = list(dict.fromkeys(w for w, _ in kept))
        spans = [(windows[w].start, windows[w].stop) for w in shown]

        async def program(shard: int, at_once: int, engine: Engine) -> tuple[Words, Words]:
            sums = np.zeros((2, len(kept), quantities), np.uint64)
            gram = np.zeros((2, len(kept), quantities, quantities), np.uint64)
            for place, totals in statistics[shard].windows(plan, spans, at_once):
                by_quantity = totals if plan.cap is None else await capped(engine, plan, totals)
                chosen = shown[place]
                at = [position for position, (w, _) in enumerate(kept) if w in chosen]
                rows = np.array([chosen.index(kept[position][0]) * strata + kept[position][1] for position in at])
                cells = by_quantity.reshape(len(chosen) * strata, quantities, totals.shape[-1]).take(rows, axis=0)
                cell_sums, cell_gram = await cell_statistics(engine, cells)
                sums[:, at] += cell_sums.parts
                gram[:, at] += cell_gram.parts
            return sums, gram

        return await self._added(engines, program)


def _atoms_in(ranges: Sequence[tuple[int, int]]) -> list[int]:
    return sorted({atom for first, last in ranges for atom in range(first, last)})


def _total(shares: Sequence[Share]) -> Share:
    total = shares[0]
    for share in shares[1:]:
        total = total + share
    return total
