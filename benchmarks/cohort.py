"""A made-up cohort as its parties' registers and panes, and the same KPIs by numpy: the oracle of `latency`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from policy.agreement import Draft
from policy.measure import LIMB_BITS
from policy.plan import Plan
from streams.batch import LINK_COLUMN, BatchHeader, party_columns

Table = NDArray[np.int64]
Blocks = list[tuple[BatchHeader, NDArray[np.uint64]]]
Z = NormalDist().inv_cdf(0.975)
USERS, VISITS_PER_PANE, INSURED = 1 / 3, 0.12, 0.97


@dataclass(frozen=True)
class Cell:
    """One KPI's value and interval in a stratum."""

    value: float
    low: float
    high: float


@dataclass
class Cohort:
    """`patients` linked patients, spread over the shards; every party knows all of them, at slots of its own."""

    draft: Draft
    agreement: str
    patients: int
    seed: int = 1

    def __post_init__(self) -> None:
        shards = self.draft.shards
        self.sizes = [self.patients // shards + (shard < self.patients % shards) for shard in range(shards)]
        size = self.draft.linkage.block_slots
        self.blocks = [-(-n // size) for n in self.sizes]
        rng = np.random.default_rng(self.seed)
        self._keys = [rng.integers(0, 2**64, n, np.uint64) for n in self.sizes]
        self._slots = {
            party.name: [rng.permutation(b * size)[:n] for b, n in zip(self.blocks, self.sizes, strict=True)]
            for party in self.draft.parties
        }
        self._starts = [
            np.where(rng.random(n) < USERS, rng.integers(-20, 4, n), self.draft.panes.count + 1) for n in self.sizes
        ]
        self._income = [rng.integers(1, 6, n) for n in self.sizes]

    def register(self, party: str) -> Blocks:
        """The blocks of a party's registers, all shards; unused slots have random keys."""
        found: Blocks = []
        for shard in range(self.draft.shards):
            rng = np.random.default_rng([self.seed, shard, *party.encode()])
            keys = rng.integers(0, 2**64, self.blocks[shard] * self.draft.linkage.block_slots, np.uint64)
            keys[self._slots[party][shard]] = self._keys[shard]
            found += self._cut(party, shard, -1, (LINK_COLUMN,), keys[None])
        return found

    def pane(self, party: str, pane: int) -> Blocks:
        """The blocks of a party's sealed pane, all shards."""
        columns, found = party_columns(self.draft, party), Blocks()
        for shard in range(self.draft.shards):
            table = self.table(shard, pane)
            content = np.zeros((len(columns), self.blocks[shard] * self.draft.linkage.block_slots), np.int64)
            content[:, self._slots[party][shard]] = [table[column] for column in columns]
            found += self._cut(party, shard, pane, columns, content.view(np.uint64))
        return found

    def table(self, shard: int, pane: int) -> dict[str, Table]:
        """Column → (patients,) of one shard; columns that the agreement may not have."""
        rng, n = np.random.default_rng([self.seed, shard, pane]), self.sizes[shard]
        days = np.where(rng.random(n) < INSURED, 7, 0)
        visits = np.where(days > 0, rng.poisson(VISITS_PER_PANE, n), 0)
        cents = np.where(days > 0, np.where(rng.random(n) < 0.3, rng.lognormal(8, 1.5, n), 0), 0).astype(np.int64)
        found = {
            "app_user": self._starts[shard] < pane, "app_not_yet": self._starts[shard] > pane,
            "insured_days": days, "insured_any": days > 0, "gp_visits": visits, "gp_any": visits > 0,
            "cost.high": cents >> LIMB_BITS, "cost.low": cents & ((1 << LIMB_BITS) - 1), "cost_any": cents > 0,
        }
        found |= {f"income_{q}": self._income[shard] == q for q in range(1, 6)}
        return {name: np.asarray(values, np.int64) for name, values in found.items()}

    def expected(self, plans: Sequence[Plan], start: int, stop: int) -> dict[tuple[str, int], Cell]:
        """(KPI, stratum) → what a window releases."""
        tables = []
        for pane in range(start, stop):
            shards = [self.table(shard, pane) for shard in range(self.draft.shards)]
            tables.append({name: np.concatenate([s[name] for s in shards]) for name in shards[0]})
        return window_cells(plans, tables, self.draft.disclosure.minimum_cohort)

    def _cut(
        self, party: str, shard: int, pane: int, columns: tuple[str, ...], content: NDArray[np.uint64]
    ) -> Blocks:
        size, blocks = self.draft.linkage.block_slots, self.blocks[shard]
        return [
            (BatchHeader(
                agreement=self.agreement, epoch=0, party=party, shard=shard, block=block,
                kind="register" if pane < 0 else "pane", pane=pane, revision=0, columns=columns, slots=size,
                blocks=blocks if pane < 0 else None,
            ), np.ascontiguousarray(content[:, block * size : (block + 1) * size]))
            for block in range(blocks)
        ]


def window_cells(
    plans: Sequence[Plan], tables: Sequence[Mapping[str, Table]], minimum: int
) -> dict[tuple[str, int], Cell]:
    """All plans' cells over a window, for panes that are atoms each: what the disclosure rules let out, in plain numpy.

    Args:
        plans: ratios of rates and differences of means, without a cap.
        tables: for each pane column → (patients,).
        minimum: of contributors of each kind, in each arm and pane.
    """
    found = {}
    for plan in plans:
        columns = [None if s.column is None else s.column.name for s in plan.strata]
        enough = [
            all((_masked(t, arm.name, column) * t[c.name]).sum() >= minimum
                for t in tables for arm in plan.arms for c in plan.contributors)
            for column in columns
        ]
        rest = [
            int((t[arm.name] * t[c.name] * _outside(t, columns[1:])).sum())
            for t in tables for arm in plan.arms for c in plan.contributors
        ]
        table = all(enough) and all(n == 0 or n >= minimum for n in rest)
        for place, column in enumerate(columns):
            if table or (place == 0 and enough[0]):
                sums = [
                    [sum(_masked(t, arm.name, column) * t[c.name] for t in tables) for c in (plan.time, *plan.outcome)]
                    for arm in plan.arms
                ]
                found[plan.kpi, place] = _estimate(plan, np.array(sums))
    return found


def _masked(table: Mapping[str, Table], arm: str, stratum: str | None) -> Table:
    return table[arm] if stratum is None else table[arm] * table[stratum]


def _outside(table: Mapping[str, Table], columns: Sequence[str | None]) -> Table:
    """1 for those in no stratum; without strata there is nobody."""
    named = [table[column] for column in columns if column is not None]
    return np.asarray(1 - sum(named), np.int64) if named else np.zeros(1, np.int64)


def _estimate(plan: Plan, sums: Table) -> Cell:
    """`sums`: (arms, 1 + limbs, patients)."""
    time = sums[:, 0].astype(float)
    outcome = (sums[:, 1] if sums.shape[1] == 2 else (sums[:, 1] << LIMB_BITS) + sums[:, 2]).astype(float)
    (tu, tc), (yu, yc) = time.sum(axis=1), outcome.sum(axis=1)
    scale = plan.scale_numerator / plan.scale_denominator
    if plan.estimator == "rate-ratio":
        value = (yu / tu) / (yc / tc)
        each = outcome[0] / yu - time[0] / tu - outcome[1] / yc + time[1] / tc
        half = Z * math.sqrt(float((each**2).sum()))
        return Cell(value * scale, value * math.exp(-half) * scale, value * math.exp(half) * scale)
    value = yu / tu - yc / tc
    each = (outcome[0] - yu / tu * time[0]) / tu - (outcome[1] - yc / tc * time[1]) / tc
    half = Z * math.sqrt(float((each**2).sum()))
    return Cell(value * scale, (value - half) * scale, (value + half) * scale)
