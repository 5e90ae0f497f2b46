"""Strata of an agreement: one social factor by which all its KPIs are split, whatever their programs say.

So a catalogue KPI is shown by education or region without writing a program, and the KPIs of an agreement cannot be
split in ways of which the difference is about a few patients (policy.lattice).
"""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field, model_validator

from policy.errors import PlanError
from policy.kpi import Kpi, Text
from policy.plan import Plan

MAX_CATEGORIES = 20


class Category(BaseModel):
    """One category of the agreement's strata."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    """As results show it."""
    measure: str
    """0/1 measure of aggregation category."""
    name: Text | None = None


class Strata(BaseModel):
    """A dimension and its categories; a patient is in one of them, or in none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimension: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    name: Text | None = None
    categories: tuple[Category, ...] = Field(min_length=1, max_length=MAX_CATEGORIES)

    @model_validator(mode="after")
    def _distinct(self) -> "Strata":
        values = [category.value for category in self.categories]
        if len(set(values)) != len(values):
            raise ValueError(f"categories of {self.dimension} repeat: {', '.join(values)}")
        return self

    def applied(self, kpi: Kpi) -> Kpi:
        """The KPI, split by these strata."""
        names = {self.dimension: self.name} | {f"{self.dimension}:{c.value}": c.name for c in self.categories}
        return kpi.model_copy(update={
            "strata": {self.dimension: {c.value: c.measure for c in self.categories}},
            "names": {key: text for key, text in names.items() if text is not None},
        })

    def check_measures(self, known: Iterable[str]) -> None:
        """Check that the agreement has the categories' measures.

        Raises:
            ValueError: it has not; names the category.
        """
        for category in self.categories:
            if category.measure not in known:
                raise ValueError(
                    f"strata: {self.dimension} {category.value} needs measure {category.measure!r}, which the "
                    "agreement does not have; add one of aggregation category"
                )

    def check_plans(self, plans: Iterable[Plan]) -> None:
        """Check that plans are split by these strata.

        Raises:
            PlanError: one is not; names the KPI.
        """
        expected = [({}, None), *(({self.dimension: c.value}, c.measure) for c in self.categories)]
        for plan in plans:
            if [(s.cell, s.column.name if s.column else None) for s in plan.strata] != expected:
                raise PlanError(f"KPI {plan.kpi} is not split by the agreement's strata. Compile again.")
