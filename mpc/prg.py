"""Pseudorandom words: AES in counter mode, the counter's upper part named by the caller.

Distinct names under one key give disjoint parts of one AES-CTR stream, so they never overlap. A few words come from
keyed BLAKE2b (RFC 7693) instead: to make a cipher ready takes longer than to draw them.
"""

import hashlib
import math
import struct
from functools import cached_property

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from mpc.share import Words

NAME_BYTES = 12
"""Leaves 2^32 blocks of 16 bytes (64 GiB) to each name."""
MAX_WORDS = 2**32
"""Half of what a name has."""
SLACK_BYTES = 15
"""The cipher asks for a block of room beyond its output, and leaves it as it is."""

FEW_WORDS = 8
"""What one BLAKE2b gives."""
WORDS_IN_CACHE = 1 << 14
"""128 KiB: what is worked on while it is near the processor."""
_ZEROS = memoryview(bytes(2**18))
"""Plaintext of the key stream; a piece that stays in the processor's cache."""


def words(key: bytes, name: bytes, shape: tuple[int, ...]) -> Words:
    """Uint64, the same on every machine.

    Args:
        key: 16 or 32 bytes (AES-128 or AES-256).
        name: 12 bytes; a name serves once.
        shape: of the result, at most MAX_WORDS in all.

    Raises: ValueError for another length, or more than MAX_WORDS words.
    """
    count = math.prod(shape)
    if count > MAX_WORDS:
        raise ValueError(f"{count} words asked for; one name gives at most {MAX_WORDS}")
    stream = _stream(key, name)
    size = 8 * count
    out = np.empty(size + SLACK_BYTES, np.uint8)
    room = out.data
    for start in range(0, size, len(_ZEROS)):
        length = min(len(_ZEROS), size - start)
        stream.update_into(_ZEROS[:length], room[start : start + length + SLACK_BYTES])
    return out[:size].view("<u8").astype(np.uint64, copy=False).reshape(shape)


class Cover:
    """The words of streams, XORed, in the order in which they come."""

    def __init__(self, *streams: CipherContext) -> None:
        self._streams = streams
        self._rooms: list[memoryview] = []

    def add_to(self, values: Words) -> None:
        """XORs a contiguous array with the next words in place, a piece in the cache at a time."""
        flat = values.reshape(-1, copy=False).view(np.uint8).data
        needed = min(len(flat), len(_ZEROS)) + SLACK_BYTES
        if not self._rooms or len(self._rooms[0]) < needed:
            self._rooms = [np.empty(needed, np.uint8).data for _ in self._streams]
        for start in range(0, len(flat), len(_ZEROS)):
            covered = piece = flat[start : start + len(_ZEROS)]
            for stream, room in zip(self._streams, self._rooms, strict=True):
                stream.update_into(covered, room[: len(piece) + SLACK_BYTES])
                covered = room[: len(piece)]
            piece[:] = covered


class Difference:
    """The words of one stream less those of another, in the order in which they come."""

    def __init__(self, plus: CipherContext, minus: CipherContext) -> None:
        self._streams = (plus, np.add), (minus, np.subtract)
        self._room = np.empty(0, np.uint8)

    def add_to(self, values: Words) -> None:
        """Adds the next words to a contiguous array in place, a piece in the cache at a time."""
        flat = values.reshape(-1, copy=False)
        needed = 8 * min(flat.size, WORDS_IN_CACHE) + SLACK_BYTES
        if self._room.size < needed:
            self._room = np.empty(needed, np.uint8)
        for start in range(0, flat.size, WORDS_IN_CACHE):
            piece = flat[start : start + WORDS_IN_CACHE]
            for stream, change in self._streams:
                stream.update_into(_ZEROS[: piece.nbytes], self._room.data[: piece.nbytes + SLACK_BYTES])
                change(piece, self._room[: piece.nbytes].view("<u8"), out=piece)


def _stream(key: bytes, name: bytes) -> CipherContext:
    if len(name) != NAME_BYTES:
        raise ValueError(f"a stream's name has {len(name)} bytes; expected {NAME_BYTES}")
    return Cipher(algorithms.AES(key), modes.CTR(name + bytes(4))).encryptor()


def _name(operation: int, step: int, lane: int) -> bytes:
    return struct.pack(">QHH", operation, step, lane)


class PairStream:
    """What two nodes draw alike without a message; every draw is named by operation, step and lane."""

    def __init__(self, key: bytes, place: bytes = b"") -> None:
        """`key`: 32 bytes of `Wire.pair_key`: 16 for AES-128 keys, of which each place has one, and 16 for `few`."""
        self._secret, self._place = key, place

    def at(self, place: bytes) -> "PairStream":
        """What the two draw at `place` (any bytes) and nowhere else."""
        return PairStream(self._secret, place)

    @cached_property
    def _key(self) -> bytes:
        return hashlib.blake2b(self._place, key=self._secret[:16], digest_size=16).digest()

    def words(self, operation: int, step: int, lane: int, shape: tuple[int, ...]) -> Words:
        """0 ≤ operation < 2^64; 0 ≤ step, lane < 2^16."""
        return words(self._key, _name(operation, step, lane), shape)

    def few(self, operation: int, step: int, lane: int, shape: tuple[int, ...]) -> Words:
        """At most FEW_WORDS, other ones than `words` gives under the same name. Raises: ValueError for more."""
        count = math.prod(shape)
        if count > FEW_WORDS:
            raise ValueError(f"{count} words asked for; expected at most {FEW_WORDS}")
        drawn = hashlib.blake2b(self._place + _name(operation, step, lane), key=self._secret[16:]).digest()
        return np.frombuffer(drawn, "<u8", count).astype(np.uint64, copy=False).reshape(shape)

    def stream(self, operation: int, step: int, lane: int) -> CipherContext:
        """What `words` are made of, to encipher bytes with: they are XORed, in the order in which they come."""
        return _stream(self._key, _name(operation, step, lane))

    def permutation(self, operation: int, step: int, lane: int, n: int) -> npt.NDArray[np.int64]:
        """A permutation of n: the order of n random words, equal ones (probability < n²/2^65) as they come."""
        drawn = self.words(operation, step, lane, (n,))
        order = np.argsort(drawn)
        inorder = drawn[order]
        if np.any(inorder[1:] == inorder[:-1]):  # the fast sort has an order of its own for these on each machine
            order = np.argsort(drawn, kind="stable")
        return order.astype(np.int64, copy=False)
