"""What `winnow schedule` does: list the agreement's windows and what became of each."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from console.locale import day, period
from console.output import standard_output
from console.request import Requester, run_command
from console.requested import Output
from evaluation.awaited import Awaited
from evaluation.calendar import local_today
from evaluation.document import ScheduleRow
from evaluation.errors import EXIT_ENDED

STATES: Final = {
    "ran": ("ran", "green"),
    "due": ("due", "yellow"),
    "waiting": ("waits for its panes", "dim"),
    "missed": ("missed so far", "red"),
    "skipped": ("skipped", "green"),
    "refused": ("refused", "red"),
}


def schedule(config: Path, *, as_json: bool) -> int:
    """Run `winnow schedule`; returns the exit code."""
    return run_command(_schedule(config, as_json=as_json))


async def _schedule(config: Path, *, as_json: bool) -> int:
    requester = Requester.load(config)
    async with requester.reader() as reader:
        await reader.catch_up()
        rows = reader.account.document(local_today(requester.terms.draft, datetime.now(UTC))).schedule
        sealed, awaited = reader.account.sealed_until(), reader.account.awaited()
    with standard_output():
        if as_json:
            sys.stdout.write(json.dumps({
                "schedule": [r.model_dump(mode="json") for r in rows],
                "sealed_until": {party: until and until.isoformat() for party, until in sealed.items()},
                "awaited": [row.model_dump(mode="json") for row in awaited],
            }, indent=1) + "\n")
        else:
            present_schedule(rows, Output())
            present_sealed(sealed, Output())
            present_awaited(awaited, Output())
    return EXIT_ENDED


def present_schedule(rows: Sequence[ScheduleRow], console: Output) -> None:
    """Print the table, and how many windows are in which state."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for heading in ("Window", "Expected", "State", "Ended (UTC)", "Why"):
        table.add_column(Text(heading), no_wrap=heading != "Why")
    for row in rows:
        words, style = STATES[row.state]
        if row.state == "ran" and row.said:
            words = "ran late"
        table.add_row(
            Text(period(row.window, "en")), Text(day(row.expected, "en")), Text(words, style=style),
            Text(f"{row.ended_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if row.ended_at else ""), Text(why(row)),
        )
    console.print(table)
    counts: Counter[str] = Counter(row.state for row in rows)
    said = ", ".join(f"{counts[state]} {words}" for state, (words, _) in STATES.items() if counts[state])
    console.print(Text(f"{len(rows)} windows: {said}.", style="bold"))


def present_sealed(sealed: Mapping[str, date | None], console: Output) -> None:
    """Print until when each party has sealed its panes."""
    said = ", ".join(f"{party} {'unknown' if until is None else day(until, 'en')}" for party, until in sealed.items())
    console.print(Text(f"Sealed until: {said}."))


def present_awaited(awaited: Sequence[Awaited], console: Output) -> None:
    """Print what each node waits for, and what to do about it; nothing if no node waits."""
    for row in awaited:
        console.print(Text(
            f"Node{'s' if len(row.nodes) > 1 else ''} {', '.join(map(str, row.nodes))} "
            f"wait{'' if len(row.nodes) > 1 else 's'} for {row.what}: expected {day(row.expected, 'en')}, "
            f"needed for {period(row.window, 'en')}.", style="yellow",
        ))
    if awaited:
        console.print(Text("Ask these parties whether their workers run and what they wait for: winnow figures."))


def why(row: ScheduleRow) -> str:
    """The rule that refused it, or each node's account of why it was late, missed or skipped; equal ones once."""
    nodes: dict[str, list[str]] = {}
    for node, words in row.said.items():
        nodes.setdefault(words, []).append(node)
    said = [f"node{'s' if len(who) > 1 else ''} {', '.join(who)}: {words}" for words, who in nodes.items()]
    return "; ".join([*([row.rule] if row.rule else []), *said])
