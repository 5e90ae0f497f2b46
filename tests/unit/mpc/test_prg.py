"""Pseudorandom words and what is made of them."""

import hashlib

import numpy as np
import pytest

from mpc.prg import Cover, Difference, PairStream, words


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1000, 2**15, 2**15 + 1, 2**17 + 5])
def test_to_cover_is_to_xor_with_the_words(size):
    streams = [PairStream(bytes([key]) * 32) for key in (1, 2)]
    values = np.arange(size + 4, dtype=np.uint64)
    expected = values.copy()
    for stream in streams:
        expected[2 : size + 2] ^= stream.words(7, 3, 0, (size,))
    Cover(*(stream.stream(7, 3, 0) for stream in streams)).add_to(values[2 : size + 2])
    np.testing.assert_array_equal(values, expected)


def test_what_is_covered_in_parts_is_covered_as_one():
    stream = PairStream(bytes(32))
    whole, parts = np.zeros(100, np.uint64), np.zeros(100, np.uint64)
    Cover(stream.stream(1, 1, 1)).add_to(whole)
    running = Cover(stream.stream(1, 1, 1))
    for part in (parts[:1], parts[1:40], parts[40:]):
        running.add_to(part)
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize("size", [0, 1, 3, 2**14, 2**14 + 1, 50_000])
def test_a_difference_is_that_of_the_words_whatever_the_pieces(size):
    plus, minus = (PairStream(bytes([key]) * 32) for key in (1, 2))
    values = np.arange(size + 4, dtype=np.uint64)
    expected = values.copy()
    expected[2 : size + 2] += plus.words(7, 3, 0, (size,)) - minus.words(7, 3, 0, (size,))
    difference = Difference(plus.stream(7, 3, 0), minus.stream(7, 3, 0))
    for start, stop in ((0, size // 3), (size // 3, size)):
        difference.add_to(values[2 + start : 2 + stop])
    np.testing.assert_array_equal(values, expected)


def test_a_permutation_names_each_row_once_and_is_the_order_of_the_words():
    stream = PairStream(bytes(32))
    order = stream.permutation(1, 2, 0, 10_000)
    assert sorted(order.tolist()) == list(range(10_000))
    assert np.all(np.diff(stream.words(1, 2, 0, (10_000,))[order].astype(object)) > 0)


def test_equal_words_keep_their_order_on_every_machine(monkeypatch):
    drawn = np.random.default_rng(1).integers(0, 40, 5000).astype(np.uint64)
    monkeypatch.setattr(PairStream, "words", lambda *_: drawn)
    order = PairStream(bytes(32)).permutation(1, 2, 0, 5000)
    assert order.tolist() == sorted(range(5000), key=lambda row: (drawn[row], row))


def test_few_words_are_keyed_blake2b_with_half_a_key_of_their_own():
    """What two nodes draw alike, whatever version they run."""
    stream = PairStream(bytes(range(32)))
    name = (7).to_bytes(8, "big") + (3).to_bytes(2, "big") + (1).to_bytes(2, "big")
    expected = np.frombuffer(hashlib.blake2b(name, key=bytes(range(16, 32)), digest_size=64).digest(), "<u8")
    placed = np.frombuffer(hashlib.blake2b(b"here" + name, key=bytes(range(16, 32)), digest_size=64).digest(), "<u8")
    np.testing.assert_array_equal(stream.at(b"here").few(7, 3, 1, (8,)), placed)
    for count in range(9):
        np.testing.assert_array_equal(stream.few(7, 3, 1, (count,)), expected[:count])
    np.testing.assert_array_equal(stream.few(7, 3, 1, (2, 3)), expected[:6].reshape(2, 3))
    with pytest.raises(ValueError, match="9 words asked for; expected at most 8"):
        stream.few(7, 3, 1, (3, 3))


def test_each_place_has_a_cipher_key_of_its_own():
    stream, name = PairStream(bytes(range(32))).at(b"here"), (7).to_bytes(8, "big") + (3).to_bytes(2, "big") + bytes(2)
    key = hashlib.blake2b(b"here", key=bytes(range(16)), digest_size=16).digest()
    np.testing.assert_array_equal(stream.words(7, 3, 0, (50,)), words(key, name, (50,)))


def test_few_words_of_other_names_keys_and_the_cipher_differ():
    stream = PairStream(bytes(range(32)))
    names = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (2**63, 9, 9)]
    drawn = [stream.few(*name, (8,)) for name in names] + [stream.words(*name, (8,)) for name in names]
    drawn += [PairStream(bytes(32)).few(0, 0, 0, (8,)), stream.at(b"a place").few(0, 0, 0, (8,))]
    assert np.unique(np.concatenate(drawn)).size == 8 * len(drawn)
