"""Refused input: why, where it stood, and its bytes, sealed to the party's own key.

A refused line may hold anything, an identifier too, so its bytes never stand on a topic in clear (ADR 7).
"""

import base64
from enum import StrEnum
from typing import NamedTuple

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

MAX_KEPT_BYTES = 4_096
"""A refused line keeps this much of its beginning."""
_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_INFO = b"winnow-rejected/1"


class Reason(StrEnum):
    """Why an event is refused: the fixed vocabulary of `<party>.rejected` and of the counts."""

    TOO_LARGE = "too-large"
    NOT_TEXT = "not-text"
    BROKEN_JSON = "broken-json"
    BROKEN_CSV = "broken-csv"
    MISSING_FIELD = "missing-field"
    WRONG_TYPE = "wrong-type"
    UNKNOWN_CODE = "unknown-code"
    NOT_MAPPED = "not-mapped"
    NEGATIVE_AMOUNT = "negative-amount"
    AMOUNT_TOO_LARGE = "amount-too-large"
    TOO_MANY_EVENTS = "too-many-events"
    OUTSIDE_AGREEMENT = "outside-agreement"
    IN_THE_FUTURE = "in-the-future"
    STOP_BEFORE_START = "stop-before-start"
    DUPLICATE_ID = "duplicate-id"
    UNKNOWN_REFERENCE = "unknown-reference"
    ALREADY_CANCELLED = "already-cancelled"
    CREDIT_MISMATCH = "credit-mismatch"
    UNKNOWN_PERSON = "unknown-person"
    TOO_OLD = "too-old"


class RefusedLineError(Exception):
    """One line or event is refused; the stream goes on.

    Args:
        reason: why.
        field: the field that holds an unknown code.
        code: that code, as the source wrote it. It may be anything: no part of the message.
    """

    def __init__(self, reason: Reason, field: str = "", code: str = "") -> None:
        super().__init__(reason)
        self.reason, self.field, self.code = reason, field, code


class Position(NamedTuple):
    """Where a line stands."""

    file: str
    line: int
    """From 1."""
    offset: int
    """Bytes before it."""
    length: int
    """Bytes, its end included."""

    @property
    def key(self) -> bytes:
        """As a record key."""
        return f"{self.file}:{self.line}:{self.offset}:{self.length}".encode()


class Rejected(BaseModel):
    """A record of `<party>.rejected`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Reason
    source: str
    position: str = Field(max_length=400)
    """file:line:offset:length, or topic:partition:offset for a record that came without."""
    truncated: bool
    sealed: str
    """The original bytes, at most MAX_KEPT_BYTES, HPKE to the party's own key, base64."""


def reason_of(error: ValidationError) -> Reason:
    """The reason for what pydantic found first."""
    kind = error.errors(include_url=False, include_context=False, include_input=False)[0]["type"]
    match kind:
        case "json_invalid":
            return Reason.BROKEN_JSON
        case "missing" | "union_tag_not_found":
            return Reason.MISSING_FIELD
        case "literal_error" | "union_tag_invalid":
            return Reason.UNKNOWN_CODE
        case "greater_than_equal":
            return Reason.NEGATIVE_AMOUNT
        case "less_than_equal" | "int_parsing_size":
            return Reason.AMOUNT_TOO_LARGE
        case _:
            return Reason.WRONG_TYPE


def seal_rejected(
    reason: Reason, source: str, position: str, original: bytes, key: X25519PublicKey
) -> bytes:
    """The record (JSON) of a refused line or event."""
    sealed = _SUITE.encrypt(original[:MAX_KEPT_BYTES], key, _INFO)
    return Rejected(
        reason=reason, source=source, position=position, truncated=len(original) > MAX_KEPT_BYTES,
        sealed=base64.b64encode(sealed).decode(),
    ).model_dump_json().encode()


def open_rejected(record: bytes, key: X25519PrivateKey) -> tuple[Rejected, bytes]:
    """A record and the original bytes, for the party's own operators.

    Raises:
        pydantic.ValidationError: not such a record.
        cryptography.exceptions.InvalidTag: sealed to another key.
    """
    rejected = Rejected.model_validate_json(record)
    return rejected, _SUITE.decrypt(base64.b64decode(rejected.sealed), key, _INFO)
