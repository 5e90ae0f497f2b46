"""Watermarks: how far a shard's event time is. Nothing on time is expected from before it."""

import math
from collections.abc import Mapping

SECONDS_PER_DAY = 86_400


class Watermark:
    """The minimum over the agreed sources of one shard, in seconds since 1970.

    A source stands at its latest occurred_at less its declared bound, never beyond its latest recorded_at; at
    minus infinity before its first event, at plus infinity when it has ended.
    """

    def __init__(self, bound_days: Mapping[str, int]) -> None:
        self._bound = {source: days * SECONDS_PER_DAY for source, days in bound_days.items()}
        self._occurred = dict.fromkeys(bound_days, -math.inf)
        self._recorded = dict.fromkeys(bound_days, -math.inf)

    def observe(self, source: str, occurred: float, recorded: float) -> None:
        """An event of an agreed source."""
        self._occurred[source] = max(self._occurred[source], occurred)
        self._recorded[source] = max(self._recorded[source], recorded)

    def finish(self, source: str) -> None:
        """The source sends no more."""
        self._occurred[source] = self._recorded[source] = math.inf

    @property
    def value(self) -> float:
        """Never falls."""
        return min(min(self._occurred[s] - bound, self._recorded[s]) for s, bound in self._bound.items())
