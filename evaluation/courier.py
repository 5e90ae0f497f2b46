"""Where messages go, and who carries them: a file of addresses, and a process for each delivery.

The file holds passwords, so others must not be able to read it, and no address is ever logged or shown. A target is
named by its line, and stored under a keyed hash of its address.
"""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from evaluation.delivery import Errand, Outcome
from evaluation.errors import ConfigError
from evaluation.rows import RowSeal

MAX_TARGETS = 16
MAX_FILE_BYTES = 64 << 10
MAX_URL_CHARACTERS = 2_000
MAX_OUTCOME_BYTES = 4_096
CHECK_SECONDS = 30.0
END_SECONDS = 1.0
"""A delivering process whose standard input has ended gets this long before it is killed."""


@dataclass(frozen=True)
class Target:
    """One address; `key` stands for it in what is stored."""

    line: int
    service: str
    """Scheme of the address: mailto, json …"""
    key: str
    url: str = field(repr=False)

    @property
    def name(self) -> str:
        """For people: "line 3 (mailto)"."""
        return f"line {self.line} ({self.service})"


def load_targets(path: Path, seal: RowSeal) -> tuple[Target, ...]:
    """Read a file of addresses, one a line; empty lines and lines that begin with # are skipped.

    Raises:
        ConfigError: missing, readable by others, too large, or a line is not an address; names file and line only.
    """
    try:
        mode, raw = path.stat().st_mode, path.read_bytes()
        if mode & 0o077:
            raise ConfigError(f"{path} holds passwords, and its mode is {mode & 0o777:o}, not 600. Run chmod 600.")
        if len(raw) > MAX_FILE_BYTES:
            raise ConfigError(f"{path} has {len(raw)} bytes, expected at most {MAX_FILE_BYTES}.")
        lines = raw.decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        kind = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"{path}: {kind}. Expected a file with one address a line, such as mailto://… .") from error
    found: dict[str, Target] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        service, _, rest = line.partition("://")
        if not rest or not service.isalnum() or not line.isprintable() or len(line) > MAX_URL_CHARACTERS:
            raise ConfigError(f"{path} line {number} is not an address. Expected SERVICE://…, such as mailto://… .")
        if line in found:
            raise ConfigError(f"{path} line {number} repeats line {found[line].line}.")
        found[line] = Target(number, service.lower(), seal.name(f"target {line}").hex(), line)
    if not 0 < len(found) <= MAX_TARGETS:
        raise ConfigError(f"{path} has {len(found)} addresses, expected 1 to {MAX_TARGETS}.")
    return tuple(found.values())


async def check_targets(path: Path, targets: Sequence[Target]) -> None:
    """Look whether the addresses can be understood; nothing is sent.

    Raises:
        ConfigError: names the line that cannot.
    """
    for target in targets:
        outcome = await carry(Errand(url=target.url), CHECK_SECONDS)
        if not outcome.done:
            raise ConfigError(f"{path} {target.name}: {outcome.reason}.")


async def carry(errand: Errand, seconds: float) -> Outcome:
    """Do an errand in a process of its own, which is gone when this returns or is cancelled.

    A delivery that is ended by the time limit may have reached the other end: the outcome is not known then.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "evaluation.delivery", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, limit=MAX_OUTCOME_BYTES,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(seconds):
            # Its end of the pipe stays open while it works: it ends itself when we are gone.
            process.stdin.write(errand.model_dump_json().encode() + b"\n")
            await process.stdin.drain()
            return Outcome.model_validate_json(await process.stdout.readline())
    except TimeoutError:
        return Outcome(done=False, reason=f"no answer within {seconds:g} s")
    except (ValidationError, ValueError, OSError):
        return Outcome(done=False, reason="the delivering process ended without an answer")
    finally:
        # It ends itself now. A signal to one that just ended takes its exit code away from asyncio, which says so.
        process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
