"""The register of one shard: who is linked in this epoch, and each patient's permanent slot.

Patients known before the linkage date get slots when the register closes, in blocks of fixed size and in random
order, so that a slot tells nothing about arrival. Unused slots are never filled later.
"""

import secrets
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


class Register:
    """People of one shard; open until the linkage date."""

    def __init__(self, block_slots: int) -> None:
        self._block_slots = block_slots
        self._people: dict[str, int] = {}
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

    def person(self, patient: str) -> int | None:
        """The person's number by arrival, new ones added while the register is open; None for who came later."""
        if self.closed:
            return self._people.get(patient)
        return self._people.setdefault(patient, len(self._people))

    def close(self) -> None:
        """Give out slots. There is at least one block, so that an empty shard looks like a small one."""
        people = len(self._people)
        self.blocks = max(1, -(-people // self._block_slots))
        rng = np.random.default_rng(secrets.randbits(128))
        self.slot_of = rng.permutation(self.slots)[:people].astype(np.int64)

    def link_column(self, link_key: Callable[[str], int]) -> NDArray[np.uint64]:
        """(1, slots) link keys; unused slots hold fresh random ones, which match nobody's.

        Raises:
            ValueError: the register is still open.
        """
        if self.slot_of is None:
            raise ValueError("the register is open; close it first")
        column = np.frombuffer(secrets.token_bytes(8 * self.slots), dtype=np.uint64).copy()
        keys = [link_key(patient) for patient in self._people]
        column[self.slot_of] = np.array(keys, dtype=np.uint64)
        return column[None, :]
