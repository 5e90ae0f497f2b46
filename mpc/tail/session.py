"""One tail computation at one node: an MPyC runtime on our wire, with time-outs and clean ends."""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn, TypeVar

from mpc.errors import IntegrityError, MpcError, PeerTimeout, ProtocolError
from mpc.tail.cage import CURRENT, CagedRuntime
from mpc.wire import Wire

T = TypeVar("T")
TAIL_CHANNEL = 1
KEY_BYTES = 32
DIGEST_BYTES = 32
_LABELS = 2**63


def mpyc_label(counter: int) -> int:
    """MPyC's program counter (signed, 64 bits) as an odd label; even labels are the session's own."""
    low = counter & (_LABELS - 1)
    return (low << 1 | 1) - 2 * _LABELS if low >= _LABELS // 2 else low << 1 | 1


class Channel:
    """What MPyC calls `parties[j].protocol`."""

    def __init__(self, session: "Session", peer: int) -> None:
        self._session = session
        self._peer = peer

    def send(self, counter: int, payload: bytes) -> None:
        self._session.wire.send(self._peer, mpyc_label(counter), payload)

    def receive(self, counter: int) -> "asyncio.Future[bytes]":
        """A placeholder that only ever gets a good payload: MPyC cannot handle a failed or cancelled one."""
        arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._session.spawn(self._collect(mpyc_label(counter), arrived))
        return arrived

    async def _collect(self, label: int, arrived: "asyncio.Future[bytes]") -> None:
        try:
            payload = bytes(await self._session.wire.receive(self._peer, label))
            if len(payload) != self._session.payload_bytes:
                raise ProtocolError(
                    f"node {self._peer} sent {len(payload)} bytes to the tail where {self._session.payload_bytes}"
                    " were expected"
                )
        except MpcError as error:
            self._session.stop(error)
        else:
            arrived.set_result(payload)


class Session:
    """State of one tail computation. Steps are awaited one after another: every node takes them in the same order.

    Node i holds component i (with node i − 1) and component i + 1 (with node i + 1) of what is shared in threes.
    """

    def __init__(self, wire: Wire, channel: int = TAIL_CHANNEL) -> None:
        """`channel`: each session of an attempt has its own, and with it keys of its own."""
        self.wire = wire.channel(channel)
        self.number = wire.number
        self.up, self.down = (wire.number + 1) % 3, (wire.number - 1) % 3
        self.payload_bytes = 0
        """Size of the messages that the MPyC step under way may receive."""
        self.runtime = CagedRuntime(wire.number, {j: Channel(self, j) for j in (self.up, self.down)})
        self._keys = tuple(
            self.wire.pair_key(peer, b"tail component %d" % component)
            for component, peer in ((self.number, self.down), (self.up, self.up))
        )
        self._drawn = self._label = 0
        self._transcript = hashlib.sha256(b"winnow tail transcript v1" + wire.attempt)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    @property
    def transcript(self) -> bytes:
        """32 bytes: the attempt, the size of every step so far, and every opened value."""
        return self._transcript.digest()

    def record(self, content: bytes) -> None:
        """Enter what is the same at all nodes into the transcript: the step's name and size, an opened value."""
        self._transcript.update(len(content).to_bytes(8, "little") + content)

    def step_of_mpyc(self, payload_bytes: int) -> None:
        """Begin a step that MPyC does: every message of it has so many bytes."""
        self.payload_bytes = payload_bytes
        self.record(b"mpyc %d" % payload_bytes)

    async def verify(self) -> None:
        """Stands before every opening, masked or for the recipient: compares transcripts. One round, 32 bytes to each.

        Finds nodes that do different things, not a wrong product; a verified mode would check products here.

        Raises:
            IntegrityError: a peer's transcript is another.
        """
        mine = self.transcript
        peers = (self.up, self.down)
        received = await self.exchange(dict.fromkeys(peers, mine), dict.fromkeys(peers, DIGEST_BYTES))
        for peer in peers:
            if not hmac.compare_digest(received[peer], mine):
                raise IntegrityError(f"node {peer} has done something else in the tail than node {self.number}")

    def stop(self, error: BaseException) -> None:
        """End the session with this error; the first one counts."""
        if not self._stopped.done():
            self._stopped.set_result(error)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def key(self, held: int, purpose: bytes) -> bytes:
        """32 bytes that the two holders of this node's component `held` (0: number, 1: number + 1) derive."""
        return hashlib.blake2b(purpose, key=self._keys[held], digest_size=KEY_BYTES).digest()

    def streams(self, size: int) -> tuple[bytes, bytes]:
        """`size` pseudorandom bytes for each held component, equal at its two holders, never the same twice.

        Nodes that have drifted apart draw unrelated ones: no third node can take one mask off two messages.
        """
        self._drawn += 1
        place = self._drawn.to_bytes(8, "little") + self.transcript
        return (
            hashlib.shake_128(self._keys[0] + place).digest(size),
            hashlib.shake_128(self._keys[1] + place).digest(size),
        )

    async def exchange(self, outgoing: dict[int, bytes], incoming: dict[int, int]) -> dict[int, bytes]:
        """Send to some peers and receive from some, in one round.

        Args:
            outgoing: peer → payload.
            incoming: peer → exact number of bytes, the same for all and at every node.

        Raises:
            PeerLost, PeerTimeout, ProtocolError: as the wire says, or on another length.
        """
        self._label += 2
        self.record(b"exchange %d" % max(incoming.values()))
        for peer, payload in outgoing.items():
            self.wire.send(peer, self._label, payload)
        await self.wire.drain()
        received = {}
        for peer, size in incoming.items():
            received[peer] = bytes(await self.wire.receive(peer, self._label))
            if len(received[peer]) != size:
                raise ProtocolError(
                    f"node {peer} sent {len(received[peer])} bytes to the tail where {size} were expected"
                )
        return received

    async def run(self, program: Callable[["Session"], Awaitable[T]], timeout_seconds: float) -> T:
        """The program's result.

        Raises:
            MpcError: whatever ended the session here or at a peer; the attempt has been ended for all.
            PeerTimeout: not done within `timeout_seconds`.
        """
        work = asyncio.get_running_loop().create_task(self._work(program))
        try:
            either: set[asyncio.Future[Any]] = {work, self._stopped}
            await asyncio.wait(either, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
            if self._stopped.done():
                self._abort(self._stopped.result())
            if not work.done():
                self._abort(PeerTimeout(f"the tail was not done within {timeout_seconds:g} s"))
            if error := work.exception():
                self._abort(error)
            return work.result()
        finally:
            self.stop(asyncio.CancelledError())
            everything = {work, *self._tasks}
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)

    async def _work(self, program: Callable[["Session"], Awaitable[T]]) -> T:
        CURRENT.set(self)
        return await program(self)

    def _abort(self, error: BaseException) -> NoReturn:
        if isinstance(error, Exception):
            self.wire.fail(error)
        raise error
