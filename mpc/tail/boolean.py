"""XOR-shared bits in planes: what decides wraps, signs and exponents.

A value's k bits lie in k planes; a plane holds the same bit of n values, eight a byte. An array of planes is
(2, k, ⌈n/8⌉) uint8: this node's two components. The bits past n are noise. Replicated sharing and multiplication
as in Araki et al., "High-Throughput Semi-Honest Secure Three-Party Computation", CCS 2016; the adder is Kogge-Stone.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mpc.tail.session import Session

Planes = NDArray[np.uint8]


def planes_of(values: Sequence[int], bits: int) -> Planes:
    """(bits, ⌈n/8⌉) planes of n integers 0 ≤ value < 2^bits."""
    size = (bits + 7) // 8
    raw = b"".join([value.to_bytes(size, "little") for value in values])
    rows = np.unpackbits(np.frombuffer(raw, np.uint8).reshape(len(values), size), axis=1, bitorder="little")
    return np.packbits(rows[:, :bits].T, axis=1, bitorder="little")


def unpacked(planes: Planes, n: int) -> Planes:
    """(…, n) zeros and ones of (…, ⌈n/8⌉) planes."""
    return np.unpackbits(planes, axis=-1, count=n, bitorder="little")


class Boolean:
    """Circuits on XOR-shared planes of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def reshare(self, term: Planes) -> Planes:
        """(k, w), the XOR of the nodes' terms being the value → (2, k, w) replicated."""
        session = self._session
        first, second = (np.frombuffer(s, np.uint8).reshape(term.shape) for s in session.streams(term.size))
        mine = term ^ first ^ second
        received = await session.exchange({session.down: mine.tobytes()}, {session.up: mine.size})
        return np.stack((mine, np.frombuffer(received[session.up], np.uint8).reshape(term.shape)))

    async def conjunction(self, x: Planes, y: Planes) -> Planes:
        """Bitwise product, one round."""
        return await self.reshare(x[0] & y[0] ^ x[0] & y[1] ^ x[1] & y[0])

    async def add(self, summands: Planes, *, at: Sequence[int] = ()) -> tuple[Planes, Planes]:
        """Sum of three k-bit numbers, of which each component holds one; 2 + ⌈log2 k⌉ rounds.

        Args:
            summands: (2, k, w).
            at: numbers of low bits, 1..k, of which to count the wraps; all k when none is named.

        Returns:
            (2, k, w): the sum modulo 2^k; (2, 2 · len(at), w): of each, two bits whose sum, 0..2, says how often the
            three low parts pass 2^at.
        """
        k = summands.shape[1]
        majority = await self.reshare(summands[0] & summands[1])  # node i knows summands i and i + 1: one term each
        shifted = np.zeros_like(majority)
        shifted[:, 1:] = majority[:, :-1]
        total = summands ^ shifted
        carry, through = await self.conjunction(summands, shifted), total.copy()
        step = 1
        while step < k:
            last = 2 * step >= k
            left = through[:, step:]
            if last:
                carry[:, step:] ^= await self.conjunction(left, carry[:, :-step])
            else:
                both = await self.conjunction(
                    np.concatenate((left, left), axis=1),
                    np.concatenate((carry[:, :-step], through[:, :-step]), axis=1),
                )
                carry[:, step:] ^= both[:, :k - step]
                through[:, step:] = both[:, k - step:]
            step *= 2
        total[:, 1:] ^= carry[:, :-1]
        last = [low - 1 for low in at or (k,)]
        wraps = np.stack((majority[:, last], carry[:, last]), axis=2)
        return total, wraps.reshape(2, 2 * len(last), -1)

    async def reached(self, x: Planes) -> Planes:
        """(2, k, w): in plane j whether the k-bit number is at least 2^j; ⌈log2 k⌉ rounds."""
        found = x.copy()
        step = 1
        while step < x.shape[1]:
            both = await self.conjunction(found[:, :-step], found[:, step:])
            found[:, :-step] ^= found[:, step:] ^ both
            step *= 2
        return found

    async def leading(self, x: Planes) -> tuple[Planes, Planes]:
        """Position of the highest 1 of k-bit numbers; ⌈log2 k⌉ rounds.

        Returns:
            (2, ⌈log2 k⌉, w): the position's bits, 0 for the number 0; (2, 1, w): whether the number is not 0.
        """
        below, k = await self.reached(x), x.shape[1]
        top = below.copy()
        top[:, :-1] ^= below[:, 1:]
        position = np.stack([
            np.bitwise_xor.reduce(top[:, [j for j in range(k) if j >> bit & 1]], axis=1)
            for bit in range((k - 1).bit_length())
        ], axis=1)
        return position, below[:, :1]
