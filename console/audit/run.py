"""What `winnow audit` does: read evidence, check it, and print it."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unicodedata import category

from rich.text import Text

from console.audit.access import Form, rows, written
from console.audit.checks import check_files
from console.audit.document import as_document, verification_of
from console.audit.finding import Finding
from console.audit.onchain import OnChain
from console.audit.selection import EVERYTHING, Selection
from console.audit.sources import Record, read_records
from console.audit.telling import Line, entries_in_words, findings_in_words, heading
from console.audit.words import say
from console.errors import ConsoleError
from console.locale import Lang
from console.output import standard_output
from console.request import run_command
from console.requested import Output
from evaluation.agreement import open_registry
from evaluation.config import AuditedSettings, load_settings, load_terms
from evaluation.errors import EXIT_ENDED, EXIT_INTEGRITY
from evaluation.evidence import AnyEntry, Ended
from policy.agreement import Terms
from policy.chain.errors import ChainUnreachable
from policy.errors import ChainError

COMMANDS: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that are not seen, and may command a terminal or turn a line around."""


@dataclass(frozen=True)
class Options:
    """What is asked for."""

    files: tuple[Path, ...] = ()
    selection: Selection = EVERYTHING
    verify: bool = False
    offline: bool = False
    access_log: Form | None = None
    json: bool = False
    lang: Lang = "en"


@dataclass
class Audited:
    """What came of it."""

    records: list[Record]
    entries: list[AnyEntry]
    checked: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def audit(config: Path, options: Options) -> int:
    """Run `winnow audit`; returns the exit code."""
    return run_command(_audit(config, options))


async def _audit(config: Path, options: Options) -> int:
    options.selection.check()
    if options.access_log is not None and options.json:
        raise ConsoleError("--access-log and --json are two forms of one thing. Give one of them.")
    if options.offline and not options.verify:
        raise ConsoleError("--offline says how --verify checks. Give both.")
    settings = load_settings(config, AuditedSettings)
    terms = load_terms(settings.terms)
    if options.verify and not options.offline:
        found = await _beside_the_chain(settings, terms, options)
    else:
        found = _files(read_records(settings, terms, options.files), terms, options)
    _print(found, terms, settings.chain.agreement_id, options)
    return EXIT_INTEGRITY if found.findings else EXIT_ENDED


def _files(records: list[Record], terms: Terms, options: Options) -> Audited:
    """What the files say; what is wrong with the files themselves is told even if nobody asks."""
    broken = [finding for record in records for finding in record.findings]
    found = Audited(records, options.selection.of(records, at_least_one=not broken))
    if not options.verify:
        found.findings = broken
        return found
    found.checked.append(say(
        options.lang, "files_checked", entries=sum(len(record.entries) for record in records),
        nodes=", ".join(str(record.node) for record in records if record.node is not None) or "-",
    ))
    found.findings = check_files(records, terms)
    return found


async def _beside_the_chain(settings: AuditedSettings, terms: Terms, options: Options) -> Audited:
    agreement = settings.chain.agreement_id
    found: Audited | None = None
    async with open_registry(settings.chain, terms) as registry:
        try:
            # Events first: a node notes a run before it attests it, so what they tell of is in the files.
            events = await registry.events(agreement)
            found = _files(read_records(settings, terms, options.files), terms, options)
            block = await registry.block("finalized")
            async for finding in OnChain(registry, agreement, terms).check(found.records, found.entries, events):
                found.findings.append(finding)
        except ChainError as error:
            found = found or _files(read_records(settings, terms, options.files), terms, options)
            if not found.findings:
                raise ChainUnreachable(f"{error} {say(options.lang, 'forgotten')}") from error
            # What is wrong is told, whatever the chain fails to say after it.
            found.checked.append(say(options.lang, "chain_failed", reason=error))
            return found
    runs = {entry.common.run for entry in found.entries if isinstance(entry, Ended)}
    found.checked.append(say(options.lang, "chain_checked", runs=len(runs), block=block.number))
    return found


def _print(found: Audited, terms: Terms, agreement_id: str, options: Options) -> None:
    lang = options.lang
    with standard_output():
        if options.access_log is not None:
            sys.stdout.write(written(list(rows(found.entries, terms)), options.access_log))
            _lines(_verdict(found, options), stderr=True)
        elif options.json:
            told: dict[str, Any] | None = None
            if options.verify or found.findings:
                told = verification_of(found.checked, found.findings)
            document = as_document(terms, agreement_id, found.records, found.entries, told)
            sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        else:
            _lines(heading(terms, agreement_id, found.records, lang))
            _lines(entries_in_words(found.entries, terms, lang))
            _lines(_verdict(found, options))


def _verdict(found: Audited, options: Options) -> Sequence[Line]:
    """Whether it holds; nothing if nobody asked and nothing is wrong."""
    lang = options.lang
    checked = "; ".join([*found.checked, *([say(lang, "not_on_chain")] if options.offline else [])])
    if found.findings:
        looked_at = [(0, say(lang, "looked_at", checked=checked))] if checked else []
        return [(0, ""), *looked_at, (0, say(lang, "differs", count=len(found.findings))),
                *findings_in_words(found.findings, lang)]
    return [(0, ""), (0, say(lang, "verified", checked=checked))] if options.verify else []


def _lines(lines: Iterable[Line], *, stderr: bool = False) -> None:
    if stderr:
        sys.stderr.write("".join(f"{'  ' * indent}{_visible(words)}\n" for indent, words in lines))
        return
    console = Output(soft_wrap=True, highlight=False)
    for indent, words in lines:
        console.print(Text("  " * indent + _visible(words), style="" if indent else "bold"))


def _visible(words: str) -> str:
    """On one line, without what would command a terminal: much of it is another organisation's words."""
    return "".join("\N{REPLACEMENT CHARACTER}" if category(c) in COMMANDS else c for c in words)
