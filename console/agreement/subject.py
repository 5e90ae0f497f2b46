"""What the commands are about: an agreement as a draft, or as the terms that are signed, with its plans."""

from dataclasses import dataclass
from pathlib import Path

from evaluation.config import load_kpis as load_programs
from evaluation.config import load_terms
from evaluation.errors import ConfigError
from policy.agreement import Draft, Terms, load_draft
from policy.compilation import compile_plans, load_kpis
from policy.errors import PlanError
from policy.kpi import Kpi, compile_plan
from policy.measure import Measure, Unit
from policy.plan import Plan, columns_of
from policy.rounding import as_agreed, units_of_sums


@dataclass(frozen=True)
class Subject:
    """An agreement and what follows from it."""

    draft: Draft
    plans: tuple[Plan, ...]
    kpis: tuple[Kpi, ...]
    """Programs of these plans, for their texts; of signed terms only those that are found and compile to them."""
    terms: Terms | None = None

    def measure(self, column: str) -> Measure:
        """The measure that a plan's column is of."""
        return next(m for m in self.draft.measures if column in {c.name for c in columns_of(m)})

    @property
    def units_of_sums(self) -> frozenset[Unit]:
        """The units in which sums come out; bases of other units round nothing."""
        return units_of_sums(self.plans, {m.name: m for m in self.draft.measures})

    def program(self, kpi: str) -> Kpi | None:
        """The program of that KPI, if its texts are known."""
        return next((k for k in self.kpis if k.id == kpi), None)


def load_subject(path: Path) -> Subject:
    """Read a draft (TOML) or terms (a file that ends in .json).

    Raises:
        policy.errors.PolicyError: not an agreement, or one of its KPIs cannot be compiled.
        evaluation.errors.ConfigError: not terms.
    """
    if path.suffix.lower() != ".json":
        draft = load_draft(path)
        kpis = load_kpis(draft, path.parent)
        return Subject(draft, compile_plans(draft, kpis), kpis)
    terms = load_terms(path)
    return Subject(terms.draft, terms.plans, _programs(terms, path.parent), terms)


def _programs(terms: Terms, folder: Path) -> tuple[Kpi, ...]:
    """The programs of signed plans: those of `kpis.json` beside the terms, else those of the catalogue."""
    try:
        beside = folder / "kpis.json"
        found = load_programs(beside) if beside.is_file() else load_kpis(terms.draft, folder)
    except (ConfigError, PlanError):
        return ()
    return tuple(kpi for kpi in found if _signed(kpi, terms))


def _signed(kpi: Kpi, terms: Terms) -> bool:
    """Whether the program is of a plan that is signed."""
    measures, agreed = {m.name: m for m in terms.draft.measures}, terms.draft.disclosure
    try:
        plan = as_agreed(compile_plan(kpi, measures), measures, agreed.tables, agreed.rounding)
    except PlanError:
        return False
    return plan.hash in terms.plan_hashes
