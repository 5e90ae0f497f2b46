"""Keys of one attempt: agreed afresh by every pair of nodes, bound to fresh randomness of all three.

A retry on changed data under the old masks and permutations would reveal both, so no key may outlive its
attempt. Each node contributes a nonce and an X25519 key (RFC 7748) it made for this attempt only; the attempt's
name hashes the run id and the three contributions; a pair's key is HKDF-SHA256 (RFC 5869) of the pair's X25519
secret with that name as salt. One honest node's contribution suffices to make all keys new.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc.errors import ProtocolError

NODES = 3
NONCE_BYTES = 32
PUBLIC_KEY_BYTES = 32
CONTRIBUTION_BYTES = NONCE_BYTES + PUBLIC_KEY_BYTES


@dataclass(frozen=True)
class Contribution:
    """What a node tells both peers when it opens an attempt: 32 random bytes and an X25519 public key."""

    nonce: bytes
    public_key: bytes

    def to_bytes(self) -> bytes:
        """64 bytes: nonce, public key."""
        return self.nonce + self.public_key

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises: ProtocolError unless `data` has 64 bytes."""
        if len(data) != CONTRIBUTION_BYTES:
            raise ProtocolError(f"a contribution has {len(data)} bytes; expected {CONTRIBUTION_BYTES}")
        return cls(data[:NONCE_BYTES], data[NONCE_BYTES:])


class AttemptSecret:
    """This node's secret for one attempt; forget it when the attempt's pair keys are derived."""

    def __init__(self) -> None:
        self._private = X25519PrivateKey.generate()
        self.contribution = Contribution(
            secrets.token_bytes(NONCE_BYTES), self._private.public_key().public_bytes_raw(),
        )

    def agree(self, peer: Contribution) -> bytes:
        """The 32-byte X25519 secret with a peer. Raises: ProtocolError for a key that fixes the secret."""
        try:
            return self._private.exchange(X25519PublicKey.from_public_bytes(peer.public_key))
        except ValueError as error:
            raise ProtocolError("a peer's X25519 key is of low order; its node must be replaced") from error


def attempt_name(run_id: bytes, contributions: Sequence[Contribution]) -> bytes:
    """32 bytes naming an attempt: SHA-256 of the run id and the contributions of nodes 0, 1, 2."""
    if len(contributions) != NODES:
        raise ProtocolError(f"an attempt has {len(contributions)} contributions; expected {NODES}")
    name = hashlib.sha256(b"winnow mpc attempt v1\0" + len(run_id).to_bytes(4, "big") + run_id)
    for contribution in contributions:
        name.update(contribution.to_bytes())
    return name.digest()


def pair_key(secret: bytes, attempt: bytes, pair: tuple[int, int], channel: int, purpose: bytes) -> bytes:
    """32 bytes that only the two nodes of `pair` know; another channel or purpose gives another key."""
    low, high = sorted(pair)
    info = b"winnow mpc pair key v1\0" + bytes([low, high]) + channel.to_bytes(2, "big") + purpose
    return HKDF(SHA256(), 32, attempt, info).derive(secret)
