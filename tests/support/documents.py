"""Made-up result documents that look like the real ones; the same seed gives the same document."""

import math
import random
from pathlib import Path

from console.series import cells, expected_windows
from evaluation.document import AlertRow, Document, Events, Refusal, Release, Run, settled
from policy.agreement import Draft, load_draft
from policy.compilation import load_kpis
from policy.kpi import Kpi
from policy.plan import Estimator

AGREEMENT = Path(__file__).parents[2] / "console" / "demo" / "agreement.toml"
NODES = (0, 1, 2)
NOISE = {"rate-ratio": 0.06, "mean-difference": 62.0}
EFFECT = {"rate-ratio": -0.12, "mean-difference": -45.0}


def agreement() -> tuple[Draft, tuple[Kpi, ...]]:
    """The demonstration's agreement and KPIs."""
    draft = load_draft(AGREEMENT)
    return draft, load_kpis(draft, AGREEMENT.parent)


def _value(rng: random.Random, estimator: Estimator, drift: float, users: float, share: float):
    error = NOISE[estimator] / math.sqrt(users * share)
    middle = EFFECT[estimator] * users + drift * error
    if estimator == "rate-ratio":
        return math.exp(middle), math.exp(middle - 1.96 * error), math.exp(middle + 1.96 * error)
    return middle, middle - 1.96 * error, middle + 1.96 * error


def made_up(seed: int = 1, *, until: int | None = None, revoked_from: int | None = None) -> Document:
    """A document of the demonstration's agreement: 75 windows, 2 KPIs, 6 cells, its alert raised or cleared every 20.

    The first windows, and one in the middle, are suppressed; categories more often than the total.

    Args:
        seed: of the numbers.
        until: number of windows done; the evaluation is still running when given.
        revoked_from: index of the first window that a revocation refused.
    """
    rng = random.Random(seed)
    draft, kpis = agreement()
    windows = expected_windows(draft)
    releases: list[Release] = []
    refusals: list[Refusal] = []
    drift = {(kpi.id, str(cell)): rng.gauss(0, 1) for kpi in kpis for cell in cells(kpi)}
    for index, window in enumerate(windows[:until]):
        if revoked_from is not None and index >= revoked_from:
            refusals.append(Refusal(
                window=window, rule="agreement-active", found="revoked at block 912",
                required="active, signed by every party", nodes=NODES,
            ))
            continue
        users = min(1.0, 0.12 + index / len(windows))
        for kpi in kpis:
            for cell in cells(kpi):
                key = (kpi.id, str(cell))
                drift[key] = 0.85 * drift[key] + 0.5 * rng.gauss(0, 1)
                if index < (14 if cell else 5) or (index in {37, 38, 39} and cell) or index == 52:
                    refusals.append(Refusal(
                        kpi=kpi.id, window=window, cell=cell, rule="minimum-cohort",
                        required=draft.disclosure.minimum_cohort, nodes=NODES,
                    ))
                    continue
                value, low, high = _value(rng, kpi.estimator, drift[key], users, 0.2 if cell else 1.0)
                ratio = kpi.estimator == "rate-ratio"
                releases.append(Release(
                    kpi=kpi.id, window=window, cell=cell, output="value", value=value, low=low, high=high,
                    unit="ratio" if ratio else "EUR/patient-month",
                ))
                releases.extend(
                    Release(kpi=kpi.id, window=window, cell=cell, output=f"sums.{arm}.{part}",
                            value=rng.randrange(40, 90_000), unit="days" if part == "time" else "events")
                    for arm in ("exposed", "comparator") for part in ("time", "outcome")
                )
    runs = [Run(id=f"{0xFEED << 48:x}" + "ab" * 24, outcome="linked", seconds={"link": 4.21})]
    for first in range(0, len(windows[:until]), 26):
        batch = windows[first:first + 26][: (until or len(windows)) - first]
        runs.append(Run(
            id=rng.randbytes(32).hex(), windows=batch, outcome="released",
            seconds={"authorise": 0.31, "align": 2.2 + rng.random(), "statistics": 5 + rng.random(),
                     "disclosure": 0.8, "tail": 12 + 4 * rng.random()},
        ))
    return Document(
        status="running" if until is not None else settled(releases, refusals),
        releases=tuple(releases), refusals=tuple(refusals), runs=tuple(runs), alerts=tuple(
            AlertRow(
                id=alert.id, kpi=alert.kpi, cell=alert.cell, window=window, when=alert.when, raise_at=alert.raise_at,
                clear_at=alert.clear_at, changed=index % 20 == 10,
                state="no-data" if index < 5 else "raised" if (index - 10) // 20 % 2 == 0 else "clear",
            )
            for alert in draft.alerts for index, window in enumerate(windows[:until])
        ),
        events={
            "hospital": Events(read=8_731, accepted=8_719, rejected={"broken-json": 3, "unknown-code": 9}),
            "insurer": Events(
                read=214_508, accepted=214_467, late_pending=312,
                rejected={"duplicate-id": 18, "negative-amount": 7, "outside-agreement": 12, "too-large": 1,
                          "credit-mismatch": 3},
            ),
            "statistics": Events(read=4_350, accepted=4_350),
        },
    )
