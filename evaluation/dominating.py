"""Which atoms' sums a few contributors dominate, of all shards together (mpc.dominance).

It is decided once for each atom, when its panes are added to the running totals, and goes back with them. What a cap
leaves is not additive over atoms: with a cap, the rules hold over each window.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mpc.dominance import dominated
from mpc.engine import Engine
from mpc.moments import capped
from mpc.parts import by_sum, with_outsides
from mpc.share import Share, Words
from mpc.statistics import ShardStatistics
from policy.disclosure import Dominance
from policy.plan import Plan

VALUES_AT_ONCE = 1 << 20
"""Contributions compared at once: 8 MiB a component."""
HELD_AT_ONCE = 1 << 22
"""Contributions read at once, unless one atom has more: 64 MiB of both components."""

Span = tuple[int, int]
Shards = Mapping[int, ShardStatistics]


class AtomDominance:
    """One node's shares of what was decided, by edition."""

    def __init__(self, plans: Sequence[Plan], atoms: Sequence[Span], rules: Dominance | None) -> None:
        """Nothing is decided yet.

        Args:
            plans: of which those without a cap that sum counts or amounts are judged.
            atoms: all of the lattice.
            rules: the agreement's; None: nothing is dominated.
        """
        self._atoms, self._rules = tuple(atoms), rules
        judged = [plan for plan in plans if plan.cap is None and plan.contribution_bound(1) is not None]
        self._plans = {_summed(plan): plan for plan in judged}
        """Plans that sum the same of the same patients need one verdict."""
        self._found: dict[int, dict[str, Words]] = {}
        """Edition → plan → (2, atoms, counted cells, arms)."""

    async def add(self, engine: Engine, shards: Shards, edition: int, panes: range) -> None:
        """Decide about the atoms that lie in these panes, all of which are added by now."""
        if self._rules is None:
            return
        chosen = [place for place, (start, _) in enumerate(self._atoms) if start in panes]
        for name, plan in self._plans.items():
            shape = (2, len(self._atoms), plan.counted_cells, len(plan.arms))
            found = self._found.setdefault(edition, {}).setdefault(name, np.zeros(shape, np.uint64))
            for some in _together(chosen, plan, shards):
                spans = [self._atoms[place] for place in some]
                found[:, some] = (await _judged(engine, plan, spans, _outcomes(plan, shards, spans), self._rules)).parts

    def go_back(self, panes: Mapping[int, int]) -> None:
        """Forget atoms from `panes[edition]` on, and editions that are not there."""
        self._found = {edition: found for edition, found in self._found.items() if edition in panes}
        for edition, found in self._found.items():
            later = [place for place, (start, _) in enumerate(self._atoms) if start >= panes[edition]]
            for words in found.values():
                words[:, later] = 0

    def of(self, edition: int, plan: Plan) -> Share | None:
        """(atoms, counted cells, arms) 0 where no rule is broken, or not decided yet; None where no rule applies."""
        found = self._found.get(edition, {}).get(_summed(plan))
        return None if found is None else Share(found)


async def over_changes(
    engine: Engine, plan: Plan, before: Shards, after: Shards, atoms: Sequence[Span], rules: Dominance
) -> Share:
    """As `AtomDominance.of`, of what a later edition says more than the first, which is a sum too."""
    found = []
    for some in _together(range(len(atoms)), plan, after):
        spans = [atoms[place] for place in some]
        editions = (_outcomes(plan, shards, spans) for shards in (before, after))
        changes = [later - earlier for earlier, later in zip(*editions, strict=True)]
        found.append(await _judged(engine, plan, spans, changes, rules, editions=2))
    return Share.concat(found)


async def over_windows(
    engine: Engine, plan: Plan, shards: Shards, windows: Sequence[Span], rules: Dominance
) -> Share:
    """As `AtomDominance.of`, of whole windows of a plan with a cap: (windows, counted cells, arms)."""
    found = []
    for span in windows:
        parts = []
        for statistics in shards.values():
            totals = _whole(plan, statistics, [span])
            _, cells, _, linked = totals.shape
            kept = (await capped(engine, plan, totals)).reshape(1, cells, len(plan.arms), -1, linked)
            parts.append(with_outsides(plan, kept[:, :, :, 1]))
        found.append(await _judged(engine, plan, [span], parts, rules))
    return Share.concat(found)


def _outcomes(plan: Plan, shards: Shards, spans: Sequence[Span]) -> list[Share]:
    """Of each shard (spans, counted cells, arms, linked)."""
    return [with_outsides(plan, by_sum(plan, _whole(plan, each, spans))[:, :, :, 1]) for each in shards.values()]


def _whole(plan: Plan, statistics: ShardStatistics, spans: Sequence[Span]) -> Share:
    """(spans, cells, totals, linked) in one piece."""
    ((_, totals),) = statistics.windows(plan, spans, sys.maxsize)
    return totals


async def _judged(
    engine: Engine, plan: Plan, spans: Sequence[Span], parts: Sequence[Share], rules: Dominance, editions: int = 1,
) -> Share:
    """(spans, cells, arms) verdicts. `parts`: of each shard (spans, cells, arms, linked), or how editions differ."""
    bound = plan.contribution_bound(max(stop - start for start, stop in spans))
    if bound is None:
        raise ValueError(f"KPI {plan.kpi} sums no counts or amounts")
    signed = editions > 1 or (plan.cap is None and plan.outcome[0].signed)
    whole = Share.concat(parts, axis=-1).bounded(editions * bound)
    *shape, linked = whole.shape
    sums = whole.reshape(-1, linked)
    step = max(1, VALUES_AT_ONCE // max(linked, 1))
    found = [
        await dominated(engine, sums[start : start + step], rules, signed=signed)
        for start in range(0, len(sums), step)
    ]
    return Share.concat(found).reshape(*shape)


def _together(places: Sequence[int], plan: Plan, shards: Shards) -> Iterator[list[int]]:
    """Places of atoms whose contributions are read at once."""
    an_atom = plan.counted_cells * len(plan.arms) * max(sum(each.linked for each in shards.values()), 1)
    most = max(1, HELD_AT_ONCE // an_atom)
    for start in range(0, len(places), most):
        yield list(places[start : start + most])


def _summed(plan: Plan) -> str:
    """What a plan sums, of whom; equal for plans that need one verdict."""
    return repr((plan.arms, plan.outcome, plan.cap, plan.strata, plan.table))
