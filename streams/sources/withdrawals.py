"""Who no longer takes part (withdrawals.csv)."""

from streams.envelope import WithdrawalEvent
from streams.sources.lines import FieldReader
from streams.sources.table import cells, last_cell


class Withdrawals:
    """withdrawals.csv: a line is a person who withdrew on a day."""

    file = "withdrawals.csv"
    columns = ("record_id", "person", "withdrawn_on", "recorded_at")

    def __init__(self, source: str, read: FieldReader) -> None:
        self.source, self._read = source, read

    def recorded(self, line: bytes) -> str | None:
        """See Form."""
        return last_cell(line)

    def event(self, text: str) -> WithdrawalEvent:
        """See Form."""
        record_id, person, withdrawn_on, recorded_at = cells(text, len(self.columns))
        read = self._read
        return WithdrawalEvent(
            event_id=read.event_id(self.file, record_id), patient=read.person(person),
            occurred_at=read.start(withdrawn_on), recorded_at=read.start(recorded_at), source=self.source,
        )
