"""All that is wrong with a draft at once, for who writes it; loading it to run it names the first faults only."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, time
from difflib import get_close_matches
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from policy.agreement import Draft, load_draft
from policy.alert import check_alerts, check_brackets
from policy.compilation import compile_one, load_kpis
from policy.errors import AgreementError, PlanError
from policy.kpi import Kpi
from policy.lattice import check_lattice
from policy.plan import Plan
from policy.privacy import check_compiled
from policy.rounding import check_bases
from policy.toml import read_toml

MOST_OF_A_VALUE = 80
"""Characters of a wrong value that are shown."""
FIELDS = {
    "missing": ("nothing", "this field", "add it"),
    "extra_forbidden": (None, "no such field", "take it out, or correct its name"),
}
"""pydantic's kind of error → what was found (None: the value), what is expected, and what to do."""
PATTERNS = {
    r"^[a-z][a-z0-9-]{0,39}$": "a small letter, then small letters, digits and hyphens, at most 40 in all",
    r"^[a-z0-9][a-z0-9-]{0,39}$": "small letters, digits and hyphens, at most 40, with no hyphen in front",
    r"^[a-z0-9][a-z0-9_-]{0,39}$": "small letters, digits, hyphens and underscores, at most 40, the first one a letter "
                                   "or digit",
    r"^[a-z][a-z0-9_]{0,39}$": "a small letter, then small letters, digits and underscores, at most 40 in all",
    r"^[0-9a-f]{64}$": "64 hexadecimal digits, in small letters",
    r"^-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?$": 'a number in quotation marks, such as "-1.5": at most 12 digits '
                                                "before the point and 6 behind it",
    r"^[0-9]{1,3}(\.[0-9]{1,6})?$": 'a number in quotation marks, such as "0.5": at most 3 digits before the point '
                                    "and 6 behind it",
    r"^0\.[0-9]{1,15}$": 'a number below 1 in quotation marks, such as "0.000001": up to 15 digits behind the point',
}
"""The draft's patterns → what they mean."""


@dataclass(frozen=True)
class Fault:
    """Something that has to change before anybody can sign."""

    where: str
    """Field, or what it is about."""
    found: str | None
    """None: `expected` says it."""
    expected: str
    next_step: str | None
    """None: `expected` says it."""


@dataclass(frozen=True)
class Review:
    """A draft as far as it can be read, and what is wrong with it."""

    draft: Draft | None
    kpis: tuple[Kpi, ...] = ()
    """Those that can be compiled, in the draft's order."""
    plans: tuple[Plan, ...] = ()
    """Theirs."""
    faults: tuple[Fault, ...] = ()


def review(path: Path) -> Review:
    """Look at a draft: its fields, then its KPIs one by one, then these together, its recipients and alerts."""
    try:
        draft = load_draft(path)
    except AgreementError as error:
        return Review(None, faults=tuple(_unreadable(path, error)))
    kpis, plans, faults = [], [], []
    for name in draft.kpis:
        try:
            (kpi,) = load_kpis(draft.model_copy(update={"kpis": (name,)}), path.parent)
            plans.append(compile_one(draft, kpi))
        except PlanError as error:
            faults.append(Fault(f"KPI {name}", None, str(error), None))
        else:
            kpis.append(kpi)
    faults += [*_together(draft, plans), *_read_and_told(draft, plans, complete=not faults)]
    return Review(draft, tuple(kpis), tuple(plans), tuple(faults))


def _together(draft: Draft, plans: list[Plan]) -> Iterator[Fault]:
    """Each plan by itself; then pairs of those that are right by themselves."""
    measures = {m.name: m for m in draft.measures}
    sound = []
    for plan in plans:
        fault = _refused(f"KPI {plan.kpi}", partial(check_lattice, measures, [plan], draft.lattice))
        if fault is None:
            sound.append(plan)
        else:
            yield fault
    if (fault := _refused("disclosure.rounding", partial(check_bases, plans, measures, draft.disclosure.rounding))):
        yield fault
    for one, other in combinations(sound, 2):
        if one.kpi == other.kpi:
            yield Fault(
                f"KPI {one.kpi}", "two KPIs of that id", "ids that are each there once", "give one of them another id",
            )
            continue
        fault = _refused(
            f"KPIs {one.kpi} and {other.kpi}",
            partial(check_lattice, measures, (one, other), draft.lattice),
        )
        if fault is not None:
            yield fault


def _read_and_told(draft: Draft, plans: list[Plan], *, complete: bool) -> Iterator[Fault]:
    """What recipients may read and alerts are about; of a KPI that cannot be compiled nothing is said again."""
    if not complete:
        return
    kpis = [plan.kpi for plan in plans]
    checks: list[tuple[str, Callable[[], None]]] = [
        *((f"recipient {r.name}", partial(r.check_kpis, kpis)) for r in draft.recipients),
        *((f"alert {a.id}", partial(check_alerts, [a], plans)) for a in draft.alerts),
        ("privacy", partial(check_compiled, draft.privacy, draft.lattice, {p.kpi: p.privacy for p in plans})),
    ]
    sound = [a for a in draft.alerts if _refused("", partial(check_alerts, [a], plans)) is None]
    checks += [
        (f"alerts {one.id} and {other.id}", partial(check_brackets, [one, other], plans, draft.reads))
        for one, other in combinations(sound, 2)
    ]
    for where, check in checks:
        if (fault := _refused(where, check)) is not None:
            yield fault


def _refused(where: str, check: Callable[[], None]) -> Fault | None:
    try:
        check()
    except (PlanError, ValueError) as error:
        return Fault(where, None, str(error), None)
    return None


def _unreadable(path: Path, error: AgreementError) -> Iterator[Fault]:
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        yield Fault(str(path), None, str(error), None)
        return
    written = read_toml(path)
    for each in cause.errors(include_url=False):
        where = _place(each["loc"], written)
        message = each["msg"].removeprefix("Value error, ")
        if each["type"] == "value_error":
            yield Fault(where, None, message, None)
            continue
        found, expected, step = _in_words(each["type"], message, each.get("ctx", {}))
        if each["type"] == "extra_forbidden" and (near := _near(each["loc"])):
            step = f"{step}: perhaps {near}"
        yield Fault(where, _shown(each["input"]) if found is None else found, expected, step)


def _place(where: tuple[int | str, ...], written: Any) -> str:
    """As in measures[cost].bound: a row by its name or id if it has one, else by its place."""
    said = ""
    for step in where:
        try:
            written = written[step]
        except (LookupError, TypeError):
            written = None
        if isinstance(step, int):
            named = written if isinstance(written, dict) else {}
            said += f"[{named.get('name') or named.get('id') or step}]"
        else:
            said += f".{step}" if said else step
    return said or "agreement"


def _near(where: tuple[int | str, ...]) -> str | None:
    """The field of the draft that an unknown one at the top was meant to be."""
    if len(where) != 1:
        return None
    return next(iter(get_close_matches(str(where[0]), Draft.model_fields, n=1)), None)


def _written(value: Any) -> str:
    """About as TOML has it."""
    match value:
        case bool():
            return str(value).lower()
        case date() | time():
            return value.isoformat()
        case list():
            return f"[{', '.join(map(_written, value))}]"
        case dict():
            return f"{{{', '.join(f'{key} = {_written(each)}' for key, each in value.items())}}}"
        case _:
            return repr(value)


def _shown(value: Any) -> str:
    text = _written(value)
    return text if len(text) <= MOST_OF_A_VALUE else f"{text[:MOST_OF_A_VALUE]}…"


def _in_words(kind: str, message: str, bounds: dict[str, Any]) -> tuple[str | None, str, str]:
    """What was found (None: the value), what is expected and what to do, of pydantic's kind of error.

    Other kinds by its message, as in: Input should be greater than or equal to 3 → greater than or equal to 3.
    """
    match kind:
        case "string_pattern_mismatch":
            return None, PATTERNS.get(bounds["pattern"], f"text that fits {bounds['pattern']}"), "write it so"
        case "too_short":
            return None, f"{bounds['min_length']} or more of them", "add what is missing"
        case "too_long":
            return None, f"at most {bounds['max_length']} of them", "take some out"
        case _:
            plain = message.removeprefix("Input should be ").removeprefix("String should have ")
            return FIELDS.get(kind, (None, plain, "change it"))
