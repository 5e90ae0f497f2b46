"""What pydantic finds wrong, in lines that somebody reads who wrote a file and no code."""

from pydantic import ValidationError

MOST_SHOWN = 100
"""Signs of a key that are shown."""


def fault_lines(error: ValidationError) -> list[str]:
    """One line a fault, the field before it. Without the values that were found: some are secret."""
    found = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        said = fault["msg"].removeprefix("Value error, ")
        where = _plain(".".join(map(str, fault["loc"])))
        found.append(f"{where}: {said}" if where else said)
    return found


def _plain(name: str) -> str:
    """A key as it may be shown: somebody else may have written it."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in name)
    return shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}…"


def one_line(error: ValidationError) -> str:
    """The same, all of them, on one line."""
    return "; ".join(fault_lines(error))
