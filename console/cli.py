"""The `winnow` command: its entry point, which imports the rest only once it can be interrupted in order."""

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
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
