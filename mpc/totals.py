"""Running totals of a shard's patients, in a file without a name: for every edge a vector for each of some quantities.

They are far larger than what one step of a computation needs (a million patients with 72 quantities: 1.2 GB an
edge), so they are kept where the node keeps its shares, not in memory. The file has no name from the beginning, so
nobody opens it by one and it is gone when the process ends. What was read a moment ago comes from the system's cache.
"""

import copy
import errno
import math
import os
import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mpc.share import Words

CLOSE_SECONDS = 2.0
"""For a thread that reads or writes."""
_WORD = 8


class _Piece(NamedTuple):
    """Rows that came together, one after another in every vector."""

    first: int
    rows: int
    at: int
    """Where they begin in the file, in bytes."""


class RunningTotals:
    """Both components of (edges, quantities, rows) words; what was not written is 0.

    On disk: 16 bytes a word. Rows that come later have a piece of the file of their own, after all others: what is
    there stays where it is, and what they are not in takes no room.
    """

    def __init__(self, edges: int, quantities: int, rows: int, folder: Path | None = None) -> None:
        """Begin with zeros, which take no room.

        Args:
            edges: at which totals are kept.
            quantities: vectors at each of them.
            rows: entries of a vector.
            folder: where there is room; None: where the system has temporary files.

        Raises:
            OSError: the folder cannot be written.
        """
        self._shape = (edges, 2, quantities)
        self._pieces: tuple[_Piece, ...] = (_Piece(0, rows, 0),)
        self._folder = Path(tempfile.gettempdir()) if folder is None else folder
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - as long as this object
            self._file.truncate(self._bytes)
        except OSError as error:
            raise self._unusable(error) from error
        self._lock = threading.Lock()
        weakref.finalize(self, self._file.close)

    def close(self) -> None:
        """Give the room back now, also while somebody still refers to this: a failed attempt's traceback, say.

        Where a thread waits for the disk all the time, when nobody refers to this any more.
        """
        if self._lock.acquire(timeout=CLOSE_SECONDS):
            try:
                self._file.close()
            finally:
                self._lock.release()

    def grow(self, rows: int) -> None:
        """Append so many rows of zeros.

        Raises:
            OSError: the file may not be so large.
            ValueError: closed.
        """
        last = self._pieces[-1]
        with self._lock:
            before, self._pieces = self._pieces, (*self._pieces, _Piece(last.first + last.rows, rows, self._bytes))
            try:
                self._file.truncate(self._bytes)
            except OSError as error:
                found = self._unusable(error)
                self._pieces = before
                raise found from error

    def handed_over(self) -> Self:
        """The same totals for somebody else: who still refers to this one reads and writes no more.

        Raises:
            OSError: a thread waits for the disk all the time.
            ValueError: closed.
        """
        if not self._lock.acquire(timeout=CLOSE_SECONDS):
            raise self._unusable(OSError(errno.EBUSY, os.strerror(errno.EBUSY)))
        try:
            found, file = copy.copy(self), os.fdopen(os.dup(self._file.fileno()), "r+b", buffering=0)
            vars(found).update(_file=file, _lock=threading.Lock())
            weakref.finalize(found, file.close)
            self._file.close()
        finally:
            self._lock.release()
        return found

    def read(self, edge: int, quantities: NDArray[np.intp], rows: slice) -> Words:
        """Totals at an edge.

        Args:
            edge: which one.
            quantities: (q,) positions.
            rows: a range, from 0 to as many as there are, in steps of 1.

        Returns:
            (2, q, rows).

        Raises:
            OSError: the disk fails.
            ValueError: closed.
        """
        found = np.empty((2, len(quantities), rows.stop - rows.start), np.uint64)
        if found.shape[2] == 0:
            return found
        try:
            with self._lock:
                for part in (0, 1):
                    for place, quantity in enumerate(quantities):
                        vector = memoryview(found[part, place])
                        for at, some in self._ranges(edge, part, int(quantity), rows):
                            wanted = vector[some].cast("B")
                            if os.preadv(self._file.fileno(), [wanted], at) != len(wanted):
                                raise OSError(errno.EIO, "it ends too early")
        except OSError as error:
            raise self._unusable(error) from error
        return found

    def write(self, edge: int, rows: slice, totals: Words) -> None:
        """Set all quantities' totals at an edge: (2, quantities, rows).

        Raises:
            OSError: the disk is full, or fails.
            ValueError: closed.
        """
        try:
            with self._lock:
                for part in (0, 1):
                    for quantity, vector in enumerate(np.ascontiguousarray(totals[part])):
                        written = memoryview(vector)
                        for at, some in self._ranges(edge, part, quantity, rows):
                            self._write(at, written[some].cast("B"))
        except OSError as error:
            raise self._unusable(error) from error

    def _write(self, at: int, left: memoryview) -> None:
        while left:
            written = os.pwrite(self._file.fileno(), left, at)
            at, left = at + written, left[written:]

    def _ranges(self, edge: int, part: int, quantity: int, rows: slice) -> Iterator[tuple[int, slice]]:
        """Where a range of a vector is: of each piece the place in the file, in bytes, and what of the range it has."""
        _, parts, quantities = self._shape
        vector = (edge * parts + part) * quantities + quantity
        for piece in self._pieces:
            start, stop = max(rows.start, piece.first), min(rows.stop, piece.first + piece.rows)
            if start < stop:
                at = piece.at + (vector * piece.rows + start - piece.first) * _WORD
                yield at, slice(start - rows.start, stop - rows.start)

    @property
    def _bytes(self) -> int:
        last = self._pieces[-1]
        return math.prod(self._shape) * (last.first + last.rows) * _WORD

    def _unusable(self, error: OSError) -> OSError:
        """The same error, with what was wanted and what to do."""
        return OSError(
            error.errno, f"the running totals, a file without a name of {self._bytes:,} bytes in {self._folder}, "
            f"cannot be used: {error.strerror}. Make room there, and start this node again."
        )
