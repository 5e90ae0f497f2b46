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
    ({"state": "signed"}, {}, "agreement-active", "signed at block 7"),
    ({"state": "suspended", "suspended_by": ("gp", "insurer")}, {}, "agreement-active",
     "suspended at block 7 by gp, insurer"),
    ({"state": "superseded", "latest": "ab" * 32}, {}, "agreement-active",
     "superseded at block 7 by version abababababababab"),
    ({"state": "revoked"}, {}, "agreement-active", "revoked at block 7"),
    ({"state": "expired"}, {}, "agreement-active", "expired at block 7"),
    ({"state": "unknown"}, {}, "agreement-active", "unknown at block 7"),
    ({"terms_hash": "0" * 64}, {}, "terms-agreed", "0000"),
    ({"block_time": datetime(2019, 1, 1, tzinfo=UTC)}, {}, "within-validity", "2019-01-01"),
    ({}, {"plan_hashes": ("f" * 64,)}, "plan-permitted", "ffff"),
    ({}, {"windows": ((0, 5),)}, "window-on-lattice", "panes 0 to 5"),
    ({"runs_used": 10}, {}, "quota", "10 runs used"),
    ({"runs_used": 9}, {"owed": (("costs", 0),)}, "quota", "9 runs used"),
    ({"runs_used": 10}, {"owed": (("costs", 0),), "already_authorised": True}, "quota", "10 runs used"),
    ({}, {"owed": (("costs", 1),)}, "privacy-budget-left", "ρ = 0 left of 0"),
    ({"privacy_budget": 10**6, "budget_spent": 500_001}, {"owed": (("costs", 250_000), ("visits", 250_000))},
     "privacy-budget-left", "ρ = 0.499999 left of 1"),
    ({"privacy_budget": 1, "budget_spent": 3}, {"owed": (("costs", 1),), "already_authorised": True},
     "privacy-budget-left", "ρ = 0 left of 0.000001"),
    ({}, {"erased_panes": 1}, "erased-panes", "a window from 2024-01-01"),
    ({}, {"erased_panes": 1, "already_authorised": True}, "erased-panes", "a window from 2024-01-01"),
])
def test_each_rule_refuses_and_says_what_it_found(facts, request_, rule, found):
    refusals = gate.before(TERMS, replace(FACTS, **facts), replace(REQUEST, **request_))
    assert [r.rule for r in refusals] == [rule]
    assert found in refusals[0].found
    assert refusals[0].required
    assert refusals[0].next_step


def test_what_is_left_of_the_privacy_budget_may_be_used_up():
    facts = replace(FACTS, privacy_budget=10**6, budget_spent=500_000)
    assert gate.before(TERMS, facts, replace(REQUEST, owed=(("costs", 300_000), ("visits", 200_000)))) == ()


def test_a_run_that_is_already_authorised_does_not_need_quota():
    facts = replace(FACTS, runs_used=10)
    assert gate.before(TERMS, facts, replace(REQUEST, already_authorised=True)) == ()


@pytest.mark.parametrize(("facts", "step"), [
    ({"state": "proposed", "missing": ("gp", "statistics")}, "let gp, statistics sign"),
    ({"state": "signed"}, "let a party activate it"),
    ({"state": "suspended", "suspended_by": ("gp",)}, "let gp resume it"),
    ({"state": "superseded", "latest": "ab" * 32}, "install the terms of version abababababababab"),
    ({"state": "revoked"}, "propose a new agreement"),
    ({"state": "expired"}, "agree on new dates"),
    ({"state": "unknown"}, "correct agreement_id"),
])
def test_between_phases_what_is_not_active_refuses_and_every_state_has_its_next_step(facts, step):
    for rules in (gate.before, gate.during):
        (refusal,) = rules(TERMS, replace(FACTS, **facts), REQUEST)
        assert refusal.rule == "agreement-active"
        assert refusal.next_step.startswith(step) or step in refusal.next_step
