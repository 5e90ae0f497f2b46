"""Dominance on shares against sorted fractions, over the rules' edges."""

import asyncio
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mpc.dominance import dominated
from mpc.engine import Engine
from mpc.errors import ProtocolError
from policy.disclosure import Dominance
from tests.support.dealing import deal
from tests.support.wires import run_three

EACH = [{"largest_percent": 50}, {"two_largest_percent": 85}, {"p_percent": 10}]
RULES = [
    Dominance(**{name: value for rule, used in zip(EACH, chosen, strict=True) if used for name, value in rule.items()})
    for chosen in product((False, True), repeat=3) if any(chosen)
]
HUGE = 2**62 // 2200 // 40
"""Bound of 40 contributions under any rules."""


async def verdicts(values, rules, bound=None):
    """(sums,) what the nodes would open."""
    values = np.asarray(values, np.int64)
    dealt = deal(values, np.random.default_rng(1))
    bound = bound or int(np.abs(values).max(initial=1))

    async def program(wire):
        engine = Engine(wire)
        found = await dominated(engine, dealt[wire.number].bounded(bound), rules)
        return await engine.open(await engine.equal_zero(found))

    found, *others = await run_three(program)
    assert all(np.array_equal(found, other) for other in others)
    return [not bit for bit in found]


def broken(values, rules):
    """The rules as the handbook has them."""
    first, second, *_ = *sorted((abs(Fraction(int(v))) for v in values), reverse=True), Fraction(0), Fraction(0)
    total = sum(abs(Fraction(int(v))) for v in values)
    found = [
        rules.largest_percent is not None and 0 < total * rules.largest_percent / 100 <= first,
        rules.two_largest_percent is not None and 0 < total * rules.two_largest_percent / 100 <= first + second,
        rules.p_percent is not None and total - first - second < first * rules.p_percent / 100,
    ]
    return any(found)


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: "-".join(rules.model_dump(exclude_none=True)))
async def test_each_rule_at_its_edge(rules):
    edges = [
        [50, 50] + [0] * 3, [50, 25, 25, 0, 0], [51, 25, 24, 0, 0], [50, 49, 1, 0, 0], [0] * 5, [7, 0, 0, 0, 0],
        [43, 42, 15, 0, 0], [43, 43, 14, 0, 0], [84, 1, 15, 0, 0], [85, 0, 5, 5, 5], [60, 26, 14, 0, 0],
        [100, 0, 10, 0, 0], [100, 0, 9, 0, 0], [100, 100, 10, 0, 0], [100, 100, 9, 0, 0], [34, 33, 33, 0, 0],
        [100, 50, 10, 0, 0], [100, 50, 9, 0, 0], [-100, 50, 9, 0, 0], [-51, -25, 24, 0, 0], [20] * 5, [1, 1, 1, 0, 0],
        [50, 35, 15, 0, 0], [50, 36, 14, 0, 0],
    ]
    found = await verdicts(edges, rules)
    assert found == [broken(row, rules) for row in edges]
    assert {True, False} == set(found)


amounts = st.one_of(st.just(0), st.integers(-20, 20), st.integers(-HUGE, HUGE))


@settings(max_examples=60)
@given(
    rules=st.sampled_from([*RULES, Dominance(largest_percent=34, two_largest_percent=67, p_percent=50),
                           Dominance(largest_percent=99, two_largest_percent=99, p_percent=5)]),
    rows=st.lists(st.lists(amounts, min_size=6, max_size=6), min_size=1, max_size=12),
    heavy=st.lists(st.tuples(st.integers(0, 5), st.integers(0, HUGE)), max_size=12),
)
def test_whatever_the_contributions(rules, rows, heavy):
    for row, (place, size) in zip(rows, heavy, strict=False):
        row[place] = size
    assert asyncio.run(verdicts(rows, rules, HUGE)) == [broken(row, rules) for row in rows]


@pytest.mark.parametrize("people", [1, 2, 3])
async def test_few_rows(people):
    rows = [[7] * people, [0] * people, [9] + [1] * (people - 1)]
    for rules in RULES:
        assert await verdicts(rows, rules) == [broken(row, rules) for row in rows]


async def test_what_may_leave_the_ring_is_refused():
    with pytest.raises(ProtocolError, match="agree on a lower bound"):
        await verdicts([[1] * 41], RULES[-1], 2**62 // RULES[-1].largest_compared(1, 1) // 41 + 1)


@pytest.mark.parametrize(("found", "message"), [
    ({}, "names no rule"), ({"largest_percent": 33}, "greater than or equal to 34"),
    ({"two_largest_percent": 66}, "greater than or equal to 67"), ({"p_percent": 7}, "5, 10, 20, 25 or 50"),
])
def test_rules_that_three_contributors_could_break_are_refused(found, message):
    with pytest.raises(ValidationError, match=message):
        Dominance(**found)
