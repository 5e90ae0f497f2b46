"""Disclosure on shares: which results have enough contributors, and nothing else about them.

A release is a window of a plan, in two parts: the total (all patients) and the table (its strata). Windows overlap, so
rules hold for atoms, the pieces into which all windows' endpoints cut the panes: no combination of releases reaches
below an atom.
- total: in every atom of the window every arm has at least the minimum of contributors, of each kind that the plan
  names: to its time, to its outcome, to what was missed.
- table: the total is releasable, every stratum obeys the same rule, and so does the remainder (contributors outside
  all strata), which may also be empty: the total minus the strata tells about it.
- a second edition of a window obeys all this by itself. What it says more than the first is about those who changed
  (mpc.changes): in every atom, of each cell, arm and sum, these are nobody or at least the minimum.
Sums that may cancel between atoms (of a completion: due minus completed) have to obey the rule over the whole window
too. Every rule is evaluated for every atom and window, whatever the counts; one bit for each part is opened, all plans
and windows at once.
"""

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mpc.engine import Engine
from mpc.share import Share
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


async def opened(engine: Engine, judged: Share) -> NDArray[np.bool_]:
    """Open what `judge` found: (plans, windows, 2) public."""
    return (await engine.open(judged)).astype(bool)


async def judge(
    engine: Engine, counts: Sequence[Share], windows: Sequence[tuple[int, int]], minimum: int,
    over_windows: Mapping[int, Share] | None = None, changes: Sequence[Share] = (),
) -> Share:
    """Apply the rules; nothing opens.

    Args:
        engine: the ring engine.
        counts: per plan (atoms, counted cells, arms, kinds) contributors of all shards together, as
            `ShardStatistics.contributors` orders them.
        windows: the atoms first ≤ atom < last of each window.
        minimum: fewest contributors, ≥ 1.
        over_windows: plan's position → (windows, counted cells, arms, kinds), where contributors over whole windows
            count too.
        changes: for second editions, per plan (atoms, counted cells, arms, sums) patients who changed (mpc.changes).

    Returns:
        (plans, windows, 2) shared 0/1: total, table.

    Raises:
        ValueError: minimum, windows or shapes out of bounds.
    """
    if minimum < 1:
        raise ValueError(f"the minimum is {minimum}; expected 1 or more")
    over_windows = over_windows or {}
    if changes and len(changes) != len(counts):
        raise ValueError(f"changes of {len(changes)} plans, contributors of {len(counts)}; expected as many")
    for share in (*counts, *changes):
        if len(share.shape) != 4 or any(not 0 <= first < last <= share.shape[0] for first, last in windows):
            raise ValueError(f"windows {list(windows)} do not fit counts of shape {share.shape}")
    for share in over_windows.values():
        if len(share.shape) != 4 or share.shape[0] != len(windows):
            raise ValueError(f"{len(windows)} windows do not fit counts over windows of shape {share.shape}")
    everything = [*counts, *changes, *over_windows.values()]
    flat = Share.concat([share.reshape(-1) for share in everything])
    few, none = await asyncio.gather(engine.less(flat, minimum), engine.equal_zero(flat))
    bits, at = [], 0
    for share in everything:
        bits.append([found[at : at + share.size].reshape(*share.shape) for found in (few, none)])
        at += share.size
    judged = iter(bits)
    by_atom = [_broken(*next(judged)) for _ in counts]
    for plan in range(len(changes)):
        by_atom[plan] = by_atom[plan] + _broken_by_changes(*next(judged))
    by_window = {plan: _broken(*next(judged)) for plan in over_windows}
    failures = []
    for plan, parts in enumerate(by_atom):
        for place, (first, last) in enumerate(windows):
            failed = parts[:, first:last].sum()
            failures.append(failed + by_window[plan][:, place] if plan in by_window else failed)
    return (await engine.equal_zero(Share.stack(failures))).reshape(len(counts), len(windows), 2)


def _broken(too_few: Share, empty: Share) -> Share:
    """(2, atoms or windows): how often the rules of the total and of the table are broken."""
    cells = too_few.shape[1]
    table = too_few.sum(axis=(1, 2, 3))
    if cells > 1:
        table = table - empty[:, cells - 1].sum(axis=(1, 2))
    return Share.stack([too_few[:, :1].sum(axis=(1, 2, 3)), table])


def _broken_by_changes(too_few: Share, empty: Share) -> Share:
    """(2, atoms): how often a few changed, for the total and for the table."""
    a_few = too_few - empty
    return Share.stack([a_few[:, :1].sum(axis=(1, 2, 3)), a_few.sum(axis=(1, 2, 3))])
