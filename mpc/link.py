"""One TLS 1.3 connection between two nodes, and how its ends know each other.

Only certificates whose SHA-256 is agreed count. OpenSSL wants the certificate itself to verify against, and the
agreement holds its digest: so a node first fetches a peer's certificate from the peer's listener (`probe`), keeps
it if the digest is the agreed one, and trusts exactly that certificate from then on.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

from mpc.errors import MpcError, PeerLost, PeerTimeout, ProtocolError
from mpc.frames import Abort, Frame, FrameReader, Hello, data_header, encode
from mpc.identity import Identity, fingerprint_of

WRITE_PIECE_BYTES = 2**18
"""Encrypted and handed to the socket at a time: the peer reads while we encrypt the next."""
MAX_QUEUED_BYTES = 8 * 2**20
"""Waiting to be written on one link before `drained` waits."""
_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 25_000}
"""A machine that vanished is found out within 25 s, also when nothing is under way."""
SERVER_NAME = "node.winnow.invalid"
"""Sent in the handshake; nobody looks at it, certificates are pinned."""


def listener_context(identity: Identity) -> ssl.SSLContext:
    """TLS 1.3 only; asks for a certificate and refuses all until peers' certificates are added."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(identity.certificate_file, identity.key_file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    return context


def dialler_context(identity: Identity, peer_certificate: bytes) -> ssl.SSLContext:
    """TLS 1.3 only; trusts one certificate (DER)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.load_cert_chain(identity.certificate_file, identity.key_file)
    context.load_verify_locations(cadata=peer_certificate)
    return context


async def probe(host: str, port: int, fingerprint: str, timeout_seconds: float) -> bytes:
    """The certificate (DER) of the listener at host:port, if it is the pinned one. Sends nothing.

    Raises: ProtocolError for another certificate; OSError or TimeoutError when nobody answers.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with asyncio.timeout(timeout_seconds):
        transport, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, host, port, ssl=context, server_hostname=SERVER_NAME,
        )
    try:
        der = peer_certificate(transport)
    finally:
        transport.abort()
    if fingerprint_of(der) != fingerprint:
        raise ProtocolError(
            f"{host}:{port} shows certificate {fingerprint_of(der)}; the agreement says {fingerprint}",
        )
    return der


def peer_certificate(transport: asyncio.BaseTransport) -> bytes:
    """The other end's certificate (DER). Raises: ProtocolError when it showed none."""
    connection = cast("ssl.SSLObject", transport.get_extra_info("ssl_object"))
    der = connection.getpeercert(binary_form=True)
    if der is None:
        raise ProtocolError("the other end of a link showed no certificate")
    return der


class Link(asyncio.BufferedProtocol):
    """A connection whose other end proves to be a peer, or is dropped.

    Args:
        identify: the peer's number from its certificate; raises ProtocolError for anyone else.
        on_up: called when the peer's hello is here: both ends accept each other.
        on_frame: called with every later frame, in order; a ProtocolError it raises ends the link.
        on_end: called once if `on_up` was, with what ended the link.
        landing: asked where the payload of a message belongs that begins to arrive, see `frames.Landing`.
    """

    def __init__(
        self,
        identify: Callable[[bytes], int],
        on_up: Callable[["Link"], None],
        on_frame: Callable[["Link", Frame], None],
        on_end: Callable[["Link", Exception], None],
        landing: Callable[["Link", bytes, int, int, int], memoryview | None],
    ) -> None:
        self.peer = -1
        self._identify, self._on_up, self._on_frame, self._on_end = identify, on_up, on_frame, on_end
        self._reader = FrameReader(partial(landing, self))
        self._transport: asyncio.Transport | None = None
        self._up = asyncio.Event()
        self._ended = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._error: Exception | None = None

    async def wait_up(self) -> None:
        """Raises: PeerLost or ProtocolError when the link ends before it is up."""
        await self._up.wait()
        if self._error is not None:
            raise self._error

    async def wait_end(self) -> None:
        await self._ended.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._error is not None:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=MAX_QUEUED_BYTES)
        _tune(self._transport.get_extra_info("socket"))
        try:
            self.peer = self._identify(peer_certificate(transport))
            self.write(encode(Hello()))
        except MpcError as error:
            self.end(error)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the frame knows
        return self._reader.room

    def buffer_updated(self, nbytes: int) -> None:
        if self._error is not None:
            return
        try:
            for frame in self._reader.filled(nbytes):
                self._take(frame)
                if self._over:
                    return
        except ProtocolError as error:
            self.end(error)

    @property
    def _over(self) -> bool:
        return self._error is not None

    def _take(self, frame: Frame) -> None:
        if self._up.is_set():
            self._on_frame(self, frame)
        elif isinstance(frame, Hello):
            self._up.set()
            self._on_up(self)
        else:
            raise ProtocolError("a link began without a hello")

    def connection_lost(self, error: Exception | None) -> None:
        where = "in the middle of a message" if self._reader.inside_frame else "between messages"
        self.end(PeerLost(f"closed {where}" + (f" ({type(error).__name__})" if error else "")))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def write(self, frame: bytes | memoryview) -> None:
        """Queues bytes. Raises: PeerLost when the link has ended."""
        if self._transport is None or self._error is not None:
            raise PeerLost("the link has ended")
        self._transport.write(frame)

    def write_data(self, tag: bytes, channel: int, label: int, payload: bytes | memoryview) -> None:
        """Queues a message. Raises: PeerLost when the link has ended."""
        view = memoryview(payload).cast("B")
        header = data_header(tag, channel, label, len(view))
        first = WRITE_PIECE_BYTES - len(header)
        self.write(b"".join((header, view[:first])))
        for start in range(first, len(view), WRITE_PIECE_BYTES):
            self.write(view[start : start + WRITE_PIECE_BYTES])

    def free(self, tag: bytes) -> None:
        """An attempt is over: nothing lands any more where somebody waited in it."""
        self._reader.free(tag)

    @property
    def writable(self) -> bool:
        """Whether `drained` would not wait."""
        return self._writable.is_set()

    async def drained(self) -> None:
        """Waits until less than MAX_QUEUED_BYTES wait to be written, or the link ended."""
        await self._writable.wait()

    async def close(self, timeout_seconds: float) -> None:
        """Writes what is queued, then closes; after the time-out at once."""
        if self._transport is not None:
            self._transport.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._ended.wait()
        self.end(PeerLost("closed by this node"))

    def end(self, error: Exception) -> None:
        """Closes the link at once; the first error counts."""
        if self._error is not None:
            return
        self._error = error
        self._reader.close()
        if self._transport is not None:
            self._transport.abort()
        if self._up.is_set():
            self._on_end(self, error)
        for event in (self._up, self._ended, self._writable):
            event.set()


class LinkCourier:
    """Carries one attempt's messages over the links of the moment."""

    def __init__(self, links: Mapping[int, Link], tag: bytes, stall_seconds: float) -> None:
        self._links = links
        self._tag = tag
        self._stall_seconds = stall_seconds

    def post(self, peer: int, channel: int, label: int, payload: bytes | memoryview) -> None:
        link = self._links.get(peer)
        if link is None:
            raise PeerLost(f"node {peer} is not linked")
        link.write_data(self._tag, channel, label, payload)

    async def drain(self) -> None:
        if all(link.writable for link in self._links.values()):
            return
        try:
            async with asyncio.timeout(self._stall_seconds):
                for link in list(self._links.values()):
                    await link.drained()
        except TimeoutError:
            raise PeerTimeout(f"a peer did not take what was sent to it within {self._stall_seconds:g} s") from None

    def abort(self, reason: int) -> None:
        for link in list(self._links.values()):
            with contextlib.suppress(PeerLost):
                link.write(encode(Abort(self._tag, reason)))


def _tune(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):  # not every system has all of them
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
