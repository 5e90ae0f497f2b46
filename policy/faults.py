"""What pydantic finds wrong, in lines that somebody reads who wrote a file and no code."""

from pydantic import ValidationError


def fault_lines(error: ValidationError) -> list[str]:
    """One line a fault, the field before it. Without the values that were found: some are secret."""
    found = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        said = fault["msg"].removeprefix("Value error, ")
        found.append(f"{'.'.join(map(str, fault['loc']))}: {said}" if fault["loc"] else said)
    return found


def one_line(error: ValidationError) -> str:
    """The same, all of them, on one line."""
    return "; ".join(fault_lines(error))
