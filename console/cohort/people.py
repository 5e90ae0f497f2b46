"""Who there is: patients of the hospital, people insured, people in the registry, and when what holds.

Days are int64 offsets from the first day of the period; NEVER stands for "does not happen".
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from console.cohort.shape import COST_SHAPE, Shape

NEVER = 10**6
AFTER_LINKAGE = 5
"""First day on which newcomers arrive."""
Days = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class People:
    """Arrays of shape (n,), one row a person: the hospital's patients first, then people of other hospitals."""

    number: NDArray[np.int64]
    """National number, distinct, in no order."""
    patient: Flags
    patient_from: Days
    """The hospital knows the person from this day."""
    care_start: Days
    care_end: Days
    app_start: Days
    app_stop: Days
    insured: Flags
    """The insurer knows the person."""
    insured_from: Days
    gap_start: Days
    """Insurance ends on this day …"""
    gap_end: Days
    """… and starts again on this one."""
    registered: Flags
    """The statistics office knows the person …"""
    registered_late: Flags
    """… but only from its second publication on."""
    quintile: NDArray[np.int64]
    """1..5, or 0 for unknown, at the first publication."""
    quintile_later: NDArray[np.int64]
    """The same at the second publication."""
    cost: NDArray[np.float64]
    """Multiplier of amounts, mean 1."""

    def __len__(self) -> int:
        return len(self.number)

    def is_insured(self, who: Days, day: Days) -> Flags:
        """Whether person `who` is insured on `day` (same shape)."""
        inside: Flags = (self.insured_from[who] <= day) & (
            (day < self.gap_start[who]) | (day >= self.gap_end[who])
        )
        return inside

    def uses_app(self, who: Days, day: Days) -> Flags:
        """Whether person `who` uses the app on `day` (same shape)."""
        using: Flags = (self.app_start[who] <= day) & (day < self.app_stop[who])
        return using


def _sometimes(rng: np.random.Generator, share: float, low: int, high: int, n: int) -> Days:
    """A day in low ≤ day < high for a `share` of n people, NEVER for the others."""
    days = rng.integers(low, max(high, low + 1), n)
    return np.where(rng.random(n) < share, days, NEVER)


def draw_people(rng: np.random.Generator, shape: Shape) -> People:
    """Draw everybody.

    Insurer and registry know 95 % and 98 % of the hospital's patients, and each a tenth of their number besides.
    """
    outsiders = max(2, shape.patients // 10)
    n = shape.patients + 2 * outsiders
    order = np.arange(n)
    patient = order < shape.patients
    insured = np.where(patient, rng.random(n) < 0.95, order < shape.patients + outsiders)
    registered = np.where(patient, rng.random(n) < 0.98, order >= shape.patients + outsiders)

    # A few fall ill during the period; those who are no newcomers came to the hospital before, for something else.
    new = rng.random(n) < shape.newcomers
    ill = new | (rng.random(n) < 0.04)
    care_start = np.where(ill, rng.integers(AFTER_LINKAGE, shape.days, n), -rng.integers(30, 3_650, n))
    patient_from = np.where(new, care_start, np.minimum(care_start, 0) - rng.integers(10, 700, n))
    care_end = np.where(care_start < 0, _sometimes(rng, 0.03, 14, shape.days, n), NEVER)

    quintile = rng.choice(np.arange(1, 6), p=shape.income, size=n)
    # Assumed: uptake rises a little with income. The fraction enrolled stays as asked.
    weight = np.where(patient & (care_start < 0), 0.94 + 0.02 * quintile, 0.0)
    # Efron-Gumbel: the people with the smallest exponential/weight are a weighted sample without replacement.
    keys = rng.exponential(size=n) / np.maximum(weight, 1e-12)
    users = np.zeros(n, dtype=bool)
    users[np.argsort(keys)[: min(round(shape.enrolled * shape.patients), int((weight > 0).sum()))]] = True
    cut = 1 - np.exp(-shape.weeks / shape.uptake_weeks)
    wait = -shape.uptake_weeks * np.log1p(-rng.random(n) * cut)
    pilot = rng.random(n) < 0.03
    app_start = np.where(pilot, -rng.integers(1, 28, n), np.floor(7 * wait).astype(np.int64))
    # Nobody starts the app after the end of care.
    app_start = np.where(users & (app_start < np.minimum(care_end, shape.days)), app_start, NEVER)
    stop = np.maximum(app_start, 0) + rng.integers(28, 365, n)
    leaves = (rng.random(n) < 0.08) & (stop < np.minimum(care_end, shape.days))
    app_stop = np.where(leaves & (app_start < NEVER), stop, NEVER)

    gap_start = _sometimes(rng, 0.03, 21, shape.days - 14, n)
    gap_end = np.where(rng.random(n) < 0.7, gap_start + rng.integers(5, 120, n), NEVER)
    gap_end = np.where((gap_start < NEVER) & (gap_end < shape.days), gap_end, NEVER)
    new = rng.random(n) < shape.newcomers
    insured_from = np.where(new, rng.integers(AFTER_LINKAGE, 21, n), -rng.integers(10, 3_650, n))
    registered_late = rng.random(n) < shape.newcomers

    missing = rng.random(n) < shape.income_missing
    moved = np.clip(quintile + rng.integers(-1, 2, n), 1, 5)
    quintile_later = np.where(rng.random(n) < 0.1, moved, quintile)
    return People(
        number=rng.permutation(10 * n)[:n] + 1, patient=patient, patient_from=patient_from,
        care_start=care_start, care_end=care_end, app_start=app_start, app_stop=app_stop,
        insured=insured, insured_from=insured_from, gap_start=gap_start, gap_end=gap_end,
        registered=registered, registered_late=registered_late, quintile=np.where(missing, 0, quintile),
        quintile_later=np.where(missing & ~patient, 0, quintile_later),
        cost=rng.gamma(COST_SHAPE, 1 / COST_SHAPE, n),
    )
