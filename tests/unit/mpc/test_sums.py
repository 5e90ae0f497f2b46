"""Sums of plans on shares against plain numbers; the sixteen KPIs of the programs that come with Winnow."""

import numpy as np
import pytest

from mpc import sums
from mpc.engine import Engine
from mpc.sums import ShardSums, SumsError
from policy.program import Program, compile_sums, load_program, programs
from tests.support.dealing import deal
from tests.support.summing import MEASURES, Plain, columns_for, evaluate, joined
from tests.support.wires import run_three

PANES = 9
EVERY_PANE = [(p, p + 1) for p in range(PANES)]
WINDOWS = [(3, 6), (6, 9)]
"""One in the middle and one at the end, each with a window before it."""
PROGRAMS = {program.id: program for program in programs()}


def compiled(program):
    return compile_sums(program, MEASURES, patients=10_000, panes=13)


def agree(program, plan, columns, found, windows=WINDOWS):
    """Whether everything that was opened is what plain numbers say."""
    plain = Plain(program, plan, columns)
    for cell in range(len(plan.strata)):
        for window in windows:
            got = joined(plan, found[window][cell])
            assert got == {name: plain.sum(name, cell, *window) for name in got}
        for matrix in plan.matrices:
            weights = np.array([outcome.weight for outcome in matrix.outcomes], object)
            got = np.tensordot(weights, found[matrix.name][cell].astype(object), 1)
            np.testing.assert_array_equal(got, plain.matrix(matrix.name, cell))
        for first in plan.first_events:
            np.testing.assert_array_equal(found[first.name][:, :, cell], plain.first_events(first.name, cell))


@pytest.mark.parametrize(
    ("atoms", "pieces"),
    [
        (EVERY_PANE, [(0, 9)]), (EVERY_PANE, [(0, 3), (3, 4), (4, 6), (6, 9)]),
        ([(0, 3), (3, 6), (6, 9)], [(0, 4), (4, 5), (5, 6), (6, 9)]),
    ],
    ids=["at-once", "in-pieces", "long-atoms"],
)
@pytest.mark.parametrize("name", PROGRAMS)
async def test_each_kpi_equals_plain_numbers_over_two_shards(name, atoms, pieces, monkeypatch):
    monkeypatch.setattr(sums, "VALUES_PER_STEP", 2_000)
    program = PROGRAMS[name]
    plan = compiled(program)
    columns = columns_for(plan, PANES, 40, seed=program.number)
    halves = [{n: v[:, part] for n, v in columns.items()} for part in (slice(0, 17), slice(17, 40))]
    one, other = [await evaluate(plan, half, atoms, pieces, WINDOWS) for half in halves]
    agree(program, plan, columns, {key: one[key] + other[key] for key in one})


@pytest.mark.parametrize("name", [name for name, program in PROGRAMS.items() if not program.strata])
async def test_each_kpi_by_education(name):
    program = PROGRAMS[name].split_by("education", {"low": "education_low", "high": "education_high"})
    plan = compiled(program)
    assert [s.cell for s in plan.strata] == [{}, {"education": "low"}, {"education": "high"}]
    columns = columns_for(plan, PANES, 25, seed=100 + program.number)
    agree(program, plan, columns, await evaluate(plan, columns, EVERY_PANE, [(0, 2), (2, 9)], WINDOWS))


GENERAL = Program(
    id="general", number=1, about="every form at once", arms={"exposed": "app_user"},
    terms={
        "days": {"columns": ["insured_days"]}, "triple": {"columns": ["insured_days", "gp_visits", "ed_visits"]},
        "exposed": {"columns": ["insured_days", "gp_visits", "ed_visits"], "arms": ["exposed"]},
        "cost": {"columns": ["cost"]}, "square": {"columns": ["cost", "cost"]},
        "visited": {"columns": ["gp_visits", "gp_visits"]},
    },
    states={"three": ["app_user", "in_care@before", "insured_days"], "cared": ["in_care"]},
    sums=[
        "days * days@before * cost", "triple", "exposed.exposed", "exposed.exposed * triple * days", "cost@before",
        "cost * cost@before", "square", "three * cared * cost", "three", "cared * three", "days * days * days",
        "three * three * visited", "visited", "cost * cost * cost",
    ],
    moments=[{"of": ["cost", "days"]}],
    matrices=[{"name": "m", "rows": "insured_days", "outcome": "exposed.exposed"}, {"name": "n", "rows": "in_care", "outcome": "square"}],
    first_events=[{"name": "f", "present": "insured_any", "event": "in_care", "arms": ["exposed"]}],
    strata={"education": {"low": "education_low", "high": "education_high"}},
)


@pytest.mark.parametrize("rows", [40, 1, 0])
@pytest.mark.parametrize("step", [700, 1 << 20])
async def test_every_form_of_sums_equals_plain_numbers(rows, step, monkeypatch):
    monkeypatch.setattr(sums, "VALUES_PER_STEP", step)
    plan = compile_sums(GENERAL, MEASURES, patients=100, panes=3)
    columns = columns_for(plan, PANES, rows, seed=rows)
    found = await evaluate(plan, columns, EVERY_PANE, [(0, 4), (4, 9)], [(3, 6), (4, 6), (6, 9)])
    agree(GENERAL, plan, columns, found, [(3, 6), (4, 6), (6, 9)])


async def test_a_plan_of_plain_sums_has_windows_between_any_panes():
    """Such as the sums by pane that completeness is estimated from; nothing is sent for them."""
    program = load_program("completeness")
    plan = compiled(program)
    columns = columns_for(plan, PANES, 30, seed=2)
    windows = [(p, p + 1) for p in range(PANES)] + [(2, 7)]
    found = await evaluate(plan, columns, [(0, 9)], [(0, 5), (5, 9)], windows)
    agree(program, plan, columns, found, windows)


@pytest.mark.parametrize("pieces", [[(0, 9)], [(0, 1), (0, 2), (2, 5), (5, 7), (7, 9)]], ids=["at-once", "in-pieces"])
async def test_panes_around_the_atoms_are_left_aside(pieces):
    program = PROGRAMS["cost-difference-in-differences"]
    plan = compiled(program)
    columns = columns_for(plan, PANES, 10, seed=3)
    found = await evaluate(plan, columns, [(1, 3), (3, 5)], pieces, [(3, 5)])
    agree(program, plan, {n: v[1:5] for n, v in columns.items()}, {**found, (2, 4): found[3, 5]}, [(2, 4)])


async def test_a_windows_bytes_do_not_depend_on_its_length_or_its_data():
    """Eight bytes for each product of a sum's factors but the last and each row, eight for each sum."""
    plan = compiled(PROGRAMS["cost-per-patient-month"])
    rows, sent = 64, [0, 0, 0]

    def tap(sender, _receiver, _channel, _label, payload):
        sent[sender] += len(payload)
        return payload

    async def program(wire, columns):
        dealt = {n: deal(v, np.random.default_rng(1))[wire.number] for n, v in columns.items()}
        engine, shard = Engine(wire), ShardSums(plan, EVERY_PANE, rows)
        await shard.add_panes(engine, 0, dealt)
        costs = [sent[wire.number]]
        for window in ((0, 1), (2, 6), (0, 9)):
            before = sent[wire.number]
            await shard.window(engine, *window)
            costs.append(sent[wire.number] - before)
        return costs

    full = columns_for(plan, PANES, rows, seed=4)
    empty = {name: np.zeros_like(values) for name, values in full.items()}
    for columns in (full, empty):
        sent[:] = [0, 0, 0]
        # Of three totals an arm (days and two limbs) the squares and products: 21 sums of two factors.
        for added, *windows in await run_three(lambda wire, columns=columns: program(wire, columns), tap=tap):
            assert windows == [8 * 21] * 3
            assert added == 8 * 6 * PANES * rows


async def test_long_atoms_send_the_last_product_of_a_vector_once():
    plan = compiled(PROGRAMS["cost-per-patient-month"])
    columns, sent = columns_for(plan, PANES, 64, seed=4), [0, 0, 0]

    def tap(sender, _receiver, _channel, _label, payload):
        sent[sender] += len(payload)
        return payload

    await evaluate(plan, columns, [(0, 9)], [(0, 9)], [], tap=tap)
    assert sent == [8 * 6 * 64] * 3


async def refused(message, plan, *, atoms=((0, 2), (2, 4)), panes=4, first=0, again=None, rows=5, window=None, drop=None):
    columns = columns_for(plan, panes, 5, seed=1)
    dealt = {name: deal(values, np.random.default_rng(7)) for name, values in columns.items() if name != drop}

    async def program(wire):
        shard = ShardSums(plan, atoms, rows)
        mine = {n: s[wire.number] for n, s in dealt.items()}
        await shard.add_panes(Engine(wire), first, mine)
        if again is not None:
            await shard.add_panes(Engine(wire), again, mine)
        await shard.window(Engine(wire), *window)

    with pytest.raises(SumsError, match=message):
        await run_three(program)


COST = compiled(PROGRAMS["cost-per-patient-month"])
DID = compiled(PROGRAMS["cost-difference-in-differences"])


@pytest.mark.parametrize(("message", "plan", "options"), [
    ("expected one or more", COST, {"atoms": ()}),
    ("expected one or more", COST, {"atoms": ((0, 2), (3, 4))}),
    ("expected one or more", COST, {"atoms": ((0, 2), (2, 2))}),
    ("KPI cost-per-patient-month needs columns that are not here: insured_days", COST, {"drop": "insured_days"}),
    ("found columns of shapes", COST, {"rows": 6}),
    ("found panes from 1, expected 0", COST, {"first": 1}),
    ("found panes from 0, expected 4", COST, {"again": 0}),
    ("no totals for panes 1 to 4.*lie between 0, 2, 4", COST, {"window": (1, 4)}),
    ("no totals for panes 2 to 2", COST, {"window": (2, 2)}),
    ("no totals for panes 0 to 4.*lie between 0, 2$", COST, {"window": (0, 4), "panes": 3}),
    ("no totals for panes -2 to 0", DID, {"window": (0, 2)}),
    ("no totals for panes -4 to 0", DID, {"window": (0, 4)}),
    ("no totals for panes 0 to 5", compiled(PROGRAMS["completeness"]), {"window": (0, 5)}),
])
async def test_what_does_not_fit_is_refused(message, plan, options):
    await refused(message, plan, **options)


def test_a_result_that_the_plan_has_not_is_refused():
    shard = ShardSums(COST, [(0, 1)], 3)
    with pytest.raises(SumsError, match="has no matrix 'x'"):
        shard.matrix("x")
    with pytest.raises(SumsError, match="has no first events 'x'"):
        shard.first_events("x")


async def test_steps_hold_no_more_values_than_they_may(monkeypatch):
    """Whatever the rows, nothing that is multiplied, or summed over rows, has more values than a step may."""
    monkeypatch.setattr(sums, "VALUES_PER_STEP", 3_000)
    sizes = []

    def watch(name):
        operation = getattr(Engine, name)

        async def watched(self, x, y):
            sizes.append(y.size)
            return await operation(self, x, y)

        monkeypatch.setattr(Engine, name, watched)

    watch("multiply")
    watch("inner")
    for name in ("incremental-net-monetary-benefit", "cost-difference-in-differences", "time-to-first-admission"):
        plan = compiled(PROGRAMS[name])
        columns = columns_for(plan, PANES, 300, seed=6)
        found = await evaluate(plan, columns, EVERY_PANE, [(0, 9)], [(6, 9)])
        agree(PROGRAMS[name], plan, columns, found, [(6, 9)])
    assert max(sizes) <= 3_000


async def test_what_failed_half_way_is_of_no_use(monkeypatch):
    plan = compiled(PROGRAMS["time-to-first-admission"])
    dealt = {n: deal(v, np.random.default_rng(1)) for n, v in columns_for(plan, 2, 5, seed=1).items()}

    async def program(wire):
        shard, mine = ShardSums(plan, [(0, 2)], 5), {n: shares[wire.number] for n, shares in dealt.items()}
        with pytest.raises(RuntimeError, match="lost"):
            await shard.add_panes(Engine(wire), 0, mine)
        for use in (shard.add_panes(Engine(wire), 0, mine), shard.window(Engine(wire), 0, 2)):
            with pytest.raises(SumsError, match="begin anew"):
                await use
        for read in (shard.matrix, shard.first_events):
            with pytest.raises(SumsError, match="begin anew"):
                read("admission")

    async def lost(*_):
        raise RuntimeError("lost")

    monkeypatch.setattr(Engine, "inner", lost)
    await run_three(program)
