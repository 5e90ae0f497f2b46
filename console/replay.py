"""What `winnow replay` does: put a party's files, or a period of them, on its source topic; by default only look."""

import asyncio
import json
import sys
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from console.locale import Lang, day, number
from console.output import standard_output
from console.request import run_command
from evaluation.config import PartySettings, load_settings, load_terms
from evaluation.errors import EXIT_ENDED, ConfigError
from evaluation.keys import read_secret
from policy.kpi import Text as Words
from streams import topics
from streams.broker import Consumer, Producer
from streams.flow import Counts, Pulse
from streams.pseudonym import Pseudonyms
from streams.published import published
from streams.replay import Outlook, outlook, replay, span_of
from streams.sources.agreed import open_sources

STALL_SECONDS = 120.0
WORDS: Final[dict[str, Words]] = {
    "lines": Words(
        en="{party}: {lines} lines, recorded from {first} to {last}; {refused} are refused.",
        nl="{party}: {lines} regels, geregistreerd van {first} tot en met {last}; {refused} worden afgewezen.",
    ),
    "nothing": Words(en="{party}: no line in this period.", nl="{party}: geen regel in deze periode."),
    "events": Words(en="  {source}: {count} × {kind}", nl="  {source}: {count} × {kind}"),
    "refused": Words(en="  refused: {count} × {reason}", nl="  afgewezen: {count} × {reason}"),
    "there": Words(en="{there} are on {topic} already.", nl="{there} staan al op {topic}."),
    "dry": Words(
        en="Nothing was sent. To send {count} events, run it again with --send.",
        nl="Er is niets verstuurd. Om {count} gebeurtenissen te versturen: nog eens, met --send.",
    ),
    "ends": Words(
        en="The files end with it: sending it ends their sources on the topic, and nothing is read after that. "
        "If more is to come, end before it with --to.",
        nl="De bestanden eindigen ermee: versturen beëindigt hun bronnen op het topic, en daarna wordt niets meer "
        "gelezen. Komt er nog meer, eindig dan eerder, met --to.",
    ),
    "sent": Words(en="{count} events sent.", nl="{count} gebeurtenissen verstuurd."),
    "ended": Words(
        en="The files end here, so their sources have ended on the topic.",
        nl="De bestanden eindigen hier; op het topic zijn hun bronnen daarmee geëindigd.",
    ),
    "progress": Words(en="{done} of {total} lines", nl="{done} van {total} regels"),
}


def replay_files(
    config: Path, start: date | None, stop: date | None, lang: Lang, *, send: bool, as_json: bool
) -> int:
    """Run `winnow replay`; returns the exit code."""
    return run_command(_replay(config, start, stop, lang, send=send, as_json=as_json))


async def _replay(
    config: Path, start: date | None, stop: date | None, lang: Lang, *, send: bool, as_json: bool
) -> int:
    settings = load_settings(config, PartySettings)
    if settings.data is None:
        raise ConfigError(f"configuration {config}: data: missing. Name the folder of the files to replay")
    if start is not None and stop is not None and stop <= start:
        raise ConfigError(f"--to {stop} is not after --from {start}. The period ends before --to")
    draft, party = load_terms(settings.terms).draft, settings.party
    zone, topic, partitions = ZoneInfo(draft.panes.zone), topics.source(party), range(draft.shards)
    pseudonyms = Pseudonyms(read_secret(settings.keys / "link"), read_secret(settings.keys / "pseudonym"))
    files = await asyncio.to_thread(open_sources, draft, party, settings.data, pseudonyms)
    span = span_of(files, *(None if day is None else datetime.combine(day, time(), zone) for day in (start, stop)))
    async with Consumer(settings.broker, topic, partitions) as tail:
        there = await published(tail, partitions)
    found = await asyncio.to_thread(outlook, files, party, span, there, pseudonyms)
    if not as_json:
        _say(_words(party, topic, found, lang))
    if send:
        reject_key = X25519PrivateKey.from_private_bytes(read_secret(settings.keys / "rejects")).public_key()
        sources = [source.name for source in draft.party(party).sources]

        def progress(_phase: str, done: int, total: int) -> None:
            sys.stderr.write(_told("progress", lang, done=done, total=total) + "\n")

        async with Producer(settings.broker) as producer:
            await replay(
                files, party, span, sources, there, pseudonyms, producer, reject_key, Counts(), progress,
                Pulse(STALL_SECONDS),
            )
    if as_json:
        _say([json.dumps(_document(party, found, sent=send, ends=span.ends), indent=1)])
    else:
        # An empty period, of a topic without lines, ends nothing.
        over = span.ends and (found.lines or any(before.line for before in there.values()))
        last = ["sent" if send else "dry", *(["ended" if send else "ends"] if over else [])]
        _say([_told(name, lang, count=found.to_send) for name in last])
    return EXIT_ENDED


def _say(lines: list[str]) -> None:
    with standard_output():
        sys.stdout.writelines(line + "\n" for line in lines)


def _told(name: str, lang: Lang, **said: str | int | date) -> str:
    """A sentence, its numbers as the language writes them."""
    return WORDS[name].of(lang).format(**{
        key: number(value, lang, 0) if isinstance(value, int) else value for key, value in said.items()
    })


def _words(party: str, topic: str, found: Outlook, lang: Lang) -> list[str]:
    if not found.lines:
        return [_told("nothing", lang, party=party)]
    first, last = ("?" if at is None else day(at.date(), lang) for at in (found.first, found.last))
    return [
        _told("lines", lang, party=party, lines=found.lines, refused=found.refused.total(), first=first, last=last),
        *(_told("events", lang, source=source, kind=kind, count=count)
          for (source, kind), count in sorted(found.events.items())),
        *(_told("refused", lang, reason=str(reason), count=count) for reason, count in found.refused.most_common()),
        _told("there", lang, there=found.there, topic=topic),
    ]


def _document(party: str, found: Outlook, *, sent: bool, ends: bool) -> dict[str, Any]:
    return {
        "party": party, "lines": found.lines, "sent": sent, "ends": ends, "there": found.there,
        "to_send": found.to_send,
        "events": [
            {"source": source, "kind": kind, "count": count} for (source, kind), count in sorted(found.events.items())
        ],
        "refused": {str(reason): count for reason, count in sorted(found.refused.items())},
        "first": None if found.first is None else found.first.isoformat(),
        "last": None if found.last is None else found.last.isoformat(),
    }
