"""Share batches: what one block of slots of one pane, or of the register, is called and how it is kept before it
is shared.
"""

import hashlib
import struct
from functools import cached_property
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from policy.agreement import MAX_BLOCK_SLOTS, MAX_SHARDS, Draft
from policy.canonical import canonical_bytes
from policy.growth import MAX_BATCHES
from policy.maturity import MAX_MATURITIES
from policy.window import MAX_PANES
from streams.broker import MAX_MESSAGE_BYTES
from streams.errors import BatchError, ConfigurationError

LINK_COLUMN = "link"
MAX_BLOCKS = 4_096
"""Blocks of one party and shard, of all batches of its register: bounds what a peer's header can make us expect."""
MAX_REVISION = max(MAX_MATURITIES, MAX_BATCHES - 1)
"""Of any header."""
MAX_COLUMNS = 64
MAX_HEADER_BYTES = 8_192
ENVELOPE_BYTES = 16_384
"""Room in a message for header, signature, seals and framing."""
_LENGTH = struct.Struct("<I")

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BatchHeader(BaseModel):
    """The name of a batch. Its canonical hash is the batch id."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    agreement: Hash
    epoch: int = Field(ge=0, le=0)
    party: str = Field(max_length=40)
    shard: int = Field(ge=0, lt=MAX_SHARDS)
    block: int = Field(ge=0, lt=MAX_BLOCKS)
    kind: Literal["register", "pane"]
    pane: int = Field(ge=-1, lt=MAX_PANES)
    """-1 for a register."""
    revision: int = Field(ge=0, le=MAX_REVISION)
    """0: all of a pane; later ones, up to MAX_MATURITIES, are added to it. Of a register: the batch that the block is
    of.
    """
    columns: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_COLUMNS, strict=False)]
    slots: int = Field(ge=1, le=MAX_BLOCK_SLOTS)
    blocks: int | None = Field(default=None, ge=1, le=MAX_BLOCKS)
    """Register only: blocks of this party and shard in this batch and those before it."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.kind == "pane" and self.revision > MAX_MATURITIES:
            raise ValueError(f"revision {self.revision} of a pane; expected at most {MAX_MATURITIES}")
        return self

    @cached_property
    def canonical(self) -> bytes:
        """The header's canonical JSON: needed for every node's message, so worked out once."""
        return canonical_bytes(self)

    @property
    def batch_id(self) -> bytes:
        """32 bytes: SHA-256 of the canonical header."""
        return hashlib.sha256(self.canonical).digest()

    @property
    def key(self) -> tuple[str, int, int, int, int]:
        """(party, shard, block, pane, revision): unique within an agreement's epoch."""
        return self.party, self.shard, self.block, self.pane, self.revision

    @property
    def shape(self) -> tuple[int, int]:
        """(columns, slots)"""
        return len(self.columns), self.slots

    @property
    def xor(self) -> bool:
        """Link keys are XOR-shared, all else additively."""
        return self.kind == "register"


def party_columns(draft: Draft, party: str) -> tuple[str, ...]:
    """A party's shared columns, in order."""
    return tuple(column for measure in draft.party_measures(party) for column in measure.columns)


def check_size(draft: Draft, party: str) -> None:
    """Refuse an agreement whose blocks do not fit a message.

    Raises:
        ConfigurationError: with the largest block that fits.
    """
    columns = len(party_columns(draft, party))
    room = (MAX_MESSAGE_BYTES - ENVELOPE_BYTES) // 8
    if not 1 <= columns <= MAX_COLUMNS:
        raise ConfigurationError(f"party {party} shares {columns} columns, expected 1 to {MAX_COLUMNS}")
    if columns * draft.linkage.block_slots > room:
        raise ConfigurationError(
            f"{columns} columns of {draft.linkage.block_slots} slots do not fit a message. "
            f"Lower linkage.block_slots to {room // columns // 8 * 8}."
        )


def framed(header: BatchHeader, body: bytes | memoryview) -> bytes:
    """Length of the header (4 bytes, little endian) ‖ header, canonical JSON ‖ body"""
    head = header.canonical
    return b"".join((_LENGTH.pack(len(head)), head, body))


def unframed(message: bytes) -> tuple[BatchHeader, bytes, memoryview]:
    """Header, its bytes, body.

    Raises:
        BatchError: not of this form.
    """
    if len(message) < _LENGTH.size:
        raise BatchError(f"a batch of {len(message)} bytes has no header")
    (length,) = _LENGTH.unpack_from(message)
    if not 0 < length <= min(MAX_HEADER_BYTES, len(message) - _LENGTH.size):
        raise BatchError(f"a batch header of {length} bytes; expected at most {MAX_HEADER_BYTES}")
    head = message[_LENGTH.size : _LENGTH.size + length]
    try:
        header = BatchHeader.model_validate_json(head)
    except ValidationError as error:
        raise BatchError("a batch whose header is not one") from error
    if header.canonical != head:
        raise BatchError("a batch header that is not canonical")
    return header, head, memoryview(message)[_LENGTH.size + length :]


def snapshot(header: BatchHeader, content: NDArray[np.uint64]) -> bytes:
    """A block's plaintext as it lies on the party's own panes topic."""
    return framed(header, np.ascontiguousarray(content).astype("<u8", copy=False).tobytes())


def open_snapshot(record: bytes) -> tuple[BatchHeader, NDArray[np.uint64]]:
    """The header and content (columns, slots) of a snapshot.

    Raises:
        BatchError: not of this form.
    """
    header, _, body = unframed(record)
    if len(body) != 8 * header.shape[0] * header.shape[1]:
        raise BatchError(f"a snapshot of {len(body)} bytes for shape {header.shape}")
    content: NDArray[np.uint64] = np.frombuffer(body, dtype="<u8").astype(np.uint64, copy=False)
    return header, content.reshape(header.shape)
