"""Lines in a log that others can cause without end: the first of a kind at once, then one a minute with how many."""

import time
from collections import Counter

TELL_SECONDS = 60.0


class Sparing:
    """When to write a line; of as many kinds as the caller has."""

    def __init__(self) -> None:
        self._untold: Counter[str] = Counter()
        self._told_at: dict[str, float] = {}

    def due(self, kind: str) -> int:
        """Count one more; how many there were since the last line if it is time for one, else 0."""
        self._untold[kind] += 1
        now = time.monotonic()
        if now - self._told_at.get(kind, -TELL_SECONDS) < TELL_SECONDS:
            return 0
        self._told_at[kind] = now
        return self._untold.pop(kind)
