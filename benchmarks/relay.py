"""Counts what clients write to an embedded broker: they are told to connect to a relay in front of it."""

import asyncio
import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.local.broker import EmbeddedBroker

PIECE_BYTES = 1 << 16


class Relay:
    """A loopback port that passes everything on to `target`, once that is known."""

    def __init__(self) -> None:
        self.target = 0
        """Port of the broker."""
        self.passed = 0
        """Bytes from clients to the broker."""
        self._pumps: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self.target)
        for source, sink, counts in ((reader, broker_writer, True), (broker_reader, writer, False)):
            pump = asyncio.create_task(self._pump(source, sink, counts))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, counts: bool) -> None:
        with contextlib.suppress(ConnectionError):
            try:
                while piece := await source.read(PIECE_BYTES):
                    self.passed += len(piece) if counts else 0
                    sink.write(piece)
                    await sink.drain()
            finally:
                sink.close()


class CountedBroker(EmbeddedBroker):
    """An embedded broker that sends its clients to a relay."""

    def __init__(self, folder: Path, relay: Relay) -> None:
        super().__init__(folder)
        self._relay = relay

    def command(self) -> list[str]:
        """As the broker's own, with the relay's address to tell clients."""
        command = super().command()
        told = command.index("--advertised-listener-url") + 1
        return [*command[:told], f"tcp://127.0.0.1:{self._relay.port}", *command[told + 1 :]]
