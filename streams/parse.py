"""Whole polls of JSON envelopes become event columns at once.

What streams.envelope.parse decides is decided here, for many rows in one call of Arrow's JSON reader. That reader
takes less than pydantic does, and says less of what it saw: it fails as a whole, and does not tell a null from a field
that is not there. So a row counts as read only where its columns, and its bytes, leave no doubt; every other row goes
through streams.envelope.parse by itself. Both ways give the same decision and the same event.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.json as pj
from numpy.typing import NDArray
from pydantic import ValidationError

from policy.measure import EncounterClass, MonitoringStatus
from streams import rowwise
from streams.columns import NEVER, NO_NAME, UNKNOWN_SOURCE, EventColumns, Header, keys_array
from streams.envelope import MAX_CENTS, MAX_SCORE, Heartbeat, parse
from streams.errors import ConfigurationError
from streams.fixed import Bools, Texts, ids, instants
from streams.known import CODE, PRODUCT, Named, among, named
from streams.pseudonym import VERSION
from streams.rejects import Reason, reason_of
from streams.rowwise import KINDS, Row, row_of

LONGEST_ROW = 4_096
"""Bytes of a row that is read with others: several times what an envelope needs."""
FEWEST_ROWS = 16
"""Rows that are read together; a call of Arrow's reader costs as much as pydantic needs for about ten."""
PARTS = 8
"""Parts in which rows are tried again when one of them made all fail."""
MAX_SOURCES = UNKNOWN_SOURCE
_OPENS, _CLOSES = b"{}"
_NULL = b"null"

_TEXT = pa.binary()
_COMMON = ("kind", "event_id", "patient", "occurred_at", "recorded_at", "source", "corrects")
_PAYLOAD = {
    "care_type": _TEXT, "product": _TEXT, "cents": pa.int64(), "credit": pa.bool_(), "programme": _TEXT, "stop": _TEXT,
    "field": _TEXT, "value": _TEXT, "type": _TEXT, "cancels": pa.bool_(), "module": _TEXT, "status": _TEXT,
    "due": _TEXT, "instrument": _TEXT, "score": pa.int64(),
}
_OPTIONS = pj.ParseOptions(
    explicit_schema=pa.schema([
        *((name, _TEXT) for name in _COMMON), ("payload", pa.struct(list(_PAYLOAD.items()))),
    ]),
    unexpected_field_behavior="error",
)
_FIELDS = {
    "claim": ("care_type", "product", "cents", "credit"), "enrolment": ("programme", "stop"),
    "social": ("field", "value"), "encounter": ("type", "cancels"),
    "monitoring": ("module", "status", "due", "cancels"), "prom": ("instrument", "score", "cancels"), "withdrawal": (),
}
"""Kind → the payload's fields."""
_OPTIONAL = frozenset({"product", "credit", "stop", "cancels", "due", "value"})
"""Fields that may be missing; `value` may be null, which is checked apart."""
_CODES = {
    "care_type": CODE, "programme": CODE, "field": CODE, "type": among(get_args(EncounterClass)), "module": CODE,
    "instrument": CODE,
}
_DETAILS = {"product": PRODUCT, "value": CODE, "status": among(get_args(MonitoringStatus))}
_NULLABLE = {"enrolment": b"stop", "monitoring": b"due", "social": b"value"}
"""Kind → the field of its payload that may be null; `corrects` may be, in all kinds."""


class Parsed(NamedTuple):
    """What became of a batch; indices are into its values."""

    columns: EventColumns
    """The events, in order; see streams.columns."""
    rejected: list[tuple[int, Reason]]
    heartbeats: list[tuple[int, Heartbeat]]


def parse_batch(
    values: Sequence[bytes], offsets: Sequence[int], keys: Sequence[bytes | None], sources: Sequence[str],
    header: Header,
) -> Parsed:
    """Events, heartbeats and refusals of n records of one source partition.

    Args:
        values: n envelopes, or what should be ones.
        offsets: n offsets, ascending.
        keys: n keys of records.
        sources: the party's agreed sources, in the agreement's order.
        header: of the columns.

    Raises:
        ConfigurationError: more than MAX_SOURCES sources.
    """
    if len(sources) > MAX_SOURCES:
        raise ConfigurationError(f"{len(sources)} sources of one party; expected at most {MAX_SOURCES}")
    offset = np.array(offsets, dtype=np.int64)
    alone = np.ones(len(values), dtype=np.bool_)
    parts: list[EventColumns] = []
    lines = _Lines(values)
    for rows, found in _together(lines, np.flatnonzero(lines.plain()), sources):
        certain = rows if found.certain.all() else rows[found.certain]
        alone[certain] = False
        own = keys if len(certain) == len(keys) else [keys[i] for i in certain.tolist()]
        parts.append(found.columns(header, offset[certain], own))
    rejected: list[tuple[int, Reason]] = []
    heartbeats: list[tuple[int, Heartbeat]] = []
    events: list[Row] = []
    places: list[int] = []
    for i in np.flatnonzero(alone).tolist():
        try:
            event = parse(values[i])
        except ValidationError as error:
            rejected.append((i, reason_of(error)))
            continue
        if isinstance(event, Heartbeat):
            heartbeats.append((i, event))
        else:
            events.append(row_of(event))
            places.append(i)
    if events or not parts:
        parts.append(EventColumns.from_rows(
            events, [offsets[i] for i in places], sources, header, [keys[i] for i in places]
        ))
    columns = parts[0] if len(parts) == 1 else EventColumns.concat(parts, header)
    return Parsed(columns, rejected, heartbeats)


class _Lines:
    """n values, and the same as lines of one text."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self.values, self.data = values, b"\n".join(values)
        self.text = np.frombuffer(self.data, dtype=np.uint8)
        self.lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
        self.starts = np.cumsum(self.lengths + 1) - self.lengths - 1

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.int64]) -> "_Lines":
        """Some of them, ascending."""
        return self if len(rows) == len(self) else _Lines([self.values[i] for i in rows.tolist()])

    def plain(self) -> Bools:
        """(n,) which rows may be read together.

        One that begins with { and ends with } cannot run on into the next: after } comes no {. Without an escape what a
        row says is what its bytes say. Heartbeats have other fields.
        """
        plain = (self.lengths > 1) & (self.lengths <= LONGEST_ROW)
        first = self.starts[plain]
        plain[plain] = (self.text[first] == _OPENS) & (self.text[first + self.lengths[plain] - 1] == _CLOSES)
        for mark, usual in ((b"\\", 0), (b"\n", len(self) - 1), (b'"heartbeat"', 0)):
            if (mark in self.data if usual == 0 else self.data.count(mark) != usual):
                plain &= np.fromiter((mark not in v for v in self.values), dtype=np.bool_, count=len(self))
        return plain

    def nulls(self) -> NDArray[np.int64]:
        """Where in the text `null` begins."""
        n, u, l, e = (self.text[i : max(0, len(self.text) - 3 + i)] for i in range(4))
        return np.flatnonzero((u == _NULL[1]) & (n == _NULL[0]) & (l == _NULL[2]) & (e == _NULL[3]))

    def of(self, at: NDArray[np.int64], name: bytes) -> Bools:
        """(k,) whether the value at a place of the text is that of a field of that name, as JSON is usually written;
        written otherwise it stays in doubt.
        """
        return self._behind(at, b'"%s":' % name) | self._behind(at, b'"%s": ' % name)

    def _behind(self, at: NDArray[np.int64], before: bytes) -> Bools:
        found = at >= len(before)
        for back, byte in enumerate(reversed(before), 1):
            found[found] = self.text[at[found] - back] == byte
        return found


def _together(
    lines: _Lines, rows: NDArray[np.int64], sources: Sequence[str]
) -> Iterator[tuple[NDArray[np.int64], "_Found"]]:
    """Rows that could be read together, and what they say; those that nothing is said of stay alone."""
    if len(rows) < FEWEST_ROWS:
        return
    some = lines.take(rows)
    reading = pj.ReadOptions(use_threads=False, block_size=len(some.data) + 1)
    try:
        table = pj.read_json(pa.BufferReader(some.data), read_options=reading, parse_options=_OPTIONS)
    except pa.ArrowException:
        if len(rows) > 1:
            for part in np.array_split(rows, PARTS):
                yield from _together(lines, part, sources)
        return
    if table.num_rows == len(rows):
        yield rows, _Found(table, some, sources)


@dataclass
class _Column:
    """Codes or details of all kinds: names, and an index a row."""

    index: NDArray[np.int32]
    names: dict[str, int]

    def put(self, rows: Bools, found: Named) -> None:
        """Names of some rows."""
        places = [self.names.setdefault(name, len(self.names)) for name in found.names]
        self.index[rows] = np.array([*places, NO_NAME], dtype=np.int32)[found.places[rows]]


class _Found:
    """What rows say that were read together, and of which that is certain."""

    def __init__(self, table: pa.Table, lines: _Lines, sources: Sequence[str]) -> None:
        n = self._n = table.num_rows
        common: Mapping[str, pa.Array] = {name: _one(table.column(name)) for name in _COMMON}
        said = dict(zip(_PAYLOAD, _one(table.column("payload")).flatten(), strict=True))
        self._payload = {name: column for name, column in said.items() if column.null_count < n}
        kinds = named(common["kind"], among(KINDS))
        self.kind = np.array([*(KINDS.index(name) for name in kinds.names), 0], dtype=np.uint8)[kinds.places]
        source = named(common["source"], CODE)
        place = {name: i for i, name in enumerate(sources)}
        self.source = np.array(
            [*(place.get(name, UNKNOWN_SOURCE) for name in source.names), UNKNOWN_SOURCE], dtype=np.uint8
        )[source.places]
        self.certain = (kinds.places >= 0) & (source.places >= 0)
        self.event = self._sure(ids(Texts(common["event_id"]), b"", 16))
        self.patient = self._sure(ids(Texts(common["patient"]), VERSION.encode(), 32))
        self.occurred = self._sure(instants(Texts(common["occurred_at"])))
        self.recorded = self._sure(instants(Texts(common["recorded_at"])))
        corrects = Texts(common["corrects"])
        self.has_corrects = corrects.valid
        self.corrects: NDArray[np.void] = np.zeros(n, dtype="V16")
        if corrects.valid.any():
            sure, self.corrects = ids(corrects, b"", 16)
            self.certain &= sure | ~corrects.valid
        self._payloads()
        self._nulls(lines)

    def _sure(self, found: tuple[Bools, NDArray[Any]]) -> NDArray[Any]:
        """The second; where the first does not hold the row is not certain."""
        self.certain &= found[0]
        return found[1]

    def _payloads(self) -> None:
        n, valid = self._n, {name: np.asarray(column.is_valid()) for name, column in self._payload.items()}
        nowhere = np.zeros(n, dtype=np.bool_)
        self.code = _Column(np.full(n, NO_NAME, dtype=np.int32), {})
        self.detail = _Column(np.full(n, NO_NAME, dtype=np.int32), {})
        self.value, self.until = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        self.has_until, self.flag = nowhere.copy(), nowhere.copy()
        self._null_value = nowhere
        for number, names in enumerate(_FIELDS.values()):
            rows = self.kind == number
            if not rows.any():
                continue
            for name, there in valid.items():
                if name not in names:
                    self.certain &= ~(rows & there)
            for name in names:
                there = valid.get(name, nowhere)
                if name not in _OPTIONAL:
                    self.certain &= there | ~rows
                self._field(name, rows, there)
        if "product" not in self._payload or not valid["product"].all():
            # A claim without a product has the empty one.
            blank = (self.kind == rowwise.CLAIM) & (self.detail.index == NO_NAME)
            self.detail.put(blank, Named(np.zeros(n, dtype=np.int32), ("",)))
        due = self.detail.names.get("due", NO_NAME - 1)
        self.certain &= ~((self.kind == rowwise.MONITORING) & self.has_until & (self.detail.index == due))

    def _field(self, name: str, rows: Bools, there: Bools) -> None:
        """Take over a field of the rows of a kind; `there` says where it is given."""
        if name == "value":
            self._null_value = rows & ~there
        column = self._payload.get(name)
        if column is None:
            return
        both = rows & there
        if name in _CODES or name in _DETAILS:
            found = named(column, _CODES.get(name) or _DETAILS[name])
            self.certain &= (found.places >= 0) | ~both
            (self.code if name in _CODES else self.detail).put(both, found)
        elif name in ("stop", "due"):
            sure, at = instants(Texts(column))
            self.certain &= sure | ~both
            self.until[both], self.has_until[both] = at[both], True
        else:
            given = column.fill_null(0 if name in ("cents", "score") else False).to_numpy(zero_copy_only=False)
            match name:
                case "cents":
                    self.certain &= ((given >= 0) & (given <= MAX_CENTS)) | ~rows
                    self.value[rows] = given[rows]
                case "score":
                    self.certain &= (np.abs(given) <= MAX_SCORE) | ~rows
                    self.value[rows] = given[rows]
                case _:
                    self.flag[rows] = given[rows]

    def _nulls(self, lines: _Lines) -> None:
        """Doubt rows with a null that may not be one, or without the one that must be there."""
        at = lines.nulls()
        at = at[~lines.of(at, b"corrects")]
        row = np.searchsorted(lines.starts, at, side="right") - 1
        own, said = np.zeros(len(at), dtype=np.bool_), np.zeros(self._n, dtype=np.bool_)
        for kind, name in _NULLABLE.items():
            mine = self.kind[row] == KINDS.index(kind)
            mine[mine] = lines.of(at[mine], name)
            own |= mine
        said[row[own]] = True
        self.certain &= said | ~self._null_value
        self.certain[row[~own]] = False

    def columns(self, header: Header, offset: NDArray[np.int64], keys: Sequence[bytes | None]) -> EventColumns:
        """The certain rows, at their offsets."""
        kept: Callable[[NDArray[Any]], NDArray[Any]] = (
            (lambda array: array) if self.certain.all() else (lambda array: array[self.certain])
        )
        return EventColumns(
            header=header, codes=tuple(self.code.names), details=tuple(self.detail.names), offset=offset,
            watermark=np.full(len(offset), NEVER, dtype=np.int64), clock=np.full(len(offset), NEVER, dtype=np.int64),
            kind=kept(self.kind), event=kept(self.event),
            patient=kept(self.patient), corrects=kept(self.corrects), has_corrects=kept(self.has_corrects),
            occurred=kept(self.occurred), recorded=kept(self.recorded), source=kept(self.source),
            code=kept(self.code.index), value=kept(self.value), detail=kept(self.detail.index), until=kept(self.until),
            has_until=kept(self.has_until), flag=kept(self.flag), key=keys_array(keys),
        )


def _one(column: pa.ChunkedArray) -> pa.Array:
    """A column as one piece."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
