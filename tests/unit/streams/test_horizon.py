"""The horizon against its definition, and what is kept within it: totals and claims."""

from collections import Counter
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.agreement import Draft
from streams.claims import CREDIT, Claims
from streams.columns import ENDED, NEVER
from streams.horizon import Horizon
from streams.passing import Passing
from streams.rowwise import micros
from streams.totals import Totals
from tests.support.kinds import ZONE
from tests.support.terms import draft_data

PANES = 12
hours = st.integers(-30 * 24, 100 * 24)


def agreement(panes):
    return Draft.model_validate(draft_data(corrections=None if panes is None else {"horizon_panes": panes}))


def local(hour):
    return datetime(2024, 1, 1, tzinfo=ZONE) + timedelta(hours=hour)


@given(hours, st.integers(0, PANES * 7 * 24 - 1), st.sampled_from([2, 3, 11, 12, 40]))
def test_an_event_is_too_old_when_the_watermark_lies_the_horizon_behind_its_panes_end(watermark, occurred, panes):
    # Weeks of local time have seven days of 24 hours on the clock; the story's zone changes clocks within the grid.
    pane_end = local((occurred // 168 + 1 + panes) * 168)
    old = local(watermark) >= pane_end and occurred // 168 + 1 + panes <= PANES
    assert (micros(local(occurred)) < Horizon(agreement(panes)).at(micros(local(watermark)))) == old


@given(hours, hours, st.sampled_from([2, 3, 12]))
def test_the_horizon_moves_only_when_panes_pass(first, second, panes):
    draft = agreement(panes)
    at, passing = Horizon(draft).at, Passing(draft, "insurer")
    some = [micros(local(hour)) for hour in (first, second)]
    if passing.passed(some[0]) == passing.passed(some[1]):
        assert at(some[0]) == at(some[1])


@pytest.mark.parametrize("watermark", [NEVER, 0, ENDED])
def test_without_a_horizon_nothing_is_too_old(watermark):
    assert Horizon(agreement(None)).at(watermark) == NEVER


def test_when_all_sources_have_ended_everything_is_too_old():
    assert Horizon(agreement(3)).at(ENDED) == micros(local(PANES * 168))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 900), st.integers(0, 1), st.integers(-9, 9)), max_size=60),
       st.integers(0, 6))
def test_totals_are_sums(added, before):
    single, bulk, expected = Totals(2), Totals(2), Counter()
    for pane, person, measure, value in added:
        single.add(pane, person, measure, value)
        expected[pane, person, measure] += value
    for index in range(2):
        mine = [row for row in added if row[2] == index]
        if mine:
            pane, person, _, value = (np.array(column, dtype=np.int64) for column in zip(*mine, strict=True))
            bulk.add_all(pane, person, index, value)
    for totals in (single, bulk):
        totals.forget(before)
        found = {tuple(row.values())[:3]: row["total"] for row in totals.dump().to_pylist()}
        assert found == {of: total for of, total in expected.items() if total and of[0] >= before}
        for (pane, person, measure), total in expected.items():
            kept = total if pane >= before else 0
            assert totals.get(pane, person, measure) == kept
            assert totals.get_all(np.array([pane]), np.array([person]))[0, measure] == kept
        assert not totals.get_all(np.array([0]), np.array([-1])).any()


def test_claims_forget_by_when_they_happened_and_an_id_may_come_again():
    claims = Claims()
    name = [bytes([n] * 16) for n in range(3)]
    claims.extend(name[:2], *(np.array(column) for column in ([7, 8], [100, 200], [0, 1], [5, 6])))
    claims.add(name[2], 9, 200, 1, 6, CREDIT)
    assert claims.held(name, 150).tolist() == [False, True, True]
    claims.add(name[0], 7, 300, 0, 4)
    assert claims.find(name[0], 150) == 3
    claims.forget(150)
    assert [len(claims), claims.find(name[0], NEVER), claims.find(name[1], NEVER), claims.find(name[2], 201)] == [3, 2, 0, None]
    assert (list(claims.person), list(claims.cents), list(claims.state)) == ([8, 9, 7], [6, 6, 4], [0, CREDIT, 0])
    assert [row["event"] for row in claims.dump().to_pylist()] == [name[1], name[2], name[0]]
    claims.add(name[1], 1, 400, 0, 1)
    claims.forget(1_000)
    assert len(claims) == 0
    assert claims.find(name[1], NEVER) is None
