"""Merkle tree hash of RFC 6962, section 2.1, over 32-byte leaves."""

import hashlib
from collections.abc import Sequence

LEAF, NODE = b"\0", b"\1"
"""Domain separation: a leaf can never be taken for an inner node."""


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The 32-byte root of one or more leaves; their order counts.

    Raises:
        ValueError: no leaves.
    """
    if not leaves:
        raise ValueError("a Merkle tree needs at least one leaf")
    if len(leaves) == 1:
        return hashlib.sha256(LEAF + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(NODE + merkle_root(leaves[:split]) + merkle_root(leaves[split:])).digest()
