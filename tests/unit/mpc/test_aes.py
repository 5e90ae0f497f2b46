"""AES on shares against the library that everyone else uses."""

import asyncio
import random
import secrets

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpc import aes
from mpc.aes import SharedKey, draw_key, encrypt, expand_key, from_planes, tags, to_planes
from mpc.engine import Engine
from mpc.errors import PeerLost, PeerTimeout, ProtocolError
from tests.support.dealing import deal_bits, reveal_bits
from tests.support.wires import MemoryCourier, run_three


def ecb(key: bytes, blocks: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(blocks)


def deal_key(key: bytes) -> list[SharedKey]:
    first, second = secrets.token_bytes(16), secrets.token_bytes(16)
    third = bytes(a ^ b ^ c for a, b, c in zip(key, first, second, strict=True))
    parts = [first, second, third]
    return [SharedKey(parts[i] + parts[(i + 1) % 3]) for i in range(3)]


async def test_blocks_equal_aes_128():
    rng = np.random.default_rng(1)
    key, plain = rng.bytes(16), rng.integers(0, 2**64, (128, 2), np.uint64)
    planes = [to_planes(np.stack([half, half]))[0] for half in plain.T]
    shares = deal_bits(np.concatenate(planes, axis=1), rng)
    keys = deal_key(key)

    async def program(wire):
        engine = Engine(wire)
        return await encrypt(engine, await expand_key(engine, keys[wire.number]), shares[wire.number])

    cipher = reveal_bits(await run_three(program))
    halves = [from_planes(cipher[:, half : half + 8], len(plain)) for half in (0, 8)]
    assert np.stack(halves, axis=1).astype("<u8").tobytes() == ecb(key, plain.astype("<u8").tobytes())


async def test_fips_197_example():
    """Appendix C.1."""
    plain = np.frombuffer(bytes.fromhex("00112233445566778899aabbccddeeff"), "<u8")
    rng = np.random.default_rng(2)
    planes = np.concatenate([to_planes(np.full((2, 1), half))[0] for half in plain], axis=1)
    shares = deal_bits(planes, rng)
    keys = deal_key(bytes(range(16)))

    async def program(wire):
        engine = Engine(wire)
        return await encrypt(engine, await expand_key(engine, keys[wire.number]), shares[wire.number])

    cipher = reveal_bits(await run_three(program))
    found = b"".join(from_planes(cipher[:, half : half + 8], 1).astype("<u8").tobytes() for half in (0, 8))
    assert found.hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"


@pytest.mark.parametrize("given", [1, 5, 8, 15, 16])
async def test_bytes_that_are_not_given_are_zeros(given):
    rng = np.random.default_rng(given)
    key, plain = rng.bytes(16), np.zeros((200, 16), np.uint8)
    plain[:, :given] = rng.integers(0, 256, (200, given))
    halves = plain.view("<u8").astype(np.uint64)
    planes = np.concatenate([to_planes(np.stack([half, half]))[0] for half in halves.T], axis=1)
    shares, keys = deal_bits(planes[:, :given], rng), deal_key(key)

    async def program(wire):
        engine = Engine(wire)
        return await encrypt(engine, await expand_key(engine, keys[wire.number]), shares[wire.number], 8)

    found = from_planes(reveal_bits(await run_three(program)), 200)
    assert found.astype("<u8").tobytes() == b"".join(ecb(key, row.tobytes())[:8] for row in plain)


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 300])
async def test_tags_are_the_first_half_of_the_block(rows, monkeypatch):
    monkeypatch.setattr(aes, "ROWS_PER_BATCH", 128)
    rng = np.random.default_rng(rows)
    key, words = rng.bytes(16), rng.integers(0, 2**64, rows, np.uint64)
    words[-1] = words[0]
    shares, keys = deal_bits(words, rng), deal_key(key)

    async def program(wire):
        engine = Engine(wire)
        return await tags(engine, await expand_key(engine, keys[wire.number]), shares[wire.number])

    blocks = np.zeros((rows, 2), "<u8")
    blocks[:, 0] = words
    expected = np.frombuffer(ecb(key, blocks.tobytes()), "<u8").reshape(rows, 2)[:, 0]
    for found in await run_three(program):
        np.testing.assert_array_equal(found, expected)


async def test_drawn_key_is_shared_consistently_and_new_in_every_attempt():
    async def program(wire):
        return draw_key(Engine(wire))

    keys = [[k.parts for k in await run_three(program)] for _ in range(2)]
    for attempt in keys:
        for node in range(3):
            assert attempt[node][16:] == attempt[(node + 1) % 3][:16]
        assert len({part[:16] for part in attempt}) == 3
    assert not {part[:16] for part in keys[0]} & {part[:16] for part in keys[1]}


async def test_a_drawn_key_works_as_aes_key():
    rng = np.random.default_rng(3)
    words = rng.integers(0, 2**64, 10, np.uint64)
    shares = deal_bits(words, rng)

    async def program(wire):
        engine = Engine(wire)
        key = draw_key(engine)
        return key, await tags(engine, await expand_key(engine, key), shares[wire.number])

    results = await run_three(program)
    components = [np.frombuffer(key.parts[:16], np.uint8) for key, _ in results]
    key = (components[0] ^ components[1] ^ components[2]).tobytes()
    blocks = np.zeros((10, 2), "<u8")
    blocks[:, 0] = words
    expected = np.frombuffer(ecb(key, blocks.tobytes()), "<u8").reshape(10, 2)[:, 0]
    np.testing.assert_array_equal(results[0][1], expected)


def test_stored_key_of_another_length_is_refused():
    with pytest.raises(ProtocolError, match="32 bytes, found 16"):
        SharedKey(bytes(16))


def test_planes_round_trip():
    words = np.random.default_rng(4).integers(0, 2**64, (2, 200), np.uint64)
    planes = to_planes(words)
    assert planes.shape == (2, 8, 8, 4)
    np.testing.assert_array_equal(from_planes(planes[1], 200), words[1])


async def test_batches_side_by_side_are_numbered_alike_whatever_comes_first(monkeypatch):
    """Every message takes its own time, so that nodes hear of the batches in different orders."""
    monkeypatch.setattr(aes, "ROWS_PER_BATCH", 64)
    monkeypatch.setattr(aes, "ROWS_PER_OPENING", 640)
    rng, late = np.random.default_rng(6), random.Random(6)
    key, words = rng.bytes(16), rng.integers(0, 2**64, 1000, np.uint64)
    shares, keys = deal_bits(words, rng), deal_key(key)

    def post(self, peer, channel, label, payload):
        asyncio.get_running_loop().call_later(
            late.random() / 500, self.attempts[peer].deliver, self.number, channel, label, bytes(payload),
        )

    monkeypatch.setattr(MemoryCourier, "post", post)

    async def program(wire):
        engine = Engine(wire)
        return await tags(engine, await expand_key(engine, keys[wire.number]), shares[wire.number])

    blocks = np.zeros((1000, 2), "<u8")
    blocks[:, 0] = words
    expected = np.frombuffer(ecb(key, blocks.tobytes()), "<u8").reshape(1000, 2)[:, 0]
    for found in await run_three(program):
        np.testing.assert_array_equal(found, expected)


async def test_an_attempt_that_ends_leaves_no_batch_waiting(monkeypatch):
    """A lost message: everybody hears of it, and what was begun beside it is dropped."""
    monkeypatch.setattr(aes, "ROWS_PER_BATCH", 64)
    rng = np.random.default_rng(7)
    shares, keys = deal_bits(rng.integers(0, 2**64, 500, np.uint64), rng), deal_key(rng.bytes(16))
    seen = 0

    def tap(_sender, receiver, _channel, _label, data):
        nonlocal seen
        seen += receiver == 1
        return None if seen == 100 else data

    async def program(wire):
        engine = Engine(wire)
        return await tags(engine, await expand_key(engine, keys[wire.number]), shares[wire.number])

    with pytest.raises((PeerTimeout, PeerLost)):
        await run_three(program, tap=tap, stall_seconds=0.3)
