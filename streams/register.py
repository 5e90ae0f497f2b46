"""The register of one shard: who is linked in this epoch, and each patient's permanent slot.

Patients known before the linkage date get slots when the register closes, in blocks of fixed size and in random
order, so that a slot tells nothing about arrival. Unused slots are never filled later.

The order, and the link keys of unused slots, are pseudorandom under a key that is the party's alone. Whoever lacks it
cannot tell them from fresh randomness; who has it knows the register anyway. So a shard whose state is lost draws the
same ones from the same events, and its snapshots are the same, byte for byte.
"""

import hmac
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mpc.prg import words
from streams.fixed import Int64s
from streams.people import People
from streams.pseudonym import encrypted, written

EPOCH = 0
"""The register's: agreements have one so far."""
_LABEL = b"winnow register v1\0"
_ORDER, _FILLER, _VACANT = b"order".ljust(12), b"filler".ljust(12), b"vacant".ljust(12)


def register_seed(key: bytes, agreement: str, party: str, shard: int, epoch: int) -> bytes:
    """32 bytes: HMAC-SHA256 under `key`, which is the party's own, of what one register belongs to.

    Another agreement, shard or epoch has other slots and other link keys where nobody is: nodes that serve both learn
    nothing from comparing them.
    """
    return hmac.digest(key, _LABEL + f"{agreement}\0{party}\0{shard}\0{epoch}".encode(), "sha256")


class Register:
    """People of one shard; open until the linkage date.

    Args:
        block_slots: slots of a block.
        seed: see register_seed.
    """

    def __init__(self, block_slots: int, seed: bytes) -> None:
        self._block_slots, self._seed = block_slots, seed
        self._people = People()
        self.slot_of: NDArray[np.int64] | None = None
        """(people,) each person's slot; None while the register is open."""
        self.blocks = 0

    @property
    def closed(self) -> bool:
        """Whether slots are given out."""
        return self.slot_of is not None

    @property
    def slots(self) -> int:
        """Slots of all blocks."""
        return self.blocks * self._block_slots

    @property
    def people(self) -> Sequence[str]:
        """Who is in it, by arrival."""
        return list(map(written, self._people))

    def restore(self, people: Sequence[str], *, closed: bool) -> None:
        """Put an empty register back to where another one with its seed was."""
        self._people = People(map(encrypted, people))
        if closed:
            self.close()

    def person(self, patient: str) -> int | None:
        """The person's number by arrival, new ones added while the register is open; None for who came later."""
        return self.known(patient) if self.closed else self._people.add(encrypted(patient))

    def known(self, patient: str) -> int | None:
        """The number of a person who is in it."""
        return self._people.find(encrypted(patient))

    def numbers(self, *, known: bool) -> Callable[[Sequence[bytes]], Int64s]:
        """A function: n pseudonyms (32 bytes, encrypted) → (n,) what `person` says, or with `known` only the numbers of
        those who are in it; streams.people.NOBODY for None.
        """
        return self._people.find_all if known or self.closed else self._people.add_all

    def close(self) -> None:
        """Give out slots. There is at least one block, so that an empty shard looks like a small one."""
        people = len(self._people)
        self.blocks = max(1, -(-people // self._block_slots))
        # Two of these words are equal with probability < slots²/2^65; stable, so that even then the order is one.
        order = np.argsort(words(self._seed, _ORDER, (self.slots,)), kind="stable")
        # By name, not by arrival: how source partitions came together must not show in the content.
        names = self.people
        by_name = sorted(range(people), key=names.__getitem__)
        self.slot_of = np.empty(people, dtype=np.int64)
        self.slot_of[by_name] = order[:people]

    def vacant(self) -> Int64s:
        """(slots − people,) slots where nobody is, in an order that is pseudorandom under the party's key.

        Raises:
            ValueError: the register is still open.
        """
        if self.slot_of is None:
            raise ValueError("the register is open; close it first")
        vacant = np.setdiff1d(np.arange(self.slots), self.slot_of)
        return vacant[np.argsort(words(self._seed, _VACANT, (len(vacant),)), kind="stable")]

    def link_column(self, link_key: Callable[[str], int]) -> NDArray[np.uint64]:
        """(1, slots) link keys; unused slots hold pseudorandom ones, which match nobody's.

        Raises:
            ValueError: the register is still open.
        """
        if self.slot_of is None:
            raise ValueError("the register is open; close it first")
        column = words(self._seed, _FILLER, (self.slots,)).copy()
        keys = [link_key(patient) for patient in self.people]
        column[self.slot_of] = np.array(keys, dtype=np.uint64)
        return column[None, :]
