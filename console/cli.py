"""The `winnow` command: its entry point, which imports the rest only once it can be interrupted in order."""

import os
import sys

from console.errors import ConsoleError
from console.output import prepare_output
from console.signals import end_on_signals
from evaluation.errors import EXIT_INTERRUPTED, EXIT_USAGE


def main() -> None:
    """Entry point; the exit code is the command's."""
    try:
        end_on_signals()
        prepare_output()
        from console.commands import app

        sys.exit(app())
    except ConsoleError as error:
        sys.stderr.write(f"winnow: {error}\n")
        sys.exit(EXIT_USAGE)
    except KeyboardInterrupt:
        sys.stderr.write("winnow: interrupted; everything was stopped.\n")
        sys.stderr.flush()
        # CPython ends itself by SIGINT at its exit if the interrupt came within an exec, as imports make them, although
        # it was caught (run_eval_code_obj); folders and children are gone by now.
        os._exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
