"""Runs the `winnow` command as a user would, and compares its document with the oracle."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.oracle import Expected

LIMIT_SECONDS = 900


def winnow(*arguments, expect=0, first=""):
    """Run to the end, `first` before anything else, such as a shorter wait; returns (document or None, stderr)."""
    command = ["-c", f"{first}\nfrom console.cli import main\nmain()"] if first else ["-m", "console.cli"]
    ended = subprocess.run(
        [sys.executable, *command, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
    )
    assert ended.returncode == expect, f"exit {ended.returncode}, expected {expect}\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}"
    return (json.loads(ended.stdout) if "--json" in arguments and ended.stdout else None), ended.stderr


def evaluate(agreement, folders, *more, expect=0, first=""):
    """`winnow evaluate … --json`."""
    parties = [part for name, folder in folders.items() for part in ("--party", f"{name}={folder}")]
    return winnow("evaluate", agreement, *parties, "--json", *more, expect=expect, first=first)


def start(agreement, folders, work):
    """Start `winnow evaluate` and return the process; the caller waits."""
    parties = [part for name, folder in folders.items() for part in ("--party", f"{name}={folder}")]
    return subprocess.Popen(
        [sys.executable, "-m", "console.cli", "evaluate", str(agreement), *parties, "--json", "--work", str(work)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def children(pid):
    """Living (not zombie) children of a process: pid → command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def alive(pid):
    """Whether a process runs and is no zombie."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def compare(document, expected: Expected):
    """Every cell comes out exactly when it must, every sum is exact, every interval within 1e-6; returns counts."""
    found = {}
    for release in document["releases"]:
        key = (release["kpi"], release["window"]["start"], release["window"]["end"], release["revision"],
               tuple(sorted(release["cell"].items())))
        found.setdefault(key, {})[release["output"]] = release
    refused = {
        (r["kpi"], r["window"]["start"], r["window"]["end"], r["revision"], tuple(sorted(r["cell"].items()))): r
        for r in document["refusals"]
    }
    sums = cells = 0
    for cell in expected.cells:
        key = (cell.kpi, cell.start.isoformat(), cell.end.isoformat(), cell.revision,
               tuple(sorted(cell.cell.items())))
        if not cell.released:
            assert key not in found, f"{key} came out, but must not"
            assert refused[key]["rule"] == expected.rule
            assert refused[key]["found"] is None
            assert refused[key]["nodes"] == [0, 1, 2]
            continue
        assert key not in refused, f"{key} was refused"
        value = found[key]["value"]
        for name in ("value", "low", "high"):
            assert math.isclose(value[name], getattr(cell, name), rel_tol=1e-6), (key, name, value[name], cell)
        cells += 1
        for name, number in cell.sums.items():
            release = found[key].get(f"sums.{name}")
            if release is not None:
                assert release["value"] == number, (key, name)
                sums += 1
    assert len(found) == cells
    return cells, sums
