"""Plans: what the nodes compute for a KPI, canonical and hashable.

A plan says: for each arm and stratum, form per patient and pane the products arm · stratum · column for the
time column and the outcome's limbs; add them over the window's panes; over patients take sums and the matrix of
second moments; count contributors per atom. The tail turns these into the outputs.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from policy.canonical import canonical_hash
from policy.errors import PlanError
from policy.measure import LIMB_BITS

Estimator = Literal["rate-ratio", "mean-difference"]
Output = Literal["value", "interval", "sums"]
RING_BITS = 62
"""Signed values of the ring stay below 2^62 so that the lift to the field is exact."""
FIELD_BITS = 256
MASK_BITS = 40
"""Statistical masking in the tail, in bits."""


class Column(BaseModel):
    """A shared column: |value| ≤ bound per patient and pane."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    party: str
    bound: int = Field(ge=1, le=2**26)
    signed: bool = False


class Stratum(BaseModel):
    """One cell of a KPI's table: `column` is the 0/1 column of the stratum, None for all patients."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: dict[str, str]
    column: Column | None = None


class Plan(BaseModel):
    """The computation of one KPI over any window. Strata: the total first, then disjoint categories."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kpi: str
    estimator: Estimator
    arms: tuple[Column, Column]
    """0/1 columns: exposed, comparator."""
    time: Column
    time_contributor: Column
    outcome: tuple[Column, ...]
    """One column, or two limbs: outcome = outcome[0]·2^LIMB_BITS + outcome[1]."""
    outcome_contributor: Column
    strata: tuple[Stratum, ...]
    outputs: tuple[Output, ...]
    significant_bits: int = Field(ge=8, le=26)
    """Declared rounding of derived outputs: mantissas of this many bits."""
    unit: str
    scale_numerator: int
    scale_denominator: int
    """value · scale_numerator / scale_denominator is in `unit`; public, applied by the recipient."""

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical plan, 64 hexadecimal digits: what an agreement permits."""
        return canonical_hash(self)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every column the plan reads, each once, in a fixed order."""
        found: dict[str, Column] = {}
        for column in (
            *self.arms, self.time, self.time_contributor, *self.outcome, self.outcome_contributor,
            *(s.column for s in self.strata if s.column is not None),
        ):
            found.setdefault(column.name, column)
        return tuple(found.values())

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the per-patient window totals of a cell: for each arm the time, then the outcome's limbs."""
        arms = ("exposed", "comparator")
        limbs = ("outcome",) if len(self.outcome) == 1 else ("outcome.high", "outcome.low")
        parts = ("time", *limbs)
        return tuple(f"{arm}.{part}" for arm in arms for part in parts)

    def check_bounds(self, patients: int, panes: int) -> None:
        """Refuse a plan whose sums may leave the ring, or whose estimator may leave the field.

        Args:
            patients: most patients of all shards together.
            panes: most panes of a window.

        Raises:
            PlanError: names the quantity, its bits, the limit and what to lower.
        """
        for column in (self.time, *self.outcome):
            bits = (patients * (column.bound * panes) ** 2).bit_length()
            if bits > RING_BITS:
                raise PlanError(
                    f"KPI {self.kpi}: the sum of squares of {column.name} may need {bits} bits, the ring has "
                    f"{RING_BITS}. Lower the measure's bound ({column.bound}), the window ({panes} panes) or the "
                    f"number of patients ({patients})."
                )
        time_bits = (patients * self.time.bound * panes).bit_length()
        top = self.outcome[0].bound << (LIMB_BITS if len(self.outcome) == 2 else 0)
        outcome_bits = (patients * top * panes).bit_length()
        # Denominators of the variance: (t·y·t·y)² for a ratio of rates, (t·t)⁴ for a difference of means.
        variance_bits = (
            4 * (time_bits + outcome_bits) if self.estimator == "rate-ratio"
            else 6 * time_bits + 2 * max(outcome_bits, time_bits)
        )
        if variance_bits + MASK_BITS + 4 > FIELD_BITS:
            raise PlanError(
                f"KPI {self.kpi}: the variance may need {variance_bits} bits, the tail's field has room for "
                f"{FIELD_BITS - MASK_BITS - 4}. Lower the bounds, the window or the number of patients."
            )
