"""Share messages: a party's two components for one node, sealed to that node and signed by the party.

signature (Ed25519, 64 bytes) ‖ length ‖ header ‖ HPKE(X25519, HKDF-SHA256, ChaCha20-Poly1305; RFC 9180) of an Arrow
IPC stream with one row per component. The header is bound to the seal as its info, the signature covers all
of it and the node's number.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from policy.identity import NODES
from streams.batch import BatchHeader, framed, unframed
from streams.broker import MAX_MESSAGE_BYTES
from streams.errors import BatchError

SIGNATURE_BYTES = 64
LENGTH_BYTES = 4
"""Of the header's length; see streams.batch.framed."""
SEED_BYTES = SALT_BYTES = COMMITMENT_BYTES = 32
_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_SCHEMA = pa.schema([
    pa.field("component", pa.uint8(), nullable=False),
    pa.field("travels", pa.bool_(), nullable=False),
    pa.field("salt", pa.binary(SALT_BYTES), nullable=False),
    pa.field("commitment", pa.binary(COMMITMENT_BYTES), nullable=False),
    pa.field("body", pa.binary(), nullable=False),
])


@dataclass(frozen=True)
class Piece:
    """One component on its way to a holder."""

    component: int
    travels: bool
    """Whether `body` is the component (little endian, row by row) or the seed it is expanded from."""
    salt: bytes
    commitment: bytes
    body: bytes


def held(node: int) -> tuple[int, int]:
    """The components that a node holds."""
    return node, (node + 1) % NODES


def travelling(header: BatchHeader) -> int:
    """The component that travels as data; the other two are expanded from seeds."""
    return header.block % NODES


def seal(
    header: BatchHeader, pieces: Sequence[Piece], node: int, node_key: X25519PublicKey, signing: Ed25519PrivateKey
) -> bytes:
    """The message for `node` with its two pieces, in the order of `held`."""
    batch = pa.record_batch(
        [
            [p.component for p in pieces], [p.travels for p in pieces], [p.salt for p in pieces],
            [p.commitment for p in pieces], [p.body for p in pieces],
        ],
        schema=_SCHEMA,
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _SCHEMA) as writer:
        writer.write_batch(batch)
    info = _info(node, header.canonical)
    message = framed(header, _SUITE.encrypt(sink.getvalue().to_pybytes(), node_key, info))
    return signing.sign(_signed(node, message)) + message


def read_header(message: bytes) -> BatchHeader:
    """The header of a message, nothing checked but its form.

    Raises:
        BatchError: not of this form.
    """
    if not SIGNATURE_BYTES < len(message) <= MAX_MESSAGE_BYTES:
        raise BatchError(f"a share message of {len(message)} bytes; expected at most {MAX_MESSAGE_BYTES}")
    return unframed(message[SIGNATURE_BYTES:])[0]


def unseal(
    message: bytes, node: int, key: X25519PrivateKey, party_key: Ed25519PublicKey, header: BatchHeader | None = None
) -> list[Piece]:
    """The pieces of a message; `header`: what read_header found in this same message, so as not to look again.

    Raises:
        BatchError: the signature is not the party's, the seal is not for this node, or the contents are not the two
            pieces that this node holds.
    """
    signature, message = message[:SIGNATURE_BYTES], message[SIGNATURE_BYTES:]
    if header is None:
        header = unframed(message)[0]
    head = header.canonical  # the very bytes: others are refused
    sealed = memoryview(message)[LENGTH_BYTES + len(head) :]
    name = f"batch {header.key} of agreement {header.agreement[:16]}"
    try:
        party_key.verify(signature, _signed(node, message))
        plain = _SUITE.decrypt(sealed, key, _info(node, head))
    except (InvalidSignature, InvalidTag) as error:
        raise BatchError(f"{name}: {type(error).__name__}; not signed by the party or not for this node") from error
    try:
        _refuse_compression(plain)
        with pa.ipc.open_stream(plain) as reader:
            if not reader.schema.equals(_SCHEMA):
                raise BatchError(f"{name} has another schema")
            batch = reader.read_next_batch()
        batch.validate(full=True)
        rows = batch.to_pylist()
    except (pa.ArrowException, StopIteration, OSError, struct.error) as error:
        raise BatchError(f"{name} is not Arrow ({type(error).__name__})") from error
    if [row["component"] for row in rows] != list(held(node)):
        raise BatchError(f"{name} does not hold components {held(node)}")
    pieces = [Piece(**row) for row in rows]
    size = 8 * header.shape[0] * header.shape[1]
    for piece in pieces:
        travels = piece.component == travelling(header)
        if piece.travels != travels or len(piece.body) != (size if travels else SEED_BYTES):
            raise BatchError(f"{name}: component {piece.component} has {len(piece.body)} bytes of another form")
    return pieces


def _refuse_compression(stream: bytes) -> None:
    """Look at the batch before Arrow expands it: 31 kB of it can say that they are a gigabyte.

    In the metadata (FlatBuffers: Arrow's Message.fbs) field 2 of a message is its header, and field 3 of a record
    batch its compression.
    """
    reader = pa.ipc.MessageReader.open_stream(stream)
    reader.read_next_message()  # the schema
    metadata = reader.read_next_message().metadata.to_pybytes()

    def field(table: int, number: int) -> int:
        """Where a table's field is; 0 when it is absent."""
        directory = table - struct.unpack_from("<i", metadata, table)[0]
        size = struct.unpack_from("<H", metadata, directory)[0]
        place = 4 + 2 * number
        offset = struct.unpack_from("<H", metadata, directory + place)[0] if place < size else 0
        return table + int(offset) if offset else 0

    message = struct.unpack_from("<I", metadata)[0]
    header = field(message, 2)
    batch = header + struct.unpack_from("<I", metadata, header)[0]
    if not header or field(batch, 3):
        raise pa.ArrowInvalid("the batch is compressed")


def _info(node: int, head: bytes) -> bytes:
    return b"winnow-batch/1\0" + bytes([node]) + head


def _signed(node: int, message: bytes) -> bytes:
    return b"winnow-batch\0" + bytes([node]) + message
