"""Panes driven by events and heartbeats one by one, with an own account of how far the sources are."""

import math

from streams.columns import ENDED, NEVER
from streams.panes import ShardPanes
from streams.rowwise import micros
from tests.support.watermark import Watermark


class DrivenPanes(ShardPanes):
    """One shard that gets its events from one source partition."""

    def __init__(self, draft, party):
        super().__init__(draft, party, bytes(32))
        self.mark = Watermark({s.name: s.bound_days for s in draft.party(party).sources})
        self.clock = NEVER

    def add(self, event):
        self.clock = max(self.clock, micros(event.recorded_at))
        self._reached()
        self.apply(event)
        self.mark.observe(event.source, event.occurred_at.timestamp(), event.recorded_at.timestamp())
        self._reached()

    def hear(self, heartbeat):
        if heartbeat.until is None:
            self.finish(heartbeat.source)
            return
        self.clock = max(self.clock, micros(heartbeat.recorded_at))
        self.mark.hear(heartbeat.source, heartbeat.until.timestamp(), heartbeat.recorded_at.timestamp())
        self._reached()

    def finish(self, source):
        self.mark.finish(source)
        self._reached()

    @property
    def since(self):
        """What happened before this instant is too old."""
        return self.horizon.at(self._at())

    def _at(self):
        value = self.mark.value
        return {math.inf: ENDED, -math.inf: NEVER}[value] if math.isinf(value) else round(value * 1e6)

    def _reached(self):
        self.reach(self._at(), self.clock)
