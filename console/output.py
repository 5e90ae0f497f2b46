"""Standard output and error as they may be: closed, full, or a terminal that knows few characters."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from console.errors import ConsoleError


def prepare_output() -> None:
    """Make both usable: a closed one goes nowhere, a character that it does not know becomes "?"."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open until our end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """Everything written to standard output in the block has arrived at its end, or nobody reads it.

    Raises:
        ConsoleError: it cannot be written.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads has seen enough, as `head` does; the interpreter would complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ConsoleError(f"cannot write to standard output: {error.strerror}.") from error
