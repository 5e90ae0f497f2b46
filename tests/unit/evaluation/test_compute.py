"""One node's computation, three of them together: every estimator, several shards, in steps of any size."""

import gc
from pathlib import Path

import numpy as np
import pytest

from evaluation import compute, totals
from evaluation.compute import Computation
from mpc import workers
from mpc.errors import MpcError
from mpc.statistics import ShardStatistics
from mpc.tail.decode import decode
from mpc.tail.recombine import recombine_outputs
from mpc.workers import Workers
from policy.agreement import Draft
from policy.compilation import compile_plans
from policy.kpi import load_kpi
from tests.support import runs
from tests.support.runs import Shares, run_terms
from tests.support.terms import draft_data
from tests.support.wires import run_three

MONITORED = [
    {"name": "modules_due", "aggregation": "count", "kind": "monitoring", "code": "due", "bound": 15},
    {"name": "modules_completed", "aggregation": "count", "kind": "monitoring", "code": "completed", "bound": 15},
    {"name": "modules_missed", "aggregation": "missed", "bound": 15},
    {"name": "prom_follow_ups", "aggregation": "follow-ups", "code": "control-8", "bound": 7},
    {"name": "prom_change", "aggregation": "change", "code": "control-8", "bound": 12_000},
    *({"name": f"{name}_any", "aggregation": "nonzero", "of": name}
      for name in ("modules_due", "modules_completed", "modules_missed", "prom_follow_ups")),
]
CAP = 150
EXPECTED = {
    # Two shards of 20 patients an arm, of whom 4 in each income group; two weeks with 7 days, 2 visits, 2 modules due, €1
    # and 1 of everything else.
    "gp-visit-rate-ratio": {"exposed.time": 560, "exposed.outcome": 160, "comparator.time": 560,
                            "comparator.outcome": 160},
    "cost-difference-winsorised": {"exposed.time": 560, "exposed.outcome": 40 * CAP, "comparator.time": 560,
                                   "comparator.outcome": 40 * CAP},
    "uptake": {"exposed.time": 560, "comparator.time": 560},
    "monitoring-adherence": {"exposed.time": 160, "exposed.outcome": 80},
    "prom-change": {"exposed.time": 80, "exposed.outcome": 80, "comparator.time": 80, "comparator.outcome": 80},
}
VALUES = {
    "gp-visit-rate-ratio": 1, "cost-difference-winsorised": 0, "uptake": 0.5, "monitoring-adherence": 0.5, "prom-change": 0,
}


def agreed():
    """Terms with every kind of plan; all outputs are sums."""
    data = draft_data(shards=2, measures=[*draft_data()["measures"], *({**m, "party": "hospital"} for m in MONITORED)])
    data["parties"][0]["sources"][0]["kinds"] = ["enrolment", "monitoring", "prom"]
    terms = run_terms(shards=2, measures=data["measures"], parties=data["parties"])
    kpis = [load_kpi(name).model_copy(update={"outputs": ("sums",)}) for name in EXPECTED]
    kpis[1] = kpis[1].model_copy(update={"cap": CAP})
    plans = compile_plans(Draft.model_validate(terms.draft.model_dump()), tuple(kpis))
    return terms.model_copy(update={"plans": plans})


def holding(monkeypatch, **columns):
    """Columns with another value for every patient than the made-up shares have."""
    usual = runs._values

    def values(column, patient):
        return np.full(patient.shape, columns[column]) if column in columns else usual(column, patient)

    monkeypatch.setattr(runs, "_values", values)


async def ready(wire, terms, threads=None, store=None):
    """Engines, and a computation that has linked and holds the totals of all panes."""
    store = store or Shares(terms, wire.number)
    computation = Computation(terms, terms.plans, store, wire.number, bytes([wire.number]) * 32, workers=threads)
    engines = computation.engines(wire)
    await computation.link(engines)
    await computation.extend(engines, terms.draft.lattice.scheduled)
    return engines, computation


@pytest.mark.parametrize(("due", "out"), [(1, False), (2, True)])
async def test_adherence_comes_out_only_if_some_of_what_was_due_was_not_done(due, out, monkeypatch):
    """Everybody missed something in every week (`modules_missed_any`), but did it later in the window."""
    terms = agreed()
    holding(monkeypatch, modules_due=due)
    windows = terms.draft.lattice.scheduled

    async def program(wire):
        engines, computation = await ready(wire, terms)
        return (await computation.opened(engines, await computation.judge(engines, terms.plans, windows))).strata

    shown, *_ = await run_three(program)
    position = list(EXPECTED).index("monitoring-adherence")
    assert (shown[position] == (6 if out else 0)).all()
    assert (np.delete(shown, position, axis=0) == 6).all()


@pytest.mark.parametrize(("at_once", "rows"), [(1, 1 << 18), (2_000, 1 << 18), (1 << 21, 1 << 18), (1 << 21, 1)])
async def test_every_estimator_over_shards_and_windows(at_once, rows, monkeypatch):
    """In steps of any size, two shards side by side or one by one; node i computes in i + 1 threads."""
    monkeypatch.setattr(workers, "ROWS_TOGETHER", rows)
    for module, name in ((totals, "VALUES_AT_ONCE"), (totals, "VALUES_PER_STEP"), (compute, "WINDOW_VALUES")):
        monkeypatch.setattr(module, name, at_once)
    terms = agreed()
    windows = terms.draft.lattice.scheduled
    holding(monkeypatch, modules_due=2)

    async def program(wire):
        with Workers(wire.number + 1) as threads:
            return await run(wire, threads)

    async def run(wire, threads):
        engines, computation = await ready(wire, terms, threads)
        released = await computation.opened(engines, await computation.judge(engines, terms.plans, windows))
        assert (released.strata == 6).all()
        return await computation.estimate(engines, terms.plans, windows, released)

    nodes = await run_three(program)
    for position, plan in enumerate(terms.plans):
        shares = [node[position] for node in nodes]
        assert [(c.window, c.stratum) for c in shares[0].cells] == [(w.index, s) for w in windows for s in range(6)]
        outputs = recombine_outputs([{n: [int(v, 16) for v in vs] for n, vs in s.outputs.items()} for s in shares])
        for cell, result in zip(shares[0].cells, decode(plan, outputs), strict=True):
            part = 5 if cell.stratum else 1
            assert result.sums == {name: value // part for name, value in EXPECTED[plan.kpi].items()}
            assert result.value == VALUES[plan.kpi]


@pytest.fixture
def uncollected():
    """No garbage is collected: circles of failed attempts' tracebacks stay."""
    gc.disable()
    yield
    gc.enable()


async def test_the_room_of_an_attempt_that_failed_is_given_back_at_once(tmp_path, uncollected):
    """Else the totals of one failed attempt lie on disk beside those of the next."""
    terms = agreed()
    windows = terms.draft.lattice.scheduled

    def kept():
        """How many files without a name are open in the folder."""
        return sum(str(tmp_path) in str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink())

    async def attempt(wire):
        computation = computations[wire.number]
        engines = computation.engines(wire)
        try:
            if not computation.linkage:
                await computation.link(engines)
            await computation.extend(engines, windows)
        except MpcError as error:
            wire.fail(error)
            return error

    async def attempts(spoilt=None):
        def tap(sender, _receiver, channel, label, payload):
            hit = (sender, channel, label >> 22) == (2, workers.FIRST_CHANNEL, spoilt)
            return payload[1:] if hit else payload

        return await run_three(attempt, tap=tap)

    computations = [
        Computation(terms, terms.plans, Shares(terms, n), n, bytes([n]) * 32, tmp_path) for n in range(3)
    ]
    assert await attempts() == (None,) * 3
    assert kept() == 6
    for computation in computations:
        computation.forget_totals()
    for spoilt in (0, 1):
        assert all(isinstance(error, MpcError) for error in await attempts(spoilt))
        assert kept() == 0
    assert await attempts() == (None,) * 3
    assert kept() == 6
    # Nothing of the attempts that failed is in memory either: two shards at each of three nodes.
    assert sum(isinstance(each, ShardStatistics) for each in gc.get_objects()) == 6


class NobodyInCommon(Shares):
    """In the `empty` shards no two parties have a link key in common."""

    def __init__(self, terms, number, empty):
        super().__init__(terms, number)
        self._places = {party.name: place for place, party in enumerate(terms.draft.parties)}
        self._empty = empty

    def register(self, party, shard, batch=0):
        apart = self._places[party] << 40 if shard in self._empty else 0
        return super().register(party, shard, batch) ^ np.uint64(apart)


@pytest.mark.parametrize("empty", [{1}, {0}, {0, 1}], ids=str)
async def test_shards_without_linked_rows_add_nothing(empty, monkeypatch):
    """Without dummies nothing is linked where the parties have nobody in common, as with another link secret."""
    holding(monkeypatch, modules_due=2)
    terms = agreed()
    linkage = terms.draft.linkage.model_copy(update={"dummies": 0})
    terms = terms.model_copy(update={"draft": terms.draft.model_copy(update={"linkage": linkage})})
    windows = terms.draft.lattice.scheduled

    async def program(wire):
        with Workers(wire.number + 1) as threads:
            engines, computation = await ready(wire, terms, threads, NobodyInCommon(terms, wire.number, empty))
            released = await computation.opened(engines, await computation.judge(engines, terms.plans, windows))
            # In one shard of two an income group has 4 patients an arm, fewer than the minimum.
            return released.strata > 0, await computation.estimate(engines, terms.plans, windows, released)

    nodes = await run_three(program)
    for position, plan in enumerate(terms.plans):
        assert nodes[0][0][position].all() == nodes[0][0][position].any() == (len(empty) == 1)
        shares = [found[position] for _, found in nodes]
        outputs = recombine_outputs([{n: [int(v, 16) for v in vs] for n, vs in s.outputs.items()} for s in shares])
        results = [r for c, r in zip(shares[0].cells, decode(plan, outputs), strict=True) if c.stratum == 0]
        assert len(results) == (len(windows) if len(empty) == 1 else 0)
        for result in results:
            assert result.sums == {name: value // 2 for name, value in EXPECTED[plan.kpi].items()}
