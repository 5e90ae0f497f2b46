"""Sums of a plan with privacy: of groups of patients, and the noise that is added before anything is made of them.

A patient's group is the place in the linked order modulo the number of groups: that order is a secret shuffle, so
groups are random, and it stays as it is for as long as an agreement with privacy lasts (policy.privacy.check_privacy).
"""

from collections.abc import Sequence

import numpy as np

from mpc.engine import Engine
from mpc.moments import capped
from mpc.noise import Draw, noise
from mpc.parts import by_sum
from mpc.share import Share, Words
from mpc.statistics import ShardStatistics
from policy.agreement import Terms
from policy.plan import Plan
from policy.privacy import Block, SumNoise, blocks
from policy.window import Window

Cell = tuple[Window, int]
"""A window and the place of a stratum."""


async def group_sums(
    engine: Engine, plan: Plan, statistics: ShardStatistics, cells: Sequence[Cell], at_once: int
) -> Words:
    """(2, cells, groups, q) one shard's exact sums; messages only where the plan has a cap.

    Args:
        engine: the ring engine.
        plan: has privacy.
        statistics: of the shard, in the windows' edition.
        cells: what is wanted.
        at_once: values handled together.
    """
    groups, q = plan.groups, len(plan.quantities)
    found = np.zeros((2, len(cells), groups, q), np.uint64)
    windows = list(dict.fromkeys((window.start, window.stop) for window, _ in cells))
    row = 0
    for place, totals in statistics.windows(plan, windows, at_once):
        shape = (len(windows[place]), len(plan.strata), q, totals.shape[-1])
        by_quantity = by_sum(plan, totals) if plan.cap is None else await capped(engine, plan, totals)
        values = by_quantity.reshape(*shape).parts
        for group in range(groups):
            sums = values[..., (group - row) % groups :: groups].sum(axis=-1, dtype=np.uint64)
            for at, (window, stratum) in enumerate(cells):
                span = (window.start, window.stop)
                if span in windows[place]:
                    found[:, at, group] += sums[:, windows[place].index(span), stratum]
        row = (row + totals.shape[-1]) % max(statistics.linked, 1)
    return found


class Noising:
    """One node's part of the noise of an agreement's figures."""

    def __init__(self, terms: Terms, key: bytes) -> None:
        """`key`: 32 secret bytes of this node, the same for as long as the agreement lasts."""
        self._agreement, self._key = terms.hash, key
        self._places = {edge: place for place, edge in enumerate(terms.draft.lattice.edges)}

    async def of(self, engine: Engine, plan: Plan, edition: int, cells: Sequence[Cell]) -> Share:
        """(cells, groups, q) the same for the same cells, in every attempt and run. See mpc.noise.noise."""
        series, agreed = f"{self._agreement} {plan.hash} {edition}", tuple(zip(plan.sums, plan.noise, strict=True))
        wanted = [
            self._draws(f"{series} {name} {stratum} {group}".encode(), each, window)
            for window, stratum in cells for group in range(plan.groups) for name, each in agreed
        ]
        made = await noise(engine, self._key, wanted)
        return made.reshape(len(cells), plan.groups, len(agreed))

    async def added(
        self, engine: Engine, plan: Plan, windows: Sequence[Window], stratum: int, sums: Share
    ) -> Share:
        """(windows, q) with the noise with which first editions come out. `sums`: (windows, totals), exact."""
        whole = by_sum(plan, sums.reshape(len(windows), 1, len(plan.totals), 1)).reshape(len(windows), len(plan.noise))
        return whole + (await self.of(engine, plan, 0, [(window, stratum) for window in windows])).sum(axis=1)

    def _draws(self, series: bytes, agreed: SumNoise, window: Window) -> list[Draw]:
        """Of one sum: of the atoms' blocks that make up its window, or of the window."""
        if agreed.by_window:
            return [Draw(series, Block(0, window.index), agreed.variance)]
        found = blocks(self._places[window.start], self._places[window.stop])
        return [Draw(series, block, agreed.variance) for block in found]
