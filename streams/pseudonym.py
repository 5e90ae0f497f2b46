"""Pseudonyms: how an identifier becomes a patient, a link key and a shard, and never appears anywhere else.

The link value, HMAC-SHA256(link secret, identifier) cut to 16 bytes, is equal at every party. A party's own
pseudonym is its AES-SIV encryption (RFC 5297), so that only that party gets back from one to the other and two
parties' topics cannot be joined.
"""

import base64
import binascii
import hashlib
import hmac
import re
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

VERSION = "v1:"
PSEUDONYM_PATTERN = r"^v1:[A-Za-z0-9_-]{43}$"
EVENT_ID_PATTERN = r"^[A-Za-z0-9_-]{22}$"
LINK_BYTES, PATIENT_BYTES = 16, 32
"""Of a link value, and of its encryption."""
LINK_KEY_BYTES = 8
"""Bytes of the link value that are linked on; the other half chooses the shard."""
CHECK_BYTES = 8
CACHED = 1 << 17
"""Pseudonyms kept at hand: about 40 MB at most."""
_LINK_LABEL = b"winnow-link"
_CHECK_LABEL = b"winnow-check\0"
"""Not how _LINK_LABEL begins: no identifier has a check value as its link value."""
_EVENT_LABEL = b"winnow-event"
_LINES_LABEL = b"winnow-lines"
_PATTERN = re.compile(PSEUDONYM_PATTERN)


def written(encrypted: bytes) -> str:
    """The pseudonym of 32 encrypted bytes."""
    return VERSION + base64.urlsafe_b64encode(encrypted).rstrip(b"=").decode()


def encrypted(patient: str) -> bytes:
    """The 32 bytes of a pseudonym of version 1."""
    return base64.urlsafe_b64decode(patient[len(VERSION) :] + "=")


def check_value(link_secret: bytes, agreement: str) -> str:
    """What people compare to see that parties have one link secret: 16 hexadecimal digits, others in every agreement.

    It tells nothing of a secret of 32 random bytes, which nobody can guess to compare; nor of any patient.
    """
    return hmac.digest(link_secret, _CHECK_LABEL + agreement.encode(), "sha256")[:CHECK_BYTES].hex()


class Pseudonyms:
    """One party's pseudonyms.

    Args:
        link_secret: 32 bytes, known to all data parties and to nobody else.
        party_key: 32 bytes, known to this party only.
    """

    def __init__(self, link_secret: bytes, party_key: bytes) -> None:
        self._link_secret, self._party_key = link_secret, party_key
        self._cipher = AESSIV(party_key)
        self.patient = lru_cache(CACHED)(self._patient)
        """identifier → pseudonym"""
        self.link_value = lru_cache(CACHED)(self._link_value)
        """pseudonym → 16 bytes; raises ValueError for one that this party did not make"""

    def _patient(self, identifier: str) -> str:
        link = hmac.digest(self._link_secret, _LINK_LABEL + identifier.encode(), "sha256")[:LINK_BYTES]
        return written(self._cipher.encrypt(link, None))

    def _link_value(self, patient: str) -> bytes:
        if not _PATTERN.match(patient):
            raise ValueError("not a pseudonym of version 1")
        try:
            return self._opened(base64.b64decode(patient[len(VERSION) :] + "=", altchars=b"-_", validate=True))
        except binascii.Error as error:
            raise ValueError("not a pseudonym of this party") from error

    def _opened(self, sealed: bytes) -> bytes:
        try:
            link = bytes(self._cipher.decrypt(sealed, None))
        except InvalidTag as error:
            raise ValueError("not a pseudonym of this party") from error
        if len(link) != LINK_BYTES:
            raise ValueError("not a pseudonym of this party")
        return link

    def shard(self, patient: str, shards: int) -> int:
        """The shard of a patient, equal at every party.

        Raises:
            ValueError: not a pseudonym of this party.
        """
        return _shard(self.link_value(patient), shards)

    def shard_of(self, sealed: bytes, shards: int) -> int:
        """The shard of the patient whose pseudonym is 32 encrypted bytes; nothing is remembered.

        Raises:
            ValueError: not of this party.
        """
        return _shard(self._opened(sealed), shards)

    def link_key(self, patient: str) -> int:
        """The 64 bits that are linked on.

        Raises:
            ValueError: not a pseudonym of this party.
        """
        return int.from_bytes(self.link_value(patient)[:LINK_KEY_BYTES], "little")

    def event_id(self, form: str, record_id: str) -> str:
        """The id of a record of a file of one form: 22 characters. Record ids may hold identifiers, so they are
        hashed under the party's key too.
        """
        message = f"{form}\0{record_id}".encode()
        # Keyed BLAKE2 (RFC 7693) is a MAC in one pass: this runs once or twice for every line.
        digest = hashlib.blake2b(message, digest_size=16, key=self._party_key, person=_EVENT_LABEL).digest()
        return base64.urlsafe_b64encode(digest)[:22].decode()

    def digest_of_lines(self) -> "hashlib.blake2b":
        """For a digest of a party's lines, which hold identifiers: under the party's key, too."""
        return hashlib.blake2b(digest_size=32, key=self._party_key, person=_LINES_LABEL)


def _shard(link: bytes, shards: int) -> int:
    return int.from_bytes(link[LINK_KEY_BYTES:], "little") % shards
