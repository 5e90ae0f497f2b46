"""`winnow party`, `winnow node`, `winnow console`, `winnow alert run`: one organisation's process, until it ends."""

import sys
from collections.abc import Callable
from pathlib import Path

from evaluation.errors import ConfigError, EvaluationError
from evaluation.process import exit_code


def run_role(main: Callable[[Path], int], config: Path) -> int:
    """Run a process in this one; what is wrong with its configuration becomes a sentence.

    Args:
        main: of the process's module: takes the configuration, returns the exit code.
        config: the process's configuration, a TOML file.

    Returns:
        The exit code.
    """
    try:
        return main(config)
    except EvaluationError as error:
        sys.stderr.write(f"winnow: {error}\n")
        return exit_code(error)
    except OSError as error:
        sys.stderr.write(f"winnow: {error.filename}: {error.strerror}. Check the paths in {config}.\n")
        return exit_code(ConfigError())
