"""Real receivers on loopback: an SMTP server, and HTTP servers that behave well or badly."""

import asyncio
import contextlib
import email
import email.policy
import json
from dataclasses import dataclass, field

from aiosmtpd.controller import Controller

from infra.local.children import free_port


@dataclass
class Mailbox:
    """An SMTP server's messages; while `open` is not set, it holds every sender before it has said anything."""

    mails: list = field(default_factory=list)
    open: bool = True
    waiting: int = 0
    taken: object = None
    """Called when a message is there, before the sender is told."""

    async def handle_MAIL(self, server, session, envelope, address, mail_options):
        self.waiting += 1
        while not self.open:  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.02)
        self.waiting -= 1
        envelope.mail_from = address
        envelope.mail_options.extend(mail_options)
        return "250 go on"

    async def handle_DATA(self, server, session, envelope):
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        if self.taken is not None:
            self.taken()
        return "250 taken"

    @contextlib.contextmanager
    def serve(self):
        """Yield host:port."""
        controller = Controller(self, hostname="127.0.0.1", port=free_port())
        controller.start()
        try:
            yield f"127.0.0.1:{controller.port}"
        finally:
            controller.stop()


@dataclass
class Hook:
    """An HTTP server; `behave` says what it does with the next requests: ok, hang, drip, flood, 500, 302, none."""

    calls: list = field(default_factory=list)
    behave: str = "ok"
    heard: int = 0
    """Requests that came in whole, answered or not."""
    _tasks: set = field(default_factory=set)
    _writers: set = field(default_factory=set)

    def _accept(self, reader, writer):
        self._writers.add(writer)
        self._tasks.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.heard += 1
            await self._answer(writer, head[0], headers, body)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, writer, first, headers, body):
        match self.behave:
            case "hang":
                await asyncio.sleep(3600)
            case "drip":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while True:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.5)
            case "flood":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    writer.write(bytes(1 << 20))
                    await writer.drain()
            case "ok":
                self.calls.append((first, headers, json.loads(body)))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            case status:
                location = b"Location: /elsewhere\r\n" if status == "302" else b""
                writer.write(f"HTTP/1.1 {status} no\r\n".encode() + location + b"Content-Length: 0\r\n\r\n")
        await writer.drain()

    @contextlib.asynccontextmanager
    async def serve(self):
        """Yield host:port."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            # A connection that asyncio accepted and has made no transport for when a server closes stays open for good.
            for listening in server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            await asyncio.sleep(0.05)
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._writers:  # of one that was cancelled before it began
                writer.transport.abort()
            await asyncio.sleep(0)
