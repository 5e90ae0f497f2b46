"""What a node keeps of a shard's linkage, for as long as its epoch lasts.

A linkage grows by segments: the registers that were linked first, then each batch of new blocks. A segment has
permutations of its own and is never shuffled again; linked rows are only appended. A linkage that is made anew has all
batches so far in its first segment.

Its stored form has a checksum: a bit that flipped on a disk, in an order or a tag, would be computed with, and by one
node alone. Against whoever can write the file it is no help.
"""

import hashlib
import math
import struct
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from mpc.aes import SharedKey
from mpc.engine import Permutation
from mpc.errors import LinkageError, MpcError
from mpc.matching import NOWHERE, Join, Rows, Table

MIN_PARTIES, MAX_PARTIES = 2, 5
MAX_ROWS = 1 << 24
"""Rows of one register in one shard, dummies included; bounds what a stored file can make us allocate."""
MAX_SEGMENTS = 1 << 10
"""Of one linkage: a batch a day for two years, and more."""

_MAGIC = b"winnow linked 4\n"
CHECKSUM_BYTES = 32
_HEAD = struct.Struct("<BIII32sQ")
_SEGMENT = struct.Struct("<QQ")
_REGISTER = struct.Struct("<QQ")
_JOINS: tuple[Join, ...] = get_args(Join)


@dataclass(frozen=True, eq=False)
class Segment:
    """Registers, or their new blocks, that were shuffled and enciphered together."""

    permutations: tuple[Permutation, ...]
    """One per party: the pieces that this node knows."""
    tables: tuple[Table, ...]
    """One per party: the opened tags."""
    dummies: int
    """Rows of dummies, the same number for every party; they come after the slots."""
    order: Rows
    """(parties, added) of the linked rows that came with this segment: each party's row, counted through all segments;
    NOWHERE if it has none."""

    def slots(self, party: int) -> int:
        """Slots of the party's blocks."""
        return self.permutations[party].n - self.dummies


@dataclass(frozen=True, eq=False)
class LinkedShard:
    """A shard's linkage."""

    join: Join
    key: SharedKey
    """This node's components of the key under which all tags of the epoch are made. Secret."""
    planted: NDArray[np.uint64]
    """(parties, dummies) link keys of this node's own dummies, in all segments. Secret."""
    segments: tuple[Segment, ...]
    first: int = 1
    """Batches of the registers that the first segment holds; each later one holds one more."""

    @property
    def batches(self) -> int:
        """Batches that are linked."""
        return self.first + len(self.segments) - 1

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Rows of each party's register, dummies included."""
        sizes = [[permutation.n for permutation in segment.permutations] for segment in self.segments]
        return tuple(map(sum, zip(*sizes, strict=True))) if sizes else (0,) * len(self.planted)

    def slots(self, party: int) -> int:
        """Slots of a party's register."""
        return sum(segment.slots(party) for segment in self.segments)

    @property
    def linked(self) -> int:
        """Linked rows: patients that every party has, or all rows of the first one's register, and dummies."""
        return sum(int(segment.order.shape[1]) for segment in self.segments)

    def places(self, party: int) -> Rows:
        """(linked,) the party's row of each linked one, counted through the segments' shuffled rows, or NOWHERE."""
        return np.concatenate([segment.order[party] for segment in self.segments])

    def until(self, batches: int) -> "LinkedShard":
        """As it was with so many batches, to align columns of that time; linked rows of before come first.

        With fewer than the first segment holds: as that segment is.
        """
        if batches >= self.batches:
            return self
        kept = self.segments[: max(1, batches - self.first + 1)]
        rows = np.array([[sum(each.permutations[p].n for each in kept)] for p in range(len(self.planted))])
        return replace(self, segments=tuple(
            replace(each, order=np.where(each.order < rows, each.order, NOWHERE)) for each in kept
        ))

    def to_bytes(self) -> bytes:
        """A stored form, versioned, little endian, without code. Secret: store it so."""
        parties, dummies = self.planted.shape
        head = (_JOINS.index(self.join), parties, len(self.segments), self.first, self.key.parts, dummies)
        parts = [_HEAD.pack(*head), self.planted.astype("<u8").tobytes()]
        for segment in self.segments:
            parts.append(_SEGMENT.pack(segment.dummies, segment.order.shape[1]))
            for permutation, (tags, rows) in zip(segment.permutations, segment.tables, strict=True):
                stored = permutation.to_bytes()
                parts += [_REGISTER.pack(permutation.n, len(stored)), stored]
                parts += [tags.astype("<u8").tobytes(), rows.astype("<u4").tobytes()]
            parts.append(segment.order.astype("<i8").tobytes())
        return b"".join((_MAGIC, checksum(*parts), *parts))

    @classmethod
    def from_bytes(cls, stored: bytes) -> "LinkedShard":
        """Read what `to_bytes` wrote.

        Raises:
            LinkageError: not such a file, another version, damaged, cut short, or out of bounds.
        """
        try:
            return _Reader(stored).linked()
        except (struct.error, ValueError, MpcError) as error:
            raise LinkageError(f"stored linkage is unreadable: {error}. Link this shard again.") from error


def checksum(*parts: bytes | memoryview) -> bytes:
    """BLAKE2b (RFC 7693) of these parts, one after another: CHECKSUM_BYTES."""
    digest = hashlib.blake2b(digest_size=CHECKSUM_BYTES)
    for part in parts:
        digest.update(part)
    return digest.digest()


class _Reader:
    """Of a stored linkage; every number is checked before anything of that size is made."""

    def __init__(self, stored: bytes) -> None:
        self._stored = memoryview(stored)
        self._at = 0

    def linked(self) -> LinkedShard:
        if bytes(self._take(len(_MAGIC))) != _MAGIC:
            raise ValueError(f"it does not start with {_MAGIC!r}")
        expected, computed = bytes(self._take(CHECKSUM_BYTES)), checksum(self._stored[self._at :])
        if computed != expected:
            raise ValueError(f"its checksum is {computed.hex()[:16]}, expected {expected.hex()[:16]}: it is damaged")
        join, parties, segments, first, key, dummies = self._fields(_HEAD)
        if join >= len(_JOINS) or not MIN_PARTIES <= parties <= MAX_PARTIES or not 1 <= segments <= MAX_SEGMENTS:
            raise ValueError(f"join {join} of {parties} parties in {segments} segments is out of bounds")
        if not 1 <= first <= MAX_SEGMENTS:
            raise ValueError(f"a first segment of {first} batches is out of bounds")
        planted = self._numbers("<u8", parties, dummies).astype(np.uint64)
        rows = [0] * parties
        found = LinkedShard(
            _JOINS[join], SharedKey(key), planted, tuple(self._segment(rows) for _ in range(segments)), first,
        )
        if self._at != len(self._stored):
            raise ValueError(f"{len(self._stored) - self._at} bytes follow its end")
        for party, count in enumerate(rows):
            places = found.places(party)
            least = 0 if found.join == "inner" or not party else NOWHERE
            if len(places) and not least <= places.min() <= places.max() < count:
                raise ValueError(f"a linked row lies outside the register of {count} rows")
        if found.join == "left" and not np.array_equal(found.places(0), np.arange(rows[0])):
            raise ValueError("its linked rows are not those of the first register")
        return found

    def _segment(self, rows: list[int]) -> Segment:
        """`rows`: of each party before; those of the segment are added."""
        dummies, added = self._fields(_SEGMENT)
        permutations, tables = [], []
        for party in range(len(rows)):
            count, size = self._fields(_REGISTER)
            rows[party] += count
            if not dummies <= count or rows[party] > MAX_ROWS:
                raise ValueError(f"a segment of {count} rows, {dummies} of them dummies, is out of bounds")
            permutation = Permutation.from_bytes(bytes(self._take(size)))
            if permutation.n != count:
                raise ValueError(f"a permutation of {permutation.n} belongs to a register of {count} rows")
            permutations.append(permutation)
            tables.append(self._table(count))
        order = self._numbers("<i8", len(rows), added).astype(np.int64)
        return Segment(tuple(permutations), tuple(tables), dummies, order)

    def _table(self, count: int) -> Table:
        tags = self._numbers("<u8", count).astype(np.uint64)
        rows = self._numbers("<u4", count).astype(np.uint32)
        if np.any(tags[1:] <= tags[:-1]):
            raise ValueError("its tags are not in order")
        if rows.max(initial=0) >= max(count, 1) or np.any(np.bincount(rows, minlength=count) != 1):
            raise ValueError("its tags do not name each row once")
        return Table(tags, rows)

    def _numbers(self, kind: str, *shape: int) -> NDArray[np.generic]:
        return np.frombuffer(self._take(math.prod(shape) * np.dtype(kind).itemsize), kind).reshape(shape)

    def _fields(self, form: struct.Struct) -> tuple[Any, ...]:
        return form.unpack(self._take(form.size))

    def _take(self, size: int) -> memoryview:
        if size > len(self._stored) - self._at:
            raise ValueError(f"it ends after {len(self._stored)} bytes")
        self._at += size
        return self._stored[self._at - size : self._at]
