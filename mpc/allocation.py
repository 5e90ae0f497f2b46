"""Memory of arrays that are gone is kept for the next ones.

An operation makes and drops a few arrays as long as its rows. glibc gives memory of that size back to the system at
once, and each next array costs a page fault every 4 KiB: a third of the time of a comparison of 10^5 rows.
"""

import ctypes
from typing import Final

MAPPED_BYTES: Final = 2**25
"""Arrays from this size on have a mapping of their own, given back when they go: the most that glibc allows."""
KEPT_BYTES: Final = 2**27
"""At most so much that nobody uses stays at the end of the heap."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)


def keep_freed_memory() -> bool:
    """Set this process' allocator so, for good.

    Returns:
        Whether it could be; other C libraries than glibc have no such setting, and need none to be correct.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(*setting) == 1 for setting in ((_MMAP_THRESHOLD, MAPPED_BYTES), (_TRIM_THRESHOLD, KEPT_BYTES)))
