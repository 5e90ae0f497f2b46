"""Canonical JSON (RFC 8785) and the hash that a chain anchors."""

import hashlib
from typing import Any

import rfc8785
from pydantic import BaseModel


def canonical_bytes(value: Any) -> bytes:
    """The RFC 8785 encoding of a pydantic model or of plain JSON data."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return bytes(rfc8785.dumps(plain))


def canonical_hash(value: Any) -> str:
    """SHA-256 of the canonical encoding, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_bytes(value)).hexdigest()
