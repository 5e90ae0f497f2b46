"""What `winnow rejected` does: show a party which lines and events were refused and why, and open them for it."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import ValidationError
from rich import box
from rich.table import Table
from rich.text import Text

from console.errors import ConsoleError
from console.keyring import REJECTS
from console.locale import Lang, number
from console.output import standard_output
from console.request import run_command
from console.requested import Output
from console.topic import read_topic
from evaluation.config import PartySettings, load_settings
from evaluation.errors import EXIT_ENDED, Tampered
from evaluation.keys import read_secret
from policy.kpi import Text as Words
from streams import topics
from streams.broker import Record
from streams.rejects import Rejected, open_rejected

PLACES: Final = 3
"""Shown of each source and reason: the first ones."""
WORDS: Final[dict[str, Words]] = {
    "title": Words(en="Refused events of {party}", nl="Afgewezen gebeurtenissen van {party}"),
    "none": Words(en="None in the last 35 days.", nl="Geen in de laatste 35 dagen."),
    "source": Words(en="Source", nl="Bron"),
    "reason": Words(en="Reason", nl="Reden"),
    "events": Words(en="Events", nl="Gebeurtenissen"),
    "places": Words(en="First places", nl="Eerste plaatsen"),
    "unopened": Words(
        en="{count} of them are sealed to another key `rejects`, of another agreement perhaps: they cannot be opened "
           "with this one.",
        nl="{count} ervan zijn verzegeld voor een andere sleutel `rejects`, misschien van een andere overeenkomst: ze "
           "kunnen met deze niet worden geopend.",
    ),
    "written": Words(
        en="As they were: {out}, a JSON object a line. It may hold identifiers; delete it when you have seen it.",
        nl="Zoals ze waren: {out}, één JSON-object per regel. Er kunnen identificerende gegevens in staan; verwijder "
           "het als u het hebt gezien.",
    ),
}


@dataclass
class Refused:
    """What was refused, by source and reason."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    unopened: int = 0
    """Of these, how many are sealed to another key."""
    places: dict[tuple[str, str], list[str]] = field(default_factory=dict)


def rejected(config: Path, out: Path | None, *, as_json: bool, lang: Lang) -> int:
    """Run `winnow rejected`; returns the exit code."""
    return run_command(_rejected(config, out, as_json=as_json, lang=lang))


async def _rejected(config: Path, out: Path | None, *, as_json: bool, lang: Lang) -> int:
    settings = load_settings(config, PartySettings)
    key, found = X25519PrivateKey.from_private_bytes(read_secret(settings.keys / REJECTS)), Refused()
    with _opened(out) as file:
        def take(record: Record) -> None:
            _take(record.value, key, found, file)

        await read_topic(settings.broker, topics.rejected(settings.party), take)
    with standard_output():
        if as_json:
            rows = [
                {"source": source, "reason": reason, "events": count, "places": found.places[source, reason]}
                for (source, reason), count in found.counts.most_common()
            ]
            document = {
                "party": settings.party, "rejected": rows, "unopened": found.unopened,
                "out": None if out is None else str(out),
            }
            sys.stdout.write(json.dumps(document, indent=1) + "\n")
        else:
            present_rejected(found, settings.party, out, lang, Output())
    return EXIT_ENDED


def present_rejected(found: Refused, party: str, out: Path | None, lang: Lang, console: Output) -> None:
    """Print a row for every source and reason, the most frequent first."""
    console.print(Text(_say(lang, "title", party=party), style="bold"))
    if not found.counts:
        console.print(Text(_say(lang, "none")))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for heading in ("source", "reason", "events", "places"):
        table.add_column(Text(_say(lang, heading)))
    for (source, reason), count in found.counts.most_common():
        places = ", ".join(found.places[source, reason])
        table.add_row(Text(source), Text(reason), Text(number(count, lang, 0)), Text(places))
    console.print(table)
    if found.unopened:
        console.print(Text(_say(lang, "unopened", count=number(found.unopened, lang, 0))))
    if out is not None:
        console.print(Text(_say(lang, "written", out=str(out))))


def _take(record: bytes, key: X25519PrivateKey, found: Refused, file: TextIO | None) -> None:
    """Count one record, and write it down as it was.

    Raises:
        Tampered: it is none.
    """
    try:
        what = Rejected.model_validate_json(record)
    except ValidationError:
        raise Tampered("a record that is none of a refused event") from None
    original = _original(record, key)
    found.unopened += original is None
    group = what.source, what.reason.value
    found.counts[group] += 1
    places = found.places.setdefault(group, [])
    if len(places) < PLACES:
        places.append(what.position)
    if file is not None and original is not None:
        line = what.model_dump(mode="json", exclude={"sealed"}) | {"text": original.decode("utf-8", "backslashreplace")}
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _original(record: bytes, key: X25519PrivateKey) -> bytes | None:
    """What was refused; None if it is sealed to another key."""
    try:
        return open_rejected(record, key)[1]
    except (InvalidTag, ValueError):
        return None


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO | None]:
    """A new file that only its owner can read; gone again if it does not come to its end.

    Raises:
        ConsoleError: it is there already, or cannot be made or written.
    """
    if out is None:
        yield None
        return
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            try:
                yield file
                file.flush()
            except BaseException:
                out.unlink()
                raise
    except OSError as error:
        raise ConsoleError(f"{out}: {error.strerror}. Name a new file that can be written.") from error


def _say(lang: Lang, key: str, **values: str) -> str:
    return WORDS[key].of(lang).format(**values)
