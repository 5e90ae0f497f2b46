"""A KPI on demand over a short and over a long history: the last 4, 26 or 104 of 104 weekly panes.

Timed is what a request costs the nodes once its panes are in the running totals: a new attempt, the check of all atoms'
contributors, each patient's totals over the window, their sums and second moments, and the tail with value and
clustered interval (a ratio of visit rates, all patients in one shard). Before that the result is compared with numpy.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import engine
from benchmarks.report import case
from benchmarks.revealed import revealed
from benchmarks.rows import held
from benchmarks.trio import Case, Contender, measure
from mpc.disclosure import Findings, atom_ranges, judge, opened
from mpc.engine import Engine
from mpc.moments import cell_statistics
from mpc.share import Share
from mpc.statistics import ShardStatistics
from mpc.tail import CellBatch, estimate
from mpc.tail.decode import decode
from mpc.transport import NodeLinks
from mpc.wire import Wire
from policy.kpi import compile_plan, load_kpi
from policy.measure import Measure
from policy.window import Window

ROWS, PANES = 100_000, 104
HISTORIES = (4, 26, 104)
SECONDS = 1800.0
MINIMUM = 10
PANES_AT_ONCE = 4
TAIL_SECONDS = 60.0
TOLERANCE = 1e-5
Ints = NDArray[np.int64]
MEASURES = {
    m.name: m for m in (
        Measure(name="app_user", party="hospital", aggregation="exposed", programme="app"),
        Measure(name="app_not_yet", party="hospital", aggregation="not-yet-exposed", programme="app", cohort="care"),
        Measure(name="insured_days", party="insurer", aggregation="days", programme="insured", bound=7),
        Measure(name="insured_any", party="insurer", aggregation="nonzero", of="insured_days"),
        Measure(name="gp_visits", party="insurer", aggregation="count", kind="claim", bound=63),
        Measure(name="gp_any", party="insurer", aggregation="nonzero", of="gp_visits"),
        *(Measure(name=f"income_{q}", party="statistics", aggregation="category", field="income", value=str(q))
          for q in range(1, 6)),
    )
}
_KPI = compile_plan(load_kpi("gp-visit-rate-ratio"), MEASURES)
PLAN = _KPI.model_copy(update={"strata": _KPI.strata[:1]})
"""All patients: one cell."""


def pane(number: int, patients: int) -> dict[str, Ints]:
    """One pane's columns, the same at every process: a quarter use the app at first, three quarters in the end."""
    rng = np.random.default_rng(number)
    user = np.arange(patients) % (2 * PANES) < PANES // 2 + number
    visits = rng.poisson(np.where(user, 0.5, 0.7))
    return {
        "app_user": user.astype(np.int64), "app_not_yet": (~user).astype(np.int64),
        "insured_days": np.full(patients, 7), "insured_any": np.ones(patients, np.int64),
        "gp_visits": visits, "gp_any": (visits > 0).astype(np.int64),
    }


def rate_ratio(history: int, patients: int) -> float:
    """Of the last panes, in the clear."""
    sums = np.zeros(4)
    for number in range(PANES - history, PANES):
        columns = pane(number, patients)
        for place, arm in enumerate(("app_user", "app_not_yet")):
            sums[2 * place] += (columns[arm] * columns["insured_days"]).sum()
            sums[2 * place + 1] += (columns[arm] * columns["gp_visits"]).sum()
    return float(sums[1] / sums[0] / (sums[3] / sums[2]))


class HistoryNode:
    """The product's statistics and tail."""

    def __init__(self, links: NodeLinks, wire: Wire) -> None:
        self._links, self._engine, self._number = links, Engine(wire), wire.number
        self._runs = 0

    async def barrier(self) -> None:
        """See benchmarks.trio.Node."""
        await self._engine.verify()

    def sent(self) -> int:
        """Not counted."""
        return 0

    async def cases(self, rows: int) -> Mapping[str, Case]:
        """See benchmarks.trio.Node."""
        statistics = ShardStatistics([PLAN], [(number, number + 1) for number in range(PANES)], rows)
        for first in range(0, PANES, PANES_AT_ONCE):
            columns = [pane(number, rows) for number in range(first, first + PANES_AT_ONCE)]
            aligned = {
                name: Share(held(np.stack([each[name] for each in columns]), self._number, f"{first} {name}"))
                for name in columns[0]
            }
            await statistics.add_panes(self._engine, first, aligned)
        return {
            str(history): Case(rows, partial(self._run, statistics, history), partial(self._correct, history, rows))
            for history in HISTORIES
        }

    async def _run(self, statistics: ShardStatistics, history: int) -> dict[str, list[int]]:
        """One request; this node's shares of the outputs."""
        self._runs += 1
        window = Window(index=0, start=PANES - history, stop=PANES)
        async with self._links.attempt(b"run %d" % self._runs, engine.STALL_SECONDS) as wire:
            node = Engine(wire)
            ranges = atom_ranges([window], [(number, number + 1) for number in range(PANES)])
            findings = [Findings(PLAN, statistics.contributors(PLAN))]
            if not (await opened(node, await judge(node, findings, ranges, MINIMUM))).all():
                raise RuntimeError("the window was not released")
            sums, gram = node.zeros((1, len(PLAN.totals))), node.zeros((1, *2 * (len(PLAN.totals),)))
            for _, totals in statistics.windows(PLAN, [(window.start, window.stop)]):
                found = await cell_statistics(node, totals[0])
                sums, gram = sums + found[0], gram + found[1]
            batch = CellBatch(PLAN, sums.parts, gram.parts)
            (outputs,) = await estimate(wire, [batch], statistics.linked, PANES, TAIL_SECONDS)
            return outputs

    async def _correct(self, history: int, rows: int, outputs: dict[str, list[int]]) -> bool:
        (result,) = decode(PLAN, await revealed(self._engine, outputs))
        return result.value is not None and math.isclose(result.value, rate_ratio(history, rows), rel_tol=TOLERANCE)


def contenders(_: int) -> Mapping[str, Contender]:
    """Only ours: what is compared are the cases."""
    return {"winnow": partial(engine.attempted, HistoryNode)}


def measure_history(rows: int, runs: int) -> list[dict[str, Any]]:
    """All histories; each row has its ratio to the shortest."""
    timings = measure("benchmarks.history", "winnow", [rows], runs, SECONDS, 0)
    found = [case(each.case, "winnow", each.rows, each.seconds) for each in timings]
    return [{**row, "ratio_to_shortest": round(row["seconds"] / found[0]["seconds"], 2)} for row in found]
