"""Statistics on shares against plain numpy on the values."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpc.engine import Engine
from mpc.moments import capped, cell_statistics, incomplete
from mpc.share import Share
from mpc.statistics import ShardStatistics, StatisticsError, Step, steps
from policy.kpi import compile_plan, load_kpi
from policy.measure import Measure
from policy.window import WindowSpec
from tests.support.dealing import deal, reveal
from tests.support.wires import run_three

MEASURES = {
    m["name"]: Measure(**m) for m in (
        {"name": "app_user", "party": "hospital", "aggregation": "exposed", "programme": "app"},
        {"name": "app_not_yet", "party": "hospital", "aggregation": "not-yet-exposed", "programme": "app",
         "cohort": "care"},
        {"name": "insured_days", "party": "insurer", "aggregation": "days", "programme": "insured", "bound": 7},
        {"name": "insured_any", "party": "insurer", "aggregation": "nonzero", "of": "insured_days"},
        {"name": "gp_visits", "party": "insurer", "aggregation": "count", "kind": "claim", "bound": 63},
        {"name": "gp_any", "party": "insurer", "aggregation": "nonzero", "of": "gp_visits"},
        {"name": "cost", "party": "insurer", "aggregation": "sum", "kind": "claim", "bound": 2**26 - 1},
        {"name": "cost_any", "party": "insurer", "aggregation": "nonzero", "of": "cost"},
        {"name": "due", "party": "hospital", "aggregation": "count", "kind": "monitoring", "code": "due", "bound": 9},
        {"name": "completed", "party": "hospital", "aggregation": "count", "kind": "monitoring", "code": "completed",
         "bound": 9},
        {"name": "missed", "party": "hospital", "aggregation": "missed", "bound": 9},
        {"name": "follow_ups", "party": "hospital", "aggregation": "follow-ups", "code": "q", "bound": 9},
        {"name": "change", "party": "hospital", "aggregation": "change", "code": "q", "bound": 9_000},
        *({"name": f"{name}_any", "party": "hospital", "aggregation": "nonzero", "of": name}
          for name in ("due", "completed", "missed", "follow_ups")),
        *({"name": f"income_{q}", "party": "statistics", "aggregation": "category", "field": "income",
           "value": str(q)} for q in range(1, 6)),
    )
}
RATE_KPI = load_kpi("gp-visit-rate-ratio")
RATE, COST = (compile_plan(load_kpi(name), MEASURES) for name in ("gp-visit-rate-ratio", "cost-difference"))
PLAIN = RATE.model_copy(update={"strata": RATE.strata[:1]})
SHARE = compile_plan(RATE_KPI.model_copy(update={"id": "share", "estimator": "share", "outcome": None}), MEASURES)
DONE = compile_plan(RATE_KPI.model_copy(update={
    "id": "done", "estimator": "completion", "comparator": None, "time": "due", "outcome": "completed",
    "missed": "missed",
}), MEASURES)
CHANGE = compile_plan(RATE_KPI.model_copy(update={
    "id": "change", "estimator": "mean-difference", "time": "follow_ups", "outcome": "change", "unit": "points",
}), MEASURES)
CAP = 2_000_000
CAPPED = COST.model_copy(update={"kpi": "capped", "cap": CAP})
CAPPED_PLAIN = CAPPED.model_copy(update={"strata": CAPPED.strata[:1]})
CAPPED_VISITS = RATE.model_copy(update={"kpi": "visits", "estimator": "mean-difference", "cap": 3})


def columns_of(rng, panes, patients):
    """Plausible columns; the last patient is a dummy, and some have no income or change it."""
    arm = rng.integers(0, 3, (panes, patients))
    income = rng.integers(0, 6, (panes, patients))
    days, visits = rng.integers(0, 8, (panes, patients)), rng.poisson(0.4, (panes, patients))
    due, answers = rng.integers(0, 3, (panes, patients)), rng.integers(0, 2, (panes, patients))
    completed = np.minimum(due, rng.integers(0, 3, (panes, patients)))
    change = answers * rng.integers(-1_600, 1_601, (panes, patients))
    cents = np.where(rng.random((panes, patients)) < 0.4, rng.integers(-(2**26), 2**26, (panes, patients)), 0)
    found = {
        "app_user": arm == 1, "app_not_yet": arm == 2, "insured_days": days, "insured_any": days != 0,
        "gp_visits": visits, "gp_any": visits != 0,
        "cost.high": cents >> 13, "cost.low": cents & (2**13 - 1), "cost_any": cents != 0,
        "due": due, "due_any": due != 0, "completed": completed, "completed_any": completed != 0,
        "missed_any": due != completed, "follow_ups": answers, "follow_ups_any": answers != 0, "change": change,
        **{f"income_{q}": income == q for q in range(1, 6)},
    }
    return {name: np.where(np.arange(patients) < patients - 1, values.astype(np.int64), 0) for name, values in found.items()}


def cells(plan, columns):
    """0/1 (cells, panes, patients): the plan's cells, then those in none of its strata."""
    named = [columns[s.column.name] for s in plan.strata if s.column is not None]
    everyone = np.ones_like(next(iter(columns.values())))
    return np.stack([everyone, *named, *([everyone - sum(named)] if named else [])])


def plain_totals(plan, columns, start, stop):
    """(cells, quantities, patients)."""
    masks = cells(plan, columns)[: len(plan.strata), start:stop]
    products = [columns[a.name] * columns[c.name] for a in plan.arms for c in (plan.time, *plan.outcome)]
    return np.stack([(masks * product[start:stop]).sum(axis=1) for product in products], axis=1)


def plain_contributors(plan, columns, atoms):
    """(atoms, counted cells, arms, 2): patients with any pane that counts."""
    masks = cells(plan, columns)
    answer = [
        [[[(masks[cell] * columns[arm.name] * columns[kind.name])[start:stop].any(axis=0).sum()
           for kind in plan.contributors] for arm in plan.arms]
         for cell in range(len(masks))]
        for start, stop in atoms
    ]
    return np.array(answer)


def whole(shard, plan, start, stop, at_once=700):
    """(cells, totals, patients) of one window."""
    return Share.concat([totals[0] for _, totals in shard.windows(plan, [(start, stop)], at_once)], axis=-1)


async def compute(columns, spec, panes, plans, pieces=None, tap=None):
    """Opens all windows' totals, sums and moments, and the contributors; the panes are added in pieces."""
    rng = np.random.default_rng(99)
    dealt = {name: deal(values, rng) for name, values in columns.items()}
    patients = next(iter(columns.values())).shape[1]

    async def program(wire):
        engine = Engine(wire)
        shard = ShardStatistics(plans, spec.atoms(panes), patients)
        for start, stop in pieces or [(0, panes)]:
            part = {name: shares[wire.number][start:stop] for name, shares in dealt.items()}
            await shard.add_panes(engine, start, part, 20_000)
        found = {}
        for plan in plans:
            for window in spec.windows(panes):
                totals = whole(shard, plan, window.start, window.stop)
                found[plan.kpi, window.start] = (totals, *await cell_statistics(engine, totals))
            windows = [(w.start, w.stop) for w in spec.windows(panes)]
            found[plan.kpi] = (
                shard.contributors(plan), Share.stack([shard.sums(plan, c, windows) for c in range(len(plan.strata))]),
            )
        return found

    nodes = await run_three(program, tap=tap)
    return {key: [reveal([node[key][k] for node in nodes]) for k in range(len(nodes[0][key]))] for key in nodes[0]}


@pytest.mark.parametrize(
    ("size", "step", "panes", "pieces"),
    [
        (4, 1, 8, None), (4, 1, 8, [(0, 4), (4, 5), (5, 8)]), (4, 4, 9, None), (3, 2, 10, [(0, 3), (3, 10)]),
        (2, 3, 8, None), (6, 6, 6, None),
    ],
)
@pytest.mark.parametrize(
    "plans", [(RATE, COST), (PLAIN,), (SHARE, DONE, CHANGE)], ids=["both", "no-strata", "other-estimators"],
)
async def test_windows_and_contributors_equal_numpy(size, step, panes, pieces, plans):
    spec = WindowSpec(size=size, step=step)
    columns = columns_of(np.random.default_rng(size * panes), panes, 60)
    found = await compute(columns, spec, panes, plans, pieces)
    for plan in plans:
        for window in spec.windows(panes):
            totals, sums, gram = found[plan.kpi, window.start]
            expected = plain_totals(plan, columns, window.start, window.stop)
            assert expected.shape[:2] == (len(plan.strata), len(plan.quantities))
            np.testing.assert_array_equal(totals, expected)
            np.testing.assert_array_equal(sums, expected.sum(axis=-1))
            np.testing.assert_array_equal(gram, np.einsum("cqn,crn->cqr", expected, expected))
            np.testing.assert_array_equal(found[plan.kpi][1][:, window.index], sums)
        np.testing.assert_array_equal(found[plan.kpi][0], plain_contributors(plan, columns, spec.atoms(panes)))


def plain_capped(plan, totals):
    """(cells, quantities, patients) of (cells, totals, patients): each category by itself, the total their sum."""
    parts = 1 + len(plan.outcome)
    found = []
    for arm in range(2):
        time, *limbs = (totals[:, arm * parts + k] for k in range(parts))
        amount = limbs[0] if len(limbs) == 1 else limbs[0] * 2**13 + limbs[1]
        if len(amount) == 1:
            kept = np.clip(amount, 0, plan.cap)
        else:
            outside = amount[0] - amount[1:].sum(axis=0)
            named = np.clip(amount[1:], 0, plan.cap)
            kept = np.concatenate([named.sum(axis=0, keepdims=True) + np.clip(outside, 0, plan.cap), named])
        found += [time, kept]
    return np.stack(found, axis=1)


async def cap(plan, totals):
    """`capped` of (windows, cells, totals, patients); each node's bytes sent."""
    dealt = deal(totals, np.random.default_rng(1))
    sent = [0, 0, 0]

    def count(sender, receiver, channel, label, payload):
        sent[sender] += len(payload)
        return payload

    async def program(wire):
        return await capped(Engine(wire), plan, dealt[wire.number])

    return reveal(await run_three(program, tap=count)), sent


@pytest.mark.parametrize("plan", [CAPPED, CAPPED_PLAIN, CAPPED_VISITS], ids=lambda plan: f"{plan.kpi}-{len(plan.strata)}")
async def test_capped_totals_equal_numpy(plan):
    rng = np.random.default_rng(7)
    windows = ((0, 1), (0, 4), (3, 8), (2, 6))
    columns = columns_of(rng, 8, 80)
    totals = np.stack([plain_totals(plan, columns, *window) for window in windows])
    found, sent = await cap(plan, totals)
    expected = np.stack([plain_capped(plan, each) for each in totals])
    assert expected.shape[1:3] == (len(plan.strata), len(plan.quantities))
    np.testing.assert_array_equal(found, expected)
    assert (expected != plain_capped(plan.model_copy(update={"cap": 2**40}), totals[1])).any()
    values = len(windows) * len(plan.strata) * 2 * 80
    assert all(0.98 * most < found <= most for found, most in zip(sent, (104 * values, 72 * values, 72 * values), strict=True))


async def test_the_cap_holds_at_its_edges_and_at_the_largest_amounts():
    edges = np.array([
        -(2**40), -1, 0, 1, 8191, 8192, CAP - 1, CAP, CAP + 1, CAP + 8192, 2**39, (2**26 - 1) * 5_000, -(2**26) * 5_000,
    ])
    totals = np.zeros((1, 1, 6, edges.size), np.int64)
    totals[0, 0, 1], totals[0, 0, 2] = edges >> 13, edges & 8191
    totals[0, 0, 4], totals[0, 0, 5] = (edges >> 13) + 7, (edges & 8191) - 7 * 8192  # other limbs of the same amounts
    found, _ = await cap(CAPPED_PLAIN, totals)
    np.testing.assert_array_equal(found[0, 0, 1], np.clip(edges, 0, CAP))
    np.testing.assert_array_equal(found[0, 0, 3], np.clip(edges, 0, CAP))


@settings(max_examples=20)
@given(amounts=hnp.arrays(np.int64, (3, 4), elements=st.integers(-(2**40), 2**40)), most=st.integers(1, 2**40))
def test_any_amounts_and_caps_equal_numpy(amounts, most):
    plan = CAPPED_VISITS.model_copy(update={"cap": most, "strata": CAPPED_VISITS.strata[:3]})
    totals = np.zeros((1, 3, 4, 4), np.int64)
    totals[0, :, 1] = amounts
    found, _ = asyncio.run(cap(plan, totals))
    np.testing.assert_array_equal(found[0], plain_capped(plan, totals[0]))


async def test_a_total_less_its_categories_is_about_those_outside_only():
    """A patient who moves between categories and passes the cap only in both together must not show."""
    totals = np.zeros((1, 6, 6, 2), np.int64)
    for cell, amount in ((0, 3_000_000), (1, 1_400_000), (2, 1_600_000)):
        totals[0, cell, 1, 0], totals[0, cell, 2, 0] = amount >> 13, amount & 8191
    totals[0, 0, 1, 1] = 9_000_000 >> 13  # the other is in no category
    found, _ = await cap(CAPPED, totals)
    difference = found[0, 0] - found[0, 1:].sum(axis=0)
    assert difference[1].tolist() == [0, CAP]


@pytest.mark.parametrize("strata", [1, 6])
async def test_who_did_not_do_all_that_was_due_in_a_window(strata):
    plan = DONE.model_copy(update={"strata": DONE.strata[:strata]})
    columns = columns_of(np.random.default_rng(11), 8, 60)
    # Done a week late: missed in each of two weeks, and not in both together.
    columns["completed"] = np.roll(columns["due"], 1, axis=0)
    windows = ((0, 1), (0, 8), (2, 6))
    totals = np.stack([plain_totals(plan, columns, *window) for window in windows])
    dealt = deal(totals, np.random.default_rng(12))

    async def program(wire):
        return await incomplete(Engine(wire), plan, dealt[wire.number])

    found = reveal(await run_three(program))
    masks = cells(plan, columns) * columns["app_user"]
    wanted = [
        [((mask * (columns["due"] - columns["completed"]))[a:b].sum(axis=0) != 0).sum() for mask in masks]
        for a, b in windows
    ]
    assert found.shape == (3, 7 if strata > 1 else 1, 1, 1)
    np.testing.assert_array_equal(found[:, :, 0, 0], wanted)
    assert found.any()


async def test_a_plan_without_a_cap_cannot_be_capped():
    with pytest.raises(StatisticsError, match="has no cap"):
        await cap(COST, np.zeros((1, 6, 6, 2), np.int64))


def test_sums_of_a_capped_outcome_are_no_differences_of_totals():
    with pytest.raises(StatisticsError, match="has a cap"):
        ShardStatistics((CAPPED,), ((0, 2),), 5).sums(CAPPED, 0, [(0, 2)])


async def test_results_of_shards_add_up():
    spec, columns = WindowSpec(size=4, step=2), columns_of(np.random.default_rng(3), 6, 50)
    halves = [{n: v[:, part] for n, v in columns.items()} for part in (slice(0, 20), slice(20, 50))]
    whole, *parts = [await compute(c, spec, 6, (COST,)) for c in (columns, *halves)]
    for key, values in whole.items():
        for place in range(1, 3) if isinstance(key, tuple) else range(1):
            np.testing.assert_array_equal(values[place], parts[0][key][place] + parts[1][key][place])


async def test_a_shard_in_which_nobody_is_linked():
    columns = {name: values[:, :0] for name, values in columns_of(np.random.default_rng(4), 4, 5).items()}
    for step in (1, 2):
        found = await compute(columns, WindowSpec(size=2, step=step), 4, (RATE, COST))
        assert not found[COST.kpi][0].any()
        assert found[COST.kpi, 0][1].shape == (6, 6)
        assert not found[COST.kpi, 0][2].any()


async def test_a_window_sends_the_same_bytes_whatever_its_length():
    columns = columns_of(np.random.default_rng(5), 26, 40)
    dealt = {name: deal(values, np.random.default_rng(6)) for name, values in columns.items()}
    sent = [0, 0, 0]

    def tap(sender, _receiver, _channel, _label, payload):
        sent[sender] += len(payload)
        return payload

    async def program(wire):
        engine = Engine(wire)
        shard = ShardStatistics((COST,), [(p, p + 1) for p in range(26)], 40)
        await shard.add_panes(engine, 0, {n: s[wire.number] for n, s in dealt.items()})
        costs = []
        for length in (1, 4, 26):
            before = sent[wire.number]
            await cell_statistics(engine, whole(shard, COST, 0, length))
            costs.append(sent[wire.number] - before)
        return costs

    for costs in await run_three(program, tap=tap):
        # The upper triangle of the second moments of six quantities in six cells, eight bytes each.
        assert costs == [6 * 21 * 8] * 3


async def refused(message, *, atoms=((0, 2), (2, 4)), first=0, panes=4, patients=5, drop=None, window=None):
    columns = {n: v for n, v in columns_of(np.random.default_rng(6), panes, 5).items() if n != drop}
    dealt = {name: deal(values, np.random.default_rng(7)) for name, values in columns.items()}

    async def program(wire):
        shard = ShardStatistics((RATE,), atoms, patients)
        await shard.add_panes(Engine(wire), first, {n: s[wire.number] for n, s in dealt.items()})
        if window is not None:
            return whole(shard, RATE, *window)
        await shard.add_panes(Engine(wire), 0, {n: s[wire.number] for n, s in dealt.items()})
        return None

    with pytest.raises(StatisticsError, match=message):
        await run_three(program)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("expected one or more", {"atoms": ()}),
        ("expected one or more", {"atoms": ((0, 2), (3, 4))}),
        ("expected one or more", {"atoms": ((0, 2), (2, 2))}),
        ("columns that are not here: gp_any", {"drop": "gp_any"}),
        ("found columns of shapes", {"patients": 6}),
        ("found panes from 1, expected 0", {"first": 1}),
        ("found panes from 0, expected 4", {}),
        (r"end at 3, inside \(2, 4\)", {"panes": 3}),
        ("no totals for panes 1 to 4", {"window": (1, 4)}),
        ("no totals for panes 2 to 2", {"window": (2, 2)}),
        ("no totals for panes 0 to 4", {"window": (0, 4), "panes": 2}),
    ],
)
async def test_what_does_not_fit_the_lattice_is_refused(message, options):
    await refused(message, **options)


async def test_panes_beyond_the_last_window_are_left_aside():
    spec, columns = WindowSpec(size=3, step=3), columns_of(np.random.default_rng(8), 5, 20)
    found = await compute(columns, spec, 5, (RATE,), [(0, 4), (4, 5)])
    np.testing.assert_array_equal(found[RATE.kpi, 0][0], plain_totals(RATE, columns, 0, 3))


def test_steps_hold_atoms_of_one_length_or_a_part_of_their_rows():
    atoms, every = [(0, 1), (1, 2), (2, 3), (3, 5), (5, 7), (7, 8)], slice(0, 8)
    one_by_one = [Step([atom], every) for atom in atoms[2:]]
    assert steps(atoms, 10, 8, 160) == [Step(atoms[:2], every), *one_by_one]
    assert steps(atoms, 0, 8, 160) == [Step(atoms[:3], every), Step(atoms[3:5], every), Step(atoms[5:], every)]
    halves, quarters = [slice(0, 4), slice(4, 8)], [slice(a, a + 2) for a in range(0, 8, 2)]
    assert steps(atoms[2:4], 10, 8, 40) == [
        *(Step(atoms[2:3], rows) for rows in halves), *(Step(atoms[3:4], rows) for rows in quarters),
    ]
    assert [s.rows for s in steps(atoms[:1], 10, 3, 5)] == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert steps(atoms[:1], 10, 0, 5) == [Step(atoms[:1], slice(0, 0))]


@pytest.mark.parametrize("back", range(4))
async def test_panes_that_were_taken_back_are_added_anew_and_whoever_still_adds_the_old_ones_changes_nothing(back):
    """As a thread that finishes its step though its attempt has failed."""
    columns, plan = columns_of(np.random.default_rng(31), 4, 15), RATE
    dealt = {name: deal(values, np.random.default_rng(32)) for name, values in columns.items()}

    async def program(wire):
        engine = Engine(wire)

        async def add(shard, start, stop, times=1):
            part = {name: shares[wire.number][start:stop] * times for name, shares in dealt.items()}
            await shard.add_panes(engine, start, part)

        first = ShardStatistics([RATE, COST], WindowSpec(size=1, step=1).atoms(4), 15)
        await add(first, 0, back)
        await add(first, back, 4 if back < 3 else 3, 2)
        shard = first.taken_back(back)
        assert shard.next_pane == back
        with pytest.raises(ValueError, match="closed"):
            await add(first, first.next_pane, first.next_pane + 1) if back == 3 else list(first.windows(plan, [(0, 1)]))
        await add(shard, back, 4)
        found = whole(shard, plan, 0, 4), shard.contributors(plan), shard.sums(plan, 0, [(0, 4), (back, 4)])
        with pytest.raises(StatisticsError, match="cannot go back to pane 5"):
            shard.taken_back(5)
        return found

    nodes = await run_three(program)
    totals, contributors, sums = (reveal([node[place] for node in nodes]) for place in range(3))
    expected = plain_totals(plan, columns, 0, 4)
    np.testing.assert_array_equal(totals, expected)
    np.testing.assert_array_equal(contributors, plain_contributors(plan, columns, [(p, p + 1) for p in range(4)]))
    np.testing.assert_array_equal(sums[0], expected[0].sum(axis=-1))
    np.testing.assert_array_equal(sums[1], plain_totals(plan, columns, back, 4)[0].sum(axis=-1))


async def test_rows_that_are_appended_add_from_then_on():
    """Against columns in which they have zeros before; the order of before stays, and windows go across."""
    columns, spec = columns_of(np.random.default_rng(41), 4, 20), WindowSpec(size=2, step=1)
    late = {name: np.where((np.arange(20) < 12) | (np.arange(4)[:, None] >= 2), v, 0) for name, v in columns.items()}
    dealt = {name: deal(values, np.random.default_rng(42)) for name, values in late.items()}

    async def program(wire):
        engine, shard = Engine(wire), ShardStatistics([RATE, COST], spec.atoms(4), 12)
        await shard.add_panes(engine, 0, {n: s[wire.number][:2, :12] for n, s in dealt.items()})
        shard.grow(20)
        before = whole(shard, RATE, 0, 2)
        await shard.add_panes(engine, 2, {n: s[wire.number][2:] for n, s in dealt.items()}, 40)
        with pytest.raises(StatisticsError, match="19 linked rows, where there were 20"):
            shard.grow(19)
        return before, whole(shard, RATE, 0, 4), whole(shard, COST, 1, 3), shard.contributors(RATE)

    nodes = await run_three(program)
    before, all_panes, across, contributors = (reveal([node[place] for node in nodes]) for place in range(4))
    np.testing.assert_array_equal(before, plain_totals(RATE, late, 0, 2))
    np.testing.assert_array_equal(all_panes, plain_totals(RATE, late, 0, 4))
    np.testing.assert_array_equal(across, plain_totals(COST, late, 1, 3))
    np.testing.assert_array_equal(contributors, plain_contributors(RATE, late, spec.atoms(4)))
