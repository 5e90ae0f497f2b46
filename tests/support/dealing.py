"""A dealer for tests: splits values into the three nodes' shares, and puts them together again."""

import numpy as np

from mpc.share import Bits, Share


def deal(values, rng) -> list[Share]:
    """Additive shares of integers, one per node."""
    values = np.asarray(values).astype(np.uint64)
    first, second = (rng.integers(0, 2**64, values.shape, np.uint64) for _ in range(2))
    return [Share(np.stack(pair)) for pair in _pairs([first, second, np.subtract(np.subtract(values, first), second)])]


def deal_bits(words, rng) -> list[Bits]:
    """XOR shares of words, one per node."""
    words = np.asarray(words, np.uint64)
    first, second = (rng.integers(0, 2**64, words.shape, np.uint64) for _ in range(2))
    return [Bits(np.stack(pair)) for pair in _pairs([first, second, words ^ first ^ second])]


def reveal(shares) -> np.ndarray:
    """The signed values of the three nodes' shares; fails unless the two holders of a component agree."""
    _check_holders(shares)
    return np.stack([s.parts[0] for s in shares]).sum(axis=0, dtype=np.uint64).view(np.int64)


def reveal_bits(shares) -> np.ndarray:
    """The words of the three nodes' shares; fails unless the two holders of a component agree."""
    _check_holders(shares)
    return shares[0].parts[0] ^ shares[1].parts[0] ^ shares[2].parts[0]


def _pairs(components):
    return [(components[i], components[(i + 1) % 3]) for i in range(3)]


def _check_holders(shares):
    for node in range(3):
        np.testing.assert_array_equal(shares[node].parts[1], shares[(node + 1) % 3].parts[0])
