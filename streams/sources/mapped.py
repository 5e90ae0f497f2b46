"""A row of raw values to an event or a refusal, by what source.toml says: the same for every format."""

import re
from collections.abc import Callable
from collections.abc import Mapping as Lookup
from decimal import Decimal
from typing import Any, Protocol

from pydantic import ValidationError

from streams.envelope import (
    CODE_PATTERN,
    MAX_SCORE,
    Claim,
    ClaimEvent,
    Encounter,
    EncounterEvent,
    Enrolment,
    EnrolmentEvent,
    Monitoring,
    MonitoringEvent,
    PatientEvent,
    Prom,
    PromEvent,
    Social,
    SocialEvent,
    WithdrawalEvent,
)
from streams.moment import source_readers
from streams.pseudonym import Pseudonyms
from streams.rejects import Reason, RefusedLineError, reason_of
from streams.sources.claims import cents_of
from streams.sources.lines import FieldReader
from streams.sources.mapping import CANCELLED, CREDIT, FIELDS, OURS, VALID, FileMapping

_CODE = re.compile(CODE_PATTERN)
_AMOUNT = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,12})?", re.ASCII)


Row = Callable[[str], str]
"""A mapped column → its text as the source wrote it, "" when there is none. Raises RefusedLineError: it is no text."""


class Rows(Protocol):
    """How a line of one format becomes raw values."""

    def row(self, text: str) -> Row:
        """The columns of a line.

        Raises:
            RefusedLineError: no row of this format.
        """


class Mapping:
    """One entry of source.toml, applied: row → event.

    Args:
        rules: what the entry says.
        source: the agreed source that its events belong to.
        zone: of dates, where the entry names none.
        pseudonyms: the party's.
        crosswalk: the source's number of a person → the number of all parties; None: they are the same.
    """

    def __init__(
        self, rules: FileMapping, source: str, zone: str, pseudonyms: Pseudonyms,
        crosswalk: Lookup[str, str] | None = None,
    ) -> None:
        self.rules, self.source, self.rank = rules, source, list(FIELDS).index(rules.kind)
        self._crosswalk = crosswalk
        self._where = [
            (column, [wanted] if isinstance(wanted, str) else wanted) for column, wanted in rules.where.items()
        ]
        self.moment, stop = source_readers(
            rules.zone or zone, rules.date_format, end_inclusive=rules.end_inclusive or False
        )
        """Reads when something was recorded."""
        self._read = FieldReader(pseudonyms, self.moment, stop)

    @property
    def columns(self) -> dict[str, str]:
        """Column → the key of source.toml that names it."""
        found: dict[str, str] = {}
        for field, column in self.rules.fields.items():
            found.setdefault(column, f"fields.{field}")
        for column in self.rules.where:
            found.setdefault(column, f"where.{column}")
        return found

    def takes(self, row: Row) -> bool:
        """Whether the row is one of those that the entry is about."""
        return all(row(column) in wanted for column, wanted in self._where)

    def event(self, row: Row) -> PatientEvent:
        """The event of a row.

        Raises:
            RefusedLineError: with its reason.
        """
        values = {column: row(column) for column in self.rules.fields.values()}
        row = values.__getitem__
        try:
            match self.rules.kind:
                case "enrolment":
                    return self._enrolment(row)
                case "encounter":
                    return self._encounter(row)
                case "monitoring":
                    return self._monitoring(row)
                case "prom":
                    return self._prom(row)
                case "claim":
                    return self._claim(row)
                case "social":
                    return self._social(row)
                case "withdrawal":
                    return WithdrawalEvent(**self._common(row))
                case "none":
                    raise RefusedLineError(Reason.NOT_MAPPED)
        except ValidationError as error:
            raise RefusedLineError(reason_of(error)) from error

    def raw(self, row: Row, field: str) -> str:
        """A field's text: the row's, or the constant; "" when neither has it."""
        column = self.rules.fields.get(field)
        return (row(column) if column else "") or self.rules.constants.get(field, "")

    def _coded(self, row: Row, field: str) -> str:
        text = self.raw(row, field)
        codes = self.rules.codes.get(field)
        if codes is None or field in self.rules.constants:
            return text
        if text in codes:
            return codes[text]
        raise _unknown(field, text)

    def _one_of(self, row: Row, field: str) -> str:
        """A field whose codes are fixed."""
        code = self._coded(row, field)
        if code not in OURS[field]:
            raise _unknown(field, code)
        return code

    def _code(self, row: Row, field: str) -> str:
        code = self._coded(row, field)
        if not _CODE.fullmatch(code):
            raise _unknown(field, code)
        return code

    def person(self, row: Row) -> str:
        """The pseudonym of the person whom a row is about.

        Raises:
            RefusedLineError: nobody, or somebody who is in no crosswalk.
        """
        text, prefix = self.raw(row, "person"), self.rules.person_prefix
        if not text:
            raise RefusedLineError(Reason.MISSING_FIELD)
        if not text.startswith(prefix):
            raise RefusedLineError(Reason.WRONG_TYPE)
        text = text.removeprefix(prefix)
        if self._crosswalk is not None:
            known = self._crosswalk.get(text)
            if known is None:
                raise RefusedLineError(Reason.UNKNOWN_REFERENCE)
            text = known
        return self._read.person_or_uuid(text)

    def _event_id(self, record_id: str) -> str:
        return self._read.event_id(self.rules.space, record_id)

    def _common(self, row: Row, occurred: str = "occurred") -> dict[str, Any]:
        """What all events have."""
        read = self._read
        return {
            "event_id": self._event_id(self.raw(row, "id")), "patient": self.person(row),
            "occurred_at": read.start(self.raw(row, occurred)), "recorded_at": read.start(self.raw(row, "recorded")),
            "source": self.source,
        }

    def _correction(self, row: Row) -> tuple[str | None, bool]:
        """The record that a row replaces, if it names one, and whether it takes back what was said."""
        previous = self.raw(row, "previous")
        state = self._one_of(row, "state") if self.raw(row, "state") else VALID
        return self._event_id(previous) if previous else None, state == CANCELLED

    def _enrolment(self, row: Row) -> EnrolmentEvent:
        return EnrolmentEvent(
            **self._common(row, "start"),
            payload=Enrolment(programme=self._code(row, "programme"), stop=self._read.stop(self.raw(row, "end"))),
        )

    def _encounter(self, row: Row) -> EncounterEvent:
        common, (corrects, cancels) = self._common(row), self._correction(row)
        payload = Encounter.model_validate({"type": self._one_of(row, "class"), "cancels": cancels})
        return EncounterEvent(**common, corrects=corrects, payload=payload)

    def _monitoring(self, row: Row) -> MonitoringEvent:
        common, (corrects, cancels) = self._common(row), self._correction(row)
        status = self._one_of(row, "status")
        payload = Monitoring.model_validate({
            "module": self._code(row, "module"), "status": status, "cancels": cancels,
            # What is due occurs when it is due.
            **({"due": self._read.start(due)} if status == "completed" and (due := self.raw(row, "due")) else {}),
        })
        return MonitoringEvent(**common, corrects=corrects, payload=payload)

    def _prom(self, row: Row) -> PromEvent:
        common, (corrects, cancels) = self._common(row), self._correction(row)
        score = int(_hundredths(self.raw(row, "score"), decimal_comma=self.rules.decimal_comma))
        if abs(score) > MAX_SCORE:
            raise RefusedLineError(Reason.AMOUNT_TOO_LARGE)
        payload = Prom(instrument=self._code(row, "instrument"), score=score, cancels=cancels)
        return PromEvent(**common, corrects=corrects, payload=payload)

    def _social(self, row: Row) -> SocialEvent:
        common = self._common(row)
        value = self._coded(row, "value") if self.raw(row, "value") or "" in self.rules.codes.get("value", ()) else ""
        if value and not _CODE.fullmatch(value):
            raise _unknown("value", value)
        return SocialEvent(**common, payload=Social(field=self._code(row, "field"), value=value or None))

    def _claim(self, row: Row) -> ClaimEvent:
        cents, credit = self._money(row)
        return ClaimEvent(
            **self._common(row), corrects=self._event_id(self.raw(row, "previous")) if credit else None,
            payload=Claim(
                care_type=self._code(row, "care_type"), cents=cents, credit=credit,
                product=self._coded(row, "product") if self.raw(row, "product") else "",
            ),
        )

    def _money(self, row: Row) -> tuple[int, bool]:
        """Cents, and whether the line is a credit line."""
        rules = self.rules
        text = self.raw(row, "cents") if "cents" in rules.fields else _hundredths(
            self.raw(row, "amount"), decimal_comma=rules.decimal_comma
        )
        if rules.negative_is_credit:
            return cents_of(text.removeprefix("-")), text.startswith("-")
        if "side" not in rules.fields and "side" not in rules.constants:
            return cents_of(text), False
        return cents_of(text), self._one_of(row, "side") == CREDIT


def _unknown(field: str, code: str) -> RefusedLineError:
    return RefusedLineError(Reason.UNKNOWN_CODE, field, code) if code else RefusedLineError(Reason.MISSING_FIELD)


def _hundredths(amount: str, *, decimal_comma: bool) -> str:
    """A decimal amount or score as whole hundredths; one that has no whole number of them is refused, never rounded."""
    text = amount.replace(",", ".") if decimal_comma and "." not in amount else amount
    if not _AMOUNT.fullmatch(text) or (decimal_comma and "." in amount):
        raise RefusedLineError(Reason.WRONG_TYPE if amount else Reason.MISSING_FIELD)
    cents = Decimal(text) * 100
    if cents != cents.to_integral_value():
        raise RefusedLineError(Reason.WRONG_TYPE)
    return str(int(cents))
