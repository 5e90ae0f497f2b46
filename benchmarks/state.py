"""Where a shard's state is best kept on disk: a whole state replaced durably, and read back by a new process's handle.

Contenders: `winnow` (streams.states: one file, replaced), `sqlite3` (WAL, synchronous FULL), `lmdb` and `rocksdict`
(RocksDB with fsync), each of which stores the state as one value. The last two are measured where they are installed;
the product needs neither. Every contender forces the state to the disk before a write counts as done.
"""

import importlib
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import case
from streams.states import StateFolder

SIZES = {"12 MB": 12_000_000, "100 MB": 100_000_000}
REPLACED = 5
"""Replacements in a run: what a store leaves behind shows in its size."""
MAP_BYTES = 4 << 30
KEY = b"shard-0"


class _Store(NamedTuple):
    write: Callable[[bytes], None]
    read: Callable[[], bytes | None]
    close: Callable[[], None]


def measure_states(size: int | None, runs: int) -> list[dict[str, Any]]:
    """All contenders that are there; `size`: bytes of a state, None: SIZES."""
    sizes = SIZES if size is None else {f"{size / 1e6:g} MB": size}
    contenders = {"winnow": _file, "sqlite3": _sqlite, "lmdb": _lmdb, "rocksdict": _rocks}
    for missing in [name for name in ("lmdb", "rocksdict") if find_spec(name) is None]:
        sys.stderr.write(f"{missing} is not installed: not measured\n")
        del contenders[missing]
    found = []
    for label, length in sizes.items():
        written: dict[str, list[float]] = {name: [] for name in contenders}
        read: dict[str, list[float]] = {name: [] for name in contenders}
        left: dict[str, int] = {}
        for run in range(runs + 1):
            for name, opened in contenders.items():
                folder = Path(tempfile.mkdtemp(prefix="winnow-state-"))
                try:
                    spent = _replace(folder, opened, length)
                    left[name] = sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))
                finally:
                    shutil.rmtree(folder)
                if run:
                    written[name].append(spent[0])
                    read[name].append(spent[1])
        for name in contenders:
            rest = {"bytes_on_disk": left[name]}
            found.append(case(f"replace {label}, {REPLACED} times", name, REPLACED, written[name], 4) | rest)
            found.append(case(f"read {label}", name, 1, read[name], 4))
    return found


def _replace(folder: Path, opened: Callable[[Path], _Store], length: int) -> tuple[float, float]:
    """Seconds of REPLACED writes, and of opening again and reading."""
    states = [os.urandom(1 << 16) * (length // (1 << 16)) for _ in range(REPLACED)]
    store = opened(folder)
    begun = time.perf_counter()
    for state in states:
        store.write(state)
    spent = time.perf_counter() - begun
    store.close()
    begun = time.perf_counter()
    store = opened(folder)
    last = store.read()
    reading = time.perf_counter() - begun
    store.close()
    if last != states[-1]:
        raise RuntimeError("what was read is not what was written last")
    return spent, reading


def _file(folder: Path) -> _Store:
    states = StateFolder(folder)
    return _Store(lambda state: states.write(0, state), lambda: states.read(0), lambda: None)


def _sqlite(folder: Path) -> _Store:
    base = sqlite3.connect(folder / "states.db", isolation_level=None)
    base.execute("pragma journal_mode = wal")
    base.execute("pragma synchronous = full")
    base.execute("create table if not exists state (name blob primary key, state blob)")

    def write(state: bytes) -> None:
        base.execute("insert or replace into state values (?, ?)", (KEY, state))

    def read() -> bytes | None:
        (found,) = base.execute("select state from state where name = ?", (KEY,)).fetchone()
        return bytes(found)

    return _Store(write, read, base.close)


def _lmdb(folder: Path) -> _Store:
    env: Any = importlib.import_module("lmdb").open(str(folder / "lmdb"), map_size=MAP_BYTES)

    def write(state: bytes) -> None:
        with env.begin(write=True) as change:
            change.put(KEY, state)

    def read() -> bytes | None:
        with env.begin() as look:
            found: bytes | None = look.get(KEY)
            return found

    return _Store(write, read, env.close)


def _rocks(folder: Path) -> _Store:
    rocksdict: Any = importlib.import_module("rocksdict")
    base = rocksdict.Rdict(str(folder / "rocks"), rocksdict.Options(raw_mode=True))
    options = rocksdict.WriteOptions()
    options.sync = True

    def write(state: bytes) -> None:
        base.put(KEY, state, write_opt=options)

    def read() -> bytes | None:
        found: bytes | None = base.get(KEY)
        return found

    return _Store(write, read, base.close)
