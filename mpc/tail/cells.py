"""The cells of a run: ring shares as statistics hands them over, then field shares in one layout."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mpc.tail.field import PRIME, Residues
from mpc.tail.vectors import Vectors
from policy.measure import LIMB_BITS
from policy.plan import Plan

CELLS_AT_ONCE = 512
"""Larger runs go in slices, so that no step keeps the event loop for long."""
TU, YU, TC, YC = range(4)
"""Columns of `Cells`: time and outcome, exposed then comparator."""
SUMS = ("exposed.time", "exposed.outcome", "comparator.time", "comparator.outcome")
"""Their names in a plan's quantities."""


@dataclass(frozen=True, eq=False)
class CellBatch:
    """The released cells of one plan: this node's replicated ring shares.

    `sums`: (2, n, q) uint64, window sums in the order of `plan.quantities`; `gram`: (2, n, q, q) uint64, their second
    moments over patients, of which only the upper triangle is read; of a plan with privacy (2, n, g, q), the sums with
    noise of its g groups. n may be 0. Signed values below 2^62 in size.
    """

    plan: Plan
    sums: NDArray[np.uint64]
    gram: NDArray[np.uint64]

    def __post_init__(self) -> None:
        q = len(self.plan.quantities)
        parts = self.plan.groups if self.plan.noise else q
        n = self.sums.shape[1] if self.sums.ndim == 3 else -1
        if (
            self.sums.shape != (2, n, q) or self.gram.shape != (2, n, parts, q)
            or self.sums.dtype != np.uint64 or self.gram.dtype != np.uint64
        ):
            raise ValueError(
                f"KPI {self.plan.kpi}: found sums {self.sums.dtype} {self.sums.shape} and gram {self.gram.dtype} "
                f"{self.gram.shape}, expected uint64 (2, n, {q}) and (2, n, {parts}, {q})"
            )

    def __len__(self) -> int:
        return int(self.sums.shape[1])


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells of all plans in the field, limbs joined: sums and declared (n, 4), gram (n, 4, 4), columns TU, YU, TC, YC.

    `declared` holds the window's sums, 0 where the plan has none. `sums` and `gram` are what the estimators read. They
    differ for shares: the odds of two parts are a ratio of rates with public times of 1.
    `gram` is 0 for plans without an interval. |products of two sums| < 2^product_bits, numerators of variances <
    2^variance_bits.
    """

    declared: Residues
    sums: Residues
    gram: Residues
    plans: tuple[Plan, ...]
    product_bits: int
    variance_bits: int


def slices(batches: Sequence[CellBatch]) -> list[list[tuple[int, CellBatch]]]:
    """Parts of batches, each with its batch's number, in lists of at most CELLS_AT_ONCE cells."""
    found: list[list[tuple[int, CellBatch]]] = []
    room = 0
    for number, batch in enumerate(batches):
        start = 0
        while start < len(batch):
            if not room:
                found.append([])
                room = CELLS_AT_ONCE
            stop = min(len(batch), start + room)
            part = replace(batch, sums=batch.sums[:, start:stop], gram=batch.gram[:, start:stop])
            found[-1].append((number, part))
            room -= stop - start
            start = stop
    return found


async def to_field(vectors: Vectors, batches: Sequence[CellBatch], patients: int, panes: int) -> Cells:
    """Convert the ring shares of all batches at once, then join the limbs; one more round for each with groups.

    Raises:
        IntegrityError: the holders of a component hold different numbers.
    """
    flat = [np.concatenate((batch.sums, _converted(batch)), axis=2).reshape(2, -1) for batch in batches]
    converted = await vectors.from_ring(np.concatenate(flat, axis=1))
    parts = np.split(converted, np.cumsum([part.shape[1] for part in flat])[:-1])
    declared, sums, gram = [], [], []
    for batch, part in zip(batches, parts, strict=True):
        n, q = len(batch), batch.sums.shape[2]
        rows = part.reshape(n, -1)
        i, j = _second_moments(batch)
        square = np.zeros((n, q, q), dtype=object)
        second = rows[:, q:]
        if batch.plan.noise and len(i):
            by_group = second.reshape(n, batch.plan.groups, q)
            second = await vectors.reshare((by_group[:, :, i] * by_group[:, :, j]).sum(axis=1))
        square[:, i, j] = square[:, j, i] = second
        join = joined_limbs(batch.plan)
        declared.append(rows[:, :q] @ join.T)
        parts_of, times = _as_rates(batch.plan)
        sums.append(declared[-1] @ parts_of.T + times)
        read = parts_of @ join
        gram.append(read @ square @ read.T)
    plans = [batch.plan for batch in batches]
    return Cells(
        declared=np.concatenate(declared) % PRIME,
        sums=np.concatenate(sums) % PRIME,
        gram=np.concatenate(gram) % PRIME,
        plans=tuple(batch.plan for batch in batches for _ in range(len(batch))),
        product_bits=max(plan.product_bits(patients, panes) for plan in plans),
        variance_bits=max(plan.variance_bits(patients, panes) for plan in plans),
    )


def _converted(batch: CellBatch) -> NDArray[np.uint64]:
    """(2, n, …) second moments, or what they are made of: the groups' sums, whose squares may leave the ring."""
    i, j = _second_moments(batch)
    if not batch.plan.noise:
        return batch.gram[:, :, i, j]
    return batch.gram.reshape(*batch.gram.shape[:2], -1)[:, :, : batch.gram[0, 0].size if len(i) else 0]


def _second_moments(batch: CellBatch) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the second moments that the plan's outputs need."""
    return np.triu_indices(batch.sums.shape[2] if "interval" in batch.plan.outputs else 0)


def joined_limbs(plan: Plan) -> Residues:
    """(4, q): the columns of `Cells` from the plan's quantities; outcome = high · 2^LIMB_BITS + low."""
    join = np.zeros((len(SUMS), len(plan.quantities)), dtype=object)
    for column, name in enumerate(plan.quantities):
        whole = name.removesuffix(".high").removesuffix(".low")
        join[SUMS.index(whole), column] = 1 << LIMB_BITS if name.endswith(".high") else 1
    return join


def _as_rates(plan: Plan) -> tuple[Residues, Residues]:
    """(4, 4), (4,): what the estimators read, from the declared sums, plus a public number."""
    if not plan.as_odds:
        return np.identity(len(SUMS), dtype=object), np.zeros(len(SUMS), dtype=object)
    parts = np.zeros((len(SUMS), len(SUMS)), dtype=object)
    if plan.estimator == "share":
        parts[YU, TU] = parts[YC, TC] = 1
    else:
        parts[YU, YU], parts[YC, TU], parts[YC, YU] = 1, 1, -1
    times = np.zeros(len(SUMS), dtype=object)
    times[[TU, TC]] = 1
    return parts, times
