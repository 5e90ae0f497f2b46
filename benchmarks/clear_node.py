"""A node that computes in the clear: `python -m benchmarks.clear_node CONFIG.toml`; three of them are a contender.

All but the arithmetic is the product's (evaluation.node): three processes that tell each other how far they are,
compare what they read, ask the gate before every phase, note durably, attest, and each seal an output for the
recipient. But every node reads the parties' panes topics, which hold registers and panes in the clear, and computes
everything with numpy (benchmarks.plaintext); its output "share" is the output.
"""

import asyncio
import hashlib
import math
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from benchmarks.cohort import Cell, Z
from benchmarks.plaintext import Aggregator, follow
from evaluation.compute import FIRST, Computation, Shown
from evaluation.config import NodeSettings, load_settings, load_terms
from evaluation.epoch import Epoch
from evaluation.growing import Link
from evaluation.node import Node
from evaluation.process import run_process
from evaluation.results import AlertShares, KpiShares, ReleasedCell
from evaluation.status import StatusLine
from evaluation.totals import Portion
from mpc.share import Share
from mpc.tail.decode import output_names
from mpc.tail.field import PRIME
from mpc.workers import ShardEngines, Workers
from policy.agreement import Terms
from policy.identity import NODES
from policy.plan import Plan
from policy.window import Window


class ClearInputs:
    """What has arrived, in the desk's words."""

    mature_panes = 0

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator

    @property
    def batches_complete(self) -> int:
        return int(self._aggregator.linked)

    @property
    def complete_panes(self) -> int:
        return self._aggregator.panes


class ClearEpoch(Epoch):
    """Nothing is linked on shares."""

    def __init__(self) -> None:
        self.linkage, self.linked = "", {}

    async def link(self, engines: ShardEngines, what: Link) -> None:
        self.linkage = engines.main.wire.attempt.hex()

    @property
    def batches(self) -> int:
        return 1 if self.linkage else 0

    def resume(self, linkage: str, linked: Mapping[int, object]) -> None:
        self.linkage = linkage


class ClearComputation(Computation):
    """What a run computes, without shares: outputs are the same at all three nodes."""

    def __init__(self, terms: Terms, number: int, aggregator: Aggregator) -> None:
        self._terms, self._number, self._aggregator, self._workers = terms, number, aggregator, Workers()
        self.now, self.coming = ClearEpoch(), ClearEpoch()
        self._cells: dict[int, dict[tuple[str, int], Cell]] = {}
        """Window → its released cells."""
        self._shown = Shown(np.zeros((0, 0), np.int64))

    def manifest(self, windows: Sequence[Window], what: Link = FIRST) -> tuple[str, dict[int, str]]:
        read = hashlib.sha256(repr([(w.start, w.stop) for w in windows]).encode()).hexdigest()
        return read, dict.fromkeys((self._number, (self._number + 1) % NODES), read)

    @property
    def totals(self) -> tuple[str, ...]:
        return ()

    def left(self, windows: Sequence[Window]) -> list[Portion]:
        return []

    async def extend(self, engines: ShardEngines, windows: Sequence[Window]) -> None:
        """Panes were aligned as they came."""

    async def judge(self, engines: ShardEngines, plans: Sequence[Plan], windows: Sequence[Window]) -> Share:
        for window in windows:
            if window.index not in self._cells:
                self._cells[window.index] = self._aggregator.cells(window)
        self._shown = Shown(np.array([
            [sum((plan.kpi, place) in self._cells[w.index] for place in range(len(plan.strata))) for w in windows]
            for plan in plans
        ]))
        return Share(np.zeros((2, *self._shown.strata.shape), np.uint64))

    async def opened(self, engines: ShardEngines, judged: Share) -> Shown:
        return self._shown

    async def estimate(
        self, engines: ShardEngines, plans: Sequence[Plan], windows: Sequence[Window], released: Shown
    ) -> tuple[KpiShares, ...]:
        found = []
        for position, plan in enumerate(plans):
            places = [
                ReleasedCell(window=w.index, stratum=s)
                for at, w in enumerate(windows) for s in released.positions(position, at)
            ]
            rows = [_outputs(plan, self._cells[place.window][plan.kpi, place.stratum]) for place in places]
            found.append(KpiShares(plan=plan.hash, cells=tuple(places), outputs={
                name: tuple(f"{row[name] % PRIME:x}" for row in rows) for name in output_names(plan)
            }))
        return tuple(found)

    async def alerts(
        self, engines: ShardEngines, plans: Sequence[Plan], windows: Sequence[Window], released: Shown, shown: int
    ) -> tuple[AlertShares, ...]:
        found = []
        for alert in self._terms.draft.alerts:
            plan = next(plan for plan in plans if plan.kpi == alert.kpi)
            side, raised, states = 1 if alert.when == "above" else -1, False, {}
            for window in windows:
                cell = self._cells[window.index].get((plan.kpi, alert.stratum(plan)))
                if cell is not None:
                    up, down = side * (cell.value - float(alert.raise_at)), side * (cell.value - float(alert.clear_at))
                    raised = up >= 0 or (raised and down > 0)
                    states[window.index] = raised
            own = [w.index for w in windows[-shown:]]
            found.append(AlertShares(
                alert=alert.id, windows=tuple(w for w in own if w in states),
                states=tuple(f"{states[w]:x}" for w in own if w in states),
                no_data=tuple(w for w in own if w not in states),
            ))
        return tuple(found)


def _outputs(plan: Plan, cell: Cell) -> dict[str, int]:
    """Mantissas and exponents, before the plan's public scale, as mpc.tail.decode reads them."""
    scale = plan.scale_numerator / plan.scale_denominator
    ratio = plan.estimator == "rate-ratio"
    width = math.log(cell.high / cell.low) if ratio else (cell.high - cell.low) / scale
    found: dict[str, int] = {}
    for name, number in (("value", cell.value / scale), ("variance", (width / 2 / Z) ** 2)):
        fraction, exponent = math.frexp(number)
        bits = plan.significant_bits
        found |= {f"{name}.mantissa": round(Fraction(fraction) * 2**bits), f"{name}.exponent": exponent - bits}
    return found


class ClearNode(Node):
    """One of three nodes from which nothing is hidden."""

    def __init__(self, settings: NodeSettings, terms: Terms, status: StatusLine) -> None:
        super().__init__(settings, terms, status)
        self._aggregator = Aggregator(terms)
        self._inputs = ClearInputs(self._aggregator)
        self._received = 0
        self._computation = ClearComputation(terms, settings.number, self._aggregator)

    async def _receive(self) -> None:
        async with asyncio.TaskGroup() as group:
            for party in self._terms.draft.parties:
                group.create_task(self._follow(party.name))

    async def _follow(self, party: str) -> None:
        async for blocks in follow(self._broker, self._terms.draft, party):
            for header, content in blocks:
                self._aggregator.take(header, content)
            self._received += len(blocks)
            self._expected.note(self._aggregator.panes, {})
            self._status.say("shares", self._received)
            self._bell.ring()


def main(config: Path) -> int:
    """Return the exit code."""
    settings = load_settings(config, NodeSettings)
    status = StatusLine(f"node-{settings.number}")
    return run_process(status.process, ClearNode(settings, load_terms(settings.terms), status).run(), status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
