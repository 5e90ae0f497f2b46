"""The tail's field and how its residues travel: fixed width, exact length, range checked. No MPyC.

Shamir sharing of degree 1 among three nodes: node i holds f(i + 1), the secret is f(0).
"""

import numpy as np
from numpy.typing import NDArray

from mpc.errors import ProtocolError
from policy.plan import FIELD_BITS, MASK_BITS

PRIME = 2**256 - 189
"""The first prime ≡ 3 (mod 4) below 2^256 (MPyC asks for a Blum prime)."""
RESIDUE_BYTES = FIELD_BITS // 8
ROOM_BITS = FIELD_BITS - MASK_BITS - 3
"""Values below 2^ROOM_BITS can be masked: x plus three masks of ROOM_BITS + MASK_BITS bits stays below PRIME."""

Residues = NDArray[np.object_]
"""Array of Python integers in [0, PRIME)."""


def encode(values: Residues) -> bytes:
    """Flat array of residues as n · RESIDUE_BYTES bytes, little-endian."""
    return b"".join([value.to_bytes(RESIDUE_BYTES, "little") for value in values.tolist()])


def decode(payload: bytes) -> Residues:
    """Inverse of `encode`.

    Raises:
        ProtocolError: the length is not a multiple of RESIDUE_BYTES, or a value is not below PRIME.
    """
    if len(payload) % RESIDUE_BYTES:
        raise ProtocolError(f"{len(payload)} bytes are not field residues of {RESIDUE_BYTES} bytes each")
    listed = [
        int.from_bytes(payload[at:at + RESIDUE_BYTES], "little")
        for at in range(0, len(payload), RESIDUE_BYTES)
    ]
    if listed and max(listed) >= PRIME:
        raise ProtocolError("a peer sent a number that is not a residue of the tail's field")
    found = np.empty(len(listed), dtype=object)
    found[:] = listed
    return found


def on_a_line(first: Residues, second: Residues, third: Residues) -> NDArray[np.bool_]:
    """Per element: do f(1), f(2), f(3) belong to one polynomial of degree 1?"""
    found: NDArray[np.bool_] = np.equal((first - 2 * second + third) % PRIME, 0).astype(np.bool_)
    return found


def at_zero(first: Residues, second: Residues) -> Residues:
    """The secret f(0) from f(1) and f(2)."""
    found: Residues = (2 * first - second) % PRIME
    return found
