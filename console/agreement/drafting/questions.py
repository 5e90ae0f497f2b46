"""What is asked, in which order, and which answer is proposed; later questions follow from earlier answers."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal

from pydantic import ValidationError

from console.agreement.drafting.content import ROLES, parties, trial
from console.agreement.drafting.kinds import (
    ALL,
    NONE,
    BadAnswerError,
    Choice,
    Day,
    Kind,
    Line,
    Name,
    Names,
    Several,
    Terms,
    Value,
    Whole,
    Zone,
)
from console.agreement.drafting.roles import INCOME, Needs, factor_measures
from evaluation.calendar import expected_on
from policy.agreement import LAST_DAY, MAX_REQUESTERS
from policy.disclosure import MAX_MINIMUM
from policy.erasure import MAX_WITHIN_DAYS
from policy.growth import MAX_BATCHES, batch_edges
from policy.kpi import catalogue
from policy.names import RESERVED_NAMES
from policy.runs import runs_needed
from policy.strata import MAX_CATEGORIES
from policy.window import MAX_PANES, PaneGrid, PaneUnit

Theme = Literal["about", "who", "when", "protected", "readers", "purpose", "kept", "long"]
CODE: Final = r"[a-z0-9][a-z0-9_-]{0,39}"
PURPOSES: Final = (
    "dpv:ScientificResearch", "dpv:ServiceOptimisation", "dpv:ImproveHealthcare", "dpv:AcademicResearch",
    "dpv:NonCommercialResearch", "dpv:CommercialResearch", "dpv:ResearchAndDevelopment", "dpv:PublicBenefit",
    "dpv:PublicPolicyMaking", "dpv:ProvideOfficialStatistics",
)
CATEGORIES: Final = (
    "dpv-pd:HealthRecord", "dpv-pd:Insurance", "dpv-pd:IncomeBracket", "dpv-pd:MedicalHealth",
    "dpv-pd:MentalHealth", "dpv-pd:Prescription", "dpv-pd:AgeRange", "dpv-pd:Gender", "dpv-pd:Location",
)
PANES: Final[dict[PaneUnit, int]] = {"day": 365, "week": 104, "month": 24, "year": 5}
WINDOW: Final[dict[PaneUnit, int]] = {"day": 28, "week": 4, "month": 3, "year": 1}
STEP: Final[dict[PaneUnit, int]] = {"day": 7, "week": 1, "month": 1, "year": 1}
CLAIMS_WAIT: Final[dict[PaneUnit, int]] = {"day": 150, "week": 22, "month": 5, "year": 1}
"""150 days: a hospital's product is closed after 120 days at most, and claimed within 30."""
ENTRY: Final[dict[PaneUnit, int]] = {"day": 91, "week": 13, "month": 3, "year": 1}
ERASE: Final[dict[PaneUnit, int]] = {"day": 182, "week": 26, "month": 6, "year": 1}
"""Half a year: an erasure closes windows that begin before it and have not run, so it is not proposed often."""
YEAR: Final[dict[PaneUnit, int]] = {"day": 366, "week": 53, "month": 12, "year": 1}
FACTORS: Final = {INCOME: "1, 2, 3, 4, 5", "education": "low, middle, high"}
MOST_RECIPIENTS: Final = 20


@dataclass(frozen=True)
class Question:
    """Something that an agreement must say."""

    key: str
    """What the answer is kept under; a dot parts a question from whom it is about."""
    theme: Theme
    kind: Kind
    proposed: str | None = None
    """The answer that is taken if somebody has none; None: there is no such answer."""

    @property
    def text(self) -> str:
        """The key of its texts."""
        return self.key.partition(".")[0]

    @property
    def about(self) -> str:
        """Whom it is about; empty where it is about all."""
        return self.key.partition(".")[2]


def questions(answers: dict[str, Any], today: date, lang: str) -> Iterator[Question]:
    """Every question; `answers` has to hold the answer to each one before the next is taken.

    Raises:
        policy.errors.PlanError: one of the KPIs is not in the catalogue.
        pydantic.ValidationError: answers do not fit together.
    """
    yield Question("name", "about", Name(example="ibd-coach-2026"))
    first, second = ("title_nl", "title_en") if lang == "nl" else ("title_en", "title_nl")
    yield Question(first, "about", Line(), answers["name"])
    yield Question(second, "about", Line(), answers[first])
    yield Question("kpis", "about", _Kpis(catalogue()), "gp-visit-rate-ratio, cost-difference")
    needs = Needs(answers["kpis"])
    code = Name(NONE, CODE, "ibd-coach")
    yield Question("innovation", "about", code)
    if needs.compares:
        yield Question("care", "about", Name(NONE | {answers["innovation"]}, CODE, "ibd-care"), "in-care")
    if needs.modules:
        yield Question("module", "about", code, "any")
    if needs.prom:
        yield Question("questionnaire", "about", Name(NONE, CODE, "ibd-control-8"), "ibd-control-8")
        yield Question("points", "about", Whole(1, 1_000), "16")
        yield Question("answers", "about", Whole(1, 500), "7")
    taken = frozenset[str]()
    for role in ROLES:
        if role != "insurer" or needs.insurer:
            yield Question(role, "who", _Free(taken), None if role in taken else role)
            taken |= {answers[role]}
    yield Question("factor", "who", Name(NONE, r"[a-z][a-z0-9-]{0,29}", "education"), INCOME)
    yield Question("categories", "who", _Categories(answers["factor"]), FACTORS.get(answers["factor"]))
    yield from _time(answers, needs, today)
    yield from _protection(answers, parties(answers, needs).values())
    yield from _readers(answers, needs, taken)
    yield Question("purposes", "purpose", Terms(PURPOSES), "dpv:ScientificResearch, dpv:ServiceOptimisation")
    kinds = ["dpv-pd:HealthRecord"] + ["dpv-pd:Insurance"] * needs.insurer
    kinds += ["dpv-pd:IncomeBracket"] * (answers["factor"] == INCOME)
    yield Question("data_categories", "purpose", Terms(CATEGORIES), ", ".join(kinds))
    draft = trial(answers)
    yield Question("valid_from", "long", Day(), answers["first_day"].isoformat())
    last = expected_on(draft, draft.lattice.scheduled[-1])
    until = min(max(last, answers["valid_from"]) + timedelta(days=31), LAST_DAY) if last < LAST_DAY else LAST_DAY
    yield Question("valid_until", "long", Day(answers["valid_from"] + timedelta(days=1)), until.isoformat())
    needed, least = runs_needed(draft), 1 + len(draft.batch_edges)
    yield Question("runs", "long", Whole(least, 100_000), str(min(needed.schedule + needed.requests, 100_000)))


def _time(answers: dict[str, Any], needs: Needs, today: date) -> Iterator[Question]:
    yield Question("zone", "when", Zone(), "Europe/Amsterdam")
    yield Question("pane", "when", Choice(("day", "week", "month", "year")), "month")
    unit: PaneUnit = answers["pane"]
    monthly = unit in ("month", "year")
    yield Question("first_day", "when", Day(first=monthly), _first_day(today, monthly=monthly).isoformat())
    yield Question("panes", "when", _Panes(answers["zone"], unit, answers["first_day"]), str(PANES[unit]))
    count = answers["panes"]
    yield Question("window", "when", Whole(1, count), str(min(WINDOW[unit], count)))
    size = answers["window"]
    yield Question("step", "when", Whole(1, size), str(min(STEP[unit], size)))
    if needs.insurer:
        yield Question("claims_wait", "when", Whole(0, MAX_PANES), str(CLAIMS_WAIT[unit]))
    yield Question("linked_by", "when", Day(), answers["first_day"].isoformat())
    entry = _Entry(PaneGrid(zone=answers["zone"], unit=unit, start=answers["first_day"], count=count),
                   answers["linked_by"])
    usual = str(ENTRY[unit])
    yield Question("new_patients", "when", entry, usual if entry.fits(ENTRY[unit]) else "none")


def _protection(answers: dict[str, Any], names: Iterable[str]) -> Iterator[Question]:
    yield Question("minimum_cohort", "protected", Whole(3, min(MAX_MINIMUM, 8_192)), "10")
    yield Question("largest_percent", "protected", Whole(34, 99, none=True), "50")
    yield Question("two_largest_percent", "protected", Whole(67, 99, none=True), "85")
    yield Question("p_percent", "protected", _Percent(), "10")
    yield Question("tables", "protected", Choice(("whole", "in-order")), "whole")
    yield Question("withdrawals", "kept", Several(tuple(names), none=True), "all")
    unit: PaneUnit = answers["pane"]
    if answers["withdrawals"]:
        every = min(ERASE[unit], answers["panes"])
        yield Question("erase_every", "kept", Whole(1, answers["panes"], none=True), str(every))
        if answers["erase_every"] is not None:
            yield Question("erase_within", "kept", Whole(1, MAX_WITHIN_DAYS), str(MAX_WITHIN_DAYS))
    wait = answers.get("claims_wait") or 0
    usual = str(min(wait + YEAR[unit], MAX_PANES))
    yield Question("remember", "kept", Whole(max(1, wait), MAX_PANES, none=True), usual)


def _readers(answers: dict[str, Any], needs: Needs, taken: frozenset[str]) -> Iterator[Question]:
    yield Question("recipients", "readers", Names(_Free(taken), MOST_RECIPIENTS), "innovation-team")
    recipients = answers["recipients"]
    for name in recipients:
        yield Question(f"reads.{name}", "readers", Several(answers["kpis"], none=True), "all")
    free = _Free(taken | frozenset(recipients))
    yield Question("requesters", "readers", Names(free, MAX_REQUESTERS, none=True), "none")
    for name in answers["requesters"]:
        yield Question(f"asks_for.{name}", "readers", Choice(recipients), recipients[0])
        yield Question(f"asks_runs.{name}", "readers", Whole(1, 10_000), "50")
    if answers["requesters"] and not needs.capped:
        most = min(2 * answers["window"], answers["panes"])
        yield Question("on_demand", "readers", Whole(1, answers["panes"], none=True), str(most))


def _first_day(today: date, *, monthly: bool) -> date:
    """The first of the next month, or the next Monday."""
    if monthly:
        return (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return today + timedelta(days=7 - today.weekday())


@dataclass(frozen=True)
class _Free(Name):
    """A name that no part of the system has, and that means nothing else."""

    def read(self, text: str) -> str:
        found = super().read(text)
        if RESERVED_NAMES.fullmatch(found) or found in NONE | ALL:
            raise BadAnswerError(text, "reserved_expected", "name_next", example=f"{found}-team")
        return found


@dataclass(frozen=True)
class _Kpis:
    """KPIs of the catalogue that may stand in one agreement."""

    options: tuple[str, ...]

    def read(self, text: str) -> Value:
        found = Several(self.options).read(text)
        capped, plain = "cost-difference-winsorised", "cost-difference"
        if capped in found and plain in found:
            raise BadAnswerError(", ".join(found), "capped_expected", "capped_next", one=plain, other=capped)
        return found


@dataclass(frozen=True)
class _Categories:
    """Categories of a social factor, each of which gives a measure a name."""

    factor: str

    def read(self, text: str) -> Value:
        found = Names(Name(pattern=r"[a-z0-9][a-z0-9-]{0,39}", example="low"), MAX_CATEGORIES).read(text)
        for value, name in factor_measures(self.factor, found).items():
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
                raise BadAnswerError(value, "long_expected", "name_next", example=value[:5])
        return found


@dataclass(frozen=True)
class _Panes:
    """How many panes, which must lie on the calendar."""

    zone: str
    unit: PaneUnit
    start: date

    def read(self, text: str) -> Value:
        count = Whole(1, MAX_PANES).read(text)
        try:
            PaneGrid(zone=self.zone, unit=self.unit, start=self.start, count=count)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise BadAnswerError(text, "panes_expected", "panes_next", reason=reason) from error
        return count


@dataclass(frozen=True)
class _Entry:
    """Panes from one entry of new patients to the next: at least one has to come, and not too many."""

    grid: PaneGrid
    first: date

    def fits(self, every: int) -> bool:
        return 0 < len(batch_edges(every, self.grid, self.first)) < MAX_BATCHES

    def read(self, text: str) -> Value:
        found = Whole(1, MAX_PANES, none=True).read(text)
        if found is not None and not self.fits(found):
            raise BadAnswerError(text, "entry_expected", "entry_next", most=str(MAX_BATCHES))
        return found


class _Percent:
    """One of the percentages of the p % rule, or none."""

    def read(self, text: str) -> Value:
        allowed = ("5", "10", "20", "25", "50")
        if text.lower() in NONE:
            return None
        if text not in allowed:
            raise BadAnswerError(text, "choice_expected", "choice_next", options=", ".join((*allowed, "none")))
        return int(text)

