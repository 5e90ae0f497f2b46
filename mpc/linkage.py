"""Linkage: which rows of the parties' registers belong to the same patient, once per shard and epoch.

Each register (XOR-shared 64-bit link keys) is shuffled by three permutations of which no node knows all, enciphered
under a shared AES key, and its 64-bit tags are opened. Equal tags are the same patient; the match is made in the
clear, on positions that mean nothing outside the shuffle. Later columns of a register replay its permutation.

Registers grow within an epoch by batches: blocks of new slots, which are shuffled by permutations of their own,
enciphered under the epoch's key and matched with all tags so far. Nothing that was linked moves.

What is learnt. Every node sees, per shard, how many patients each combination of parties has in common, noisily:
into each register each node enters `dummies` rows, a public number (mpc.dummies). Of a batch it sees the same, and
for how many new patients of some parties others had a row before. In aligned columns a dummy patient is a row of
zeros.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpc.aes import RoundKeys, tags
from mpc.dummies import draw_dummies, repeatable
from mpc.engine import Engine, Permutation
from mpc.errors import IntegrityError, LinkageError
from mpc.linked import MAX_PARTIES, MAX_ROWS, MAX_SEGMENTS, MIN_PARTIES, LinkedShard, Segment
from mpc.matching import NOWHERE, Join, Rows, Table, match, refuse_repeats
from mpc.share import Bits, Share

__all__ = ["Columns", "LinkageError", "LinkedShard", "align", "extend", "link", "repeatable"]

NODES = 3
CELLS_PER_SHUFFLE = 1 << 21
"""Values shuffled at once: 16 MiB a component."""


async def link(
    engine: Engine, keys: RoundKeys, registers: Sequence[Bits], dummies: int,
    randbits: Callable[[int], int] = secrets.randbits, *, join: Join = "inner", batches: int = 1,
) -> LinkedShard:
    """Link one shard's registers.

    Args:
        engine: the ring engine of one attempt.
        keys: this attempt's expanded key (`mpc.aes.draw_key`, `expand_key`), the same for all shards.
        registers: per party (n_p,) XOR-shared link keys; unused slots hold random keys of the party's own.
        dummies: rows that each node adds to each register.
        randbits: where this node's dummies come from. Attempts at the same linkage draw the same (`repeatable`): the
            average of fresh noise over many attempts would be the truth.
        join: `inner` links patients that every party has. `left` links every row of the first party's register, and
            has zeros in the columns of others that do not have the patient.
        batches: how many of them the registers hold.

    Raises:
        LinkageError: number of parties or rows out of bounds, or a repeated link key.
        IntegrityError: fewer rows match than this node itself entered into every register: some node shuffled or
            enciphered wrongly. That finds what spoils all rows of a register, not what spoils a few.
    """
    parties = len(registers)
    if not MIN_PARTIES <= parties <= MAX_PARTIES:
        raise LinkageError(f"{parties} registers; {MIN_PARTIES} to {MAX_PARTIES} can be linked")
    nobody = LinkedShard(join, keys.key, np.zeros((parties, 0), np.uint64), (), batches)
    return await _grown(engine, keys, nobody, registers, dummies, randbits)


async def extend(
    engine: Engine, keys: RoundKeys, linked: LinkedShard, registers: Sequence[Bits], dummies: int,
    randbits: Callable[[int], int],
) -> LinkedShard:
    """Link a batch: the blocks by which one shard's registers grew. Linked rows are only appended.

    A patient who is new at one party may have had a row at another, linked or not. A patient whom this makes complete
    gets a new linked row; vectors of before have nobody there. Of a left join, a new row of another party than
    the first fills the place that waits for it.

    Args:
        engine: the ring engine of one attempt.
        keys: the epoch's key, expanded from `linked.key` in this attempt, the same for all shards.
        linked: the linkage so far.
        registers: per party (n_p,) XOR-shared link keys of the new slots, also 0 of them. The parties see to it that
            batches hold many patients: a node knows only how many slots there are.
        dummies: rows that each node adds to each register.
        randbits: as for `link`, from another name for each batch. Attempts at one batch must draw the same: patients
            keep their tags from attempt to attempt, and whose tag changes would be a dummy.

    Raises:
        LinkageError: as `link`; another number of parties; another key; too many batches.
        IntegrityError: as `link`.
    """
    if len(registers) != len(linked.rows):
        raise LinkageError(f"a batch of {len(registers)} registers; the linkage is of {len(linked.rows)}")
    if keys.key != linked.key:
        raise LinkageError("the tags of this linkage were made under another key: expand the key that it keeps")
    if len(linked.segments) >= MAX_SEGMENTS:
        raise LinkageError(f"{MAX_SEGMENTS} segments are linked already; begin a new epoch")
    return await _grown(engine, keys, linked, registers, dummies, randbits)


async def _grown(
    engine: Engine, keys: RoundKeys, linked: LinkedShard, registers: Sequence[Bits], dummies: int,
    randbits: Callable[[int], int],
) -> LinkedShard:
    """`linked` and one segment more."""
    parties = len(registers)
    added = NODES * dummies
    rows = [register.parts.shape[1] + added for register in registers]
    most = max(new + old for new, old in zip(rows, linked.rows, strict=True))
    if most > MAX_ROWS:
        raise LinkageError(f"a register of {most} rows; at most {MAX_ROWS} fit. Agree on more shards.")
    earlier = linked.planted if linked.segments else None
    own = draw_dummies(parties, dummies, randbits, earlier)
    entered = await asyncio.gather(*(
        engine.input_bits(node, own if node == engine.number else None, own.shape) for node in range(NODES)
    ))
    filled = [
        Bits(np.concatenate([register.parts, *(each.parts[:, party] for each in entered)], axis=1))
        for party, register in enumerate(registers)
    ]
    permutations = [await engine.random_permutation(count) for count in rows]
    shuffled = await asyncio.gather(*(
        engine.shuffle(register, permutation) for register, permutation in zip(filled, permutations, strict=True)
    ))
    opened = np.split(await tags(engine, keys, Bits.concat(shuffled)), np.cumsum(rows)[:-1])
    tables = [Table.of(each) for each in opened]
    whole = [
        [*(segment.tables[party] for segment in linked.segments), table] for party, table in enumerate(tables)
    ]
    refuse_repeats(whole)
    *before, order = match(whole, [segment.order for segment in linked.segments], linked.join)
    kept = [replace(segment, order=places) for segment, places in zip(linked.segments, before, strict=True)]
    planted = np.concatenate([linked.planted, own], axis=1)
    found = LinkedShard(
        linked.join, linked.key, planted, (*kept, Segment(tuple(permutations), tuple(tables), added, order)),
        linked.first,
    )
    if _complete(found) - _complete(linked) < _everywhere(planted) - _everywhere(linked.planted):
        error = IntegrityError(
            "fewer rows of the registers match than this node made to match: a node shuffled or enciphered wrongly;"
            " nothing of this attempt may be used, compare the nodes' versions"
        )
        engine.wire.fail(error)
        raise error
    return found


def _complete(linked: LinkedShard) -> int:
    """Linked rows that every party has."""
    if linked.join == "inner":
        return linked.linked
    return sum(int((segment.order != NOWHERE).all(axis=0).sum()) for segment in linked.segments)


def _everywhere(planted: NDArray[np.uint64]) -> int:
    """Link keys that this node planted in every register."""
    return len(reduce(np.intersect1d, planted))


class Columns(NamedTuple):
    """Columns of one party's register in one shard."""

    linked: LinkedShard
    """The shard's linkage."""
    party: int
    """Position of the party among the registers."""
    values: Share
    """(c, n_p) in the order of the register's slots, those of all batches included."""


class _Segmented(NamedTuple):
    """What one segment has of one party's column, and where that goes."""

    slots: slice
    """In the column."""
    permutation: Permutation
    rows: Rows
    """Of the shuffled segment, those that are linked."""
    places: Rows | slice
    """Where these are among the linked rows."""


async def align(engine: Engine, columns: Sequence[Columns]) -> list[Share]:
    """Bring columns into linked order, by their segments' stored permutations under fresh masks.

    They are shuffled side by side, CELLS_PER_SHUFFLE values at once: 3 rounds for so many, 16 bytes a value and node.

    Args:
        engine: the ring engine of any attempt of the epoch.
        columns: of any parties and shards.

    Returns:
        For each (c, linked); dummy patients have zeros, and those of a left join whom the party does not have.

    Raises:
        LinkageError: columns do not have their register's number of rows.
    """
    for linked, party, values in columns:
        slots, expected = values.shape[1], linked.slots(party)
        if slots != expected:
            raise LinkageError(
                f"a column of party {party} has {slots} rows, its linked register {expected}. "
                f"Share every block of the register, or link again.",
                party,
            )
    parts = [_segmented(linked, party) for linked, party, _ in columns]
    aligned = [np.zeros((2, values.shape[0], linked.linked), np.uint64) for linked, _, values in columns]

    async def move(place: int, part: _Segmented, some: slice) -> None:
        values = columns[place].values.parts[:, some, part.slots]
        padded = np.zeros((2, values.shape[1], part.permutation.n), np.uint64)
        padded[:, :, : values.shape[2]] = values
        moved = await engine.shuffle(Share(padded), part.permutation)
        aligned[place][:, some, part.places] = moved.parts[:, :, part.rows]

    for together in _steps(columns, parts):
        await asyncio.gather(*(move(*each) for each in together))
    return [Share(each) for each in aligned]


def _segmented(linked: LinkedShard, party: int) -> list[_Segmented]:
    """Segments of which rows of the party are linked; the others need not be shuffled."""
    found = []
    everywhere = linked.places(party)
    slot, row = 0, 0
    for segment in linked.segments:
        permutation, slots = segment.permutations[party], segment.slots(party)
        places = np.flatnonzero((everywhere >= row) & (everywhere < row + permutation.n))
        if len(places):
            whole = len(places) == len(everywhere)
            rows = everywhere[places] - row
            found.append(_Segmented(
                slice(slot, slot + slots), permutation, rows, slice(None) if whole else places,
            ))
        slot, row = slot + slots, row + permutation.n
    return found


_Move = tuple[int, _Segmented, slice]


def _steps(columns: Sequence[Columns], parts: Sequence[Sequence[_Segmented]]) -> Iterator[list[_Move]]:
    """Pieces of columns that are shuffled side by side, with the places of the columns; equal at all nodes."""
    together: list[_Move] = []
    cells = 0
    for place, segments in enumerate(parts):
        count = columns[place].values.shape[0]
        for segment in segments:
            rows = segment.permutation.n
            size = max(1, CELLS_PER_SHUFFLE // rows)
            for start in range(0, count, size):
                some = slice(start, min(start + size, count))
                cells += (some.stop - start) * rows
                if together and cells > CELLS_PER_SHUFFLE:
                    yield together
                    together, cells = [], (some.stop - start) * rows
                together.append((place, segment, some))
    if together:
        yield together
