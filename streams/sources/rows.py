"""Lines of CSV and NDJSON as rows of raw values, and the form that makes events of them."""

import json
import re
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Columns
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from streams.envelope import PatientEvent
from streams.errors import SourceError
from streams.rejects import Reason, RefusedLineError
from streams.sources.lines import shown_header
from streams.sources.mapped import Mapping, Row, Rows
from streams.sources.table import any_cells, cells

_HALF = re.compile("[\ud800-\udfff]")
MAX_DEPTH = 16
"""Parts of a dotted path."""


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


MAX_NESTING = 100
"""Of lists and objects in a line; FHIR resources stay below 30."""
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{\]}]')
"""Strings, so that brackets in them do not count, and brackets."""
_JSON = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_no_number)
"""Numbers stay as they were written: a float would change an amount."""


class MappedForm:
    """A file of the party's own making, by its mappings: a row is what the first that takes it says.

    Args:
        entries: at least one, all of one path and format.
        rows: how a line becomes a row.
    """

    def __init__(self, entries: Sequence[Mapping], rows: Rows) -> None:
        self.file, self.source, self.entries = entries[0].rules.path, entries[0].source, tuple(entries)
        self._rows = rows

    @property
    def columns_of(self) -> dict[str, str]:
        """Column → the key of source.toml that names it."""
        found: dict[str, str] = {}
        for entry in self.entries:
            for column, key in entry.columns.items():
                found.setdefault(column, key)
        return found

    def recorded(self, line: bytes) -> str | None:
        """See Form."""
        entry, row = self._entry(line)
        return None if entry is None or row is None else entry.raw(row, "recorded")

    def place(self, line: bytes) -> tuple[datetime | None, int]:
        """See streams.sources.lines.Place; kinds differ in rank."""
        try:
            entry, row = self._entry(line)
            if entry is not None and row is not None:
                return entry.moment(entry.raw(row, "recorded")), entry.rank
        except (RefusedLineError, ValueError, OverflowError):
            pass
        return None, 0

    def event(self, text: str) -> PatientEvent:
        """See Form."""
        row = self._rows.row(text)
        entry = self._taking(row)
        if entry is None:
            raise RefusedLineError(Reason.NOT_MAPPED)
        return entry.event(row)

    def person(self, text: str) -> str | None:
        """The pseudonym of the person whom a line is about, as far as that can be told."""
        try:
            row = self._rows.row(text)
            entry = self._taking(row)
            return None if entry is None else entry.person(row)
        except RefusedLineError:
            return None

    def _entry(self, line: bytes) -> tuple[Mapping | None, Row | None]:
        try:
            row = self._rows.row(line.decode("utf-8").rstrip("\r\n"))
            return self._taking(row), row
        except (UnicodeDecodeError, RefusedLineError):
            return None, None

    def _taking(self, row: Row) -> Mapping | None:
        return next((entry for entry in self.entries if entry.takes(row)), None)


class MappedTable(MappedForm):
    """The same of a CSV file, whose first line names the columns."""

    def __init__(self, entries: Sequence[Mapping], path: Path) -> None:
        self._table = CsvRows(path, entries[0].rules.delimiter or ",")
        super().__init__(entries, self._table)

    def learn(self, header: str) -> None:
        """See LearningForm."""
        self._table.learn(header, self.columns_of)


class CsvRows:
    """Lines of a table: a column stands at its place."""

    def __init__(self, path: Path, delimiter: str) -> None:
        self._path, self._delimiter = path, delimiter
        self._places: dict[str, int] = {}
        self._columns = 0

    def learn(self, header: str, wanted: Columns[str, str]) -> None:
        """Find the mapped columns.

        Args:
            header: the first line.
            wanted: column → the key of source.toml that names it.

        Raises:
            SourceError: one is missing, or stands there twice.
        """
        try:
            found = any_cells(header, self._delimiter)
        except RefusedLineError:
            found = []
        for column, key in wanted.items():
            if found.count(column) != 1:
                how = "twice or more" if column in found else "not there"
                raise SourceError(
                    f"{self._path}: column {column!r} ({key}) is {how}; the header is "
                    f"{shown_header(header, wanted)}, read with delimiter {self._delimiter!r}. "
                    "Correct source.toml, or the header"
                )
        self._columns = len(found)
        self._places = {column: found.index(column) for column in wanted}

    def row(self, text: str) -> Row:
        """See Rows."""
        found, places = cells(text, self._columns, self._delimiter), self._places
        return lambda column: found[places[column]]


class JsonRows:
    """Objects: a column is a path of keys; a number in it is a place in a list.

    Args:
        path: the keys that a column's name leads along.
    """

    def __init__(self, path: Callable[[str], tuple[str, ...]]) -> None:
        self._path = path

    def row(self, text: str) -> Row:
        """See Rows."""
        found = parse_object(text)
        return lambda column: _at(found, self._path(column))


def parse_object(text: str) -> dict[str, Any]:
    """A JSON object whose numbers are texts, as they were written.

    Raises:
        RefusedLineError: no JSON, no object, or nested beyond MAX_NESTING.
    """
    if _too_deep(text):
        raise RefusedLineError(Reason.BROKEN_JSON)
    try:
        found = _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        raise RefusedLineError(Reason.BROKEN_JSON) from error
    if not isinstance(found, dict):
        raise RefusedLineError(Reason.WRONG_TYPE)
    return found


def _too_deep(text: str) -> bool:
    """Whether lists and objects are nested beyond MAX_NESTING.

    The decoder's own guard is the interpreter's recursion limit, which a library may have raised beyond what the stack
    holds (py_ecc, which comes with web3, does): it then crashes the process.
    """
    if text.count("[") + text.count("{") <= MAX_NESTING:
        return False
    depth = 0
    for token in _BRACKETS.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth > MAX_NESTING:
                return True
        elif token[0] in "]}":
            depth -= 1
    return False


@lru_cache(1 << 10)
def dotted(path: str) -> tuple[str, ...]:
    """The keys of a dotted path."""
    return tuple(path.split(".", MAX_DEPTH - 1))


def _at(value: object, path: tuple[str, ...]) -> str:
    for key in path:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and len(key) < 4:
            value = value[int(key)] if int(key) < len(value) else None
        elif value is None:
            return ""
        else:
            raise RefusedLineError(Reason.WRONG_TYPE)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise RefusedLineError(Reason.WRONG_TYPE)
    # JSON may escape half a character, which is no text.
    if "\0" in value or (not value.isascii() and _HALF.search(value)):
        raise RefusedLineError(Reason.NOT_TEXT)
    return value.strip()
