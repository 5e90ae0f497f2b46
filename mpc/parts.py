"""Parts of per-patient totals: by arm and sum, and of those outside strata. Local: no messages."""

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


def outside(values: Share, categories: int) -> Share:
    """Values (windows, cells, …) of all patients and of each stratum → (windows, 1, …) of who is in none of the first
    so many categories.
    """
    windows, _, *rest = values.shape
    return (values[:, 0] - values[:, 1 : 1 + categories].sum(axis=1)).reshape(windows, 1, *rest)


def with_outsides(plan: Plan, values: Share) -> Share:
    """Values (windows, cells, …) of all patients and of each stratum, and then, for each of the plan's prefixes, of
    those outside of it.

    Returns:
        (windows, counted cells, …), as `mpc.products` orders counted cells.
    """
    return Share.concat([values, *(outside(values, categories) for categories in plan.prefixes)], axis=1)
