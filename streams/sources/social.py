"""A statistics office's table: income quintiles (persons.csv)."""

from streams.envelope import Social, SocialEvent
from streams.rejects import Reason, RefusedLineError
from streams.sources.lines import FieldReader
from streams.sources.table import cells, last_cell

INCOME_FIELD = "income_quintile"
QUINTILES = ("1", "2", "3", "4", "5")


class Persons:
    """persons.csv: a line is a quintile valid from a day on; an empty quintile is one not known."""

    file = "persons.csv"
    columns = ("record_id", "person", "income_quintile", "valid_from", "recorded_at")

    def __init__(self, source: str, read: FieldReader) -> None:
        self.source, self._read = source, read

    def recorded(self, line: bytes) -> str | None:
        """See Form."""
        return last_cell(line)

    def event(self, text: str) -> SocialEvent:
        """See Form."""
        record_id, person, quintile, valid_from, recorded_at = cells(text, len(self.columns))
        if quintile and quintile not in QUINTILES:
            raise RefusedLineError(Reason.UNKNOWN_CODE)
        read = self._read
        return SocialEvent(
            event_id=read.event_id(self.file, record_id), patient=read.person(person),
            occurred_at=read.start(valid_from), recorded_at=read.start(recorded_at), source=self.source,
            payload=Social(field=INCOME_FIELD, value=quintile or None),
        )
