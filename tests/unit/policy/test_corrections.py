"""The horizon of corrections is agreed, part of the terms' hash, and never shorter than a grace."""

import pytest
from pydantic import ValidationError

from policy.agreement import Draft
from policy.canonical import canonical_bytes, canonical_hash
from tests.support.terms import draft_data, make_terms


def test_without_a_horizon_nothing_changes():
    assert Draft.model_validate(draft_data()).corrections is None


def test_a_horizon_is_part_of_what_is_signed():
    with_one = make_terms(corrections={"horizon_panes": 5})
    assert with_one.draft.corrections.horizon_panes == 5
    assert b'"corrections":{"horizon_panes":5}' in canonical_bytes(with_one)
    assert len({t.hash for t in (make_terms(), with_one, make_terms(corrections={"horizon_panes": 6}))}) == 3
    again = type(with_one).model_validate_json(canonical_bytes(with_one))
    assert canonical_hash(again) == with_one.hash


@pytest.mark.parametrize(("corrections", "message"), [
    ({"horizon_panes": 1}, "horizon_panes 1 is less than party insurer's grace of 2 panes"),
    ({"horizon_panes": 0}, "greater than or equal to 1"), ({"horizon_panes": 5_001}, "less than or equal to 5000"),
    ({}, "Field required"), ({"horizon_panes": 3, "days": 4}, "Extra inputs"),
])
def test_a_horizon_that_cannot_be_is_refused(corrections, message):
    with pytest.raises(ValidationError, match=message):
        Draft.model_validate(draft_data(corrections=corrections))


def test_a_horizon_of_the_longest_grace_will_do():
    assert Draft.model_validate(draft_data(corrections={"horizon_panes": 2})).corrections.horizon_panes == 2


@pytest.mark.parametrize(("unit", "days", "panes"), [("day", 30, 30), ("week", 30, 5), ("month", 56, 2), ("year", 400, 2)])
def test_a_horizon_lies_beyond_the_last_maturity(unit, days, panes):
    """What a revision waits for must not be refused meanwhile; counted in the shortest panes that there are."""
    def agreed(horizon):
        return make_terms(
            panes={"zone": "UTC", "unit": unit, "start": "2024-01-01", "count": 12}, windows={"size": 2, "step": 1},
            corrections={"horizon_panes": horizon}, maturities={"days": [1, days]},
        )

    grid, graces = agreed(panes + 2).draft.panes, [p.grace_panes for p in agreed(panes + 2).draft.parties]
    assert min((grid.first_day(p + 1) - grid.first_day(p)).days for p in range(12)) >= grid.shortest_days
    longest = panes + max(graces)
    agreed(longest)
    with pytest.raises(ValueError, match=rf"over before party \w+'s panes are {days} days old.* at least {longest} panes"):
        agreed(longest - 1)
