"""Erasure is agreed: part of the terms' hash only where it is, and never in batches that tell who withdrew."""

import pytest
from pydantic import ValidationError

from policy.agreement import Draft
from policy.canonical import canonical_bytes
from policy.erasure import Erasure
from tests.support.terms import draft_data, make_terms

AGREED = {"every_panes": 2, "batch_slots": 8, "within_days": 31}


def test_without_the_table_terms_are_what_they_were():
    terms = make_terms()
    assert terms.draft.erasure is None
    assert b"erasure" not in canonical_bytes(terms)
    assert make_terms(erasure=AGREED).hash != terms.hash


def test_the_table_is_part_of_what_is_signed():
    terms = make_terms(erasure=AGREED)
    again = type(terms).model_validate_json(canonical_bytes(terms))
    assert again.draft.erasure == Erasure(**AGREED)
    assert again.hash == terms.hash
    others = [AGREED | {"every_panes": 3}, AGREED | {"batch_slots": 9}, AGREED | {"within_days": 7}, AGREED | {"delay_panes": 4}]
    assert len({terms.hash, *(make_terms(erasure=other).hash for other in others)}) == 5


@pytest.mark.parametrize(("changes", "message"), [
    ({"every_panes": 0}, "greater than or equal to 1"), ({"every_panes": 13}, "more than the agreement's 12 panes"),
    ({"batch_slots": 2}, "must be from disclosure.minimum_cohort, 3,"), ({"batch_slots": 65}, "to linkage.block_slots, 64"),
    ({"batch_slots": 70_000}, "less than or equal to 65536"), ({"delay_panes": -1}, "greater than or equal to 0"),
    ({"within_days": 0}, "greater than or equal to 1"), ({"within_days": 32}, "less than or equal to 31"),
    ({"days": 3}, "Extra inputs"),
])
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        Draft.model_validate(draft_data(erasure=AGREED | changes))


@pytest.mark.parametrize("name", AGREED)
def test_nothing_but_the_delay_is_left_open(name):
    with pytest.raises(ValidationError, match="Field required"):
        Draft.model_validate(draft_data(erasure={k: v for k, v in AGREED.items() if k != name}))


@pytest.mark.parametrize(("delay", "boundary", "expected"), [(None, 2, 6), (None, 10, 12), (0, 4, 4), (3, 4, 7), (9, 4, 12)])
def test_nodes_wait_for_the_windows_over_earlier_panes(delay, boundary, expected):
    assert Erasure(**AGREED, delay_panes=delay).complete_by(boundary, 4, 12) == expected
