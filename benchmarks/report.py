"""The form of every benchmark's result."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

SHOWN = ("numpy", "mpyc", "aiokafka", "web3", "cryptography")


def case(name: str, contender: str, rows: int, seconds: Sequence[float], digits: int = 3) -> dict[str, Any]:
    """One row: `seconds` of every repetition, shown to so many digits."""
    return {
        "case": name, "contender": contender, "rows": rows, "seconds": round(median(seconds), digits),
        "runs": len(seconds), "fastest": round(min(seconds), digits), "slowest": round(max(seconds), digits),
    }


def report(name: str, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The whole, with the machine it ran on."""
    cpu = next((
        line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ), platform.machine())
    return {
        "benchmark": name,
        "machine": {
            "cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(),
            "versions": {package: version(package) for package in SHOWN},
        },
        "results": list(results),
    }
