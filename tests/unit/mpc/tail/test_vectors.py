"""The steps of the field arithmetic, each against integers."""

import itertools
import statistics

import numpy as np
import pytest

from mpc.tail.boolean import Boolean, planes_of, unpacked
from mpc.tail.field import PRIME, ROOM_BITS
from mpc.tail.recombine import recombine
from mpc.tail.session import Session, mpyc_label
from mpc.tail.vectors import FRACTION_BITS, OCTAVES, Vectors
from policy.plan import LEAST_SIGNIFICANT_BITS, MOST_SIGNIFICANT_BITS
from tests.support.dealing import deal
from tests.support.wires import run_three

RING = 1 << 64
TIMEOUT_SECONDS = 60
EDGES = [0, 1, -1, 2**61, -(2**61), 2**62 - 1, -(2**62) + 1]


def split(components):
    """Three components → each node's two."""
    return [np.stack((components[i], components[(i + 1) % 3])) for i in range(3)]


async def at_nodes(program, **options):
    """Run program(vectors, number) at three nodes."""
    async def node(wire):
        return await Session(wire).run(lambda session: program(Vectors(session), session.number), TIMEOUT_SECONDS)
    return await run_three(node, **options)


async def recombined(values, step):
    """The integers that `step(vectors, shares of values < 2^256)` stands for; one list per vector it returns."""
    rng = np.random.default_rng(len(values))
    words = [[value >> 32 * k & 0xFFFFFFFF for value in values] for k in range(8)]
    held = [deal(np.array(word, np.int64), rng) for word in words]

    async def program(vectors, number):
        limbs = [await vectors.from_ring(shares[number].parts) for shares in held]
        joined = await vectors.reshare(sum(limb << 32 * k for k, limb in enumerate(limbs)))
        found = await step(vectors, joined)
        found = found if isinstance(found, tuple) else (found,)
        return [await vectors.private(vector % PRIME) for vector in found]

    shares = await at_nodes(program)
    outputs = [recombine([list(share) for share in each]) for each in zip(*shares, strict=True)]
    return outputs[0] if len(outputs) == 1 else outputs


async def test_ring_shares_of_edge_values_under_hand_made_sharings():
    hard = [0, 1, 2**60 - 1, 2**60, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
    triples = [(x, a, b) for x in EDGES for a, b in itertools.product(hard, hard)]
    components = np.array([[a, b, (x - a - b) % RING] for x, a, b in triples], dtype=np.uint64).T
    for turn in range(3):
        held = split(np.roll(components, turn, axis=0))

        async def program(vectors, number, held=held):
            return await vectors.private(await vectors.from_ring(held[number]))

        shares = await at_nodes(program)
        assert recombine([list(share) for share in shares]) == [x for x, _, _ in triples]


async def test_floor_is_exact_and_truncate_is_near():
    rng = np.random.default_rng(2)
    for bits, drop in ((ROOM_BITS, 150), (60, 59), (60, 1)):
        edges = [0, 1, 2**drop - 1, 2**drop, 2**bits - 1, 2**bits - 2**drop]
        values = edges + [int.from_bytes(rng.bytes(27), "little") % 2**bits for _ in range(30)]
        exact, near = await recombined(values, lambda v, x, b=bits, d=drop: both(v, x, d, b))
        assert exact == [value >> drop for value in values]
        assert all(abs(n * 2**drop - value) < 2 * 2**drop for n, value in zip(near, values, strict=True))


async def both(vectors, x, drop, bits):
    return await vectors.floor(x, drop, bits), await vectors.truncate(x, drop, bits)


async def test_signs_are_exact():
    shift = 2**70
    values = [0, 1, -1, 2**66, -(2**66), shift - 1, -shift + 1]
    found = await recombined([v + shift for v in values], lambda vectors, x: vectors.negative(x - shift, 70))
    assert found == [int(v < 0) for v in values]


@pytest.mark.parametrize("bits", [5, 61, 212])
async def test_normalise_finds_the_octave_of_every_size(bits):
    values = [0, *(2**k for k in range(bits)), *(2**k - 1 for k in range(1, bits + 1))]
    scaled, exponents, present = await recombined(values, lambda vectors, x: vectors.normalise(x, bits))
    for value, mantissa, exponent, there in zip(values, scaled, exponents, present, strict=True):
        assert there == int(value > 0)
        assert exponent == (value.bit_length() - 1 if value else 0)
        assert 2 ** (bits - 1) <= mantissa < 2**bits
        assert value == 0 or value << (bits - 1) == mantissa << exponent


async def test_reciprocals_are_within_a_few_units_over_the_octave():
    f = FRACTION_BITS
    values = [2 ** (f - 1), 2 ** (f - 1) + 1, 2**f - 1, *(2 ** (f - 1) + k * 2 ** (f - 8) for k in range(128))]
    found = await recombined(values, lambda vectors, x: vectors.reciprocal(x))
    # Integers: a float near 2^58 is itself off by tens of units.
    assert all(abs(c * b - 2 ** (2 * f)) < 64 * b for c, b in zip(found, values, strict=True))
    assert statistics.mean(abs(c * b - 2 ** (2 * f)) / b for c, b in zip(found, values, strict=True)) < 16


@pytest.mark.parametrize("significant", [LEAST_SIGNIFICANT_BITS, 9, 20, MOST_SIGNIFICANT_BITS])
async def test_rounding_is_exact_at_the_edges_of_every_octave_and_at_halves(significant):
    rng = np.random.default_rng(significant)
    values = []
    for octave in OCTAVES:
        unit = 2 ** (octave + 1 - significant)
        some = [2**octave + int(x) * unit for x in rng.integers(0, 2 ** (significant - 1), 4)]
        values += [2**octave, 2**octave + 1, 2 ** (octave + 1) - 1, 2 ** (octave + 1) - unit // 2]
        values += [x + off for x in some for off in (0, unit // 2 - 1, unit // 2, unit - 1)]
    declared = np.full(len(values), significant, dtype=object)
    mantissas, shifts = await recombined(values, lambda vectors, x: vectors.rounded(x, declared))
    for value, mantissa, shift in zip(values, mantissas, shifts, strict=True):
        unit = 2 ** (value.bit_length() - significant)
        assert (mantissa, 2**shift) == ((value + unit // 2) // unit, unit)


async def test_rounding_takes_each_number_to_its_own_bits():
    value, declared = 2**FRACTION_BITS + 2**40 + 2**20 + 1, np.array([8, 20, 44, 33, 21], dtype=object)
    mantissas, shifts = await recombined([value] * 5, lambda vectors, x: vectors.rounded(x, declared))
    for bits, mantissa, shift in zip(declared, mantissas, shifts, strict=True):
        assert (mantissa, shift) == ((value + 2**shift // 2) >> shift, FRACTION_BITS + 1 - bits)


async def test_a_number_too_wide_for_its_mask_is_refused():
    with pytest.raises(ValueError, match="cannot be masked"):
        await recombined([5], lambda vectors, x: vectors.floor(x, 3, ROOM_BITS + 1))


@pytest.mark.parametrize("bits", [2, 4, 13, 64, 200])
async def test_the_adder_and_the_leading_bit(bits):
    rng = np.random.default_rng(bits)
    summands = [
        [0, 2**bits - 1, 2**bits - 1] + [int.from_bytes(rng.bytes(26), "little") % 2**bits for _ in range(30)]
        for _ in range(3)
    ]
    n, places = len(summands[0]), sorted({1, bits // 2, bits})
    held = split(np.stack([planes_of(values, bits) for values in summands]))

    async def node(wire):
        async def program(session):
            boolean = Boolean(session)
            total, wraps = await boolean.add(held[wire.number], at=places)
            return total, wraps, *(await boolean.leading(total))
        return await Session(wire).run(program, 20)

    nodes = await run_three(node)
    total, wraps, position, nonzero = (
        unpacked(first[0] ^ second[0] ^ third[0], n).astype(object) for first, second, third in zip(*nodes, strict=True)
    )
    for at, values in enumerate(zip(*summands, strict=True)):
        found = sum(int(bit) << k for k, bit in enumerate(total[:, at]))
        assert found + (int(wraps[-2:, at].sum()) << bits) == sum(values)
        for low, twice in zip(places, wraps[:, at].reshape(-1, 2), strict=True):
            assert int(twice.sum()) == sum(value % 2**low for value in values) >> low
        assert sum(int(bit) << k for k, bit in enumerate(position[:, at])) == max(found.bit_length() - 1, 0)
        assert nonzero[0, at] == int(found > 0)


def test_labels_of_mpyc_are_odd_and_fit_64_bits():
    counters = [0, 1, -1, 2**62, -(2**62) + 5, 2**63 - 2, -(2**63) + 7, 12345]
    labels = [mpyc_label(counter) for counter in counters]
    assert all(label % 2 and -(2**63) <= label < 2**63 for label in labels)
    assert len(set(labels)) == len(counters)
