"""One shard of one party: its whole state, a fold over its log (ADR 14).

The log is the shard's partition of the sharded topic: stretches of source partitions, in columns. Equal logs leave
equal states and seal equal content; nothing else goes in, no clock and no fresh randomness. What was sent twice is told
by its offset in the source partition and dropped.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policy.agreement import Draft
from streams import chest
from streams.columns import ENDED, NEVER, EventColumns, Header, Mark
from streams.debits import Debits, Enrolments
from streams.envelope import PatientEvent
from streams.errors import StoreError, StreamsError
from streams.fixed import Int64s
from streams.numbering import position_of
from streams.panes import Progress, Sealed, ShardPanes
from streams.rejects import Reason
from streams.rowwise import CLAIM, ENROLMENT
from streams.validate import Validator
from streams.withdrawn import Listed

TOGETHER = 16
"""Debit lines and enrolments in a row that are quicker together than one by one; more than 1, since another event is
alone.
"""


class Refused(NamedTuple):
    """An event that what came before does not allow."""

    reason: Reason
    event: PatientEvent
    position: str
    """Its key, or its place on the source topic."""


class _Facts(BaseModel):
    """What a state holds besides its tables."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    position: int = Field(ge=0)
    latest: str = Field(pattern=r"^([0-9a-f]{64})?$")
    accepted: int = Field(ge=0)
    refused: dict[Reason, int] = Field(strict=False)
    refused_of: dict[int, int] = Field(strict=False)
    shared: int = Field(ge=0)
    foreign: int = Field(default=0, ge=0)
    seen: dict[int, Header] = Field(strict=False)
    panes: Progress


class Shard:
    """The fold.

    Args:
        draft: the agreement.
        party: whose shard.
        number: of the shard, and of its partition.
        seed: of the register, see streams.register.register_seed.
        partitions: of the source topic.
    """

    def __init__(
        self, draft: Draft, party: str, number: int, seed: bytes, partitions: int
    ) -> None:
        self._history, self.panes = Validator(draft, party), ShardPanes(draft, party, seed)
        self._sources = tuple(s.name for s in draft.party(party).sources)
        which = hashlib.sha256(seed).hexdigest()[:16]
        self.purpose = f"shard {number} of party {party} under agreement {draft.name}, register {which}"
        """What its states are for; they fit no other."""
        self.seen = {p: Header(partition=p, first=0, next=0) for p in range(partitions)}
        """Source partition → the header of its latest stretch."""
        self.position = 0
        """The next offset of the log."""
        self.latest = ""
        """SHA-256 of the log's record before it, hexadecimal; empty if nobody noted it. The fold does not touch it."""
        self.accepted = 0
        self._forgotten = NEVER
        """Events of before this instant are no longer remembered."""
        self.refused: Counter[Reason] = Counter()
        self.refused_of: Counter[int] = Counter()
        """Source partition → events of it that were refused."""
        self.shared = 0
        """Offset of the panes topic before which everything is with the nodes. The fold does not touch it."""
        self.foreign = 0
        """Records on its partitions of the sharded and the panes topic that the party did not write."""

    @property
    def ended(self) -> bool:
        """Every source has ended in every source partition, so that nothing more comes."""
        return all(header.ended(self._sources) for header in self.seen.values())

    def fold(self, offset: int, columns: EventColumns) -> Iterator[Refused | Sealed | Listed]:
        """Take in one record of the log; what it leaves is told as it comes. To be used to its end.

        Raises:
            StreamsError: a record is missing from the log, or is of a source partition that is not agreed.
        """
        header = columns.header
        before = self.seen.get(header.partition)
        if before is None or header.first > before.next or offset < self.position:
            raise StreamsError(
                f"{self.purpose}: record {offset} covers source partition {header.partition} from {header.first} on, "
                f"expected at most {None if before is None else before.next}: the log lost records"
            )
        new = np.flatnonzero(columns.offset >= before.next)
        others = [h for p, h in self.seen.items() if p != header.partition]
        slowest = min((h.watermark for h in others), default=ENDED)
        clock = min((_clock(h, self._sources) for h in others), default=ENDED)
        # An event tells the time of its own recording, too.
        now = np.maximum(columns.clock, columns.recorded)
        for rows in self._stretches(columns, new, now, slowest, clock):
            first = int(rows[0])
            yield from self._reach(min(slowest, int(columns.watermark[first])), min(clock, int(now[first])))
            staying = self._history.staying(columns, rows)
            self.accepted += len(rows) - len(staying)
            if len(staying) >= TOGETHER:
                yield from self._together(columns, staying, int(now[first]))
                continue
            for row in staying.tolist():
                yield from self._event(columns, row)
        self.refused_of[header.partition] += self.refused.total() - self.refused_of.total()
        if header.next > before.next:
            self.seen[header.partition] = header
            yield from self._reach(min(slowest, header.watermark), min(clock, _clock(header, self._sources)))
        self.position = offset + 1

    def pass_over(self, offset: int) -> None:
        """Go on after a record of the log that the party did not write."""
        self.position = offset + 1
        self.foreign += 1

    def _stretches(
        self, columns: EventColumns, new: Int64s, now: Int64s, slowest: int, clock: int
    ) -> list[Int64s]:
        """The new rows in order, cut where one is neither a debit line nor an enrolment, and where more has passed: in
        their partition, or in all, of which the others are at `slowest` and `clock`.
        """
        if not len(new):
            return []
        many = (((columns.kind == CLAIM) & ~columns.flag) | (columns.kind == ENROLMENT))[new]
        watermark, heard, changes = columns.watermark[new], now[new], self.panes.passing.changes
        cut = changes(watermark, heard) | changes(np.minimum(watermark, slowest), np.minimum(heard, clock)) | ~many
        cut[1:] |= ~many[:-1]
        return np.split(new, np.flatnonzero(cut[1:]) + 1)

    def _together(self, columns: EventColumns, rows: Int64s, clock: int) -> Iterator[Refused]:
        """Fold debit lines and enrolments between which nothing passes. No debit line decides on an enrolment."""
        watermark, enrolment = int(columns.watermark[rows[0]]), columns.kind[rows] == ENROLMENT
        refused: list[tuple[int, Refused]] = []
        came: dict[bytes, int] = {}
        if enrolment.any():
            refused += self._enrolments(columns, rows[enrolment], watermark, clock, came)
        debits = rows[~enrolment]
        if len(debits):
            refused += self._debits(columns, debits, watermark, clock, came)
        yield from (outcome for _, outcome in sorted(refused, key=lambda found: found[0]))

    def _enrolments(
        self, columns: EventColumns, rows: Int64s, watermark: int, clock: int, came: dict[bytes, int]
    ) -> Iterator[tuple[int, Refused]]:
        """Rows that are refused, and why; `came` gets who is heard of for the first time, and in which row."""
        lines = Enrolments.of(columns, rows)
        strangers = set(self._history.unknown(lines.patients))
        plain = self._history.plain(lines) & self.panes.on_time(lines, watermark, clock)
        entered = plain.copy()
        if plain.any():
            self._history.enter_enrolments(lines, np.flatnonzero(plain))
            self.panes.apply_enrolments(lines, np.flatnonzero(plain))
            self.accepted += int(plain.sum())
        for place in np.flatnonzero(~plain).tolist():
            row = int(rows[place])
            outcomes = list(self._event(columns, row))
            entered[place] = not outcomes
            yield from ((row, outcome) for outcome in outcomes)
        if strangers:
            # Backwards, so that the first one stays.
            of = zip(lines.patient[entered][::-1].tolist(), rows[entered][::-1].tolist(), strict=True)
            came.update((lines.patients[who], row) for who, row in of if lines.patients[who] in strangers)

    def _debits(
        self, columns: EventColumns, rows: Int64s, watermark: int, clock: int, came: Mapping[bytes, int]
    ) -> Iterator[tuple[int, Refused]]:
        """Rows that are refused, and why."""
        lines = Debits.of(columns, rows, self.panes.passing)
        since = np.array([came.get(patient, -1) for patient in lines.patients], dtype=np.int64)
        refused = self._history.enter_debits(
            lines, since[lines.patient] < rows, self.panes.horizon.at(watermark)
        )
        entered = np.ones(len(rows), dtype=np.bool_)
        entered[list(refused)] = False
        self.accepted += int(entered.sum())
        if entered.any():
            self.panes.apply_debits(lines, entered, watermark, clock)
        for place, reason in refused.items():
            row = int(rows[place])
            self.refused[reason] += 1
            yield row, Refused(reason, columns.event_at(row, self._sources), _place(columns, row))

    def _event(self, columns: EventColumns, row: int) -> Iterator[Refused]:
        event = columns.event_at(row, self._sources)
        outcome = self._history.enter(event, self.panes.horizon.at(int(columns.watermark[row])))
        if isinstance(outcome, Reason):
            self.refused[outcome] += 1
            yield Refused(outcome, event, _place(columns, row))
        else:
            self.accepted += 1
            self.panes.apply(outcome, int(columns.watermark[row]), int(columns.clock[row]))

    def _reach(self, watermark: int, clock: int) -> Iterator[Sealed | Listed]:
        self.panes.reach(watermark, clock)
        horizon = self.panes.horizon.at(self.panes.watermark)
        if horizon > self._forgotten:
            self._forgotten = horizon
            self._history.forget(horizon)
            self.panes.forget(horizon)
        while self.panes.ripe:
            sealed = self.panes.seal()
            yield sealed
            if sealed.revision == 0 and self.panes.withdrawn.is_boundary(sealed.pane + 1):
                self._history.forget_withdrawn()
                yield from self.panes.list_before(sealed.pane + 1)

    def dump(self, key: bytes) -> bytes:
        """The whole state, sealed under a key of the party's."""
        progress, tables = self.panes.dump()
        facts = _Facts(
            position=self.position, latest=self.latest, accepted=self.accepted, refused=dict(self.refused),
            refused_of=dict(self.refused_of), shared=self.shared, foreign=self.foreign,
            seen=self.seen, panes=progress,
        )
        return chest.lock(key, self.purpose, facts.model_dump_json(), {**self._history.dump(), **tables})

    def load(self, key: bytes, state: bytes) -> None:
        """Put a new shard back to where another one was.

        Raises:
            StoreError: not such a state, or another shard's, party's or agreement's.
        """
        text, tables = chest.unlock(key, self.purpose, state)
        try:
            facts = _Facts.model_validate_json(text)
        except ValidationError as error:
            raise StoreError(f"{self.purpose}: a state of another version") from error
        if facts.seen.keys() != self.seen.keys():
            raise StoreError(f"{self.purpose}: a state over {len(facts.seen)} source partitions, not {len(self.seen)}")
        self._history.load(tables)
        self.panes.load(facts.panes, tables)
        self._forgotten = self.panes.horizon.at(self.panes.watermark)
        self.seen, self.position, self.accepted = facts.seen, facts.position, facts.accepted
        self.refused, self.refused_of = Counter(facts.refused), Counter(facts.refused_of)
        self.shared, self.foreign, self.latest = facts.shared, facts.foreign, facts.latest


def _place(columns: EventColumns, row: int) -> str:
    key: bytes | None = columns.key[row].as_py()
    if key is None:
        return f"source:{columns.header.partition}:{int(columns.offset[row])}"
    return position_of(key).decode("utf-8", "replace")


def _clock(header: Header, sources: Sequence[str]) -> int:
    """The latest time of recording in a source partition; ENDED when its sources have."""
    if header.ended(sources):
        return ENDED
    return max(header.marks.get(name, Mark()).recorded for name in sources)
