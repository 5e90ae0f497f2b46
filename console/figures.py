"""What `winnow figures` does: show a party's operator how far its workers are, and what they wait for."""

import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
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
from evaluation.errors import EXIT_ENDED
from evaluation.figures import Stands
from policy.kpi import Text as Words
from streams import topics
from streams.figures import PartitionFigures, PartyFigures, ShardFigures, SourceFigures

UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))
WORDS: Final[dict[str, Words]] = {
    "unknown": Words(en="unknown", nl="onbekend"),
    "ended": Words(en="ended", nl="geëindigd"),
    "heard": Words(en="heard", nl="gehoord"),
    "silent": Words(en="silent since {since}", nl="stil sinds {since}"),
    "never": Words(en="silent: never heard", nl="stil: nooit gehoord"),
    "nobody": Words(en="nobody", nl="niemand"),
    "stale": Words(en="{told}, no word since", nl="{told}, sindsdien niets"),
    "title": Words(en="{party}, {at}", nl="{party}, {at}"),
    "source": Words(en="Source", nl="Bron"),
    "state": Words(en="State", nl="Toestand"),
    "watermark": Words(en="Watermark (UTC)", nl="Watermerk (UTC)"),
    "behind": Words(en="Behind", nl="Achter"),
    "last_heard": Words(en="Last heard (UTC)", nl="Laatst gehoord (UTC)"),
    "partition": Words(en="Source partition", nl="Bronpartitie"),
    "shard": Words(en="Shard", nl="Shard"),
    "unread": Words(en="Unread", nl="Ongelezen"),
    "waits_for": Words(en="Waits for", nl="Wacht op"),
    "rejected": Words(en="Rejected", nl="Afgewezen"),
    "sealed_until": Words(en="Sealed until", nl="Afgesloten tot"),
    "late": Words(en="Late", nl="Te laat"),
    "late_after_maturity": Words(en="After maturity", nl="Na rijping"),
    "gone": Words(en="Gone", nl="Weg"),
    "not_sent": Words(
        en="Nodes miss {gone} batches that have left the panes topic: their stores must be restored from a copy.",
        nl="Knooppunten missen {gone} pakketten die van het panes-topic verdwenen zijn: hun opslag moet uit een kopie "
           "hersteld worden.",
    ),
    "differing": Words(
        en="Nodes have different contents of {differing} lists of rows to be erased: no node obeys these or later "
           "ones.",
        nl="Knooppunten hebben {differing} lijsten van te wissen rijen met verschillende inhoud: geen knooppunt volgt "
           "deze of latere op.",
    ),
    "foreign": Words(
        en="{foreign} records on the party's own topics are not its own, and are passed over: see who may write there.",
        nl="{foreign} berichten op eigen topics van de partij zijn niet van haar en worden overgeslagen: ga na wie "
           "daar mag schrijven.",
    ),
    "told": Words(en="Told (UTC)", nl="Gemeld (UTC)"),
    "totals": Words(
        en="In all: sealed until {sealed}; {behind} behind; unread {unread} events and {batches} batches; {late} late; "
           "{too_late} after the last maturity; {rejected} rejected.",
        nl="In totaal: afgesloten tot {sealed}; {behind} achter; ongelezen {unread} gebeurtenissen en {batches} "
           "pakketten; {late} te laat; {too_late} na de laatste rijping; {rejected} afgewezen.",
    ),
    "skew": Words(
        en="Apart: partitions {partitions}, shards {shards}; the fullest shard has {load} times the mean.",
        nl="Uiteen: partities {partitions}, shards {shards}; de volste shard heeft {load} maal het gemiddelde.",
    ),
}


def figures(config: Path, *, as_json: bool, lang: Lang) -> int:
    """Run `winnow figures`; returns the exit code."""
    return run_command(_figures(config, as_json=as_json, lang=lang))


async def _figures(config: Path, *, as_json: bool, lang: Lang) -> int:
    settings = load_settings(config, PartySettings)
    terms = load_terms(settings.terms)
    stands = Stands(terms, settings.party)
    await read_topic(
        settings.broker, topics.figures(settings.party, terms.draft.name),
        lambda m: stands.add(m.value, datetime.now(UTC)),
    )
    found = stands.figures(datetime.now(UTC))
    with standard_output():
        if as_json:
            sys.stdout.write(found.model_dump_json(indent=1) + "\n")
        else:
            present_figures(found, lang, Output())
    return EXIT_ENDED


def present_figures(found: PartyFigures, lang: Lang, console: Output) -> None:
    """Print the tables: sources, partitions of the source topic, shards; then what they come to."""
    console.print(Text(_say(lang, "title", party=found.party, at=_moment(found.at, lang)), style="bold"))
    _table(console, lang, ("source", "state", "watermark", "behind", "last_heard"), [
        (Text(s.source), _state(s, lang), Text(_moment(s.watermark, lang, ended=s.state == "ended")),
         Text(_age(s.lag_seconds, lang, ended=s.state == "ended")), Text(_moment(s.heard, lang)))
        for s in found.sources
    ])
    _table(console, lang, ("partition", "unread", "watermark", "behind", "waits_for", "rejected", "told"), [
        (Text(str(p.partition)), *_read_so_far(p, lang), Text(_waits_for(p, lang)), Text(_count(p.rejected, lang)),
         _told(p, lang)) for p in found.partitions
    ])
    heads = ("shard", "unread", "watermark", "behind", "sealed_until", "late", "late_after_maturity", "gone", "told")
    _table(console, lang, heads, [
        (Text(str(s.shard)), *_read_so_far(s, lang), Text(_day(s.sealed_until, lang)), Text(_count(s.late, lang)),
         Text(_count(s.late_after_maturity, lang)), Text(_count(s.gone, lang)), _told(s, lang)) for s in found.shards
    ])
    parts: list[PartitionFigures | ShardFigures] = [*found.partitions, *found.shards]
    console.print(Text(_say(
        lang, "totals", sealed=_day(found.sealed_until, lang),
        behind=_age(found.lag_seconds, lang, ended=all(part.ended for part in parts)),
        unread=_count(found.source_lag_messages, lang), batches=_count(found.shard_lag_messages, lang),
        late=_count(found.late, lang), too_late=_count(found.late_after_maturity, lang),
        rejected=_count(found.rejected, lang),
    )))
    if found.gone:
        console.print(Text(_say(lang, "not_sent", gone=_count(found.gone, lang)), style="red"))
    if found.lists_differing:
        console.print(Text(_say(lang, "differing", differing=_count(found.lists_differing, lang)), style="red"))
    if found.foreign:
        console.print(Text(_say(lang, "foreign", foreign=_count(found.foreign, lang)), style="red"))
    load = _say(lang, "unknown") if found.load_ratio is None else number(found.load_ratio, lang)
    console.print(Text(_say(
        lang, "skew", partitions=_age(found.partition_skew_seconds, lang), shards=_age(found.shard_skew_seconds, lang),
        load=load,
    )))


def _table(console: Output, lang: Lang, headings: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for heading in headings:
        # On a narrow terminal a word goes on below: a number that is cut off says another number.
        table.add_column(Text(_say(lang, heading)), overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()


def _read_so_far(part: PartitionFigures | ShardFigures, lang: Lang) -> tuple[Text, Text, Text]:
    return (
        Text(_count(part.lag_messages, lang)), Text(_moment(part.watermark, lang, ended=part.ended)),
        Text(_age(part.lag_seconds, lang, ended=part.ended)),
    )


def _state(source: SourceFigures, lang: Lang) -> Text:
    if source.state != "silent":
        return Text(_say(lang, source.state))
    if source.silent_since is None:
        return Text(_say(lang, "never"), style="red")
    return Text(_say(lang, "silent", since=_moment(source.silent_since, lang)), style="red")


def _waits_for(part: PartitionFigures, lang: Lang) -> str:
    return part.waits_for or _say(lang, "nobody" if part.ended else "unknown")


def _told(part: PartitionFigures | ShardFigures, lang: Lang) -> Text:
    said = _moment(part.told, lang)
    stale = part.stale and part.told is not None
    return Text(_say(lang, "stale", told=said), style="yellow") if stale else Text(said)


def _count(value: int | None, lang: Lang) -> str:
    return _say(lang, "unknown") if value is None else number(value, lang, 0)


def _day(value: date | None, lang: Lang) -> str:
    return _say(lang, "unknown") if value is None else day(value, lang)


def _moment(value: datetime | None, lang: Lang, *, ended: bool = False) -> str:
    if value is None:
        return _say(lang, "ended" if ended else "unknown")
    utc = value.astimezone(UTC)
    return f"{day(utc.date(), lang)} {utc:%H:%M:%S}"


def _age(seconds: float | None, lang: Lang, *, ended: bool = False) -> str:
    """The two largest units: 3 d 4 h; in Dutch hours are uur."""
    if seconds is None:
        return _say(lang, "ended" if ended else "unknown")
    parts: list[str] = []
    left = int(abs(seconds))
    for unit, size in UNITS:
        if left >= size or parts:
            parts.append(f"{left // size} {'u' if (unit, lang) == ('h', 'nl') else unit}")
        left %= size
    return ("−" if seconds <= -1 else "") + " ".join([*parts, f"{left} s"][:2])


def _say(lang: Lang, key: str, **values: str) -> str:
    return WORDS[key].of(lang).format(**values)
