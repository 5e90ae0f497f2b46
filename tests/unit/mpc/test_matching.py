"""Opened tags joined in the clear, against plain sets, a segment after another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.errors import LinkageError
from mpc.matching import NOWHERE, Table, find, match, refuse_repeats

SEGMENTS = 3


def tag(patient):
    """Distinct, in no order."""
    return (patient + 1) * 0x9E3779B97F4A7C15 % 2**64


@st.composite
def cohorts(draw):
    """Of each patient and party, the segment in which the party's row comes, or none (−1)."""
    parties = draw(st.integers(2, 5))
    return draw(st.lists(st.lists(st.integers(-1, SEGMENTS - 1), min_size=parties, max_size=parties), min_size=1, max_size=25))


def shuffled(cohort, seed):
    """Each party's segments: tags in the order of some shuffle."""
    rng = np.random.default_rng(seed)
    return [
        [rng.permutation(np.array([tag(n) for n, at in enumerate(cohort) if at[party] == s], np.uint64)) for s in range(SEGMENTS)]
        for party in range(len(cohort[0]))
    ]


@given(cohorts(), st.sampled_from(["inner", "left"]), st.integers(0, 2**32))
def test_every_segment_links_whom_sets_say(cohort, join, seed):
    opened = shuffled(cohort, seed)
    parties = len(opened)
    order = ()
    for segment in range(SEGMENTS):
        registers = [[Table.of(each) for each in own[: segment + 1]] for own in opened]
        before, order = order, match(registers, order, join)
        assert len(order) == segment + 1
        rows = [np.concatenate(own[: segment + 1]) for own in opened]
        whole = np.concatenate(order, axis=1)
        here = [[0 <= at[party] <= segment for party in range(parties)] for at in cohort]
        wanted = {tag(n): at for n, at in enumerate(here) if (all(at) if join == "inner" else at[0])}
        patients = [int(rows[0][row]) for row in whole[0]]
        assert sorted(patients) == sorted(wanted)
        for place, patient in enumerate(patients):
            for party in range(parties):
                row = whole[party, place]
                assert int(rows[party][row]) == patient if wanted[patient][party] else row == NOWHERE
        for old, new in zip(before, order, strict=False):
            assert old.shape == new.shape
            assert np.all((old == new) | (old == NOWHERE))


def test_tables_are_matched_by_their_tags():
    tables = [[Table.of(np.array(t, np.uint64))] for t in ([5, 9, 1, 7], [7, 2, 9], [9, 8, 7, 6, 5])]
    np.testing.assert_array_equal(match(tables, (), "inner")[0], [[3, 1], [0, 2], [2, 0]])
    np.testing.assert_array_equal(match(tables, (), "left")[0], [[0, 1, 2, 3], [-1, 2, -1, 0], [4, 0, -1, 2]])


def test_rows_are_counted_through_the_tables():
    register = [Table.of(np.array(t, np.uint64)) for t in ([30, 10], [], [20, 2**64 - 1])]
    np.testing.assert_array_equal(find(register, np.array([10, 20, 30, 40, 2**64 - 1], np.uint64)), [1, 2, 0, -1, 3])
    assert find([], np.array([1], np.uint64)).tolist() == [NOWHERE]


@pytest.mark.parametrize("tables", [([1, 2], [3, 3]), ([1, 2], [4, 2]), ([5, 5],)])
def test_a_tag_twice_in_a_register_is_refused(tables):
    good = [Table.of(np.array([n], np.uint64)) for n in range(len(tables))]
    bad = [Table.of(np.array(t, np.uint64)) for t in tables]
    with pytest.raises(LinkageError, match="register of party 1 holds a link key twice") as caught:
        refuse_repeats([good, bad])
    assert caught.value.party == 1
