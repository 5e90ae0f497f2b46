"""Parquet files as lines of JSON, one a row, that can be read in any order.

Rows are wanted in the order of recording, which Parquet cannot give without reading a row group for each. One pass
writes the mapped columns to a temporary file without a name, encrypted (AES-CTR) under a key that is in memory only:
no identifier reaches a disk in clear. From there on a row is a line like any other.
"""

import contextlib
import json
import os
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

from streams.errors import SourceError
from streams.rejects import Position
from streams.sources.lines import MAX_LINE_BYTES, open_file
from streams.sources.mapped import Mapping
from streams.sources.rows import JsonRows, MappedForm

BATCH_ROWS = 4_096
"""Rows decoded at a time."""
AES_BLOCK_BYTES = 16
UNREADABLE = "\0"
"""Stands for a value that has no text, such as bytes: its row is refused as not-text."""


class ParquetForm(MappedForm):
    """A Parquet file, by its mappings; columns stand under their names."""

    def __init__(self, entries: Sequence[Mapping]) -> None:
        super().__init__(entries, JsonRows(lambda column: (column,)))


class ParquetSource:
    """One Parquet file, indexed (see IndexedFile): 25 bytes of memory a row.

    Raises:
        SourceError: missing, unreadable, no Parquet, or a mapped column is missing or holds lists or structures.
    """

    def __init__(self, folder: Path, form: ParquetForm) -> None:
        self.form = form
        self.offsets, self.lengths, self.keys = array("q"), array("q"), array("q")
        self.ranks = array("b")
        self._path = folder / form.file
        self._key = os.urandom(32)
        with _opened(self._path, form) as table:
            self._spool = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - lives as long as this object
            weakref.finalize(self, self._spool.close)
            self._index(table)

    def __len__(self) -> int:
        """Rows."""
        return len(self.offsets)

    def _index(self, table: pq.ParquetFile) -> None:
        cipher = self._cipher(0)
        key, rank = -(2**62), 0
        offset = 0
        for batch in table.iter_batches(BATCH_ROWS, columns=_columns(self.form)):
            names = batch.schema.names
            rows = zip(*(texts_of(column) for column in batch.columns), strict=True) if names else [()] * batch.num_rows
            for values in rows:
                line = json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False).encode()
                kept = line[: MAX_LINE_BYTES + 1]
                if len(kept) == len(line):
                    recorded, rank = self.form.place(line)
                    if recorded is not None:
                        key = round(recorded.timestamp() * 1e6)
                self._spool.write(cipher.update(kept))
                self.offsets.append(offset)
                self.lengths.append(len(line))
                self.keys.append(key)
                self.ranks.append(rank)
                offset += len(kept)
        self._spool.flush()

    def position(self, row: int) -> Position:
        """Number of the row from 1, and the length of its JSON; it has no place of its own in the file."""
        return Position(self.form.file, row + 1, 0, self.lengths[row])

    @contextlib.contextmanager
    def opened(self) -> Iterator[Callable[[int], bytes]]:
        """See IndexedFile."""
        at, cipher = -1, self._cipher(0)

        def line(row: int) -> bytes:
            nonlocal at, cipher
            offset, length = self.offsets[row], min(self.lengths[row], MAX_LINE_BYTES + 1)
            if at != offset:
                cipher = self._cipher(offset)
            at = offset + length
            return cipher.update(os.pread(self._spool.fileno(), length, offset))

        yield line

    def _cipher(self, offset: int) -> CipherContext:
        """The key stream from a byte on; it encrypts and decrypts. The key serves one file, written once."""
        block, skipped = divmod(offset, AES_BLOCK_BYTES)
        made = Cipher(AES256(self._key), CTR(block.to_bytes(AES_BLOCK_BYTES, "big"))).encryptor()
        made.update(bytes(skipped))
        return made


def check_parquet(folder: Path, form: ParquetForm) -> None:
    """Look at a file's schema only.

    Raises:
        SourceError: as ParquetSource.
    """
    with _opened(folder / form.file, form):
        pass


@contextlib.contextmanager
def _opened(path: Path, form: ParquetForm) -> Iterator[pq.ParquetFile]:
    with open_file(path, form) as file:
        try:
            with pq.ParquetFile(file) as table:
                _check_schema(table.schema_arrow, path, form)
                yield table
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise SourceError(f"{path}: not a readable Parquet file. Write it again, or correct source.toml") from error


def _check_schema(schema: pa.Schema, path: Path, form: ParquetForm) -> None:
    for column, key in form.columns_of.items():
        if schema.names.count(column) != 1:
            how = "there twice or more" if column in schema.names else "not there"
            raise SourceError(
                f"{path}: column {column!r} ({key}) is {how}; the columns are "
                f"{', '.join(schema.names)[:200]}. Correct source.toml, or the file"
            )
        kind = schema.field(column).type
        if pa.types.is_nested(kind):
            raise SourceError(
                f"{path}: column {column!r} ({key}) holds {str(kind)[:80]}, expected one value a row. "
                "Write it as a plain column"
            )


def _columns(form: ParquetForm) -> list[str]:
    return sorted(form.columns_of)


def texts_of(column: Any) -> list[str | None]:
    """(rows,) values of an Arrow column as text; None where there is none. Arrow's own text is never out of range."""
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        # Only in UTC is the offset written with any zone rules or none.
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    try:
        texts: list[str | None] = column.cast(pa.string()).to_pylist()
    except (pa.ArrowException, UnicodeDecodeError):
        return [_text(value) for value in column]
    return texts


def _text(value: Any) -> str | None:
    if not value.is_valid:
        return None
    try:
        text: str = value.cast(pa.string()).as_py()
    except (pa.ArrowException, UnicodeDecodeError):
        return UNREADABLE
    return text
