"""Kinds of options that commands share."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token, convert


def _in_digits(kind: type, tokens: Sequence[Token]) -> Any:
    """What was typed, as a number. Cyclopts itself would round: 4.350, a thousands mark in Dutch, to 4.

    Raises:
        ValueError: it is no whole number.
    """
    typed = tokens[0].value
    try:
        int(typed)
    except ValueError:
        raise ValueError(f"found {typed}, expected a whole number, in digits alone.") from None
    return convert(kind, tokens)


Whole = Annotated[int, Parameter(converter=_in_digits)]
"""A whole number."""
Kafka = Annotated[Literal[0, 1, 3], Parameter(converter=_in_digits)]
"""Brokers of Apache Kafka; 0: the embedded one."""
