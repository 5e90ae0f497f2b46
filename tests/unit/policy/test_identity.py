"""Keys of small order, by what `cryptography` does with them: an oracle that has no list."""

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pydantic import TypeAdapter, ValidationError

from policy.identity import _SMALL_EDWARDS, _SMALL_MONTGOMERY, SealingKey, SigningKey

NEUTRAL = (1).to_bytes(32, "little") + bytes(32)
"""A signature that a key of order n takes for one message in n."""


def encodings(numbers):
    return [(number + sign).to_bytes(32, "little") for number in numbers for sign in (0, 1 << 255)]


def takes(key, message):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(NEUTRAL, message)
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("key", encodings(_SMALL_MONTGOMERY), ids=bytes.hex)
def test_sealing_keys_with_which_every_secret_is_zero_are_refused(key):
    with pytest.raises(ValueError, match="shared key"):
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(key))
    with pytest.raises(ValidationError, match="small order"):
        TypeAdapter(SealingKey).validate_python(key.hex())


def test_signing_keys_under_which_anybody_signs_are_refused():
    forged = [key for key in encodings(_SMALL_EDWARDS) if any(takes(key, b"%d" % n) for n in range(300))]
    assert len(forged) >= 8, "the eight points of small order, and what else the library takes for one"
    for key in encodings(_SMALL_EDWARDS):
        with pytest.raises(ValidationError, match="small order"):
            TypeAdapter(SigningKey).validate_python(key.hex())


def test_other_keys_are_taken():
    for _ in range(20):
        signing = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        assert not any(takes(signing, b"%d" % n) for n in range(20))
        assert TypeAdapter(SigningKey).validate_python(signing.hex()) == signing.hex()
        sealing = X25519PrivateKey.generate().public_key().public_bytes_raw().hex()
        assert TypeAdapter(SealingKey).validate_python(sealing) == sealing
