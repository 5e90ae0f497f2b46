"""Oblivious shuffle: rows in an order that no single node knows.

Three passes; in each, a pair of nodes permutes by a permutation the third does not know and hands it the result
under fresh masks (Laur, Willemson, Zhang, ISC 2011; in this replicated form Araki et al., CCS 2021, and
Chida et al., 2019). Each node knows two of the three permutations; the order is their product.
"""

import struct
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from mpc.errors import ProtocolError
from mpc.operation import Operation
from mpc.share import Words

MAX_ROWS = 2**27
"""Rows of one shuffle, and of a stored permutation that is read back (512 MiB a piece)."""

_HEADER = struct.Struct("<8sIB")
_MAGIC = b"WNPERM01"
_PIECE_LANE, _MASK_LANE, _MIDDLE_LANE = 0, 1, 2

Piece = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Permutation:
    """The pieces one node knows of a permutation of n rows; `pieces[i]` is known to nodes i and i+1."""

    pieces: tuple[Piece | None, Piece | None, Piece | None]
    n: int

    def to_bytes(self) -> bytes:
        """Versioned: magic, n, which pieces, then each as little-endian uint32. Secret: store it so."""
        known = [piece for piece in self.pieces if piece is not None]
        flags = sum(1 << i for i, piece in enumerate(self.pieces) if piece is not None)
        return _HEADER.pack(_MAGIC, self.n, flags) + b"".join(p.astype("<u4").tobytes() for p in known)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises: ProtocolError when `data` is not what `to_bytes` makes, or not permutations."""
        if len(data) < _HEADER.size:
            raise ProtocolError(f"a stored permutation has {len(data)} bytes; at least {_HEADER.size} expected")
        magic, n, flags = _HEADER.unpack_from(data)
        if magic != _MAGIC or n > MAX_ROWS or flags > 7:
            raise ProtocolError("a stored permutation has an unknown header; link this epoch again")
        expected = _HEADER.size + 4 * n * flags.bit_count()
        if len(data) != expected:
            raise ProtocolError(f"a stored permutation has {len(data)} bytes; expected {expected}")
        stored = iter(np.frombuffer(data, "<u4", offset=_HEADER.size).reshape(flags.bit_count(), n))
        pieces = [next(stored).astype(np.int64) if flags >> i & 1 else None for i in range(3)]
        for piece in pieces:
            if piece is not None and (piece.max(initial=-1) >= n or np.any(np.bincount(piece, minlength=n) != 1)):
                raise ProtocolError("a stored permutation names a row twice; link this epoch again")
        return cls((pieces[0], pieces[1], pieces[2]), n)


def draw(op: Operation, n: int) -> Permutation:
    """A fresh permutation of n rows; no messages."""
    if not 0 <= n <= MAX_ROWS:
        raise ProtocolError(f"{n} rows to permute; expected 0..{MAX_ROWS}")
    step = op.step()
    pieces: list[Piece | None] = [None, None, None]
    pieces[op.me] = op.with_next.permutation(op.number, step, _PIECE_LANE, n)
    pieces[op.previous] = op.with_previous.permutation(op.number, step, _PIECE_LANE, n)
    return Permutation((pieces[0], pieces[1], pieces[2]), n)


async def apply(op: Operation, x: Words, permutation: Permutation, *, xor: bool) -> Words:
    """(2, …, n) → (2, …, n), the last axis permuted, all components fresh.

    3 rounds, 16 bytes a value and node. The receiver of a pass sees two arrays that are uniform to it.
    """
    if x.shape[-1] != permutation.n:
        raise ProtocolError(f"{x.shape[-1]} rows meet a permutation of {permutation.n}; they must be equal")
    shape = x.shape[1:]
    for first in range(3):
        step = op.step()
        out = np.empty(x.shape, np.uint64)
        if op.me == (first + 2) % 3:
            await op.receive_into(first, step, out[1])
            await op.receive_into((first + 1) % 3, step, out[0])
        else:
            piece = permutation.pieces[first]
            if piece is None:
                raise ProtocolError(f"piece {first} is missing: the permutation belongs to another node")
            leads = op.me == first
            stream = op.with_next if leads else op.with_previous
            mask = stream.words(op.number, step, _MASK_LANE, shape)
            middle = stream.words(op.number, step, _MIDDLE_LANE, shape)
            if leads:  # new components: first = π(x₀+x₁) − mask, second = middle
                moved = np.take(x[0] ^ x[1] if xor else x[0] + x[1], piece, axis=-1)
                out[0] = moved ^ mask if xor else moved - mask
                out[1] = middle
            else:  # second = middle, third = π(x₂) + mask − middle
                moved = np.take(x[1], piece, axis=-1)
                out[0] = middle
                out[1] = moved ^ mask ^ middle if xor else moved + mask - middle
            op.send((first + 2) % 3, step, out[0] if leads else out[1])
            await op.wire.drain()
        x = out
    return x
