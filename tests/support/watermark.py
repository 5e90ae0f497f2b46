"""Watermarks: how far a shard's event time is. Nothing on time is expected from before it."""

import math
from collections.abc import Mapping

SECONDS_PER_DAY = 86_400


class Watermark:
    """The minimum over the agreed sources of one shard, in seconds since 1970.

    A source stands where its latest heartbeat says, or at its latest occurred_at less its declared bound if that is
    later; neither counts beyond the time of recording. It stands at minus infinity before its first word, at plus
    infinity when it has ended.
    """

    def __init__(self, bound_days: Mapping[str, int]) -> None:
        self._bound = {source: days * SECONDS_PER_DAY for source, days in bound_days.items()}
        self._occurred = dict.fromkeys(bound_days, -math.inf)
        self._recorded = dict.fromkeys(bound_days, -math.inf)
        self._told = dict.fromkeys(bound_days, -math.inf)

    def observe(self, source: str, occurred: float, recorded: float) -> None:
        """An event of an agreed source."""
        self._occurred[source] = max(self._occurred[source], occurred)
        self._recorded[source] = max(self._recorded[source], recorded)

    def hear(self, source: str, until: float, recorded: float) -> None:
        """A heartbeat; of a source that is not agreed it changes nothing."""
        if source in self._told:
            self._told[source] = max(self._told[source], min(until, recorded))

    def finish(self, source: str) -> None:
        """The source sends no more."""
        self._occurred[source] = self._recorded[source] = math.inf

    @property
    def value(self) -> float:
        """Never falls."""
        return min(
            max(self._told[s], min(self._occurred[s] - bound, self._recorded[s])) for s, bound in self._bound.items()
        )
