"""What the tests of the tail share: plans, patients, shares, and the answers as fractions."""

from fractions import Fraction

import numpy as np

from mpc.tail.estimators import CellBatch, estimate
from mpc.tail.recombine import recombine_outputs
from policy.plan import Column, Plan, Stratum
from tests.support.dealing import deal
from tests.support.wires import run_three

PATIENTS, PANES = 2_000, 4
AMOUNT = 2**26 - 1


def make_plan(
    estimator="rate-ratio", *, outputs=("value", "interval"), bits=26, limbs=False, signed=False, scale=(1, 1), cap=None,
):
    def column(name, bound=1, *, signed=False):
        return Column(name=name, party="p", bound=bound, signed=signed)

    outcome = (column("cost.high", (AMOUNT >> 13) + 1, signed=True), column("cost.low", 2**13 - 1)) if limbs else (
        column("visits", 40, signed=signed),)
    return Plan(
        kpi="k", estimator=estimator,
        arms=(column("user"), column("not_yet"))[: 1 if estimator == "completion" else 2],
        time=column("due" if estimator == "completion" else "days", 40 if estimator == "completion" else 7),
        outcome=() if estimator == "share" else outcome, contributors=(column("any_days"), column("any")), cap=cap,
        strata=(Stratum(cell={}),), outputs=outputs if bits <= 26 else (*outputs, "sums"), significant_bits=bits, unit="u",
        scale_numerator=scale[0], scale_denominator=scale[1],
    )


def patients(rng, plan, n, *, low=0):
    """(n, 4) integers: time and outcome per arm; some patients are in both arms, some in none."""
    rows = np.zeros((n, 4), dtype=object)
    most = AMOUNT * PANES // 2 if len(plan.outcome) == 2 else plan.outcome[0].bound * PANES
    for row in rows:
        for arm in (0, 2):
            if rng.random() < 0.6:
                row[arm] = int(rng.integers(1, 7 * PANES + 1))
                row[arm + 1] = int(rng.integers(low * most, most + 1))
    rows[0] = [7, 3, 0, 0]
    rows[1] = [0, 0, 7, 5]
    return rows


def quantities(plan, rows):
    """(n, q): what a node's statistics would hold per patient, in the plan's order."""
    if plan.estimator == "share":
        return rows[:, [0, 2]]
    if plan.estimator == "completion":
        return rows[:, [0, 1]]
    if len(plan.outcome) == 1 or plan.cap is not None:
        return rows
    (tu, yu, tc, yc) = rows.T
    return np.stack((tu, yu >> 13, yu & 8191, tc, yc >> 13, yc & 8191), axis=1)


def batches(rng, plan, cells):
    """The three nodes' batches for a list of cells, each an array of patients."""
    q = len(plan.quantities)
    parts = [quantities(plan, rows) for rows in cells]
    sums = np.array([part.sum(axis=0) for part in parts], dtype=np.int64).reshape(-1, q)
    gram = np.array([part.T @ part for part in parts], dtype=np.int64).reshape(-1, q, q)
    pairs = zip(deal(sums, rng), deal(gram, rng), strict=True)
    return [CellBatch(plan, s.parts, g.parts) for s, g in pairs]


async def compute(rng, work, **options):
    """Recombined outputs of [(plan, cells)], one dictionary each."""
    held = list(zip(*(batches(rng, plan, cells) for plan, cells in work), strict=True))
    shares = await run_three(lambda wire: estimate(wire, held[wire.number], PATIENTS, PANES, 30), **options)
    return [recombine_outputs(each) for each in zip(*shares, strict=True)]


def answer(plan, rows):
    """Value and variance as fractions, by the definitions (of shares: odds, logit); None where a denominator is 0."""
    TU, YU, TC, YC = (Fraction(int(x)) for x in rows.sum(axis=0))
    if plan.estimator == "rate-ratio":
        value = (YU / TU) / (YC / TC) if YC else None
        variance = sum((yu / YU - tu / TU - yc / YC + tc / TC) ** 2 for tu, yu, tc, yc in rows) if YU * YC else None
        return value, variance
    if plan.as_odds:
        part, rest = (rows[:, 0], rows[:, 2]) if plan.estimator == "share" else (rows[:, 1], rows[:, 0] - rows[:, 1])
        A, B = Fraction(int(part.sum())), Fraction(int(rest.sum()))
        variance = sum((a / A - b / B) ** 2 for a, b in zip(part, rest, strict=True)) if A * B else None
        return A / B if B else None, variance
    return YU / TU - YC / TC, sum(
        ((yu - YU / TU * tu) / TU - (yc - YC / TC * tc) / TC) ** 2 for tu, yu, tc, yc in rows
    )


def number(outputs, name, at):
    return Fraction(outputs[f"{name}.mantissa"][at]) * Fraction(2) ** outputs[f"{name}.exponent"][at]
