"""Columns of names: few different ones in many rows, each checked once."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams.envelope import CODE_PATTERN, PRODUCT_PATTERN

Check = Callable[[bytes], bool]


def _pattern(pattern: str) -> Check:
    compiled = re.compile(pattern.encode())
    # In Python $ also stands before a last newline; pydantic's does not.
    return lambda name: compiled.fullmatch(name) is not None


def among(names: Sequence[str]) -> Check:
    """One of a fixed vocabulary."""
    known = frozenset(name.encode() for name in names)
    return lambda name: name in known


CODE = _pattern(CODE_PATTERN)
PRODUCT = _pattern(PRODUCT_PATTERN)


class Named(NamedTuple):
    """A column of names."""

    places: NDArray[np.int32]
    """(n,) into `names`; -1 where there is none, or one that the check refuses."""
    names: tuple[str, ...]


def named(column: pa.Array, check: Check) -> Named:
    """A binary column as names that a check lets through."""
    encoded = column.dictionary_encode()
    index = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    names: list[str] = []
    place = np.full(len(encoded.dictionary) + 1, -1, dtype=np.int32)
    for number, name in enumerate(encoded.dictionary.to_pylist()):
        if check(name):
            place[number] = len(names)
            names.append(name.decode())
    return Named(place[index], tuple(names))
