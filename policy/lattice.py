"""One lattice per agreement: what its KPIs release may be added and subtracted without reaching below a checked cell.

The disclosure rules (mpc.disclosure) look at one plan at a time: its strata, the rest of its total, its atoms. They
hold for all plans together only if these are read off one lattice: the same disjoint arms, strata of which one KPI's
are among the other's, and quantities (times and outcomes) that are not parts of each other. Else the difference of two
cells, each large enough, may be one patient: two KPIs that show groups 1-2 and groups 3-5 leave whoever has none; the
cost of all care minus that of GPs leaves one hospital bill; modules due minus modules completed leaves who missed one;
cost without a cap minus cost with one leaves who passed it.
docs/adr/0011-estimators-caps-and-strata.md says what this does not see.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import NamedTuple

from policy.errors import PlanError
from policy.kpi import ROLES
from policy.measure import Measure
from policy.plan import Column, Plan, columns_of
from policy.window import Lattice

Group = tuple[str, str | None, str | None, str | None]
"""Party, field, value, and what limits it to some of those (`at_risk`)."""
CARE = {"claim", "encounter"}
"""Kinds that may record the same care."""


class Quantity(NamedTuple):
    """What a plan sums: a measure, perhaps capped."""

    measure: Measure
    cap: int | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return self.measure.name if self.cap is None else f"{self.measure.name} capped at {self.cap}"


def check_lattice(measures: Mapping[str, Measure], plans: Sequence[Plan], windows: Lattice) -> None:
    """Check that plans mean what they should, by themselves and together.

    Args:
        measures: the agreement's, by name.
        plans: all that the agreement permits.
        windows: all that the agreement can release.

    Raises:
        PlanError: names the KPIs and what to change.
    """
    by_column = {column.name: measure for measure in measures.values() for column in columns_of(measure)}
    for plan in plans:
        _check_plan(plan, by_column)
        _check_windows(plan, windows)
    for one, other in combinations(plans, 2):
        _check_pair(one, other, by_column)


def _check_windows(plan: Plan, windows: Lattice) -> None:
    """What does not add up over windows may only be released for windows that cannot be added up to others."""
    if plan.cap is not None and windows.on_demand is not None:
        raise PlanError(
            f"KPI {plan.kpi} has a cap, and this agreement has windows on demand: the sum of two windows minus the "
            "window of both would be about those beyond the cap only. Leave on_demand out, or take the KPI "
            "without a cap."
        )
    if plan.cap is not None and windows.spec.nested:
        raise PlanError(
            f"KPI {plan.kpi} has a cap, and windows that grow: one minus the one before would be about those alone who "
            "had not reached the cap yet, however few. Take tumbling or hopping windows, or the KPI without a cap."
        )
    if windows.editions > 1 and (plan.cap is not None or plan.estimator == "completion"):
        raise PlanError(
            f"KPI {plan.kpi} {'has a cap' if plan.cap is not None else 'is about what was due and not done'}, and "
            "results come in two editions: what the full one says more could be about a few patients, since such a "
            'result is not the sum of what changed. Release at "seal" or at "maturity", or leave the KPI out.'
        )
    if plan.estimator == "completion" and windows.spec.nested:
        raise PlanError(
            f"KPI {plan.kpi} is about what was due and not done, and windows grow: what one of them says more than an "
            "earlier one could be about a few who missed something, since that may be made up for. Take tumbling or "
            "hopping windows, or leave the KPI out."
        )


def _check_plan(plan: Plan, by_column: Mapping[str, Measure]) -> None:
    for column in plan.columns:
        measure = by_column.get(column.name)
        if measure is None or column not in columns_of(measure):
            raise PlanError(
                f"KPI {plan.kpi}: column {column.name} is not that of one of the agreement's measures. Compile again."
            )
    _check_arms(plan, [by_column[arm.name] for arm in plan.arms])
    time, *outcomes = (quantity.measure for quantity in _quantities(plan, by_column))
    outcome = outcomes[0] if outcomes else None
    if plan.outcome != (() if outcome is None else columns_of(outcome)):
        raise PlanError(f"KPI {plan.kpi}: its outcome is not whole. Compile again.")
    if (time.aggregation, outcome and outcome.aggregation) not in ROLES[plan.estimator]:
        raise PlanError(
            f"KPI {plan.kpi}: a {plan.estimator} cannot be made of {time.name}"
            f"{'' if outcome is None else f' and {outcome.name}'}. Compile again."
        )
    if outcome is not None and outcome.aggregation == "change" and _events(time) != _events(outcome):
        raise PlanError(
            f"KPI {plan.kpi}: {time.name} does not count the answers of {outcome.name}. Take one instrument."
        )
    if plan.cap is not None and (outcome is None or outcome.aggregation != "sum"):
        raise PlanError(
            f"KPI {plan.kpi}: only costs can be capped. Less than 0 would count as 0, so that the sum would be about "
            "those alone who changed upwards, however few. Leave cap out."
        )
    _check_contributors(plan, [by_column[column.name] for column in plan.contributors], time, outcome, by_column)
    if not plan.strata or plan.strata[0].column is not None or any(s.column is None for s in plan.strata[1:]):
        raise PlanError(f"KPI {plan.kpi}: the first cell is not that of all patients. Compile again.")
    groups = _groups(plan, by_column)
    if len({group[:2] for group in groups}) > 1 or len({group[:3] for group in groups}) < len(plan.strata) - 1:
        raise PlanError(
            f"KPI {plan.kpi}: a patient can be in two strata. Take categories of one field, each with its own value."
        )


def _check_arms(plan: Plan, arms: Sequence[Measure]) -> None:
    exposed, *rest = arms
    same = all((exposed.party, exposed.programme) == (arm.party, arm.programme) for arm in rest)
    if exposed.aggregation != "exposed" or any(arm.aggregation != "not-yet-exposed" for arm in rest) or not same:
        raise PlanError(
            f"KPI {plan.kpi}: a patient can be in both arms {' and '.join(arm.name for arm in arms)}. Compare a "
            "programme with those of the same party who are not yet in it."
        )


def _check_contributors(
    plan: Plan, counted: Sequence[Measure], time: Measure, outcome: Measure | None, by_column: Mapping[str, Measure],
) -> None:
    """Every sum of the plan, and what is left of one after another, must be about enough patients.

    Of a change the answers count: a score that stayed the same is one of them.
    """
    expected = [time.name]
    if outcome is not None and outcome.aggregation != "change":
        expected.append(outcome.name)
    found = [measure.of for measure in counted if measure.aggregation == "nonzero"]
    if plan.estimator == "completion" and outcome is not None:
        missed = next((m for m in by_column.values() if m.name == found[-1] and m.aggregation == "missed"), None)
        codes = (time.kind, time.code, outcome.kind, outcome.code)
        alike = missed is not None and _events(missed) == _events(time) == _events(outcome)
        if codes != ("monitoring", "due", "monitoring", "completed") or not alike or missed is None:
            raise PlanError(
                f"KPI {plan.kpi}: {time.name}, {outcome.name} and what is missed are not the modules due, completed "
                "and missed of one party. Take three measures of the same module, and say who missed some."
            )
        expected.append(missed.name)
    if found != expected or len(counted) != len(expected):
        raise PlanError(
            f"KPI {plan.kpi}: {', '.join(m.name for m in counted)} do not say who contributes to "
            f"{', '.join(expected)}. Compile again."
        )


def _events(measure: Measure) -> tuple[str | None, ...]:
    """Whose events of what; of monitoring whatever the status, of PROM the instrument."""
    instrument = measure.code if measure.needs == "prom" else None
    return measure.party, measure.needs, measure.module, instrument, measure.at_risk


def _check_pair(one: Plan, other: Plan, by_column: Mapping[str, Measure]) -> None:
    names = f"KPIs {one.kpi} and {other.kpi}"
    for what, first, second in zip(("exposed", "comparator"), one.arms, other.arms, strict=False):
        if first.name != second.name:
            raise PlanError(
                f"{names} have different {what} arms, {first.name} and {second.name}: the difference of their results "
                "could be about a few patients. Use the same, or make two agreements with parties that accept this."
            )
    mine, theirs = set(_groups(one, by_column)), set(_groups(other, by_column))
    if not (mine <= theirs or theirs <= mine):
        raise PlanError(
            f"{names} have strata that are not among each other's: together they could show a few patients who are in "
            "none. Let one of them have all strata of the other."
        )
    if one.table == "in-order" and any(
        a != b for a, b in zip(_groups(one, by_column), _groups(other, by_column), strict=False)
    ):
        raise PlanError(
            f"{names} list their strata in different orders, and tables come out in order: what one hides the other "
            "could show. List them alike; one may have more at the end."
        )
    sums, others = _quantities(one, by_column), _quantities(other, by_column)
    if one.cap is not None and one.cap == other.cap and mine != theirs:
        raise PlanError(
            f"{names} cap the same in different strata, so that the difference of their totals could be about those "
            "beyond the cap only. Give both the same strata."
        )
    if sums == others:
        return
    for here, there in product(sums, others):
        if here != there and _may_be_part(here, there):
            raise PlanError(
                f"{names} sum {here.name} and {there.name}, of which one may be a part of the other: their difference "
                "could be about a few patients. Let each count something of its own, or make two agreements with "
                "parties that accept this."
            )


def _may_be_part(one: Quantity, other: Quantity) -> bool:
    """Whether the difference of the two sums could be about few patients: unless they surely count different things."""
    a, b = one.measure, other.measure
    if a.unit != b.unit:
        return False
    if a.name == b.name or a.unit == "days":
        return True
    if {a.needs, b.needs} <= CARE:
        cares = {a.care_type or a.code, b.care_type or b.code}
        return None in cares or len(cares) == 1
    if a.needs != b.needs:
        return False
    narrowed = (a.module, b.module) if a.needs == "monitoring" else (a.code, b.code)
    return None in narrowed or len(set(narrowed)) == 1


def _quantities(plan: Plan, by_column: Mapping[str, Measure]) -> tuple[Quantity, ...]:
    """The time, then the outcome if there is one."""
    def of(column: Column, cap: int | None) -> Quantity:
        return Quantity(by_column[column.name], cap)

    return of(plan.time, None), *(of(column, plan.cap) for column in plan.outcome[:1])


def _groups(plan: Plan, by_column: Mapping[str, Measure]) -> list[Group]:
    """What each stratum means."""
    found = [by_column[s.column.name] for s in plan.strata if s.column is not None]
    if any(measure.aggregation != "category" for measure in found):
        raise PlanError(f"KPI {plan.kpi}: a stratum is not a category. Take measures of aggregation category.")
    return [(measure.party, measure.field, measure.value, measure.at_risk) for measure in found]
