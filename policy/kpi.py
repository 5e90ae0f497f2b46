"""KPI programs: TOML, not code. They compile to a plan whose hash the agreement permits."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policy import shipped
from policy.errors import PlanError
from policy.faults import fault_lines
from policy.measure import Measure
from policy.plan import (
    LEAST_SIGNIFICANT_BITS,
    MOST_SIGNIFICANT_BITS,
    Column,
    Estimator,
    Output,
    Plan,
    Stratum,
    columns_of,
)

DAYS_PER_MONTH = (487, 16)
"""30.4375 days, a twelfth of a Julian year, as an exact fraction."""
HUNDREDTHS = 100
"""Cents in a euro; scores are shared as hundredths of a point."""
ROLES: dict[Estimator, tuple[tuple[str, str | None], ...]] = {
    "rate-ratio": (("days", "count"), ("days", "sum")),
    "mean-difference": (("days", "sum"), ("follow-ups", "change")),
    "share": (("days", None),),
    "completion": (("count", "count"),),
}
"""Aggregations of time and outcome that an estimator makes sense of."""


ValueUnit = Literal["ratio", "EUR/patient-month", "points", "share"]
UNITS: dict[Estimator, tuple[ValueUnit, ...]] = {
    "rate-ratio": ("ratio",), "mean-difference": ("EUR/patient-month", "points"), "share": ("share",),
    "completion": ("share",),
}
"""Units that an estimator's value may have, the usual one first. A share lies between 0 and 1."""


class Text(BaseModel):
    """A text in both languages of the pages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    en: str
    nl: str

    def of(self, lang: str) -> str:
        """The text in `nl`, or else English."""
        return self.nl if lang == "nl" else self.en


class Kpi(BaseModel):
    """A KPI program; every name refers to a measure of the agreement."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    title: Text
    description: Text
    better: str = Field(pattern="^(lower|higher)$")
    estimator: Estimator
    unit: ValueUnit | None = None
    """Of the value; None: the estimator's usual one."""
    exposed: str
    comparator: str | None = None
    time: str
    outcome: str | None = None
    missed: str | None = None
    """Of a completion: what of `time` is not in `outcome`. Enough patients must have some of it too."""
    cap: int | None = Field(default=None, ge=1)
    """Cents per patient, window and category: more count as this many, less than 0 as 0."""
    strata: dict[str, dict[str, str]] = {}
    """Dimension → category → 0/1 measure. At most one dimension."""
    names: dict[str, Text] = {}
    """Names for people: of a dimension ("education") and of its categories ("education:low")."""

    @property
    def value_unit(self) -> ValueUnit:
        """The unit of the KPI's value."""
        return self.unit or UNITS[self.estimator][0]
    outputs: tuple[Output, ...] = ("value", "interval")
    significant_bits: int = Field(default=20, ge=LEAST_SIGNIFICANT_BITS, le=MOST_SIGNIFICANT_BITS)


def load_kpi(source: str | Path) -> Kpi:
    """Read a KPI program from a file, or by its name from the catalogue.

    Raises:
        PlanError: not found, not TOML, or not a KPI program.
    """
    return shipped.load(Kpi, "catalogue", source)


def catalogue() -> tuple[str, ...]:
    """Names of the KPI programs that come with Winnow."""
    return shipped.names("catalogue")


def compile_plan(kpi: Kpi, measures: Mapping[str, Measure]) -> Plan:
    """Resolve a KPI's names against the agreement's measures.

    Raises:
        PlanError: a measure is missing, or of a kind that cannot serve where the KPI uses it.
    """

    def measure(name: str, *kinds: str) -> Measure:
        found = measures.get(name)
        if found is None:
            raise PlanError(f"KPI {kpi.id} needs measure {name!r}; the agreement has {', '.join(sorted(measures))}.")
        if found.aggregation not in kinds:
            raise PlanError(
                f"KPI {kpi.id}: measure {name!r} is a {found.aggregation}, expected {' or '.join(kinds) or 'none'}."
            )
        return found

    def column(found: Measure) -> Column:
        return columns_of(found)[0]

    def contributor(of: Measure) -> Column:
        for found in measures.values():
            if found.aggregation == "nonzero" and found.of == of.name:
                return column(found)
        raise PlanError(
            f"KPI {kpi.id}: nobody shares who contributes to {of.name!r}. "
            f'Add a measure with aggregation = "nonzero" and of = "{of.name}".'
        )

    roles = ROLES[kpi.estimator]
    time = measure(kpi.time, *(time for time, _ in roles))
    fitting = [outcome for kind, outcome in roles if kind == time.aggregation and outcome is not None]
    outcome = None if kpi.outcome is None else measure(kpi.outcome, *fitting)
    arms = [column(measure(kpi.exposed, "exposed"))]
    if kpi.comparator is not None:
        arms.append(column(measure(kpi.comparator, "not-yet-exposed")))
    counted = [time]
    if outcome is not None and outcome.aggregation != "change":
        counted.append(outcome)
    if kpi.missed is not None:
        counted.append(measure(kpi.missed, "missed"))
    if len(kpi.strata) > 1:
        raise PlanError(f"KPI {kpi.id} has {len(kpi.strata)} dimensions of strata; at most one is supported.")
    strata = [Stratum(cell={})]
    for dimension, categories in kpi.strata.items():
        strata += [
            Stratum(cell={dimension: category}, column=column(measure(name, "category")))
            for category, name in categories.items()
        ]
    unit, scale = _unit(kpi, outcome)
    return _plan(
        kpi=kpi.id, estimator=kpi.estimator, arms=tuple(arms), time=column(time),
        outcome=() if outcome is None else columns_of(outcome), cap=kpi.cap,
        contributors=tuple(contributor(of) for of in counted), strata=tuple(strata),
        outputs=kpi.outputs, significant_bits=kpi.significant_bits, unit=unit,
        scale_numerator=scale.numerator, scale_denominator=scale.denominator,
    )


def _unit(kpi: Kpi, outcome: Measure | None) -> tuple[str, Fraction]:
    """The value's unit, and how many of it one of the tail's is."""
    made: ValueUnit = "points" if outcome is not None and outcome.aggregation == "change" else UNITS[kpi.estimator][0]
    if kpi.value_unit != made:
        raise PlanError(f'KPI {kpi.id}: its value is in {made}, not in {kpi.value_unit}. Write unit = "{made}".')
    match made:
        case "points":
            return made, Fraction(1, HUNDREDTHS)
        case "EUR/patient-month":
            return made, Fraction(*DAYS_PER_MONTH) / HUNDREDTHS
        case _:
            return made, Fraction(1)


def _plan(**fields: Any) -> Plan:
    try:
        return Plan(**fields)
    except ValidationError as error:
        raise PlanError(fault_lines(error)[0]) from error
