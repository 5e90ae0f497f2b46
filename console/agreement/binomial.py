"""How likely it is that a count of patients falls below a minimum, if each is in it by chance of their own."""

from math import exp, lgamma, log, log1p
from typing import Final

NEGLIGIBLE: Final = 1e-17
"""Of the sum so far: what follows a smaller term, in a row that only falls, changes no digit."""


def below(patients: int, share: float, minimum: int) -> float:
    """P(X < minimum) for X binomial; right to five digits or more up to 10⁹ patients.

    Args:
        patients: how many there may be, ≥ 0.
        share: the chance of each, 0 ≤ share ≤ 1.
        minimum: ≥ 0.
    """
    if minimum <= 0:
        return 0.0
    if minimum > patients or share <= 0:
        return 1.0
    if share >= 1:
        return 0.0
    if minimum - 1 <= (patients + 1) * share:
        return _falling(patients, share, minimum - 1)
    # Beyond the middle the other tail is the one that falls; it is the same one with successes and failures exchanged.
    return 1.0 - _falling(patients, 1 - share, patients - minimum)


def few(patients: int, share: float, minimum: int) -> float:
    """P(0 < X < minimum): some are there, and not enough."""
    nobody = 1.0 if share <= 0 else 0.0 if share >= 1 else exp(patients * log1p(-share))
    return max(0.0, below(patients, share, minimum) - nobody)


def _falling(patients: int, share: float, most: int) -> float:
    """P(X ≤ most), by terms from the largest down; `most` is not above the middle."""
    term = exp(
        lgamma(patients + 1) - lgamma(most + 1) - lgamma(patients - most + 1)
        + most * log(share) + (patients - most) * log1p(-share),
    )
    total, count, odds = term, most, (1 - share) / share
    while count and term > NEGLIGIBLE * total:
        term *= count / (patients - count + 1) * odds
        total += term
        count -= 1
    return min(total, 1.0)
