"""Who of one shard's register has withdrawn, and whose rows the nodes were asked to erase (ADR 22).

A list names `batch_slots` slots, of one batch where the register grows: of patients who withdrew, and slots where
nobody is, so that it tells nobody who or how many they are. It follows from the shard's log like everything else: who
is on it, from what withdrew before its boundary; the padding, from the party's key. Who cannot be hidden among enough
padding waits for others.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from policy.erasure import Erasure
from streams.chest import Tables, table
from streams.fixed import Int64s
from streams.register import Register

_WITHDRAWN, _LISTED, _PADDING = (
    pa.schema([pa.field(name, pa.int64(), nullable=False) for name in names])
    for names in (("person", "pane"), ("person", "list"), ("slot",))
)


class Listed(NamedTuple):
    """Slots of one shard whose rows are to be erased."""

    number: int
    """0, 1, 2 … of the shard."""
    boundary: int
    """Rows of all panes before this one are erased."""
    slots: tuple[int, ...]
    """Ascending; as many as agreed."""


class Withdrawals:
    """Of one register, over a grid of so many panes; people by their number there. Without an agreed erasure nobody is
    listed. `grows`: whether the register has more than one batch.
    """

    def __init__(self, erasure: Erasure | None, panes: int, *, grows: bool = False) -> None:
        self._erasure, self._panes, self._grows = erasure, panes, grows
        self._first: dict[int, int] = {}
        """Person → the first pane in which nothing of theirs counts."""
        self._listed: dict[int, int] = {}
        """Person → the list that they are on."""
        self._lists = 0
        self._padding: list[int] = []
        """Slots where nobody is that lists name."""

    @property
    def made(self) -> int:
        """Lists made so far."""
        return self._lists

    @property
    def waiting(self) -> int:
        """People who withdrew and are on no list yet; 0 where nothing is erased."""
        return 0 if self._erasure is None else len(self._first) - len(self._listed)

    def add(self, person: int, pane: int) -> None:
        """Somebody withdraws: nothing of theirs counts from a pane on. What was said first stands."""
        self._first.setdefault(person, pane)

    def forget(self, people: Iterable[int]) -> None:
        """People who have no slot and never will."""
        for person in people:
            self._first.pop(person, None)

    def without(self, pane: int) -> Int64s:
        """People of whom nothing counts in a pane that is sealed now, for the first time or anew."""
        found = [p for p, first in self._first.items() if first <= pane or p in self._listed]
        return np.array(found, dtype=np.int64)

    def is_boundary(self, pane: int) -> bool:
        """Whether lists are made before this pane."""
        return self._erasure is not None and self._erasure.is_boundary(pane, self._panes)

    def list_before(self, boundary: int, register: Register, batches: int = 1) -> tuple[list[Listed], set[int]]:
        """The next lists, of those who withdrew before a boundary, and who is on them.

        Args:
            boundary: all panes before it are sealed. Who withdrew before it came, in their source partition, before
                the last of these panes had passed there: so however partitions come together, they are known by now.
            register: with at least the first so many batches open.
            batches: those of which panes before the boundary are shared. A list has people and padding of one of them:
                how full each is can be guessed, and where nearly nobody or nearly everybody is a row would stand out.
        """
        if self._erasure is None or register.slot_of is None:
            return [], set()
        slot_of, size = register.slot_of, self._erasure.batch_slots
        # Who waits longest comes first. By slot, not by arrival: how partitions came together must not show.
        found = [(first, p) for p, first in self._first.items() if first < boundary and p not in self._listed]
        placed = sorted((first, int(slot_of[p]), p) for first, p in found if p < len(slot_of))
        made: list[Listed] = []
        people: set[int] = set()
        for batch in range(batches):
            start, stop = register.slots_of(batch), register.slots_of(batch + 1)
            left, vacant = [each for each in placed if start <= each[1] < stop], np.empty(0, dtype=np.int64)
            if left:
                vacant = register.vacant(batch)
                vacant = vacant[~np.isin(vacant, self._padding)]
            while left and size - len(left[:size]) <= len(vacant):
                mine, left = left[:size], left[size:]
                padding, vacant = np.split(vacant, [size - len(mine)])
                self._padding += padding.tolist()
                named = sorted([*(slot for _, slot, _ in mine), *padding.tolist()])
                made.append(Listed(self._lists, boundary, tuple(named)))
                self._listed.update((person, self._lists) for _, _, person in mine)
                people.update(person for _, _, person in mine)
                self._lists += 1
        return made, people

    def dump(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """As tables, by name."""
        yield "withdrawn", table(_WITHDRAWN, self._first.items())
        if self._erasure is not None:
            yield "listed", table(_LISTED, self._listed.items())
            if self._grows:
                yield "padding", table(_PADDING, ((slot,) for slot in self._padding))

    def load(self, tables: Tables, register: Register) -> None:
        """Put a new one back to where it was, as its register is.

        Raises:
            StoreError: not the tables of `dump`.
        """
        self._first = dict(tables.rows("withdrawn", _WITHDRAWN))
        if self._erasure is not None:
            self._listed = dict(tables.rows("listed", _LISTED))
            self._lists = 1 + max(self._listed.values(), default=-1)
            if self._grows:
                self._padding = [slot for (slot,) in tables.rows("padding", _PADDING)]
            elif self._lists:
                # Of one batch they come in one order.
                padded = self._lists * self._erasure.batch_slots - len(self._listed)
                self._padding = register.vacant()[:padded].tolist()
