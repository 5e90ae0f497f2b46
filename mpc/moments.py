"""Sums and second moments over patients of what each has in a window; before that, caps and what was missed. On shares.

All of it is by patient: results over parts of the rows, and over shards, add up.
"""

from mpc.engine import Engine
from mpc.parts import by_sum, outside, with_outsides
from mpc.share import Share
from mpc.statistics import StatisticsError
from policy.plan import Plan


async def capped(engine: Engine, plan: Plan, totals: Share) -> Share:
    """Cap each patient's outcome in every window and category at `plan.cap`, and at 0 from below.

    A patient's capped outcome in the total is the sum of those in the categories and outside them all. So a total
    less its categories is what it was without a cap: the patients outside, of whom there are none or enough
    (mpc.disclosure). Were the total capped by itself, it would show who passes the cap in no category but in all.
    What a patient beyond the cap adds is not additive over windows either: policy.lattice permits a cap only where no
    window is a sum of others.

    11 rounds; at most 104 bytes a patient, arm, category and window from node 0, 72 from the others; nothing opens.

    Args:
        engine: the ring engine.
        plan: has a cap.
        totals: (windows, cells, totals, linked), all cells of the plan.

    Returns:
        (windows, cells, quantities, linked): `plan.quantities`, whose outcome is in one piece.

    Raises:
        StatisticsError: the plan has no cap.
    """
    if plan.cap is None:
        raise StatisticsError(f"KPI {plan.kpi} has no cap")
    windows, cells, _, linked = totals.shape
    sums = by_sum(plan, totals)
    amounts = sums[:, :, :, 1]
    if cells > 1:
        amounts = Share.concat([amounts[:, 1:], outside(amounts, cells - 1)], axis=1)
    sides = await engine.less(Share.stack([plan.cap - amounts, amounts]), 0)
    above, below = sides[0], sides[1]
    kept = await engine.multiply(amounts, 1 - above - below) + above * plan.cap
    if cells > 1:
        whole = kept.sum(axis=1).reshape(windows, 1, len(plan.arms), linked)
        kept = Share.concat([whole, kept[:, :-1]], axis=1)
    both = Share.stack([sums[:, :, :, 0], kept], axis=3)
    return both.reshape(windows, cells, len(plan.quantities), linked)


async def incomplete(engine: Engine, plan: Plan, totals: Share) -> Share:
    """Numbers of patients for whom a completion's time and outcome differ over a window: not all that was due was done.

    Over a window these can be fewer than in its atoms: what was done a pane late is missed in one and one too many in
    the next. 9 rounds; 32 bytes a patient, cell and window from node 0, 16 from the others; nothing opens.

    Args:
        engine: the ring engine.
        plan: of one arm.
        totals: (windows, cells, 2, linked), all cells of the plan.

    Returns:
        (windows, counted cells, 1, 1), as `ShardStatistics.contributors` has it for atoms.
    """
    windows, _, _, linked = totals.shape
    missed = with_outsides(plan, totals[:, :, 0] - totals[:, :, 1])
    return (linked - (await engine.equal_zero(missed)).sum()).reshape(windows, -1, 1, 1)


async def cell_statistics(engine: Engine, totals: Share) -> tuple[Share, Share]:
    """Sums and second moments over patients.

    Args:
        engine: the ring engine.
        totals: (…, quantities, linked).

    Returns:
        sums (…, quantities) and Σ xᵢxⱼ (…, quantities, quantities).
    """
    return totals.sum(), await engine.gram(totals)
