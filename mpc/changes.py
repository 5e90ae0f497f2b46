"""What changed between two editions of a window: how many patients, on shares.

A full edition less the provisional one is a sum over those alone of whom something was late. It may be told if nobody
changed, or enough did (mpc.disclosure); so they are counted as contributors are: for every atom, cell, arm and sum.
"""

from mpc.engine import Engine
from mpc.parts import by_sum, with_outsides
from mpc.share import Share
from policy.plan import Plan


async def changed(engine: Engine, plan: Plan, before: Share, after: Share) -> Share:
    """Numbers of patients whose part in a sum is not what it was.

    9 rounds; 32 bytes a patient, atom, counted cell, arm and sum from node 0, 16 from the others; nothing opens.

    Args:
        engine: the ring engine.
        plan: without a cap: a capped sum is not a sum of atoms.
        before: (atoms, cells, totals, linked) as `ShardStatistics.window` has them, all cells of the plan.
        after: the same of the other edition.

    Returns:
        (atoms, counted cells, arms, sums): see mpc.parts.
    """
    difference = with_outsides(plan, by_sum(plan, after - before))
    return difference.shape[-1] - (await engine.equal_zero(difference)).sum()
