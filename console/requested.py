"""How a request ended, as a document and in words."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from console.locale import number, period, quantity
from console.telling import cell_name, interval, unit_name
from console.words import RULES, plain
from evaluation.document import Code, DateWindow, Frozen, Refusal, Release
from policy import gate
from policy.kpi import Kpi

QUOTA = {
    "run": "A new run computed it: it counts as one of the requester's runs and of the agreement's.",
    "joined": "A run that was under way computed it: no quota was used.",
    "released": "It had been computed before: no quota was used.",
}


class Verdict(Frozen):
    """What a rule says about a request."""

    rule: Code
    passes: bool
    found: str | None = None
    required: str | None = None
    next_step: str | None = None
    nodes: tuple[int, ...] = ()
    """Nodes that say so; empty in a dry run."""

    @classmethod
    def of(cls, rule: str, refusal: gate.Refusal | None) -> "Verdict":
        """A verdict of the gate."""
        if refusal is None:
            return cls(rule=rule, passes=True)
        return cls(
            rule=rule, passes=False, found=refusal.found, required=refusal.required, next_step=refusal.next_step
        )


class Outcome(Frozen):
    """How a request ended; `winnow request --json` prints it."""

    status: Literal["released", "suppressed", "refused", "dry-run"]
    requester: str
    kpis: tuple[str, ...]
    window: DateWindow
    request: str | None = None
    """The digest that was signed; None in a dry run."""
    outcome: Literal["run", "joined", "released"] | None = None
    """What the nodes did: a new run, one that was under way, or none, since it had been computed before."""
    run: str | None = None
    releases: tuple[Release, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    """Suppressed cells."""
    verdicts: tuple[Verdict, ...] = ()
    """Rules that refuse it; in a dry run every rule."""

    def only(self, cells: Sequence[dict[str, str]]) -> "Outcome":
        """These cells of it, all when none is named; the status follows."""
        if not cells or self.status == "refused":
            return self
        releases = tuple(r for r in self.releases if r.cell in cells)
        return self.model_copy(update={
            "releases": releases, "refusals": tuple(r for r in self.refusals if r.cell in cells),
            "status": "released" if releases else "suppressed",
        })


def present_outcome(outcome: Outcome, kpis: Iterable[Kpi], console: Console | None = None) -> None:
    """Print how a request ended."""
    console = console or Output()
    if outcome.status == "refused":
        console.print(Text("Refused.", style="bold red"))
        for verdict in outcome.verdicts:
            _verdict(verdict, console)
        return
    for kpi in kpis:
        if kpi.id in outcome.kpis:
            _kpi(outcome, kpi, console)
    if outcome.outcome is not None:
        console.print(Text(QUOTA[outcome.outcome], style="dim"))
    if outcome.status == "suppressed":
        console.print(Text("Nothing reached the agreed minimum, so nothing was released.", style="bold yellow"))


def present_verdicts(verdicts: Iterable[Verdict], console: Console | None = None) -> None:
    """Print what every rule says; nothing was sent."""
    console = console or Output()
    refused = _refusals(verdicts, console)
    said = "Nothing was sent. " + (
        f"{refused} rule{'s refuse' if refused > 1 else ' refuses'} this request." if refused
        else "No rule refuses this request, as far as the chain and the nodes' records tell."
    )
    console.print(Text(said, style="bold red" if refused else "bold green"))


def present_checks(verdicts: Iterable[Verdict], block: int, console: Console | None = None) -> None:
    """Print what every rule of the gate says of a run at a block."""
    console = console or Output()
    refused = _refusals(verdicts, console)
    said = f"At block {block} " + (
        f"{refused} rule{'s refuse' if refused > 1 else ' refuses'} such a run." if refused
        else "no rule refuses such a run."
    )
    console.print(Text(said, style="bold red" if refused else "bold green"))


def _refusals(verdicts: Iterable[Verdict], console: Console) -> int:
    """Print every verdict; how many refuse."""
    refused = 0
    for verdict in verdicts:
        refused += not verdict.passes
        _verdict(verdict, console)
    return refused


def _verdict(verdict: Verdict, console: Console) -> None:
    mark = Text("yes " if verdict.passes else "no  ", style="green" if verdict.passes else "red")
    meaning = plain(RULES, verdict.rule)
    mark.append(verdict.rule, style="bold default")
    if not verdict.passes and meaning != verdict.rule:
        mark.append(f": {meaning}", style="default")
    console.print(mark)
    if verdict.passes:
        return
    facts = [
        f"found {verdict.found}" if verdict.found is not None else "",
        f"required {verdict.required}" if verdict.required else "",
        f"next: {verdict.next_step}" if verdict.next_step else "",
        f"said by node{'s' if len(verdict.nodes) > 1 else ''} {', '.join(map(str, verdict.nodes))}"
        if verdict.nodes else "",
    ]
    console.print(Text("    " + "; ".join(filter(None, facts)), style="dim"))


def _kpi(outcome: Outcome, kpi: Kpi, console: Console) -> None:
    console.print(
        Text(kpi.title.en, style="bold"), Text(f"({unit_name(kpi, 'en')}), {period(outcome.window, 'en')}", style="dim")
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for heading, right in (("Patients", False), ("Value", True), ("95% interval", False)):
        table.add_column(Text(heading), justify="right" if right else "left", no_wrap=right)
    cells: list[dict[str, str]] = []
    places: list[tuple[str | None, dict[str, str] | None]] = [
        *((r.kpi, r.cell) for r in outcome.releases), *((r.kpi, r.cell) for r in outcome.refusals),
    ]
    for of, cell in places:
        if of == kpi.id and cell is not None and cell not in cells:
            cells.append(cell)
    for cell in sorted(cells, key=lambda c: (bool(c), sorted(c.items()))):
        releases = [r for r in outcome.releases if r.kpi == kpi.id and r.cell == cell]
        name = Text(cell_name(kpi, cell, "en"))
        if not releases:
            rule = next(r.rule for r in outcome.refusals if r.kpi == kpi.id and r.cell == cell)
            table.add_row(name, Text("–"), Text(plain(RULES, rule), style="yellow"))
        for release in releases:
            if release.output == "value":
                table.add_row(name, Text(quantity(release.value, kpi.value_unit, "en"), style="bold"),
                              Text(interval(release, kpi, "en")))
            else:
                said = Text(f"{number(release.value, 'en', 0)} {release.unit}", style="dim")
                table.add_row(Text(f"  {release.output.removeprefix('sums.')}", style="dim"), said, "")
    console.print(table)


class Output(Console):
    """Standard output; leaves it to the caller what a closed pipe means: rich would exit with code 1."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(file=sys.stdout, **settings)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError
