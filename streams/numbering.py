"""Keys of replayed lines on the source topic: `#<number> <position>`, numbered in the order of replay, from 1.

Numbers rise within a partition. A line with a number that was passed is there for the second time: a client sent it
again, or a worker that was superseded went on for a moment. Other producers' keys begin otherwise, and say nothing.
"""

import re

_KEY = re.compile(rb"#([1-9][0-9]{0,14}) (.*)", re.DOTALL)


def numbered(number: int, position: bytes) -> bytes:
    """The key of a line; `position`: streams.rejects.Position.key."""
    return b"#%d %s" % (number, position)


def number_of(key: bytes | None) -> int:
    """The number in a key; 0 if it has none."""
    # Of every record: a pattern is only tried where it may fit.
    if key is None or key[:1] != b"#":
        return 0
    found = _KEY.fullmatch(key)
    return 0 if found is None else int(found[1])


def position_of(key: bytes) -> bytes:
    """A key without its number."""
    found = _KEY.fullmatch(key)
    return key if found is None else found[2]
