"""Event columns: events of one partition of a source topic, all kinds together, an array a field.

They stand on the sharded topic. One record holds one shard's rows of a stretch of one source partition, and a header
that says which stretch, and how far that partition's sources are at its end; so watermarks and offsets travel even
where a shard has no row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streams.broker import MAX_MESSAGE_BYTES
from streams.envelope import PatientEvent
from streams.errors import BatchError
from streams.rowwise import KINDS, Row, event_of, row_of
from streams.tags import TAG_BYTES

MAX_ROWS = 1 << 16
"""Rows of one record; more than a message can hold."""
MAX_BYTES = MAX_MESSAGE_BYTES - TAG_BYTES
"""Largest record."""
MAX_KEY_BYTES = 400
"""A row's key keeps this much of its beginning, as the positions of refused lines do."""
NEVER, ENDED = -(2**63), 2**63 - 1
"""Before a source's first word, and after its last: the ends of int64."""
NO_NAME = -1
UNKNOWN_SOURCE = 255
"""A source that is not agreed; more than 255 sources of one party are refused (streams.parse)."""
HEADER_LENGTH_BYTES = 4

Int64s = NDArray[np.int64]
Instant = Annotated[int, Field(ge=NEVER, le=ENDED)]
"""Microseconds since 1970 UTC."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Mark(Frozen):
    """How far one source is in one source partition; instants, NEVER before its first word."""

    told: Instant = NEVER
    """What its heartbeats say: the latest min(until, recorded_at)."""
    occurred: Instant = NEVER
    """The latest occurred_at."""
    recorded: Instant = NEVER
    """The latest recorded_at, heartbeats included."""
    seen: Instant = NEVER
    """The latest recorded_at of an event."""
    final: bool = False
    """The source has ended here."""

    def watermark(self, bound: int) -> int:
        """Nothing on time comes from before this instant; `bound`: how late its events may be, in microseconds."""
        if self.final:
            return ENDED
        if self.occurred == NEVER:
            return self.told
        return max(self.told, min(self.occurred - bound, self.seen))


class Header(Frozen):
    """Which stretch of a source partition a record covers, and where that partition stands at its end."""

    version: Literal[1] = 1
    partition: int = Field(ge=0)
    """Of the source topic."""
    first: int = Field(ge=0)
    """The first offset covered."""
    next: int = Field(ge=0)
    """The first offset not covered any more: where ingest goes on."""
    marks: dict[str, Mark] = {}
    """Agreed source → how far it is."""
    watermark: Instant = NEVER
    """The least of its sources', with the bounds of the agreement."""
    accepted: int = Field(default=0, ge=0)
    """Events that ingest let through, of all shards, from the partition's beginning to `next`."""
    line: int = Field(default=0, ge=0)
    """Number of the last line of a replay, 0 before the first (streams.numbering)."""
    refused: dict[str, Annotated[int, Field(ge=1)]] = {}
    """Reason → events that ingest refused, likewise. Totals: a stretch that is sent again may be cut otherwise."""

    def ended(self, sources: Sequence[str]) -> bool:
        """Whether every one of these sources has ended in this partition."""
        return all(name in self.marks and self.marks[name].final for name in sources)


class _Names(Frozen):
    """The first part of a record."""

    header: Header
    codes: Annotated[tuple[str, ...], Field(max_length=MAX_ROWS, strict=False)]
    details: Annotated[tuple[str, ...], Field(max_length=MAX_ROWS, strict=False)]


@dataclass(frozen=True, eq=False)
class EventColumns:
    """n events in the order of their offsets; arrays of n, never written to."""

    header: Header
    codes: tuple[str, ...]
    """What `code` points into."""
    details: tuple[str, ...]
    """What `detail` points into."""
    offset: Int64s
    """In the source partition, ascending."""
    watermark: Int64s
    """The source partition's watermark before this event (µs since 1970, NEVER, ENDED): what decides on lateness does
    not depend on how many records came together.
    """
    clock: Int64s
    """The latest recorded_at in the source partition before this event, heartbeats included; NEVER before the first."""
    kind: NDArray[np.uint8]
    """Index into KINDS."""
    event: NDArray[np.void]
    """V16: the event id, decoded. V: as numpy's S, bytes would lose zeros at their end."""
    patient: NDArray[np.void]
    """V32: the pseudonym of version 1, decoded."""
    corrects: NDArray[np.void]
    """V16, zeros where there is none."""
    has_corrects: NDArray[np.bool_]
    occurred: Int64s
    """µs since 1970 UTC"""
    recorded: Int64s
    """µs since 1970 UTC"""
    source: NDArray[np.uint8]
    """Index into the party's agreed sources, or UNKNOWN_SOURCE."""
    code: NDArray[np.int32]
    """Index into `codes`: care type, programme, field, encounter class, module, instrument; NO_NAME: a withdrawal."""
    value: Int64s
    """Cents, or hundredths of a point; else 0."""
    detail: NDArray[np.int32]
    """Index into `details`: product, monitoring status, value of a social field; NO_NAME: none, or not known."""
    until: Int64s
    """µs since 1970 UTC: stop of an enrolment, due of a module completed; 0 where there is none."""
    has_until: NDArray[np.bool_]
    flag: NDArray[np.bool_]
    """Credit line; cancellation."""
    key: pa.Array
    """Binary, nullable: the key of the Kafka record, which says where the line stands."""

    def __len__(self) -> int:
        return len(self.offset)

    @classmethod
    def from_rows(cls, rows: Sequence[Row], offsets: Sequence[int], sources: Sequence[str], header: Header,
                  keys: Sequence[bytes | None] | None = None) -> Self:
        """Columns from rows of streams.rowwise; `watermark` and `clock` are NEVER everywhere.

        Args:
            rows: n rows.
            offsets: n offsets, ascending.
            sources: the party's agreed sources, in the agreement's order.
            header: of the record.
            keys: n keys; None: no row has one.
        """
        codes: dict[str, int] = {}
        details: dict[str, int] = {}
        place = {name: index for index, name in enumerate(sources)}

        def named(names: dict[str, int], name: str | None) -> int:
            return NO_NAME if name is None else names.setdefault(name, len(names))

        def ids(found: list[bytes], size: int) -> NDArray[np.void]:
            return np.frombuffer(b"".join(found), dtype=f"V{size}")

        n = len(rows)
        return cls(
            header=header,
            offset=np.array(offsets, dtype=np.int64), watermark=np.full(n, NEVER, dtype=np.int64),
            clock=np.full(n, NEVER, dtype=np.int64), kind=np.array([r.kind for r in rows], dtype=np.uint8),
            event=ids([r.event for r in rows], 16), patient=ids([r.patient for r in rows], 32),
            corrects=ids([r.corrects or bytes(16) for r in rows], 16),
            has_corrects=np.array([r.corrects is not None for r in rows], dtype=np.bool_),
            occurred=np.array([r.occurred for r in rows], dtype=np.int64),
            recorded=np.array([r.recorded for r in rows], dtype=np.int64),
            source=np.array([place.get(r.source, UNKNOWN_SOURCE) for r in rows], dtype=np.uint8),
            code=np.array([named(codes, r.code) for r in rows], dtype=np.int32),
            value=np.array([r.value for r in rows], dtype=np.int64),
            detail=np.array([named(details, r.detail) for r in rows], dtype=np.int32),
            until=np.array([r.until or 0 for r in rows], dtype=np.int64),
            has_until=np.array([r.until is not None for r in rows], dtype=np.bool_),
            flag=np.array([r.flag for r in rows], dtype=np.bool_),
            key=keys_array(keys if keys is not None else [None] * n),
            codes=tuple(codes), details=tuple(details),
        )

    @classmethod
    def from_events(cls, events: Sequence[PatientEvent], offsets: Sequence[int], sources: Sequence[str],
                    header: Header | None = None, keys: Sequence[bytes | None] | None = None) -> Self:
        """Columns from envelopes, one by one: for tests and for what the fast path leaves.

        Without a header it is one of partition 0 that covers these offsets. See from_rows.
        """
        if header is None:
            header = Header(partition=0, first=min(offsets, default=0), next=max(offsets, default=-1) + 1)
        return cls.from_rows([row_of(event) for event in events], offsets, sources, header, keys)

    def event_at(self, i: int, sources: Sequence[str]) -> PatientEvent:
        """The i-th event as an envelope, times in UTC.

        Raises:
            IndexError: its source is not agreed.
            OverflowError: an instant outside the years 1 to 9999 (streams.judge refuses those).
        """
        code, detail = int(self.code[i]), int(self.detail[i])
        return event_of(Row(
            kind=int(self.kind[i]), event=self.event[i].tobytes(), patient=self.patient[i].tobytes(),
            corrects=self.corrects[i].tobytes() if self.has_corrects[i] else None,
            occurred=int(self.occurred[i]), recorded=int(self.recorded[i]), source=sources[self.source[i]],
            code=None if code == NO_NAME else self.codes[code], value=int(self.value[i]),
            detail=None if detail == NO_NAME else self.details[detail],
            until=int(self.until[i]) if self.has_until[i] else None, flag=bool(self.flag[i]),
        ))

    def take(self, indices: NDArray[np.integer[Any]], header: Header | None = None) -> Self:
        """The rows at `indices` (ascending, so that offsets stay so), under another header if one is given."""
        rows = {name: getattr(self, name)[indices] for name in _ARRAYS}
        key = pa.nulls(len(indices), pa.binary()) if self.key.null_count == len(self.key) else self.key.take(
            pa.array(indices)
        )
        return replace(self, **rows, key=key, header=header or self.header)

    @classmethod
    def concat(cls, parts: Sequence[Self], header: Header) -> Self:
        """All rows of one or more parts, in order of their offsets, under one header."""
        codes: dict[str, int] = {}
        details: dict[str, int] = {}
        code = [_renamed(part.code, part.codes, codes) for part in parts]
        detail = [_renamed(part.detail, part.details, details) for part in parts]
        rows: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS
            if name not in ("code", "detail")
        }
        whole = cls(
            header=header, codes=tuple(codes), details=tuple(details), code=np.concatenate(code),
            detail=np.concatenate(detail), key=pa.concat_arrays([part.key for part in parts]), **rows,
        )
        if (np.diff(whole.offset) >= 0).all():
            return whole
        return whole.take(np.argsort(whole.offset, kind="stable"))

    def to_bytes(self) -> bytes:
        """As a record: length of the first part (4 bytes, little endian) ‖ header and names, JSON ‖ the columns, an
        Arrow IPC stream of one batch of SCHEMA, or nothing if there is no row.

        May exceed MAX_BYTES: streams.rekey cuts stretches until none does.
        """
        code, codes = _used(self.code, self.codes)
        detail, details = _used(self.detail, self.details)
        arrays = {name: getattr(self, name) for name in _ARRAYS} | {"code": code, "detail": detail}
        head = _Names(header=self.header, codes=codes, details=details).model_dump_json().encode()
        columns = [_arrow(arrays[field.name], field.type) for field in SCHEMA if field.name != "key"]
        batch = pa.record_batch([*columns, self.key], schema=SCHEMA)
        length = len(head).to_bytes(HEADER_LENGTH_BYTES, "little")
        return b"".join((length, head, _written(batch) if len(self) else b""))

    @classmethod
    def from_bytes(cls, record: bytes) -> Self:
        """Columns from a record.

        Raises:
            BatchError: not of this form.
        """
        if len(record) > MAX_BYTES:
            raise BatchError(f"event columns of {len(record)} bytes; expected at most {MAX_BYTES}")
        start = HEADER_LENGTH_BYTES + int.from_bytes(record[:HEADER_LENGTH_BYTES], "little")
        if not HEADER_LENGTH_BYTES < start <= len(record):
            raise BatchError(f"event columns of {len(record)} bytes whose header ends at {start}")
        try:
            names = _Names.model_validate_json(record[HEADER_LENGTH_BYTES:start])
        except ValidationError as error:
            raise BatchError("event columns whose header is not one") from error
        if names.header.next < names.header.first:
            raise BatchError("event columns that end before they begin")
        arrays = _read(memoryview(record)[start:])
        found = cls(header=names.header, codes=names.codes, details=names.details, **arrays)
        found._check()
        return found

    def _check(self) -> None:
        """Refuse what `to_bytes` never writes.

        Raises:
            BatchError: indices beyond their names, or offsets that are not ascending within the header's.
        """
        if len(self) == 0:
            return
        bad = (
            self.kind.max() >= len(KINDS)
            or not -1 <= self.code.min() <= self.code.max() < len(self.codes)
            or not -1 <= self.detail.min() <= self.detail.max() < len(self.details)
            or not self.header.first <= self.offset[0] <= self.offset[-1] < self.header.next
            or (np.diff(self.offset) <= 0).any()
            or any(yes.view(np.uint8).max() > 1 for yes in (self.has_corrects, self.has_until, self.flag))
        )
        if bad:
            raise BatchError("event columns with indices or offsets beyond what their header says, or with a maybe")


SCHEMA = pa.schema([
    pa.field("offset", pa.int64(), nullable=False), pa.field("watermark", pa.int64(), nullable=False),
    pa.field("clock", pa.int64(), nullable=False), pa.field("kind", pa.uint8(), nullable=False),
    pa.field("event", pa.binary(16), nullable=False), pa.field("patient", pa.binary(32), nullable=False),
    pa.field("corrects", pa.binary(16), nullable=False), pa.field("has_corrects", pa.uint8(), nullable=False),
    pa.field("occurred", pa.int64(), nullable=False), pa.field("recorded", pa.int64(), nullable=False),
    pa.field("source", pa.uint8(), nullable=False),
    pa.field("code", pa.int32(), nullable=False), pa.field("value", pa.int64(), nullable=False),
    pa.field("detail", pa.int32(), nullable=False), pa.field("until", pa.int64(), nullable=False),
    pa.field("has_until", pa.uint8(), nullable=False), pa.field("flag", pa.uint8(), nullable=False),
    pa.field("key", pa.binary()),
])
"""The columns of a record. Yes or no travels as a byte, so that reading copies nothing."""
_NOT_ARRAYS = ("header", "codes", "details", "key")
_ARRAYS = tuple(f.name for f in fields(EventColumns) if f.name not in _NOT_ARRAYS)


def keys_array(keys: Sequence[bytes | None]) -> pa.Array:
    """Keys as a column, each cut to MAX_KEY_BYTES."""
    made = pa.array(keys, pa.binary())
    if (pc.max(pc.binary_length(made)).as_py() or 0) > MAX_KEY_BYTES:
        made = pa.array([None if key is None else key[:MAX_KEY_BYTES] for key in keys], pa.binary())
    return made


def _renamed(index: NDArray[np.int32], names: tuple[str, ...], known: dict[str, int]) -> NDArray[np.int32]:
    """Indices into `known`, which takes up names that it lacks."""
    # The last place is what NO_NAME (-1) finds.
    places = [known.setdefault(name, len(known)) for name in names]
    return np.array([*places, NO_NAME], dtype=np.int32)[index]


def _used(index: NDArray[np.int32], names: tuple[str, ...]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Only the names that rows point at, sorted, so that equal rows make equal records."""
    used = np.zeros(len(names) + 1, dtype=np.bool_)
    used[index] = True  # NO_NAME (-1) marks the last place
    kept = sorted((name, place) for place, name in enumerate(names) if used[place])
    moved = np.full(len(names) + 1, NO_NAME, dtype=np.int32)
    moved[np.array([place for _, place in kept], dtype=np.int64)] = np.arange(len(kept))
    return moved[index], tuple(name for name, _ in kept)


def _arrow(array: NDArray[Any], kind: pa.DataType) -> pa.Array:
    return pa.Array.from_buffers(kind, len(array), [None, pa.py_buffer(np.ascontiguousarray(array))])


def _written(batch: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with pa.ipc.new_stream(sink, SCHEMA, options=options) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _read(body: memoryview) -> dict[str, Any]:
    """The columns of a record's second part.

    Raises:
        BatchError: not a record batch of SCHEMA.
    """
    if not body:
        batch = pa.record_batch([pa.array([], field.type) for field in SCHEMA], schema=SCHEMA)
    else:
        try:
            with pa.ipc.open_stream(pa.py_buffer(body), options=pa.ipc.IpcReadOptions(use_threads=False)) as reader:
                if not reader.schema.equals(SCHEMA):
                    raise BatchError("event columns of another schema")
                batch = reader.read_next_batch()
            batch.validate(full=True)
        except (pa.ArrowException, OSError, StopIteration) as error:
            raise BatchError("event columns that Arrow cannot read") from error
    if batch.num_rows > MAX_ROWS or any(batch.column(i).null_count for i in range(len(SCHEMA) - 1)):
        raise BatchError(f"event columns with {batch.num_rows} rows, or with gaps; expected at most {MAX_ROWS} rows")
    made: dict[str, Any] = {"key": batch.column("key")}
    for name in _ARRAYS:
        data = batch.column(name).buffers()[1]
        dtype = _DTYPES[name]
        made[name] = np.frombuffer(data or b"", dtype=dtype, count=batch.num_rows)
    return made


_DTYPES: dict[str, str] = {
    field.name: (
        f"V{field.type.byte_width}" if pa.types.is_fixed_size_binary(field.type)
        else "?" if field.name in ("has_corrects", "has_until", "flag") else str(field.type)
    )
    for field in SCHEMA if field.name != "key"
}
