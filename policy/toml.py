"""TOML as people write it, with any editor: the tables of a file, or one error that says why there are none."""

import tomllib
from pathlib import Path
from typing import Any

from policy.errors import NotToml

MOST_DIGITS = 4_300
"""Of a whole number: Python reads no longer one, but for hexadecimal digits, and then cannot say it in decimal ones."""
MOST_LEVELS = 100
"""Of tables and lists within each other: nothing of ours has ten."""
_TOO_LARGE: int = 10**MOST_DIGITS


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a file.

    Raises:
        OSError: it cannot be read.
        NotToml: see toml_of.
    """
    return toml_of(path.read_bytes())


def toml_of(content: bytes) -> dict[str, Any]:
    """The tables of a file's content; a byte order mark, as Windows' editors put it first, says nothing.

    Raises:
        NotToml: it is not UTF-8, not TOML, nested too deep, or has a number of too many digits.
    """
    try:
        tables = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise NotToml(f"byte {error.start + 1} is not UTF-8; save the file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise NotToml(str(error)) from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise _too_long() from error
    _check(tables)
    return tables


def _check(tables: dict[str, Any]) -> None:
    """Level by level: libraries raise Python's limit of recursion so far that it protects nobody."""
    level: list[object] = [tables]
    for _ in range(MOST_LEVELS):
        if any(isinstance(value, int) and abs(value) >= _TOO_LARGE for value in level):
            raise _too_long()
        level = [
            inner for value in level if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    if level:
        raise _too_deep()


def _too_deep() -> NotToml:
    return NotToml("brackets are nested too deep; take some out")


def _too_long() -> NotToml:
    return NotToml(f"a whole number has more than {MOST_DIGITS:,} digits; correct it")
