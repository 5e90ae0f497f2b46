"""Measures: how a party's events become one integer per patient and pane.

A measure has a declared bound; the plan compiler propagates it, and the party rejects what would exceed it.
An amount is shared as two limbs (value = high·2^LIMB_BITS + low, 0 ≤ low < 2^LIMB_BITS) so that sums of
squares stay below 2^62.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

LIMB_BITS = 13
"""€81.92: with amounts below 2^26 cents a pane, both limbs have 13 bits and a sign."""

Aggregation = Literal["exposed", "not-yet-exposed", "days", "count", "sum", "category", "nonzero"]
EventKind = Literal[
    "enrolment", "encounter", "monitoring", "prom", "claim", "social", "withdrawal", "heartbeat",
]

Code = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
"""As in events; a code that none can have would match nothing in silence."""


class Measure(BaseModel):
    """One integer per patient and pane.

    - `exposed`: 1 when the patient is enrolled in `programme` during the whole pane.
    - `not-yet-exposed`: 1 when enrolled in `cohort` during the whole pane and not in `programme` at any
      time up to the pane's end. The pane in which `programme` starts belongs to neither arm.
    - `days`: calendar days of the pane on which the patient is enrolled in `programme`.
    - `count`: net number of matching events: a credit line takes away what it cancels.
    - `sum`: net sum of the events' cents, two limbs.
    - `category`: 1 when the `field` valid at the pane's start equals `value`.
    - `nonzero`: 1 when measure `of` is not 0.
    `at_risk` names a measure of the same party: where that is 0 this one is 0 too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    party: str
    aggregation: Aggregation
    kind: EventKind | None = None
    programme: Code | None = None
    cohort: Code | None = None
    care_type: Code | None = None
    field: Code | None = None
    value: Code | None = None
    of: str | None = None
    at_risk: str | None = None
    bound: int = Field(default=1, ge=1, le=2**26 - 1)

    @model_validator(mode="after")
    def _complete(self) -> "Measure":
        needed = {
            "exposed": ("programme",), "not-yet-exposed": ("programme", "cohort"), "days": ("programme",),
            "count": ("kind",), "sum": ("kind",), "category": ("field", "value"), "nonzero": ("of",),
        }[self.aggregation]
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"measure {self.name}: {self.aggregation} needs {', '.join(missing)}")
        return self

    @property
    def needs(self) -> EventKind | None:
        """The kind of events that it is made of; None: made of another measure."""
        match self.aggregation:
            case "exposed" | "not-yet-exposed" | "days":
                return "enrolment"
            case "category":
                return "social"
            case "nonzero":
                return None
            case _:
                return self.kind

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the shared columns, most significant limb first."""
        return (f"{self.name}.high", f"{self.name}.low") if self.aggregation == "sum" else (self.name,)
