"""A recipient who adds and subtracts whatever it is given, to reach below the minimum."""

import itertools
import math

import numpy as np
import pytest
from pydantic import ValidationError

from mpc.disclosure import Findings, atom_ranges, judge, opened
from mpc.engine import Engine
from mpc.statistics import ShardStatistics
from policy.agreement import Draft, Terms
from policy.compilation import compile_plans
from policy.errors import PlanError
from policy.kpi import compile_plan, load_kpi
from policy.lattice import check_lattice
from policy.plan import columns_of
from policy.window import WindowSpec
from tests.support.dealing import deal
from tests.support.terms import draft_data, make_terms
from tests.support.wires import run_three

MINIMUM = 3
GP = load_kpi("gp-visit-rate-ratio")
INCOME = {str(q): f"income_{q}" for q in range(1, 6)}


MONITORING = [
    {"name": "due", "aggregation": "count", "kind": "monitoring", "code": "due", "bound": 15},
    {"name": "completed", "aggregation": "count", "kind": "monitoring", "code": "completed", "bound": 15},
    {"name": "missed", "aggregation": "missed", "bound": 15},
    {"name": "answers", "aggregation": "count", "kind": "prom", "code": "ibd-control-8", "bound": 15},
    {"name": "follow_ups", "aggregation": "follow-ups", "code": "ibd-control-8", "bound": 15},
    {"name": "change", "aggregation": "change", "code": "ibd-control-8", "bound": 20_000},
]
MONITORING = [{**m, "party": "hospital"} for m in MONITORING]
MONITORING += [
    {"name": f"{m['name']}_any", "party": "hospital", "aggregation": "nonzero", "of": m["name"]} for m in MONITORING
]


def draft_of(measures=(), **changes):
    data = draft_data(measures=[*draft_data()["measures"], *MONITORING, *measures], **changes)
    data["parties"][0]["sources"][0]["kinds"] = ["enrolment", "encounter", "monitoring", "prom"]
    return Draft.model_validate(data)


def compiled(*kpis, measures=(), **changes):
    return compile_plans(draft_of(measures, **changes), kpis)


def kpi(name, strata=None, like=GP, **changes):
    return like.model_copy(update={"id": name, "strata": {} if strata is None else {"income": strata}, **changes})


COST = load_kpi("cost-difference")
UPTAKE = kpi("uptake", estimator="share", outcome=None)
ADHERENCE = kpi("adherence", estimator="completion", comparator=None, time="due", outcome="completed", missed="missed")
CHANGE = kpi("change", estimator="mean-difference", unit="points", time="follow_ups", outcome="change")
CAPPED = kpi("capped", like=COST, cap=2_000_000)


def some(*quintiles):
    return {str(q): f"income_{q}" for q in quintiles}


def alias(name, original, /, **changes):
    """A measure that is another under a new name."""
    found = next(m for m in [*draft_data()["measures"], *MONITORING] if m["name"] == original)
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
    # The first income group, and those of it who are also at some risk: whoever is not.
    ((kpi("a", INCOME), kpi("b", {"1": "income_1_at_risk"})),
     (alias("educated", "income_1", field="education"), alias("income_1_at_risk", "income_1", at_risk="educated")),
     "not among each other's"),
    ((kpi("a", {"1": "income_1", "risk": "income_1_at_risk"}),),
     (alias("educated", "income_1", field="education"), alias("income_1_at_risk", "income_1", at_risk="educated")),
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
     "may be a part of the other"),
    # Cost with and without a cap: what one patient had beyond it.
    ((kpi("a", like=COST), kpi("b", like=CAPPED)), (), "cost capped at 2000000, of which one may be a part"),
    ((kpi("a", like=CAPPED, cap=1_000_000), kpi("b", like=CAPPED)), (), "cost capped at 1000000"),
    ((kpi("a", like=CAPPED), kpi("b", INCOME, like=CAPPED)), (), "cap the same in different strata"),
    # Few missed a module: shown by all that were due, and in another KPI those completed.
    ((ADHERENCE, kpi("b", outcome="completed")), (), "due and completed, of which one may be a part"),
    ((kpi("a", outcome="due"), kpi("b", outcome="completed")), (), "may be a part of the other"),
    ((ADHERENCE, kpi("b", like=ADHERENCE, time="due_2", missed="missed")),
     (alias("due_2", "due", at_risk="app_user"), alias("due_2_any", "due_any", of="due_2")),
     "not the modules due, completed and missed"),
    # Every answer, and those after the first: who answered for the first time.
    ((CHANGE, kpi("b", outcome="answers")), (), "follow_ups and answers, of which one may be a part"),
    # Uptake among others than those whom the rest compares.
    ((kpi("a"), kpi("b", like=UPTAKE, exposed="o", comparator="n")),
     (alias("o", "app_user", programme="x"), alias("n", "app_not_yet", programme="x")), "different exposed arms"),
    ((kpi("a"), kpi("b", like=UPTAKE, comparator="n")),
     (alias("n", "app_not_yet", cohort="all"),), "different comparator arms"),
    ((kpi("a"), kpi("b", like=UPTAKE, time="care_days")),
     (alias("care_days", "insured_days", party="hospital", programme="ibd-care"),
      alias("care_any", "due_any", of="care_days")), "may be a part of the other"),
    # The same care in the claims and in the hospital's own books: one visit that was not claimed.
    ((kpi("a", outcome="seen"), kpi("b", outcome="claimed")),
     ({"name": "seen", "party": "hospital", "aggregation": "count", "kind": "encounter", "code": "outpatient"},
      alias("seen_any", "due_any", of="seen"), alias("claimed", "gp_visits", care_type="outpatient"),
      alias("claimed_any", "gp_any", of="claimed")), "may be a part of the other"),
])
def test_kpis_whose_difference_could_be_a_few_patients_are_refused_together(kpis, measures, found):
    with pytest.raises(PlanError, match=found):
        compiled(*kpis, measures=measures)


def test_all_encounters_do_not_become_some_by_a_care_type_that_only_claims_have():
    """Encounters are counted whatever `care_type` says: all of them, minus the admissions, is one tele-consult."""
    every = {"name": "every", "party": "hospital", "aggregation": "count", "kind": "encounter"}
    admitted = {**every, "name": "admitted", "code": "admission"}
    counters = [{**every, "name": f"{n}_any", "aggregation": "nonzero", "of": n, "kind": None} for n in ("every", "admitted")]
    both = (kpi("a", outcome="every"), kpi("b", outcome="admitted"))
    with pytest.raises(PlanError, match="may be a part of the other"):
        compiled(*both, measures=(every, admitted, *counters))
    with pytest.raises(ValidationError, match="care_type says nothing about a count of encounter events"):
        compiled(*both, measures=({**every, "care_type": "tele"}, admitted, *counters))


def test_changes_are_not_capped():
    """All who answered got worse but one: with less than 0 as 0, the sum of the changes is this one's improvement."""
    assert sum(max(change, 0) for change in (-300, -100, 200, -50)) == 200
    with pytest.raises(PlanError, match="only costs can be capped"):
        compiled(kpi("capped-change", like=CHANGE, cap=500))


def test_kpis_on_one_lattice_are_permitted_together():
    hospital = alias("hospital_visits", "gp_visits", care_type="hospital")
    plans = compiled(
        kpi("a", INCOME), kpi("b", some(1, 2)), kpi("c"), COST, kpi("d", INCOME, outcome="hospital_visits"),
        kpi("e", INCOME, like=UPTAKE), kpi("f", INCOME, like=ADHERENCE), ADHERENCE, kpi("g", INCOME, like=CHANGE),
        measures=(hospital, alias("h_any", "gp_any", of="hospital_visits")),
    )
    assert len(plans) == 9


def test_a_cap_and_windows_on_demand_are_refused_together():
    """Two weeks, and the two weeks after, minus the four: all that adds up cancels, and what is beyond the cap stays."""
    assert compiled(CAPPED)[0].cap == 2_000_000
    with pytest.raises(PlanError, match="beyond the cap only"):
        compiled(CAPPED, on_demand={"largest": 8})


GROWING = [WindowSpec(kind="cumulative", step=1), WindowSpec(kind="cumulative", step=2, every=6)]


@pytest.mark.parametrize("spec", GROWING)
def test_a_cap_and_windows_that_grow_are_refused_together(spec):
    """A year to date less the one before: about those who had not reached the cap, of whom there may be one."""
    rng = np.random.default_rng(5)
    cents = rng.integers(60_000, 90_000, (2, PATIENTS))
    cents[0, 7] = 0
    cap = 50_000

    def capped(panes):
        return np.clip(cents[:panes].sum(axis=0), 0, cap).sum()

    assert (cents != 0).sum(axis=1).min() == PATIENTS - 1
    assert capped(2) - capped(1) == cap  # patient 7's, and nobody else's
    with pytest.raises(PlanError, match="had not reached the cap yet"):
        compiled(CAPPED, windows=spec.model_dump())
    assert compiled(CAPPED, windows={"kind": "cumulative", "step": 2, "every": 2})


@pytest.mark.parametrize("spec", GROWING)
def test_adherence_and_windows_that_grow_are_refused_together(spec):
    """Everybody made up in the third week for what they missed in the second, but one: the last two weeks are about him."""
    missed = np.zeros((3, PATIENTS), dtype=int)
    missed[0, : PATIENTS // 2] = 1
    missed[1], missed[2] = 1, -1
    missed[2, 7] = 0
    grown = missed.cumsum(axis=0)
    assert min((grown != 0).sum(axis=1).min(), (missed != 0).sum(axis=1).min()) >= MINIMUM
    assert ((grown[2] - grown[0]) != 0).sum() == 1
    with pytest.raises(PlanError, match="a few who missed something"):
        compiled(ADHERENCE, windows=spec.model_dump())
    assert compiled(ADHERENCE, windows={"kind": "tumbling", "size": 2})


@pytest.mark.parametrize("kpi", [CAPPED, ADHERENCE])
def test_what_is_no_sum_of_atoms_is_refused_in_two_editions(kpi):
    """One claim that came late moves a capped sum by less than itself, or not at all: its difference tells who is near."""
    late = {"days": [30], "release": "both", "revisions": 5}
    tumbling = {"kind": "tumbling", "size": 2}
    with pytest.raises(PlanError, match="results come in two editions"):
        compiled(kpi, maturities=late, windows=tumbling)
    for release in ("seal", "maturity"):
        assert compiled(kpi, maturities={"days": [30], "release": release}, windows=tumbling)


def test_scheduled_windows_never_cancel():
    """No sum and difference of them is about no pane at all, so that none is about the cap alone."""
    sized = ((4, 1, 30), (4, 2, 31), (4, 3, 30), (3, 5, 40), (13, 13, 60), (6, 4, 50))
    for spec, panes in (*((WindowSpec(size=a, step=b), n) for a, b, n in sized), *((spec, 30) for spec in GROWING)):
        windows = spec.windows(panes)
        rows = np.array([[w.start <= pane < w.stop for pane in range(panes)] for w in windows], dtype=float)
        assert np.linalg.matrix_rank(rows) == len(windows)


@pytest.mark.parametrize("forge", [
    {"contributors": ("insured_any", "insured_any")}, {"contributors": ("gp_any", "gp_any")},
    {"contributors": ("insured_any",)}, {"contributors": ("gp_any", "insured_any")}, {"time": "gp_any"}, {"table": "in-order"},
    {"time": "gp_visits"}, {"outcome": ("insured_days",)}, {"bound": 1}, {"strata": "no total"},
    {"strata": "contributor"}, {"party": "statistics"},
])
def test_terms_with_a_plan_that_says_less_than_its_name_are_refused_by_every_reader(forge):
    """Parties sign a hash. A plan that counts other contributors than the KPI's would pass the minimum in silence."""
    terms = make_terms()
    plan = terms.plans[0]
    columns = {c.name: c for p in terms.plans for c in p.columns}
    changes = {
        name: columns[value] if isinstance(value, str) else tuple(columns[v] for v in value)
        for name, value in forge.items() if name in ("contributors", "time", "outcome")
    }
    if "table" in forge:
        changes["table"] = forge["table"]
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


@pytest.mark.parametrize("counted", [
    ("due_any", "completed_any"), ("due_any", "completed_any", "due_any"), ("due_any", "completed_any", "insured_any"),
    ("due_any", "missed_any", "completed_any"),
])
def test_adherence_that_does_not_count_who_missed_is_refused(counted):
    draft = draft_of()
    (plan,) = compile_plans(draft, (ADHERENCE,))
    columns = {c.name: c for m in draft.measures for c in columns_of(m)}
    forged = plan.model_copy(update={"contributors": tuple(columns[name] for name in counted)})
    measures = {m.name: m for m in draft.measures}
    check_lattice(measures, [plan], draft.lattice)
    with pytest.raises(PlanError, match=r"who missed|who contributes"):
        check_lattice(measures, [forged], draft.lattice)


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


@pytest.mark.parametrize(("missing", "out"), [(0, False), (1, False), (2, False), (3, True)])
async def test_what_few_missed_does_not_come_out(missing, out):
    """Due minus completed, of one KPI: who missed a module."""
    (plan,) = compiled(ADHERENCE)
    one = np.ones((PANES, PATIENTS), dtype=np.int64)
    done = one.copy()
    done[:, :missing] = 0
    columns = {
        "app_user": one, "due": one, "due_any": one, "completed": done, "completed_any": done, "missed_any": one - done,
    }
    shown = await release([plan], columns, 1)
    assert (shown.all(), shown.any()) == (out, out)
    unaware = plan.model_copy(update={"contributors": plan.contributors[:2]})
    assert (await release([unaware], columns, 1)).all()


def test_without_the_rules_a_cap_shows_who_passes_it():
    """Why a cap is refused beside the plain sum, with windows on demand, and by itself in a total of categories."""
    rng = np.random.default_rng(2)
    cents = rng.integers(0, 20_000, (4, PATIENTS))
    cents[:, 7] = 60_000  # one patient has more than the cap in two weeks, no other in four
    cap = 100_000

    def capped(of):
        return np.clip(of.sum(axis=0), 0, cap).sum()

    assert cents.sum() - capped(cents) == 240_000 - cap
    assert capped(cents[:2]) + capped(cents[2:]) - capped(cents) == cap
    weeks = np.array([[1, 1, 0, 0]]).T * np.ones_like(cents)
    assert capped(cents * weeks) + capped(cents * (1 - weeks)) - capped(cents) == cap


def moments_found(visits, weeks, bits):
    """Pairs of second moments (exposed, comparator) that fit what one window of a rate-ratio releases.

    Sums and the variance of the logarithm, rounded to `bits`; everybody is insured on every day.
    """
    (u, tu), (c, tc) = ((of.sum(axis=1), np.full(len(of), 7 * weeks)) for of in visits)
    variance = sum(((y / y.sum() - t / t.sum()) ** 2).sum() for y, t in ((u, tu), (c, tc)))
    mantissa, exponent = math.frexp(variance)
    rounded, error = math.ldexp(round(mantissa * 2**bits), exponent - bits), math.ldexp(1, exponent - bits)
    left = rounded + 1 / len(u) + 1 / len(c)
    first = np.arange(u.sum(), 6 * u.sum(), 2)  # a visit's square is odd where the visit is
    second = (left - first / u.sum() ** 2) * c.sum() ** 2
    fits = (abs(second - np.round(second)) <= error * c.sum() ** 2) & ((np.round(second) - c.sum()) % 2 == 0)
    return [(int(a), int(b)) for a, b in zip(first[fits], np.round(second[fits]), strict=True) if c.sum() <= b]


def test_sums_and_an_interval_tell_second_moments():
    """Declared in docs/kpis.md: together they say that one patient went to the doctor in both of two weeks."""
    rng = np.random.default_rng(8)
    exposed, comparator = np.zeros((60, 2), int), rng.poisson(0.4, (90, 2))
    exposed[:12, 0] = exposed[11:25, 1] = 1  # patient 11 in both
    parts = [(exposed[:, :1], comparator[:, :1]), (exposed[:, 1:], comparator[:, 1:])]
    (first,), (second,) = (moments_found(part, 1, bits=20) for part in parts)
    (both,) = moments_found((exposed, comparator), 2, bits=20)
    assert (both[0] - first[0] - second[0]) // 2 == 1
    # Without the sums there is no such equation, and fewer bits leave several answers.
    assert len(moments_found((exposed, comparator), 2, bits=8)) > 1


async def release(plans, columns, seed, spec=SPEC):
    """(plans, windows) how many strata come out."""
    rng = np.random.default_rng(seed)
    dealt = {name: deal(values.astype(np.int64), rng) for name, values in columns.items()}
    atoms = spec.atoms(PANES)

    async def program(wire):
        engine, shard = Engine(wire), ShardStatistics(plans, atoms, PATIENTS)
        await shard.add_panes(engine, 0, {n: parts[wire.number] for n, parts in dealt.items()})
        findings = [Findings(plan, shard.contributors(plan)) for plan in plans]
        return await opened(engine, await judge(engine, findings, atom_ranges(spec.windows(PANES), atoms), MINIMUM))

    return (await run_three(program))[0]


def fewest(plans, columns, shown, spec=SPEC):
    """The fewest patients, above 0, that any difference of released cells is about in any atom.

    The attacker takes from a window's total any of its released strata, and from that the same of another window.
    """
    atoms, windows = spec.atoms(PANES), spec.windows(PANES)
    inside = np.array([[w.start <= a and b <= w.stop for a, b in atoms] for w in windows])
    found = PATIENTS
    for arm, column in itertools.product(("app_user", "app_not_yet"), ("insured_days", "gp_visits")):
        product = columns[arm] * columns[column]
        counted = np.stack([product[a:b].sum(axis=0) for a, b in atoms]) != 0
        known = []
        for w in range(len(windows)):
            cells = {s.column.name for p, plan in enumerate(plans) for s in plan.strata[1 : shown[p, w]]}
            taken = [sum((columns[n][0].astype(int) for n in chosen), np.zeros(PATIENTS, int))
                     for size in range(len(cells) + 1) for chosen in itertools.combinations(sorted(cells), size)]
            whole = [1] if shown[:, w].any() else []
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
    shown = await release(NESTED, columns, seed)
    assert (shown[:2] > 1).any(axis=1).tolist() == [seed % 2 == 0, True]
    assert fewest(NESTED, columns, shown) >= MINIMUM


@pytest.mark.parametrize("spec", GROWING)
async def test_no_difference_of_windows_that_grow_is_about_fewer_patients_than_the_minimum(spec):
    reached = []
    for seed in range(2):
        columns = cohort(seed)
        columns["gp_visits"][2:4, : PATIENTS - 4] *= seed  # in the first cohort one piece of time is about few
        columns["gp_any"] = columns["gp_visits"] != 0
        shown = await release(NESTED, columns, seed, spec)
        stops = [window.stop for window in spec.windows(PANES)]
        thin = [stop for stop, out in zip(stops, shown[2], strict=True) if not out]
        assert thin == ([] if seed else [stop for stop in stops if stop > 2])
        assert fewest(NESTED, columns, shown, spec) >= MINIMUM
        reached.append(shown.any())
    assert all(reached)


IN_ORDER = tuple(plan.model_copy(update={"table": "in-order"}) for plan in NESTED)


@pytest.mark.parametrize("seed", range(4))
async def test_no_difference_of_tables_that_hide_some_categories_is_about_fewer_than_the_minimum(seed):
    """Now and then a group is too small, and somebody's income is unknown: windows show another number of groups."""
    columns = cohort(seed)
    rng = np.random.default_rng(seed + 10)
    for _ in range(3):
        pane, group = rng.integers(PANES), rng.integers(3, 6)
        away = columns[f"income_{group}"][0] & (rng.random(PATIENTS) < 0.7)
        columns["gp_visits"][pane, away] = columns["insured_days"][pane, away] = 0
    columns["gp_any"], columns["insured_any"] = columns["gp_visits"] != 0, columns["insured_days"] != 0
    shown = await release(IN_ORDER, columns, seed)
    assert len(set(shown[0]) - {0, 1, 6}) >= 1, shown
    assert fewest(IN_ORDER, columns, shown) >= MINIMUM


async def test_no_hidden_cell_follows_from_what_is_shown_by_linear_algebra():
    """All sums of windows are equations about groups' sums in atoms: no small one has a solution of its own.

    Neither has the sum of a hidden group over any window, if it is small in one of its atoms.
    """
    plan, spec, small, levels = IN_ORDER[0], WindowSpec(size=2, step=1), 0, set()
    atoms, windows = spec.atoms(PANES), spec.windows(PANES)
    inside = np.array([[w.start <= a and b <= w.stop for a, b in atoms] for w in windows], dtype=float)
    cells = np.identity(6)  # the groups in their order, then whoever is in none
    for seed in range(10):
        columns, rng = cohort(seed), np.random.default_rng(seed + 20)
        group = np.stack([columns[f"income_{q}"][0] for q in range(1, 6)]).argmax(axis=0)
        group[~np.any([columns[f"income_{q}"][0] for q in range(1, 6)], axis=0)] = 5
        quiet = rng.random((PANES, 6)) < 0.1
        silent = quiet[:, group] & (rng.random((PANES, PATIENTS)) < 0.85)
        columns["gp_visits"] = np.where(silent, 0, 1 + columns["gp_visits"])
        columns["gp_any"] = columns["gp_visits"] != 0
        (shown,) = await release([plan], columns, seed, spec)
        levels |= set(shown.tolist())
        matrix = np.array([
            np.outer(inside[w], cells.sum(axis=0) if stratum == 0 else cells[stratum - 1]).ravel()
            for w in range(len(windows)) for stratum in range(shown[w])
        ]).reshape(-1, len(atoms) * 6)
        rank = np.linalg.matrix_rank(matrix)
        for arm in ("app_user", "app_not_yet"):
            contributes = columns["gp_any"] * columns[arm]
            counts = np.array([
                [np.count_nonzero(contributes[a:b].any(axis=0) & (group == cell)) for cell in range(6)] for a, b in atoms
            ])
            few = (counts < MINIMUM) & (counts > 0)
            wanted = [np.outer(np.arange(len(atoms)) == a, cells[cell]) for a, cell in zip(*np.nonzero(few), strict=True)]
            wanted += [
                np.outer(inside[w], cells[cell]) for w in range(len(windows)) for cell in range(6)
                if few[inside[w] > 0, cell].any()
            ]
            small += len(wanted)
            for weights in wanted:
                assert np.linalg.matrix_rank(np.vstack([matrix, weights.ravel()])) > rank
    assert small > 100
    assert levels >= {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize(("kpis", "refused"), [
    ((kpi("a", some(1, 2, 3)), kpi("b", some(2, 1))), True), ((kpi("a", some(1, 2, 3)), kpi("b", some(2, 3))), True),
    ((kpi("a", some(1, 2, 3)), kpi("b", some(1, 2))), False), ((kpi("a", some(1, 2, 3)), kpi("b")), False),
])
def test_tables_that_come_out_in_order_have_one_order(kpis, refused):
    """One shows group 1 and the sum of all others, the other group 2 and the sum of all others: few may be in neither."""
    disclosure = {"minimum_cohort": 3, "tables": "in-order"}
    if not refused:
        assert [plan.table for plan in compiled(*kpis, disclosure=disclosure)] == ["in-order"] * 2
        return
    with pytest.raises(PlanError, match="in different orders"):
        compiled(*kpis, disclosure=disclosure)


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
