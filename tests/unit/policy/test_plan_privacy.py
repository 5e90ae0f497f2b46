"""Privacy of plans: what agreements may say of it, and that no patient changes a plan's sums by more than is declared."""

import math
from fractions import Fraction

import numpy as np
import pytest
from pydantic import ValidationError

from policy.agreement import Draft, Terms
from policy.compilation import compile_one
from policy.errors import PlanError
from policy.kpi import compile_plan, load_kpi
from policy.measure import LIMB_BITS
from policy.privacy import GROUPS, LEAST_VARIANCE, Privacy, blocks, horizon_of, in_rho, units
from policy.runs import needed_units, runs_needed
from policy.window import Lattice, OnDemand, WindowSpec
from tests.support.terms import draft_data, make_terms
from tests.unit.mpc.test_statistics import CAPPED, CAPPED_PLAIN, CHANGE, COST, DONE, PLAIN, RATE, SHARE

PRIVATE = {
    "privacy": [{"kpi": "gp-visit-rate-ratio", "rho": "0.5", "delta": "0.000001"}], "quota": {"runs": 100, "rho": "0.75"},
}
PANES = 12
SPECS = {
    "hopping": (WindowSpec(kind="hopping", size=4, step=1), None), "tumbling": (WindowSpec(size=3, step=3), None),
    "uneven": (WindowSpec(kind="hopping", size=5, step=2), None), "growing": (WindowSpec(kind="cumulative", step=2), None),
    "asked": (WindowSpec(size=2, step=2), OnDemand(largest=8)),
}


def private(plan, lattice, rho="0.5"):
    return plan.model_copy(update={"privacy": Privacy(rho=rho, delta="0.000001", horizon=horizon_of(lattice))})


def values(rng, plan, patients):
    """Columns within their bounds, many of them at these; nobody is in two arms or two strata of a pane."""
    arm, category = (rng.integers(0, count + 1, (PANES, patients)) for count in (len(plan.arms), len(plan.strata) - 1))
    steady = rng.random(patients) < 0.5  # who stays where it is adds most to the longest blocks
    arm[:, steady], category[:, steady] = arm[:1, steady], category[:1, steady]

    def within(column):
        least = -column.bound if column.signed else 0
        extreme = rng.choice([least, 0, column.bound], (PANES, patients), p=[0.1, 0.1, 0.8])
        return np.where(rng.random((PANES, patients)) < 0.3, rng.integers(least, column.bound + 1, extreme.shape), extreme)

    time = within(plan.time)
    outcome = [within(column) for column in plan.outcome]
    whole = outcome[0] if len(outcome) == 1 else (outcome[0] << LIMB_BITS) + outcome[1] if outcome else None
    arms = [arm == 1 + place for place in range(len(plan.arms))]
    cells = [np.ones_like(category, bool), *(category == 1 + place for place in range(len(plan.strata) - 1))]
    return arms, cells, [time] if whole is None else [time, whole]


def in_windows(plan, amounts, lattice):
    """Everything that noise is added to, with who adds it: {(sum, cell, block or window): (patients,)}."""
    arms, cells, sums = amounts
    edges, windows = lattice.edges, (*lattice.scheduled, *asked(lattice))
    found = {}
    for at, noise in enumerate(plan.noise):
        arm, column = arms[at // len(sums)], sums[at % len(sums)]
        for window in windows if noise.by_window else ():
            capped = [
                np.clip((arm * cell * column)[window.start:window.stop].sum(axis=0), 0, plan.cap) for cell in
                (*cells[1:], ~np.any(cells[1:], axis=0) if cells[1:] else cells[0])
            ]
            by_cell = [sum(capped), *capped[:-1]]
            found |= {(at, place, window.index): each for place, each in enumerate(by_cell)}
        for window in () if noise.by_window else windows:
            for block in blocks(edges.index(window.start), edges.index(window.stop)):
                first, last = (edges[(block.place + end) << block.level] for end in (0, 1))
                found |= {
                    (at, place, block): (arm * cell * column)[first:last].sum(axis=0) for place, cell in enumerate(cells)
                }
    return found


def asked(lattice):
    edges = lattice.edges
    pairs = [(a, b) for a in edges for b in edges if a < b]
    return [w for pair in pairs if (w := lattice.at(*pair)) is not None]


PLANS = (RATE, PLAIN, COST, SHARE, DONE, CHANGE, CAPPED, CAPPED_PLAIN)
CASES = [
    (plan, spec) for plan in PLANS for spec in SPECS
    if plan.cap is None or spec != "asked"  # policy.lattice refuses a cap with windows on demand
]


@pytest.mark.parametrize(("plan", "spec"), CASES, ids=lambda case: getattr(case, "kpi", case))
def test_no_patient_changes_the_sums_of_a_plan_by_more_than_is_declared(plan, spec):
    """Sums in numpy with every patient, and with one left out; some patients come near to what is declared."""
    lattice = Lattice(PANES, *SPECS[spec])
    plan = private(plan, lattice)
    rng = np.random.default_rng([1, len(spec), len(plan.kpi)])
    families = {}
    for at in range(len(plan.noise)):
        families.setdefault(at % (1 + bool(plan.outcome)), []).append(at)
    largest = dict.fromkeys(families, 0)
    for _ in range(6):
        parts = in_windows(plan, values(rng, plan, 40), lattice)
        for family, sums in families.items():
            table = np.array([part for (at, *_), part in parts.items() if at in sums], object)
            whole = table.sum(axis=1)
            for patient in range(table.shape[1]):
                without = np.delete(table, patient, axis=1).sum(axis=1)
                changed = int(((whole - without) ** 2).sum())
                assert changed <= plan.noise[family].squared
                largest[family] = max(largest[family], changed)
    for family, found in largest.items():
        assert found > plan.noise[family].squared / 40  # and not by orders of magnitude less


@pytest.mark.parametrize("spec", SPECS)
def test_windows_have_no_more_draws_than_is_declared(spec):
    lattice = Lattice(PANES, *SPECS[spec])
    (noise, *_), edges = private(RATE, lattice).noise, lattice.edges
    for window in (*lattice.scheduled, *asked(lattice)):
        assert len(blocks(edges.index(window.start), edges.index(window.stop))) <= noise.draws


def test_times_and_outcomes_share_the_budget():
    """ρ adds up: Δ²/(2σ²) of the one and the other make no more than is agreed."""
    lattice = Lattice(PANES, *SPECS["hopping"])
    for plan in (RATE, COST, SHARE, CAPPED):
        found = private(plan, lattice, "0.4").noise[: 1 + bool(plan.outcome)]
        assert sum(Fraction(noise.squared) / (2 * noise.variance) for noise in found) <= Fraction("0.4")
        assert all(noise.variance >= LEAST_VARIANCE for noise in found)


def test_patients_are_put_into_groups_for_an_interval_alone():
    assert (RATE.groups, RATE.model_copy(update={"outputs": ("value",)}).groups) == (GROUPS, 1)


def test_terms_carry_what_is_agreed_and_spend_it_once_an_edition():
    terms = make_terms(**PRIVATE)
    agreed, other = (plan.privacy for plan in terms.plans)
    assert agreed.rho == "0.5" and agreed.horizon == horizon_of(terms.draft.lattice) and other is None
    assert needed_units(terms.draft) == 500_000 and runs_needed(terms.draft).budgets == 1
    twice = make_terms(**PRIVATE, maturities={"days": [30], "release": "both", "revisions": 3})
    assert needed_units(twice.draft) == 1_000_000 and runs_needed(twice.draft).budgets == 2


def test_without_privacy_nothing_has_another_hash():
    plain = make_terms()
    assert "privacy" not in plain.draft.model_dump() and "rho" not in plain.draft.quota.model_dump()
    assert all("privacy" not in plan.model_dump() and plan.noise == () for plan in plain.plans)
    assert compile_one(plain.draft, load_kpi("cost-difference")).hash == compile_plan(
        load_kpi("cost-difference"), {m.name: m for m in plain.draft.measures}
    ).hash


ONE = PRIVATE["privacy"][0]


@pytest.mark.parametrize(("change", "words"), [
    ({"privacy": [ONE, ONE]}, "KPIs repeat"), ({"privacy": [{**ONE, "rho": "0"}]}, "more than 0"),
    ({"privacy": [{**ONE, "rho": "0.0000001"}]}, "should match"), ({"privacy": [{**ONE, "delta": "1"}]}, "should match"),
    ({"privacy": [{**ONE, "delta": "0.0011"}]}, "found 0.0011, expected at most 0.001"),
    ({"quota": {"runs": 100}}, "quota.rho says"), ({"privacy": []}, "quota.rho says"),
    ({"linkage": {"date": "2024-01-08", "block_slots": 64, "dummies": 32, "batch_panes": 3, "renew_batches": 1}},
     "other groups"),
])
def test_what_cannot_be_agreed_is_refused(change, words):
    with pytest.raises(ValidationError, match=words):
        Draft.model_validate(draft_data(**{**PRIVATE, **change}))


def test_terms_with_other_plans_than_agreed_are_refused():
    terms = make_terms(**PRIVATE)
    data = terms.model_dump(mode="json")
    del data["plans"][0]["privacy"]
    with pytest.raises(ValidationError, match="another privacy than agreed"):
        Terms.model_validate(data)
    with pytest.raises(ValidationError, match="privacy of nothing, which the agreement does not compute"):
        make_terms(**{**PRIVATE, "privacy": [{**ONE, "kpi": "nothing"}]})


def test_noise_has_room_or_the_plan_is_refused():
    lattice = Lattice(PANES, *SPECS["hopping"])
    private(RATE, lattice).check_bounds(100_000, lattice.largest)
    with pytest.raises(PlanError, match="Lower"):
        private(COST, lattice, "0.000001").check_bounds(100_000, lattice.largest)


def test_the_chain_counts_in_millionths():
    assert (units("1.5"), units("0.000001"), in_rho(1_500_000), in_rho(1), in_rho(0)) == (
        1_500_000, 1, "1.5", "0.000001", "0",
    )
    assert math.isclose(Privacy(
        rho="0.1", delta="0.000001", horizon=horizon_of(Lattice(PANES, *SPECS["hopping"]))
    ).epsilon, 0.1 + 2 * math.sqrt(0.1 * math.log(1e6)))
