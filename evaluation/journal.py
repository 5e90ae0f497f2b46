"""A node's file of evidence: one entry a line, only ever added to.

An entry is on disk before anything follows from it. A node that died while it wrote leaves a last line without an end:
that entry stands for nothing yet, and is taken away at the next start. Everything else that does not fit (an entry
edited, put in another place, cut out, or added by somebody without the node's key) is found by its hash, number or
signature; entries missing at the end by the head that the node's ledger, its peers and the chain know.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from evaluation.errors import Tampered
from evaluation.evidence import (
    BEGIN,
    ENTRY,
    MAX_ENTRY_BYTES,
    AnyEntry,
    Ended,
    following,
    hash_of,
    is_signed,
    line_of,
)
from policy.agreement import Terms
from streams.durable import force_folder

FILE = "evidence.jsonl"


FAULTS: Final = {
    "no-entry": ("what is no entry ({reason})", "an entry of a node's evidence"),
    "agreement": ("an entry of agreement {found}, on the chain {found_id}", "{expected} and {expected_id}"),
    "node": ("node {found}", "{expected}"), "number": ("number {found}", "{expected}"),
    "previous": ("hash of the entry before {found}", "{expected}"),
    "changed": ("an entry that was changed", "one that node {node} signed, in canonical JSON"),
    "same": ("head {found} of the common parts", "{expected}"), "too-long": ("more than {most} bytes", "an entry"),
}
"""Kind of what does not fit → what was found, and what was expected."""


class Broken(Tampered):
    """An entry does not follow what stands before it."""

    def __init__(self, name: str, line: int, kind: str, **values: object) -> None:
        found, expected = (words.format(**values) for words in FAULTS[kind])
        super().__init__(
            f"evidence-chain: {name}, line {line}: found {found}, expected {expected}. Entries from there on prove "
            "nothing; restore the file from a copy, and find out who changed it."
        )
        self.line, self.kind, self.values = line, kind, values


@dataclass
class Head:
    """What the entries so far lead to."""

    entries: int = 0
    hash: str = BEGIN
    """Of the last entry."""
    before: str = BEGIN
    """Of the one before it."""
    runs: int = 0
    same: str = BEGIN
    """Over the common parts of all runs: equal at all three nodes."""
    attempt: str = ""
    """Of the last run."""
    last: AnyEntry | None = None

    def take(self, entry: AnyEntry, line: bytes) -> None:
        """Go on by one entry."""
        self.entries, self.before, self.hash, self.last = self.entries + 1, self.hash, hash_of(line), entry
        if isinstance(entry, Ended):
            self.runs, self.same, self.attempt = self.runs + 1, entry.same, entry.attempt


@dataclass
class EntryReader:
    """Reads lines in order and checks each; `node` is that of the first entry unless it is given."""

    terms: Terms
    agreement_id: str
    name: str
    """Of the file, for messages."""
    node: int | None = None
    head: Head = field(default_factory=Head)

    def read(self, line: bytes) -> AnyEntry:
        """The next entry, from its line without the end.

        Raises:
            Broken: it does not fit; the message names the line, what was found and what was expected.
        """
        head = self.head
        try:
            entry = ENTRY.validate_json(line)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise self._wrong("no-entry", reason=reason) from error
        if entry.agreement != self.terms.hash or entry.agreement_id != self.agreement_id:
            raise self._wrong(
                "agreement", found=entry.agreement[:16], found_id=entry.agreement_id[:16],
                expected=self.terms.hash[:16], expected_id=self.agreement_id[:16],
            )
        self.node = entry.node if self.node is None else self.node
        for found, expected, kind in (
            (entry.node, self.node, "node"), (entry.number, head.entries, "number"),
            (entry.previous, head.hash, "previous"),
        ):
            if found != expected:
                raise self._wrong(kind, found=str(found)[:16], expected=str(expected)[:16])
        if line != line_of(entry) or not is_signed(entry, self.terms.nodes[self.node].record_key):
            raise self._wrong("changed", node=self.node)
        if isinstance(entry, Ended) and entry.same != (same := following(head.same, entry.common)):
            raise self._wrong("same", found=entry.same[:16], expected=same[:16])
        head.take(entry, line)
        return entry

    def _wrong(self, kind: str, **values: object) -> Broken:
        return Broken(self.name, self.head.entries + 1, kind, **values)


def lines_of(path: Path) -> Iterator[tuple[bytes, bool]]:
    """(line without its end, whether it has one) of a file; nothing if there is no file.

    Raises:
        Broken: a line is longer than any entry.
        OSError: it cannot be read.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number in count(1):
            line = file.readline(MAX_ENTRY_BYTES + 2)
            if not line:
                return
            whole = line.endswith(b"\n")
            if not whole and len(line) > MAX_ENTRY_BYTES:
                raise Broken(str(path), number, "too-long", most=MAX_ENTRY_BYTES)
            yield line.removesuffix(b"\n"), whole


class Journal:
    """One node's file.

    Args:
        path: of the file, made with the first entry.
        reader: that checks what is there.

    Raises:
        Tampered: what is there does not fit.
    """

    def __init__(self, path: Path, reader: EntryReader) -> None:
        self._path = path
        size = 0
        for line, whole in lines_of(path):
            if not whole:
                self._cut(size)
                break
            reader.read(line)
            size += len(line) + 1
        self.head = reader.head

    def append(self, entry: AnyEntry) -> None:
        """Add an entry that names the head as the one before it, durably.

        Raises:
            ValueError: it is larger than an entry may be.
            OSError: it cannot be written, as on a full disk; nothing of it stays then.
        """
        line = line_of(entry)
        if len(line) > MAX_ENTRY_BYTES:
            raise ValueError(f"an entry of {len(line)} bytes, at most {MAX_ENTRY_BYTES} are expected")
        new = not self._path.exists()
        opened = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(opened, "wb", buffering=0) as file:
            size, rest = os.fstat(opened).st_size, memoryview(line + b"\n")
            try:
                while rest:
                    rest = rest[file.write(rest):]
                os.fsync(opened)
            except OSError:
                # What is noted while the process ends must not follow on a line that was begun.
                with suppress(OSError):
                    file.truncate(size)
                raise
        if new:
            force_folder(self._path.parent)
        self.head.take(entry, line)

    def _cut(self, size: int) -> None:
        """Take away a last line that has no end."""
        with self._path.open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())
