"""A whole run at a large size, and the most memory that a node needs for it.

Eight measures (insured days, seven kinds of visits) of users and others, by eight regions and for all: three registers
are linked, two weekly panes are aligned and added to the running totals, contributors are checked, and the sums of the
window of both come out of the tail for seven KPIs. What a store would read is made up as it is needed.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks import engine
from benchmarks.report import case
from benchmarks.revealed import revealed
from benchmarks.rows import held
from benchmarks.trio import Case, Contender, measure
from evaluation.compute import Computation
from evaluation.results import KpiShares
from mpc.engine import Engine
from mpc.transport import NodeLinks
from mpc.wire import Wire
from policy.agreement import Draft, Terms
from policy.compilation import compile_plans
from policy.kpi import load_kpi
from policy.plan import Plan
from streams.store import ShareStore
from tests.support.terms import draft_data, make_terms

ROWS, PANES, REGIONS = 1_000_000, 2, 8
VISITS = ("gp", "outpatient", "admission", "ed", "medication", "dental", "mental")
SECONDS = 3600.0
DAYS = 7
Words = NDArray[np.uint64]
Ints = NDArray[np.int64]


def agreed(rows: int) -> Terms:
    """An agreement over these measures, for so many patients."""
    usual = {m["name"]: m for m in draft_data()["measures"]}
    measures = [usual[name] for name in ("app_user", "app_not_yet", "insured_days", "insured_any")]
    for visits in VISITS:
        measures += [
            {**usual["gp_visits"], "name": visits, "care_type": visits, "bound": 15},
            {"name": f"{visits}_any", "party": "insurer", "aggregation": "nonzero", "of": visits},
        ]
    regions = [f"region_{number}" for number in range(REGIONS)]
    measures += [
        {"name": region, "party": "statistics", "aggregation": "category", "field": "region", "value": region}
        for region in regions
    ]
    strata = {"dimension": "region", "categories": [{"value": f"r{at}", "measure": r} for at, r in enumerate(regions)]}
    draft = Draft.model_validate(draft_data(
        measures=measures, strata=strata, windows={"size": PANES, "step": 1}, on_demand=None,
        panes={"zone": "UTC", "unit": "week", "start": "2024-01-01", "count": PANES + 1},
        linkage={"date": "2024-01-08", "block_slots": min(rows, 1 << 16), "dummies": 1_000},
        kpis=["gp-visit-rate-ratio"], recipients=[{"name": "innovation-team", "kpis": ["gp-visit-rate-ratio"]}],
    ))
    program = load_kpi("gp-visit-rate-ratio")
    kpis = tuple(
        program.model_copy(update={"id": f"{visits}-ratio", "outcome": visits, "outputs": ("sums",)})
        for visits in VISITS
    )
    terms: Terms = make_terms().model_copy(update={"draft": draft, "plans": compile_plans(draft, kpis)})
    return terms


def values(column: str, pane: int, patients: Ints) -> Ints:
    """What a column holds for patients 0, 1, 2 … in a pane."""
    if column.startswith("app_"):
        return np.asarray((patients % 2 == 0) == (column == "app_user"), np.int64)
    if column.startswith("region_"):
        return np.asarray(patients // 2 % REGIONS == int(column.removeprefix("region_")), np.int64)
    if column == "insured_days":
        return np.full(patients.shape, DAYS)
    if column.endswith("_any"):
        return np.ones(patients.shape, np.int64)
    return (patients + pane + VISITS.index(column)) % 3 + 1


def expected(plan: Plan, rows: int) -> dict[str, list[int]]:
    """Sums of every cell over all panes, in the clear."""
    patients, found = np.arange(rows), {f"sums.{name}": [0] * len(plan.strata) for name in plan.sums}
    for pane in range(PANES):
        for cell, stratum in enumerate(plan.strata):
            mask = 1 if stratum.column is None else values(stratum.column.name, pane, patients)
            for arm, prefix in zip(plan.arms, ("exposed", "comparator"), strict=True):
                counted = mask * values(arm.name, pane, patients)
                found[f"sums.{prefix}.time"][cell] += int((counted * DAYS).sum())
                found[f"sums.{prefix}.outcome"][cell] += int(
                    (counted * values(plan.outcome[0].name, pane, patients)).sum()
                )
    return found


class MadeUpStore:
    """One node's shares of `rows` patients, in another order at every party."""

    def __init__(self, terms: Terms, number: int, rows: int) -> None:
        self._terms, self._number, self._rows = terms, number, rows

    def register(self, party: str, _shard: int, _batch: int) -> Words:
        """(2, rows) components of the link keys."""
        return held(self._patients(party), self._number, f"{party} register", xor=True)

    def register_slots(self, _party: str, _shard: int, batches: int) -> int:
        """Of the first so many batches; there is one."""
        return batches * self._rows

    def panes(
        self, party: str, _shard: int, panes: range, columns: Sequence[str], _edition: int, _batches: int
    ) -> Words:
        """(2, panes, columns, rows), as ShareStore has them."""
        patients = self._patients(party)
        found = np.empty((2, len(panes), len(columns), self._rows), np.uint64)
        for at, pane in enumerate(panes):
            for place, column in enumerate(columns):
                found[:, at, place] = held(values(column, pane, patients), self._number, f"{column} {pane}")
        return found

    def _patients(self, party: str) -> Ints:
        position = [p.name for p in self._terms.draft.parties].index(party)
        return np.random.default_rng(position).permutation(self._rows)


class NodeOfTheRun:
    """The product's computation, from the registers to the outputs."""

    def __init__(self, links: NodeLinks, wire: Wire) -> None:
        self._links, self._engine = links, Engine(wire)
        self._runs = 0

    async def barrier(self) -> None:
        """See benchmarks.trio.Node."""
        await self._engine.verify()

    def sent(self) -> None:
        """Not counted."""

    async def cases(self, rows: int) -> Mapping[str, Case]:
        """See benchmarks.trio.Node."""
        terms = agreed(rows)
        return {"run": Case(rows, partial(self._run, terms, rows), partial(self._correct, terms, rows))}

    async def _run(self, terms: Terms, rows: int) -> tuple[KpiShares, ...]:
        number, window = self._engine.number, terms.draft.lattice.scheduled[:1]
        store = cast("ShareStore", MadeUpStore(terms, number, rows))
        computation = Computation(terms, terms.plans, store, number, bytes([number]) * 32)
        self._runs += 1
        async with self._links.attempt(b"run %d" % self._runs, engine.STALL_SECONDS) as wire:
            engines = computation.engines(wire)
            await computation.link(engines)
            await computation.extend(engines, window)
            judged = await computation.judge(engines, terms.plans, window)
            return await computation.estimate(
                engines, terms.plans, window, await computation.opened(engines, judged)
            )

    async def _correct(self, terms: Terms, rows: int, found: tuple[KpiShares, ...]) -> bool:
        for plan, shares in zip(terms.plans, found, strict=True):
            outputs = {name: [int(each, 16) for each in told] for name, told in shares.outputs.items()}
            if await revealed(self._engine, outputs) != expected(plan, rows):
                return False
        return len(found) == len(VISITS)


def contenders(_: int) -> Mapping[str, Contender]:
    """Only ours: what is asked for is a bound."""
    return {"winnow": partial(engine.attempted, NodeOfTheRun)}


def measure_node(rows: int, runs: int) -> list[dict[str, Any]]:
    """One row, with the most memory of the three processes."""
    (timing,) = measure("benchmarks.node", "winnow", [rows], runs, SECONDS, 0)
    return [{**case("run", "winnow", rows, timing.seconds), "peak_mib": timing.peak_mib}]
