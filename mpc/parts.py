"""Parts of per-patient totals: by arm and sum, and of those outside all strata. Local: no messages."""

from mpc.share import Share
from policy.measure import LIMB_BITS
from policy.plan import Plan


def by_sum(plan: Plan, totals: Share) -> Share:
    """Totals (windows, cells, totals, linked), in the order of `plan.totals`, with every outcome in one piece.

    Returns:
        (windows, cells, arms, sums, linked): sums are time, then outcome if the plan has one.
    """
    windows, cells, _, linked = totals.shape
    by_arm = totals.reshape(windows, cells, len(plan.arms), 1 + len(plan.outcome), linked)
    sums = [by_arm[:, :, :, 0]]
    if plan.outcome:
        low = by_arm[:, :, :, -1]
        sums.append(low if len(plan.outcome) == 1 else low + by_arm[:, :, :, 1] * (1 << LIMB_BITS))
    return Share.stack(sums, axis=3)


def with_outside(values: Share) -> Share:
    """Values (windows, cells, …) of all patients and of each stratum, and then, if there are strata, of those in none.

    Returns:
        (windows, counted cells, …), as `mpc.products` orders counted cells.
    """
    windows, cells, *rest = values.shape
    if cells == 1:
        return values
    outside = values[:, 0] - values[:, 1:].sum(axis=1)
    return Share.concat([values, outside.reshape(windows, 1, *rest)], axis=1)
