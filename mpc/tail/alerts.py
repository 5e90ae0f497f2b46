"""States of alerts on shares: values against bounds, window after window, and only the state leaves.

The value of a cell is a fraction N/D of integers (`FORMS`), so it reaches a bound p/q if q·N − p·D has not the other
sign, exactly; where D is 0 there is no value and the state stays. Per window: raised = reaches(raise_at), cleared =
reaches(clear_at) from the other side, never both; state' = raised + (1 − raised − cleared)·state. That is an affine map
of the state, and maps compose: what came before a run folds into one in log2(windows) rounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mpc.tail.cells import CELLS_AT_ONCE, TC, TU, YC, YU, joined_limbs
from mpc.tail.field import PRIME, Residues
from mpc.tail.session import Session
from mpc.tail.vectors import Vectors
from mpc.wire import Wire
from policy.alert import Alert
from policy.plan import Plan

ALERT_CHANNEL = 3
"""Label space and keys of its own: an attempt also has the session of the estimates."""
PAIRS = ((YU, TC), (TU, YC), (TU, TC))
"""Products of sums that values are made of; a value is a fraction of these and of the sums TU, YU, TC, YC."""
FORMS = {
    "rate-ratio": ((1, 0, 0, 0, 0, 0, 0), (0, 1, 0, 0, 0, 0, 0)),
    "mean-difference": ((1, -1, 0, 0, 0, 0, 0), (0, 0, 1, 0, 0, 0, 0)),
    "share": ((0, 0, 0, 1, 0, 0, 0), (0, 0, 0, 1, 0, 1, 0)),
    "completion": ((0, 0, 0, 0, 1, 0, 0), (0, 0, 0, 1, 0, 0, 0)),
}
"""Estimator → numerator and denominator, as coefficients of PAIRS and the sums."""


@dataclass(frozen=True, eq=False)
class AlertBatch:
    """One alert over the windows so far of which its cell is released, in order.

    `sums`: (2, n, q) uint64, this node's ring shares in the order of `plan.quantities`; the last `shown` windows are
    the run's own: their states leave.
    """

    alert: Alert
    plan: Plan
    sums: NDArray[np.uint64]
    shown: int

    def __post_init__(self) -> None:
        q = len(self.plan.quantities)
        n = self.sums.shape[1] if self.sums.ndim == 3 else -1
        if self.sums.shape != (2, n, q) or self.sums.dtype != np.uint64 or not 0 <= self.shown <= n:
            raise ValueError(
                f"alert {self.alert.id}: found sums {self.sums.dtype} {self.sums.shape} and {self.shown} windows to "
                f"show, expected uint64 (2, n, {q}) and at most n"
            )

    @cached_property
    def join(self) -> Residues:
        """(4, q): TU, YU, TC, YC from the plan's quantities; what it has not stays 0."""
        return joined_limbs(self.plan)

    @cached_property
    def sides(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(a, b) for raise_at and clear_at, such that a·N + b·D ≥ 0 where a value N/D with D > 0 reaches it."""
        side = 1 if self.alert.when == "above" else -1
        upper, lower = self.alert.ratios(self.plan)
        return (side * upper.denominator, -side * upper.numerator), (-side * lower.denominator, side * lower.numerator)


async def alert_states(
    wire: Wire, batches: Sequence[AlertBatch], patients: int, panes: int, timeout_seconds: float,
) -> list[list[int]]:
    """This node's share of the state after each shown window of every batch, for the recipient. Once per attempt.

    Which alerts, how many windows and how many of them are shown is public and equal at the three nodes.

    Args:
        wire: the attempt's channel; alerts use label space 3.
        batches: alerts with their windows.
        patients: most patients of all shards together.
        panes: most panes of a window.
        timeout_seconds: for all alerts.

    Returns:
        Per batch `shown` residues modulo PRIME: 1 raised, 0 clear.

    Raises:
        PlanError: a comparison may leave the field.
        MpcError: lost or silent peer, malformed or disagreeing messages. The attempt has been ended for all nodes.
    """
    for batch in batches:
        batch.plan.check_bounds(patients, panes)
        batch.alert.check_bounds(batch.plan, patients, panes)
    wanted = [batch for batch in batches if batch.shown]
    if not wanted:
        return [[] for _ in batches]

    async def program(session: Session) -> Residues:
        vectors = Vectors(session)
        raised, kept = await _maps(vectors, wanted, patients, panes)
        sizes = [batch.sums.shape[1] for batch in wanted]
        shown = [batch.shown for batch in wanted]
        before, after = _columns(raised, sizes, shown, 0), _columns(kept, sizes, shown, 1)
        state = await _folded(vectors, before[0], after[0])
        states = await _states(vectors, state, before[1], after[1])
        return await vectors.private(np.concatenate([row[:k] for row, k in zip(states, shown, strict=True)]))

    flat = (await Session(wire, ALERT_CHANNEL).run(program, timeout_seconds)).tolist()
    found, start = [], 0
    for batch in batches:
        found.append(flat[start:start + batch.shown])
        start += batch.shown
    return found


async def _maps(
    vectors: Vectors, batches: Sequence[AlertBatch], patients: int, panes: int,
) -> tuple[Residues, Residues]:
    """What each window of each batch does to the state: (n,) 0/1 `raised`, and `kept`, 1 where it stays."""
    bits = max(batch.alert.compared_bits(batch.plan, patients, panes) for batch in batches)
    rules = [(batch, at) for batch in batches for at in range(batch.sums.shape[1])]
    raised, kept = [], []
    for start in range(0, len(rules), CELLS_AT_ONCE):
        part = rules[start:start + CELLS_AT_ONCE]
        numerator, denominator = await _fractions(vectors, part)
        up, down = await _reached(vectors, [batch for batch, _ in part], numerator, denominator, bits)
        raised.append(up)
        kept.append((1 - up - down) % PRIME)
    return np.concatenate(raised), np.concatenate(kept)


async def _fractions(vectors: Vectors, part: Sequence[tuple[AlertBatch, int]]) -> tuple[Residues, Residues]:
    """(n,) numerators and denominators of the windows' values, before the public scale."""
    converted = await vectors.from_ring(np.concatenate([batch.sums[:, at] for batch, at in part], axis=1))
    sums, start = np.empty((len(part), 4), dtype=object), 0
    for row, (batch, _) in enumerate(part):
        q = len(batch.plan.quantities)
        sums[row] = batch.join @ converted[start:start + q]
        start += q
    sums %= PRIME
    left, right = (list(side) for side in zip(*PAIRS, strict=True))
    products = await vectors.multiply(sums[:, left], sums[:, right])
    basis = np.concatenate((products, sums), axis=1)
    forms = np.array([FORMS[batch.plan.estimator] for batch, _ in part], dtype=object)
    numerator, denominator = ((basis * forms[:, side]).sum(axis=1) % PRIME for side in (0, 1))
    return numerator, denominator


async def _reached(
    vectors: Vectors, batches: Sequence[AlertBatch], numerator: Residues, denominator: Residues, bits: int,
) -> tuple[Residues, Residues]:
    """(n,) 0/1: whether the value reaches raise_at, and clear_at from the other side; both 0 without a value."""
    rules = np.array([batch.sides for batch in batches], dtype=object)
    over = (rules[:, :, 0].T * numerator + rules[:, :, 1].T * denominator) % PRIME
    signed = np.flatnonzero([
        batch.plan.privacy is not None
        or (batch.plan.estimator == "rate-ratio" and any(c.signed for c in batch.plan.outcome)) for batch in batches
    ])
    size = denominator.copy()
    if signed.size:
        sign = (1 - 2 * await vectors.negative(denominator[signed], bits)) % PRIME
        fixed = await vectors.multiply(
            np.concatenate((over[0, signed], over[1, signed], denominator[signed])), np.tile(sign, 3),
        )
        over[0, signed], over[1, signed], size[signed] = np.split(fixed, 3)
    negative = await vectors.negative(np.concatenate((over[0], over[1], (size - 1) % PRIME)), bits)
    short, back, absent = np.split(negative, 3)
    up, down = np.split(
        await vectors.multiply(np.concatenate((1 - short, 1 - back)) % PRIME, np.tile((1 - absent) % PRIME, 2)), 2,
    )
    return up, down


def _columns(
    flat: Residues, sizes: Sequence[int], shown: Sequence[int], neutral: int,
) -> tuple[Residues, Residues]:
    """Batches of different lengths as two tables, (batches, earlier windows) and (batches, shown windows).

    Filled up with `neutral` before the earlier and after the shown ones.
    """
    earlier = [size - k for size, k in zip(sizes, shown, strict=True)]
    first = np.full((len(sizes), max(earlier)), neutral, dtype=object)
    second = np.full((len(sizes), max(shown)), neutral, dtype=object)
    start = 0
    for row, (before, k) in enumerate(zip(earlier, shown, strict=True)):
        first[row, first.shape[1] - before:] = flat[start:start + before]
        second[row, :k] = flat[start + before:start + before + k]
        start += before + k
    return first, second


async def _folded(vectors: Vectors, raised: Residues, kept: Residues) -> Residues:
    """(batches,) the state after all windows of (batches, windows), beginning clear."""
    while raised.shape[1] > 1:
        odd = raised.shape[1] % 2
        pairs_raised, pairs_kept = raised[:, odd:], kept[:, odd:]
        later = pairs_kept[:, 1::2]
        carried, both = await vectors.multiply(
            np.stack((later, later)), np.stack((pairs_raised[:, ::2], pairs_kept[:, ::2])),
        )
        raised = np.concatenate((raised[:, :odd], (pairs_raised[:, 1::2] + carried) % PRIME), axis=1)
        kept = np.concatenate((kept[:, :odd], both), axis=1)
    return raised[:, 0] if raised.shape[1] else np.zeros(len(raised), dtype=object)


async def _states(vectors: Vectors, state: Residues, raised: Residues, kept: Residues) -> Residues:
    """(batches, windows) the state after each window, beginning with `state`."""
    raised = np.concatenate((state[:, None], raised), axis=1)
    kept = np.concatenate((np.zeros_like(state)[:, None], kept), axis=1)
    step = 1
    while step < raised.shape[1]:
        later = kept[:, step:]
        carried, both = await vectors.multiply(
            np.stack((later, later)), np.stack((raised[:, :-step], kept[:, :-step])),
        )
        raised = np.concatenate((raised[:, :step], (raised[:, step:] + carried) % PRIME), axis=1)
        kept = np.concatenate((kept[:, :step], both), axis=1)
        step *= 2
    found: Residues = raised[:, 1:]
    return found
