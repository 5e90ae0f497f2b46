"""Declared bases: sums come out as the nearest multiple of one, found on shares (mpc.tail.rounding).

The value of a KPI that does not release its sums is rounded otherwise, to its significant bits.
"""

from collections.abc import Mapping, Sequence
from math import log10
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from policy.errors import PlanError
from policy.measure import Measure, Unit

if TYPE_CHECKING:
    from policy.plan import Plan, Table

BASE_BITS = 20
MOST_BASE = 10**6
"""10,000 euro, as cents."""


class Rounding(BaseModel):
    """Base by unit; a sum that may come out needs one, and 1 leaves it as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: int | None = Field(default=None, ge=1, le=MOST_BASE)
    count: int | None = Field(default=None, ge=1, le=MOST_BASE)
    """Visits, modules, answers."""
    cents: int | None = Field(default=None, ge=1, le=MOST_BASE)
    hundredths: int | None = Field(default=None, ge=1, le=MOST_BASE)
    """Of a point of a score."""

    @model_validator(mode="after")
    def _some_base(self) -> "Rounding":
        if not self.bases:
            raise ValueError(f"rounding names no base; expected {', '.join(get_args(Unit))}, or no such table")
        return self

    @property
    def bases(self) -> dict[Unit, int]:
        """Base by unit, of those that have one."""
        return {unit: base for unit in get_args(Unit) if (base := getattr(self, unit)) is not None}


def as_agreed(
    plan: "Plan", measures: Mapping[str, Measure], table: "Table", rounding: Rounding | None
) -> "Plan":
    """The plan with what the agreement says of all plans' outputs: tables and bases.

    Raises:
        PlanError: a sum's unit has no base, or the plan's value would tell what is rounded away.
    """
    return plan.model_copy(update={"table": table, "bases": _bases(plan, measures, rounding)})


def check_bases(plans: Sequence["Plan"], measures: Mapping[str, Measure], rounding: Rounding | None) -> None:
    """Refuse plans that round otherwise than the agreement says, or of which one tells what another rounds away.

    A value of six digits has one possible number of days for most cells beside days that are known to within a week,
    even where its other part is known to nobody, if that is a count: few numbers are possible. An amount in cents hides
    them.

    Raises:
        PlanError: see as_agreed; a plan has other bases; or a sum that others round is a part of the value of one.
    """
    for plan in plans:
        if plan.bases != (agreed := _bases(plan, measures, rounding)):
            raise PlanError(
                f"KPI {plan.kpi} rounds its sums to {plan.bases or 'nothing'}, agreed is {agreed or 'nothing'}. "
                "Compile again."
            )
    rounded = {name for plan in plans for name in _rounded(plan)}
    for plan in plans:
        outcome = {column.name for column in plan.outcome}
        told = {plan.time.name, *outcome} & rounded
        amount_apart = len(outcome) == 2 and not outcome & rounded
        if {"value", "interval"} & set(plan.outputs) and told and not amount_apart:
            raise PlanError(
                f"KPI {plan.kpi} releases a value of which {', '.join(sorted(told))} is a part, and other KPIs release "
                "that as rounded sums: from the value they could be found exactly. Leave one of them out, or let it "
                "release rounded sums too, or give that unit a base of 1."
            )


def units_of_sums(plans: Sequence["Plan"], measures: Mapping[str, Measure]) -> frozenset[Unit]:
    """The units in which sums come out: a base of any other unit rounds nothing."""
    return frozenset(
        _unit(plan, name, measures) for plan in plans if "sums" in plan.outputs for name in plan.sums
    )


def _rounded(plan: "Plan") -> set[str]:
    """The columns of which a plan releases sums that are not what they were."""
    found: set[str] = set()
    for name, base in zip(plan.sums, plan.bases, strict=False):
        if base > 1:
            found |= {plan.time.name} if name.endswith(".time") else {column.name for column in plan.outcome}
    return found


def _bases(plan: "Plan", measures: Mapping[str, Measure], rounding: Rounding | None) -> tuple[int, ...]:
    if rounding is None or "sums" not in plan.outputs:
        return ()
    units = [_unit(plan, name, measures) for name in plan.sums]
    if lacking := [unit for unit in units if unit not in rounding.bases]:
        raise PlanError(
            f"KPI {plan.kpi} releases sums in {lacking[0]}, for which disclosure.rounding has no base. Add one; 1 "
            "leaves these sums as they are."
        )
    bases = tuple(rounding.bases[unit] for unit in units)
    if max(bases) == 1:
        return ()
    if set(plan.outputs) != {"sums"}:
        digits = int(plan.significant_bits * log10(2))
        raise PlanError(
            f"KPI {plan.kpi} releases rounded sums beside a value of about {digits} digits, from which they could be "
            "found exactly. Declare its sums alone, and the recipient divides them, or its value without sums."
        )
    return bases


def _unit(plan: "Plan", name: str, measures: Mapping[str, Measure]) -> Unit:
    column = plan.time if name.endswith(".time") else plan.outcome[0]
    return next(m.unit for m in measures.values() if column.name in m.columns)
