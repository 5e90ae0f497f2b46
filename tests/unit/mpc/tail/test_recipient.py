"""The recipient's side: tampering is noticed and named, numbers are decoded as declared."""

import random

import pytest

from mpc.errors import IntegrityError
from mpc.tail.decode import decode
from mpc.tail.field import PRIME
from mpc.tail.recombine import recombine, recombine_outputs
from tests.unit.mpc.tail.helpers import make_plan


def lines(values, seed=0):
    draw = random.Random(seed)
    slopes = [draw.randrange(PRIME) for _ in values]
    return [[(v + k * s) % PRIME for v, s in zip(values, slopes, strict=True)] for k in (1, 2, 3)]


def test_three_shares_give_signed_integers():
    values = [0, 1, -1, 2**200, -(2**200)]
    assert recombine(lines(values)) == values
    assert recombine([[], [], []]) == []


@pytest.mark.parametrize("node", [0, 1, 2])
def test_a_changed_share_is_noticed_and_named(node):
    shares = [{"value.mantissa": a, "sums.exposed.time": b} for a, b in zip(lines([5] * 9), lines([7] * 9), strict=True)]
    assert recombine_outputs(shares)["sums.exposed.time"] == [7] * 9
    shares[node]["sums.exposed.time"][4] = (shares[node]["sums.exposed.time"][4] + 1) % PRIME
    with pytest.raises(IntegrityError, match=r"sums\.exposed\.time\[4\]: the three nodes' shares do not agree"):
        recombine_outputs(shares)


@pytest.mark.parametrize("shares", [
    [[1], [2]], [[1], [2], [3], [4]], [[1], [2], [3, 4]], [[1], [2], [PRIME]], [[1], [2], [-1]], [[1], [2], [3.0]],
    [[True], [1], [1]],
])
def test_what_is_not_three_lists_of_residues_is_refused(shares):
    with pytest.raises(IntegrityError, match="the-output: "):
        recombine(shares, "the-output")


def test_nodes_that_name_different_outputs_are_refused():
    with pytest.raises(IntegrityError, match="expected the same of three nodes"):
        recombine_outputs([{"a": [1]}, {"a": [1]}, {"b": [1]}])


def test_missing_or_ragged_outputs_are_refused():
    plan = make_plan(outputs=("value",))
    with pytest.raises(IntegrityError, match=r"expected value\.mantissa, value\.exponent"):
        decode(plan, {"value.mantissa": [1]})
    with pytest.raises(IntegrityError, match="of one length"):
        decode(plan, {"value.mantissa": [1], "value.exponent": [1, 2]})


@pytest.mark.parametrize(("mantissa", "exponent"), [(2**44 + 1, 0), (1, 5000), (1, -5000)])
def test_numbers_that_no_tail_releases_are_refused(mantissa, exponent):
    with pytest.raises(IntegrityError, match="outside what the nodes can release"):
        decode(make_plan(outputs=("value",)), {"value.mantissa": [mantissa], "value.exponent": [exponent]})


def test_units_are_applied():
    outputs = {"value.mantissa": [-3], "value.exponent": [1], "variance.mantissa": [4], "variance.exponent": [0]}
    (result,) = decode(make_plan("mean-difference", scale=(1, 4)), outputs)
    assert (result.value, result.low, result.high) == (-1.5, pytest.approx(-2.47998199), pytest.approx(-0.52001801))


def test_a_log_interval_wider_than_any_use_is_not_stated():
    outputs = {"value.mantissa": [3], "value.exponent": [0], "variance.mantissa": [1], "variance.exponent": [40]}
    (result,) = decode(make_plan(), outputs)
    assert (result.value, result.low, result.high) == (3, None, None)
