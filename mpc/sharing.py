"""How a data party deals a block of values to the three nodes, and how holders check what they got.

x = s₀ + s₁ + s₂ modulo 2^64, or x = s₀ ⊕ s₁ ⊕ s₂; node i holds components i and i+1. Two components are expanded from
seeds, the third travels as data. Everything derives from a seed bound to the batch and its content: the same
block always gives the same shares, and two contents never share a mask.
"""

import hashlib
import hmac
from dataclasses import dataclass

import numpy as np

from mpc.prg import NAME_BYTES, words
from mpc.share import Words

COMPONENTS = 3
SEED_BYTES = 32
SALT_BYTES = 32
_STREAM = b"winnow share"
"""One seed serves one component of one batch, so all streams may have the same name."""
assert len(_STREAM) == NAME_BYTES


@dataclass(frozen=True)
class Dealt:
    """One block, dealt."""

    components: tuple[Words, ...]
    """Three of the content's shape."""
    seeds: tuple[bytes, ...]
    """32 bytes each; of the travelling component it is empty."""
    salts: tuple[bytes, ...]
    """32 bytes each, for the two holders of a component only."""


def mask_seed(sharing_key: bytes, batch_id: bytes, content: Words) -> bytes:
    """32 bytes: HMAC-SHA256(sharing key, batch id ‖ SHA-256(content, little endian, row by row)).

    Args:
        sharing_key: 32 bytes, the party's own.
        batch_id: 32 bytes; it fixes the content's shape.
        content: uint64.
    """
    return hmac.digest(sharing_key, batch_id + hashlib.sha256(_bytes(content)).digest(), "sha256")


def split(content: Words, travelling: int, seed: bytes, *, xor: bool) -> Dealt:
    """Deal a block.

    Args:
        content: uint64 of any shape.
        travelling: the component that is the rest, 0 ≤ travelling < 3.
        seed: of `mask_seed` for this very content.
        xor: bitwise instead of modulo 2^64.
    """
    if not 0 <= travelling < COMPONENTS:
        raise ValueError(f"component {travelling}; expected 0 to {COMPONENTS - 1}")
    seeds = tuple(b"" if c == travelling else _derive(seed, b"component", c) for c in range(COMPONENTS))
    rest = content.copy()
    components: list[Words] = []
    for derived in seeds:
        component = expand(derived, content.shape) if derived else rest
        if derived:
            rest = np.bitwise_xor(rest, component, out=rest) if xor else np.subtract(rest, component, out=rest)
        components.append(component)
    return Dealt(tuple(components), seeds, tuple(_derive(seed, b"salt", c) for c in range(COMPONENTS)))


def expand(seed: bytes, shape: tuple[int, ...]) -> Words:
    """The component of a 32-byte seed: `shape` uint64.

    Raises: ValueError for a seed of another length.
    """
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a component's seed has {len(seed)} bytes; expected {SEED_BYTES}")
    return words(seed, _STREAM, shape)


def commitment(salt: bytes, component: Words) -> bytes:
    """32 bytes: SHA-256(salt ‖ component, little endian, row by row). Compared only between its two holders."""
    digest = hashlib.sha256(salt)
    digest.update(_bytes(component))
    return digest.digest()


def _derive(seed: bytes, purpose: bytes, component: int) -> bytes:
    return hmac.digest(seed, b"winnow share\0" + purpose + bytes([component]), "sha256")


def _bytes(values: Words) -> bytes:
    return np.ascontiguousarray(values).astype("<u8", copy=False).tobytes()
