"""What `winnow agreement lattice` draws: a calendar of what a schedule is expected to let out, and where it is thin."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from math import floor
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from console.agreement.outlook import Cohort, Count, Expected, Outcome, Outlook, Part, check_groups
from console.agreement.subject import Subject
from console.agreement.words import Words
from console.errors import ConsoleError
from console.locale import number, period
from evaluation.document import DateWindow

MOST_IN_A_YEAR: Final = 60
"""Windows that a line of the calendar holds; if a year has more, a month is a line."""
SMALLEST_CHANCE: Final = 0.0001
"""Smaller ones, and those as near to 1, are not written in digits."""
MARKS: Final[dict[Outcome, tuple[str, str, str]]] = {
    "all": ("■", "#", "green"), "all-unsure": ("▨", "%", "yellow"), "total": ("□", "o", "cyan"),
    "total-unsure": ("◌", "~", "yellow"), "nothing": ("·", ".", "red"),
}
"""Mark, mark of a terminal that knows few characters, colour."""


def outlooks(subject: Subject, cohort: Cohort) -> list[Outlook]:
    """An outlook for every KPI.

    Raises:
        ConsoleError: groups or KPIs that the agreement does not have.
    """
    if cohort.groups is not None:
        check_groups(subject.plans, cohort.groups)
    kpis = [plan.kpi for plan in subject.plans]
    strange = [kpi for kpi in cohort.active if kpi and kpi not in kpis]
    if strange:
        raise ConsoleError(f"--active: found KPI {strange[0]}; the agreement computes {', '.join(kpis)}.")
    return [Outlook(subject, plan, cohort) for plan in subject.plans]


def draw(subject: Subject, cohort: Cohort, found: Iterable[Outlook], say: Words, console: Console) -> None:
    """Print the calendar of every KPI, and what is thin in it."""
    minimum = say.number(subject.draft.disclosure.minimum_cohort)
    console.print(Text(say(
        "outlook", patients=say.number(cohort.patients), minimum=minimum,
        exposed=say("percent", percent=number(100 * cohort.exposed, say.lang, 1)),
    ), style="bold"))
    console.print(Text(say("expectations")))
    console.print(Text(say("not_looked_at"), style="dim"))
    for outlook in found:
        console.print()
        program = subject.program(outlook.plan.kpi)
        title = outlook.plan.kpi if program is None else say("kpi", title=say.of(program.title), id=outlook.plan.kpi)
        console.print(Text(title, style="bold"))
        console.print(_calendar(subject, outlook.windows, console))
        console.print(_legend(outlook, say, console))
        for line in remarks(subject, outlook, say):
            console.print(Text(line))


def remarks(subject: Subject, outlook: Outlook, say: Words) -> Iterator[str]:
    """The thinnest counts, the least likely window, and what would help."""
    start, stop = outlook.shortest
    atom = period(_dates(subject, start, stop), say.lang)
    for part in outlook.parts:
        count = outlook.thinnest(part, stop - start)
        yield say(
            "thinnest", part=say(f"part_{part}"), counted=count.counted, who=_who(count, say),
            expected=number(count.expected, say.lang, 1), atom=atom, minimum=say.number(count.minimum),
            risk=_percent(count.risk, say),
        )
    part = outlook.parts[-1]
    least = min(outlook.windows, key=lambda row: row.chances[part])
    yield say(
        "least_likely" if least.chances[part] else "least_unlikely", part=say(f"part_{part}"),
        window=period(_dates(subject, least.window.start, least.window.stop), say.lang),
        chance=_at_least(least.chances[part], say),
    )
    for part in outlook.parts:
        if not outlook.sure(part):
            yield say("help", part=say(f"part_{part}"), ways=" ".join(_ways(outlook, part, say)))


def _ways(outlook: Outlook, part: Part, say: Words) -> Iterator[str]:
    step, patients = outlook.step_that_would_do(part), outlook.patients_that_would_do(part)
    yield say("help_no_step") if step is None else say("help_step", panes=say.panes(step))
    if patients is not None:
        yield say("help_patients", patients=say.number(patients))


def as_document(subject: Subject, cohort: Cohort, found: Iterable[Outlook]) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "agreement": subject.draft.name, "minimum": subject.draft.disclosure.minimum_cohort,
        "assumed": {
            "patients": cohort.patients, "exposed": cohort.exposed,
            "groups": None if cohort.groups is None else dict(cohort.groups),
        },
        "kpis": [_kpi(subject, cohort, outlook) for outlook in found],
    }


def _kpi(subject: Subject, cohort: Cohort, outlook: Outlook) -> dict[str, Any]:
    start, stop = outlook.shortest
    return {
        "kpi": outlook.plan.kpi, "active": cohort.active_in(outlook.plan.kpi),
        "thinnest_atom": _plain(_dates(subject, start, stop)),
        "parts": {part: {
            "arm": (count := outlook.thinnest(part, stop - start)).arm,
            "cell": None if count.cell is None else dict(count.cell), "counted": count.counted,
            "expected": count.expected, "probability_of_too_few": count.risk,
            "advice": None if outlook.sure(part) else {
                "step_panes": outlook.step_that_would_do(part), "patients": outlook.patients_that_would_do(part),
            },
        } for part in outlook.parts},
        "windows": [
            {"window": _plain(_dates(subject, row.window.start, row.window.stop)), "expected": row.outcome,
             "thinnest_atom": _plain(_dates(subject, *row.atom)), "probability_at_least": dict(row.chances)}
            for row in outlook.windows
        ],
    }


def _calendar(subject: Subject, rows: Sequence[Expected], console: Console) -> Table:
    """A line a year, or a month where a year has many windows; each is placed by its last day."""
    ends = [_dates(subject, row.window.start, row.window.stop).end - timedelta(days=1) for row in rows]
    monthly = max(Counter(end.year for end in ends).values()) > MOST_IN_A_YEAR
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    placed = zip(ends, rows, strict=True)
    for (year, month), line in groupby(placed, lambda one: (one[0].year, one[0].month if monthly else 0)):
        marks = Text()
        for _, row in line:
            marks.append(_mark(row.outcome, console), style=MARKS[row.outcome][2])
        table.add_row(Text(f"{year}-{month:02}" if monthly else str(year)), marks)
    return table


def _legend(outlook: Outlook, say: Words, console: Console) -> Text:
    counts = Counter(row.outcome for row in outlook.windows)
    said = Text()
    for outcome, (_, _, colour) in MARKS.items():
        if not counts[outcome]:
            continue
        said.append(_mark(outcome, console), style=colour)
        said.append(f" {say(f'outcome_{outcome}', count=say.number(counts[outcome]))}  ")
    return said


def _mark(outcome: Outcome, console: Console) -> str:
    mark, plain, _ = MARKS[outcome]
    try:
        mark.encode(console.encoding)
    except UnicodeEncodeError:
        return plain
    return mark


def _who(count: Count, say: Words) -> str:
    """Arm and group."""
    cells = [say("outside")] if count.cell is None else [
        say("cell", dimension=dimension, value=value) for dimension, value in count.cell.items()
    ]
    return ", ".join([say("of_arm", arm=count.arm), *cells])


def _percent(chance: float, say: Words) -> str:
    if 0 < chance < SMALLEST_CHANCE:
        return say("less_than", percent=number(100 * SMALLEST_CHANCE, say.lang))
    if 1 - SMALLEST_CHANCE < chance < 1:
        return say("more_than", percent=number(100 * (1 - SMALLEST_CHANCE), say.lang))
    return say("percent", percent=number(100 * chance, say.lang))


def _at_least(chance: float, say: Words) -> str:
    """Rounded down, and never certain."""
    return say("percent", percent=number(min(floor(chance / SMALLEST_CHANCE) * SMALLEST_CHANCE * 100, 99.99), say.lang))


def _dates(subject: Subject, start: int, stop: int) -> DateWindow:
    grid = subject.draft.panes
    return DateWindow(start=grid.first_day(start), end=grid.first_day(stop))


def _plain(window: DateWindow) -> Mapping[str, str]:
    return {"start": window.start.isoformat(), "end": window.end.isoformat()}
