"""What `winnow receipts` does: show a party which rows the nodes have erased, by whose signed word."""

import json
import sys
from datetime import UTC
from pathlib import Path
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from console.locale import Lang, day, number
from console.output import standard_output
from console.request import run_command
from console.requested import Output
from console.topic import read_topic
from evaluation.config import PartySettings, load_settings, load_terms
from evaluation.errors import EXIT_ENDED, ConfigError
from evaluation.receipts import ListErased, PartyReceipts, Receipts
from policy.identity import NODES
from policy.kpi import Text as Words
from streams import topics

WORDS: Final[dict[str, Words]] = {
    "title": Words(en="Rows that {party} had erased", nl="Rijen die {party} liet wissen"),
    "none": Words(en="Nothing has left yet.", nl="Er is nog niets verstuurd."),
    "shard": Words(en="Shard", nl="Shard"),
    "list": Words(en="List", nl="Lijst"),
    "left": Words(en="Left (UTC)", nl="Verstuurd (UTC)"),
    "before": Words(en="Panes before", nl="Perioden vóór"),
    "rows": Words(en="Rows", nl="Rijen"),
    "receipts": Words(en="Receipts of nodes", nl="Bewijs van knooppunten"),
    "nobody": Words(en="none yet", nl="nog geen"),
    "complete": Words(en="{nodes}: complete", nl="{nodes}: volledig"),
    "missing": Words(en="{nodes}; {missing} missing", nl="{nodes}; {missing} ontbreekt"),
}


def receipts(config: Path, *, as_json: bool, lang: Lang) -> int:
    """Run `winnow receipts`; returns the exit code."""
    return run_command(_receipts(config, as_json=as_json, lang=lang))


async def _receipts(config: Path, *, as_json: bool, lang: Lang) -> int:
    settings = load_settings(config, PartySettings)
    terms = load_terms(settings.terms)
    if terms.draft.erasure is None:
        raise ConfigError(
            f"agreement {terms.draft.name} has no table [erasure], so its nodes erase nothing. See docs/erasure.md."
        )
    found = Receipts(terms, settings.party)
    await read_topic(
        settings.broker, topics.receipts(settings.party, terms.draft.name),
        lambda m: found.add(m.key, m.value, m.timestamp),
    )
    with standard_output():
        if as_json:
            sys.stdout.write(json.dumps(as_document(found.found), indent=1) + "\n")
        else:
            present_receipts(found.found, lang, Output())
    return EXIT_ENDED


def as_document(found: PartyReceipts) -> dict[str, object]:
    """The receipts as plain data, each list with `complete`."""
    lists = [{**each.model_dump(mode="json"), "complete": each.complete} for each in found.lists]
    return {**found.model_dump(mode="json"), "lists": lists}


def present_receipts(found: PartyReceipts, lang: Lang, console: Output) -> None:
    """Print a row for every list."""
    console.print(Text(_say(lang, "title", party=found.party), style="bold"))
    if not found.lists:
        console.print(Text(_say(lang, "none")))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for heading in ("shard", "list", "left", "before", "rows", "receipts"):
        table.add_column(Text(_say(lang, heading)), no_wrap=True)
    for each in found.lists:
        left = each.left.astimezone(UTC)
        table.add_row(
            Text(str(each.shard)), Text(str(each.number)), Text(f"{day(left.date(), lang)} {left:%H:%M}"),
            Text(day(each.before, lang)), Text(number(each.rows, lang, 0)), _receipts_of(each, lang),
        )
    console.print(table)


def _receipts_of(each: ListErased, lang: Lang) -> Text:
    nodes, missing = ", ".join(map(str, sorted(each.erased))), NODES - len(each.erased)
    if each.complete:
        return Text(_say(lang, "complete", nodes=nodes), style="green")
    return Text(_say(lang, "missing" if nodes else "nobody", nodes=nodes, missing=str(missing)), style="yellow")


def _say(lang: Lang, key: str, **values: str) -> str:
    return WORDS[key].of(lang).format(**values)
