"""The `winnow` command: its entry point, which imports the rest only once it can be interrupted in order."""

import io
import sys

from console.signals import end_on_signals

EXIT_INTERRUPTED = 130  # evaluation.errors has it too, and takes a second to import


def main() -> None:
    """Entry point; the exit code is the command's."""
    try:
        end_on_signals()
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal without a euro sign is no reason to lose a result
        from console.commands import app

        sys.exit(app())
    except KeyboardInterrupt:
        sys.stderr.write("winnow: interrupted; everything was stopped.\n")
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
