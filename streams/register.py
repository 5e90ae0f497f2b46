"""The register of one shard: who is linked in this epoch, and each patient's permanent slot.

Patients known before the linkage date get slots when the first batch opens, in blocks of fixed size and in random
order, so that a slot tells nothing about arrival. Later batches open at agreed panes, in blocks of their own, for those
who were first heard of since. Unused slots are never filled later.

The order, and the link keys of unused slots, are pseudorandom under a key that is the party's alone. Whoever lacks it
cannot tell them from fresh randomness; who has it knows the register anyway. So a shard whose state is lost draws the
same ones from the same events, and its snapshots are the same, byte for byte.
"""

import hmac
from array import array
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mpc.prg import words
from streams.chest import Tables, table
from streams.fixed import Int64s
from streams.people import NOBODY, People
from streams.pseudonym import encrypted, written

EPOCH = 0
"""The register's: agreements have one so far."""
WAITS, OUT = -1, -2
"""Instead of a batch: of who may still enter one, and of who never will."""
_LABEL = b"winnow register v1\0"
_ORDER, _FILLER, _VACANT = b"order", b"filler", b"vacant"
_ONCE = pa.schema([("patient", pa.string())])
_GROWING = pa.schema([
    ("patient", pa.string()), pa.field("first", pa.int64(), nullable=False), ("left", pa.int64()),
    pa.field("batch", pa.int64(), nullable=False),
])


def register_seed(key: bytes, agreement: str, party: str, shard: int, epoch: int) -> bytes:
    """32 bytes: HMAC-SHA256 under `key`, which is the party's own, of what one register belongs to.

    Another agreement, shard or epoch has other slots and other link keys where nobody is: nodes that serve both learn
    nothing from comparing them.
    """
    return hmac.digest(key, _LABEL + f"{agreement}\0{party}\0{shard}\0{epoch}".encode(), "sha256")


class Opened(NamedTuple):
    """What the opening of a batch decided; people by number."""

    entered: Sequence[int]
    out: Sequence[int]
    """Those who will be in no batch."""


class Register:
    """People of one shard.

    Args:
        block_slots: slots of a block.
        seed: see register_seed.
        batches: how many open in all.
        minimum: a later batch with fewer people opens without any, and they wait for the next one.
    """

    def __init__(self, block_slots: int, seed: bytes, batches: int = 1, minimum: int = 1) -> None:
        self._block_slots, self._seed, self._batches, self._minimum = block_slots, seed, batches, minimum
        self._people = People()
        self._first, self._batch = array("b"), array("b")
        """By person: the first batch that they may enter; their batch, WAITS or OUT."""
        self._left: dict[int, int] = {}
        """Person → the batch that was next when they withdrew."""
        self._ends: list[int] = []
        """Blocks up to the end of each batch that is open."""
        self.slot_of: NDArray[np.int64] | None = None
        """(people when the latest batch opened,) each person's slot, NOBODY without one; None while none is open."""

    @property
    def opened(self) -> int:
        """Batches that are open; the next one has this number."""
        return len(self._ends)

    @property
    def closed(self) -> bool:
        """Whether the first batch is open, so that slots are given out."""
        return self.slot_of is not None

    @property
    def blocks(self) -> int:
        """Blocks of all batches that are open."""
        return self._ends[-1] if self._ends else 0

    @property
    def slots(self) -> int:
        """Slots of all blocks."""
        return self.blocks * self._block_slots

    @property
    def people(self) -> Sequence[str]:
        """Who was heard of and not too late, by arrival."""
        return list(map(written, self._people))

    @property
    def heard(self) -> int:
        """People by number: 0 ≤ number < heard."""
        return len(self._people)

    @property
    def waiting(self) -> int:
        """People who are in no batch yet, and may be in one."""
        return self._batch.count(WAITS)

    def slots_of(self, batches: int) -> int:
        """Slots of the first so many batches, which must be open."""
        return self._ends[batches - 1] * self._block_slots if batches else 0

    def blocks_of(self, batch: int) -> range:
        """A batch's blocks; it must be open."""
        return range(self._ends[batch - 1] if batch else 0, self._ends[batch])

    def dump(self) -> pa.RecordBatch:
        """As a table."""
        if self._batches == 1:
            return table(_ONCE, ((patient,) for patient in self.people))
        columns = enumerate(zip(self.people, self._first, self._batch, strict=True))
        return table(_GROWING, (
            (patient, first, self._left.get(number), batch) for number, (patient, first, batch) in columns
        ))

    def load(self, tables: Tables, name: str, opened: int) -> None:
        """Put an empty register back to where another one with its seed was.

        Args:
            tables: where its table is.
            name: of the table.
            opened: batches that were open.

        Raises:
            StoreError: no such table.
        """
        if self._batches == 1:
            self.restore([patient for (patient,) in tables.rows(name, _ONCE)], closed=opened > 0)
            return
        members = list(tables.rows(name, _GROWING))
        self._people = People(encrypted(patient) for patient, *_ in members)
        self._first, self._batch = (array("b", [member[column] for member in members]) for column in (1, 3))
        self._left = {number: left for number, (_, _, left, _) in enumerate(members) if left is not None}
        for batch in range(opened):
            self._place([number for number, of in enumerate(self._batch) if of == batch])

    def restore(self, people: Sequence[str], *, closed: bool) -> None:
        """The same for a register of one batch, of those who are in it."""
        self._people = People(map(encrypted, people))
        self._take_in(0)
        if closed:
            self.close()

    def person(self, patient: str, batch: int = 0) -> int | None:
        """The person's number by arrival; None for who is in no batch and never will be.

        Args:
            patient: pseudonym.
            batch: the first one that who is heard of now may enter, or the number of batches: none.
        """
        name, batch = encrypted(patient), max(batch, self.opened)
        number = self._people.add(name) if batch < self._batches else self._people.find(name)
        if number is None:
            return None
        self._take_in(batch)
        self._first[number] = min(batch, self._first[number])
        return None if self._batch[number] == OUT else number

    def known(self, patient: str) -> int | None:
        """The number of a person who was heard of."""
        return self._people.find(encrypted(patient))

    def find_all(self, patients: Sequence[bytes]) -> Int64s:
        """(n,) numbers of n pseudonyms (32 bytes, encrypted); NOBODY for who is not known, OUT for who never enters."""
        return self._barred(self._people.find_all(patients))

    def numbers(self, batch: int) -> Callable[[Sequence[bytes]], Int64s]:
        """A function: n pseudonyms (32 bytes, encrypted) → (n,) what `person` says; negative for None."""
        batch = max(batch, self.opened)

        def found(patients: Sequence[bytes]) -> Int64s:
            if batch == self._batches:
                return self.find_all(patients)
            heard = self._people.add_all(patients)
            self._take_in(batch)
            first = np.frombuffer(self._first, dtype=np.int8)
            first[heard] = np.minimum(first[heard], batch)
            return self._barred(heard)

        return found

    def first(self, number: int) -> int:
        """The first batch that a person may enter, as far as they were heard of."""
        return self._first[number]

    def batch(self, number: int) -> int:
        """A person's batch, WAITS or OUT."""
        return self._batch[number]

    def firsts_of(self, numbers: Int64s) -> Int64s:
        """(n,) what `first` says of n people."""
        return np.frombuffer(self._first, dtype=np.int8)[numbers].astype(np.int64)

    def batches_of(self, numbers: Int64s) -> Int64s:
        """(n,) what `batch` says of n people."""
        return np.frombuffer(self._batch, dtype=np.int8)[numbers].astype(np.int64)

    def leave(self, number: int, batch: int) -> None:
        """A person withdraws while `batch` is the first that who is heard of now may enter: they enter neither that one
        nor any after it.
        """
        if self._first[number] > 0 and self._batch[number] == WAITS:
            self._left[number] = min(max(batch, self.opened), self._left.get(number, self._batches))

    def _barred(self, numbers: Int64s) -> Int64s:
        """The same, in place, with OUT for those who never enter."""
        if self._batches > 1:
            known = np.flatnonzero(numbers >= 0)
            numbers[known[self.batches_of(numbers[known]) == OUT]] = OUT
        return numbers

    def _take_in(self, batch: int) -> None:
        """Note who is new. Who is not, and comes in an earlier word of another source partition, is the caller's to see
        to: the earliest word counts, whichever is read first.
        """
        new = len(self._people) - len(self._first)
        self._first.extend([batch] * new)
        self._batch.extend([WAITS] * new)

    def close(self) -> None:
        """Open the first batch, of a register that has no other one."""
        self.open()

    def open(self) -> Opened:
        """Open the next batch and give out its slots. There is at least one block, so that an empty shard looks like a
        small one.
        """
        batch = self.opened
        waiting = [number for number, at in enumerate(self._batch) if at == WAITS]
        stays = [n for n in waiting if batch == 0 or self._left.get(n, self._batches) > batch]
        entered = [n for n in stays if self._first[n] <= batch]
        if batch and len(entered) < self._minimum:
            entered = []
        for number in entered:
            self._batch[number] = batch
        self._place(entered)
        out = [n for n in waiting if self._batch[n] == WAITS and self._left.get(n, self._batches) <= batch + 1]
        for number in out:
            self._batch[number] = OUT
        return Opened(entered, out)

    def _place(self, entered: Sequence[int]) -> None:
        """Give the people of the next batch slots, in new blocks."""
        batch, base, people = self.opened, self.slots, len(entered)
        self._ends.append(self.blocks + max(1, -(-people // self._block_slots)))
        # Two of these words are equal with probability < slots²/2^65; stable, so that even then the order is one.
        order = base + np.argsort(self._words(_ORDER, batch, self.slots - base), kind="stable")
        # By name, not by arrival: how source partitions came together must not show in the content.
        names = self.people
        by_name = sorted(entered, key=names.__getitem__)
        before, self.slot_of = self.slot_of, np.full(self.heard, NOBODY, dtype=np.int64)
        if before is not None:
            self.slot_of[: len(before)] = before
        self.slot_of[by_name] = order[:people]

    def vacant(self, batch: int = 0) -> Int64s:
        """(slots − people,) slots of a batch where nobody is, in an order that is pseudorandom under the party's key.

        Raises:
            ValueError: the batch is not open.
        """
        slots = self._of(batch + 1)
        vacant = np.setdiff1d(np.arange(self.slots_of(batch), self.slots_of(batch + 1)), slots)
        return vacant[np.argsort(self._words(_VACANT, batch, len(vacant)), kind="stable")]

    def link_column(self, link_key: Callable[[str], int], batch: int = 0) -> NDArray[np.uint64]:
        """(1, slots of the batch) link keys; unused slots hold pseudorandom ones, which match nobody's.

        Raises:
            ValueError: the batch is not open.
        """
        slots, start = self._of(batch + 1), self.slots_of(batch)
        column = self._words(_FILLER, batch, self.slots_of(batch + 1) - start).copy()
        names = self.people
        mine = [number for number, at in enumerate(self._batch) if at == batch]
        column[slots[mine] - start] = np.array([link_key(names[number]) for number in mine], dtype=np.uint64)
        return column[None, :]

    def _of(self, batches: int) -> Int64s:
        """Everybody's slot."""
        if self.slot_of is None or batches > self.opened:
            raise ValueError(f"{self.opened} batches of the register are open, not {batches}; open them first")
        return self.slot_of

    def _words(self, label: bytes, batch: int, count: int) -> NDArray[np.uint64]:
        return words(self._seed, (label + (b"%d" % batch if batch else b"")).ljust(12), (count,))
