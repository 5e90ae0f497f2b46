"""Which party has to share what, for the KPIs of the catalogue that were chosen."""

from typing import Any, Final, Literal

from policy.kpi import load_kpi
from policy.measure import EventKind
from policy.plan import Estimator
from policy.window import PaneUnit

Role = Literal["hospital", "insurer", "statistics"]
Table = dict[str, Any]
LONGEST_PANE: Final[dict[PaneUnit, int]] = {"day": 1, "week": 7, "month": 31, "year": 366}
"""Days."""
MOST_EVENTS: Final[dict[PaneUnit, int]] = {"day": 7, "week": 15, "month": 63, "year": 511}
"""Contacts, or modules, of one patient in a pane: more is refused where it is counted."""
MOST_CENTS: Final = 2**26 - 1
"""€671,088.63 of one patient in a pane."""
CARE_TYPES: Final = {"gp_visits": "gp", "outpatient_visits": "outpatient", "admissions": "admission"}
"""Measure → the care type of the claims that it counts."""
INCOME: Final = "income"
"""The social factor by which the catalogue's KPIs are split."""
INCOME_FIELD: Final = "income_quintile"


class Needs:
    """What KPIs of the catalogue need.

    Raises:
        policy.errors.PlanError: no such KPI.
    """

    def __init__(self, kpis: tuple[str, ...]) -> None:
        programs = [load_kpi(name) for name in kpis]
        self.estimators: frozenset[Estimator] = frozenset(kpi.estimator for kpi in programs)
        self.capped = any(kpi.cap is not None for kpi in programs)
        self.compares = any(kpi.comparator is not None for kpi in programs)
        self.quantities = {name for kpi in programs for name in (kpi.time, kpi.outcome, kpi.missed) if name}

    @property
    def insurer(self) -> bool:
        """Whether insured time or claims are counted."""
        return "insured_days" in self.quantities

    @property
    def modules(self) -> bool:
        """Whether monitoring modules are counted."""
        return "modules_due" in self.quantities

    @property
    def prom(self) -> bool:
        """Whether answers to a questionnaire are."""
        return "prom_change" in self.quantities

    def kinds(self, role: Role) -> list[EventKind]:
        """Kinds of events that a party shares numbers of, but for withdrawals."""
        if role == "statistics":
            return ["social"]
        found: list[EventKind] = ["enrolment"]
        if role == "insurer":
            return [*found, "claim"] if self.quantities & {*CARE_TYPES, "cost"} else found
        if self.modules:
            found.append("monitoring")
        if self.prom:
            found.append("prom")
        return found


def factor_measures(factor: str, categories: tuple[str, ...]) -> dict[str, str]:
    """Category → the measure that says who is in it."""
    return {value: f"{factor}_{value}".replace("-", "_") for value in categories}


def measures(needs: Needs, answers: dict[str, Any]) -> list[Table]:
    """The measures of all parties, as an agreement has them."""
    hospital, unit = answers["hospital"], answers["pane"]
    found = [_row("app_user", hospital, "exposed", programme=answers["innovation"])]
    if needs.compares:
        found.append(_row(
            "app_not_yet", hospital, "not-yet-exposed", programme=answers["innovation"], cohort=answers["care"],
        ))
    if needs.modules:
        module = {} if answers["module"] == "any" else {"module": answers["module"]}
        most = {**module, "bound": MOST_EVENTS[unit]}
        for status in ("due", "completed"):
            found += _counted(_row(f"modules_{status}", hospital, "count", kind="monitoring", code=status, **most))
        found += _counted(_row("modules_missed", hospital, "missed", **most))
    if needs.prom:
        code, most = answers["questionnaire"], answers["answers"]
        found += _counted(_row("prom_follow_ups", hospital, "follow-ups", code=code, bound=most))
        found.append(_row("prom_change", hospital, "change", code=code, bound=100 * most * answers["points"]))
    if needs.insurer:
        insurer = answers["insurer"]
        found += _counted(
            _row("insured_days", insurer, "days", programme="insured", bound=LONGEST_PANE[unit]), "insured_any",
        )
        for name, care_type in CARE_TYPES.items():
            if name in needs.quantities:
                found += _counted(_row(
                    name, insurer, "count", kind="claim", care_type=care_type, at_risk="insured_days",
                    bound=MOST_EVENTS[unit],
                ))
        if "cost" in needs.quantities:
            found += _counted(_row("cost", insurer, "sum", kind="claim", at_risk="insured_days", bound=MOST_CENTS))
    field = INCOME_FIELD if answers["factor"] == INCOME else answers["factor"]
    found += [
        _row(name, answers["statistics"], "category", field=field, value=value)
        for value, name in factor_measures(answers["factor"], answers["categories"]).items()
    ]
    return found


def _row(name: str, party: str, aggregation: str, **fields: Any) -> Table:
    return {"name": name, "party": party, "aggregation": aggregation, **fields}


def _counted(row: Table, name: str | None = None) -> list[Table]:
    """A measure, and who has something of it."""
    return [row, _row(name or f"{row['name']}_any", row["party"], "nonzero", of=row["name"])]
