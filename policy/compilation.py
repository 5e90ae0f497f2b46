"""KPI programs as an agreement has them: read, split into its strata, compiled to its plans."""

from pathlib import Path

from policy.agreement import Draft
from policy.alert import check_alerts, check_brackets
from policy.kpi import Kpi, compile_plan, load_kpi
from policy.lattice import check_lattice
from policy.plan import Plan
from policy.privacy import privacy_of
from policy.rounding import as_agreed, check_bases


def load_kpis(draft: Draft, base: Path) -> tuple[Kpi, ...]:
    """The agreement's KPI programs with its strata; paths are relative to `base`.

    Raises:
        PlanError: see policy.kpi.load_kpi.
    """
    return tuple(_split(draft, load_kpi(base / k if k.endswith(".toml") else k)) for k in draft.kpis)


def _split(draft: Draft, kpi: Kpi) -> Kpi:
    return kpi if draft.strata is None else draft.strata.applied(kpi)


def compile_plans(draft: Draft, kpis: tuple[Kpi, ...]) -> tuple[Plan, ...]:
    """Compile KPI programs against the agreement's measures.

    Raises:
        PlanError: see policy.kpi.compile_plan, policy.lattice and policy.alert.
    """
    measures = {m.name: m for m in draft.measures}
    plans = tuple(compile_one(draft, kpi) for kpi in kpis)
    check_bases(plans, measures, draft.disclosure.rounding)
    check_lattice(measures, plans, draft.lattice)
    check_alerts(draft.alerts, plans)
    check_brackets(draft.alerts, plans, draft.reads)
    return plans


def compile_one(draft: Draft, kpi: Kpi) -> Plan:
    """Compile one KPI program as the agreement has it: with its strata, tables, bases and privacy.

    Raises:
        PlanError: see policy.kpi.compile_plan and policy.rounding.as_agreed.
    """
    measures, agreed = {m.name: m for m in draft.measures}, draft.disclosure
    plan = as_agreed(compile_plan(_split(draft, kpi), measures), measures, agreed.tables, agreed.rounding)
    return plan.model_copy(update={"privacy": privacy_of(draft.privacy, draft.lattice, plan.kpi)})
