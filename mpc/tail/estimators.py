"""Ratios of rates and differences of means with patient-clustered variances, on shares.

Per cell and patient, t and y are the window's time and outcome in an arm (u exposed, c comparator); capitals are sums
over patients. Delta method over patients (Liang & Zeger, Biometrika 1986), no small-sample correction; everything is an
exact integer until one division:

    rate-ratio        value = Yu·Tc / (Yc·Tu)              Qu = Tu·Yu, Qc = Tc·Yc
    mean-difference   value = (Yu·Tc − Yc·Tu) / (Tu·Tc)    Qu = Tu²,   Qc = Tc²
    variance = Σ (Qc·(Tu·yu − Yu·tu) − Qu·(Tc·yc − Yc·tc))² / (Qu·Qc)²

For the ratio that is the variance of its logarithm, Σ (yu/Yu − tu/Tu − yc/Yc + tc/Tc)². Qu·Qc is numerator times
denominator of the ratio, and the squared denominator of the difference.

A share s = A/(A + B) leaves as its odds A/B, a ratio with T = 1 and t = 0 (`Cells`), with the variance of its logit,
Σ (a/A − b/B)²: for a share A = Tu and B = Tc, for a completion A = Yu and B = Tu − Yu.

With privacy capitals are sums with noise, and t and y those of a random group of patients, with the group's noise, in
the place of a patient's: how groups differ tells of chance and noise together (random groups: Wolter, Introduction to
Variance Estimation, 2007, ch. 2). `decode` then widens by g/(g − 1) and Student's t.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from mpc.tail.cells import SUMS, TC, TU, YC, YU, CellBatch, Cells, slices, to_field
from mpc.tail.decode import output_names
from mpc.tail.field import PRIME, Residues
from mpc.tail.rounding import nearest
from mpc.tail.session import Session
from mpc.tail.vectors import FRACTION_BITS, TIE_UNITS, Vectors
from mpc.wire import Wire

__all__ = ["CellBatch", "estimate"]

PAIRS = tuple(combinations_with_replacement(range(4), 2))
Flags = NDArray[np.bool_]
Index = NDArray[np.intp]


async def estimate(
    wire: Wire, batches: Sequence[CellBatch], patients: int, panes: int, timeout_seconds: float,
) -> list[dict[str, list[int]]]:
    """This node's share of every output of every batch, for the recipient. Once per attempt.

    Which plans and how many cells is public and equal at the three nodes.

    Args:
        wire: the attempt's channel; the tail uses label space 1.
        batches: released cells by plan.
        patients: most patients of all shards together.
        panes: most panes of a window.
        timeout_seconds: for the whole tail.

    Returns:
        Per batch: name → residues modulo PRIME, one per cell; names as `decode.output_names`. A derived output is
        mantissa · 2^exponent, the mantissa rounded to plan.significant_bits; (0, 0) is zero and (0, 1) says that a
        denominator was 0.

    Raises:
        PlanError: a plan's numbers may leave the field.
        MpcError: lost or silent peer, malformed or disagreeing messages. The attempt has been ended for all nodes.
    """
    for batch in batches:
        batch.plan.check_bounds(patients, panes)
    outputs: list[dict[str, list[int]]] = [{name: [] for name in output_names(batch.plan)} for batch in batches]
    parts = slices(batches)

    async def program(session: Session) -> None:
        vectors = Vectors(session)
        for part in parts:
            cells = await to_field(vectors, [batch for _, batch in part], patients, panes)
            shares = await _released(vectors, cells, [batch for _, batch in part])
            for (number, _), names in zip(part, shares, strict=True):
                for name, share in names.items():
                    outputs[number][name] += share

    if parts:
        await Session(wire).run(program, timeout_seconds)
    return outputs


async def _released(
    vectors: Vectors, cells: Cells, batches: Sequence[CellBatch],
) -> list[dict[str, list[int]]]:
    """Exactly the declared outputs, re-randomised for the recipient, in one round."""
    declared = await _rounded(vectors, cells)
    table = await _derived(vectors, cells) | {f"sums.{name}": declared[:, at] for at, name in enumerate(SUMS)}
    start, wanted = 0, []
    for batch in batches:
        wanted += [table[name][start:start + len(batch)] for name in output_names(batch.plan)]
        start += len(batch)
    fresh = await vectors.private(np.concatenate(wanted))
    shares = iter(np.split(fresh, np.cumsum([part.size for part in wanted])[:-1]))
    return [{name: next(shares).tolist() for name in output_names(batch.plan)} for batch in batches]


async def _rounded(vectors: Vectors, cells: Cells) -> Residues:
    """(n, 4): the sums as they come out, multiples of the declared bases."""
    bases = np.array([
        [dict(zip(plan.sums, plan.bases, strict=False)).get(name, 1) for name in SUMS] for plan in cells.plans
    ], dtype=object)
    moved = bases > 1
    found = cells.declared.copy()
    found[moved] = await nearest(vectors, found[moved], bases[moved])
    return found


@dataclass(frozen=True, eq=False)
class _Float:
    """mantissa · 2^(exponent + 1 − FRACTION_BITS), mantissa a full one; `present` is 0 where the number is 0."""

    mantissa: Residues
    exponent: Residues
    present: Residues

    def split(self, sizes: Sequence[int]) -> "list[_Float]":
        at = np.cumsum(sizes)[:-1]
        columns = (np.split(part, at) for part in (self.mantissa, self.exponent, self.present))
        return [_Float(*parts) for parts in zip(*columns, strict=True)]


async def _derived(vectors: Vectors, cells: Cells) -> dict[str, Residues]:
    """(n,) mantissas and exponents of values and variances; 0 where a plan declares none."""
    wants_value = np.array(["value.mantissa" in output_names(plan) for plan in cells.plans])
    valued = np.flatnonzero(wants_value)
    table = {
        f"{name}.{part}": np.zeros(len(cells.plans), dtype=object)
        for name in ("value", "variance") for part in ("mantissa", "exponent")
    }
    if not valued.size:
        return table
    plans = [cells.plans[at] for at in valued]
    ratio = np.array([plan.estimator != "mean-difference" for plan in plans])
    signed = np.array([
        plan.estimator == "completion" or any(column.signed for column in plan.outcome) for plan in plans
    ])
    noisy = np.array([plan.privacy is not None for plan in plans])  # any sum may then be below 0
    varied = np.flatnonzero(["interval" in plan.outputs for plan in plans])

    sums = cells.sums[valued]
    left, right = (list(side) for side in zip(*PAIRS, strict=True))
    products = await vectors.multiply(sums[:, left], sums[:, right])
    of = {pair: products[:, at] for at, pair in enumerate(PAIRS)}
    numerator = np.where(ratio, of[YU, TC], of[YU, TC] - of[TU, YC])
    denominator = np.where(ratio, of[TU, YC], of[TU, TC])
    squares = await _sum_of_squares(
        vectors, {pair: of[pair][varied] for pair in PAIRS}, cells.gram[valued][varied], ratio[varied],
    )
    signs = await _take_signs(
        vectors, cells.product_bits, (numerator, denominator), (~ratio | signed | noisy, ratio & signed | noisy),
    )

    sizes = (valued.size, valued.size, varied.size)
    bits = max(cells.product_bits, cells.variance_bits) if varied.size else cells.product_bits
    scaled, exponent, present = await vectors.normalise(np.concatenate((numerator, denominator, squares)), bits)
    top, bottom, second = _Float(await vectors.mantissa(scaled, bits), exponent, present).split(sizes)

    # The squared denominator of the variance is (first · last)²; `first` is the ratio's numerator or the
    # difference's denominator, `last` the denominator.
    ratio_varied = np.flatnonzero(ratio[varied])
    both = await vectors.reciprocal(np.concatenate((bottom.mantissa, top.mantissa[varied][ratio_varied])))
    inverse = both[:valued.size]
    first_inverse, first_exponent, first_present = (
        part[varied] for part in (inverse, bottom.exponent, bottom.present)
    )
    first_inverse[ratio_varied] = both[valued.size:]
    first_exponent[ratio_varied] = top.exponent[varied][ratio_varied]
    first_present[ratio_varied] = top.present[varied][ratio_varied]

    f = FRACTION_BITS
    pair = await vectors.multiply(
        np.concatenate((top.mantissa, first_inverse)), np.concatenate((inverse, inverse[varied])),
    )
    pair = await vectors.truncate(pair, f, 2 * f + 3)
    value, root = pair[:valued.size], pair[valued.size:]
    root = await vectors.truncate(await vectors.multiply(root, root), f, 2 * f + 5)
    variance = await vectors.truncate(await vectors.multiply(second.mantissa, root), f, 2 * f + 5)
    value_exponent = top.exponent - bottom.exponent - f
    variance_exponent = second.exponent - 2 * (first_exponent + bottom.exponent[varied]) - 3 - f

    declared = np.array([plan.significant_bits for plan in plans], dtype=object)
    mantissa, shift = await vectors.rounded(
        np.concatenate((value, variance)) + TIE_UNITS, np.concatenate((declared, declared[varied])),
    )
    exponent = np.concatenate((value_exponent, variance_exponent)) + shift

    # What the first factor of each product stands for is present only where nothing in its denominator is 0.
    sound = np.concatenate((bottom.present, bottom.present[varied]))
    known = await vectors.multiply(
        np.concatenate((top.present, first_present, signs[0])), np.concatenate((sound, signs[1])),
    )
    whole, defined, sign = np.split(known, np.cumsum(sizes[1:]))
    gates = await vectors.multiply(np.concatenate((whole, second.present)), np.concatenate((sign, defined)))
    shown = np.concatenate((whole, gates[valued.size:]))
    undefined = 1 - np.concatenate((bottom.present, defined))
    kept = await vectors.multiply(np.concatenate((mantissa, exponent)), np.concatenate((gates, shown)))
    mantissa, exponent = np.split(kept, 2)
    exponent = exponent + undefined
    for name, home, part in (
        ("value", valued, slice(None, valued.size)), ("variance", valued[varied], slice(valued.size, None)),
    ):
        table[f"{name}.mantissa"][home] = mantissa[part]
        table[f"{name}.exponent"][home] = exponent[part] % PRIME
    return table


async def _sum_of_squares(
    vectors: Vectors, of: dict[tuple[int, int], Residues], gram: Residues, ratio: Flags,
) -> Residues:
    """(n,) numerators of the variance, from products of sums and second moments."""
    def g(i: int, j: int) -> Residues:
        found: Residues = gram[:, i, j]
        return found

    if not gram.size:
        return np.empty(0, dtype=object)
    exposed = of[TU, TU] * g(YU, YU) - 2 * of[TU, YU] * g(TU, YU) + of[YU, YU] * g(TU, TU)
    comparator = of[TC, TC] * g(YC, YC) - 2 * of[TC, YC] * g(TC, YC) + of[YC, YC] * g(TC, TC)
    crossed = (
        of[TU, TC] * g(YU, YC) - of[TU, YC] * g(YU, TC) - of[YU, TC] * g(TU, YC) + of[YU, YC] * g(TU, TC)
    )
    qu, qc = np.where(ratio, of[TU, YU], of[TU, TU]), np.where(ratio, of[TC, YC], of[TC, TC])
    exposed, comparator, crossed, qu_qu, qu_qc, qc_qc = await vectors.reshare(
        np.stack((exposed, comparator, crossed, qu * qu, qu * qc, qc * qc)),
    )
    return await vectors.reshare(qc_qc * exposed - 2 * qu_qc * crossed + qu_qu * comparator)


async def _take_signs(
    vectors: Vectors, bits: int, numbers: tuple[Residues, Residues], chosen: tuple[Flags, Flags],
) -> tuple[Residues, Residues]:
    """Replace the chosen numbers by their sizes; return all signs, 1 or −1, publicly 1 where not chosen."""
    places = [np.flatnonzero(flags) for flags in chosen]
    signs = tuple(np.ones(number.size, dtype=object) for number in numbers)
    together = np.concatenate([number[place] for number, place in zip(numbers, places, strict=True)])
    if together.size:
        sign = (1 - 2 * await vectors.negative(together, bits)) % PRIME
        size = await vectors.multiply(together, sign)
        cut = places[0].size
        for number, found, place, part in zip(numbers, signs, places, (slice(cut), slice(cut, None)), strict=True):
            number[place], found[place] = size[part], sign[part]
    return signs[0], signs[1]
