"""A chest: named tables and one text in one record, under a seal that only its owner can make.

A shard's state is kept in it, in a file and on a topic. Reading believes nothing: the seal is checked first, over what
the chest is for too, then every length, and every table against the schema that its reader expects. Arrow's stream
format; no pickle, no compression.
"""

import hmac
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streams.errors import StoreError

MAGIC = b"winnow chest 1\n"
MAX_BYTES = 4 << 30
"""Largest chest: 20 million events of one shard."""
MAX_TABLES = 256
SEAL_BYTES = 32
_LENGTH = struct.Struct("<Q")
_LABEL = b"winnow chest v1\0"


class _Contents(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    text: str
    tables: dict[str, int] = Field(max_length=MAX_TABLES)
    """Name → bytes, in the order in which they follow."""


class Tables:
    """Tables as they were read, by name."""

    def __init__(self, found: Mapping[str, pa.RecordBatch]) -> None:
        self._found = found

    def rows(self, name: str, schema: pa.Schema) -> Iterable[tuple[Any, ...]]:
        """A table's rows, in order, as Python values.

        Raises:
            StoreError: no such table, or it has another schema.
        """
        return zip(*(column.to_pylist() for column in self.batch(name, schema).columns), strict=True)

    def batch(self, name: str, schema: pa.Schema) -> pa.RecordBatch:
        """A table.

        Raises:
            StoreError: as `rows`.
        """
        found = self._found.get(name)
        if found is None or not found.schema.equals(schema):
            raise StoreError(f"a state without table {name!r} of this version's form. It is not to be used.")
        return found


def table(schema: pa.Schema, rows: Iterable[tuple[Any, ...]]) -> pa.RecordBatch:
    """A table of rows."""
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.record_batch(
        [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def lock(key: bytes, purpose: str, text: str, tables: Mapping[str, pa.RecordBatch]) -> bytes:
    """A chest: magic ‖ length of the contents (8 bytes, little endian) ‖ contents, JSON ‖ tables ‖ HMAC-SHA256.

    Args:
        key: of the owner.
        purpose: what it is for; part of what the seal covers.
        text: anything small.
        tables: at most MAX_TABLES.
    """
    parts = [_written(batch) for batch in tables.values()]
    sizes = {name: len(part) for name, part in zip(tables, parts, strict=True)}
    head = _Contents(text=text, tables=sizes).model_dump_json().encode()
    body = b"".join((MAGIC, _LENGTH.pack(len(head)), head, *parts))
    return body + _seal(key, purpose, body)


def unlock(key: bytes, purpose: str, record: bytes) -> tuple[str, Tables]:
    """Text and tables of a chest.

    Raises:
        StoreError: another owner's, made for something else, damaged, or of another version.
    """
    start = len(MAGIC) + _LENGTH.size
    if not start + SEAL_BYTES <= len(record) <= MAX_BYTES or record[: len(MAGIC)] != MAGIC:
        raise StoreError(f"{len(record)} bytes that are no state of this version")
    view = memoryview(record)
    body, seal = view[:-SEAL_BYTES], view[-SEAL_BYTES:]
    if not hmac.compare_digest(_seal(key, purpose, body), seal):
        raise StoreError(f"a state that is damaged, or not of {purpose}")
    (length,) = _LENGTH.unpack_from(body, len(MAGIC))
    try:
        contents = _Contents.model_validate_json(body[start : start + length].tobytes())
    except ValidationError as error:
        raise StoreError("a state whose contents are not told") from error
    at, found = start + length, {}
    for name, size in contents.tables.items():
        if not 0 <= size <= len(body) - at:
            raise StoreError(f"a state that ends within table {name!r}")
        found[name] = _read(body[at : at + size])
        at += size
    if at != len(body):
        raise StoreError("a state with more than its tables")
    return contents.text, Tables(found)


def _written(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _read(part: memoryview) -> pa.RecordBatch:
    try:
        with pa.ipc.open_stream(pa.py_buffer(part)) as reader:
            batch = reader.read_next_batch()
        batch.validate(full=True)
    except (pa.ArrowException, StopIteration, OSError) as error:
        raise StoreError(f"a state with a table that is not Arrow ({type(error).__name__})") from error
    return batch


def _seal(key: bytes, purpose: str, body: bytes | memoryview) -> bytes:
    mac = hmac.new(key, _LABEL + purpose.encode() + b"\0", "sha256")
    mac.update(body)
    return mac.digest()
