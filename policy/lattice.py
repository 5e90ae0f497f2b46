"""One lattice per agreement: what its KPIs release may be added and subtracted without reaching below a checked cell.

The disclosure rules (mpc.disclosure) look at one plan at a time: its strata, the rest of its total, its atoms. They
hold for all plans together only if these are read off one lattice: the same disjoint arms and the same time measure,
strata of which one KPI's are among the other's, and outcomes that are not parts of each other. Else the difference of
two cells, each large enough, may be one patient: two KPIs that show groups 1-2 and groups 3-5 leave whoever has none;
the cost of all care minus that of GPs leaves one hospital bill.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

from policy.errors import PlanError
from policy.measure import Measure
from policy.plan import Plan, columns_of

Group = tuple[str, str | None, str | None]


def check_lattice(measures: Mapping[str, Measure], plans: Sequence[Plan]) -> None:
    """Check that plans mean what they should, by themselves and together.

    Args:
        measures: the agreement's, by name.
        plans: all that the agreement permits.

    Raises:
        PlanError: names the KPIs and what to change.
    """
    by_column = {column.name: measure for measure in measures.values() for column in columns_of(measure)}
    for plan in plans:
        _check_plan(plan, by_column)
    for one, other in combinations(plans, 2):
        _check_pair(one, other, by_column)


def _check_plan(plan: Plan, by_column: Mapping[str, Measure]) -> None:
    for column in plan.columns:
        measure = by_column.get(column.name)
        if measure is None or column not in columns_of(measure):
            raise PlanError(
                f"KPI {plan.kpi}: column {column.name} is not that of one of the agreement's measures. Compile again."
            )
    exposed, comparator = (by_column[arm.name] for arm in plan.arms)
    if (
        (exposed.aggregation, comparator.aggregation) != ("exposed", "not-yet-exposed")
        or (exposed.party, exposed.programme) != (comparator.party, comparator.programme)
    ):
        raise PlanError(
            f"KPI {plan.kpi}: a patient can be in both arms {exposed.name} and {comparator.name}. Compare a programme "
            "with those of the same party who are not yet in it."
        )
    time, outcome = by_column[plan.time.name], by_column[plan.outcome[0].name]
    if columns_of(outcome) != plan.outcome:
        raise PlanError(f"KPI {plan.kpi}: outcome {outcome.name} is not whole. Compile again.")
    for of, contributor in ((time, plan.time_contributor), (outcome, plan.outcome_contributor)):
        counted = by_column[contributor.name]
        if (counted.aggregation, counted.of) != ("nonzero", of.name):
            raise PlanError(f"KPI {plan.kpi}: {counted.name} does not say who contributes to {of.name}. Compile again.")
    if not plan.strata or plan.strata[0].column is not None or any(s.column is None for s in plan.strata[1:]):
        raise PlanError(f"KPI {plan.kpi}: the first cell is not that of all patients. Compile again.")
    groups = _groups(plan, by_column)
    if len({group[:2] for group in groups}) > 1 or len(set(groups)) < len(plan.strata) - 1:
        raise PlanError(
            f"KPI {plan.kpi}: a patient can be in two strata. Take categories of one field, each with its own value."
        )


def _check_pair(one: Plan, other: Plan, by_column: Mapping[str, Measure]) -> None:
    names = f"KPIs {one.kpi} and {other.kpi}"
    for what, first, second in (
        ("exposed arms", one.arms[0], other.arms[0]), ("comparator arms", one.arms[1], other.arms[1]),
        ("time measures", one.time, other.time),
    ):
        if first.name != second.name:
            raise PlanError(
                f"{names} have different {what}, {first.name} and {second.name}: the difference of their results could "
                "be about a few patients. Use the same, or make two agreements with parties that accept this."
            )
    mine, theirs = _groups(one, by_column), _groups(other, by_column)
    if not (set(mine) <= set(theirs) or set(theirs) <= set(mine)):
        raise PlanError(
            f"{names} have strata that are not among each other's: together they could show a few patients who are in "
            "none. Let one of them have all strata of the other."
        )
    a, b = by_column[one.outcome[0].name], by_column[other.outcome[0].name]
    alike = (a.party, a.kind, a.aggregation) == (b.party, b.kind, b.aggregation)
    if a.name != b.name and alike and (a.care_type is None or b.care_type is None or a.care_type == b.care_type):
        raise PlanError(
            f"{names} have outcomes {a.name} and {b.name}, of which one may be a part of the other: their difference "
            "could be about a few patients. Give each a care_type of its own."
        )


def _groups(plan: Plan, by_column: Mapping[str, Measure]) -> list[Group]:
    """What each stratum means."""
    found = [by_column[s.column.name] for s in plan.strata if s.column is not None]
    if any(measure.aggregation != "category" for measure in found):
        raise PlanError(f"KPI {plan.kpi}: a stratum is not a category. Take measures of aggregation category.")
    return [(measure.party, measure.field, measure.value) for measure in found]
