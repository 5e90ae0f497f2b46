"""A server as a child process on a free loopback port: start until it answers, observe, stop."""

import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.local.children import free_port, spawn_tied, stop
from infra.local.errors import LocalError

ATTEMPTS = 3
"""Somebody may take a free port before the server does."""
READY_SECONDS = 10.0
MAX_ANSWER_BYTES = 1 << 16


class EmbeddedServer(ABC):
    """Use as `with … as server`, or call `start` and `stop`; main thread only.

    Args:
        folder: the server's own folder, made when missing.
    """

    name: str
    """For logs and messages."""
    stop_grace_seconds = 3.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @abstractmethod
    def command(self) -> list[str]:
        """What to run, for the present port.

        Raises:
            LocalError: the program is not installed.
        """

    @abstractmethod
    def answers(self) -> bool:
        """Whether our own server answers on the port: an open port could be somebody else's."""

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> Self:
        """Start and wait until it answers.

        Raises:
            LocalError: not installed, or not ready in time.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self.folder / f"{self.name}.log"
        for _ in range(ATTEMPTS):
            self.port = free_port()
            self.process = spawn_tied(self.command(), log, self.folder)
            limit = time.monotonic() + READY_SECONDS
            while time.monotonic() < limit and self.alive:
                if self.answers():
                    return self
                time.sleep(0.01)
            stop(self.process, self.stop_grace_seconds)
        code = self.process.returncode if self.process else None
        raise LocalError(f"the embedded {self.name} was not ready after {ATTEMPTS} attempts (exit {code}); see {log}")

    def stop(self) -> None:
        """End the process; safe to call twice."""
        if self.process is not None:
            stop(self.process, self.stop_grace_seconds)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
