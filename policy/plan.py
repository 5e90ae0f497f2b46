"""Plans: what the nodes compute for a KPI, canonical and hashable.

A plan says: for each arm and stratum, form per patient and pane the products arm · stratum · column for the
time column and the outcome's limbs; add them over the window's panes; cap the outcome if the plan has a cap; over
patients take sums and the matrix of second moments; count contributors per atom. The tail turns these into the outputs.

With t and y a patient's time and outcome in a window, capitals the sums over patients, u exposed and c comparator:

    rate-ratio        (Yu/Tu) / (Yc/Tc)
    mean-difference   Yu/Tu − Yc/Tc
    share             Tu / (Tu + Tc)      no outcome
    completion        Yu / Tu             no comparator: y of t were done
"""

from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from policy.canonical import Anchored
from policy.errors import PlanError
from policy.measure import LIMB_BITS, Measure
from policy.privacy import GROUPS, Privacy, SumNoise, noise_of_blocks, noise_of_windows

Estimator = Literal["rate-ratio", "mean-difference", "share", "completion"]
ARMS = ("exposed", "comparator")
Output = Literal["value", "interval", "sums"]
Table = Literal["whole", "in-order"]
"""Of a table either all categories come out or none; or as many of the first ones as may."""
RING_BITS = 62
"""Signed values of the ring stay below 2^62 so that the lift to the field is exact."""
FIELD_BITS = 256
LEAST_SIGNIFICANT_BITS, MOST_SIGNIFICANT_BITS = 8, 44
MOST_ROUNDED_BITS = 26
"""More bits would let a recipient find small numerators and denominators: only where the sums are outputs too."""
"""Bits of a derived output's mantissa. The tail works to about 2^-50, so up to 44 bits are as declared."""
MASK_BITS = 40
"""Statistical masking in the tail, in bits."""


class Column(BaseModel):
    """A shared column: |value| ≤ bound per patient and pane."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    party: str
    bound: int = Field(ge=1, le=2**26)
    signed: bool = False


def columns_of(measure: Measure) -> tuple[Column, ...]:
    """A measure's shared columns; an amount is two limbs, the most significant first."""
    if measure.aggregation != "sum":
        signed = measure.aggregation == "change"
        return (Column(name=measure.name, party=measure.party, bound=measure.bound, signed=signed),)
    return limbs_of(*measure.columns, party=measure.party, bound=measure.bound)


def limbs_of(high: str, low: str, *, party: str, bound: int) -> tuple[Column, Column]:
    """The columns of an amount of either sign, |amount| ≤ bound: amount = high·2^LIMB_BITS + low."""
    return (
        Column(name=high, party=party, bound=(bound >> LIMB_BITS) + 1, signed=True),
        Column(name=low, party=party, bound=(1 << LIMB_BITS) - 1),
    )


class Stratum(BaseModel):
    """One cell of a KPI's table: `column` is the 0/1 column of the stratum, None for all patients."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: dict[str, str]
    column: Column | None = None


class Plan(Anchored):
    """The computation of one KPI over any window; an agreement permits its hash.

    Strata: the total first, then disjoint categories.
    """

    kpi: str
    estimator: Estimator
    arms: tuple[Column, ...] = Field(min_length=1, max_length=2)
    """0/1 columns: exposed, then the comparator unless the estimator has none."""
    time: Column
    """What is divided by, or (share) shared out: days, answers, modules."""
    outcome: tuple[Column, ...] = Field(max_length=2)
    """None, one column, or two limbs: outcome = outcome[0]·2^LIMB_BITS + outcome[1]."""
    cap: int | None = Field(default=None, ge=1)
    """A patient's outcome in a window and category counts as 0 below 0 and as `cap` above it."""
    contributors: tuple[Column, ...] = Field(min_length=1, max_length=3)
    """0/1 columns, each 1 where a patient adds something to one of the sums: every atom needs enough of each."""
    strata: tuple[Stratum, ...]
    table: Table = Field(default="whole", exclude_if=lambda table: table == "whole")
    """How much of the categories comes out where not all may."""
    outputs: tuple[Output, ...]
    significant_bits: int = Field(ge=LEAST_SIGNIFICANT_BITS, le=MOST_SIGNIFICANT_BITS)
    """Declared rounding of derived outputs: mantissas of this many bits."""
    bases: tuple[int, ...] = Field(default=(), exclude_if=lambda bases: not bases)
    """Of each of `sums`: it comes out as the nearest multiple. Without them sums are exact."""
    unit: str
    scale_numerator: int
    scale_denominator: int
    """value · scale_numerator / scale_denominator is in `unit`; public, applied by the recipient."""
    privacy: Privacy | None = Field(default=None, exclude_if=lambda agreed: agreed is None)
    """Whether noise is added to all sums before anything is made of them; without it the plan's hash is as before."""

    @model_validator(mode="after")
    def _formed(self) -> "Plan":
        arms, outcome = 1 if self.estimator == "completion" else 2, self.estimator != "share"
        if len(self.arms) != arms or bool(self.outcome) != outcome:
            raise ValueError(
                f"KPI {self.kpi}: a {self.estimator} has {arms} arms and {'an' if outcome else 'no'} outcome; found "
                f"{len(self.arms)} and {len(self.outcome)} columns of outcome."
            )
        if self.estimator == "completion" and len(self.outcome) != 1:
            raise ValueError(f"KPI {self.kpi}: what is done is counted, so it is one column and no amount.")
        if self.cap is not None and self.estimator != "mean-difference":
            raise ValueError(f"KPI {self.kpi}: only the outcome of a mean-difference can be capped.")
        return self

    @model_validator(mode="after")
    def _rounded(self) -> "Plan":
        if self.significant_bits > MOST_ROUNDED_BITS and "sums" not in self.outputs:
            raise ValueError(
                f"KPI {self.kpi} rounds to {self.significant_bits} bits, from which its sums can be found. Declare the "
                f"sums as outputs, or round to {MOST_ROUNDED_BITS} bits or fewer."
            )
        return self

    @model_validator(mode="after")
    def _bases_fit(self) -> "Plan":
        if self.bases and (len(self.bases) != len(self.sums) or self.outputs != ("sums",) or min(self.bases) < 1):
            raise ValueError(
                f"KPI {self.kpi}: bases {self.bases} of outputs {', '.join(self.outputs)}; expected a base for each of "
                f"{', '.join(self.sums)}, which come out alone."
            )
        return self

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every column the plan reads, each once, in a fixed order."""
        found: dict[str, Column] = {}
        for column in (
            *self.arms, self.time, *self.outcome, *self.contributors,
            *(s.column for s in self.strata if s.column is not None),
        ):
            found.setdefault(column.name, column)
        return tuple(found.values())

    @property
    def totals(self) -> tuple[str, ...]:
        """Names of a patient's window totals in a cell: for each arm the time, then the outcome's limbs."""
        return self._by_arm(("outcome",) if len(self.outcome) == 1 else ("outcome.high", "outcome.low"))

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of what is summed over patients: the totals, but a capped outcome, or one with noise, has no limbs."""
        return self.totals if self.cap is None and self.privacy is None else self.sums

    @property
    def sums(self) -> tuple[str, ...]:
        """Names of the sums that may be outputs: for each arm the time, then the outcome, limbs joined."""
        return self._by_arm(("outcome",))

    def _by_arm(self, outcome: tuple[str, ...]) -> tuple[str, ...]:
        parts = ("time", *outcome) if self.outcome else ("time",)
        return tuple(f"{arm}.{part}" for arm in ARMS[: len(self.arms)] for part in parts)

    @property
    def noise(self) -> tuple[SumNoise, ...]:
        """What each of `sums` gets; none without privacy. Times and outcomes spend half of ρ each."""
        if self.privacy is None:
            return ()
        horizon, split = self.privacy.horizon, len(self.strata) > 1
        rho = Fraction(self.privacy.rho) / (1 + bool(self.outcome))
        time = noise_of_blocks(horizon, self.time.bound, rho, split=split)
        if not self.outcome:
            return (time,) * len(self.arms)
        outcome = noise_of_blocks(horizon, self._largest_outcome, rho, split=split)
        if self.cap is not None:
            places = min(horizon.panes, len(self.arms) * len(self.strata))
            outcome = noise_of_windows(horizon, self.cap, places, rho, split=split)
        return (time, outcome) * len(self.arms)

    @property
    def groups(self) -> int:
        """Into how many groups patients are put where there is noise: an interval needs more than one."""
        return GROUPS if "interval" in self.outputs else 1

    @property
    def prefixes(self) -> tuple[int, ...]:
        """How many of the first categories may come out together, ascending: all, or any number of them."""
        categories = len(self.strata) - 1
        if not categories:
            return ()
        return (categories,) if self.table == "whole" else tuple(range(1, categories + 1))

    @property
    def counted_cells(self) -> int:
        """Cells whose contributors are counted: the strata, then for each of the prefixes those outside of it."""
        return len(self.strata) + len(self.prefixes)

    @property
    def as_odds(self) -> bool:
        """Whether the tail computes a share as its odds: one part against the rest, s / (1 − s)."""
        return self.estimator in {"share", "completion"}

    def contribution_bound(self, panes: int) -> int | None:
        """Most that a patient adds to the outcome's sums over so many panes, if these are counts or amounts: such sums
        obey dominance rules (policy.disclosure). None for changes of a score and for plans without an outcome.
        """
        if self.cap is not None:
            return self._capped(panes)
        if not self.outcome or (len(self.outcome) == 1 and self.outcome[0].signed):
            return None
        return panes * self._largest_outcome

    def check_bounds(self, patients: int, panes: int) -> None:
        """Refuse a plan whose sums may leave the ring, or whose estimator may leave the field.

        Args:
            patients: most patients of all shards together.
            panes: most panes of a window.

        Raises:
            PlanError: names the quantity, its bits, the limit and what to lower.
        """
        largest = {column.name: column.bound * panes for column in (self.time, *self.outcome)}
        if self.noise and self.outcome:
            largest = {self.time.name: self.time.bound * panes, self.outcome[0].name: self._largest_outcome * panes}
        if self.cap is not None:
            capped = f"the capped {self.outcome[0].name}"
            largest = {self.time.name: self.time.bound * panes, capped: self._capped(panes)}
        what = "sum" if self.noise else "sum of squares"
        for place, (name, most) in enumerate(largest.items()):
            bits = (patients * most + self._moved(place) if self.noise else patients * most**2).bit_length()
            if bits > RING_BITS:
                raise PlanError(
                    f"KPI {self.kpi}: the {what} of {name} may need {bits} bits, the ring has {RING_BITS}. "
                    f"Lower the measure's bound or the cap (a patient may have {most}), the window ({panes} panes) or "
                    f"the number of patients ({patients})."
                )
        limit = FIELD_BITS - MASK_BITS - 4
        bits = max(self.variance_bits(patients, panes), self.product_bits(patients, panes) + 1)
        if bits > limit:
            raise PlanError(
                f"KPI {self.kpi}: the variance may need {bits} bits, the tail's field has room for {limit}. "
                f"Lower the bounds, the window ({panes} panes) or the number of patients ({patients})."
            )

    def product_bits(self, patients: int, panes: int) -> int:
        """Bits of the largest product of two sums in the tail: time · outcome (twice, for a difference) or time²."""
        time, outcome = self._largest_sums(patients, panes)
        return max(2 * time * outcome, time * time).bit_length()

    def variance_bits(self, patients: int, panes: int) -> int:
        """Bits of the largest numerator of the variance.

        It is Σ (Qc·(Tu·yu − Yu·tu) − Qu·(Tc·yc − Yc·tc))² with Q = T·Y for a ratio of rates and T² for a difference
        of means. The root of a sum of n squares below b² is below √n·b, and four such terms add. With noise it is a sum
        over groups, each of which may have nearly everything, with noise of either sign.
        """
        time, outcome = self._largest_sums(patients, panes)
        weight = time * time if self.estimator == "mean-difference" else time * outcome
        largest = 16 * (weight * time * outcome) ** 2
        return (largest * self.groups if self.noise else largest // patients).bit_length()

    def _largest_sums(self, patients: int, panes: int) -> tuple[int, int]:
        """Largest sizes of a cell's time and outcome; of odds, which are rates with time 1, the parts' size."""
        time, outcome = patients * panes * self.time.bound, patients * panes * self._largest_outcome
        if self.as_odds:
            return 1, max(time, outcome) + self._moved(0) + self._moved(1)
        if self.cap is not None:
            outcome = patients * self._capped(panes)
        return time + self._moved(0), outcome + self._moved(1)

    def _moved(self, place: int) -> int:
        """By how much noise moves one of `sums` at most; 0 without."""
        return self.noise[place].most(self.groups) if place < len(self.noise) else 0

    @property
    def _largest_outcome(self) -> int:
        """Of a patient in a pane."""
        limbs = [column.bound for column in self.outcome]
        return (limbs[0] << LIMB_BITS) + limbs[1] if len(limbs) == 2 else sum(limbs)

    def _capped(self, panes: int) -> int:
        """Most of a patient's capped outcome: the cap holds in each category, and categories change between panes."""
        return (self.cap or 0) * min(panes, len(self.strata))
