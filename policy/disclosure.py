"""Output rules of an agreement; they hold for every atom (mpc.disclosure).

Dominance rules say when few contributors make up so much of a sum that it tells about them. The (n, k) rule refuses a
sum of which the n largest contributors make up k per cent or more, the p % rule one from which the second largest
could estimate the largest to within less than p per cent: (1 + p)·x₁ + x₂ > x₁ + x₂ + … (Hundepool et al., Statistical
Disclosure Control, 2012, §4.2; k per cent itself is refused as the tool acro does). Contributions count by their size,
whatever their sign.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from policy.errors import PlanError
from policy.plan import RING_BITS, Table
from policy.rounding import Rounding

PER_CENT = 100
MAX_MINIMUM = 10**9


class Dominance(BaseModel):
    """Agreed rules, one or more; every sum of counts or amounts obeys all of them.

    The bounds see to it that no more than two contributors can be so large that a rule is about them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    largest_percent: int | None = Field(default=None, ge=34, le=99)
    """(1, k): the largest contributor makes up less of a sum."""
    two_largest_percent: int | None = Field(default=None, ge=67, le=99)
    """(2, k): the two largest do."""
    p_percent: Literal[5, 10, 20, 25, 50] | None = None
    """p %: how closely nobody may estimate another's part."""

    @model_validator(mode="after")
    def _some_rule(self) -> "Dominance":
        if self.largest_percent is None and self.two_largest_percent is None and self.p_percent is None:
            raise ValueError(
                "dominance names no rule; expected largest_percent, two_largest_percent or p_percent, or no such table"
            )
        return self

    @property
    def candidates(self) -> tuple[int, int]:
        """(a, b): only contributors x with a·x ≥ b·total > 0 can break a rule, and these are at most two."""
        limits = []
        if self.largest_percent is not None:
            limits.append((PER_CENT, self.largest_percent))
        if self.two_largest_percent is not None:
            limits.append((2 * PER_CENT, self.two_largest_percent))
        if self.p_percent is not None:
            limits.append((2 * PER_CENT + self.p_percent, PER_CENT))
        return min(limits, key=lambda limit: limit[1] / limit[0])

    def largest_compared(self, bound: int, patients: int) -> int:
        """No number that the rules compare is above this, if so many patients add at most `bound` each."""
        inverse = 0 if self.p_percent is None else PER_CENT * (PER_CENT // self.p_percent)
        return max(3 * PER_CENT, inverse + PER_CENT) * bound * max(patients, 1)

    def check(self, kpi: str, bound: int, patients: int) -> None:
        """Refuse what may leave the ring when it is compared.

        Args:
            kpi: for the message.
            bound: most that a patient adds to a sum.
            patients: most of them.

        Raises:
            PlanError: names the bits, the limit and what to lower.
        """
        bits = self.largest_compared(bound, patients).bit_length()
        if bits > RING_BITS:
            raise PlanError(
                f"KPI {kpi}: dominance is found by numbers of up to {bits} bits, the ring has {RING_BITS}. Lower the "
                f"measure's bound or the cap (a patient may have {bound}), or the number of patients ({patients})."
            )

    def words(self) -> str:
        """For messages and summaries."""
        rules = []
        if self.largest_percent is not None:
            rules.append(f"the largest contributor makes up less than {self.largest_percent} %")
        if self.two_largest_percent is not None:
            rules.append(f"the two largest make up less than {self.two_largest_percent} %")
        if self.p_percent is not None:
            rules.append(f"nobody can estimate another's part to within {self.p_percent} %")
        return ", ".join(rules)


class Disclosure(BaseModel):
    """What every sum has to obey."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum_cohort: int = Field(ge=3, le=MAX_MINIMUM)
    """Fewest contributors."""
    dominance: Dominance | None = Field(default=None, exclude_if=lambda agreed: agreed is None)
    """Without it sums may be of any contributors, if they are enough; terms then have the hash that they had before."""
    tables: Table = Field(default="whole", exclude_if=lambda agreed: agreed == "whole")
    """What comes out of a table in which some categories do not obey; see mpc.disclosure."""
    rounding: Rounding | None = Field(default=None, exclude_if=lambda agreed: agreed is None)
    """Without it sums come out as they are; see policy.rounding."""

    @property
    def rule(self) -> str:
        """What a suppression is said to be by: the minimum if that is all there is, else not which rule it was."""
        return "minimum-cohort" if self.dominance is None else "disclosure"

    def words(self) -> str:
        """What is required, for messages."""
        dominance = "" if self.dominance is None else f"; {self.dominance.words()}"
        return f"at least {self.minimum_cohort} contributors in every atom{dominance}"
