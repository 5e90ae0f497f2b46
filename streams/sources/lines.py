"""Files as lines of bytes: bounded, positioned, and read in the order of recording."""

import contextlib
import re
import stat
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

import numpy as np

from streams.envelope import PatientEvent
from streams.errors import SourceError
from streams.moment import Reader
from streams.pseudonym import Pseudonyms
from streams.rejects import Position, Reason, RefusedLineError

MAX_LINE_BYTES = 1 << 20
"""A longer line is refused; only its first bytes are ever in memory."""
_BOM = b"\xef\xbb\xbf"
_NOT_TEXT = re.compile("[\0\ufffd]")
"""What bytes that are not UTF-8 leave behind when they are decoded, and UTF-16 between its letters."""
_WORD = re.compile(r"\w+")
_PERSON = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")


class Form(Protocol):
    """How the lines of one file become events."""

    file: str
    source: str
    """The agreed source that the file belongs to."""

    def recorded(self, line: bytes) -> str | None:
        """The text of recorded_at, found without parsing the line: decides only the order of replay."""

    def event(self, text: str) -> PatientEvent:
        """One event from one line.

        Raises:
            RefusedLineError: with its reason.
        """


class HeaderForm(Form, Protocol):
    """A form whose first line names the columns."""

    columns: tuple[str, ...]


@runtime_checkable
class RememberingForm(Form, Protocol):
    """A form of whose lines later ones depend on earlier ones."""

    def begin(self) -> None:
        """The files are read from their first line: forget what was read of them before."""


class LearningForm(Form, Protocol):
    """A form that finds its columns by the names in the first line."""

    def learn(self, header: str) -> None:
        """Take the first line.

        Raises:
            SourceError: it lacks a column, or holds one twice.
        """


Place = Callable[[bytes], tuple[datetime | None, int]]
"""A line → when it was recorded, as far as that can be told, and its rank among lines recorded at the same time."""


def placed(form: Form, moment: Reader, rank: int = 0) -> Place:
    """Where a line of a form stands in the replay: all have one rank."""

    def place(line: bytes) -> tuple[datetime | None, int]:
        text = form.recorded(line)
        with contextlib.suppress(ValueError, OverflowError):
            return (None if text is None else moment(text)), rank
        return None, rank

    return place


class IndexedFile(Protocol):
    """A file whose lines, or rows, can be had in any order."""

    @property
    def form(self) -> Form:
        """What its lines mean."""

    @property
    def keys(self) -> Sequence[int]:
        """When each line was recorded, in microseconds since the epoch."""

    @property
    def ranks(self) -> Sequence[int]:
        """Which of lines recorded at the same time comes first: the one of the lowest rank."""

    def __len__(self) -> int: ...

    def position(self, row: int) -> Position:
        """Where an indexed line stands."""

    def opened(self) -> AbstractContextManager[Callable[[int], bytes]]:
        """A function: indexed line → its (first) bytes."""


class SourceFile:
    """One file of one form, indexed: 33 bytes of memory a line.

    Raises:
        SourceError: missing, unreadable, or its header is not the form's.
    """

    def __init__(self, folder: Path, form: Form, place: Place) -> None:
        self.form = form
        self.path = folder / form.file
        self.numbers, self.offsets, self.lengths, self.keys = array("q"), array("q"), array("q"), array("q")
        self.ranks = array("b")
        with open_file(self.path, form) as file:
            self._index(file, place)

    def __len__(self) -> int:
        """Lines that hold something, the header not counted."""
        return len(self.offsets)

    def _index(self, file: BinaryIO, place: Place) -> None:
        offset, number = _start(file, self.path, self.form)
        key, rank = -(2**62), 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            length = len(line)
            if length > MAX_LINE_BYTES and line[-1:] != b"\n":
                while more := file.readline(MAX_LINE_BYTES):
                    length += len(more)
                    if more[-1:] == b"\n":
                        break
            if length > MAX_LINE_BYTES or line.strip():
                # A line whose time cannot be found keeps the place it has among its neighbours.
                if length <= MAX_LINE_BYTES:
                    recorded, rank = place(line)
                    if recorded is not None:
                        key = round(recorded.timestamp() * 1e6)
                self.numbers.append(number)
                self.offsets.append(offset)
                self.lengths.append(length)
                self.keys.append(key)
                self.ranks.append(rank)
            offset += length
            number += 1

    def position(self, row: int) -> Position:
        """Where an indexed line stands."""
        return Position(self.form.file, self.numbers[row], self.offsets[row], self.lengths[row])

    @contextlib.contextmanager
    def opened(self) -> Iterator[Callable[[int], bytes]]:
        """See IndexedFile."""
        with self.path.open("rb") as file:

            def line(row: int) -> bytes:
                offset = self.offsets[row]
                if file.tell() != offset:
                    file.seek(offset)
                return file.read(min(self.lengths[row], MAX_LINE_BYTES + 1))

            yield line


def check_file(folder: Path, form: Form) -> None:
    """Look at a file's beginning only.

    Raises:
        SourceError: as SourceFile.
    """
    path = folder / form.file
    with open_file(path, form) as file:
        _start(file, path, form)


@contextlib.contextmanager
def open_file(path: Path, form: Form) -> Iterator[BinaryIO]:
    """A party's file.

    Raises:
        SourceError: missing, unreadable, or no file.
    """
    try:
        # Opening a pipe would wait for whoever writes it, perhaps for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError(
                f"{path} is a folder, pipe or device, expected a file with events of source {form.source!r}"
            )
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise SourceError(
            f"cannot read {path}: {error.strerror}. The agreement expects events of source {form.source!r} there."
        ) from error


def _start(file: BinaryIO, path: Path, form: Form) -> tuple[int, int]:
    """Where the first line with data begins: its offset in bytes, and its number from 1."""
    offset = len(_BOM) if file.read(len(_BOM)) == _BOM else 0
    file.seek(offset)
    learn: Callable[[str], None] | None = getattr(form, "learn", None)
    columns: tuple[str, ...] | None = getattr(form, "columns", None)
    if learn is None and columns is None:
        return offset, 1
    header = file.readline(MAX_LINE_BYTES)
    if columns is None:
        assert learn is not None
        learn(header.decode("utf-8", "replace").strip("\r\n"))
        return offset + len(header), 2
    text = header.decode("utf-8", "replace").strip()
    found = [c.strip().strip('"') for c in text.split(",")]
    if found != list(columns):
        raise SourceError(f"{path}: the header is {shown_header(text, columns)}, expected {','.join(columns)!r}")
    return offset + len(header), 2


def shown_header(text: str, columns: Iterable[str]) -> str:
    """A first line as a message may show it: one that names no column may be a person's record."""
    if _NOT_TEXT.search(text):
        return "not UTF-8 text (write the file as UTF-8)"
    known = {word for column in columns for word in _WORD.findall(column)}
    return repr(text[:200]) if set(_WORD.findall(text)) & known else "missing"


def replay_order(files: Sequence[IndexedFile]) -> Iterator[tuple[int, int]]:
    """(file, row) of every line by recorded_at, then by rank; equal ones keep the order of files, then of lines."""
    keys = np.concatenate([np.asarray(f.keys, dtype=np.int64) for f in files])
    ranks = np.concatenate([np.asarray(f.ranks, dtype=np.int8) for f in files])
    starts = np.cumsum([0, *(len(f) for f in files)])
    order = np.lexsort((ranks, keys))
    for chunk in np.array_split(order, max(1, len(order) // 4096)):
        which = np.searchsorted(starts, chunk, side="right") - 1
        yield from zip(which.tolist(), (chunk - starts[which]).tolist(), strict=True)


def read_events(
    files: Sequence[IndexedFile], first: int = 1, last: int | None = None
) -> Iterator[tuple[IndexedFile, Position, PatientEvent | Reason, bytes]]:
    """Every line in the order of recording: its event or the reason of its refusal, and its (first) bytes.

    However often files are read they give the same. They are read by one at a time: a form remembers earlier lines.

    Args:
        files: a party's.
        first: number of the first line in this order; from 1.
        last: number of the last one; by default all.

    Raises:
        SourceError: a file can no longer be read.
    """
    for file in files:
        if isinstance(file.form, RememberingForm):
            file.form.begin()
    for number, (file, row, line) in enumerate(read_lines(files, last), 1):
        # What comes before is read, too: a FHIR resource may refer to it.
        event = parse_line(file.form, line)
        if number >= first:
            yield file, file.position(row), event, line


def read_lines(
    files: Sequence[IndexedFile], last: int | None = None
) -> Iterator[tuple[IndexedFile, int, bytes]]:
    """Every line up to the last one in the order of recording: its file, its row there, and its (first) bytes.

    Raises:
        SourceError: a file can no longer be read.
    """
    try:
        with contextlib.ExitStack() as open_files:
            readers = [open_files.enter_context(f.opened()) for f in files]
            for which, row in islice(replay_order(files), last):
                yield files[which], row, readers[which](row)
    except OSError as error:
        raise SourceError(f"cannot read {error.filename}: {error.strerror}") from error


def parse_line(form: Form, line: bytes) -> PatientEvent | Reason:
    """The event of a line, or why it is refused; never raises for any bytes."""
    if len(line) > MAX_LINE_BYTES:
        return Reason.TOO_LARGE
    if b"\0" in line:
        return Reason.NOT_TEXT
    try:
        return form.event(line.decode("utf-8").rstrip("\r\n"))
    except UnicodeDecodeError:
        return Reason.NOT_TEXT
    except RefusedLineError as refusal:
        return refusal.reason


def is_person(identifier: str) -> bool:
    """Whether a text may be the number of a person: letters, digits and hyphens, 64 at most."""
    return _PERSON.fullmatch(identifier) is not None


class FieldReader:
    """What all forms need to turn fields into values; every method raises RefusedLineError."""

    def __init__(self, pseudonyms: Pseudonyms, start: Reader, stop: Reader) -> None:
        self._pseudonyms, self._start, self._stop = pseudonyms, start, stop

    def person(self, identifier: str) -> str:
        """The pseudonym of an identifier."""
        if not identifier:
            raise RefusedLineError(Reason.MISSING_FIELD)
        if not (len(identifier) <= 32 and identifier.isascii() and identifier.isalnum()):
            raise RefusedLineError(Reason.WRONG_TYPE)
        return self._pseudonyms.patient(identifier)

    def person_or_uuid(self, identifier: str) -> str:
        """The same, of an identifier that may hold hyphens."""
        if not identifier:
            raise RefusedLineError(Reason.MISSING_FIELD)
        if not is_person(identifier):
            raise RefusedLineError(Reason.WRONG_TYPE)
        return self._pseudonyms.patient(identifier)

    def event_id(self, form: str, record_id: str) -> str:
        """The hashed id of a record."""
        if not record_id:
            raise RefusedLineError(Reason.MISSING_FIELD)
        if len(record_id) > 128:
            raise RefusedLineError(Reason.WRONG_TYPE)
        return self._pseudonyms.event_id(form, record_id)

    def start(self, text: str) -> datetime:
        """The first instant of a date or time."""
        return _moment(self._start, text)

    def stop(self, text: str | None) -> datetime | None:
        """The first instant after a date or time, None when it is left open."""
        return _moment(self._stop, text) if text else None


def _moment(read: Reader, text: str) -> datetime:
    if not text:
        raise RefusedLineError(Reason.MISSING_FIELD)
    try:
        return read(text)
    except (ValueError, OverflowError) as error:
        raise RefusedLineError(Reason.WRONG_TYPE) from error
