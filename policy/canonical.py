"""Canonical JSON (RFC 8785) and the hash that a chain anchors."""

import hashlib
from functools import cached_property
from typing import Any, Self

import rfc8785
from pydantic import BaseModel, ConfigDict


def canonical_bytes(value: Any) -> bytes:
    """The RFC 8785 encoding of a pydantic model or of plain JSON data."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return bytes(rfc8785.dumps(plain))


def canonical_hash(value: Any) -> str:
    """SHA-256 of the canonical encoding, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_bytes(value)).hexdigest()


class Anchored(BaseModel):
    """A document that is known by its hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical document, 64 hexadecimal digits; worked out once, which takes a millisecond."""
        return canonical_hash(self)

    def __copy__(self) -> Self:
        """A copy may be changed on the way (`model_copy`), so it works its hash out anew."""
        copied = super().__copy__()
        copied.__dict__.pop("hash", None)
        return copied
