"""A recipient who adds and subtracts whatever it is given, to reach below the minimum."""

import itertools

import numpy as np
import pytest
from pydantic import ValidationError

from mpc.disclosure import atom_ranges, releasable
from mpc.engine import Engine
from mpc.statistics import ShardStatistics
from policy.agreement import Terms, compile_plans
from policy.errors import PlanError
from policy.kpi import compile_plan, load_kpi
from policy.window import WindowSpec
from tests.support.dealing import deal
from tests.support.terms import draft_data, make_terms
from tests.support.wires import run_three

MINIMUM = 3
GP = load_kpi("gp-visit-rate-ratio")
INCOME = {str(q): f"income_{q}" for q in range(1, 6)}


def compiled(*kpis, measures=()):
    draft = make_terms().draft
    changed = [*draft_data()["measures"], *measures]
    return compile_plans(type(draft).model_validate(draft_data(measures=changed)), kpis)


def kpi(name, strata=None, **changes):
    return GP.model_copy(update={"id": name, "strata": {} if strata is None else {"income": strata}, **changes})


def some(*quintiles):
    return {str(q): f"income_{q}" for q in quintiles}


def alias(name, original, /, **changes):
    """A measure that is another under a new name."""
    found = next(m for m in draft_data()["measures"] if m["name"] == original)
    return {**found, "name": name, **changes}


@pytest.mark.parametrize(("kpis", "measures", "found"), [
    # Each shows a rest of at least the minimum; together they show who has no income on record.
    ((kpi("a", some(1, 2)), kpi("b", some(3, 4, 5))), (), "not among each other's"),
    # The same, the groups under other names.
    ((kpi("a", {"x": "poor"}), kpi("b", some(2))), (alias("poor", "income_1"),), "not among each other's"),
    # One patient in two strata and one in none make a rest of "nobody".
    ((kpi("a", {"1": "income_1", "again": "poor"}),), (alias("poor", "income_1"),), "in two strata"),
    ((kpi("a", {"1": "income_1", "low": "educated"}),), (alias("educated", "income_1", field="education"),),
     "in two strata"),
    # Users, and those who get the care at all: the difference is whoever does not use it.
    ((kpi("a", comparator="in_care"),), (alias("in_care", "app_user", programme="ibd-care"),), "expected not-yet"),
    ((kpi("a", exposed="other"),), (alias("other", "app_user", programme="ibd-care"),), "both arms"),
    ((kpi("a"), kpi("b", exposed="o", comparator="n")),
     (alias("o", "app_user", programme="x"), alias("n", "app_not_yet", programme="x")), "different exposed arms"),
    # All visits minus those to a GP: one visit to somebody else.
    ((kpi("a"), kpi("b", outcome="all")),
     (alias("all", "gp_visits", care_type=None), alias("all_any", "gp_any", of="all")), "may be a part of the other"),
    ((kpi("a"), kpi("b", outcome="risk")),
     (alias("risk", "gp_visits", at_risk=None), alias("risk_any", "gp_any", of="risk")), "may be a part of the other"),
    ((kpi("a"), kpi("b", time="some_days")),
     (alias("some_days", "insured_days", programme="ibd"), alias("days_any", "insured_any", of="some_days")),
     "different time measures"),
])
def test_kpis_whose_difference_could_be_a_few_patients_are_refused_together(kpis, measures, found):
    with pytest.raises(PlanError, match=found):
        compiled(*kpis, measures=measures)


def test_kpis_on_one_lattice_are_permitted_together():
    hospital = alias("hospital_visits", "gp_visits", care_type="hospital")
    plans = compiled(
        kpi("a", INCOME), kpi("b", some(1, 2)), kpi("c"), load_kpi("cost-difference"),
        kpi("d", INCOME, outcome="hospital_visits"), measures=(hospital, alias("h_any", "gp_any", of="hospital_visits")),
    )
    assert len(plans) == 5


@pytest.mark.parametrize("forge", [
    {"outcome_contributor": "insured_any"}, {"time_contributor": "gp_any"}, {"bound": 1}, {"strata": "no total"},
    {"strata": "contributor"}, {"party": "statistics"},
])
def test_terms_with_a_plan_that_says_less_than_its_name_are_refused_by_every_reader(forge):
    """Parties sign a hash. A plan that counts other contributors than the KPI's would pass the minimum in silence."""
    terms = make_terms()
    plan = terms.plans[0]
    columns = {c.name: c for p in terms.plans for c in p.columns}
    changes = {
        name: columns[value] for name, value in forge.items() if name.endswith("contributor")
    }
    if "bound" in forge:
        changes["time"] = plan.time.model_copy(update={"bound": 1})
    if "party" in forge:
        changes["outcome"] = (plan.outcome[0].model_copy(update={"party": "statistics"}),)
    if forge.get("strata") == "no total":
        changes["strata"] = plan.strata[1:]
    if forge.get("strata") == "contributor":
        changes["strata"] = (plan.strata[0], plan.strata[1].model_copy(update={"column": columns["gp_any"]}))
    data = terms.model_dump(mode="json")
    data["plans"][0] = plan.model_copy(update=changes).model_dump(mode="json")
    with pytest.raises(ValidationError, match=r"Compile again|not a category"):
        Terms.model_validate(data)


SPEC, PANES, PATIENTS = WindowSpec(size=3, step=2), 7, 90
NESTED = compiled(kpi("a", INCOME), kpi("b", some(1, 2)), kpi("c"))
MEASURES = {m.name: m for m in make_terms().draft.measures}
APART = tuple(compile_plan(k, MEASURES) for k in (kpi("a", some(1, 2)), kpi("b", some(3, 4, 5))))
"""What `compiled` refuses."""


def cohort(seed):
    """Columns (panes, patients); few or none have no income on record, and some cells lie around the minimum."""
    rng = np.random.default_rng(seed)
    arm = np.broadcast_to(rng.integers(0, 2, PATIENTS), (PANES, PATIENTS))
    unknown = 0.02 * (seed % 2)
    income = rng.choice(6, PATIENTS, p=[unknown, 0.2, 0.2, 0.2, 0.2, 0.2 - unknown])
    days, visits = rng.integers(1, 8, (PANES, PATIENTS)), rng.poisson(1.5, (PANES, PATIENTS))
    return {
        "app_user": arm, "app_not_yet": 1 - arm, "insured_days": days, "insured_any": days != 0,
        "gp_visits": visits, "gp_any": visits != 0,
        **{f"income_{q}": np.broadcast_to(income == q, (PANES, PATIENTS)) for q in range(1, 6)},
    }


async def release(plans, columns, seed):
    """Which parts come out: (plans, windows, 2)."""
    rng = np.random.default_rng(seed)
    dealt = {name: deal(values.astype(np.int64), rng) for name, values in columns.items()}
    atoms = SPEC.atoms(PANES)

    async def program(wire):
        engine, shard = Engine(wire), ShardStatistics(plans, atoms, PATIENTS)
        await shard.add_panes(engine, 0, {n: parts[wire.number] for n, parts in dealt.items()})
        counts = [shard.contributors(plan) for plan in plans]
        return await releasable(engine, counts, atom_ranges(SPEC.windows(PANES), atoms), MINIMUM)

    return (await run_three(program))[0]


def fewest(plans, columns, bits):
    """The fewest patients, above 0, that any difference of released cells is about in any atom.

    The attacker takes from a window's total any of its released strata, and from that the same of another window.
    """
    atoms, windows = SPEC.atoms(PANES), SPEC.windows(PANES)
    inside = np.array([[w.start <= a and b <= w.stop for a, b in atoms] for w in windows])
    found = PATIENTS
    for arm, column in itertools.product(("app_user", "app_not_yet"), ("insured_days", "gp_visits")):
        product = columns[arm] * columns[column]
        counted = np.stack([product[a:b].sum(axis=0) for a, b in atoms]) != 0
        known = []
        for w in range(len(windows)):
            cells = {s.column.name for p, plan in enumerate(plans) if bits[p, w, 1] for s in plan.strata[1:]}
            taken = [sum((columns[n][0].astype(int) for n in chosen), np.zeros(PATIENTS, int))
                     for size in range(len(cells) + 1) for chosen in itertools.combinations(sorted(cells), size)]
            whole = [1] if bits[:, w, 0].any() else []
            known.append(np.array([c - t for c in (*whole, 0) for t in taken]))
        for w, v in itertools.product(range(len(windows)), repeat=2):
            for second in (np.zeros_like(known[v]), known[v]):
                weights = known[w][:, None, None] * inside[w][:, None] - second[None, :, None] * inside[v][:, None]
                count = np.count_nonzero(weights * counted, axis=-1)
                found = min(found, int(count[count > 0].min(initial=found)))
    return found


@pytest.mark.parametrize("seed", range(4))
async def test_no_difference_of_released_cells_is_about_fewer_patients_than_the_minimum(seed):
    columns = cohort(seed)
    bits = await release(NESTED, columns, seed)
    assert bits[:2, :, 1].any(axis=1).tolist() == [seed % 2 == 0, True]
    assert fewest(NESTED, columns, bits) >= MINIMUM


async def test_without_one_lattice_the_attack_works():
    """The rules for one plan do not see the other's strata, which is why such plans are refused together."""
    reached = [fewest(APART, cohort(seed), await release(APART, cohort(seed), seed)) for seed in range(4)]
    assert min(reached) < MINIMUM


@pytest.mark.parametrize(("whose", "key", "taken_from"), [
    ("nodes", "sealing_key", "nodes"), ("nodes", "certificate", "nodes"), ("nodes", "record_key", "nodes"),
    ("recipients", "sealing_key", "nodes"),
])
def test_terms_in_which_a_node_has_a_key_too_many_are_refused(whose, key, taken_from):
    """A node that can open another's inbox holds all three components; one with a recipient's key reads results."""
    data = make_terms().model_dump(mode="json")
    data[whose][0][key] = data[taken_from][1][key]
    with pytest.raises(ValidationError, match="repeat"):
        Terms.model_validate(data)
