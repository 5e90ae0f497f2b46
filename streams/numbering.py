"""Keys of replayed lines on the source topic: `#<number>:<mark> <position>`, numbered in the order of replay, from 1.

Numbers rise within a partition. A line with a number that was passed is there for the second time: a client sent it
again, or a worker that was superseded went on for a moment. The mark says which lines came before it, itself included,
so that a replay goes on with the same files only. Other producers' keys begin otherwise, and say nothing.
"""

import re

MARK_BYTES = 4
"""Two files that differ by accident have one mark once in 4 billion times."""
_KEY = re.compile(rb"#([1-9][0-9]{0,14}):([0-9a-f]{8}) (.*)", re.DOTALL)


def numbered(number: int, mark: bytes, position: bytes) -> bytes:
    """The key of a line; `mark`: MARK_BYTES; `position`: streams.rejects.Position.key."""
    return b"#%d:%s %s" % (number, mark.hex().encode(), position)


def number_of(key: bytes | None) -> int:
    """The number in a key; 0 if it has none."""
    # Of every record: a pattern is only tried where it may fit.
    if key is None or key[:1] != b"#":
        return 0
    found = _KEY.fullmatch(key)
    return 0 if found is None else int(found[1])


def mark_of(key: bytes) -> bytes:
    """The mark in a key; empty if it has none."""
    found = _KEY.fullmatch(key)
    return b"" if found is None else bytes.fromhex(found[2].decode())


def position_of(key: bytes) -> bytes:
    """A key without its number and mark."""
    if key[:1] != b"#":
        return key
    found = _KEY.fullmatch(key)
    return key if found is None else found[3]
