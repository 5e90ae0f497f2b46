"""Disclosure on shares: which results have enough contributors, and nothing else about them.

A release is a window of a plan: the total (all patients), and with it its categories: all, or (a table "in-order") as
many of the first ones as may come out. Windows overlap, so rules hold for atoms, the pieces into which all windows'
endpoints cut the panes: no combination of releases reaches below an atom.
- total: in every atom of the window every arm has at least the minimum of contributors, of each kind that the plan
  names: to its time, to its outcome, to what was missed.
- categories: the total is releasable, every one of them obeys the same rule, and so do together all who are in none of
  them, who may also be nobody: the total minus the categories tells about these. So what is left out hides among at
  least as many as everything else, whichever categories other windows show (docs/adr/0029).
- of sums of counts or amounts, in every such cell, atom and arm no one or two contributors dominate (mpc.dominance), if
  the agreement has such rules.
- a second edition of a window obeys all this by itself. What it says more than the first is about those who changed
  (mpc.changes): in every atom, of each cell, arm and sum, these are nobody or at least the minimum.
Sums that may cancel between atoms (of a completion: due minus completed) have to obey the rule over the whole window
too. Every rule is evaluated for every atom, window and number of categories, whatever the counts; one number for each
window of a plan is opened, how many cells come out, all plans and windows at once.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpc.engine import Engine
from mpc.share import Share
from policy.plan import Plan
from policy.window import Window

Atom = tuple[int, int]


def atom_ranges(windows: Sequence[Window], atoms: Sequence[Atom]) -> tuple[tuple[int, int], ...]:
    """The atoms first ≤ atom < last of each window.

    Raises:
        ValueError: a window does not begin and end where atoms do.
    """
    first = {start: place for place, (start, _) in enumerate(atoms)}
    last = {stop: place + 1 for place, (_, stop) in enumerate(atoms)}
    for window in windows:
        if window.start not in first or window.stop not in last:
            raise ValueError(f"window {window.start}..{window.stop} is not made of the lattice's atoms")
    return tuple((first[w.start], last[w.stop]) for w in windows)


async def opened(engine: Engine, judged: Share) -> NDArray[np.int64]:
    """Open what `judge` found: (plans, windows) public."""
    return (await engine.open(judged)).astype(np.int64)


class Findings(NamedTuple):
    """What is known of one plan, all shards together, on shares; cells as `Plan.counted_cells`."""

    plan: Plan
    counts: Share
    """(atoms, counted cells, arms, kinds) contributors, as `ShardStatistics.contributors` orders them."""
    over_windows: Share | None = None
    """(windows, counted cells, arms, kinds), where contributors over whole windows count too."""
    changes: Share | None = None
    """(atoms, counted cells, arms, sums) patients who changed since the first edition (mpc.changes)."""
    dominance: Share | None = None
    """(atoms, counted cells, arms) 0 where no dominance rule is broken (mpc.dominance)."""
    dominance_over_windows: Share | None = None
    """(windows, counted cells, arms) the same of whole windows."""

    def check(self, windows: Sequence[tuple[int, int]]) -> None:
        """Raises: ValueError where shapes do not fit the plan, each other or the windows."""
        atoms, cells = len(self.counts), self.plan.counted_cells
        expected = {
            "counts": (self.counts, atoms, 4), "changes": (self.changes, atoms, 4),
            "dominance": (self.dominance, atoms, 3), "over_windows": (self.over_windows, len(windows), 4),
            "dominance_over_windows": (self.dominance_over_windows, len(windows), 3),
        }
        for name, (share, places, axes) in expected.items():
            if share is not None and (share.shape[:2] != (places, cells) or len(share.shape) != axes):
                raise ValueError(
                    f"KPI {self.plan.kpi}: {name} of shape {share.shape}; expected {axes} axes, the first ({places}, "
                    f"{cells})"
                )
        if any(not 0 <= first < last <= atoms for first, last in windows):
            raise ValueError(f"windows {list(windows)} do not fit {atoms} atoms")


async def judge(
    engine: Engine, findings: Sequence[Findings], windows: Sequence[tuple[int, int]], minimum: int
) -> Share:
    """Apply the rules; nothing opens.

    Args:
        engine: the ring engine.
        findings: of each plan.
        windows: the atoms first ≤ atom < last of each window.
        minimum: fewest contributors, ≥ 1.

    Returns:
        (plans, windows) how many of a plan's strata come out, on shares: 0 none, 1 the total, 3 the total and the first
        two categories.

    Raises:
        ValueError: minimum, windows or shapes out of bounds.
    """
    if minimum < 1:
        raise ValueError(f"the minimum is {minimum}; expected 1 or more")
    for each in findings:
        each.check(windows)
    counted = [s for each in findings for s in (each.counts, each.changes, each.over_windows) if s is not None]
    flat = Share.concat([share.reshape(-1) for share in counted])
    few, none = await asyncio.gather(engine.less(flat, minimum), engine.equal_zero(flat))
    bits, at = [], 0
    for share in counted:
        bits.append([found[at : at + share.size].reshape(*share.shape) for found in (few, none)])
        at += share.size
    judged, failures = iter(bits), []
    for plan, _, over_windows, changes, dominance, dominance_over_windows in findings:
        by_atom = _too_few(plan, *next(judged))
        if changes is not None:
            by_atom = by_atom + _a_few(plan, *next(judged))
        if dominance is not None:
            by_atom = by_atom + _by_cells(plan, dominance, dominance)
        failed = Share.stack([by_atom[:, first:last].sum() for first, last in windows], axis=1)
        if over_windows is not None:
            failed = failed + _too_few(plan, *next(judged))
        if dominance_over_windows is not None:
            failed = failed + _by_cells(plan, dominance_over_windows, dominance_over_windows)
        failures.append(failed)
    held = await engine.equal_zero(Share.concat(failures))
    edges = np.cumsum([len(failed) for failed in failures])
    by_plan = [held[stop - len(failed) : stop] for failed, stop in zip(failures, edges, strict=True)]
    return Share.stack([await _most(engine, each.plan, bit) for each, bit in zip(findings, by_plan, strict=True)])


async def _most(engine: Engine, plan: Plan, held: Share) -> Share:
    """(windows,) strata that come out, from (1 + prefixes, windows) 0/1: does the total obey, does each prefix?

    A prefix implies the total, so that with one prefix there is nothing to choose.
    """
    total = held[0]
    if len(plan.prefixes) < 2:
        return total + sum((held[1 + place] * categories for place, categories in enumerate(plan.prefixes)), total * 0)
    most = total
    for place, categories in enumerate(plan.prefixes, 1):
        most = most + await engine.multiply(held[place], 1 + categories - most)
    return most.bounded(len(plan.strata))


def _by_cells(plan: Plan, shown: Share, hidden: Share) -> Share:
    """(1 + prefixes, atoms or windows): sums over arms and what follows, of the total, and of the total with each
    prefix's categories and those outside of it.

    `shown`, `hidden`: (atoms or windows, counted cells, arms, …) how often a cell breaks a rule if it comes out, and if
    it does not.
    """
    strata, rest = len(plan.strata), tuple(range(2, len(shown.shape)))
    of_shown, of_hidden = (broken.sum(axis=rest) for broken in (shown, hidden))
    found = [of_shown[:, 0]]
    for place, categories in enumerate(plan.prefixes):
        found.append(of_shown[:, : 1 + categories].sum(axis=1) + of_hidden[:, strata + place])
    return Share.stack(found)


def _too_few(plan: Plan, too_few: Share, empty: Share) -> Share:
    """How often there are not enough; nobody may be outside of what is shown."""
    return _by_cells(plan, too_few, too_few - empty)


def _a_few(plan: Plan, too_few: Share, empty: Share) -> Share:
    """How often a few changed: not nobody, nor enough."""
    a_few = too_few - empty
    return _by_cells(plan, a_few, a_few)
