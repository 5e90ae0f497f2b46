"""From when on events are too old, at a watermark: the agreed horizon of corrections."""

from bisect import bisect_right

from policy.agreement import Draft
from streams.columns import ENDED, NEVER
from streams.rowwise import micros


class Horizon:
    """Of an agreement; the same for all parties. Instants are µs since 1970, NEVER or ENDED (streams.columns)."""

    def __init__(self, draft: Draft) -> None:
        self._panes = None if draft.corrections is None else draft.corrections.horizon_panes
        self._edges = [micros(edge) for edge in draft.panes.edges]

    def at(self, watermark: int) -> int:
        """What happened before this instant is too old: the end of the last pane that lies the horizon behind a
        watermark; NEVER while there is none. No grace is longer, so it moves only when panes pass (streams.passing).
        """
        if self._panes is None:
            return NEVER
        if watermark == ENDED:
            return self._edges[-1]
        closed = bisect_right(self._edges, watermark) - 1 - self._panes
        return self._edges[closed] if closed > 0 else NEVER
