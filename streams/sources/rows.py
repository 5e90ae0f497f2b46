"""Lines of CSV and NDJSON as rows of raw values, and the form that makes events of them."""

import json
import re
from collections.abc import Mapping as Row
from pathlib import Path
from typing import NoReturn

from streams.envelope import PatientEvent
from streams.errors import SourceError
from streams.rejects import Reason, RefusedLineError
from streams.sources.lines import shown_header
from streams.sources.mapped import Mapping, Rows
from streams.sources.mapping import FileMapping
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
    """A file of the party's own making, by its mapping."""

    def __init__(self, mapping: Mapping, rows: Rows) -> None:
        self.file, self.source, self.mapping = mapping.rules.path, mapping.source, mapping
        self._rows = rows

    def recorded(self, line: bytes) -> str | None:
        """See Form."""
        try:
            return self.mapping.raw(self._rows.row(line.decode("utf-8").rstrip("\r\n")), "recorded")
        except (UnicodeDecodeError, RefusedLineError):
            return None

    def event(self, text: str) -> PatientEvent:
        """See Form."""
        return self.mapping.event(self._rows.row(text))


class MappedTable(MappedForm):
    """The same of a CSV file, whose first line names the columns."""

    def __init__(self, mapping: Mapping, path: Path) -> None:
        self._table = CsvRows(mapping.rules, path)
        super().__init__(mapping, self._table)

    def learn(self, header: str) -> None:
        """See LearningForm."""
        self._table.learn(header)


class CsvRows:
    """Lines of a table: each field stands at the place of its column."""

    def __init__(self, rules: FileMapping, path: Path) -> None:
        self._path, self._fields = path, rules.fields
        self._delimiter = rules.delimiter or ","
        self._places: list[tuple[str, int]] = []
        self._columns = 0

    def learn(self, header: str) -> None:
        """Find the mapped columns.

        Raises:
            SourceError: one is missing, or stands there twice.
        """
        wanted = set(self._fields.values())
        try:
            found = any_cells(header, self._delimiter)
        except RefusedLineError:
            found = []
        for field, column in self._fields.items():
            if found.count(column) != 1:
                how = "twice or more" if column in found else "not there"
                raise SourceError(
                    f"{self._path}: column {column!r} (fields.{field}) is {how}; the header is "
                    f"{shown_header(header, wanted)}, read with delimiter {self._delimiter!r}. "
                    "Correct source.toml, or the header"
                )
        self._columns = len(found)
        self._places = [(field, found.index(column)) for field, column in self._fields.items()]

    def row(self, text: str) -> Row[str, str]:
        """See Rows."""
        found = cells(text, self._columns, self._delimiter)
        return {field: found[place] for field, place in self._places}


class JsonRows:
    """Objects: each field stands at a path of keys; a number in it is a place in a list.

    Args:
        paths: our field → the keys that lead to it.
    """

    def __init__(self, paths: Row[str, tuple[str, ...]]) -> None:
        self._paths = paths

    def row(self, text: str) -> Row[str, str]:
        """See Rows."""
        if _too_deep(text):
            raise RefusedLineError(Reason.BROKEN_JSON)
        try:
            found = _JSON.decode(text)
        except (ValueError, RecursionError) as error:
            raise RefusedLineError(Reason.BROKEN_JSON) from error
        if not isinstance(found, dict):
            raise RefusedLineError(Reason.WRONG_TYPE)
        return {field: _at(found, path) for field, path in self._paths.items()}


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
