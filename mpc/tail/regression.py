"""Coefficients of a linear regression on shares: β of X'X·β = X'y, of which only rounded numbers leave.

Covariates are first brought to one size: with h = ⌊⌊log2 (X'X)ii⌋ / 2⌋ and S = diag(2^-h), A = S·X'X·S has a diagonal
of 1 to 4. That is exact, and up to a factor of 4 the condition that counts is then that of the correlations around 0,
whatever the units of the covariates (no other scaling is better by more than a factor of k: van der Sluis, "Condition
Numbers and Equilibration of Matrices", Numer. Math. 14, 1969). Then β = S·A^-1·S·X'y.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpc.tail.decode import REGRESSION_OUTPUTS
from mpc.tail.field import PRIME, Residues
from mpc.tail.inverse import INVERSE_BITS, MATRIX_BITS, PROVEN, inverse, size_bits
from mpc.tail.session import Session
from mpc.tail.vectors import FRACTION_BITS, Vectors, joined
from mpc.wire import Wire
from policy.plan import LEAST_SIGNIFICANT_BITS, MOST_SIGNIFICANT_BITS, RING_BITS

REGRESSION_CHANNEL = 5
"""Label space and keys of its own: an attempt also has the sessions of the estimates and of the alerts."""
MOST_COVARIATES = 20
"""The bounds of `mpc.tail.inverse` are for so many at most."""
ENTRIES_AT_ONCE = 4096
"""Elements of matrices; more go in slices, so that no step keeps the event loop for long."""
HALF_BITS = MATRIX_BITS // 2
"""Bits of fraction of S·X'y; the largest h."""
CUT_BITS = 40
"""What contributes less than 2^-40 of the whole is 0, as what should be 0 is not more after all rounding."""
SPARE_BITS = 20
"""Of A^-1·S·X'y, whose largest element is above 2^-39: room for the comparison with the whole."""
LEAST_SIZE = 8
"""In units of what is left: more than truncation makes of 0."""


@dataclass(frozen=True, eq=False)
class Equations:
    """Normal equations of n cells with k covariates: this node's replicated ring shares.

    `gram`: (2, n, k, k) uint64, X'X, of which only the upper triangle is read; `moments`: (2, n, k) uint64, X'y. Both
    are exact sums over rows of integers; the squares of each covariate and those of y add up to less than 2^62. n may
    be 0. `significant_bits`: of each coefficient, LEAST_SIGNIFICANT_BITS..MOST_SIGNIFICANT_BITS.
    """

    gram: NDArray[np.uint64]
    moments: NDArray[np.uint64]
    significant_bits: int

    def __post_init__(self) -> None:
        _, n, k = self.moments.shape if self.moments.ndim == 3 else (0, 0, 0)
        if (
            not 1 <= k <= MOST_COVARIATES
            or self.moments.shape != (2, n, k) or self.gram.shape != (2, n, k, k)
            or self.moments.dtype != np.uint64 or self.gram.dtype != np.uint64
        ):
            raise ValueError(
                f"found gram {self.gram.dtype} {self.gram.shape} and moments {self.moments.dtype} "
                f"{self.moments.shape}, expected uint64 (2, n, k, k) and (2, n, k) with 1 to {MOST_COVARIATES} "
                "covariates"
            )
        if not LEAST_SIGNIFICANT_BITS <= self.significant_bits <= MOST_SIGNIFICANT_BITS:
            raise ValueError(
                f"coefficients with {self.significant_bits} bits; expected {LEAST_SIGNIFICANT_BITS} to "
                f"{MOST_SIGNIFICANT_BITS}"
            )


async def solve(wire: Wire, equations: Equations, timeout_seconds: float) -> dict[str, list[int]]:
    """This node's share of the coefficients of every cell, for the recipient. Once per attempt.

    How many cells and covariates is public and equal at the three nodes; nothing else is.

    Let w be the coefficients, each times the root of its diagonal element of X'X, and C the matrix X'X scaled to a
    diagonal of 1. A cell is singular where C's smallest eigenvalue is below 2^-33, and not where it is at least 2^-30,
    as with every condition number up to 2^30. Wherever a cell is not singular, the error of w before rounding is at
    most (2^-50 + 2^-72 · cond(C)) · ‖w‖, except that a coefficient whose |w| is below about 2^-40 of the sum of all |w|
    comes out as 0: surely below a third of that, never above three times.

    Args:
        wire: the attempt's channel; regressions use label space 5.
        equations: released cells.
        timeout_seconds: for the whole.

    Returns:
        Residues modulo PRIME: `singular`, (n,) 1 where the covariates determine no coefficients, or not well enough;
        `coefficient.mantissa` and `coefficient.exponent`, (n · k,), β = mantissa · 2^exponent rounded to
        significant_bits, both 0 where β is 0, or next to 0, and where a cell is singular.

    Raises:
        MpcError: lost or silent peer, malformed or disagreeing messages. The attempt has been ended for all nodes.
    """
    n, k = equations.moments.shape[1:]
    outputs: dict[str, list[int]] = {name: [] for name in REGRESSION_OUTPUTS}
    cells = ENTRIES_AT_ONCE // (k * k)

    async def program(session: Session) -> None:
        vectors = Vectors(session)
        for start in range(0, n, cells):
            part = slice(start, start + cells)
            found = await _solved(
                vectors, equations.gram[:, part], equations.moments[:, part], equations.significant_bits,
            )
            fresh = await vectors.private(np.concatenate(found))
            shares = np.split(fresh, np.cumsum([vector.size for vector in found])[:-1])
            for name, share in zip(outputs, shares, strict=True):
                outputs[name] += share.tolist()

    if n:
        await Session(wire, REGRESSION_CHANNEL).run(program, timeout_seconds)
    return outputs


async def _solved(
    vectors: Vectors, gram: NDArray[np.uint64], moments: NDArray[np.uint64], significant_bits: int,
) -> tuple[Residues, Residues, Residues]:
    """(n · k,) mantissas and exponents of coefficients, (n,) whether a cell is singular."""
    _, n, k = moments.shape
    matrix, vector, half = await _scaled(vectors, gram, moments)
    inverted, residual = await inverse(vectors, matrix)
    bits = solution_bits(k)
    found = await vectors.reshare((inverted @ vector[:, :, None]).reshape(-1))
    found = await vectors.truncate((found + (1 << (bits + SPARE_BITS))) % PRIME, SPARE_BITS, bits + SPARE_BITS + 1)
    found = (found - (1 << bits)) % PRIME

    widest = max(bits + 1, 2 * INVERSE_BITS + k.bit_length())
    below, proven = np.split(await vectors.negative(np.concatenate((found, residual - PROVEN)), widest), [n * k])
    sign = (1 - 2 * below) % PRIME
    size = await vectors.multiply(found, sign)
    whole = np.repeat(size.reshape(n, k).sum(axis=1), k)
    small = await vectors.negative(((size - LEAST_SIZE) << CUT_BITS) - whole, bits + CUT_BITS + 1)

    scaled, exponent, _ = await vectors.normalise(size, bits + 1)
    mantissa, shift = await vectors.rounded(
        await vectors.mantissa(scaled, bits + 1), np.full(n * k, significant_bits, dtype=object),
    )
    unit = 1 - FRACTION_BITS - INVERSE_BITS - HALF_BITS + SPARE_BITS
    signed, shown = np.split(
        await vectors.multiply(np.concatenate((mantissa, 1 - small)), np.concatenate((sign, np.repeat(proven, k)))), 2,
    )
    kept = await vectors.multiply(
        np.concatenate((signed, (exponent + shift - half + unit) % PRIME)), np.tile(shown, 2),
    )
    return *np.split(kept, 2), (1 - proven) % PRIME


def solution_bits(covariates: int) -> int:
    """|A^-1·S·X'y| < 2^bits in units of 2^(SPARE_BITS − INVERSE_BITS − HALF_BITS).

    It is at most ‖A^-1‖·√k·max |S·X'y|, and an element of S·X'y is below 2^32, as the squares of y and those of a
    covariate add up to less than 2^62.
    """
    return size_bits(covariates) + INVERSE_BITS + RING_BITS + (covariates - 1).bit_length() - SPARE_BITS


async def _scaled(
    vectors: Vectors, gram: NDArray[np.uint64], moments: NDArray[np.uint64],
) -> tuple[Residues, Residues, Residues]:
    """(n, k, k) A · 2^MATRIX_BITS, (n, k) S·X'y · 2^HALF_BITS, both exact, (n · k,) h."""
    _, n, k = moments.shape
    rows, columns = np.triu_indices(k)
    flat = np.concatenate((gram[:, :, rows, columns], moments), axis=2).reshape(2, -1)
    converted = (await vectors.from_ring(flat)).reshape(n, -1)
    upper, vector = np.split(converted, [rows.size], axis=1)

    digits, _ = await vectors.leading(upper[:, rows == columns].reshape(-1), RING_BITS)
    halves = digits[1:]
    factor = ((await vectors.shrinking(halves, 2)) << HALF_BITS).reshape(n, k) % PRIME
    scaled = await vectors.multiply(
        np.concatenate((factor[:, rows], vector), axis=1), np.concatenate((factor[:, columns], factor), axis=1),
    )
    both, vector = np.split(scaled, [rows.size], axis=1)
    matrix = np.empty((n, k, k), dtype=object)
    matrix[:, rows, columns] = matrix[:, columns, rows] = await vectors.multiply(upper, both)
    return matrix, vector, joined(halves)
