"""Opened tags, joined in the clear: which rows of the registers belong to the same patient.

A party's register is a list of tables, one a segment of the linkage; the last one is new. Its rows are counted through
the tables. What was joined before stays where it is, and new rows come after it.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mpc.errors import LinkageError
from mpc.share import Words

Join = Literal["inner", "left"]
"""`inner`: patients that every party has. `left`: all rows of the first register, with what others have of each."""
NOWHERE = -1
"""In place of a row: the party does not have the patient."""
Rows = NDArray[np.int64]


class Table(NamedTuple):
    """The tags of one segment of a register."""

    tags: Words
    """(n,) ascending."""
    rows: NDArray[np.uint32]
    """(n,) where each is in the shuffled segment."""

    @classmethod
    def of(cls, opened: Words) -> Self:
        """From tags in shuffled order."""
        order = np.argsort(opened)
        return cls(opened[order], order.astype(np.uint32))


Register = Sequence[Table]


def find(register: Register, wanted: Words) -> Rows:
    """(n,) the row of each wanted tag, NOWHERE if it is not there."""
    found = np.full(len(wanted), NOWHERE, np.int64)
    first = 0
    for tags, rows in register:
        if len(tags):
            places = np.minimum(np.searchsorted(tags, wanted), len(tags) - 1)
            here = np.flatnonzero(tags[places] == wanted)
            found[here] = rows[places[here]] + np.int64(first)
        first += len(tags)
    return found


def refuse_repeats(registers: Sequence[Register]) -> None:
    """Raises: LinkageError when a tag of a new table is twice in its register."""
    for party, (*earlier, new) in enumerate(registers):
        if np.any(new.tags[1:] == new.tags[:-1]) or np.any(find(earlier, new.tags) != NOWHERE):
            raise LinkageError(
                f"the register of party {party} holds a link key twice. A patient has one slot: "
                f"that party must repair its register before this shard can be linked.",
                party,
            )


def match(registers: Sequence[Register], order: Sequence[Rows], join: Join) -> tuple[Rows, ...]:
    """Join the new tables with all that there is.

    Args:
        registers: of each party, as many tables.
        order: what was joined before, a segment after another: (parties, k) rows, the k-th column of one patient.
        join: the same as before.

    Returns:
        `order` and what the new tables add to it. Of a left join, earlier columns may have found rows where there was
        NOWHERE.
    """
    if join == "inner":
        return (*order, _inner(registers))
    return _left(registers, order)


def _inner(registers: Sequence[Register]) -> Rows:
    """Patients that are complete now, by the first party where they are new, then by their tags."""
    added = []
    for party, (*earlier, new) in enumerate(registers):
        if party and not earlier:
            break  # everybody's rows are new: those of the first party are all that can be complete
        rows = np.empty((len(registers), len(new.tags)), np.int64)
        rows[party] = new.rows + np.int64(sum(len(tags) for tags, _ in earlier))
        complete = np.arange(len(new.tags))
        for other, register in enumerate(registers):
            if other != party:
                found = find(register[:-1] if other < party else register, new.tags[complete])
                rows[other, complete] = found
                complete = complete[found != NOWHERE]
        added.append(rows[:, complete])
    return np.concatenate(added, axis=1)


def _left(registers: Sequence[Register], order: Sequence[Rows]) -> tuple[Rows, ...]:
    """Linked rows are the first register's, in its shuffled order, so that a row's number is its place here too."""
    *earlier, new = registers[0]
    ends = np.cumsum([len(tags) for tags, _ in registers[0]])
    added = np.empty((len(registers), len(new.tags)), np.int64)
    for party, register in enumerate(registers):
        added[party, new.rows] = find(register, new.tags)
    whole = np.concatenate([*order, added], axis=1)
    for party, register in enumerate(registers[1:], 1):
        later = register[-1].tags
        places = find(earlier, later)
        known = places != NOWHERE
        whole[party, places[known]] = find(register, later[known])
    return tuple(np.split(whole, ends[:-1], axis=1))
