"""Every rule for requests, one fact wrong at a time; all rules always give a verdict."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy import gate
from policy.request import demanded_plans, missing_plans, new_demand
from tests.support.terms import make_terms

TERMS = make_terms(
    on_demand={"largest": 8},
    recipients=[{"name": "innovation-team", "kpis": ["gp-visit-rate-ratio", "cost-difference"]},
                {"name": "finance", "kpis": ["cost-difference"]}],
    requesters=[{"name": "ann", "recipient": "innovation-team", "runs": 2},
                {"name": "bob", "recipient": "finance", "runs": 2}],
)
ANN, BOB = (r.address for r in TERMS.requesters)
FACTS = gate.AgreementFacts(
    state="active", terms_hash=TERMS.hash, missing=(), block_number=7, block_time=datetime(2026, 1, 1, tzinfo=UTC),
    runs_used=3, run_quota=10,
)
DEMAND = new_demand(TERMS, "ann", ["gp-visit-rate-ratio", "cost-difference"], 1, 7)
KNOWN = gate.DemandFacts(signer=ANN, nonce_seen=False, complete_panes=12, needs_run=True, runs_used=1)
RULES = ["requester-known", "request-agreement", "request-signed", "request-fresh", "kpis-permitted", "window-sealed",
         "requester-quota", "agreement-active", "terms-agreed", "within-validity", "plan-permitted",
         "window-on-lattice", "erased-panes", "quota", "requester-quota-left", "privacy-budget-left"]


def refused(facts=FACTS, demand=DEMAND, known=KNOWN):
    """Rule → refusal."""
    found = gate.verdicts(TERMS, facts, demand, known)
    assert [rule for rule, _ in found] == RULES
    assert all(refusal is None or refusal.rule == rule for rule, refusal in found)
    return {rule: refusal for rule, refusal in found if refusal is not None}


def test_a_proper_request_passes_every_rule():
    assert refused() == {}


@pytest.mark.parametrize(("demand", "known", "rules", "said"), [
    ({"requester": "eve"}, {"signer": BOB},
     ["requester-known", "request-signed", "kpis-permitted", "requester-quota", "requester-quota-left"], "found eve"),
    ({"agreement": "ab" * 32}, {}, ["request-agreement"], "found abab"),
    ({}, {"signer": None}, ["request-signed"], "no valid signature"),
    ({}, {"signer": BOB}, ["request-signed"], "another key"),
    ({"requester": "bob", "kpis": ("cost-difference",)}, {}, ["request-signed"], "another key"),
    ({}, {"nonce_seen": True}, ["request-fresh"], "second time"),
    ({"requester": "bob"}, {"signer": BOB}, ["kpis-permitted"], "found gp-visit-rate-ratio"),
    ({"kpis": ("made-up",)}, {}, ["kpis-permitted"], "found made-up"),
    ({}, {"complete_panes": 6}, ["window-sealed"], "complete before 2024-02-12"),
    ({"start": 0, "stop": 9}, {}, ["window-on-lattice"], "panes 0 to 9"),
    ({"start": 10, "stop": 13}, {}, ["window-sealed", "window-on-lattice"], "pane 13"),
    ({}, {"runs_used": 2}, ["requester-quota"], "2 new runs used"),
    ({}, {"erased_panes": 2}, ["erased-panes"], "a window from 2024-01-08"),
])
def test_each_rule_refuses_and_says_what_it_found(demand, known, rules, said):
    found = refused(demand=DEMAND.model_copy(update=demand), known=replace(KNOWN, **known))
    assert sorted(found) == sorted(rules)
    first = next(iter(found.values()))
    assert said in f"found {first.found}, required {first.required}"
    assert all(r.found and r.required and r.next_step for r in found.values())


@pytest.mark.parametrize(("facts", "rule"), [
    ({"state": "revoked"}, "agreement-active"), ({"terms_hash": "0" * 64}, "terms-agreed"),
    ({"block_time": datetime(2031, 1, 1, tzinfo=UTC)}, "within-validity"), ({"runs_used": 10}, "quota"),
    ({"requester_runs": {"ann": 2, "bob": 0}}, "requester-quota-left"),
])
def test_the_rules_before_every_run_hold_for_requests_too(facts, rule):
    assert list(refused(facts=replace(FACTS, **facts))) == [rule]


def test_later_windows_and_what_was_released_before_pass_after_an_erasure():
    erased = replace(KNOWN, erased_panes=2)
    assert refused(demand=DEMAND.model_copy(update={"start": 2}), known=erased) == {}
    assert refused(known=replace(erased, needs_run=False)) == {}


def test_what_needs_no_new_run_costs_no_quota():
    spent = replace(KNOWN, needs_run=False, runs_used=2)
    assert refused(facts=replace(FACTS, runs_used=10, requester_runs={"ann": 2}), known=spent) == {}


def test_a_node_asks_for_what_the_chain_counts_only_when_it_knows_the_run():
    counted = replace(FACTS, runs_used=10, requester_runs={"ann": 2})
    assert gate.admission(TERMS, counted, DEMAND, KNOWN) is None
    request = gate.RunRequest(plan_hashes=(), windows=(), requester="ann")
    assert [r.rule for r in gate.before(TERMS, counted, request)] == ["quota", "requester-quota-left"]
    assert gate.before(TERMS, counted, replace(request, already_authorised=True)) == ()
    assert gate.before(TERMS, replace(counted, runs_used=9), replace(request, requester=None)) == ()
    assert gate.admission(TERMS, replace(FACTS, state="revoked"), DEMAND, KNOWN).rule == "agreement-active"
    assert gate.admission(TERMS, FACTS, DEMAND, replace(KNOWN, runs_used=2)).rule == "requester-quota"


def test_an_agreement_without_requesters_lets_nobody_ask():
    found = dict(gate.verdicts(make_terms(), FACTS, DEMAND, KNOWN))
    assert found["requester-known"].required == "nobody may ask"
    assert found["requester-quota"].found == "1 new runs used"


def test_scheduled_windows_may_be_asked_for_without_agreeing_on_others():
    terms = make_terms(requesters=[{"name": "ann", "recipient": "innovation-team", "runs": 2}])
    facts = replace(FACTS, terms_hash=terms.hash)
    for stop, expected in ((5, []), (6, ["window-on-lattice"])):
        demand = new_demand(terms, "ann", ["cost-difference"], 1, stop)
        known = replace(KNOWN, signer=terms.requesters[0].address)
        assert [rule for rule, refusal in gate.verdicts(terms, facts, demand, known) if refusal] == expected


@given(st.sets(st.tuples(st.integers(0, 1), st.integers(0, 40))), st.integers(0, 5), st.integers(1, 7))
def test_a_new_run_computes_what_is_missing_and_nothing_else(covered, start, length):
    demand = DEMAND.model_copy(update={"start": start, "stop": start + length})
    window = TERMS.draft.lattice.at(start, start + length)
    pairs = {(TERMS.plans[plan].hash, index) for plan, index in covered}
    missing = [] if window is None else [TERMS.plans[plan].kpi for plan in (0, 1) if (plan, window.index) not in covered]
    assert [p.kpi for p in missing_plans(TERMS, demand, pairs)] == missing
    assert demanded_plans(TERMS, demand) == TERMS.plans
