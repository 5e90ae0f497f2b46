"""Every rule of the gate, one fact wrong at a time."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from policy import gate
from tests.support.terms import make_terms

TERMS = make_terms()
FACTS = gate.AgreementFacts(
    state="active", terms_hash=TERMS.hash, missing=(), block_number=7, block_time=datetime(2026, 1, 1, tzinfo=UTC),
    runs_used=3, run_quota=10,
)
REQUEST = gate.RunRequest(plan_hashes=tuple(p.hash for p in TERMS.plans), windows=((0, 4), (1, 5)))


def test_a_proper_request_passes():
    assert gate.before(TERMS, FACTS, REQUEST) == ()
    assert gate.during(TERMS, FACTS, REQUEST) == ()


@pytest.mark.parametrize(("facts", "request_", "rule", "found"), [
    ({"state": "proposed", "missing": ("statistics",)}, {}, "agreement-active", "not signed by statistics"),
    ({"state": "revoked"}, {}, "agreement-active", "revoked at block 7"),
    ({"terms_hash": "0" * 64}, {}, "terms-agreed", "0000"),
    ({"block_time": datetime(2019, 1, 1, tzinfo=UTC)}, {}, "within-validity", "2019-01-01"),
    ({}, {"plan_hashes": ("f" * 64,)}, "plan-permitted", "ffff"),
    ({}, {"windows": ((0, 5),)}, "window-on-lattice", "panes 0 to 5"),
    ({"runs_used": 10}, {}, "quota", "10 runs used"),
    ({}, {"erased_panes": 1}, "erased-panes", "a window from 2024-01-01"),
    ({}, {"erased_panes": 1, "already_authorised": True}, "erased-panes", "a window from 2024-01-01"),
])
def test_each_rule_refuses_and_says_what_it_found(facts, request_, rule, found):
    refusals = gate.before(TERMS, replace(FACTS, **facts), replace(REQUEST, **request_))
    assert [r.rule for r in refusals] == [rule]
    assert found in refusals[0].found
    assert refusals[0].required
    assert refusals[0].next_step


def test_a_run_that_is_already_authorised_does_not_need_quota():
    facts = replace(FACTS, runs_used=10)
    assert gate.before(TERMS, facts, replace(REQUEST, already_authorised=True)) == ()


def test_between_phases_a_revocation_refuses():
    assert [r.rule for r in gate.during(TERMS, replace(FACTS, state="revoked"), REQUEST)] == ["agreement-active"]
