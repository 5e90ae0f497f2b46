"""What a file seems to hold: a proposal for its entry in source.toml, from names, forms and repetition of its columns.

What is not clear stays open ("?"): a wrong guess would be read as the truth. Nothing of the rows is in a proposal but
codes that streams.tally lets through.
"""

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

from streams.moment import DATE_FORMATS, source_readers
from streams.sources.fhir_files import FORMS
from streams.sources.mapping import CREDIT, FIELDS, NO_EVENT, OPEN, OURS
from streams.sources.sample import Sample
from streams.sources.words import SYNONYMS, is_exact, rank
from streams.tally import CodeTally

DATES = ("recorded", "occurred", "start", "end")
NUMBERS = ("amount", "cents", "score")
CRITICAL = ("person", "recorded", "amount", "cents")
"""Fields in which the wrong one of two columns would go unnoticed."""
MOST_CANDIDATES = 6
"""Columns named for a field that is open."""
MOST_CODES = 40
"""A column with more different values is taken for no code list."""
MIN_PERIODS = 3
"""Periods of a person that follow each other, to tell what an end means."""
MIN_ROWS = 10
"""Rows from which on a value that all have is about none of them."""
RESOURCES = {name: form.kinds for name, form in FORMS.items()}
_SYSTEM = re.compile(r"(?:https?://|urn:)[A-Za-z0-9:./_-]{1,100}")
_INTEGER = re.compile(r"-?\d{1,15}", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,15}(?:\.\d{1,12})?", re.ASCII)
_COMMA = re.compile(r"-?\d{1,15}(?:,\d{1,12})?", re.ASCII)
_PREFIX = re.compile(r"[A-Z][A-Za-z]{2,30}/")


@dataclass
class Choice:
    """What stands in a field: a column, or OPEN, and why."""

    column: str
    why: str


@dataclass
class Proposal:
    """An entry of source.toml, as far as it is clear."""

    sample: Sample
    kind: str
    why_kind: str
    resource: str = ""
    """The FHIR resource that every line is, when a built-in reader reads it: the file needs no fields then."""
    system: str = ""
    """Of the first identifier of Patients."""
    own_times: bool = False
    """Whether resources lack a time of recording."""
    fields: dict[str, Choice] = field(default_factory=dict)
    constants: dict[str, Choice] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    """Field → the source's code → ours, or OPEN."""
    hidden: dict[str, int] = field(default_factory=dict)
    """Field → rows whose code is not shown."""
    date_format: str = "YYYY-MM-DD"
    decimal_comma: bool | None = False
    end_inclusive: bool | None = None
    person_prefix: str = ""
    notes: list[str] = field(default_factory=list)
    ours: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Field → the codes that it may have, where that is known."""

    @property
    def open(self) -> list[str]:
        """Keys that somebody must fill in."""
        if self.resource:
            return []
        found = [] if self.kind != OPEN else ["kind"]
        found += [f"fields.{name}" for name, choice in self.fields.items() if choice.column == OPEN]
        found += [f"constants.{name}" for name, choice in self.constants.items() if choice.column == OPEN]
        found += [f"codes.{name}" for name, codes in self.codes.items() if not codes or OPEN in codes.values()]
        found += ["date_format"] * (self.date_format == OPEN) + ["decimal_comma"] * (self.decimal_comma is None)
        return found + ["end_inclusive"] * ("end" in self.fields and self.end_inclusive is None)


def propose(sample: Sample, kind: str | None, ours: Mapping[str, Iterable[str]]) -> Proposal:
    """Look at a sample and say what its file seems to be.

    Args:
        sample: the file's beginning.
        kind: of the lines, when it is known.
        ours: field → the codes that the agreement knows, where that is known.
    """
    columns = sample.columns
    if kind is None and (resource := _only(columns.get("resourceType", []))) in RESOURCES:
        system = _only(columns.get("identifier.0.system", [])) if resource == "Patient" else ""
        return Proposal(
            sample, ", ".join(RESOURCES[resource]), "", resource=resource,
            system=system if _SYSTEM.fullmatch(system) else "",
            own_times="" in columns.get("meta.lastUpdated", [""]),
        )
    if kind is None:
        kind, why = _kind(columns)
    else:
        why = "as you said"
    made = Proposal(sample, kind, why, ours={name: tuple(codes) for name, codes in {**ours, **OURS}.items()})
    if kind in (OPEN, NO_EVENT):
        return made
    for name in FIELDS[kind].all:
        _field(made, columns, name)
    _dates(made, columns)
    _numbers(made, columns)
    _person(made, columns)
    _codes(made, columns)
    _ends(made, columns)
    return made


def _only(values: list[str]) -> str:
    """The value that every row has, if there are rows enough to tell."""
    return values[0] if len(values) >= MIN_ROWS and len({*values}) == 1 else ""


def _kind(columns: Mapping[str, list[str]]) -> tuple[str, str]:
    def has(*fields: str) -> bool:
        return all(_named(columns, name) for name in fields)

    fits = [
        ("prom", "it has a questionnaire and a score", has("instrument", "score")),
        ("monitoring", "it has a module and a status", has("module", "status")),
        ("claim", "it has an amount", has("amount") or has("cents")),
        ("encounter", "it has a class of contact", has("class")),
        ("social", "it has a social factor", has("value")),
        ("enrolment", "it has a start and an end", has("start", "end")),
    ]
    found = [(kind, why) for kind, why, fit in fits if fit]
    # A start and an end say little: whatever takes time has them.
    return found[0] if len(found) == 1 or (len(found) == 2 and found[1][0] == "enrolment") else (
        OPEN, f"it may be {' or '.join(kind for kind, _ in found)}" if found else "no name of a column tells",
    )


def _named(columns: Mapping[str, list[str]], name: str) -> list[str]:
    """The columns that bear a name of the field and have values of its form, the surest name first."""
    found = []
    for column, values in columns.items():
        surest = rank(name, column)
        if surest is not None and _fits(name, [value for value in values if value]):
            found.append((surest, column))
    return [column for _, column in sorted(found)]


def _fits(name: str, values: list[str]) -> bool:
    """Whether values have the form that a field needs."""
    if name in DATES:
        return bool(values) and bool(_formats(values))
    if name in NUMBERS:
        return bool(values) and (
            all(_DECIMAL.fullmatch(v) for v in values) or all(_COMMA.fullmatch(v) for v in values)
        )
    return True


def _formats(values: list[str]) -> list[str]:
    """The ways of writing dates in which all values are dates."""
    found = []
    for form in DATE_FORMATS:
        start, _ = source_readers("UTC", form, end_inclusive=False)
        with contextlib.suppress(ValueError, OverflowError):
            for value in values:
                start(value)
            found.append(form)
    return found


def _field(made: Proposal, columns: Mapping[str, list[str]], name: str) -> None:
    if name == "amount" and "cents" in made.fields:
        return
    known = FIELDS[made.kind]
    named = _named(columns, name)
    if name == "id":
        alone = [column for column, values in columns.items() if _differs(values)]
        every = [column for column in named if column in alone] or (named if made.kind == "enrolment" else [])
        if every:
            repeats = "it repeats: a record that comes again must be recorded later"
            how = "different in every row that has one" if every[0] in alone else repeats
            made.fields[name] = Choice(every[0], f"by its name; {how}")
        else:
            made.fields[name] = _open(alone, "must differ in every row")
        return
    if len(named) > 1 and name in CRITICAL and is_exact(name, named[0]) == is_exact(name, named[1]):
        made.fields[name] = _open(named, "more than one bears such a name")
        return
    if named:
        others = f"; or {_listed(named[1:])}" if len(named) > 1 else ""
        made.fields[name] = Choice(named[0], f"by its name{others}")
        return
    if name in ("cents", "amount"):
        if name == "amount":
            numbers = [c for c, values in columns.items() if _fits("amount", [v for v in values if v])]
            made.fields[name] = _open(numbers, "decimal; write `cents` instead of `amount` for whole cents")
        return
    if name not in known.required:
        return
    if name in DATES:
        dates = [c for c, values in columns.items() if _fits(name, [v for v in values if v])]
        booked = "when the line entered your books; without such a column, when it happened"
        made.fields[name] = _open(dates, booked if name == "recorded" else "a date")
    elif name in known.codes:
        ours = _listed(list(made.ours.get(name, ())))
        made.constants[name] = Choice(OPEN, f"{ours + '; ' if ours else ''}or name its column under fields")
    else:
        made.fields[name] = _open([], "the number by which all parties know a person" if name == "person" else "")


def _differs(values: list[str]) -> bool:
    """Whether a column may be a record's id: most rows have one, and each its own."""
    given = [value for value in values if value]
    return len(set(given)) == len(given) > len(values) / 2


def _open(candidates: list[str], hint: str) -> Choice:
    may = f"perhaps {_listed(candidates)}" if candidates else ""
    return Choice(OPEN, "; ".join(part for part in (hint, may) if part))


def _listed(columns: list[str]) -> str:
    more = f" and {len(columns) - MOST_CANDIDATES} more" if len(columns) > MOST_CANDIDATES else ""
    return ", ".join(columns[:MOST_CANDIDATES]) + more


def _dates(made: Proposal, columns: Mapping[str, list[str]]) -> None:
    used = [made.fields[name].column for name in DATES if name in made.fields and made.fields[name].column != OPEN]
    every = [value for column in used for value in columns[column] if value]
    fitting = _formats(every) if every else []
    if len(fitting) == 1:
        made.date_format = fitting[0]
    else:
        made.date_format = OPEN
        which = " or ".join(fitting) if fitting else "the dates are not all written in one way that is known"
        made.notes.append(f"date_format: {which}")


def _numbers(made: Proposal, columns: Mapping[str, list[str]]) -> None:
    for name in ("amount", "score"):
        choice = made.fields.get(name)
        if choice is None or choice.column == OPEN:
            continue
        values = [value for value in columns[choice.column] if value]
        made.decimal_comma = any("," in value for value in values)
        if name == "amount" and all(_INTEGER.fullmatch(value) for value in values):
            made.fields[name] = Choice(OPEN, f"whole numbers in {choice.column}: `amount` if euros, `cents` if cents")
        if made.kind == "claim" and any(value.startswith("-") for value in values):
            made.notes.append("negative amounts: negative_is_credit = true if they cancel the line in `previous`")


def _person(made: Proposal, columns: Mapping[str, list[str]]) -> None:
    choice = made.fields.get("person")
    if choice is None or choice.column == OPEN:
        return
    values = [value for value in columns[choice.column] if value]
    found = _PREFIX.match(values[0]) if values else None
    if found and all(value.startswith(found[0]) for value in values):
        made.person_prefix = found[0]
    if len({*values}) == made.sample.rows > 1:
        choice.why += "; but it differs in every row"


def _codes(made: Proposal, columns: Mapping[str, list[str]]) -> None:
    person = made.fields["person"].column
    persons = columns.get(person)
    for name in FIELDS[made.kind].codes:
        choice = made.fields.get(name)
        if choice is None or choice.column == OPEN or name == "product":
            continue
        values, allowed = columns[choice.column], {*made.ours.get(name, ())}
        distinct = {value for value in values if value}
        if allowed and distinct <= allowed:
            continue
        tally = CodeTally()
        for row, value in enumerate(values):
            if value:
                tally.add(value, None if persons is None else persons[row] or None)
        shown = tally.shown if len(distinct) <= MOST_CODES else {}
        known = {**{code.lower(): code for code in allowed}, **SYNONYMS.get(name, {})}
        made.codes[name] = {code: known.get(code.lower(), OPEN) for code in shown}
        if hidden := tally.lines - sum(shown.values()):
            made.hidden[name] = hidden
    sides = made.codes.get("side", {}).values()
    side = made.fields.get("side")
    if side and (CREDIT in sides or CREDIT in columns.get(side.column, ())) and "previous" not in made.fields:
        made.fields["previous"] = _open([], "the record that a credit line cancels")


def _ends(made: Proposal, columns: Mapping[str, list[str]]) -> None:
    """What an end means, from periods of one person that follow each other."""
    names = ("person", "start", "end")
    chosen = [made.fields[name].column for name in names if name in made.fields]
    if len(chosen) < len(names) or OPEN in chosen or made.date_format == OPEN:
        return
    start, _ = source_readers("UTC", made.date_format, end_inclusive=False)
    periods = defaultdict(list)
    for person, begin, end in zip(*(columns[column] for column in chosen), strict=True):
        if person and begin and end:
            periods[person].append((start(begin), start(end)))
    next_day = same_day = 0
    for spans in periods.values():
        spans.sort()
        for (_, end), (begin, _) in pairwise(spans):
            same_day += begin == end
            next_day += begin == end + timedelta(days=1)
    if max(same_day, next_day) >= MIN_PERIODS and 0 in (same_day, next_day):
        made.end_inclusive = next_day > 0
