"""Rows of a table on a broker that others run: sealed, and under names that say nothing.

Key: HKDF-SHA256 (RFC 5869) of the owner's secret. Row: nonce ‖ ChaCha20-Poly1305 (RFC 8439) of the text, padded to a
multiple of PAD_BYTES, bound to its name. The broker sees that a row changed, and roughly how long it is.
"""

import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from evaluation.errors import Tampered

NONCE_BYTES = 12
NAME_BYTES = 16
PAD_BYTES = 1024


class RowSeal:
    """Seals and opens the rows of one table."""

    def __init__(self, secret: bytes, purpose: str) -> None:
        keys = HKDF(algorithm=SHA256(), length=64, salt=None, info=b"winnow-rows\0" + purpose.encode()).derive(secret)
        self._names, self._cipher = keys[:32], ChaCha20Poly1305(keys[32:])

    def name(self, of: str) -> bytes:
        """NAME_BYTES that stand for `of`; only the owner can tell."""
        return hmac.digest(self._names, of.encode(), "sha256")[:NAME_BYTES]

    def seal(self, name: bytes, text: bytes) -> bytes:
        """Seal a row under its name."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        padded = text + b"\x80"
        padded += bytes(-len(padded) % PAD_BYTES)
        return nonce + self._cipher.encrypt(nonce, padded, name)

    def open(self, name: bytes, sealed: bytes) -> bytes:
        """Open a row.

        Raises:
            Tampered: it was not sealed by this owner under this name.
        """
        try:
            padded = self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name)
        except (InvalidTag, ValueError) as error:
            raise Tampered("a stored row of the alerts' table cannot be opened: somebody else wrote it") from error
        return padded.rstrip(b"\0")[:-1]
