"""A curious node looks at everything that reaches it: bytes of messages, alone, less what it holds itself, and less what
would come if it guessed the data and nothing masked them.

The statistic is Pearson's chi-square over byte values. With 255 degrees of freedom the bound below is passed by chance
once in 10^10 looks, while a message that shows its data is beyond it by orders of magnitude: the same looks at
deliberately broken protocols find them.
"""

from dataclasses import dataclass, field

import numpy as np
import pytest

from mpc.aes import draw_key, encrypt, expand_key
from mpc.engine import Bits, Engine
from mpc.groups import sums_by_group
from mpc.prg import Cover, Difference, PairStream
from mpc.selection import maximum
from mpc.share import Share
from tests.support.dealing import deal, deal_bits
from tests.support.wires import run_three

ROWS = 2048
NODES = (0, 1, 2)
BOUND = 500.0
"""Of a chi-square of 255 degrees of freedom: P(χ² > 500) = 4·10^-18, and there are some 22,000 looks."""
INPUTS = {
    "all zero": np.zeros(ROWS, np.int64), "all one": np.ones(ROWS, np.int64), "one in a hundred": (np.arange(ROWS) % 100 == 0).astype(np.int64),
    "small": np.arange(ROWS) % 8, "large": np.arange(ROWS) * 2**50, "negative": -np.arange(ROWS) - 1,
}


def chi_square(data):
    """Of bytes against all values alike."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    expected = counts.sum() / 256
    return float(((counts - expected) ** 2 / expected).sum())


@dataclass
class View:
    """What one node has: its components, the next node's part of a product of the data, and what comes."""

    held: list
    guessed: list
    received: list = field(default_factory=list)

    def looks(self):
        """Every message alone, and every message less or XOR every word that the node holds or got before, alike long."""
        known = [part.reshape(-1) for part in (*self.held, *self.guessed)]
        for message in self.received:
            words = np.frombuffer(message, np.uint64)
            if words.size < ROWS // 64:
                continue  # too short for the statistic: fewer than 256 bytes
            yield message
            for other in known:
                if other.size == words.size:
                    yield (words - other).tobytes()
                    yield (words ^ other).tobytes()
            known.append(words)

    def worst(self):
        """The largest chi-square of all looks, of those with at least five bytes to a value."""
        return max((chi_square(look) for look in self.looks() if len(look) >= 5 * 256), default=0.0)


def guesses(data, parts):
    """What the next node computes of x·y, of x AND y, and of Σ x·y over pairs, from its components: one is known here too,
    the other follows from a guess of the data."""
    (x, y), ((x0, x1), (y0, y1)) = data, parts
    third_x, third_y = x - x0 - x1, y - y0 - y1
    product = x1 * (y1 + third_y) + third_x * y1
    words_x, words_y = x ^ x0 ^ x1, y ^ y0 ^ y1
    return [product, x1 & (y1 ^ words_y) ^ words_x & y1, product.reshape(-1, 2).sum(axis=1, dtype=np.uint64)]


async def views(program, x, y, *, xor=False):
    """Each node's view of a program over two vectors."""
    rng = np.random.default_rng(int(np.abs(x).sum()) % 2**32)
    shares = [(deal_bits if xor else deal)(np.asarray(values, np.int64).view(np.uint64), rng) for values in (x, y)]
    data = [np.asarray(values, np.int64).view(np.uint64) for values in (x, y)]
    found = [
        View([part for dealt in shares for part in dealt[node].parts], guesses(data, [dealt[node].parts for dealt in shares]))
        for node in NODES
    ]

    def tap(_sender, receiver, _channel, _label, data):
        found[receiver].received.append(data)
        return data

    async def at(wire):
        await program(Engine(wire), *(dealt[wire.number] for dealt in shares))

    await run_three(at, tap=tap)
    return found


async def shuffled(engine, x, _):
    permutation = await engine.random_permutation(ROWS)
    await engine.shuffle(x, permutation)
    await engine.shuffle(x, permutation)


async def few_at_a_time(engine, x, y):
    for left, right in zip(x.reshape(-1, 8, 2), y.reshape(-1, 8, 2), strict=True):
        await engine.inner(left, right)


async def enciphered(engine, x, y):
    keys = await expand_key(engine, draw_key(engine))
    await encrypt(engine, keys, Bits(np.stack([x.parts, y.parts], 1).reshape(2, 8, 16, ROWS // 64)), 8)


PROGRAMS = {
    "multiply": (Engine.multiply, False),
    "inner": (lambda engine, x, y: engine.inner(x.reshape(ROWS // 2, 2), y.reshape(ROWS // 2, 2)), False),
    "matmul": (lambda engine, x, y: engine.matmul(x.reshape(ROWS // 8, 2, 4), y.reshape(ROWS // 8, 4, 2)), False),
    "shift right": (lambda engine, x, _: engine.shift_right(x, 7), False),
    "gram": (lambda engine, x, y: engine.gram(Share.stack([x, y]).reshape(ROWS // 8, 2, 8)), False),
    "less": (Engine.less, False),
    "less of declared ranges": (lambda engine, x, y: engine.less(x.bounded(40), y.bounded(40)), False),
    "equal zero": (lambda engine, x, _: engine.equal_zero(x), False),
    "low bits": (lambda engine, x, _: engine.low_bits(x, 5), False),
    "maximum": (maximum, False),
    "sums by group": (lambda engine, x, y: sums_by_group(engine, x, 8, y.reshape(1, ROWS)), False),
    "shuffle": (shuffled, False),
    "and": (Engine.and_bits, True),
    "to ring": (lambda engine, x, _: engine.to_ring(x), True),
    "shuffle of words": (shuffled, True),
    "AES": (enciphered, True),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("values", INPUTS)
async def test_what_reaches_a_node_says_nothing_of_the_data(name, values):
    program, xor = PROGRAMS[name]
    for node, view in enumerate(await views(program, INPUTS[values], INPUTS[values][::-1], xor=xor)):
        assert view.worst() < BOUND, f"node {node}"


def unmasked(monkeypatch):
    """A product goes out as it is."""
    monkeypatch.setattr(Difference, "add_to", lambda *_: None)
    monkeypatch.setattr(Cover, "add_to", lambda *_: None)


def masked_twice_alike(monkeypatch):
    """Every draw of a pair is the same."""
    words = PairStream.words
    monkeypatch.setattr(PairStream, "at", lambda stream, _: stream)
    monkeypatch.setattr(
        PairStream, "words", lambda stream, _operation, _step, lane, shape: words(stream, 0, 0, lane, shape)
    )


async def worst_of_few_at_a_time(values):
    """Messages of eight words are too short to look at one by one; they are looked at as one."""
    found = await views(few_at_a_time, values, values[::-1])
    for view in found:
        assert len(view.received) == ROWS // 16
        view.received = [b"".join(view.received)]
    return max(view.worst() for view in found)


@pytest.mark.parametrize("values", INPUTS.values(), ids=INPUTS)
async def test_short_messages_together_say_nothing_either(values):
    assert await worst_of_few_at_a_time(values) < BOUND


async def test_short_messages_that_are_masked_alike_are_found(monkeypatch):
    few = PairStream.few
    monkeypatch.setattr(PairStream, "at", lambda stream, _: stream)
    monkeypatch.setattr(PairStream, "few", lambda stream, _operation, _step, lane, shape: few(stream, 0, 0, lane, shape))
    assert await worst_of_few_at_a_time(INPUTS["small"]) > 2 * BOUND


@pytest.mark.parametrize(("broken", "name"), [
    (unmasked, "multiply"), (unmasked, "and"), (unmasked, "less"), (unmasked, "equal zero"), (unmasked, "low bits"),
    (unmasked, "inner"), (unmasked, "shift right"), (unmasked, "AES"), (masked_twice_alike, "shuffle"),
    (masked_twice_alike, "shuffle of words"),
])
async def test_broken_protocols_are_found_by_the_same_looks(monkeypatch, broken, name):
    broken(monkeypatch)
    program, xor = PROGRAMS[name]
    found = await views(program, INPUTS["small"], INPUTS["small"][::-1], xor=xor)
    assert max(view.worst() for view in found) > 2 * BOUND


async def test_where_a_row_goes_is_alike_for_all_places_to_a_node_that_knows_two_pieces():
    """Of 16 rows and 800 shuffles: the piece that a node lacks sends a row to every place alike, whatever the others are."""
    rows, times = 16, 800

    async def program(wire):
        engine = Engine(wire)
        return [await engine.random_permutation(rows) for _ in range(times)]

    drawn = await run_three(program)
    for node in NODES:
        lacked = (node + 1) % 3
        assert all(each.pieces[lacked] is None for each in drawn[node])
        places, with_known = np.zeros((rows, rows)), np.zeros((rows, rows))
        for time in range(times):
            piece, known = drawn[lacked][time].pieces[lacked], drawn[node][time].pieces[node]
            places[np.arange(rows), piece] += 1
            with_known[known[0], piece[0]] += 1
        # Of every row's places, 15 degrees of freedom: P(χ² > 80) ≈ 10^-10. Of the known piece with the other: 255.
        assert ((places - times / rows) ** 2 / (times / rows)).sum(axis=1).max() < 80
        assert ((with_known - times / 256) ** 2 / (times / 256)).sum() < BOUND
