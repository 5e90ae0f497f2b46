"""One attempt's messages between the three nodes, whatever carries them.

`Wire` is what all of mpc stands on. `Attempt` is the one implementation: it sorts what arrives into
boxes by (peer, channel, label), wakes whoever waits, and keeps every bound that a peer could otherwise
pass. A `Courier` moves the bytes: TLS links (`mpc.transport`) or, in tests, a function call.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, NamedTuple, Protocol

from mpc import keys
from mpc.errors import IntegrityError, MpcError, PeerLost, PeerTimeout, ProtocolError

MAX_PAYLOAD_BYTES = 64 * 2**20
"""One message. Longer arrays go out in pieces, so that a link never waits long for one message."""
MAX_EARLY_BYTES = 256 * 2**20
"""Per peer and attempt: what may lie here before it is asked for. Honest nodes are a few messages apart."""
MAX_EARLY_MESSAGES = 4096
"""Per peer and attempt."""
MAX_MESSAGES = 2**20
"""Per peer, direction and attempt: bounds the memory of labels already used (about 70 bytes each)."""
MAX_CHANNEL = 2**16 - 1
LABEL_LIMIT = 2**63

ABORT_OTHER, ABORT_LOST, ABORT_TIMEOUT, ABORT_PROTOCOL, ABORT_INTEGRITY = range(5)
ABORT_REASONS = {
    ABORT_OTHER: "an error of its own",
    ABORT_LOST: "a lost peer",
    ABORT_TIMEOUT: "a silent peer",
    ABORT_PROTOCOL: "a breach of the protocol",
    ABORT_INTEGRITY: "a failed integrity check",
}

Payload = bytes | memoryview
"""What arrived: its receiver's own."""


class Wire(Protocol):
    """One attempt's authenticated channel from this node to both peers."""

    @property
    def number(self) -> int:
        """This node: 0, 1 or 2."""

    @property
    def attempt(self) -> bytes:
        """32 bytes naming the attempt: fresh randomness of all three nodes is in it."""

    @property
    def messages(self) -> int:
        """Most messages so far to or from one peer, on all channels of the attempt: 0..MAX_MESSAGES."""

    def pair_key(self, peer: int, purpose: bytes) -> bytes:
        """32 bytes known to this node and `peer` only, bound to the attempt, the channel and `purpose`."""

    def send(self, peer: int, label: int, payload: bytes | memoryview) -> None:
        """Queues a message (≤ MAX_PAYLOAD_BYTES); a label (signed, 64 bits) serves once per peer.

        `payload` may be read until the next `drain` returns, so do not change it before.
        Raises: PeerLost, ProtocolError, or whatever ended the attempt.
        """

    async def drain(self) -> None:
        """Waits until what was sent fits the bound of the send queues."""

    async def receive(self, peer: int, label: int, room: memoryview | None = None) -> Payload:
        """Waits for the message with this label, which is asked for once.

        Args: `room`: bytes where a payload of their number may land. Then `room` itself is what returns, else the
        payload lies elsewhere; until then nobody else may read or write these bytes, nor at all if this raises.

        Raises: PeerLost, PeerTimeout (stall time-out of the attempt), ProtocolError, IntegrityError.
        """

    def channel(self, number: int) -> "Wire":
        """The same attempt with a label space and pair keys of its own: 0 ring engine, 1 tail, 2 the run."""

    def fail(self, error: Exception) -> None:
        """Ends the attempt at all three nodes; later calls raise the error."""


class Courier(Protocol):
    """Carries an attempt's messages to the peers, in order per peer."""

    def post(self, peer: int, channel: int, label: int, payload: bytes | memoryview) -> None: ...

    async def drain(self) -> None: ...

    def abort(self, reason: int) -> None:
        """Tells both peers, as far as reachable, that the attempt ended here. Never raises."""


class _Wait(NamedTuple):
    future: asyncio.Future[Payload]
    until: float
    """On the loop's clock."""
    label: int
    room: memoryview | None


class Attempt:
    """State of one attempt at one node; `wire` is its channel 0.

    Args: `secrets` maps each peer to the X25519 secret of the pair; `stall_seconds` bounds every wait.
    The courier calls `landing`, `deliver`, `lose`, `aborted` and `ended`.
    """

    def __init__(
        self, number: int, name: bytes, secrets: Mapping[int, bytes], courier: Courier, stall_seconds: float,
    ) -> None:
        self.number = number
        self.name = name
        self.courier = courier
        self.stall_seconds = stall_seconds
        self.wire = AttemptWire(self, 0)
        self._secrets = dict(secrets)
        self._sent: dict[int, set[int]] = {peer: set() for peer in secrets}
        self._arrived: dict[int, set[int]] = {peer: set() for peer in secrets}
        self._early: dict[int, dict[int, Payload]] = {peer: {} for peer in secrets}
        self._early_bytes = dict.fromkeys(secrets, 0)
        self._waiting: dict[int, dict[int, _Wait]] = {peer: {} for peer in secrets}
        self._watch: asyncio.TimerHandle | None = None
        self._ended: set[int] = set()
        self._error: MpcError | None = None

    @property
    def error(self) -> MpcError | None:
        """What ended the attempt, if anything did."""
        return self._error

    @property
    def messages(self) -> int:
        """See Wire."""
        return max(len(used) for used in (*self._sent.values(), *self._arrived.values()))

    def pair_key(self, peer: int, channel: int, purpose: bytes) -> bytes:
        self._known(peer)
        return keys.pair_key(self._secrets[peer], self.name, (self.number, peer), channel, purpose)

    def send(self, peer: int, channel: int, label: int, payload: bytes | memoryview) -> None:
        self._known(peer)
        self._raise_if_over()
        size = memoryview(payload).nbytes
        if size > MAX_PAYLOAD_BYTES:
            raise ProtocolError(f"a message has {size} bytes; send at most {MAX_PAYLOAD_BYTES} at a time")
        if peer in self._ended:
            raise PeerLost(f"node {peer} ended the attempt before label {label} was sent to it")
        _use(self._sent[peer], channel, label)
        self.courier.post(peer, channel, label, payload)

    async def receive(self, peer: int, channel: int, label: int, room: memoryview | None = None) -> Payload:
        self._known(peer)
        self._raise_if_over()
        key = _key(channel, label)
        early = self._early[peer].pop(key, None)
        if early is not None:
            self._early_bytes[peer] -= len(early)
            return early
        if key in self._arrived[peer] or key in self._waiting[peer]:
            raise ProtocolError(f"label {label} of node {peer} was asked for twice on channel {channel}")
        if peer in self._ended:
            raise PeerLost(f"node {peer} ended the attempt before it sent label {label}")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Payload] = loop.create_future()
        self._waiting[peer][key] = _Wait(future, loop.time() + self.stall_seconds, label, room)
        if self._watch is None:
            self._watch = loop.call_later(self.stall_seconds, self._look_for_stalls, loop)
        try:
            return await future
        finally:
            self._waiting[peer].pop(key, None)

    def landing(self, peer: int, channel: int, label: int, size: int) -> memoryview | None:
        """The room of whoever waits for a message that begins to arrive, if there is one of its size; given once."""
        key = _key(channel, label)
        wait = self._waiting[peer].get(key)
        if wait is None or wait.room is None or len(wait.room) != size or wait.future.done():
            return None
        self._waiting[peer][key] = wait._replace(room=None)
        return wait.room

    def deliver(self, peer: int, channel: int, label: int, payload: Payload) -> None:
        """Takes a message from the courier; what breaks a bound or a rule ends the attempt."""
        if self._error is not None:
            return
        try:
            key = _use(self._arrived[peer], channel, label)
        except ProtocolError as error:
            self.fail(ProtocolError(f"node {peer}: {error}"))
            return
        wait = self._waiting[peer].get(key)
        if wait is not None and not wait.future.done():
            wait.future.set_result(payload)
            return
        held = self._early_bytes[peer] + len(payload)
        if held > MAX_EARLY_BYTES or len(self._early[peer]) >= MAX_EARLY_MESSAGES:
            self.fail(ProtocolError(
                f"node {peer} is too far ahead: {held} bytes in {len(self._early[peer]) + 1} messages wait here;"
                f" at most {MAX_EARLY_BYTES} and {MAX_EARLY_MESSAGES} may",
            ))
            return
        self._early[peer][key] = payload
        self._early_bytes[peer] = held

    def fail(self, error: Exception) -> None:
        """Ends the attempt here and at the peers. The first error stays."""
        if self._error is None:
            self._end(error if isinstance(error, MpcError) else MpcError(
                f"this node ended the attempt after {type(error).__name__}",
            ))
            self.courier.abort(_abort_reason(error))

    def lose(self, peer: int, detail: str) -> None:
        """The link to `peer` broke: everything that waits is freed, the other peer is told.

        A peer that had finished is no loss: what it sent is here.
        """
        if peer not in self._ended:
            self.fail(PeerLost(f"the link to node {peer} broke: {detail}"))

    def aborted(self, peer: int, reason: int) -> None:
        """`peer` ended the attempt because of an error; the third node hears it from `peer` itself."""
        if self._error is None:
            text = f"node {peer} ended the attempt after {ABORT_REASONS.get(reason, 'an unknown reason')}"
            self._end(IntegrityError(text) if reason == ABORT_INTEGRITY else PeerLost(text))

    def ended(self, peer: int) -> None:
        """`peer` finished: what it sent stays readable, what it did not send will not come."""
        self._ended.add(peer)
        for wait in self._waiting[peer].values():
            if not wait.future.done():
                wait.future.set_exception(PeerLost(f"node {peer} ended the attempt before it sent all"))

    def close(self) -> None:
        """Looks for stalls no more: nobody waits now."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look_for_stalls(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ends the attempt if a wait is over its time; else looks again when the next one may be."""
        self._watch = None
        open_waits = [
            (wait.until, peer, wait.label) for peer, waiting in self._waiting.items() for wait in waiting.values()
            if not wait.future.done()  # what came at the last moment counts
        ]
        if not open_waits:
            return
        until, peer, label = min(open_waits)
        if until <= loop.time():
            waited = f"{self.stall_seconds:g} s (label {label})"
            self.fail(PeerTimeout(f"no whole message came from node {peer} for {waited}"))
        else:
            self._watch = loop.call_at(until, self._look_for_stalls, loop)

    def _end(self, error: MpcError) -> None:
        self._error = error
        self.close()
        for peer, waiting in self._waiting.items():
            for wait in waiting.values():
                if not wait.future.done():
                    wait.future.set_exception(_again(error))
            self._early[peer].clear()
            self._early_bytes[peer] = 0

    def _known(self, peer: int) -> None:
        if peer not in self._secrets:
            raise ProtocolError(f"node {self.number} has no peer {peer}; peers are {sorted(self._secrets)}")

    def _raise_if_over(self) -> None:
        if self._error is not None:
            raise _again(self._error)


class AttemptWire:
    """A `Wire`: one channel of an attempt."""

    def __init__(self, attempt: Attempt, channel: int) -> None:
        self._attempt = attempt
        self._channel = channel

    @property
    def number(self) -> int:
        return self._attempt.number

    @property
    def attempt(self) -> bytes:
        return self._attempt.name

    @property
    def messages(self) -> int:
        return self._attempt.messages

    def pair_key(self, peer: int, purpose: bytes) -> bytes:
        return self._attempt.pair_key(peer, self._channel, purpose)

    def send(self, peer: int, label: int, payload: bytes | memoryview) -> None:
        self._attempt.send(peer, self._channel, label, payload)

    def drain(self) -> Coroutine[Any, Any, None]:
        return self._attempt.courier.drain()

    def receive(self, peer: int, label: int, room: memoryview | None = None) -> Coroutine[Any, Any, Payload]:
        return self._attempt.receive(peer, self._channel, label, room)

    def channel(self, number: int) -> "AttemptWire":
        if not 0 <= number <= MAX_CHANNEL:
            raise ProtocolError(f"channel {number} does not exist; channels are 0..{MAX_CHANNEL}")
        return AttemptWire(self._attempt, number)

    def fail(self, error: Exception) -> None:
        self._attempt.fail(error)


def _key(channel: int, label: int) -> int:
    if not -LABEL_LIMIT <= label < LABEL_LIMIT:
        raise ProtocolError(f"label {label} does not fit 64 bits with a sign")
    return channel << 64 | (label + LABEL_LIMIT)


def _use(used: set[int], channel: int, label: int) -> int:
    """The key of a label that serves now, and never again."""
    key = _key(channel, label)
    if key in used:
        raise ProtocolError(f"label {label} was used twice on channel {channel}")
    if len(used) >= MAX_MESSAGES:
        raise ProtocolError(f"an attempt has more than {MAX_MESSAGES} messages; split the run")
    used.add(key)
    return key


def _again(error: MpcError) -> MpcError:
    """A new exception for each waiter: a shared one would collect everyone's traceback."""
    return type(error)(*error.args)


def _abort_reason(error: Exception) -> int:
    for family, reason in (
        (IntegrityError, ABORT_INTEGRITY), (ProtocolError, ABORT_PROTOCOL),
        (PeerTimeout, ABORT_TIMEOUT), (PeerLost, ABORT_LOST),
    ):
        if isinstance(error, family):
            return reason
    return ABORT_OTHER
