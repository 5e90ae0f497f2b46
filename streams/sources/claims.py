"""An insurer's tables: who is insured (members.csv) and what was claimed (claims.csv, Vektis-like lines)."""

import re

from pydantic import ValidationError

from streams.envelope import MAX_CENTS, ClaimEvent, Enrolment, EnrolmentEvent
from streams.rejects import Reason, RefusedLineError, reason_of
from streams.sources.lines import FieldReader
from streams.sources.table import cells, last_cell

INSURED = "insured"
_NUMBER = re.compile(r"-?[0-9]{1,40}")
_CODE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class Members:
    """members.csv: a line is an insurance period, `end` the first day without insurance; the same record_id
    recorded later replaces it.
    """

    file = "members.csv"
    columns = ("record_id", "person", "start", "end", "recorded_at")

    def __init__(self, source: str, read: FieldReader) -> None:
        self.source, self._read = source, read

    def recorded(self, line: bytes) -> str | None:
        """See Form."""
        return last_cell(line)

    def event(self, text: str) -> EnrolmentEvent:
        """See Form."""
        record_id, person, start, end, recorded_at = cells(text, len(self.columns))
        read = self._read
        return EnrolmentEvent(
            event_id=read.event_id(self.file, record_id), patient=read.person(person),
            occurred_at=read.start(start), recorded_at=read.start(recorded_at), source=self.source,
            payload=Enrolment(programme=INSURED, stop=read.start(end) if end else None),
        )


class Claims:
    """claims.csv: debit lines, and credit lines that cancel one."""

    file = "claims.csv"
    columns = (
        "record_id", "person", "care_type", "product", "service_date", "amount_cents", "debit_credit",
        "previous_record_id", "recorded_at",
    )

    def __init__(self, source: str, read: FieldReader) -> None:
        self.source, self._read = source, read

    def recorded(self, line: bytes) -> str | None:
        """See Form."""
        return last_cell(line)

    def event(self, text: str) -> ClaimEvent:
        """See Form."""
        (
            record_id, person, care_type, product, service_date, amount, side, previous, recorded_at,
        ) = cells(text, len(self.columns))
        read = self._read
        if side not in ("D", "C"):
            raise RefusedLineError(Reason.UNKNOWN_CODE if side else Reason.MISSING_FIELD)
        if not _CODE.fullmatch(care_type):
            raise RefusedLineError(Reason.UNKNOWN_CODE if care_type else Reason.MISSING_FIELD)
        credit = side == "C"
        try:
            return ClaimEvent.model_validate({
                "event_id": read.event_id(self.file, record_id), "patient": read.person(person),
                "occurred_at": read.start(service_date), "recorded_at": read.start(recorded_at),
                "source": self.source, "corrects": read.event_id(self.file, previous) if credit else None,
                "payload": {"care_type": care_type, "product": product, "cents": cents_of(amount), "credit": credit},
            })
        except ValidationError as error:
            raise RefusedLineError(reason_of(error)) from error


def cents_of(text: str) -> int:
    """An amount in whole cents.

    Raises:
        RefusedLineError: empty, no whole number, negative, or above MAX_CENTS.
    """
    if not _NUMBER.fullmatch(text):
        raise RefusedLineError(Reason.WRONG_TYPE if text else Reason.MISSING_FIELD)
    cents = int(text)
    if cents < 0:
        raise RefusedLineError(Reason.NEGATIVE_AMOUNT)
    if cents > MAX_CENTS:
        raise RefusedLineError(Reason.AMOUNT_TOO_LARGE)
    return cents
