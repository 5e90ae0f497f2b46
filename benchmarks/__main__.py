"""Run a benchmark by name: `python -m benchmarks request --json`."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.engine import measure_engine
from benchmarks.gate import measure_gate
from benchmarks.history import ROWS, measure_history
from benchmarks.ingest import measure_ingest
from benchmarks.latency import measure_latency
from benchmarks.link import measure_link
from benchmarks.memory import measure_memory
from benchmarks.node import ROWS as NODE_ROWS
from benchmarks.node import measure_node
from benchmarks.privacy import RUNS as PRIVACY_RUNS
from benchmarks.privacy import measure_privacy
from benchmarks.report import report
from benchmarks.request import measure_requests
from benchmarks.share import measure_shares
from benchmarks.state import measure_states
from benchmarks.tail import CELLS, measure_tail
from benchmarks.window import WINDOWS, measure_window


class Benchmark(NamedTuple):
    """`measure` takes rows, runs and, for `window`, windows; the first two are these unless told otherwise."""

    measure: Callable[..., list[dict[str, Any]]]
    rows: int | None
    """None: several sizes."""
    runs: int


BENCHMARKS = {
    "engine": Benchmark(measure_engine, None, 7),
    "gate": Benchmark(measure_gate, 10_000, 20),
    "history": Benchmark(measure_history, ROWS, 9),
    "ingest": Benchmark(measure_ingest, 200_000, 3),
    "ingest-memory": Benchmark(measure_memory, 5_000_000, 1),
    "latency": Benchmark(measure_latency, 10_000, 10),
    "link": Benchmark(measure_link, None, 3),
    "node": Benchmark(measure_node, NODE_ROWS, 1),
    "privacy": Benchmark(measure_privacy, None, PRIVACY_RUNS),
    "request": Benchmark(measure_requests, 4350, 20),
    "share": Benchmark(measure_shares, None, 5),
    "state": Benchmark(measure_states, None, 5),
    "tail": Benchmark(measure_tail, CELLS, 9),
    "window": Benchmark(measure_window, None, 7),
}

EXTRAS = {
    "rows_per_second": "rows a second", "bytes_per_row": "bytes a row", "bytes_on_disk": "bytes on disk",
    "error": "times a patient's most", "expected_error": "of it expected",
    "resident_mib": "MiB resident", "peak_mib": "MiB at most so far", "state_mib": "MiB of state",
}


def main() -> int:
    """Run one benchmark and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--rows", type=int, help="patients, slots, releases, events, bytes; default: a benchmark's own")
    parser.add_argument("--runs", type=int, help="repetitions after a warm-up; default: the benchmark's own")
    parser.add_argument("--windows", type=int, default=WINDOWS, help="of `window`; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    benchmark = BENCHMARKS[chosen.name]
    more = (chosen.windows,) if chosen.name == "window" else ()
    found = report(chosen.name, benchmark.measure(chosen.rows or benchmark.rows, chosen.runs or benchmark.runs, *more))
    if chosen.json:
        print(json.dumps(found, indent=1))
    else:
        for row in found["results"]:
            spread = f"median {row['seconds']:.3g} s of {row['runs']} ({row['fastest']:.3g} to {row['slowest']:.3g})"
            extra = "".join(f", {row[key]} {words}" for key, words in EXTRAS.items() if key in row)
            extra += f"; {row['note']}" if "note" in row else ""
            print(f"{row['case']}, {row['contender']}: {spread}{extra}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
