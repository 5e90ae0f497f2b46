"""Print a result document for people: what came out, what did not and why, and what became of the events."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from console.alerting import bounds, standings
from console.locale import number, period, quantity
from console.series import cells, series
from console.telling import cell_name, gap, interval, unit_name
from console.texts import translator
from console.words import OUTCOMES, REASONS, RULES, plain
from evaluation.document import DateWindow, Document, Refusal, Status
from policy.kpi import Kpi

LATEST_WINDOWS: Final = 2
"""Released windows printed with every category; of the others only all patients, the document has the rest."""
STATUS: Final[dict[Status, tuple[str, str]]] = {
    "running": ("Still running.", "yellow"),
    "released": ("Ended.", "green"),
    "suppressed": ("Ended: nothing reached the agreed minimum, so nothing was released.", "yellow"),
    "refused": ("Refused: a rule of the agreement was not met.", "red"),
    "failed": ("Stopped by an error.", "red"),
    "unreachable": ("Stopped: a node, the broker or the chain could not be reached.", "red"),
    "integrity": ("Stopped: an integrity check failed.", "red"),
    "interrupted": ("Interrupted.", "yellow"),
}


def present(document: Document, kpis: Sequence[Kpi], console: Console, latest: int = LATEST_WINDOWS) -> None:
    """Print the document.

    Args:
        document: finished or not.
        kpis: the agreement's KPI programs, in the order in which they are printed.
        console: where to; usually stdout.
        latest: number of released windows to print with their categories, of each KPI.
    """
    windows = sorted(
        {r.window for r in document.releases} | {r.window for r in document.refusals if r.window is not None},
        key=lambda w: (w.end, w.start),
    )
    if document.releases:
        for kpi in kpis:
            _kpi(document, kpi, windows, latest, console)
    _alerts(document, kpis, console)
    _refusals(document, console)
    _events(document, console)
    _runs(document, console)
    words, colour = STATUS[document.status]
    released = sum(r.output == "value" for r in document.releases)
    cell_word = "value" if released == 1 else "values"
    console.print(Text(f"{words} {number(released, 'en', 0)} {cell_word} released.", style=f"bold {colour}"))


def _table(*headings: str, numbers: Iterable[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for heading in headings:
        right = heading in numbers
        table.add_column(Text(heading), justify="right" if right else "left", no_wrap=right)
    return table


def _kpi(document: Document, kpi: Kpi, windows: list[DateWindow], latest: int, console: Console) -> None:
    shown = [series(document, kpi, cell, windows) for cell in cells(kpi)]
    console.print(Text(kpi.title.en, style="bold"), Text(f"({unit_name(kpi, 'en')})", style="dim"))
    table = _table("Window", "Patients", "Value", "95% interval", numbers=("Value",))
    released = [i for i in range(len(windows)) if any(one.points[i].release is not None for one in shown)]
    full = released[::-1][:latest]
    for index in range(len(windows)):
        for position, one in enumerate(shown if index in full else shown[:1]):
            point = one.points[index]
            label = Text(period(point.window, "en") if position == 0 else "")
            if point.release is None:
                outcome = (Text("–"), Text(gap(point, "en"), style="yellow"))
            else:
                outcome = (
                    Text(quantity(point.release.value, kpi.value_unit, "en"), style="bold"),
                    Text(interval(point.release, kpi, "en")),
                )
            table.add_row(label, Text(cell_name(kpi, one.cell, "en")), *outcome)
        if index in full:
            table.add_section()
    console.print(table)
    if len(shown) > 1 and len(windows) > len(full):
        rest = [one.points[i].state for one in shown[1:] for i in range(len(windows)) if i not in full]
        said = f"Categories of the other {len(windows) - len(full)} windows: {rest.count('released')} values released, "
        said += f"{len(rest) - rest.count('released')} not; the pages and --json have them all."
        console.print(Text(said, style="dim"))
    console.print()


def _alerts(document: Document, kpis: Sequence[Kpi], console: Console) -> None:
    if not document.alerts:
        return
    by_id = {kpi.id: kpi for kpi in kpis}
    t = translator("en")
    console.print(Text(t("alerts"), style="bold"))
    for standing in standings(document.alerts):
        row, kpi = standing.row, by_id[standing.row.kpi]
        heading = Text(row.id, style="bold red" if standing.state == "raised" else "")
        since = t("alert_always") if standing.since is None else f"since window {period(standing.since, 'en')}"
        heading.append(f": {t(f'alert_{standing.state}')}", style="bold")
        heading.append(f" {since}", style="not bold default")
        cell, changes = cell_name(kpi, row.cell, "en"), number(standing.changes, "en", 0)
        about = f"{kpi.title.en}, {cell}: {bounds(row, kpi, 'en')}; {changes} changes"
        console.print(Padding(heading, (0, 0, 0, 2)))
        console.print(Padding(Text(about, style="dim"), (0, 0, 0, 4)))
    console.print()


def _refusals(document: Document, console: Console) -> None:
    groups: dict[tuple[str, str, str, str], list[Refusal]] = {}
    for refusal in document.refusals:
        found, required = ("" if v is None else str(v) for v in (refusal.found, refusal.required))
        nodes = ", ".join(map(str, refusal.nodes))
        groups.setdefault((refusal.rule, found, required, nodes), []).append(refusal)
    if not groups:
        return
    console.print(Text("What did not come out, and why", style="bold"))
    for (rule, found, required, nodes), refusals in groups.items():
        meaning = plain(RULES, rule)
        heading = Text(rule, style="yellow" if refusals[0].suppression else "red")
        if meaning != rule:
            heading.append(f": {meaning}", style="not bold default")
        facts = (_extent(refusals), found and f"found {found}", required and f"required {required}",
                 nodes and f"said by node{'s' if ',' in nodes else ''} {nodes}")
        console.print(Padding(heading, (0, 0, 0, 2)))
        console.print(Padding(Text("; ".join(filter(None, facts)), style="dim"), (0, 0, 0, 4)))
    console.print()


def _extent(refusals: list[Refusal]) -> str:
    if any(r.window is None for r in refusals):
        return "everything"
    windows = len({r.window for r in refusals})
    said = f"{windows} window{'s' if windows != 1 else ''}"
    if any(r.cell is not None for r in refusals):
        totals = sum(r.cell == {} for r in refusals)
        said += f" ({totals} values of all patients, {len(refusals) - totals} of a category)"
    return said


def _events(document: Document, console: Console) -> None:
    if not document.events:
        return
    console.print(Text("Events", style="bold"))
    headings = ("Party", "Read", "Accepted", "Late", "Late after maturity", "Rejected")
    table = _table(*headings, "Reasons", numbers=headings[1:])
    for party, counts in document.events.items():
        reasons = Text("\n").join(
            Text(f"{number(n, 'en', 0)} {reason}: {plain(REASONS, reason)}" if reason in REASONS
                 else f"{number(n, 'en', 0)} {reason}")
            for reason, n in sorted(counts.rejected.items(), key=lambda item: (-item[1], item[0]))
        )
        numbers = (
            counts.read, counts.accepted, counts.late_pending, counts.late_after_maturity, sum(counts.rejected.values())
        )
        table.add_row(Text(party), *(Text(number(n, "en", 0)) for n in numbers), reasons)
    console.print(table)
    console.print()


def _runs(document: Document, console: Console) -> None:
    if not document.runs:
        return
    outcomes: dict[str, int] = {}
    phases: dict[str, float] = {}
    for run in document.runs:
        outcomes[run.outcome] = outcomes.get(run.outcome, 0) + 1
        for phase, spent in run.seconds.items():
            phases[phase] = phases.get(phase, 0.0) + spent
    counted = ", ".join(f"{n} {plain(OUTCOMES, outcome)}" for outcome, n in outcomes.items())
    console.print(Text("Runs", style="bold"), Text(counted))
    if phases:
        spent_words = ", ".join(f"{phase} {spent:.1f} s" for phase, spent in phases.items())
        console.print(Text(f"Time: {spent_words}.", style="dim"))
    console.print()
