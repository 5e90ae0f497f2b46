"""What was claimed: debit lines with the lag of their care type, and credit lines that cancel some of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from console.cohort.people import Days, People
from console.cohort.shape import CARE, DAYS_PER_YEAR, MAX_CLAIM_CENTS, MAX_LAG_DAYS, Care, Shape

WEEKDAY_SHARES = (0.21, 0.20, 0.19, 0.19, 0.17, 0.02, 0.02)
"""Monday to Sunday. Assumed."""
CREDIT_SHARE = 0.02
MINUTES_PER_DAY = 1_440


@dataclass(frozen=True)
class Claims:
    """Arrays of shape (lines,), in the order of recording."""

    who: Days
    """Row of the person in People."""
    care: NDArray[np.int64]
    """Index in CARE."""
    product: NDArray[np.int64]
    """Index in the care's products."""
    day: Days
    cents: NDArray[np.int64]
    credit: NDArray[np.bool_]
    previous: NDArray[np.int64]
    """Line that a credit line cancels, else -1."""
    recorded: NDArray[np.int64]
    """Local minutes since the start of the period."""

    def __len__(self) -> int:
        return len(self.who)


def _contacts(rng: np.random.Generator, people: People, shape: Shape, care: Care) -> tuple[Days, Days]:
    """Who had care on which day: a negative binomial number in standard care, thinned while using the app."""
    n = len(people)
    expected = care.rate * shape.days / DAYS_PER_YEAR
    counts = rng.poisson(expected * rng.gamma(care.size, 1 / care.size, n))
    who = np.repeat(np.arange(n), np.where(people.insured, counts, 0))
    weekday = (np.arange(shape.days) + shape.start.weekday()) % 7
    shares = np.take(WEEKDAY_SHARES, weekday)
    day = rng.choice(shape.days, p=shares / shares.sum(), size=len(who))
    keep = rng.random(len(who)) < np.where(people.uses_app(who, day), shape.ratio(care.name), 1.0)
    # A claim for someone not insured is rare, and paid by mistake.
    keep &= people.is_insured(who, day) | ((rng.random(len(who)) < 0.02) & (day >= people.insured_from[who]))
    return who[keep], day[keep]


def _lag_days(rng: np.random.Generator, care: Care, size: int) -> Days:
    """Days from care to claim: the rest of the product's run time, then the wait for the invoice."""
    closing = rng.integers(0, care.close_days + 1, size)
    return closing + rng.integers(care.wait_days[0], care.wait_days[1] + 1, size)


def draw_claims(rng: np.random.Generator, people: People, shape: Shape) -> Claims:
    """Draw every claim line for care within the period; lines are recorded up to MAX_LAG_DAYS later."""
    parts: list[tuple[NDArray[np.int64], ...]] = []
    for index, care in enumerate(CARE):
        who, day = _contacts(rng, people, shape, care)
        size = len(who)
        # Amounts vary by a third around their mean: gamma of shape 9.
        mean = care.fixed_cents + care.scaled_cents * people.cost[who]
        cents = np.clip(np.rint(mean * rng.gamma(9.0, 1 / 9, size)), 100, MAX_CLAIM_CENTS).astype(np.int64)
        product = rng.integers(0, len(care.products), size)
        parts.append((who, np.full(size, index), product, day, cents, day + _lag_days(rng, care, size)))
    who, kind, product, day, cents, recorded_day = (np.concatenate(column) for column in zip(*parts, strict=True))

    # A credit comes 5 to 35 days after the line it cancels; half are followed by a new line a day later.
    lag = recorded_day - day
    cancelled = np.flatnonzero((rng.random(len(who)) < CREDIT_SHARE) & (lag <= MAX_LAG_DAYS - 36))
    credit_day = recorded_day[cancelled] + rng.integers(5, 36, len(cancelled))
    again = rng.random(len(cancelled)) < 0.5
    redone = cancelled[again]
    rows = np.concatenate([np.arange(len(who)), cancelled, redone])
    credit = np.zeros(len(rows), dtype=bool)
    credit[len(who) : len(who) + len(cancelled)] = True
    previous = np.where(credit, rows, -1)
    cents = cents[rows]
    corrected = len(who) + len(cancelled)
    cents[corrected:] = np.maximum(100, cents[corrected:] * 9 // 10)
    recorded_day = np.concatenate([recorded_day, credit_day, credit_day[again] + 1])
    # Offices record between 8 and 18 hours, so no recording falls on a clock change.
    recorded = recorded_day * MINUTES_PER_DAY + rng.integers(8 * 60, 18 * 60, len(rows))

    order = np.argsort(recorded, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    previous = np.where(previous >= 0, place[previous], -1)
    return Claims(
        who=who[rows][order], care=kind[rows][order], product=product[rows][order], day=day[rows][order],
        cents=cents[order], credit=credit[order], previous=previous[order], recorded=recorded[order],
    )
