"""How a data party shares a block of its own values, so that sharing again gives the same bytes.

x = s₀ + s₁ + s₂ modulo 2^64 (or XOR). Two components are expanded from 32-byte seeds, the third is what
remains and travels as data. All randomness comes from a mask seed bound to the batch and to the content
itself: the same content under the same id gives the same shares, so a resend says nothing new; another
content gives unrelated ones, so no two contents ever share a mask, even after lost state. (The construction of
the mask seed is that of deterministic nonces, RFC 6979 and RFC 5297's reasoning: a PRF of the message.)

Pure functions; (columns, slots) uint64 throughout.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mpc import prg
from mpc.errors import ProtocolError
from mpc.share import Words

SEED_BYTES = 32
SALT_BYTES = 32
COMPONENTS = 3

_ONLY_STREAM = bytes(prg.NAME_BYTES)


@dataclass(frozen=True)
class Dealt:
    """The three components of a block; node i gets those of i and i+1 mod 3 and nothing about the other."""

    components: tuple[Words, Words, Words]
    seeds: Mapping[int, bytes]
    """Component → seed, for the two that do not travel."""
    salts: tuple[bytes, bytes, bytes]
    """For the component's holders only: with a salt, a guess at a component can be checked."""


def mask_seed(sharing_key: bytes, batch_id: bytes, content: Words) -> bytes:
    """32 bytes: HMAC-SHA256(sharing key, batch id ‖ SHA-256(shape and content)).

    Raises: ValueError for a sharing key below 32 bytes.
    """
    if len(sharing_key) < SEED_BYTES:
        raise ValueError(f"a sharing key has {len(sharing_key)} bytes; at least {SEED_BYTES} expected")
    digest = hashlib.sha256(b"winnow content v1\0" + repr(content.shape).encode() + b"\0")
    digest.update(_bytes(content))
    return _derive(sharing_key, b"winnow mask seed v1\0" + digest.digest() + batch_id)


def split(content: Words, travelling: int, seed: bytes, *, xor: bool) -> Dealt:
    """Deals a block.

    Args:
        content: (columns, slots) residues modulo 2^64, or words to XOR.
        travelling: 0..2, the component sent as data.
        seed: of `mask_seed`, for this content.
        xor: XOR-shared words instead of sums.
    """
    if travelling not in range(COMPONENTS):
        raise ValueError(f"component {travelling} cannot travel; expected 0, 1 or 2")
    seeds = {c: _derive(seed, b"component %d" % c) for c in range(COMPONENTS) if c != travelling}
    expanded = {c: expand(s, content.shape) for c, s in seeds.items()}
    first, second = expanded.values()
    expanded[travelling] = content ^ first ^ second if xor else content - first - second
    return Dealt(
        (expanded[0], expanded[1], expanded[2]), seeds,
        (_derive(seed, b"salt 0"), _derive(seed, b"salt 1"), _derive(seed, b"salt 2")),
    )


def expand(seed: bytes, shape: tuple[int, ...]) -> Words:
    """A component from its seed: AES-256-CTR. Raises: ProtocolError for a seed of another length."""
    if len(seed) != SEED_BYTES:
        raise ProtocolError(f"a component's seed has {len(seed)} bytes; expected {SEED_BYTES}")
    return prg.words(seed, _ONLY_STREAM, shape)


def commitment(salt: bytes, component: Words) -> bytes:
    """32 bytes: SHA-256(salt ‖ component, little-endian, row by row); compared between its holders only."""
    if len(salt) != SALT_BYTES:
        raise ProtocolError(f"a commitment's salt has {len(salt)} bytes; expected {SALT_BYTES}")
    digest = hashlib.sha256(salt)
    digest.update(_bytes(component))
    return digest.digest()


def _derive(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, purpose, "sha256")


def _bytes(values: Words) -> memoryview:
    return np.ascontiguousarray(values).astype("<u8", copy=False).reshape(-1).view(np.uint8).data
