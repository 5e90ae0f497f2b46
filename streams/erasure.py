"""Lists of rows to be erased, on their way from a party to the nodes, and what the party keeps of having sent them.

A message to a node: signature (Ed25519, 64 bytes) ‖ MAGIC ‖ length of the head (4 bytes, little endian) ‖ head, as
canonical JSON ‖ the list, canonical JSON, sealed (HPKE, RFC 9180). The head says whose it is; all else is for the node
alone.
"""

import hashlib
import struct
from functools import cached_property
from typing import Annotated, Self

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policy.agreement import MAX_BLOCK_SLOTS, MAX_SHARDS, Draft
from policy.canonical import canonical_bytes
from policy.erasure import MAX_BATCH_SLOTS
from policy.window import MAX_PANES
from streams.batch import MAX_BLOCKS
from streams.broker import MAX_MESSAGE_BYTES
from streams.errors import BatchError

MAGIC = b"winnow erasure 1\n"
MAX_HEAD_BYTES = 1_024
MAX_LISTS = 65_536
"""Of one shard; a register of a million rows can be erased to the last one in batches of 16."""
SIGNATURE_BYTES = 64
LIST_KEY, SENT_KEY = b"erasure", b"sent"
"""Of a list on the party's panes topic, and of a note of it on its receipts topic."""
_LENGTH = struct.Struct("<I")
_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Slot = Annotated[int, Field(ge=0, lt=MAX_BLOCKS * MAX_BLOCK_SLOTS)]


class _Head(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    agreement: Hash
    party: str = Field(max_length=40)
    shard: int = Field(ge=0, lt=MAX_SHARDS)


class ErasureList(_Head):
    """Rows of one party's shard that are to be erased, some of them rows where nobody is."""

    number: int = Field(ge=0, lt=MAX_LISTS)
    """0, 1, 2 … of the shard."""
    boundary: int = Field(ge=1, le=MAX_PANES)
    """They are erased in all panes before this one."""
    slots: Annotated[tuple[Slot, ...], Field(min_length=1, max_length=MAX_BATCH_SLOTS, strict=False)]

    @cached_property
    def canonical(self) -> bytes:
        """The list as it is kept, sent and hashed."""
        return canonical_bytes(self)

    @property
    def digest(self) -> str:
        """SHA-256 of it, 64 hexadecimal digits."""
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def side(self) -> tuple[str, int]:
        """Party and shard."""
        return self.party, self.shard

    @classmethod
    def read(cls, record: bytes) -> Self:
        """The list of its canonical form.

        Raises:
            BatchError: not of this form.
        """
        try:
            found = cls.model_validate_json(record)
        except ValidationError as error:
            raise BatchError("an erasure list that is not one") from error
        if found.canonical != record:
            raise BatchError("an erasure list that is not canonical")
        return found


class Sent(_Head):
    """That a list left; signed by the party, for whoever compares receipts with it."""

    number: int = Field(ge=0, lt=MAX_LISTS)
    boundary: int = Field(ge=1, le=MAX_PANES)
    rows: int = Field(ge=1, le=MAX_BATCH_SLOTS)
    digest: Hash


def check_list(found: ErasureList, draft: Draft) -> None:
    """Refuse a list that the agreement does not allow, whatever came before it.

    Raises:
        BatchError: by which check.
    """
    agreed = draft.erasure
    if agreed is None:
        raise BatchError("an erasure list, and none is agreed")
    if len(found.slots) != agreed.batch_slots:
        raise BatchError(f"an erasure list of {len(found.slots)} rows, expected {agreed.batch_slots}")
    if found.boundary > draft.panes.count or not agreed.is_boundary(found.boundary, draft.panes.count):
        raise BatchError(
            f"an erasure list before pane {found.boundary}, expected a multiple of {agreed.every_panes} up to "
            f"{draft.panes.count}, or that"
        )
    if any(later <= earlier for earlier, later in zip(found.slots, found.slots[1:], strict=False)):
        raise BatchError("an erasure list whose rows do not ascend")


def is_list(message: bytes) -> bool:
    """Whether a message to a node is a list rather than a share batch."""
    return message[SIGNATURE_BYTES : SIGNATURE_BYTES + len(MAGIC)] == MAGIC


def seal_list(found: ErasureList, node: int, node_key: X25519PublicKey, signing: Ed25519PrivateKey) -> bytes:
    """The message for a node."""
    head = canonical_bytes(_Head(agreement=found.agreement, party=found.party, shard=found.shard))
    sealed = _SUITE.encrypt(found.canonical, node_key, _info(node, head))
    message = b"".join((MAGIC, _LENGTH.pack(len(head)), head, sealed))
    return signing.sign(_signed(node, message)) + message


def party_of(message: bytes) -> str:
    """Whose list a message says it is; nothing checked but its form.

    Raises:
        BatchError: not of this form.
    """
    return _opened(message)[0].party


def open_list(message: bytes, node: int, key: X25519PrivateKey, party_key: Ed25519PublicKey) -> ErasureList:
    """The list of a message.

    Raises:
        BatchError: the party did not sign it, it is not for this node, or not of the form.
    """
    head, raw, sealed = _opened(message)
    try:
        party_key.verify(message[:SIGNATURE_BYTES], _signed(node, message[SIGNATURE_BYTES:]))
        plain = _SUITE.decrypt(sealed, key, _info(node, raw))
    except (InvalidSignature, InvalidTag) as error:
        raise BatchError(
            f"an erasure list of {head.party!r}: {type(error).__name__}; not signed by the party or not for this node"
        ) from error
    found = ErasureList.read(plain)
    if (found.agreement, found.party, found.shard) != (head.agreement, head.party, head.shard):
        raise BatchError(f"an erasure list of {head.party!r} under another one's head")
    return found


def seal_sent(found: ErasureList, signing: Ed25519PrivateKey) -> bytes:
    """That a list left: signature (64 bytes) ‖ canonical JSON."""
    body = canonical_bytes(Sent(
        agreement=found.agreement, party=found.party, shard=found.shard, number=found.number, boundary=found.boundary,
        rows=len(found.slots), digest=found.digest,
    ))
    return signing.sign(b"winnow-erasure-sent\0" + body) + body


def open_sent(message: bytes, party_key: Ed25519PublicKey) -> Sent:
    """Check a note of a list.

    Raises:
        BatchError: not the party's, or not of the form.
    """
    body = message[SIGNATURE_BYTES:]
    try:
        party_key.verify(message[:SIGNATURE_BYTES], b"winnow-erasure-sent\0" + body)
        return Sent.model_validate_json(body)
    except (InvalidSignature, ValidationError) as error:
        raise BatchError(f"a note of an erasure list that is none ({type(error).__name__})") from error


def _opened(message: bytes) -> tuple[_Head, bytes, bytes]:
    """Head, its bytes, and what is sealed."""
    start = SIGNATURE_BYTES + len(MAGIC) + _LENGTH.size
    if not start < len(message) <= MAX_MESSAGE_BYTES or not is_list(message):
        raise BatchError(f"{len(message)} bytes that are no erasure list")
    (length,) = _LENGTH.unpack_from(message, start - _LENGTH.size)
    raw = message[start : start + length]
    if not 0 < length <= MAX_HEAD_BYTES or len(raw) != length:
        raise BatchError(f"an erasure list with a head of {length} bytes")
    try:
        return _Head.model_validate_json(raw), raw, message[start + length :]
    except ValidationError as error:
        raise BatchError("an erasure list whose head is not one") from error


def _info(node: int, head: bytes) -> bytes:
    return b"winnow-erasure/1\0" + bytes([node]) + head


def _signed(node: int, message: bytes) -> bytes:
    return b"winnow-erasure\0" + bytes([node]) + message
