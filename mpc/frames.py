"""What travels on a link between two nodes: length-prefixed binary frames, parsed without trust.

A frame: 4 bytes length of the rest (big-endian), 1 byte kind, then fixed fields and, for `Data`, the payload.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mpc.errors import ProtocolError
from mpc.keys import CONTRIBUTION_BYTES, NONCE_BYTES, Contribution
from mpc.wire import MAX_PAYLOAD_BYTES

VERSION = b"winnow-mpc-4"
"""Another one for every change of what nodes send or draw alike: nodes of two versions do not link."""
RUN_BYTES = 32
NAME_BYTES = 32
TAG_BYTES = 16
"""An attempt's name, cut short, in every message."""

SHORT_BYTES = 2**16
"""Read at a time, but for frames of which so much is still to come."""

_LENGTH = struct.Struct(">I")
_DATA = struct.Struct(f">B{TAG_BYTES}sHq")
_HEAD_BYTES = _LENGTH.size + _DATA.size
"""What precedes the payload of a `Data` frame; of others the length and the kind do."""
MAX_FRAME_BYTES = MAX_PAYLOAD_BYTES + _DATA.size
_HELLO, _OPEN, _CONFIRM, _WITHDRAW, _DATA_KIND, _CLOSE, _ABORT = range(7)


@dataclass(frozen=True, slots=True)
class Hello:
    """First frame each way: the link is accepted by both."""


@dataclass(frozen=True, slots=True)
class Open:
    """This node wants an attempt at the run and contributes to its name and keys."""

    run: bytes
    contribution: Contribution


@dataclass(frozen=True, slots=True)
class Confirm:
    """This node sees all three contributions and calls the attempt `name`."""

    run: bytes
    name: bytes


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The contribution with this nonce no longer holds."""

    run: bytes
    nonce: bytes


class Data(NamedTuple):
    tag: bytes
    channel: int
    label: int
    payload: memoryview


@dataclass(frozen=True, slots=True)
class Close:
    """This node finished the attempt; no data follows."""

    tag: bytes


@dataclass(frozen=True, slots=True)
class Abort:
    """This node's attempt failed, for a reason of `mpc.wire.ABORT_REASONS`."""

    tag: bytes
    reason: int


Frame = Hello | Open | Confirm | Withdraw | Data | Close | Abort


def encode(frame: Hello | Open | Confirm | Withdraw | Close | Abort) -> bytes:
    """A whole frame, length included. `Data` goes by `data_header`, which spares a copy."""
    match frame:
        case Hello():
            body = bytes([_HELLO]) + VERSION
        case Open(run, contribution):
            body = bytes([_OPEN]) + run + contribution.to_bytes()
        case Confirm(run, name):
            body = bytes([_CONFIRM]) + run + name
        case Withdraw(run, nonce):
            body = bytes([_WITHDRAW]) + run + nonce
        case Close(tag):
            body = bytes([_CLOSE]) + tag
        case Abort(tag, reason):
            body = bytes([_ABORT]) + tag + bytes([reason])
    return _LENGTH.pack(len(body)) + body


def data_header(tag: bytes, channel: int, label: int, payload_bytes: int) -> bytes:
    """What precedes the payload of a `Data` frame."""
    return _LENGTH.pack(_DATA.size + payload_bytes) + _DATA.pack(_DATA_KIND, tag, channel, label)


def _body_bytes(length: int, kind: int) -> int:
    """What follows the head of a frame. Raises: ProtocolError for an unknown kind, or another length than it has."""
    if kind == _DATA_KIND:
        if length < _DATA.size:
            raise ProtocolError(f"a data frame has {length} bytes; at least {_DATA.size} expected")
        return length - _DATA.size
    expected = _SIZES.get(kind)
    if expected is None:
        raise ProtocolError(f"a frame has the unknown kind {kind}; do the nodes run the same version?")
    if length - 1 != expected:
        raise ProtocolError(f"a frame of kind {kind} has {length - 1} bytes; expected {expected}")
    return expected


def _decode(kind: int, rest: memoryview) -> Frame:
    """Any frame but `Data`, of the length that it has. Raises: ProtocolError for another version."""
    if kind == _HELLO:
        if rest != VERSION:
            raise ProtocolError(f"a node speaks {bytes(rest)!r}; expected {VERSION!r}: install the same version")
        return Hello()
    if kind == _OPEN:
        return Open(bytes(rest[:RUN_BYTES]), Contribution.from_bytes(bytes(rest[RUN_BYTES:])))
    if kind == _CONFIRM:
        return Confirm(bytes(rest[:RUN_BYTES]), bytes(rest[RUN_BYTES:]))
    if kind == _WITHDRAW:
        return Withdraw(bytes(rest[:RUN_BYTES]), bytes(rest[RUN_BYTES:]))
    if kind == _CLOSE:
        return Close(bytes(rest))
    return Abort(bytes(rest[:TAG_BYTES]), rest[TAG_BYTES])


_SIZES = {
    _HELLO: len(VERSION),
    _OPEN: RUN_BYTES + CONTRIBUTION_BYTES,
    _CONFIRM: RUN_BYTES + NAME_BYTES,
    _WITHDRAW: RUN_BYTES + NONCE_BYTES,
    _CLOSE: TAG_BYTES,
    _ABORT: TAG_BYTES + 1,
}


Landing = Callable[[bytes, int, int, int], memoryview | None]
"""Tag, channel, label and length of a payload → where somebody wants it, in as many bytes; None: anywhere."""


def nowhere(_tag: bytes, _channel: int, _label: int, _size: int) -> None:
    """The landing of those who want nothing."""


class FrameReader:
    """Cuts a byte stream into frames; holds at most one unfinished frame (≤ MAX_FRAME_BYTES), or where it lands.

    Whoever reads the stream puts bytes into `room` and says how many: those of a long frame land where they stay.
    """

    def __init__(self, landing: Landing) -> None:
        self._landing = landing
        self._head = bytearray()
        self._body: memoryview | None = None
        self._filled = 0
        self._landed = False
        self._short = memoryview(bytearray(SHORT_BYTES))

    @property
    def inside_frame(self) -> bool:
        """Whether the stream would end in the middle of a frame."""
        return bool(self._head)

    @property
    def room(self) -> memoryview:
        """Where the next bytes of the stream belong; never empty."""
        if self._body is not None and self._much_to_come:
            return self._body[self._filled :]
        return self._short

    @property
    def _much_to_come(self) -> bool:
        return self._body is not None and len(self._body) - self._filled >= SHORT_BYTES

    def filled(self, count: int) -> Iterator[Frame]:
        """Frames that the first `count` bytes of `room` complete. Raises: ProtocolError; the link is unusable then."""
        if self._much_to_come:
            self._filled += count
            view = self._short[:0]
        else:
            view = self._short[:count]
        while view or self._body is not None:
            if self._body is None:
                view = self._begin(view)
                if self._body is None:
                    return
            part = view[: len(self._body) - self._filled]
            self._body[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            view = view[len(part) :]
            if self._filled < len(self._body):
                return
            yield self._end(self._body)

    def free(self, tag: bytes) -> None:
        """Nobody waits for an attempt's messages any more: what still comes of an unfinished one lands elsewhere."""
        if self._landed and self._body is not None and _DATA.unpack_from(self._head, _LENGTH.size)[1] == tag:
            elsewhere = np.empty(len(self._body), np.uint8).data
            elsewhere[: self._filled] = self._body[: self._filled]
            self._body, self._landed = elsewhere, False

    def close(self) -> None:
        """Forgets an unfinished frame: nothing of what still comes lands anywhere."""
        self._head, self._body, self._landing = bytearray(), None, nowhere

    def _begin(self, view: memoryview) -> memoryview:
        """Takes the head of a frame, as far as it is here, and finds room for the body once it is whole."""
        view = self._take_head(view, _LENGTH.size)
        if len(self._head) < _LENGTH.size:
            return view
        (length,) = _LENGTH.unpack_from(self._head)
        if not 1 <= length <= MAX_FRAME_BYTES:
            raise ProtocolError(f"a frame announces {length} bytes; expected 1..{MAX_FRAME_BYTES}")
        view = self._take_head(view, _LENGTH.size + 1)
        if len(self._head) == _LENGTH.size:
            return view
        kind = self._head[_LENGTH.size]
        size, body = _body_bytes(length, kind), None
        if kind == _DATA_KIND:
            view = self._take_head(view, _HEAD_BYTES)
            if len(self._head) < _HEAD_BYTES:
                return view
            _, tag, channel, label = _DATA.unpack_from(self._head, _LENGTH.size)
            body = self._landing(tag, channel, label, size)
        self._landed, self._filled = body is not None, 0
        self._body = np.empty(size, np.uint8).data if body is None else body
        return view

    def _take_head(self, view: memoryview, size: int) -> memoryview:
        missing = max(size - len(self._head), 0)
        self._head += view[:missing]
        return view[missing:]

    def _end(self, body: memoryview) -> Frame:
        head, self._head, self._body = self._head, bytearray(), None
        kind = head[_LENGTH.size]
        if kind != _DATA_KIND:
            return _decode(kind, body)
        _, tag, channel, label = _DATA.unpack_from(head, _LENGTH.size)
        return Data(tag, channel, label, body)
