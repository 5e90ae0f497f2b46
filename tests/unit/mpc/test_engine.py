"""The ring engine against numpy on plaintext, over the whole ring, edge values and many shapes."""

import asyncio

import numpy as np
import pytest

from mpc.boolean import Gate, SharedSums, Wires
from mpc.engine import Bits, Engine, Permutation, Share
from mpc.errors import IntegrityError, MpcError, ProtocolError
from mpc.share import signed
from mpc.wire import Wire
from tests.support.wires import run_three, three_wires

EDGES = np.array(
    [0, 1, 2, 3, 2**31, 2**32 - 1, 2**32, 2**62 - 1, 2**62, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1],
    np.uint64,
)


CIRCUIT = bytes(32)
"""Stands for a circuit's digest."""


def whole_ring(seed, shape):
    values = np.random.default_rng(seed).integers(0, 2**64, shape, np.uint64)
    flat = values.reshape(-1)
    flat[: min(EDGES.size, flat.size)] = EDGES[: flat.size]
    return values


def dealt(values, seed, *, xor=False) -> list:
    """Node i's two components of random thirds, dealt here and not by the code under test."""
    random = np.random.default_rng(seed)
    first, second = (random.integers(0, 2**64, values.shape, np.uint64) for _ in range(2))
    third = values ^ first ^ second if xor else values - first - second
    thirds = [first, second, third]
    kind = Bits if xor else Share
    return [kind(np.stack([thirds[i], thirds[(i + 1) % 3]])) for i in range(3)]


async def compute(program, *inputs, fixed=None):
    """Runs program(engine, *this node's inputs) at three nodes; checks that the three results fit; returns them."""

    async def at(wire: Wire):
        return await program(Engine(wire), *(dealt_to[wire.number] for dealt_to in inputs))

    return await run_three(at, fixed=fixed)


def joined(results):
    """Adds (or XORs) the three components and checks that holders agree."""
    for i in range(3):
        assert np.array_equal(results[i].parts[1], results[(i + 1) % 3].parts[0])
    thirds = np.stack([result.parts[0] for result in results])
    if isinstance(results[0], Bits):
        return np.bitwise_xor.reduce(thirds, axis=0)
    return thirds.sum(axis=0, dtype=np.uint64)


SHAPES = [(), (1,), (7,), (64,), (65,), (3, 50), (2, 3, 5), (0,), (4, 0)]


@pytest.mark.parametrize("shape", SHAPES)
async def test_local_operations(shape):
    x, y = whole_ring(1, shape), whole_ring(2, shape)[..., ::-1] if shape else whole_ring(2, shape)
    a, b = dealt(x, 3), dealt(y, 4)
    for share_of, expected in [
        (lambda a, b: a + b, x + y),
        (lambda a, b: a - b, x - y),
        (lambda a, b: -a, np.uint64(0) - x),
        (lambda a, b: a * -3, x * np.uint64(2**64 - 3)),
        (lambda a, b: a + 5, x + np.uint64(5)),
        (lambda a, b: 5 - a, np.uint64(5) - x),
        (lambda a, b: a - y, x - y),
        (lambda a, b: y.view(np.int64) + a, x + y),
        (lambda a, b: y * a, x * y),
    ]:
        with np.errstate(over="ignore"):
            assert np.array_equal(joined([share_of(p, q) for p, q in zip(a, b, strict=True)]), expected)


async def test_local_operations_on_words():
    x, y = whole_ring(1, (3, 20)), whole_ring(2, (20,))
    a, b = dealt(x, 3, xor=True), dealt(y, 4, xor=True)
    for share_of, expected in [
        (lambda a, b: a ^ b, x ^ y),
        (lambda a, b: a ^ 0xF0, x ^ np.uint64(0xF0)),
        (lambda a, b: y ^ a, x ^ y),
        (lambda a, b: a & y, x & y),
        (lambda a, b: a << 5, x << np.uint64(5)),
        (lambda a, b: a >> 63, x >> np.uint64(63)),
        (lambda a, b: ~a, ~x),
        (lambda a, b: a[1, ::2], x[1, ::2]),
        (lambda a, b: Bits.stack([a, a], axis=1), np.stack([x, x], 1)),
        (lambda a, b: Bits.concat([a, a], axis=-1), np.concatenate([x, x], -1)),
        (lambda a, b: a.take(np.array([3, 1]), axis=1), x[:, [3, 1]]),
        (lambda a, b: b.broadcast_to(4, 20), np.broadcast_to(y, (4, 20))),
    ]:
        assert np.array_equal(joined([share_of(p, q) for p, q in zip(a, b, strict=True)]), expected)


async def test_sums_and_prefix_sums():
    x = whole_ring(1, (4, 5, 6))
    a = dealt(x, 2)
    assert np.array_equal(joined([s.sum(1) for s in a]), x.sum(1, dtype=np.uint64))
    assert np.array_equal(joined([s.sum((0, 2)) for s in a]), x.sum((0, 2), dtype=np.uint64))
    assert np.array_equal(joined([s.cumsum(0) for s in a]), np.cumsum(x, 0, dtype=np.uint64))


@pytest.mark.parametrize("wrong", [1.5, np.array([1.5]), "3", None])
def test_only_integers_enter_the_ring(wrong):
    with pytest.raises(TypeError, match="expected public integers"):
        Share(np.zeros((2, 3), np.uint64)) + wrong


def test_a_product_of_shares_is_not_mistaken_for_a_public_factor():
    share = Share(np.zeros((2, 3), np.uint64))
    with pytest.raises(TypeError, match="expected public integers"):
        share * share


@pytest.mark.parametrize("shape", SHAPES)
async def test_multiply_and_and(shape):
    x, y = whole_ring(1, shape), whole_ring(2, shape)
    with np.errstate(over="ignore"):
        expected = x * y
    assert np.array_equal(joined(await compute(Engine.multiply, dealt(x, 3), dealt(y, 4))), expected)
    words = await compute(Engine.and_bits, dealt(x, 3, xor=True), dealt(y, 4, xor=True))
    assert np.array_equal(joined(words), x & y)


@pytest.mark.parametrize(("left", "right"), [((3, 1), (4,)), ((5,), (2, 5)), ((2, 1, 3), (4, 1)), ((), (3,))])
async def test_products_broadcast(left, right):
    x, y = whole_ring(1, left), whole_ring(2, right)
    assert np.array_equal(joined(await compute(Engine.multiply, dealt(x, 3), dealt(y, 4))), x * y)
    words = await compute(Engine.and_bits, dealt(x, 3, xor=True), dealt(y, 4, xor=True))
    assert np.array_equal(joined(words), x & y)


@pytest.mark.parametrize("n", [1, 2, 65, 5000])
async def test_sums_of_products_become_wires_and_nothing_else_changes(n):
    rows = whole_ring(5, (8, n))
    first = SharedSums((
        Gate(0, 0, 1, product=True), Gate(1, 1, 2, product=True), Gate(0, 4, 5, product=False),
        Gate(2, 4, 0, product=False), Gate(3, 0, 0, product=True),
    ), 2, slice(4, 6))
    second = SharedSums((Gate(0, 2, 2, product=True),), 0, slice(7, 8))

    async def program(engine, dealt_rows):
        wires = Wires(np.ascontiguousarray(dealt_rows.parts.swapaxes(0, 1)))
        evaluation = engine.evaluation(CIRCUIT, wires.words.shape)
        one, other = evaluation.share(wires, first), evaluation.share(wires, second)
        await one
        await other
        return Bits(np.ascontiguousarray(wires.words.swapaxes(0, 1)))

    found = joined(await compute(program, dealt(rows, 6, xor=True)))
    a, b, c, d = rows[:4]
    assert np.array_equal(found, [a, b, c, d, (a & b) ^ (b & c) ^ a, a, rows[6], c])


async def test_shared_sums_are_one_message_and_no_more(monkeypatch):
    monkeypatch.setattr("mpc.boolean.PIECE_WORDS", 16)
    sums = SharedSums((Gate(0, 0, 1, product=True),), 0, slice(2, 3))

    async def program(engine):
        wires = Wires(np.zeros((3, 2, 17), np.uint64))
        with pytest.raises(ProtocolError, match="17 words to share in place; at most 16"):
            engine.evaluation(CIRCUIT, wires.words.shape).share(wires, sums)

    await compute(program)


async def test_what_is_shared_twice_looks_fresh_each_time():
    """Of equal wires: in one evaluation, and in two side by side."""
    sums = SharedSums((Gate(0, 0, 1, product=True),), 0, slice(2, 3))
    seen = {}

    def tap(sender, receiver, _channel, _label, payload):
        seen.setdefault((sender, receiver), []).append(np.frombuffer(payload, np.uint64).copy())
        return payload

    async def program(wire):
        engine, wires = Engine(wire), Wires(np.zeros((3, 2, 50), np.uint64))
        one, other = (engine.evaluation(CIRCUIT, wires.words.shape) for _ in range(2))
        for evaluation in (one, one, other, other):
            await evaluation.share(wires, sums)
            wires.words[2:] = 0

    await run_three(program, tap=tap)
    assert len(seen) == 3
    for messages in seen.values():
        assert len(messages) == 4
        assert len(np.unique(np.concatenate(messages))) == 4 * 50


async def test_nodes_that_evaluate_different_circuits_open_nothing():
    async def program(wire):
        engine = Engine(wire)
        engine.evaluation(bytes([wire.number == 1]) * 32, (3, 2, 50))
        await engine.open(engine.zeros((1,)))

    with pytest.raises(IntegrityError, match="has done something else"):
        await run_three(program)


@pytest.mark.parametrize(("left", "right"), [((9,), (9,)), ((2, 3, 40), (3, 40)), ((4, 0), (4, 0))])
async def test_inner(left, right):
    x, y = whole_ring(1, left), whole_ring(2, right)
    result = joined(await compute(Engine.inner, dealt(x, 3), dealt(y, 4)))
    assert np.array_equal(result, (x * y).sum(-1, dtype=np.uint64))


@pytest.mark.parametrize("shape", [(1, 1), (5, 33), (8, 100), (2, 3, 4, 17), (3, 0), (0, 2, 5)])
async def test_gram(shape):
    x = whole_ring(1, shape)
    expected = (x[..., :, None, :] * x[..., None, :, :]).sum(-1, dtype=np.uint64)
    assert np.array_equal(joined(await compute(Engine.gram, dealt(x, 3))), expected)


@pytest.mark.parametrize(("left", "right"), [
    ((1, 1), (1, 1)), ((3, 40), (40, 5)), ((2, 3, 9), (9, 4)), ((3, 9), (2, 9, 4)), ((2, 1, 4, 6), (3, 6, 2)), ((3, 0), (0, 2)), ((0, 4), (4, 3)),
])
async def test_matmul(left, right):
    x, y = whole_ring(1, left), whole_ring(2, right)
    found = joined(await compute(Engine.matmul, dealt(x, 3), dealt(y, 4)))
    assert found.shape == np.matmul(x, y).shape
    assert np.array_equal(found, np.matmul(x, y))


async def test_a_product_of_matrices_costs_a_word_an_entry():
    x, y = (dealt(whole_ring(seed, shape), seed) for seed, shape in ((1, (3, 500)), (2, (500, 4))))
    assert await bytes_of(Engine.matmul, x, y) == [8 * 12] * 3


@pytest.mark.parametrize(("left", "right"), [((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (4, 2))])
async def test_matrices_that_do_not_fit_are_refused(left, right):
    with pytest.raises(ProtocolError, match=r"expected \(…, a, n\) and \(…, n, b\)"):
        await compute(Engine.matmul, dealt(whole_ring(1, left), 3), dealt(whole_ring(2, right), 4))


@pytest.mark.parametrize("shape", [*SHAPES, (1000,)])
async def test_less(shape):
    random = np.random.default_rng(5)
    limit = 2**62
    x, y = (random.integers(-limit + 1, limit, shape) for _ in range(2))
    if x.size > 40:
        edges = np.array([0, 1, -1, limit - 1, -limit + 1])
        grid = np.array([(a, b) for a in edges for b in edges])
        x.reshape(-1)[:25], y.reshape(-1)[:25] = grid.T
        x.reshape(-1)[25:30] = y.reshape(-1)[25:30]
    a, b = dealt(x.astype(np.uint64), 3), dealt(y.astype(np.uint64), 4)
    assert np.array_equal(joined(await compute(Engine.less, a, b)), (x < y).astype(np.uint64))
    assert np.array_equal(joined(await compute(Engine.less, a, [y, y, y])), (x < y).astype(np.uint64))


async def test_less_than_a_public_number():
    x = np.arange(-5, 12)
    result = joined(await compute(Engine.less, dealt(x.astype(np.uint64), 3), [10, 10, 10]))
    assert np.array_equal(result, (x < 10).astype(np.uint64))


@pytest.mark.parametrize("shape", [*SHAPES, (1000,)])
async def test_equal_zero(shape):
    x = whole_ring(1, shape)
    if x.size > 40:
        x.reshape(-1)[14:34] = 0
        x.reshape(-1)[34:98] = np.uint64(1) << np.arange(64, dtype=np.uint64)[: x.size - 34]
    assert np.array_equal(joined(await compute(Engine.equal_zero, dealt(x, 3))), (x == 0).astype(np.uint64))


def known(shares, bound):
    return [share.bounded(bound) for share in shares]


BOUNDS = [0, 1, 63, 64, 127, 128, 255, 256, 2**14 - 1, 2**14, 2**15, 2**16 - 1, 2**16, 2**30 - 1, 2**30, 2**31, 2**32 - 1, 2**32]
"""Around each step to another width: of a difference of two, and of a test for zero."""


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("rows", [1, 64, 200])
async def test_comparisons_of_bounded_values(bound, rows):
    """Both ends of the range against each other and against neighbours, then anything between."""
    edges = np.array([bound, -bound, bound - 1, 1 - bound, 0], np.int64).clip(-bound, bound)
    random = np.random.default_rng(bound % 1000 + rows)
    x, y = (random.integers(-bound, bound, rows, endpoint=True) for _ in range(2))
    x[:25], y[:25] = np.array([(a, b) for a in edges for b in edges])[:rows].T
    a, b = (known(dealt(values.astype(np.uint64), seed), bound) for seed, values in ((3, x), (4, y)))
    assert np.array_equal(joined(await compute(Engine.less, a, b)), (x < y).astype(np.uint64))
    assert np.array_equal(joined(await compute(Engine.equal_zero, a)), (x == 0).astype(np.uint64))


async def bytes_of(program, *inputs):
    """What each node sends for a program."""
    sent = [0, 0, 0]

    def tap(sender, _receiver, _channel, _label, data):
        sent[sender] += len(data)
        return data

    async def at(wire):
        return await program(Engine(wire), *(dealt_to[wire.number] for dealt_to in inputs))

    await run_three(at, tap=tap)
    return sent


@pytest.mark.parametrize(("bound", "less", "zero"), [
    (2**6 - 1, (20, 11), (18, 9)), (2**14 - 1, (24, 14), (20, 10)), (2**30 - 1, (32, 20), (24, 12)),
    (2**62 - 1, (48, 32), (32, 16)),
])
async def test_small_ranges_cost_fewer_bytes(bound, less, zero):
    rows = 6400
    a = known(dealt(np.zeros(rows, np.uint64), 3), bound)
    for operation, inputs, most in ((Engine.less, (a, a), less), (Engine.equal_zero, (a,), zero)):
        sent = await bytes_of(operation, *inputs)
        assert sent[0] <= most[0] * rows
        assert sent[1] == sent[2] <= most[1] * rows
        assert sent[0] > (most[0] - 1) * rows, "the documented figure is not more than is sent"


def test_bounds_follow_what_is_done():
    x, y = (Share(np.zeros((2, 3, 4), np.uint64), bound) for bound in (5, 7))
    facts = [
        (x, 5), (x + y, 12), (x - y, 12), (-x, 5), (x * -3, 15), (3 - x, 8), (x + np.array([1, -9, 2, 0]), 14), (x[1], 5),
        (x.sum(), 20), (x.sum((0, 1)), 60), (x.cumsum(0), 15), (x.reshape(12), 5), (x.take(np.array([0])), 5),
        (Share.stack([x, y]), 7), (Share.concat([x, y]), 7), (x.broadcast_to(2, 3, 4), 5), (x.bounded(4), 4), (x.bounded(9), 5),
        (x * 2**62, 2**63), (Share(x.parts) + x, 2**63), (Share(x.parts, 2**70), 2**63),
    ]
    assert [share.bound for share, _ in facts] == [bound for _, bound in facts]
    with pytest.raises(ValueError, match="expected 0 or more"):
        Share(x.parts, -1)


async def test_bounds_follow_products():
    x, y = (known(dealt(np.ones((2, 10), np.uint64), seed), bound) for seed, bound in ((3, 5), (4, 7)))
    for operation, inputs, bound in (
        (Engine.multiply, (x, y), 35), (Engine.inner, (x, y), 350), (Engine.gram, (x,), 250), (Engine.less, (x, y), 1),
        (Engine.equal_zero, (x,), 1), (lambda engine, x, y: engine.matmul(x, y.reshape(10, 2)), (x, y), 350),
    ):
        assert [share.bound for share in await compute(operation, *inputs)] == [bound] * 3

    async def program(engine, share):
        return await engine.shuffle(share, await engine.random_permutation(10))

    assert [share.bound for share in await compute(program, x)] == [5] * 3


async def test_nodes_with_other_bounds_find_out():
    x = dealt(np.ones(10, np.uint64), 3)
    x[1] = x[1].bounded(1)

    async def program(engine, share):
        return await engine.open(await engine.equal_zero(share))

    with pytest.raises(MpcError):
        await compute(program, x)


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 7, 8, 9, 16, 17, 31, 32, 33, 63, 64])
@pytest.mark.parametrize("shape", [(), (1,), (130,), (2, 40), (0,)])
async def test_low_bits(bits, shape):
    x = whole_ring(bits, shape)
    found = joined(await compute(lambda engine, share: engine.low_bits(share, bits), dealt(x, 3)))
    expected = np.array([(x >> np.uint64(place)) & np.uint64(1) for place in range(bits)]).reshape(bits, *shape)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("bits", [0, 65])
async def test_a_value_has_64_bits(bits):
    with pytest.raises(ProtocolError, match="of a value of 64"):
        await compute(lambda engine, share: engine.low_bits(share, bits), dealt(whole_ring(1, (3,)), 3))


@pytest.mark.parametrize("shape", SHAPES)
async def test_to_ring_takes_bit_zero_only(shape):
    x = whole_ring(1, shape)
    assert np.array_equal(joined(await compute(Engine.to_ring, dealt(x, 3, xor=True))), x & np.uint64(1))


@pytest.mark.parametrize("owner", [0, 1, 2])
@pytest.mark.parametrize("shape", [(), (6,), (2, 3)])
async def test_input_of_a_node(owner, shape):
    x = whole_ring(1, shape)

    async def program(engine):
        mine = x if engine.number == owner else None
        return await engine.input(owner, mine, shape), await engine.input_bits(owner, mine, shape)

    results = await compute(program)
    assert np.array_equal(joined([r[0] for r in results]), x)
    assert np.array_equal(joined([r[1] for r in results]), x)


async def test_input_of_signed_numbers_and_of_the_wrong_shape():
    async def program(engine):
        entered = await engine.input(1, np.array([-7, 7]) if engine.number == 1 else None, (2,))
        return signed(await engine.open(entered))

    assert [list(r) for r in await compute(program)] == [[-7, 7]] * 3
    with pytest.raises(ProtocolError, match=r"shape \(2,\)"):
        await run_three(lambda wire: Engine(wire).input(0, np.array([1, 2]), (3,)))


@pytest.mark.parametrize("shape", SHAPES)
async def test_open(shape):
    x = whole_ring(1, shape)
    for result in await compute(Engine.open, dealt(x, 3)):
        assert result.shape == shape
        assert np.array_equal(result, x)
    for result in await compute(Engine.open_bits, dealt(x, 3, xor=True)):
        assert np.array_equal(result, x)


@pytest.mark.parametrize("shape", [(1,), (50,), (3, 40), (2, 2, 9), (0,)])
@pytest.mark.parametrize("xor", [False, True])
async def test_shuffle_replays_a_permutation_that_no_node_knows(shape, xor):
    x, y = whole_ring(1, shape), whole_ring(2, shape)

    async def program(engine, a, b):
        permutation = await engine.random_permutation(shape[-1])
        stored = Permutation.from_bytes(permutation.to_bytes())
        return await engine.shuffle(a, permutation), await engine.shuffle(b, stored), permutation

    results = await compute(program, dealt(x, 3, xor=xor), dealt(y, 4, xor=xor))
    pieces = [results[i][2].pieces[i] for i in range(3)]
    for i, (_, _, permutation) in enumerate(results):
        assert permutation.pieces[(i + 1) % 3] is None
        assert np.array_equal(permutation.pieces[i - 1], pieces[i - 1])
    order = pieces[0][pieces[1][pieces[2]]]
    assert np.array_equal(np.sort(order), np.arange(shape[-1]))
    assert np.array_equal(joined([r[0] for r in results]), x[..., order])
    assert np.array_equal(joined([r[1] for r in results]), y[..., order])


async def test_every_row_reaches_every_place():
    """10 rows, 300 shuffles of fixed secrets: each (row, place) 30 times on average, with a standard deviation of 5."""
    counts = np.zeros((10, 10), int)

    async def program(engine):
        return [await engine.random_permutation(10) for _ in range(300)]

    results = await compute(program, fixed=1)
    for k in range(300):
        pieces = [results[i][k].pieces[i] for i in range(3)]
        counts[pieces[0][pieces[1][pieces[2]]], np.arange(10)] += 1
    assert counts.min() > 30 - 4 * 5.2
    assert counts.max() < 30 + 4 * 5.2


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:5],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"X" + data[1:],
        lambda data: data[:8] + b"\xff\xff\xff\xff" + data[12:],
        lambda data: data[:-4] + data[-8:-4],
        lambda data: data[:-4] + b"\xff\xff\xff\xff",
    ],
)
async def test_a_damaged_stored_permutation_is_refused(damage):
    async def program(engine):
        return (await engine.random_permutation(20)).to_bytes()

    stored = (await compute(program))[0]
    with pytest.raises(ProtocolError):
        Permutation.from_bytes(damage(stored))


async def test_another_nodes_permutation_is_refused():
    x = dealt(whole_ring(1, (20,)), 2)
    permutations = await compute(lambda engine: engine.random_permutation(20))
    with pytest.raises(MpcError, match="another node"):
        await compute(Engine.shuffle, x, [permutations[1], permutations[1], permutations[2]])


async def test_operations_side_by_side_do_not_mix():
    x, y = whole_ring(1, (100,)), whole_ring(2, (100,))
    small = [dealt(v >> np.uint64(3), 5 + k) for k, v in enumerate((x, y))]

    async def program(engine, a, b):
        product, less, zero, word = await asyncio.gather(
            engine.multiply(a, b), engine.less(a, b), engine.equal_zero(a), engine.multiply(a, a),
        )
        return Share.stack([product, less, zero, word])

    a, b = x >> np.uint64(3), y >> np.uint64(3)
    expected = np.stack([a * b, (a < b).astype(np.uint64), (a == 0).astype(np.uint64), a * a])
    assert np.array_equal(joined(await compute(program, *small)), expected)


async def test_engines_on_channels_of_their_own_run_at_once():
    x = dealt(whole_ring(1, (200,)) >> np.uint64(3), 2)

    async def at(wire):
        engines = [Engine(wire.channel(k)) for k in (0, 7)]

        async def one(engine):
            return await engine.open(await engine.less(x[wire.number], 2**40))

        return await asyncio.gather(*map(one, engines))

    for one, other in await run_three(at):
        assert np.array_equal(one, other)


async def test_two_engines_on_one_channel_cannot_share_masks():
    x = dealt(whole_ring(1, (5,)), 2)

    async def at(wire):
        await Engine(wire).multiply(x[wire.number], x[wire.number])
        await Engine(wire).multiply(x[wire.number], x[wire.number])

    with pytest.raises(MpcError, match=r"twice|protocol"):
        await run_three(at)


@pytest.mark.parametrize("cheat", [0, 1, 2])
@pytest.mark.parametrize("part", [0, 1])
async def test_an_opening_with_a_changed_component_is_noticed(cheat, part):
    """Whoever changes what it sends or echoes, some node refuses, and the others hear of it."""
    x = dealt(whole_ring(1, (30,)), 2)
    x[cheat].parts[part, 11] += np.uint64(1)
    outcomes = []

    async def at(wire):
        try:
            await Engine(wire).open(x[wire.number])
            outcomes.append("opened")
        except IntegrityError as error:
            outcomes.append(str(error))
            raise

    with pytest.raises(IntegrityError, match="disagree about a component"):
        await run_three(at, stall_seconds=2)
    assert any("disagree" in outcome for outcome in outcomes)


async def test_nodes_that_ran_different_programs_do_not_open():
    x = dealt(whole_ring(1, (30,)), 2)

    async def at(wire):
        engine = Engine(wire)
        kept = x[wire.number]
        await engine.random_permutation(30 if wire.number else 29)
        await engine.open(kept)

    with pytest.raises(IntegrityError, match="something else"):
        await run_three(at, stall_seconds=2)


async def test_another_length_than_expected_is_refused():
    x = dealt(whole_ring(1, (30,)), 2)

    async def at(wire):
        shares = x[wire.number]
        await Engine(wire).multiply(shares[: 30 - wire.number], shares[: 30 - wire.number])

    with pytest.raises(MpcError, match="expected 2"):
        await run_three(at, stall_seconds=2)


async def test_equal_runs_have_equal_transcripts_that_opened_values_enter():
    async def transcript(values):
        async def program(engine, a):
            await engine.open(a)
            return engine.transcript

        return await compute(program, dealt(values, 2))

    first = await transcript(np.array([1, 2], np.uint64))
    assert len(set(first)) == 1
    assert len(first[0]) == 32

    async def twice(engine, a, b):
        before = engine.transcript
        await engine.open(a)
        return before, engine.transcript

    results = await compute(twice, dealt(EDGES, 1), dealt(EDGES, 2))
    assert results[0][0] != results[0][1]
    assert results[0] == results[1] == results[2]


async def test_public_numbers_and_zeros():
    async def program(engine):
        return await engine.open(Share.stack([engine.public(np.array([-1, 5])), engine.zeros((2,))]))

    for result in await compute(program):
        assert np.array_equal(signed(result), [[-1, 5], [0, 0]])


async def test_long_arrays_travel_in_pieces(monkeypatch):
    monkeypatch.setattr("mpc.operation.PIECE_WORDS", 7)
    x, y = whole_ring(1, (50,)), whole_ring(2, (50,))
    assert np.array_equal(joined(await compute(Engine.multiply, dealt(x, 3), dealt(y, 4))), x * y)


async def seen_by_each_node(program, x, stall_seconds=5.0, fixed=None):
    """All bytes each node receives while `program` runs on x."""
    received = [[], [], []]

    def tap(sender, receiver, channel, label, payload):
        received[receiver].append(payload)
        return payload

    async def at(wire):
        return await program(Engine(wire), x[wire.number])

    async with three_wires(tap=tap, stall_seconds=stall_seconds, fixed=fixed) as wires:
        await asyncio.gather(*(at(wire) for wire in wires))
    return [np.frombuffer(b"".join(messages), np.uint64) for messages in received]


async def test_a_retry_on_changed_data_reveals_nothing():
    """The attack on reused masks: equal masks in two attempts would make differences of messages show the change.

    One column of zeros is shuffled in two attempts, the second with one changed row. Under reused masks nearly
    all received words would be equal in both; under fresh ones no word may repeat, in place or anywhere.
    """
    x = dealt(np.zeros(2000, np.uint64), 1)
    changed = [Share(s.parts.copy()) for s in x]
    changed[0].parts[0, 7] += np.uint64(1)
    changed[2].parts[1, 7] += np.uint64(1)
    permutation = await compute(lambda engine: engine.random_permutation(2000))

    async def program(engine, a):
        return await engine.shuffle(a, permutation[engine.number])

    first = await seen_by_each_node(program, x)
    second = await seen_by_each_node(program, changed)
    for one, other in zip(first, second, strict=True):
        assert one.size == other.size == 2 * 2000
        assert np.intersect1d(one, other).size == 0
        difference = (one - other).view(np.uint8)
        ones = np.unpackbits(difference).mean()
        assert abs(ones - 0.5) < 7 * 0.5 / np.sqrt(difference.size * 8)  # by chance once in 10^11 runs


async def test_replays_within_an_attempt_have_fresh_masks():
    x = dealt(np.zeros(2000, np.uint64), 1)

    async def program(engine, a):
        permutation = await engine.random_permutation(2000)
        await engine.shuffle(a, permutation)
        await engine.shuffle(a, permutation)

    for received in await seen_by_each_node(program, x):
        assert np.unique(received).size == received.size


@pytest.mark.parametrize("name", ["multiply", "less", "equal_zero", "shuffle", "input", "to_ring"])
async def test_what_a_node_receives_looks_random_whatever_the_data(name):
    """All-zero, equal rows go in; the bits received are balanced and no word comes twice."""
    n = 4096
    x = dealt(np.zeros(n, np.uint64), 1, xor=name == "to_ring")

    async def program(engine, a):
        if name == "multiply":
            await engine.multiply(a, a)
        elif name == "shuffle":
            await engine.shuffle(a, await engine.random_permutation(n))
        elif name == "input":
            for owner in range(3):
                await engine.input(owner, np.zeros(n, np.int64) if engine.number == owner else None, (n,))
        elif name == "less":
            await engine.less(a, 5)
        else:
            await getattr(engine, name)(a)

    for received in await seen_by_each_node(program, x, fixed=1):
        if received.size == 0:
            continue
        assert np.unique(received).size == received.size
        bits = received.size * 64
        assert abs(np.unpackbits(received.view(np.uint8)).mean() - 0.5) < 4 * 0.5 / np.sqrt(bits)


@pytest.mark.parametrize(("left", "right"), [((1,), (5,)), ((5,), (1,)), ((2, 1), (2, 5)), ((), (5,)), ((5,), ()), ((3,), (4,))])
async def test_an_inner_product_wants_last_axes_of_one_length(left, right):
    values = [dealt(np.zeros(shape, np.uint64), 1) for shape in (left, right)]
    with pytest.raises(ProtocolError, match="expected last axes of one length"):
        await compute(lambda engine, x, y: engine.inner(x, y), *values)


async def test_a_shuffle_takes_rows_in_any_order_of_memory(monkeypatch):
    monkeypatch.setattr("mpc.operation.PIECE_WORDS", 16)
    values = whole_ring(1, (4, 25))
    turned = [Share(np.asfortranarray(held.parts)) for held in dealt(values, 2)]

    async def program(engine, x):
        return await engine.shuffle(x, await engine.random_permutation(25))

    moved = joined(await compute(program, turned))
    assert sorted(map(tuple, moved.T.tolist())) == sorted(map(tuple, values.T.tolist()))
