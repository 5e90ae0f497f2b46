"""Text of fixed form, a whole column at a time: ids in base64 and instants as RFC 3339 writes them.

Each function says of every row whether it is certain. What is not certain may still be right, in another form.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Int64s = NDArray[np.int64]

FIRST_YEAR, LAST_YEAR = 1900, 2199
"""Instants of other years are not certain here."""
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SIXES = np.full(256, 255, dtype=np.uint8)
_SIXES[np.frombuffer(_ALPHABET, dtype=np.uint8)] = np.arange(64)
_MONTHS = (
    np.arange(f"{FIRST_YEAR}-01", f"{LAST_YEAR + 1}-02", dtype="datetime64[M]").astype("datetime64[D]").astype(np.int64)
)
"""Days since 1970 of the first of every month."""
_SECONDS_PER_DAY = 86_400
_LONGEST_OFFSET_HOURS = 14
_SEPARATORS = np.array([4, 7, 10, 13, 16])
_SEPARATED = np.frombuffer(b"--T::", dtype=np.uint8)
_ZULU, _PLUS, _MINUS, _COLON, _DOT, _ZERO = b"Z+-:.0"
_DATE_TIME = 19
"""Characters up to the seconds."""


def present(numbers: Int64s) -> Int64s:
    """The distinct ones of n small numbers from 0 on, ascending: numpy.unique would sort them."""
    return np.flatnonzero(np.bincount(numbers))


class Texts:
    """A column of byte strings: n rows, some of them null."""

    def __init__(self, column: pa.Array) -> None:
        """Take over a binary column of Arrow."""
        validity, offsets, data = column.buffers()
        n = len(column)
        self.valid: Bools = np.ones(n, dtype=np.bool_)
        if validity is not None and column.null_count:
            self.valid = np.asarray(column.is_valid())
        ends = np.frombuffer(offsets, dtype=np.int32)[column.offset : column.offset + n + 1]
        self._starts, self.lengths = ends[:-1], np.diff(ends)
        self._data = np.frombuffer(data or b"", dtype=np.uint8)

    def matrix(self, rows: Bools, width: int) -> Bytes:
        """(rows, width) the bytes of rows that all have `width` of them."""
        starts = self._starts[rows]
        if len(starts) == 0:
            return np.empty((0, width), dtype=np.uint8)
        first, last = int(starts[0]), int(starts[-1]) + width
        if last - first == width * len(starts):
            return self._data[first:last].reshape(len(starts), width)
        found: Bytes = self._data[starts[:, None] + np.arange(width, dtype=np.int32)]
        return found


def ids(texts: Texts, prefix: bytes, size: int) -> tuple[Bools, NDArray[np.void]]:
    """Of each row whether it is `prefix` and `size` bytes in unpadded base64url, and those bytes (zeros if not).

    Returns:
        (n,) certain; (n,) of V`size`.
    """
    characters = -(-4 * size // 3)
    certain = texts.valid & (texts.lengths == len(prefix) + characters)
    matrix = texts.matrix(certain, len(prefix) + characters)
    groups = -(-characters // 4)
    sixes = np.zeros((len(matrix), 4 * groups), dtype=np.uint8)
    np.take(_SIXES, matrix[:, len(prefix) :], out=sixes[:, :characters])
    good = sixes.max(axis=1, initial=0) < 64
    for place, byte in enumerate(prefix):
        good &= matrix[:, place] == byte
    a, b, c, d = (sixes[:, i::4] for i in range(4))
    packed = np.empty((len(matrix), 3 * groups), dtype=np.uint8)
    packed[:, 0::3] = (a << 2) | (b >> 4)
    packed[:, 1::3] = (b << 4) | (c >> 2)
    packed[:, 2::3] = (c << 6) | d
    found = np.zeros((len(certain), size), dtype=np.uint8)
    found[certain] = packed[:, :size]
    certain[certain] = good
    return certain, found.view(f"V{size}").reshape(len(certain))


def instants(texts: Texts) -> tuple[Bools, Int64s]:
    """Of each row whether it is a date and time with Z or an offset, and the µs since 1970 UTC (0 if not).

    Certain are whole seconds or six decimals, years 1900 to 2199, and offsets up to 14 hours.
    """
    certain = np.zeros(len(texts.valid), dtype=np.bool_)
    found = np.zeros(len(texts.valid), dtype=np.int64)
    for decimals in (0, 7):
        for zone in (1, 6):
            rows = texts.valid & (texts.lengths == _DATE_TIME + decimals + zone)
            if rows.any():
                good, micros = _instants(texts.matrix(rows, _DATE_TIME + decimals + zone), decimals)
                certain[rows], found[rows] = good, np.where(good, micros, 0)
    return certain, found


def _instants(text: Bytes, decimals: int) -> tuple[Bools, Int64s]:
    """As `instants`, of rows of one length with `decimals` characters of a fraction."""
    digits = text - _ZERO
    good: Bools = (text[:, _SEPARATORS] == _SEPARATED).all(axis=1)

    def number(start: int, stop: int) -> NDArray[Any]:
        nonlocal good
        total = digits[:, start].astype(np.int64)
        good &= digits[:, start] < 10
        for place in range(start + 1, stop):
            good &= digits[:, place] < 10
            total = 10 * total + digits[:, place]
        return total

    year, month, day = number(0, 4), number(5, 7), number(8, 10)
    hour, minute, second = number(11, 13), number(14, 16), number(17, 19)
    good &= (year >= FIRST_YEAR) & (year <= LAST_YEAR) & (month >= 1) & (month <= 12) & (day >= 1)
    good &= (hour < 24) & (minute < 60) & (second < 60)
    place = np.where(good, 12 * (year - FIRST_YEAR) + month - 1, 0)
    good &= day <= _MONTHS[place + 1] - _MONTHS[place]
    seconds = (_MONTHS[place] + day - 1) * _SECONDS_PER_DAY + 3600 * hour + 60 * minute + second
    micros = np.zeros(len(text), dtype=np.int64)
    if decimals:
        good &= text[:, _DATE_TIME] == _DOT
        micros = number(_DATE_TIME + 1, _DATE_TIME + decimals)
    zone = _DATE_TIME + decimals
    if text.shape[1] == zone + 1:
        good &= text[:, zone] == _ZULU
    else:
        hours, minutes = number(zone + 1, zone + 3), number(zone + 4, zone + 6)
        good &= ((text[:, zone] == _PLUS) | (text[:, zone] == _MINUS)) & (text[:, zone + 3] == _COLON)
        good &= (hours <= _LONGEST_OFFSET_HOURS) & (minutes < 60)
        seconds -= np.where(text[:, zone] == _PLUS, 1, -1) * (3600 * hours + 60 * minutes)
    return good, seconds * 1_000_000 + micros
