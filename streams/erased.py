"""What one node was asked to erase, and how far it has: durable lists of rows by party and shard, and what they make of
a batch.

Lists count in the order of their numbers. How many are *marked* is durable before any file is touched, so that whatever
is read or written after a crash is erased again. How many are *done* is how many of them all files here obey.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from policy.agreement import Terms
from policy.erasure import Erasure
from streams.batch import BatchHeader
from streams.durable import replace_file
from streams.erasure import ErasureList
from streams.errors import BatchError, StoreError
from streams.fixed import Int64s

MAX_INCIDENTS = 1_000
"""Incidents remembered; all are logged."""
_FOLDER = "erasure"
Side = tuple[str, int]
"""Party and shard."""
Components = dict[int, NDArray[np.uint64]]


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _ListFile(_Stored):
    received_at: AwareDatetime
    list: str


class _Marks(_Stored):
    at: tuple[AwareDatetime, ...] = ()
    """When each list was marked."""
    told: int = Field(default=0, ge=0)


class Kept(NamedTuple):
    """A list as a node holds it."""

    number: int
    boundary: int
    digest: str
    received_at: datetime
    slots: Int64s


class Stand(NamedTuple):
    """Leading lists of one side."""

    known: int
    due: int
    """Whose delay has passed."""
    overdue: int
    """That this node has had for as long as agreed."""
    marked: int
    """That are to be obeyed, as all three nodes decided."""
    done: int
    """Erased in all files here."""


@dataclass
class _Side:
    lists: list[Kept] = field(default_factory=list)
    marks: _Marks = field(default_factory=_Marks)
    done: int = 0
    named: set[int] = field(default_factory=set)
    """Slots of all lists."""
    rows: tuple[Int64s, Int64s] = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    """Slots of all marked lists, and the boundary of each; replaced at once, for whoever reads in another thread."""

    @property
    def marked(self) -> int:
        return len(self.marks.at)

    def append(self, kept: Kept) -> None:
        self.lists.append(kept)
        self.named.update(kept.slots.tolist())

    def gather(self, marked: int) -> None:
        mine, none = self.lists[:marked], np.empty(0, dtype=np.int64)
        self.rows = (
            np.concatenate([none, *(kept.slots for kept in mine)]),
            np.concatenate([none, *(np.full(len(kept.slots), kept.boundary) for kept in mine)]),
        )


class Erased:
    """Of one node under one agreement; files lie beside the batches in `folder`.

    Raises:
        StoreError: a file is damaged, or missing.
    """

    def __init__(self, folder: Path, terms: Terms) -> None:
        self._folder, self._terms = folder, terms
        self._sides = {(p.name, shard): _Side() for p in terms.draft.parties for shard in range(terms.draft.shards)}
        self.incidents: list[tuple[str, int, int]] = []
        """Party, shard and number of lists that do not follow from those before them, or that differ between nodes."""
        self.differing: dict[Side, int] = {}
        """Sides of which nodes have different lists → the number of the first that differs, as they said last."""
        self._log = structlog.get_logger()
        for side, held in self._sides.items():
            self._read(side, held)

    def take(self, found: ErasureList, slots: int | None, now: datetime) -> None:
        """Keep a list, durably; one already here is ignored if it is the same, and an incident if not.

        One that comes before what it follows on is left: its party sends it again (streams.resend).

        Args:
            found: signed by its party, and checked against the agreement (streams.erasure).
            slots: of the side's register; None: not all of it is here.
            now: when it came.

        Raises:
            StoreError: the disk is full, or does not let us write.
        """
        held = self._sides[found.side]
        if found.number < len(held.lists) and held.lists[found.number].digest == found.digest:
            return
        if (early := _early(held, found, slots)) is not None:
            self._log.warning(
                "erasure list came too early", party=found.party, shard=found.shard, number=found.number, reason=early
            )
            return
        if (reason := _fault(held, found, slots)) is not None:
            self._incident(found.side, found.number, reason)
            return
        text = _ListFile(received_at=now, list=found.canonical.decode()).model_dump_json()
        self._write(self._path(found.side) / _name(found.number), text.encode())
        held.append(_kept(found, now))

    def differs(self, side: Side, number: int) -> None:
        """Note that the three nodes have different contents of a list."""
        self.differing[side] = number
        self._incident(side, number, "nodes have different contents of it")

    def known(self, party: str) -> tuple[int, ...]:
        """Leading lists of a party that are here, by shard."""
        return tuple(len(held.lists) for (name, _), held in self._sides.items() if name == party)

    @property
    def sides(self) -> tuple[Side, ...]:
        """All parties and shards, in an order that is equal at all nodes."""
        return tuple(self._sides)

    def lists(self, side: Side) -> tuple[Kept, ...]:
        """All that are known, in order."""
        return tuple(self._sides[side].lists)

    def stand(self, side: Side, complete: int, now: datetime, sealed: int) -> Stand:
        """How far this node is with one side.

        Args:
            side: party and shard.
            complete: leading panes that are complete here, for the last edition of results.
            now: by this node's clock.
            sealed: leading panes of the side that are here, as first sealed. A list is never due before all of those
                before its boundary are: a party must not close panes that it did not share.
        """
        held, agreed = self._sides[side], self._agreed
        longest, count = self._terms.draft.lattice.longest_scheduled, self._terms.draft.panes.count
        due = overdue = held.marked
        for kept in held.lists[held.marked :]:
            if sealed < kept.boundary:
                break
            late = now - kept.received_at >= timedelta(days=agreed.within_days)
            if not late and complete < agreed.complete_by(kept.boundary, longest, count):
                break
            due += 1
            overdue = due if late else overdue
        return Stand(len(held.lists), due, overdue, held.marked, held.done)

    def digest_of(self, side: Side, lists: int) -> str:
        """Of the first so many lists, which must be known: 64 hexadecimal digits."""
        text = "".join(kept.digest for kept in self._sides[side].lists[:lists])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def digest(self) -> str:
        """Of everything that is marked; empty if nothing is."""
        marked = [f"{side} {h.marked} {self.digest_of(side, h.marked)}" for side, h in self._sides.items() if h.marked]
        return hashlib.sha256("\n".join(marked).encode()).hexdigest() if marked else ""

    @property
    def panes(self) -> int:
        """Leading panes in which rows are erased, or are about to be; 0: none."""
        return max((h.lists[h.marked - 1].boundary for h in self._sides.values() if h.marked), default=0)

    def mark(self, side: Side, lists: int, now: datetime) -> None:
        """Note, durably, that the first so many lists are to be obeyed from now on."""
        held = self._sides[side]
        if lists > held.marked:
            marks = _Marks(at=(*held.marks.at, *[now] * (lists - held.marked)), told=held.marks.told)
            self._store(side, marks)
            # Rows first: a file that another thread writes meanwhile must not say that it obeys what it does not.
            held.gather(lists)
            held.marks = marks

    def marked(self, side: Side) -> int:
        """Lists that all that is written obeys."""
        return self._sides[side].marked

    def finish(self, side: Side) -> None:
        """All files obey what is marked."""
        self._sides[side].done = self._sides[side].marked

    def untold(self) -> Iterator[tuple[Side, Kept, datetime]]:
        """Lists that are done and of which nobody was told, with when they were marked."""
        for side, held in self._sides.items():
            for kept in held.lists[held.marks.told : held.done]:
                yield side, kept, held.marks.at[kept.number]

    @property
    def receipts(self) -> int:
        """Lists of all sides that were told of."""
        return sum(held.marks.told for held in self._sides.values())

    def told(self, side: Side, lists: int) -> None:
        """Note that the first so many were told of."""
        held = self._sides[side]
        marks = held.marks.model_copy(update={"told": lists})
        self._store(side, marks)
        held.marks = marks

    def changes(self, side: Side, pane: int, obeyed: int) -> bool:
        """Whether a file of a pane (-1: the register) that obeys so many lists is to be written anew."""
        held = self._sides[side]
        return any(kept.boundary > pane for kept in held.lists[obeyed : held.marked])

    def blanked(self, header: BatchHeader, components: Mapping[int, NDArray[np.uint64]]) -> Components:
        """A batch's components as they are kept: in rows that are erased, 0; of a register, a public word.

        All three components are set, so that a row is 0 and not what the other two leave. The word is another one for
        every row: linkage refuses equal ones, and it links with nobody.
        """
        (slots, boundaries), size = self._sides[header.key[:2]].rows, self._terms.draft.linkage.block_slots
        mine = slots[(boundaries > header.pane) & (slots // size == header.block)]
        if not len(mine):
            return dict(components)
        words = np.zeros(len(mine), dtype=np.uint64)
        if header.kind == "register":
            words = np.array([self._word(header, slot) for slot in mine.tolist()], dtype=np.uint64)
        found = {number: component.copy() for number, component in components.items()}
        for number, component in found.items():
            component[:, mine % size] = words if number == 0 else 0
        return found

    def _incident(self, side: Side, number: int, reason: str) -> None:
        if len(self.incidents) < MAX_INCIDENTS:
            self.incidents.append((*side, number))
        self._log.error("erasure list ignored", party=side[0], shard=side[1], number=number, reason=reason)

    @property
    def _agreed(self) -> Erasure:
        agreed = self._terms.draft.erasure
        if agreed is None:
            raise StoreError("an erasure list is here, and none is agreed")
        return agreed

    def _word(self, header: BatchHeader, slot: int) -> int:
        text = f"winnow erased row\0{self._terms.hash}\0{header.party}\0{header.shard}\0{slot}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")

    def _path(self, side: Side) -> Path:
        return self._folder / side[0] / f"shard-{side[1]:02d}" / _FOLDER

    def _read(self, side: Side, held: _Side) -> None:
        path = self._path(side)
        try:
            for number in range(len(list(path.glob("list-*.json")))):
                file = _ListFile.model_validate_json((path / _name(number)).read_bytes())
                found = ErasureList.read(file.list.encode())
                if (found.agreement, found.side, found.number) != (self._terms.hash, side, number):
                    raise BatchError(f"{_name(number)} holds another list")
                held.append(_kept(found, file.received_at))
            if (path / "marks.json").exists():
                held.marks = _Marks.model_validate_json((path / "marks.json").read_bytes())
        except (OSError, BatchError) as error:
            raise StoreError(f"{path} cannot be read: {error}. Restore the folder of this node.") from error
        except ValidationError:
            raise StoreError(
                f"{path} cannot be read: a file in it is damaged. Restore the folder of this node."
            ) from None  # its text holds what is in the file
        if held.marks.told > held.marked or held.marked > len(held.lists):
            raise StoreError(f"{path} lacks lists of which rows were erased. Restore the folder of this node.")
        held.gather(held.marked)

    def _store(self, side: Side, marks: _Marks) -> None:
        self._write(self._path(side) / "marks.json", marks.model_dump_json().encode())

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(path, content)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}. Make room, or let this user write there.") from error


def _early(held: _Side, found: ErasureList, slots: int | None) -> str | None:
    """What is to be here before a list."""
    if found.number > len(held.lists):
        return f"{len(held.lists)} lists are here, so one before it is missing"
    return "the register is not here" if slots is None else None


def _fault(held: _Side, found: ErasureList, slots: int | None) -> str | None:
    """Why a list cannot be the next one; it is not early."""
    lists = held.lists
    if found.number < len(lists):
        return "another list has that number"
    if slots is not None and found.slots[-1] >= slots:
        return "rows that the register does not have"
    if lists and found.boundary < lists[-1].boundary:
        return "its boundary lies before an earlier list's"
    if not held.named.isdisjoint(found.slots):
        return "rows of an earlier list"
    return None


def _kept(found: ErasureList, received_at: datetime) -> Kept:
    return Kept(found.number, found.boundary, found.digest, received_at, np.array(found.slots, dtype=np.int64))


def _name(number: int) -> str:
    return f"list-{number:05d}.json"
