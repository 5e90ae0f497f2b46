"""The disclosure rules on shares against a plain table, and what is opened."""

import numpy as np
import pytest

from mpc.disclosure import Findings, atom_ranges, judge, opened
from mpc.engine import Engine
from policy.window import WindowSpec
from tests.support.dealing import deal
from tests.support.terms import make_terms
from tests.support.wires import run_three


class Watching(Engine):
    """Keeps the shape of what is opened, and counts what is computed."""

    def __init__(self, wire):
        super().__init__(wire)
        self.opened = []
        self.calls = []

    async def open(self, x):
        found = await super().open(x)
        self.opened.append(found)
        return found

    async def open_bits(self, x):
        raise AssertionError("nothing is opened as words")

    async def less(self, x, y):
        self.calls.append(("less", x.shape))
        return await super().less(x, y)

    async def equal_zero(self, x):
        self.calls.append(("equal_zero", x.shape))
        return await super().equal_zero(x)


def plan_of(cells, table="whole"):
    """A plan with so many counted cells."""
    strata = {1: 1}.get(cells, cells - 1 if table == "whole" else (cells + 1) // 2)
    plan = make_terms().plans[0]
    made = plan.model_copy(update={"strata": plan.strata[:strata], "table": table})
    assert made.counted_cells == cells
    return made


async def shown(tables, windows, minimum, seed=0, over_windows=None, table="whole"):
    """Each node's engine and (plans, windows) how many strata come out."""
    rng = np.random.default_rng(seed)
    dealt = [deal(table, rng) for table in tables]
    more = {plan: deal(table, rng) for plan, table in (over_windows or {}).items()}

    async def program(wire):
        engine, number = Watching(wire), wire.number
        findings = [
            Findings(plan_of(counts.shape[1], table), shares[number], more[place][number] if place in more else None)
            for place, (counts, shares) in enumerate(zip(tables, dealt, strict=True))
        ]
        return engine, await opened(engine, await judge(engine, findings, windows, minimum))

    return await run_three(program)


async def decide(tables, windows, minimum, seed=0, over_windows=None):
    """Of whole tables (plans, windows, 2): does the total come out, do the categories?"""
    found = await shown(tables, windows, minimum, seed, over_windows)
    strata = np.array([[len(plan_of(table.shape[1]).strata)] for table in tables])
    for _, each in found:
        assert ((each == strata) | (each < 2)).all()
    return [(engine, np.stack([each > 0, each == strata], axis=-1)) for engine, each in found]


def oracle(tables, windows, minimum):
    """The rules, word by word."""
    answer = []
    for table in tables:
        for first, last in windows:
            atoms = table[first:last]
            total = all(n >= minimum for atom in atoms for n in atom[0].ravel())
            strata = all(n >= minimum for atom in atoms for cell in atom[1:-1] for n in cell.ravel())
            rest = len(table[0]) == 1 or all(n == 0 or n >= minimum for atom in atoms for n in atom[-1].ravel())
            answer.append((total, total and strata and rest))
    return np.array(answer).reshape(len(tables), len(windows), 2)


@pytest.mark.parametrize("seed", range(6))
async def test_random_tables_agree_with_the_rules(seed):
    rng = np.random.default_rng(seed)
    minimum = int(rng.choice([1, 3, 10]))
    atoms = 5
    windows = [(first, last) for first in range(atoms) for last in range(first + 1, atoms + 1)]
    # Mostly just enough, so that single failures decide; the values around the edges are all there.
    edges = np.array([0, 1, minimum - 1, minimum, minimum, minimum + 1, 4_000])
    tables = []
    for cells in (1, 3, 7, 7):
        table = np.full((atoms, cells, 2, 2), minimum)
        spots = rng.random(table.shape) < rng.choice([0.01, 0.03, 0.1])
        table[spots] = rng.choice(edges, spots.sum())
        if cells > 1:
            table[:, -1] = rng.choice([0, 0, 0, minimum], table[:, -1].shape)
            table[rng.integers(atoms), -1, 0, 1] = rng.choice(edges)
        tables.append(table)
    for _, found in await decide(tables, windows, minimum, seed):
        np.testing.assert_array_equal(found, oracle(tables, windows, minimum))


@pytest.mark.parametrize(("rest", "table"), [(0, True), (1, False), (9, False), (10, True), (11, True)])
async def test_the_remainder_is_nobody_or_enough(rest, table):
    counts = np.full((1, 4, 2, 2), 10)
    counts[0, -1, 1, 1] = rest
    (_, found), *_ = await decide([counts], [(0, 1)], 10)
    assert found.tolist() == [[[True, table]]]


@pytest.mark.parametrize(("cell", "expected"), [(0, [False, False]), (1, [True, False]), (2, [True, False])])
@pytest.mark.parametrize(("arm", "kind"), [(0, 0), (0, 1), (1, 0), (1, 1)])
async def test_every_cell_arm_and_kind_counts(cell, expected, arm, kind):
    counts = np.full((2, 4, 2, 2), 12)
    counts[1, cell, arm, kind] = 9
    (_, found), *_ = await decide([counts], [(0, 1), (1, 2), (0, 2)], 10)
    assert found.tolist() == [[[True, True], expected, expected]]


@pytest.mark.parametrize(("cell", "count", "expected"), [
    (0, 9, [False, False]), (1, 9, [True, False]), (1, 10, [True, True]), (3, 9, [True, False]), (3, 0, [True, True]),
    (2, 0, [True, False]),
])
async def test_what_cancels_between_atoms_counts_over_the_window_too(cell, count, expected):
    counts = np.full((3, 4, 1, 3), 12)
    whole = np.full((2, 4, 1, 1), 12)
    whole[1, cell] = count
    (engine, found), *_ = await decide([counts, counts], [(0, 2), (1, 3)], 10, over_windows={1: whole})
    assert found.tolist() == [[[True, True], [True, True]], [[True, True], expected]]
    assert len(engine.opened) == 1


async def test_counts_over_other_windows_are_refused():
    with pytest.raises(ValueError, match=r"over_windows of shape \(3, 1, 1, 1\); expected 4 axes, the first \(2, 1\)"):
        await decide([np.ones((3, 1, 1, 1))], [(0, 2), (1, 3)], 3, over_windows={0: np.ones((3, 1, 1, 1))})


async def test_only_how_many_come_out_is_opened_at_once_and_the_work_is_constant():
    windows = [(0, 2), (1, 3)]
    many, nobody = np.full((3, 7, 2, 2), 500), np.zeros((3, 7, 2, 2), int)
    for kind, cells in (("whole", 7), ("in-order", 5)):
        tables = [[table[:, :cells], table[:, :1]] for table in (many, nobody)]
        runs = [await shown(each, windows, 10, table=kind) for each in tables]
        for nodes in runs:
            for engine, found in nodes:
                assert len(engine.opened) == 1
                np.testing.assert_array_equal(engine.opened[0], found)
        assert runs[0][0][0].calls == runs[1][0][0].calls
        strata = len(plan_of(cells, kind).strata)
        assert runs[0][0][1].tolist() == [[strata] * 2, [1] * 2]
        assert not runs[1][0][1].any()


def most_in_order(counts, minimum):
    """By the rules, of (atoms, cells, arms, kinds) with the total, the categories, and who is outside 1, 2, … of them."""
    enough = counts >= minimum
    if not enough[:, 0].all():
        return 0
    categories = (counts.shape[1] - 1) // 2
    for number in range(categories, 0, -1):
        rest = counts[:, categories + number]
        if enough[:, 1 : 1 + number].all() and ((rest == 0) | (rest >= minimum)).all():
            return 1 + number
    return 1


@pytest.mark.parametrize("seed", range(4))
async def test_as_many_of_the_first_categories_come_out_as_may(seed):
    rng = np.random.default_rng(seed)
    atoms, minimum = 5, 10
    windows = [(first, last) for first in range(atoms) for last in range(first + 1, atoms + 1)]
    tables = []
    for cells in (1, 3, 5, 9, 11):
        table = np.full((atoms, cells, 2, 2), 40)
        spots = rng.random(table.shape) < 0.04
        table[spots] = rng.choice([0, 1, 9, 10], spots.sum())
        tables.append(table)
    expected = [[most_in_order(table[first:last], minimum) for first, last in windows] for table in tables]
    for _, found in await shown(tables, windows, minimum, seed, table="in-order"):
        np.testing.assert_array_equal(found, expected)
    assert len(set(np.ravel(expected))) >= 5


@pytest.mark.parametrize(
    ("windows", "minimum", "message"),
    [([(0, 1)], 0, "minimum is 0"), ([(0, 4)], 3, "do not fit"), ([(1, 1)], 3, "do not fit"), ([(-1, 1)], 3, "do not fit")],
)
async def test_impossible_questions_are_refused(windows, minimum, message):
    with pytest.raises(ValueError, match=message):
        await shown([np.ones((3, 1, 2, 2))], windows, minimum)


def test_windows_are_made_of_atoms():
    spec = WindowSpec(size=4, step=3)
    windows, atoms = spec.windows(12), spec.atoms(12)
    for window, (first, last) in zip(windows, atom_ranges(windows, atoms), strict=True):
        assert (atoms[first][0], atoms[last - 1][1]) == (window.start, window.stop)
        assert all(a[1] == b[0] for a, b in zip(atoms[first:last], atoms[first + 1 : last], strict=False))


def test_a_window_off_the_lattice_is_refused():
    with pytest.raises(ValueError, match=r"window 0\.\.4 is not made of"):
        atom_ranges(WindowSpec(size=4, step=4).windows(4), [(0, 3), (3, 6)])
