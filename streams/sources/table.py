"""CSV, one record a line (RFC 4180 without line breaks inside fields)."""

import csv

from streams.rejects import Reason, RefusedLineError


def cells(text: str, columns: int, delimiter: str = ",") -> list[str]:
    """The fields of a line, white space around them removed.

    Raises:
        RefusedLineError: a broken quotation, or not `columns` fields.
    """
    found = any_cells(text, delimiter)
    if len(found) != columns:
        raise RefusedLineError(Reason.BROKEN_CSV)
    return found


def any_cells(text: str, delimiter: str = ",") -> list[str]:
    """The same of a line that may have any number of fields."""
    if '"' in text:
        try:
            found = next(csv.reader([text], delimiter=delimiter, strict=True))
        except (csv.Error, StopIteration) as error:
            raise RefusedLineError(Reason.BROKEN_CSV) from error
    else:
        found = text.split(delimiter)
    return [cell.strip() for cell in found]


def last_cell(line: bytes) -> str | None:
    """The last field of a line: all our tables end with recorded_at."""
    return line[line.rfind(b",") + 1 :].strip().strip(b'"').decode("ascii", "replace")
