"""Files of evidence as an auditor reads them: as far as they hold, and what is wrong with them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from console.audit.discrepancies import of_broken, said
from console.audit.finding import Finding
from console.errors import ConsoleError
from evaluation.config import AuditedSettings
from evaluation.evidence import AnyEntry, Ended, hash_of
from evaluation.journal import FILE, Broken, EntryReader, Head, lines_of
from evaluation.ledger import Ledger
from policy.agreement import Terms
from policy.identity import NODES


@dataclass
class Record:
    """One node's file, up to the first line that does not fit."""

    name: str
    node: int | None
    """None: its first entry does not fit, so that nobody can say whose it is."""
    entries: list[AnyEntry]
    hashes: list[str]
    """Of the entries."""
    head: Head
    unfinished: bool
    """Whether the last line has no end: the node died while it wrote it, or is writing it now."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def runs(self) -> list[Ended]:
        """That ended."""
        return [entry for entry in self.entries if isinstance(entry, Ended)]


def read_records(settings: AuditedSettings, terms: Terms, files: Sequence[Path]) -> list[Record]:
    """The configured node's own file, if it is a node's, and others', by node.

    Raises:
        ConsoleError: there is none, one cannot be read, holds nothing and may be anybody's, or two are of one node.
    """
    own = settings.state if settings.number is not None else None
    known = _ledger_head(own) if own is not None else None
    paths = [*([(own / FILE, settings.number)] if own is not None else []), *((path, None) for path in files)]
    if not paths:
        raise ConsoleError(
            "the configuration is no node's, so there is no evidence beside it. Name a node's, or files by --file."
        )
    records = [
        _read(path, terms, settings.chain.agreement_id, node, begun=node is not None and bool(known))
        for path, node in paths
    ]
    if known and known not in records[0].hashes:
        records[0].findings.append(Finding(
            "evidence-missing", records[0].node, None, said("no_entry", hash=known[:16]),
            said("last_entry", ledger=f"{own}/ledger.json"),
        ))
    told = [record.node for record in records if record.node is not None]
    twice = next((node for node in told if told.count(node) > 1), None)
    if twice is not None:
        raise ConsoleError(f"two files are of node {twice}. Give each node's file once.")
    return sorted(records, key=lambda record: NODES if record.node is None else record.node)


def _read(path: Path, terms: Terms, agreement_id: str, node: int | None, *, begun: bool) -> Record:
    """`node`: whose it has to be, None: the first entry says so; `begun`: it had entries, so that none is a finding."""
    reader, entries, hashes = EntryReader(terms, agreement_id, str(path), node), [], []
    findings, unfinished = [], False
    try:
        if path.exists() and not path.is_file():
            what = "a directory" if path.is_dir() else "no regular file"
            raise ConsoleError(f"{path}: found {what}, expected a node's file of evidence. Name a file {FILE}.")
        if not path.exists() and not begun:
            raise ConsoleError(f"{path}: no such file. A node writes it when its first run has ended or was refused.")
        for line, whole in lines_of(path):
            if not whole:
                unfinished = True
                break
            entries.append(reader.read(line))
            hashes.append(hash_of(line))
    except OSError as error:
        raise ConsoleError(f"{path}: {error.strerror}.") from error
    except Broken as error:
        found, expected = of_broken(error)
        findings.append(Finding(
            "evidence-chain", reader.node, None, said("line", file=path, line=error.line, found=found), expected
        ))
    if reader.node is None and not findings:
        raise ConsoleError(
            f"{path}: found no entry, expected those of a node. A node's file has some once a run has ended or was "
            "refused: this one was emptied or cut off, or is none. Ask for another copy."
        )
    return Record(str(path), reader.node, entries, hashes, reader.head, unfinished, findings)


def _ledger_head(folder: Path) -> str:
    """The entry that a node's ledger names as the last one: read before the file, which may go on meanwhile."""
    path = folder / "ledger.json"
    try:
        return Ledger.model_validate_json(path.read_bytes()).evidence
    except OSError as error:
        raise ConsoleError(f"{path} cannot be read: {error.strerror}. Audit the file alone, by --file.") from error
    except ValidationError:
        raise ConsoleError(
            f"{path} cannot be read: it is damaged. Audit the file alone, by --file."
        ) from None  # its text holds what is in the file
