"""What `winnow receipts` does: show a party which rows the nodes have erased, by whose signed word."""

import asyncio
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
from evaluation.config import PartySettings, load_settings, load_terms
from evaluation.errors import EXIT_ENDED, ConfigError, Tampered, Unreachable
from evaluation.receipts import ListErased, PartyReceipts, Receipts
from policy.agreement import NODES
from policy.kpi import Text as Words
from streams import topics
from streams.broker import Broker, Consumer

READ_SECONDS = 30.0
POLL_SECONDS = 0.2
MOST_MESSAGES = 500
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
    await _read(settings.broker, topics.receipts(settings.party, terms.draft.name), found)
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


async def _read(broker: Broker, topic: str, found: Receipts) -> None:
    """Read what is there now.

    Raises:
        Unreachable: not within READ_SECONDS.
        BrokerError: the broker is gone.
    """
    try:
        async with asyncio.timeout(READ_SECONDS), Consumer(broker, topic, [0]) as consumer:
            end, read = await consumer.end(0), 0
            while read < end:
                for message in await consumer.poll(POLL_SECONDS, MOST_MESSAGES):
                    read = message.offset + 1
                    try:
                        found.add(message.key, message.value, message.timestamp)
                    except Tampered as error:
                        sys.stderr.write(f"winnow: {topic}: {error}.\n")
    except TimeoutError as error:
        raise Unreachable(f"{topic} could not be read to its end within {READ_SECONDS:g} s. Try again.") from error


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
