"""Sums as multiples of a declared base, against decimal arithmetic on the plain numbers."""

from decimal import ROUND_FLOOR, Context, Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.errors import IntegrityError
from mpc.tail.decode import decode
from mpc.tail.recombine import recombine_outputs
from mpc.tail.rounding import nearest
from mpc.tail.session import Session
from mpc.tail.vectors import Vectors
from policy.rounding import MOST_BASE
from tests.support.dealing import deal
from tests.support.wires import run_three
from tests.unit.mpc.tail.helpers import compute, make_plan, patients

MOST = 2**62 - 1
EXACT = Context(prec=60)


def by_decimals(x, base):
    """The nearest multiple, from a half upward."""
    quotient = EXACT.add(EXACT.divide(Decimal(x), Decimal(base)), Decimal("0.5"))
    return int(quotient.to_integral_value(ROUND_FLOOR)) * base


async def rounded(numbers, bases):
    """What the recipient gets, and what each node saw opened."""
    rng = np.random.default_rng(3)
    held = deal(np.array(numbers, dtype=np.int64), rng)
    opened = []

    async def node(wire):
        found = []

        async def program(session):
            vectors = Vectors(session)
            say = vectors.open

            async def watched(x):
                values = await say(x)
                opened.append(values)
                return values

            vectors.open = watched
            x = await vectors.from_ring(held[wire.number].parts)
            found.append(await vectors.private(await nearest(vectors, x, np.array(bases, dtype=object))))

        await Session(wire).run(program, 30)
        return {"x": found[0].tolist()}

    shares = await run_three(node)
    return recombine_outputs(shares)["x"], opened


EDGES = (0, 1, 2, 3, 4, 5, 7, 49, 50, 51, 99, 149, 150, 151, 12_345_678, MOST // 2, MOST - 1, MOST)


@pytest.mark.parametrize("base", [2, 3, 5, 7, 10, 100, 128, 999_983, MOST_BASE])
async def test_every_edge_is_that_of_decimals(base):
    numbers = [sign * x for x in EDGES for sign in (1, -1)]
    near = [k * base + base // 2 + d for k in (0, 1, -1, -2, MOST // base - 1, -(MOST // base) + 1) for d in (-1, 0, 1)]
    numbers += [x for x in near if abs(x) <= MOST]
    found, _ = await rounded(numbers, [base] * len(numbers))
    assert found == [by_decimals(x, base) for x in numbers]


@settings(max_examples=10)
@given(st.lists(st.tuples(st.integers(-MOST, MOST), st.integers(2, MOST_BASE)), min_size=1, max_size=40))
async def test_any_number_and_base_is_that_of_decimals(pairs):
    found, _ = await rounded([x for x, _ in pairs], [base for _, base in pairs])
    assert found == [by_decimals(x, base) for x, base in pairs]


async def test_nothing_of_the_number_is_opened_on_the_way():
    """What nodes open is the number under masks that are 40 bits longer: for the same number never twice the same."""
    (_, first), (_, second) = await rounded([1234], [100]), await rounded([1234], [100])
    assert len(first) == len(second) == 3  # the same one opening, at three nodes
    for one in first:
        for other in second:
            assert int(one[0]) != int(other[0])
        assert int(one[0]).bit_length() > 150


PLANS = [
    make_plan("rate-ratio", outputs=("sums",)), make_plan("mean-difference", outputs=("sums",), limbs=True),
    make_plan("mean-difference", outputs=("sums",), signed=True), make_plan("share", outputs=("sums",)),
]


async def test_a_run_rounds_each_sum_to_its_base_and_leaves_others_as_they_are():
    rng = np.random.default_rng(4)
    bases = [(7, 5, 7, 5), (7, 100, 7, 100), (1, 10, 1, 10), (30, 30)]
    plans = [plan.model_copy(update={"bases": each}) for plan, each in zip(PLANS, bases, strict=True)]
    plans.append(make_plan("rate-ratio", outputs=("value", "interval")))
    plans.append(make_plan("rate-ratio", outputs=("sums",)))
    work = [(plan, [patients(rng, plan if plan.outcome else PLANS[0], n, low=-1 if plan is plans[2] else 0)
                    for n in (2, 9, 60)]) for plan in plans]
    for (plan, cells), outputs in zip(work, await compute(rng, work), strict=True):
        for rows, result in zip(cells, decode(plan, outputs), strict=True):
            sums = dict(zip(("exposed.time", "exposed.outcome", "comparator.time", "comparator.outcome"), rows.sum(axis=0), strict=True))
            wanted = {name: int(sums[name]) for name in plan.sums}
            if "sums" not in plan.outputs:
                assert result.sums == {}
            elif plan.bases:
                assert result.sums == {n: by_decimals(x, b) for (n, x), b in zip(wanted.items(), plan.bases, strict=True)}
            else:
                assert result.sums == wanted


async def test_the_recipient_divides_what_was_rounded():
    plan = PLANS[0].model_copy(update={"bases": (7, 5, 7, 5)})
    rows = np.array([[13, 6, 0, 0], [0, 0, 20, 11]], dtype=object)
    (outputs,) = await compute(np.random.default_rng(5), [(plan, [rows])])
    (result,) = decode(plan, outputs)
    assert result.sums == {"exposed.time": 14, "exposed.outcome": 5, "comparator.time": 21, "comparator.outcome": 10}
    assert result.value == 0.75  # (5 / 14) / (10 / 21)
    assert (result.low, result.high) == (None, None)


def test_a_sum_that_was_not_rounded_is_no_result():
    plan = PLANS[0].model_copy(update={"bases": (7, 5, 7, 5)})
    outputs = {"sums.exposed.time": [14], "sums.exposed.outcome": [6], "sums.comparator.time": [7], "sums.comparator.outcome": [5]}
    with pytest.raises(IntegrityError, match=r"exposed\.outcome is 6, no multiple of 5"):
        decode(plan, outputs)
