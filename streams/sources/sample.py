"""The beginning of a data file that nothing is known about: its format, its columns and a bounded number of rows."""

import codecs
import csv
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from streams.errors import SourceError
from streams.rejects import RefusedLineError
from streams.sources.crosswalk import FILE_NAME
from streams.sources.lines import MAX_LINE_BYTES
from streams.sources.parquet import texts_of
from streams.sources.rows import parse_object
from streams.sources.table import any_cells

MAX_ROWS = 5_000
MAX_BYTES = 8 << 20
"""Of text; Parquet is bounded by rows and columns."""
MAX_COLUMNS = 400
MAX_PATH_DEPTH = 8
FEW_ROWS = 10
"""Of fewer rows of NDJSON every key counts as a column; of more a key must stand in two, and in one of twenty."""
DELIMITERS = (",", ";", "|", "\t")
_MOSTLY = 0.9
"""Share of the rows that must have the header's number of fields."""
_PARQUET = b"PAR1"
_NAME = re.compile(r"[^\W\d][^\x00-\x1f\x7f\"\\]{0,119}")
_FILE = re.compile(FILE_NAME)
_DIGITS = re.compile(r"\d{5}")


@dataclass(frozen=True)
class Sample:
    """What a file begins with."""

    path: str
    """The file's name."""
    format: str
    """csv, ndjson or parquet."""
    rows: int
    """Rows looked at."""
    whole: bool
    """Whether these are all rows."""
    columns: dict[str, list[str]] = field(repr=False)
    """Column, or dotted path → its text in every row, "" where there is none."""
    delimiter: str | None = None
    twice: tuple[str, ...] = ()
    """Columns that stand there twice; they cannot be mapped."""
    broken: int = 0
    """Rows that could not be read."""


def read_sample(path: Path) -> Sample:
    """Look at the beginning of a file.

    Raises:
        SourceError: unreadable, empty, no text, no table, or without column names. Shows nothing of what it holds.
    """
    if not _FILE.fullmatch(path.name):
        raise SourceError(f"{path.name!r}: expected a file name of 120 characters at most, without control characters")
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError(f"{path} is a folder, pipe or device, expected a data file")
        with path.open("rb") as file:
            head = file.read(len(_PARQUET))
            file.seek(0)
            if head == _PARQUET:
                return _parquet(path, file)
            return _text(path, file)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error


def _text(path: Path, file: BinaryIO) -> Sample:
    lines, whole = _lines(path, file)
    if not lines:
        raise SourceError(f"{path} is empty, expected lines of CSV or NDJSON, or Parquet")
    if lines[0].lstrip().startswith(("{", "[")):
        return _ndjson(path, lines, whole=whole)
    return _csv(path, lines, whole=whole)


def _lines(path: Path, file: BinaryIO) -> tuple[list[str], bool]:
    """The first lines that hold something, and whether they are all."""
    lines: list[str] = []
    left = MAX_BYTES
    while len(lines) <= MAX_ROWS and left > 0:
        line = file.readline(MAX_LINE_BYTES + 1)
        if not line:
            return lines, True
        left -= len(line)
        if len(line) > MAX_LINE_BYTES:
            raise SourceError(f"{path} has a line of more than {MAX_LINE_BYTES} bytes, expected lines of CSV or NDJSON")
        if b"\0" in line or line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise SourceError(f"{path} is not UTF-8 text, nor Parquet. Write it as one of them")
        try:
            text = line.decode("utf-8-sig" if not lines else "utf-8").strip("\r\n")
        except UnicodeDecodeError as error:
            raise SourceError(f"{path} is not UTF-8 text, nor Parquet. Write it as one of them") from error
        if text.strip():
            lines.append(text)
    return lines, False


def _ndjson(path: Path, lines: list[str], *, whole: bool) -> Sample:
    columns: dict[str, list[str]] = {}
    rows = broken = 0
    for line in lines[:MAX_ROWS]:
        try:
            found = parse_object(line)
        except RefusedLineError:
            broken += 1
            continue
        for name, value in _paths(found, "", MAX_PATH_DEPTH):
            if name in columns or len(columns) < MAX_COLUMNS:
                values = columns.setdefault(name, [])
                values.extend([""] * (rows - len(values)))
                values.append(value)
        rows += 1
    if not rows:
        raise SourceError(f"{path} begins as JSON, but no line is an object. Write one object a line (NDJSON)")
    for values in columns.values():
        values.extend([""] * (rows - len(values)))
    # A key that one of many lines has may be about that line's person, even be a name or number.
    least = max(rows / 20, 2) if rows >= FEW_ROWS else 1
    kept = {name: values for name, values in columns.items() if sum(map(bool, values)) >= least}
    return Sample(path.name, "ndjson", rows, whole and len(lines) <= MAX_ROWS, kept, broken=broken)


def _paths(value: Any, at: str, depth: int) -> list[tuple[str, str]]:
    """(dotted path, text) of every plain value; of lists only the first item."""
    if isinstance(value, dict):
        inner = [(key, part) for key, part in value.items() if is_name(key) and "." not in key]
    elif isinstance(value, list):
        inner = [("0", value[0])] if value else []
    elif value is None:
        return []
    else:
        text = ("true" if value else "false") if isinstance(value, bool) else str(value)
        return [(at, text.strip())]
    if depth == 0:
        return []
    return [found for key, part in inner for found in _paths(part, f"{at}.{key}" if at else key, depth - 1)]


def _csv(path: Path, lines: list[str], *, whole: bool) -> Sample:
    delimiter = max(DELIMITERS, key=lambda d: _width(lines[:200], d))
    if _width(lines[:200], delimiter) < 2:
        raise SourceError(
            f"{path}: the lines have no number of fields in common, with comma, semicolon, bar or tab between them. "
            "Expected CSV with column names in the first line, NDJSON or Parquet"
        )
    header = any_cells(lines[0], delimiter)
    if not all(is_name(name) for name in header if name) or not any(header):
        raise SourceError(
            f"{path}: the first line is no list of column names (a name begins with a letter and has no five digits in "
            "a row). Put the names of the columns in the first line"
        )
    rows: list[list[str]] = []
    broken = 0
    for line in lines[1 : MAX_ROWS + 1]:
        try:
            cells = any_cells(line, delimiter)
        except RefusedLineError:
            cells = []
        if len(cells) == len(header):
            rows.append(cells)
        else:
            broken += 1
    if not rows:
        raise SourceError(f"{path} has column names, but no line of data")
    if any(name in {row[place] for row in rows} for place, name in enumerate(header) if name):
        raise SourceError(
            f"{path}: the first line seems to be data: one of its texts stands in the same column again. Put the names "
            "of the columns in the first line"
        )
    once = [(place, name) for place, name in enumerate(header[:MAX_COLUMNS]) if name and header.count(name) == 1]
    return Sample(
        path.name, "csv", len(rows), whole and len(lines) <= MAX_ROWS + 1,
        {name: [row[place] for row in rows] for place, name in once}, delimiter,
        tuple(sorted({name for name in header if name and header.count(name) > 1})), broken,
    )


def _width(lines: list[str], delimiter: str) -> int:
    """How many fields most lines have with this delimiter; 0 when they do not agree."""
    widths = []
    for line in lines:
        try:
            widths.append(len(any_cells(line, delimiter)))
        except (RefusedLineError, csv.Error):
            widths.append(0)
    return widths[0] if widths.count(widths[0]) >= _MOSTLY * len(widths) else 0


def _parquet(path: Path, file: BinaryIO) -> Sample:
    try:
        with pq.ParquetFile(file) as table:
            schema = table.schema_arrow
            once = [name for name in schema.names if schema.names.count(name) == 1 and is_name(name)]
            names = [name for name in once if not pa.types.is_nested(schema.field(name).type)][:MAX_COLUMNS]
            columns: dict[str, list[str]] = {name: [] for name in names}
            rows = 0
            for batch in table.iter_batches(512, columns=names):
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    columns[name].extend((text or "").strip() for text in texts_of(column))
                rows += batch.num_rows
                if rows >= MAX_ROWS:
                    break
            whole = rows >= table.metadata.num_rows
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise SourceError(f"{path} begins as Parquet, but cannot be read. Write it again") from error
    if not rows or not names:
        raise SourceError(f"{path} has no rows, or no plain columns")
    twice = tuple(sorted({name for name in schema.names if schema.names.count(name) > 1 and is_name(name)}))
    return Sample(path.name, "parquet", rows, whole, columns, twice=twice)


def is_name(text: str) -> bool:
    """Whether a text may be a column's name, not a value that stands where a name should."""
    return _NAME.fullmatch(text) is not None and _DIGITS.search(text) is None
