"""Alerts: a KPI's cell against a bound, evaluated on shares for every scheduled window.

An alert is raised when the value reaches `raise_at` and clears when it comes back to `clear_at`, which lies on the
harmless side of it, so that a value near the bound does not switch it in every window. Only the state leaves, one bit
a window, to the alert's recipient, who need not be allowed to read the KPI.
"""

from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from policy.errors import PlanError
from policy.plan import FIELD_BITS, MASK_BITS, Plan

MAX_ALERTS = 32
MAX_STATES = 20_000
"""Alerts times scheduled windows of an agreement: every run computes the states of all windows so far again."""

Bound = Annotated[str, Field(pattern=r"^-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?$")]
"""A decimal as written: a float would make another bound of it."""


class Alert(BaseModel):
    """A rule about one cell of one KPI; bounds are in the KPI's unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    kpi: str
    cell: dict[str, str] = {}
    """Dimension → category; empty for all patients."""
    recipient: str
    when: Literal["above", "below"]
    """The side on which the value is a reason to look."""
    raise_at: Bound
    clear_at: Bound

    @model_validator(mode="after")
    def _hysteresis(self) -> "Alert":
        raised, cleared = Fraction(self.raise_at), Fraction(self.clear_at)
        if cleared == raised or (cleared > raised) == (self.when == "above"):
            side = "below" if self.when == "above" else "above"
            raise ValueError(
                f"alert {self.id}: it is raised {self.when} {self.raise_at} and clears at {self.clear_at}; "
                f"clear_at must be {side} raise_at"
            )
        return self

    def stratum(self, plan: Plan) -> int:
        """Position of its cell in the plan.

        Raises:
            PlanError: the plan has no such cell.
        """
        for position, stratum in enumerate(plan.strata):
            if stratum.cell == self.cell:
                return position
        known = ", ".join(str(s.cell) for s in plan.strata[1:]) or "none"
        raise PlanError(
            f"alert {self.id}: KPI {plan.kpi} has no cell {self.cell}; besides all patients it has {known}."
        )

    def ratios(self, plan: Plan) -> tuple[Fraction, Fraction]:
        """raise_at and clear_at for the plan's value before its public scale."""
        scale = Fraction(plan.scale_numerator, plan.scale_denominator)
        return Fraction(self.raise_at) / scale, Fraction(self.clear_at) / scale

    def compared_bits(self, plan: Plan, patients: int, panes: int) -> int:
        """Bits of the largest number whose sign is taken: numerator · q − denominator · p for a bound p/q."""
        width = max(abs(r.numerator) + r.denominator for r in self.ratios(plan)).bit_length()
        return plan.product_bits(patients, panes) + width

    def check_bounds(self, plan: Plan, patients: int, panes: int) -> None:
        """Refuse an alert whose comparison may leave the tail's field.

        Args:
            plan: its KPI's.
            patients: most patients of all shards together.
            panes: most panes of a window.

        Raises:
            PlanError: names the alert, the bits and what to change.
        """
        bits, limit = self.compared_bits(plan, patients, panes), FIELD_BITS - MASK_BITS - 4
        if bits > limit:
            raise PlanError(
                f"alert {self.id}: comparing KPI {plan.kpi} with its bounds may need {bits} bits, the tail's field has "
                f"room for {limit}. Write the bounds with fewer digits, or lower the measures' bounds, the window "
                f"({panes} panes) or the number of patients ({patients})."
            )


def check_states(alerts: Sequence[Alert], readers: Sequence[str], windows: int) -> None:
    """Check that alerts have ids and recipients, and not more states than a run can compute.

    Args:
        alerts: the agreement's.
        readers: its recipients.
        windows: that run by themselves.

    Raises:
        ValueError: names the alert.
    """
    ids = [alert.id for alert in alerts]
    if len(set(ids)) != len(ids):
        raise ValueError(f"alert ids repeat: {', '.join(ids)}")
    for alert in alerts:
        if alert.recipient not in readers:
            raise ValueError(
                f"alert {alert.id}: {alert.recipient!r} is not a recipient; expected one of {', '.join(readers)}"
            )
    if len(ids) * windows > MAX_STATES:
        raise ValueError(
            f"{len(ids)} alerts over {windows} windows are {len(ids) * windows} states, which every run computes; "
            f"at most {MAX_STATES}. Agree on fewer alerts or larger steps"
        )


def check_alerts(alerts: Sequence[Alert], plans: Sequence[Plan]) -> None:
    """Check that every alert is about a cell that its agreement computes.

    Raises:
        PlanError: an unknown KPI or cell, a KPI with a cap, or bounds that no value reaches; names the alert.
    """
    by_kpi = {plan.kpi: plan for plan in plans}
    for alert in alerts:
        plan = by_kpi.get(alert.kpi)
        if plan is None:
            raise PlanError(
                f"alert {alert.id} is about KPI {alert.kpi}, which the agreement does not compute; it computes "
                f"{', '.join(by_kpi)}."
            )
        if plan.cap is not None:
            raise PlanError(
                f"alert {alert.id}: KPI {plan.kpi} has a cap, and every run would cap all earlier windows again, "
                "patient by patient. Take the KPI without a cap."
            )
        if plan.as_odds and not all(0 <= Fraction(b) <= 1 for b in (alert.raise_at, alert.clear_at)):
            raise PlanError(
                f"alert {alert.id}: KPI {plan.kpi} is a share; found bounds {alert.raise_at} and {alert.clear_at}, "
                "expected two from 0 to 1."
            )
        alert.stratum(plan)


def check_brackets(alerts: Sequence[Alert], plans: Sequence[Plan], reads: Mapping[str, Sequence[str]]) -> None:
    """Check that alerts do not tell the value to those who may not read it.

    One bound on each side says that a value is beyond it. Many bounds on one side would say between which two of them
    it lies, week by week, as narrow as whoever drafts the agreement likes; recipients may put theirs together, and KPIs
    of one computation under several names are one.

    Args:
        alerts: the agreement's, about plans and cells that it has.
        plans: of the agreement.
        reads: recipient → KPIs that it may read.

    Raises:
        PlanError: two alerts of one side; names them.
    """
    by_kpi = {plan.kpi: plan for plan in plans}
    readable = {
        name: {
            _computed(plan, place)
            for plan in plans if plan.kpi in kpis for place in range(len(plan.strata))
        }
        for name, kpis in reads.items()
    }
    seen: dict[Hashable, Alert] = {}
    for alert in alerts:
        plan = by_kpi[alert.kpi]
        value = _computed(plan, alert.stratum(plan))
        if value in readable[alert.recipient]:
            continue
        first = seen.setdefault((value, alert.when), alert)
        if _bounds(first) != _bounds(alert):
            raise PlanError(
                f"alerts {first.id} and {alert.id} compare one value with two bounds on one side ({alert.when}), for "
                f"recipients that may not read it: {', '.join(dict.fromkeys((first.recipient, alert.recipient)))}. "
                "Together they tell between which bounds it lies. Expected at most one above and one below. "
                f"Leave one out, or let the recipient read {alert.kpi}."
            )


def _bounds(alert: Alert) -> tuple[Fraction, Fraction]:
    return Fraction(alert.raise_at), Fraction(alert.clear_at)


def _computed(plan: Plan, place: int) -> Hashable:
    """What a cell's value is, whatever the KPI is called."""
    return plan.estimator, plan.arms, plan.time, plan.outcome, plan.cap, plan.strata[place].column
