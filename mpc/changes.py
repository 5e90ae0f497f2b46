"""What changed between two editions of a window: how many patients, on shares.

A full edition less the provisional one is a sum over those alone of whom something was late. It may be told if nobody
changed, or enough did (mpc.disclosure); so they are counted as contributors are: for every atom, cell, arm and sum.
"""

from mpc.engine import Engine
from mpc.share import Share
from policy.measure import LIMB_BITS
from policy.plan import Plan


async def changed(engine: Engine, plan: Plan, before: Share, after: Share) -> Share:
    """Numbers of patients whose part in a sum is not what it was.

    9 rounds; 32 bytes a patient, atom, counted cell, arm and kind from node 0, 16 from the others; nothing opens.

    Args:
        engine: the ring engine.
        plan: without a cap: a capped sum is not a sum of atoms.
        before: (atoms, cells, totals, linked) as `ShardStatistics.window` has them, all cells of the plan.
        after: the same of the other edition.

    Returns:
        (atoms, counted cells, arms, kinds): cells as in `plan.strata`, then those outside all strata if there are any;
        kinds are time, then outcome if the plan has one.
    """
    difference = after - before
    atoms, cells, _, linked = difference.shape
    arms, limbs = len(plan.arms), len(plan.outcome)
    by_arm = difference.reshape(atoms, cells, arms, 1 + limbs, linked)
    sums = [by_arm[:, :, :, 0]]
    if limbs:
        amounts = by_arm[:, :, :, limbs]
        sums.append(amounts if limbs == 1 else amounts + by_arm[:, :, :, 1] * (1 << LIMB_BITS))
    by_kind = Share.stack(sums, axis=3)
    if cells > 1:
        outside = by_kind[:, 0] - by_kind[:, 1:].sum(axis=1)
        by_kind = Share.concat([by_kind, outside.reshape(atoms, 1, arms, len(sums), linked)], axis=1)
    return linked - (await engine.equal_zero(by_kind)).sum()
