"""Crosswalks: the number by which all parties know a person, for each number that a source knows the person by."""

import csv
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from streams.errors import SourceError
from streams.rejects import RefusedLineError
from streams.sources.lines import MAX_LINE_BYTES, is_person, shown_header
from streams.sources.table import any_cells

MAX_PERSONS = 5_000_000
"""Lines of a crosswalk, which stays in memory: about 200 bytes each."""
_HELP = "docs/sources.md says what a crosswalk holds"

FILE_NAME = r"^[^/\\:\x00-\x1f\x7f]{1,120}$"
FileName = Annotated[str, Field(pattern=FILE_NAME)]
Column = Annotated[str, Field(min_length=1, max_length=200)]


class CrosswalkRules(BaseModel):
    """A CSV file beside the data file, and its two columns."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: FileName
    source: Column = Field(alias="from")
    """The column with the person as the data file names them."""
    number: Column = Field(alias="to")
    """The column with the number by which all parties know that person."""
    delimiter: Annotated[str, Field(pattern=r"^[,;|\t]$")] = ","


def load_crosswalk(folder: Path, rules: CrosswalkRules) -> dict[str, str]:
    """The source's number → the number of all parties.

    Raises:
        SourceError: unreadable, another header, a line that is none, or one number that stands for two persons. Names
            the line, never what it says.
    """
    path = folder / rules.path
    try:
        if not path.is_file():
            raise SourceError(f"{path} is not there, or no file; source.toml names it as a crosswalk. {_HELP}")
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline(MAX_LINE_BYTES).rstrip("\r\n")
            places = _places(path, header, rules)
            found: dict[str, str] = {}
            number = 1
            while line := file.readline(MAX_LINE_BYTES):
                number += 1
                if line.strip():
                    _learn(found, line.rstrip("\r\n"), rules, places, f"{path}:{number}")
            return found
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SourceError(f"cannot read {path}: {said}. {_HELP}") from error


def _places(path: Path, header: str, rules: CrosswalkRules) -> tuple[int, int, int]:
    """Where the two columns stand, and how many there are."""
    try:
        found = any_cells(header, rules.delimiter)
    except RefusedLineError:
        found = []
    for key, column in (("from", rules.source), ("to", rules.number)):
        if found.count(column) != 1:
            raise SourceError(
                f"{path}: column {column!r} (crosswalk.{key}) is not there exactly once; the header is "
                f"{shown_header(header, (rules.source, rules.number))}, read with delimiter {rules.delimiter!r}. "
                "Correct source.toml, or the header"
            )
    return found.index(rules.source), found.index(rules.number), len(found)


def _learn(
    found: dict[str, str], line: str, rules: CrosswalkRules, places: tuple[int, int, int], where: str
) -> None:
    try:
        cells = any_cells(line, rules.delimiter)
    except RefusedLineError:
        cells = []
    if len(cells) != places[2]:
        raise SourceError(f"{where}: another number of fields than the header has, or a broken quotation. {_HELP}")
    source, number = cells[places[0]], cells[places[1]]
    if not source or not is_person(number):
        raise SourceError(
            f"{where}: expected a person of the data file, and a number of letters, digits and hyphens. {_HELP}"
        )
    if found.setdefault(source, number) != number:
        raise SourceError(f"{where}: the person of this line stood for another number before. {_HELP}")
    if len(found) > MAX_PERSONS:
        raise SourceError(f"{where}: more than {MAX_PERSONS:,} persons; give it only those of the data")
