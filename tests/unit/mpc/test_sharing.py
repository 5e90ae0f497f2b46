"""Content-bound sharing: reconstruction, repetition, separation; the PRG against `cryptography`'s AES block by block."""

import hashlib
import hmac

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpc import prg, sharing
from mpc.errors import ProtocolError

KEY = b"k" * 32
blocks = hnp.arrays(np.uint64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=8))


def joined(components, xor):
    stack = np.stack(components)
    return np.bitwise_xor.reduce(stack, axis=0) if xor else stack.sum(axis=0, dtype=np.uint64)


def dealt(content, batch=b"batch", travelling=0, xor=False, key=KEY):
    return sharing.split(content, travelling, sharing.mask_seed(key, batch, content), xor=xor)


@given(blocks, st.integers(0, 2), st.booleans())
@settings(max_examples=60)
def test_components_add_up_and_seeds_expand_to_them(content, travelling, xor):
    shares = dealt(content, travelling=travelling, xor=xor)
    assert np.array_equal(joined(shares.components, xor), content)
    assert set(shares.seeds) == {0, 1, 2} - {travelling}
    for component, seed in shares.seeds.items():
        assert np.array_equal(sharing.expand(seed, content.shape), shares.components[component])


@given(blocks, st.integers(0, 2), st.booleans())
@settings(max_examples=30)
def test_sharing_again_gives_the_same_bytes(content, travelling, xor):
    one, other = (dealt(content.copy(), travelling=travelling, xor=xor) for _ in range(2))
    assert one.seeds == other.seeds
    assert one.salts == other.salts
    assert [c.tobytes() for c in one.components] == [c.tobytes() for c in other.components]


@given(blocks.filter(lambda b: b.size), st.data())
@settings(max_examples=30)
def test_another_content_batch_or_key_shares_no_mask(content, data):
    """Else the difference of two travelling components would be the difference of two contents."""
    changed = content.copy()
    changed.flat[data.draw(st.integers(0, content.size - 1))] ^= np.uint64(1)
    base = dealt(content)
    for other in (dealt(changed), dealt(content, batch=b"batcg"), dealt(content, key=b"j" * 32),
                  dealt(content.reshape(1, *content.shape))):
        assert not set(base.seeds.values()) & set(other.seeds.values())
        assert not set(base.salts) & set(other.salts)
    assert len({*base.seeds.values(), *base.salts}) == 5


def test_a_changed_cell_changes_the_whole_travelling_component():
    """Sparse data, the case of the design: one visit among 4096 zeros moves."""
    content = np.zeros((1, 4096), np.uint64)
    changed = content.copy()
    changed[0, 17] = 1
    one, other = (dealt(c).components[0] for c in (content, changed))
    assert not np.any(one == other)
    bits = np.unpackbits((one ^ other).view(np.uint8)).mean()
    assert abs(bits - 0.5) < 5 * 0.5 / np.sqrt(one.size * 64)


def test_the_mask_seed_is_the_published_construction():
    content = np.arange(6, dtype=np.uint64).reshape(2, 3)
    digest = hashlib.sha256(b"winnow content v1\0(2, 3)\0" + content.astype("<u8").tobytes()).digest()
    expected = hmac.new(KEY, b"winnow mask seed v1\0" + digest + b"id", hashlib.sha256).digest()
    assert sharing.mask_seed(KEY, b"id", content) == expected


def test_a_commitment_is_salted_sha256_of_the_little_endian_rows():
    component = np.arange(6, dtype=np.uint64).reshape(2, 3)
    salt = b"s" * 32
    expected = hashlib.sha256(salt + component.astype("<u8").tobytes()).digest()
    assert sharing.commitment(salt, component) == expected
    assert sharing.commitment(salt, np.asfortranarray(component)) == expected
    assert sharing.commitment(b"t" * 32, component) != expected


def test_what_cannot_be_dealt_is_refused():
    content = np.zeros((1, 1), np.uint64)
    with pytest.raises(ValueError, match="at least 32"):
        sharing.mask_seed(b"short", b"id", content)
    with pytest.raises(ValueError, match="cannot travel"):
        sharing.split(content, 3, KEY, xor=False)
    with pytest.raises(ProtocolError, match="expected 32"):
        sharing.expand(b"short", (1,))
    with pytest.raises(ProtocolError, match="expected 32"):
        sharing.commitment(b"short", content)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1000, 2**15 - 1, 2**15, 2**15 + 1, 2**16 + 3])
def test_words_are_aes_of_the_counter(count):
    """Block by block in ECB, which knows nothing of counter mode."""
    key, name = bytes(range(16)), b"operation-07"
    got = prg.words(key, name, (count,))
    ecb = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    counters = b"".join(name + block.to_bytes(4, "big") for block in range((count + 1) // 2))
    expected = np.frombuffer(ecb.update(counters), "<u8")[:count]
    assert np.array_equal(got, expected)


def test_streams_of_different_names_differ_and_limits_hold():
    stream = prg.PairStream(KEY)
    drawn = [stream.words(*name, (50,)) for name in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (2**63, 9, 9)]]
    assert np.unique(np.concatenate(drawn)).size == 250
    assert np.array_equal(drawn[3], prg.PairStream(KEY).words(1, 0, 0, (50,)))
    with pytest.raises(ValueError, match="expected 12"):
        prg.words(KEY, b"short", (1,))
    with pytest.raises(ValueError, match="at most"):
        prg.words(KEY, b"operation-07", (2**33,))
