"""The rules that need no history, one event at a time: what streams.judge decides on whole columns, written again."""

from streams.columns import NEVER
from streams.rejects import Reason
from streams.validate import CLOCK_SLACK, Validator


class Checker(Validator):
    """All rules for events of one party, in their order."""

    def __init__(self, draft, party, pseudonyms):
        super().__init__(draft, party)
        self._pseudonyms = pseudonyms
        self._may_send = {source.name: source.kinds for source in draft.party(party).sources}

    def check(self, event, since=NEVER):
        """The event as it may enter, or why not."""
        try:
            self._pseudonyms.shard(event.patient, 1)
        except ValueError:
            return Reason.WRONG_TYPE
        if event.kind not in self._may_send.get(event.source, ()):
            return Reason.UNKNOWN_CODE
        if event.occurred_at.timestamp() > event.recorded_at.timestamp() + CLOCK_SLACK.total_seconds():
            return Reason.IN_THE_FUTURE
        return self.enter(event, since)
