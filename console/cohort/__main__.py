"""`python -m console.cohort DIRECTORY`: write a cohort's files, without evaluating anything."""

import argparse
from datetime import date
from pathlib import Path

from console.cohort import Shape, generate


def main() -> None:
    """Parse the command line and write the files."""
    usual = Shape()
    parser = argparse.ArgumentParser(prog="python -m console.cohort", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--patients", type=int, default=usual.patients)
    parser.add_argument("--weeks", type=int, default=usual.weeks)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--start", type=date.fromisoformat, default=usual.start, metavar="DATE")
    parser.add_argument("--zone", default=usual.zone)
    parser.add_argument("--enrolled", type=float, default=usual.enrolled, help="fraction who start using the app")
    parser.add_argument("--uptake-weeks", type=float, default=usual.uptake_weeks, help="mean time to activation")
    parser.add_argument("--dirt", type=int, default=0, help="bad lines of each kind among the good ones")
    parser.add_argument("--events", action="store_true", help="contacts, questionnaires and home monitoring too")
    given = vars(parser.parse_args())
    directory, dirt, events = (given.pop(name) for name in ("directory", "dirt", "events"))
    try:
        made = generate(directory, shape=Shape(**given), dirt=dirt, events=events)
    except ValueError as error:
        parser.error(str(error))
    parser.exit(message=f"{made.patients} patients, {made.users} users, {made.claims} claim lines in {directory}\n")


if __name__ == "__main__":
    main()
