"""What nodes compare before anything opens, beside their transcripts: digests of what must be alike.

- An entered component is held by its owner and one other node, which compare keyed digests of it; the third is 0.
  Nobody else gets a digest, for with one a guess at a component that a node lacks could be checked.
- A shuffle keeps the sum of its rows (of words the XOR). The difference of the sums is a shared 0: every node computes
  the component that it lacks from its own two, so all three know the same three words, and a digest of them says
  nothing. Where they differ, it says how much some node added, which that node knows.

An error in a shuffle is found unless it cancels in the sum, as it does if a node takes its rows in another order. Sums
of squares would find that one too, but what they differ by tells about the rows: a node could add to a row to learn it.
"""

import hashlib

import numpy as np

from mpc.share import Words
from mpc.wire import Wire

DIGEST_BYTES = 32


def digest(operation: int, values: Words) -> bytes:
    """SHA-256 of the operation's number and the values."""
    state = hashlib.sha256(operation.to_bytes(8, "little"))
    state.update(np.ascontiguousarray(values).astype("<u8", copy=False).reshape(-1).view(np.uint8).data)
    return state.digest()


class Checks:
    """One node's digests of one channel, over all operations so far.

    Operations side by side end in any order, so they wait for `settle` and enter in the order of their numbers.
    """

    def __init__(self, wire: Wire) -> None:
        self._number = wire.number
        self._peers = (wire.number + 2) % 3, (wire.number + 1) % 3
        self._with = {
            peer: hashlib.blake2b(key=wire.pair_key(peer, b"ring engine holders"), digest_size=DIGEST_BYTES)
            for peer in self._peers
        }
        self._sums = hashlib.sha256()
        self._held: dict[int, tuple[bytes, bytes]] = {}
        self._kept: dict[int, bytes] = {}

    def held(self, operation: int, parts: Words) -> None:
        """(2, …): the first component is held by the previous node too, the second by the next."""
        self._held[operation] = digest(operation, parts[0]), digest(operation, parts[1])

    def kept(self, operation: int, before: Words, after: Words, *, xor: bool) -> None:
        """(2, …, n) twice: sums over the last axis are what they were."""
        if xor:
            was, now = (np.bitwise_xor.reduce(rows, axis=-1, keepdims=True) for rows in (before, after))
            mine = now ^ was
            lacked = mine[0] ^ mine[1]
        else:
            was, now = (rows.sum(axis=-1, dtype=np.uint64, keepdims=True) for rows in (before, after))
            mine = now - was
            lacked = np.negative(mine[0] + mine[1])
        self._kept[operation] = digest(operation, np.roll(np.stack([*mine, lacked]), self._number, axis=0))

    def settle(self) -> None:
        """Takes in what all operations so far left."""
        for operation in sorted(self._held):
            for peer, found in zip(self._peers, self._held[operation], strict=True):
                self._with[peer].update(found)
        for operation in sorted(self._kept):
            self._sums.update(self._kept[operation])
        self._held.clear()
        self._kept.clear()

    def absorb(self, other: "Checks") -> None:
        """Takes in all that another channel's checks found."""
        other.settle()
        self._sums.update(other.sums)
        for peer in self._peers:
            self._with[peer].update(other.held_with(peer))

    def held_with(self, peer: int) -> bytes:
        """For that peer only."""
        return self._with[peer].digest()

    @property
    def sums(self) -> bytes:
        """For both peers."""
        return self._sums.digest()
