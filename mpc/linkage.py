"""Linkage: which rows of the parties' registers belong to the same patient, once per shard and epoch.

Each register (XOR-shared 64-bit link keys) is shuffled by three permutations of which no node knows all, enciphered
under a shared AES key, and its 64-bit tags are opened. Equal tags are the same patient; the match is made in the
clear, on positions that mean nothing outside the shuffle. Later columns of a register replay its permutation.

What is learnt. Every node sees, per shard, how many patients each combination of parties has in common, noisily:
into each register each node enters `dummies` rows, a public number, of which a secret number are random keys that it
shares over the registers of two or more parties. Per combination that number is a two-sided geometric variable
(ratio 1/2) around half of what the budget allows, cut off at 0 and at twice that. A node knows its own dummies, not
the other two nodes'. The rest of the budget is filled with keys that match nothing. In aligned columns a dummy
patient is a row of zeros.
"""

import asyncio
import hmac
import itertools
import secrets
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpc.aes import RoundKeys, tags
from mpc.engine import Engine, Permutation
from mpc.errors import IntegrityError, MpcError
from mpc.share import Bits, Share

MIN_PARTIES, MAX_PARTIES = 2, 5
MAX_ROWS = 1 << 24
"""Rows of one register in one shard, dummies included; bounds what a stored file can make us allocate."""
NODES = 3
CELLS_PER_SHUFFLE = 1 << 21
"""Values shuffled at once: 16 MiB a component."""
_MAGIC = b"winnow linked 1\n"
_HEAD = struct.Struct("<IIQ")
_ROW = struct.Struct("<QQ")


class LinkageError(MpcError):
    """The registers cannot be linked, or a column does not fit its register.

    `party` is the position of the party whose register or column it is, if it is one party's.
    """

    def __init__(self, message: str, party: int | None = None) -> None:
        super().__init__(message)
        self.party = party


@dataclass(frozen=True)
class LinkedShard:
    """What a node keeps of a shard's linkage: it serves the whole epoch."""

    permutations: tuple[Permutation, ...]
    """One per party: the pieces that this node knows."""
    rows: tuple[int, ...]
    """Rows of each party's register, dummies included."""
    dummies: int
    """Of which this many are dummies, the same number for every party."""
    order: NDArray[np.int64]
    """(parties, linked): row of each linked patient in each shuffled register."""

    @property
    def linked(self) -> int:
        """Linked rows: patients that every party has, and dummies."""
        return int(self.order.shape[1])

    def to_bytes(self) -> bytes:
        """A stored form, little endian, without code."""
        parts = [_MAGIC, _HEAD.pack(len(self.rows), self.dummies, self.linked)]
        for rows, permutation in zip(self.rows, self.permutations, strict=True):
            stored = permutation.to_bytes()
            parts += [_ROW.pack(rows, len(stored)), stored]
        parts.append(self.order.astype("<i8").tobytes())
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, stored: bytes) -> "LinkedShard":
        """Read what `to_bytes` wrote.

        Raises:
            LinkageError: not such a file, cut short, or out of bounds.
        """
        try:
            return cls._parse(memoryview(stored))
        except (struct.error, ValueError, MpcError) as error:
            raise LinkageError(f"stored linkage is unreadable: {error}. Link this shard again.") from error

    @classmethod
    def _parse(cls, stored: memoryview) -> "LinkedShard":
        if bytes(stored[: len(_MAGIC)]) != _MAGIC:
            raise ValueError(f"it does not start with {_MAGIC!r}")
        at = len(_MAGIC)
        parties, dummies, linked = _HEAD.unpack_from(stored, at)
        at += _HEAD.size
        if not MIN_PARTIES <= parties <= MAX_PARTIES or linked > MAX_ROWS:
            raise ValueError(f"{parties} parties and {linked} linked rows are out of bounds")
        rows, permutations = [], []
        for _ in range(parties):
            count, size = _ROW.unpack_from(stored, at)
            at += _ROW.size
            if not dummies <= count <= MAX_ROWS or size > len(stored) - at:
                raise ValueError(f"a register of {count} rows in {size} bytes is out of bounds")
            permutation = Permutation.from_bytes(bytes(stored[at : at + size]))
            at += size
            if permutation.n != count:
                raise ValueError(f"a permutation of {permutation.n} belongs to a register of {count} rows")
            rows.append(count)
            permutations.append(permutation)
        if len(stored) - at != 8 * parties * linked:
            raise ValueError(f"the order has {len(stored) - at} bytes, expected {8 * parties * linked}")
        order = np.frombuffer(stored[at:], "<i8").astype(np.int64).reshape(parties, linked)
        for count, positions in zip(rows, order, strict=True):
            if linked and not 0 <= positions.min() <= positions.max() < count:
                raise ValueError(f"a linked position lies outside the register of {count} rows")
        return cls(tuple(permutations), tuple(rows), dummies, order)


def regions(parties: int) -> tuple[tuple[int, ...], ...]:
    """Every combination of two or more of the parties 0..parties-1."""
    return tuple(c for size in range(2, parties + 1) for c in combinations(range(parties), size))


def region_cap(parties: int, dummies: int) -> int:
    """Most dummy patients that a node may put into one region: even, so that the noise has a middle.

    Raises:
        LinkageError: the budget is too small for any noise; it may be 0.
    """
    overlapping = (1 << parties - 1) - 1
    if 0 < dummies < 2 * overlapping:
        raise LinkageError(
            f"{dummies} dummies do not hide the regions of {parties} parties. Agree on 0 or at least "
            f"{2 * overlapping}."
        )
    return dummies // overlapping // 2 * 2


def draw_dummies(
    parties: int, dummies: int, randbits: Callable[[int], int] = secrets.randbits
) -> NDArray[np.uint64]:
    """Draw one node's dummy rows.

    Args:
        parties: 2..5.
        dummies: rows for each register.
        randbits: source of that many random bits.

    Returns:
        (parties, dummies) uint64 link keys: first those shared between registers, then keys that match nothing.

    Raises:
        LinkageError: see `region_cap`.
    """
    cap = region_cap(parties, dummies)
    rows: list[list[int]] = [[] for _ in range(parties)]
    for region in regions(parties):
        for _ in range(_two_sided_geometric(cap // 2, randbits)):
            key = randbits(64)
            for party in region:
                rows[party].append(key)
    for row in rows:
        row += [randbits(64) for _ in range(dummies - len(row))]
    return np.array(rows, np.uint64).reshape(parties, dummies)


def repeatable(key: bytes, name: bytes) -> Callable[[int], int]:
    """A source of up to 256 random bits at a time that is always the same for a key (32 secret bytes) and a name."""
    places = itertools.count()

    def randbits(bits: int) -> int:
        place = next(places).to_bytes(8, "little")
        return int.from_bytes(hmac.digest(key, place + name, "sha256"), "little") & ((1 << bits) - 1)

    return randbits


def _two_sided_geometric(middle: int, randbits: Callable[[int], int]) -> int:
    """Draw middle + G − G', both geometric with ratio 1/2, cut off at 0 and 2·middle."""
    up, down = (_trailing_zeros(randbits(64)) for _ in range(2))
    return min(max(middle + up - down, 0), 2 * middle)


def _trailing_zeros(bits: int) -> int:
    """Of a 64-bit number: a geometric variable with ratio 1/2 when the bits are random."""
    bounded = bits | 1 << 64
    return (bounded & -bounded).bit_length() - 1


def match(tables: Sequence[NDArray[np.uint64]]) -> NDArray[np.int64]:
    """Join opened tags.

    Args:
        tables: each party's tags, in shuffled order.

    Returns:
        (parties, linked) positions: column k is one patient's row in every table; in the order of the tags.

    Raises:
        LinkageError: a tag repeats within a table.
    """
    orders = [np.argsort(table) for table in tables]
    ordered = [table[order] for table, order in zip(tables, orders, strict=True)]
    for party, table in enumerate(ordered):
        if np.any(table[1:] == table[:-1]):
            raise LinkageError(
                f"the register of party {party} holds a link key twice. A patient has one slot: "
                f"that party must repair its register before this shard can be linked.",
                party,
            )
    common = ordered[0]
    for table in ordered[1:]:
        common = common[np.isin(common, table, assume_unique=True)]
    places = [order[np.searchsorted(table, common)] for table, order in zip(ordered, orders, strict=True)]
    return np.stack(places).astype(np.int64)


async def link(
    engine: Engine, keys: RoundKeys, registers: Sequence[Bits], dummies: int,
    randbits: Callable[[int], int] = secrets.randbits,
) -> LinkedShard:
    """Link one shard's registers: inner join.

    Args:
        engine: the ring engine of one attempt.
        keys: this attempt's expanded key (`mpc.aes.draw_key`, `expand_key`), the same for all shards.
        registers: per party (n_p,) XOR-shared link keys; unused slots hold random keys of the party's own.
        dummies: rows that each node adds to each register.
        randbits: where this node's dummies come from. Attempts at the same linkage draw the same (`repeatable`): the
            average of fresh noise over many attempts would be the truth.

    Raises:
        LinkageError: number of parties or rows out of bounds, or a repeated link key.
        IntegrityError: fewer rows match than this node itself entered into every register: some node shuffled or
            enciphered wrongly. That finds what spoils all rows of a register, not what spoils a few.
    """
    parties = len(registers)
    if not MIN_PARTIES <= parties <= MAX_PARTIES:
        raise LinkageError(f"{parties} registers; {MIN_PARTIES} to {MAX_PARTIES} can be linked")
    added = NODES * dummies
    rows = tuple(register.parts.shape[1] + added for register in registers)
    if max(rows) > MAX_ROWS:
        raise LinkageError(f"a register of {max(rows)} rows; at most {MAX_ROWS} fit. Agree on more shards.")
    filled = [register.parts for register in registers]
    own = draw_dummies(parties, dummies, randbits)
    if dummies:
        for node in range(NODES):
            entered = await engine.input_bits(node, own if node == engine.number else None, own.shape)
            filled = [np.concatenate([f, entered.parts[:, p]], axis=1) for p, f in enumerate(filled)]
    permutations, shuffled = [], []
    for register in filled:
        permutation = await engine.random_permutation(register.shape[1])
        permutations.append(permutation)
        shuffled.append((await engine.shuffle(Bits(register[:, None]), permutation)).parts[:, 0])
    opened = await tags(engine, keys, Bits(np.concatenate(shuffled, axis=1)))
    order = match(np.split(opened, np.cumsum(rows)[:-1]))
    expected = match(list(own)).shape[1]
    if order.shape[1] < expected:
        error = IntegrityError(
            "fewer rows of the registers match than this node made to match: a node shuffled or enciphered wrongly;"
            " nothing of this attempt may be used, compare the nodes' versions"
        )
        engine.wire.fail(error)
        raise error
    return LinkedShard(tuple(permutations), rows, added, order)


class Columns(NamedTuple):
    """Columns of one party's register in one shard."""

    linked: LinkedShard
    """The shard's linkage."""
    party: int
    """Position of the party among the registers."""
    values: Share
    """(c, n_p) in the order of the register's slots."""


async def align(engine: Engine, columns: Sequence[Columns]) -> list[Share]:
    """Bring columns into linked order, by their registers' stored permutations under fresh masks.

    They are shuffled side by side, CELLS_PER_SHUFFLE values at once: 3 rounds for so many, 16 bytes a value and node.

    Args:
        engine: the ring engine of any attempt of the epoch.
        columns: of any parties and shards.

    Returns:
        For each (c, linked); dummy patients have zeros.

    Raises:
        LinkageError: columns do not have their register's number of rows.
    """
    for linked, party, values in columns:
        rows, slots = linked.rows[party], values.shape[1]
        if slots + linked.dummies != rows:
            raise LinkageError(
                f"a column of party {party} has {slots} rows, its linked register {rows - linked.dummies}. "
                f"Share every block of the register, or link again.",
                party,
            )
    aligned = [np.empty((2, values.shape[0], linked.linked), np.uint64) for linked, _, values in columns]

    async def move(place: int, part: slice) -> None:
        linked, party, values = columns[place]
        slots = values.shape[1]
        padded = np.zeros((2, part.stop - part.start, linked.rows[party]), np.uint64)
        padded[:, :, :slots] = values.parts[:, part]
        moved = await engine.shuffle(Share(padded), linked.permutations[party])
        aligned[place][:, part] = moved.parts[:, :, linked.order[party]]

    for together in _steps(columns):
        await asyncio.gather(*(move(place, part) for place, part in together))
    return [Share(parts) for parts in aligned]


def _steps(columns: Sequence[Columns]) -> Iterator[list[tuple[int, slice]]]:
    """Parts of columns that are shuffled side by side, with the places of the columns; equal at all nodes."""
    together: list[tuple[int, slice]] = []
    cells = 0
    for place, (linked, party, values) in enumerate(columns):
        rows = max(linked.rows[party], 1)
        size = max(1, CELLS_PER_SHUFFLE // rows)
        for start in range(0, values.shape[0], size):
            part = slice(start, min(start + size, values.shape[0]))
            cells += (part.stop - start) * rows
            if together and cells > CELLS_PER_SHUFFLE:
                yield together
                together, cells = [], (part.stop - start) * rows
            together.append((place, part))
    if together:
        yield together
