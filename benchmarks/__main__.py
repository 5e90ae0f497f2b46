"""Run a benchmark by name: `python -m benchmarks request --json`."""

import argparse
import json
import sys

from benchmarks.report import report
from benchmarks.request import measure_requests

BENCHMARKS = {"request": measure_requests}


def main() -> int:
    """Run one benchmark and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--rows", type=int, default=4350, help="patients")
    parser.add_argument("--runs", type=int, default=20, help="repetitions after a warm-up")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    found = report(chosen.name, BENCHMARKS[chosen.name](chosen.rows, chosen.runs))
    if chosen.json:
        print(json.dumps(found, indent=1))
    else:
        for row in found["results"]:
            spread = f"{row['fastest']:.2f} to {row['slowest']:.2f}"
            print(f"{row['case']}: median {row['seconds']:.2f} s of {row['runs']} ({spread})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
