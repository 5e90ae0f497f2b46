"""Links between the three nodes over TLS 1.3, and attempts multiplexed over them.

The higher number dials, the lower accepts. Who a link's other end is follows from its certificate, never from what
it says. Links come back by themselves; an attempt does not survive the loss of a link.
"""

import asyncio
import contextlib
import hashlib
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from mpc.errors import MpcError, PeerLost, PeerTimeout, ProtocolError
from mpc.frames import TAG_BYTES, Abort, Close, Confirm, Data, Frame, Hello, Open, Withdraw, encode
from mpc.identity import Identity, fingerprint_of
from mpc.keys import NODES
from mpc.link import SERVER_NAME, Link, LinkCourier, dialler_context, listener_context, probe
from mpc.rendezvous import Offers, Opening
from mpc.wire import Attempt, Wire

HANDSHAKE_SECONDS = 10.0
"""From a connection's start to its hello."""
MAX_HANDSHAKES = 8
"""Connections not yet authenticated at a time; further ones wait in the system's queue."""
BACKLOG = 16
"""Length of that queue."""
MAX_ATTEMPTS = 64
"""Open at a time."""
MAX_CHANGES = 256
"""How often a peer may come with another contribution while this node waits for one attempt; each costs 0.2 ms."""
RETRY_SECONDS = (0.05, 2.0)
"""First and longest pause between two tries to reach a peer; it doubles in between."""
FLUSH_SECONDS = 5.0
"""For what is still to be written when the links close."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NodeAddress:
    """A node as the agreement names it: "host:port" and the SHA-256 of its certificate (hex)."""

    endpoint: str
    fingerprint: str

    @property
    def host_port(self) -> tuple[str, int]:
        """Raises: ValueError when the endpoint is not host:port."""
        host, separator, port = self.endpoint.rpartition(":")
        if not separator or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError(f"a node's endpoint is {self.endpoint!r}; expected host:port")
        return host.strip("[]"), int(port)


@dataclass
class _Meeting:
    """An attempt at this node, from its opening to its end."""

    opening: Opening
    stall_seconds: float
    started: asyncio.Future[Attempt]
    candidate: Attempt | None = None
    changes: Counter[int] = field(default_factory=Counter)
    """By peer: contributions that came."""

    @property
    def running(self) -> bool:
        return self.started.done()


class NodeLinks:
    """This node's links to both peers. Use as `async with NodeLinks(…) as links`.

    Args:
        number: this node, 0..2.
        nodes: the three nodes of the agreement, this one included.
        identity: this node's certificate and key.
        bind_host: address of the listener; its port is that of this node's endpoint.
        handshake_seconds: from a connection's start to its hello.
        on_news: called when a link comes or goes, or a peer opens an attempt.

    Raises: ValueError when `identity` is not the one the agreement names, or two nodes share one.
    """

    def __init__(
        self, number: int, nodes: Sequence[NodeAddress], identity: Identity, bind_host: str = "127.0.0.1",
        handshake_seconds: float = HANDSHAKE_SECONDS, on_news: Callable[[], None] = lambda: None,
    ) -> None:
        if len(nodes) != NODES or len({node.fingerprint for node in nodes}) != NODES:
            raise ValueError("an agreement names three nodes with three certificates")
        mine, agreed = identity.fingerprint, nodes[number].fingerprint
        if mine != agreed:
            raise ValueError(f"this node's certificate is {mine}; the agreement says {agreed} for node {number}")
        self.number = number
        self._nodes = tuple(nodes)
        self._peers = [peer for peer in range(NODES) if peer != number]
        self._identity = identity
        self._bind_host = bind_host
        self._handshake_seconds = handshake_seconds
        self._on_news = on_news
        self._context = listener_context(identity)
        self._links: dict[int, Link] = {}
        self._offers = Offers(self._peers)
        self._meetings: dict[bytes, _Meeting] = {}
        self._attempts: dict[bytes, Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._handshakes = asyncio.Semaphore(MAX_HANDSHAKES)
        self._listener: socket.socket | None = None

    @property
    def linked(self) -> frozenset[int]:
        """Peers with a link that stands."""
        return frozenset(self._links)

    def invited(self, run_id: bytes) -> bool:
        """Whether a peer waits for this node in an attempt at a run."""
        run = hashlib.sha256(b"winnow run\0" + run_id).digest()
        return any(self._offers.get(peer, run) is not None for peer in self._peers)

    async def __aenter__(self) -> Self:
        port = self._nodes[self.number].host_port[1]
        family = socket.AF_INET6 if ":" in self._bind_host else socket.AF_INET
        self._listener = socket.create_server((self._bind_host, port), family=family, backlog=BACKLOG)
        self._listener.setblocking(False)
        self._spawn(self._accept(self._listener))
        for peer in self._peers:
            self._spawn(self._keep(peer))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
    ) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()
        for meeting in self._meetings.values():
            if meeting.candidate is not None:
                meeting.candidate.fail(PeerLost("this node closes its links"))
        await asyncio.gather(*(link.close(FLUSH_SECONDS) for link in list(self._links.values())))

    @asynccontextmanager
    async def attempt(self, run_id: bytes, timeout_seconds: float) -> AsyncIterator[Wire]:
        """One attempt at a run, together with both peers, which call this with the same `run_id`.

        An error inside the block ends the attempt at all nodes. Call again for another attempt.

        Args:
            run_id: what the nodes compute; equal at all three.
            timeout_seconds: for all three to come together, and again for every wait on a peer.

        Raises: PeerTimeout when a peer does not join, PeerLost, ProtocolError.
        """
        run = hashlib.sha256(b"winnow run\0" + run_id).digest()
        if run in self._meetings:
            raise ProtocolError("this node has an attempt at this run already; await its end")
        if len(self._meetings) >= MAX_ATTEMPTS:
            raise ProtocolError(f"{MAX_ATTEMPTS} attempts are open at this node; await the end of one")
        opening = Opening(self.number, run_id, run)
        meeting = _Meeting(opening, timeout_seconds, asyncio.get_running_loop().create_future())
        self._meetings[run] = meeting
        try:
            self._tell(Open(run, opening.secret.contribution))
            self._consider(meeting)
            attempt = await self._start(meeting)
            yield attempt.wire
            if attempt.error is None:
                await attempt.wire.drain()
                self._tell(Close(attempt.name[:TAG_BYTES]))
        except BaseException as error:
            if meeting.candidate is not None:
                meeting.candidate.fail(error if isinstance(error, Exception) else PeerLost("this node stops"))
            if not meeting.running:
                self._tell(Withdraw(run, opening.secret.contribution.nonce))
            raise
        finally:
            del self._meetings[run]
            self._drop(meeting)

    async def _start(self, meeting: _Meeting) -> Attempt:
        try:
            async with asyncio.timeout(meeting.stall_seconds):
                return await asyncio.shield(meeting.started)
        except TimeoutError:
            absent = ", ".join(
                f"node {peer} ({'linked' if peer in self._links else 'not reachable'})"
                for peer in meeting.opening.absent
            )
            raise PeerTimeout(f"no attempt within {meeting.stall_seconds:g} s: waited for {absent}") from None

    def _consider(self, meeting: _Meeting) -> None:
        """Follows the peers' contributions and confirmations until the attempt starts."""
        opening = meeting.opening
        if meeting.running:
            return
        if opening.consider(self._offers) and opening.name is not None:
            try:
                self._propose(meeting, opening.name)
            except ProtocolError as error:
                meeting.started.set_exception(error)
                return
        if opening.agreed and meeting.candidate is not None:
            opening.consume(self._offers)
            meeting.started.set_result(meeting.candidate)

    def _propose(self, meeting: _Meeting, name: bytes) -> None:
        """Makes the attempt ready for a peer that starts before this node, and confirms its name.

        When a link came back and nobody changed its contribution the name is the same, and so is the attempt.
        """
        if meeting.candidate is None or meeting.candidate.name != name:
            self._drop(meeting)
            tag = name[:TAG_BYTES]
            courier = LinkCourier(self._links, tag, meeting.stall_seconds)
            meeting.candidate = Attempt(self.number, name, meeting.opening.secrets(), courier, meeting.stall_seconds)
            self._attempts[tag] = meeting.candidate
        self._tell(Confirm(meeting.opening.run, name))

    def _drop(self, meeting: _Meeting) -> None:
        if meeting.candidate is not None:
            tag = meeting.candidate.name[:TAG_BYTES]
            self._attempts.pop(tag, None)
            for link in self._links.values():
                link.free(tag)
            meeting.candidate.close()
            meeting.candidate = None

    def _tell(self, frame: Open | Confirm | Withdraw | Close) -> None:
        """To both peers, as far as linked; a link that comes later gets what still holds."""
        for link in list(self._links.values()):
            with contextlib.suppress(PeerLost):
                link.write(encode(frame))

    def _landing(self, link: Link, tag: bytes, channel: int, label: int, size: int) -> memoryview | None:
        """Where a payload belongs; only what comes over the link in force may land there."""
        attempt = self._attempts.get(tag) if self._links.get(link.peer) is link else None
        return None if attempt is None else attempt.landing(link.peer, channel, label, size)

    def _on_frame(self, link: Link, frame: Frame) -> None:
        peer = link.peer
        match frame:
            case Data(tag, channel, label, payload):
                if (attempt := self._attempts.get(tag)) is not None:
                    attempt.deliver(peer, channel, label, payload)
            case Open(run, contribution):
                self._count_change(peer, run)
                self._offers.put(peer, run, contribution)
                self._consider_run(run)
                self._on_news()
            case Confirm(run, name):
                if (meeting := self._meetings.get(run)) is not None and not meeting.running:
                    meeting.opening.confirm(peer, name)
                    self._consider(meeting)
            case Withdraw(run, nonce):
                self._offers.withdraw(peer, run, nonce)
                self._consider_run(run)
            case Close(tag):
                if (attempt := self._attempts.get(tag)) is not None:
                    attempt.ended(peer)
            case Abort(tag, reason):
                self._on_abort(peer, tag, reason)
            case Hello():
                raise ProtocolError(f"node {peer} sent a second hello")

    def _count_change(self, peer: int, run: bytes) -> None:
        if (meeting := self._meetings.get(run)) is not None and not meeting.running:
            meeting.changes[peer] += 1
            if meeting.changes[peer] > MAX_CHANGES:
                raise ProtocolError(f"node {peer} came with more than {MAX_CHANGES} contributions to one attempt")

    def _on_abort(self, peer: int, tag: bytes, reason: int) -> None:
        attempt = self._attempts.get(tag)
        if attempt is None:
            return
        attempt.aborted(peer, reason)
        for meeting in self._meetings.values():
            if meeting.candidate is attempt and not meeting.running:
                meeting.opening.spend(peer, self._offers)
                self._consider(meeting)

    def _consider_run(self, run: bytes) -> None:
        if (meeting := self._meetings.get(run)) is not None:
            self._consider(meeting)

    def _on_up(self, link: Link) -> None:
        old = self._links.pop(link.peer, None)
        if old is not None:
            self._lost(link.peer, PeerLost("replaced by a newer link"))
            old.end(PeerLost("replaced by a newer link"))
        self._links[link.peer] = link
        _log.info("link to node %d is up", link.peer)
        for meeting in self._meetings.values():
            if not meeting.running:
                link.write(encode(Open(meeting.opening.run, meeting.opening.secret.contribution)))
        self._on_news()

    def _on_end(self, link: Link, error: Exception) -> None:
        if self._links.get(link.peer) is link:
            del self._links[link.peer]
            self._lost(link.peer, error)
            self._on_news()

    def _lost(self, peer: int, error: Exception) -> None:
        _log.info("link to node %d ended: %s", peer, error)
        self._offers.forget(peer)
        for meeting in list(self._meetings.values()):
            if not meeting.running:
                self._consider(meeting)
            elif meeting.candidate is not None and isinstance(error, ProtocolError):
                meeting.candidate.fail(ProtocolError(f"node {peer}: {error}"))
            elif meeting.candidate is not None:
                meeting.candidate.lose(peer, str(error))

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            await self._handshakes.acquire()
            try:
                connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            except OSError:
                self._handshakes.release()
                await asyncio.sleep(RETRY_SECONDS[0])
                continue
            self._spawn(self._welcome(connection))

    async def _welcome(self, connection: socket.socket) -> None:
        """Lets a peer with a higher number in; anyone else is dropped."""
        allowed = {self._nodes[peer].fingerprint: peer for peer in self._peers if peer > self.number}
        link = self._new_link(allowed)
        try:
            async with asyncio.timeout(self._handshake_seconds):
                await asyncio.get_running_loop().connect_accepted_socket(lambda: link, connection, ssl=self._context)
                await link.wait_up()
        except (OSError, TimeoutError, MpcError) as error:
            _log.debug("a connection was refused: %s", type(error).__name__)
            link.end(PeerLost("refused"))
            connection.close()
        finally:
            self._handshakes.release()

    async def _keep(self, peer: int) -> None:
        """Learns the peer's certificate; then, if it has the lower number, keeps a link to it."""
        certificate: bytes | None = None
        host, port = self._nodes[peer].host_port
        pinned = self._nodes[peer].fingerprint
        pause, longest = RETRY_SECONDS
        reported = ""
        while True:
            try:
                if certificate is None:
                    certificate = await probe(host, port, pinned, self._handshake_seconds)
                    self._context.load_verify_locations(cadata=certificate)
                    pause = RETRY_SECONDS[0]
                if peer > self.number:
                    return
                link = self._new_link({pinned: peer})
                try:
                    async with asyncio.timeout(self._handshake_seconds):
                        await asyncio.get_running_loop().create_connection(
                            lambda link=link: link, host, port,  # type: ignore[misc]
                            ssl=dialler_context(self._identity, certificate), server_hostname=SERVER_NAME,
                        )
                        await link.wait_up()
                except BaseException:
                    link.end(PeerLost("not accepted"))
                    raise
                pause, reported = RETRY_SECONDS[0], ""
                await link.wait_end()
            except (OSError, TimeoutError, MpcError) as error:
                if (found := f"{type(error).__name__}: {error}") != reported:
                    reported = found
                    _log.warning("no link to node %d yet: %s", peer, found)
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    def _new_link(self, allowed: Mapping[str, int]) -> Link:
        def identify(der: bytes) -> int:
            peer = allowed.get(fingerprint_of(der))
            if peer is None:
                raise ProtocolError(f"a connection shows certificate {fingerprint_of(der)}, which is not agreed here")
            return peer

        return Link(identify, self._on_up, self._on_frame, self._on_end, self._landing)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the links' housekeeping failed", exc_info=error)
