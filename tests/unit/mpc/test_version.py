"""What ring engines send in a fixed program follows from the version that their links compare, and from nothing else."""

import hashlib

import numpy as np

from mpc import frames
from mpc.aes import draw_key, encrypt, expand_key
from mpc.engine import Engine
from mpc.groups import sums_by_group
from mpc.share import Share
from tests.support.wires import run_three

MESSAGES = {b"winnow-mpc-4": "e941181e28f8e4b387a591b849261423754fcda48d774ca061a1bfd7f9d54565"}
"""Version → SHA-256 of all messages. Where nodes come to send or draw something else, a new version takes the place of the
old one, in mpc/frames.py and here: else a node of each would link, agree on every transcript and compute nonsense."""


async def program(wire):
    """Something of everything, with results of one word, of eight, of nine and of many."""
    engine, owner = Engine(wire), wire.number == 0
    columns = [
        await engine.input(0, np.arange(200, dtype=np.int64) * k % 40 if owner else None, (200,)) for k in (1, 3)
    ]
    x, y = columns
    for rows in (1, 8, 9):
        await engine.inner(x[: rows * 20].reshape(rows, 20), y[: rows * 20].reshape(rows, 20))
    await engine.multiply(x, y)
    await engine.multiply(x.reshape(8, 25), y[:8].reshape(8, 1))
    await engine.gram(Share.stack(columns))
    await engine.matmul(x.reshape(2, 100), y.reshape(100, 2))
    await engine.less(x, y)
    small = [column.bounded(39) for column in columns]
    await engine.less(*small)
    await engine.equal_zero(small[0])
    await engine.low_bits(x, 5)
    await engine.shift_right(x, 9)
    await sums_by_group(engine, small[0], 8, y.reshape(1, 200))
    await engine.shuffle(x, await engine.random_permutation(200))
    words = await engine.input_bits(1, np.arange(16 * 8 * 2, dtype=np.int64).reshape(8, 16, 2) if wire.number == 1 else None, (8, 16, 2))
    await engine.and_bits(words, words)
    await encrypt(engine, await expand_key(engine, draw_key(engine)), words, 8)
    await engine.open(x.sum())


async def test_another_protocol_has_another_version():
    sent = {}

    def tap(sender, receiver, channel, label, data):
        sent.setdefault((sender, receiver), hashlib.sha256()).update(b"%d %d %d " % (channel, label, len(data)) + data)
        return data

    await run_three(program, tap=tap, fixed=0)
    found = hashlib.sha256(b"".join(sent[pair].digest() for pair in sorted(sent))).hexdigest()
    assert {frames.VERSION: found} == MESSAGES
