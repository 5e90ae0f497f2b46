"""The recipient's side: integers that the nodes released become estimates. Loads no MPyC."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from mpc.errors import IntegrityError
from policy.plan import MOST_SIGNIFICANT_BITS, Plan

Z_95 = 1.959963984540054
"""0.975 quantile of the standard normal distribution."""
T_95 = 2.3646242515927844
"""Of Student's t with GROUPS − 1 degrees of freedom."""
REGRESSION_OUTPUTS = ("coefficient.mantissa", "coefficient.exponent", "singular")
WIDEST_LOG_HALF = 600.0
"""e^600 is far from every use and still a float; wider log-scale intervals are not stated."""


@dataclass(frozen=True)
class CellResult:
    """One cell, in the plan's unit.

    None: the plan does not release it, or it does not exist (0 in a denominator, a log-scale interval around a
    ratio ≤ 0 or wider than any use).
    """

    value: float | None
    low: float | None
    high: float | None
    sums: dict[str, int] = field(default_factory=dict)
    """Window sums by name ("exposed.time" …): integers in the columns' own units, exact or multiples of a declared
    base; empty if not released."""


def decode(plan: Plan, outputs: Mapping[str, Sequence[int]]) -> list[CellResult]:
    """Estimates of the cells of one plan, in order.

    Args:
        plan: the plan under which the nodes computed.
        outputs: recombined vectors by name, as `estimate` names them, all of one length.

    Raises:
        IntegrityError: an output that the plan declares is missing, of another length, or not rounded as declared.
    """
    names = output_names(plan)
    lengths = {name: len(outputs[name]) for name in names if name in outputs}
    if len(lengths) != len(names) or len(set(lengths.values())) > 1:
        raise IntegrityError(f"KPI {plan.kpi}: found outputs {lengths}, expected {', '.join(names)} of one length.")
    scale = Fraction(plan.scale_numerator, plan.scale_denominator)
    results = []
    for row in zip(*(outputs[name] for name in names), strict=True):
        cell = dict(zip(names, row, strict=True))
        for name, base in zip(plan.sums, plan.bases, strict=False):
            if (total := cell[f"sums.{name}"]) % base:
                raise IntegrityError(f"KPI {plan.kpi}: the sum {name} is {total}, no multiple of {base}.")
        value, low, high = _estimate(plan, cell)
        results.append(CellResult(
            value=None if value is None else float(value * scale),
            low=None if low is None else low * float(scale),
            high=None if high is None else high * float(scale),
            sums={name.removeprefix("sums."): x for name, x in cell.items() if name.startswith("sums.")},
        ))
    return results


def coefficients(outputs: Mapping[str, Sequence[int]], covariates: int) -> list[tuple[Fraction, ...] | None]:
    """Coefficients of each cell in the covariates' order; None where the nodes found the cell singular.

    Args:
        outputs: recombined vectors by name, as `mpc.tail.solve` names them.
        covariates: their number.

    Raises:
        IntegrityError: outputs are missing, of lengths that do not fit, or not what nodes can release.
    """
    lengths = {name: len(outputs[name]) for name in REGRESSION_OUTPUTS if name in outputs}
    cells = lengths.get("singular", 0)
    if lengths != dict(zip(REGRESSION_OUTPUTS, (cells * covariates, cells * covariates, cells), strict=True)):
        raise IntegrityError(
            f"found outputs {lengths}, expected {', '.join(REGRESSION_OUTPUTS)} of {covariates} covariates a cell."
        )
    found: list[tuple[Fraction, ...] | None] = []
    for cell, singular in enumerate(outputs["singular"]):
        if singular not in {0, 1}:
            raise IntegrityError(f"singular is {singular} in cell {cell}; expected 0 or 1.")
        numbers = [
            _number({name: outputs[name][at] for name in REGRESSION_OUTPUTS[:2]}, "coefficient")
            for at in range(cell * covariates, (cell + 1) * covariates)
        ]
        found.append(None if singular else tuple(number or Fraction(0) for number in numbers))
    return found


def output_names(plan: Plan) -> tuple[str, ...]:
    """Names of the vectors that leave for a plan; an interval tells its centre, so it comes with the value."""
    names: list[str] = []
    if {"value", "interval"} & set(plan.outputs):
        names += ["value.mantissa", "value.exponent"]
    if "interval" in plan.outputs:
        names += ["variance.mantissa", "variance.exponent"]
    if "sums" in plan.outputs:
        names += [f"sums.{name}" for name in plan.sums]
    return tuple(names)


def _estimate(plan: Plan, cell: Mapping[str, int]) -> tuple[Fraction | None, float | None, float | None]:
    if "value.mantissa" not in cell:
        return _from_sums(plan, cell), None, None
    value = _number(cell, "value")
    variance = _number(cell, "variance") if "variance.mantissa" in cell else None
    shown = _share(value) if plan.as_odds else value
    if shown is None or value is None or variance is None:
        return shown, None, None
    half = Z_95 * math.sqrt(variance)
    if plan.privacy is not None:
        half = T_95 * math.sqrt(variance * Fraction(plan.groups, plan.groups - 1))
    if plan.estimator == "mean-difference":
        return shown, float(value) - half, float(value) + half
    if value <= 0 or half > WIDEST_LOG_HALF:
        return shown, None, None
    low, high = float(value) * math.exp(-half), float(value) * math.exp(half)
    return (shown, low / (1 + low), high / (1 + high)) if plan.as_odds else (shown, low, high)


def _share(odds: Fraction | None) -> Fraction | None:
    """One part of the whole, from that part against the other; None where there is no other part."""
    return None if odds is None or odds == -1 else odds / (1 + odds)


def _number(cell: Mapping[str, int], name: str) -> Fraction | None:
    """Value = mantissa · 2^exponent; mantissa 0 with exponent 1 says that a denominator was 0."""
    mantissa, exponent = cell[f"{name}.mantissa"], cell[f"{name}.exponent"]
    if abs(exponent) > 1024 or abs(mantissa) > 2**MOST_SIGNIFICANT_BITS:
        raise IntegrityError(f"{name}: {mantissa}·2^{exponent} is outside what the nodes can release.")
    if mantissa == 0:
        return None if exponent else Fraction(0)
    return Fraction(mantissa) * Fraction(2) ** exponent


def _from_sums(plan: Plan, cell: Mapping[str, int]) -> Fraction | None:
    if "sums.exposed.time" not in cell:
        return None
    times = [cell[f"sums.{name}"] for name in plan.sums if name.endswith(".time")]
    outcomes = [cell[f"sums.{name}"] for name in plan.sums if name.endswith(".outcome")]
    match plan.estimator:
        case "share":
            return Fraction(times[0], sum(times)) if sum(times) else None
        case "completion":
            return Fraction(outcomes[0], times[0]) if times[0] else None
        case _ if 0 in times or (plan.estimator == "rate-ratio" and outcomes[1] == 0):
            return None
    exposed, comparator = (Fraction(o, t) for o, t in zip(outcomes, times, strict=True))
    return exposed - comparator if plan.estimator == "mean-difference" else exposed / comparator
