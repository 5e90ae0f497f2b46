"""Inverses of positive definite secret matrices, and the proof that they are ones.

Newton's iteration X ← X·(2I − A·X) squares the residual I − A·X. Scaled, X ← s·X·(2I − s·A·X) lifts the smallest
eigenvalue of A·X nearly four times a step while none passes 1 (Pan & Schreiber, "An Improved Newton Iteration for the
Generalized Inverse of a Matrix, with Applications", SIAM J. Sci. Stat. Comput. 12, 1991). The factors s are public:
they follow from the size and the declared condition alone, so the steps say nothing of the matrix. A step is two
matrix products and two truncations: 4 rounds.
"""

import math
from functools import cache

import numpy as np

from mpc.tail.field import PRIME, Residues
from mpc.tail.vectors import Vectors

CONDITION_BITS = 30
"""A matrix whose smallest eigenvalue is at least 2^-30 has an inverse here."""
MATRIX_BITS = 60
"""Bits of fraction of what is inverted."""
INVERSE_BITS = 84
"""Bits of fraction of the inverse: with them a product of two numbers of the iteration still fits under its mask."""
FACTOR_BITS = 10
"""Bits of fraction of the factors s."""
RESIDUAL_BITS = 20
"""Before the last two steps ‖I − A·X‖ < 2^-20 proves an inverse; they leave what rounding does."""
PROVEN = 1 << 2 * (INVERSE_BITS - RESIDUAL_BITS)
"""A smaller residual, as `inverse` returns it, proves an inverse."""
LARGEST_DIAGONAL = 4


@cache
def factors(size: int) -> tuple[int, ...]:
    """Factors of the steps, times 2^FACTOR_BITS, for matrices of so many rows; the last two steps are plain."""
    least, found = 2.0 ** -(CONDITION_BITS + _start_bits(size)), []
    while 1 - least > 2.0 ** -(RESIDUAL_BITS + 4):  # 4: twenty eigenvalues may each be as far from 1
        found.append(int(2 / (1 + least) * 2**FACTOR_BITS))
        factor = found[-1] / 2**FACTOR_BITS
        least = min(factor * end * (2 - factor * end) for end in (least, 1.0))
    return (*found, 1 << FACTOR_BITS, 1 << FACTOR_BITS)


@cache
def size_bits(size: int) -> int:
    """‖X‖ < 2^bits in every step, whatever the matrix: an eigenvalue of X grows 2s times at most."""
    growth = math.prod(2 * factor / 2**FACTOR_BITS for factor in factors(size))
    return math.ceil(math.log2(growth)) - _start_bits(size) + 1


def _start_bits(size: int) -> int:
    """The first X is 2^-bits·I; no eigenvalue is larger than the trace."""
    return (LARGEST_DIAGONAL * size - 1).bit_length()


async def inverse(vectors: Vectors, matrix: Residues) -> tuple[Residues, Residues]:
    """A^-1 of A = matrix / 2^MATRIX_BITS, symmetric and positive semidefinite, with a diagonal of 1 to 4.

    If the smallest eigenvalue of A is at least 2^-CONDITION_BITS, the residual is below PROVEN; if it is less than half
    of that, not. Wherever it is, ‖X − A^-1‖ ≤ 2^-75·‖A^-1‖ in spectral norms. A row may also be 0: a singular A.

    Args:
        vectors: the session's arithmetic.
        matrix: (n, k, k) shares.

    Returns:
        (n, k, k): X · 2^INVERSE_BITS, symmetric, ‖X‖ < 2^size_bits(k); (n,): the residual, ‖I − A·X‖² before the last
        two steps (Frobenius norm), times 2^(2·INVERSE_BITS).
    """
    n, k, _ = matrix.shape
    f, most = INVERSE_BITS, size_bits(k)
    drop = MATRIX_BITS + 2 * FACTOR_BITS
    rows, columns = np.triu_indices(k)
    identity = np.identity(k, dtype=object)
    x = np.broadcast_to(identity << (f - _start_bits(k)), matrix.shape)
    steps = factors(k)
    residual = np.empty(0, dtype=object)
    for left, factor in zip(reversed(range(len(steps))), steps, strict=True):
        product = await vectors.reshare(matrix @ x)
        wide = (2 * factor * identity << (f + drop - FACTOR_BITS)) - factor**2 * product
        # Entries lie in [−4, 4], and only what is not below 0 is truncated.
        kept = await vectors.truncate((wide.reshape(-1) + (4 << (f + drop))) % PRIME, drop, f + drop + 4)
        kept = (kept - (4 << f)).reshape(n, k, k)
        terms = (x @ kept)[:, rows, columns]
        if left == 1:
            rest = kept - (identity << f)
            terms = np.concatenate((terms, (rest * rest).sum(axis=(1, 2))[:, None]), axis=1)
        terms = await vectors.reshare(terms)
        if left == 1:
            terms, residual = terms[:, :-1], terms[:, -1]
        half = await vectors.truncate((terms.reshape(-1) + (1 << (2 * f + most))) % PRIME, f, 2 * f + most + 1)
        x = np.empty((n, k, k), dtype=object)
        x[:, rows, columns] = x[:, columns, rows] = (half - (1 << (f + most))).reshape(n, -1) % PRIME
    return x, residual
