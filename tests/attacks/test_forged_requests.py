"""Requests by somebody who holds the broker, but no requester's key; and by requesters who want more than agreed."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.errors import Tampered
from evaluation.requests import MAX_REQUEST_BYTES, open_request, seal_request
from policy import gate
from policy.chain.model import Deployment
from policy.chain.signing import address_of, new_key
from policy.identity import RequesterIdentity
from policy.request import Demand, new_demand
from tests.support.terms import make_terms

HERE = Deployment(address="0x" + "5f" * 20, chain_id=31337, code_hash="00" * 32)
AGREEMENT = "cd" * 32
KEYS = {"ann": new_key(), "bob": new_key()}


@pytest.fixture(scope="module")
def terms():
    made = make_terms(
        on_demand={"largest": 8},
        recipients=[{"name": "innovation-team", "kpis": ["gp-visit-rate-ratio", "cost-difference"]},
                    {"name": "finance", "kpis": ["cost-difference"]}],
        requesters=[{"name": "ann", "recipient": "innovation-team", "runs": 2},
                    {"name": "bob", "recipient": "finance", "runs": 2}],
    )
    return made.model_copy(update={
        "requesters": tuple(RequesterIdentity(name=n, address=address_of(k)) for n, k in KEYS.items()),
    })


def judge(terms, message, seen=(), runs_used=0):
    """The rules by which a node refuses a message."""
    signed = open_request(message)
    facts = gate.AgreementFacts(
        state="active", terms_hash=terms.hash, missing=(), block_number=7, runs_used=0, run_quota=9,
        block_time=datetime(2026, 1, 1, tzinfo=UTC),
    )
    known = gate.DemandFacts(
        signer=signed.signer(HERE, AGREEMENT), nonce_seen=(signed.demand.requester, signed.demand.nonce) in seen,
        complete_panes=12, needs_run=True, runs_used=runs_used,
    )
    return [rule for rule, refusal in gate.verdicts(terms, facts, signed.demand, known) if refusal is not None]


def ask(terms, requester="ann", kpis=("cost-difference",), start=1, stop=7, by=None, at=HERE, agreement=AGREEMENT):
    demand = new_demand(terms, requester, kpis, start, stop)
    return seal_request(demand, at, agreement, KEYS[by or requester])


def altered(message, **changes):
    found = json.loads(message)
    found["demand"].update(changes)
    return json.dumps(found).encode()


def test_an_honest_request_is_admitted(terms):
    assert judge(terms, ask(terms)) == []
    assert judge(terms, ask(terms, requester="bob")) == []


def test_another_requesters_name_or_key(terms):
    assert judge(terms, ask(terms, by="bob")) == ["request-signed"]
    assert judge(terms, altered(ask(terms), requester="bob")) == ["request-signed"]


@pytest.mark.parametrize("change", [{"stop": 8}, {"start": 2}, {"kpis": ["gp-visit-rate-ratio"]}, {"nonce": "ee" * 32}])
def test_a_request_changed_on_its_way(terms, change):
    assert judge(terms, altered(ask(terms), **change)) == ["request-signed"]


def test_a_copied_request(terms):
    message = ask(terms)
    nonce = open_request(message).demand.nonce
    assert judge(terms, message, seen={("ann", nonce)}) == ["request-fresh"]
    assert judge(terms, message, seen={("bob", nonce)}) == []


def test_a_request_made_for_another_chain_contract_or_agreement(terms):
    assert judge(terms, ask(terms, at=HERE.model_copy(update={"chain_id": 1}))) == ["request-signed"]
    assert judge(terms, ask(terms, at=HERE.model_copy(update={"address": "0x" + "5e" * 20}))) == ["request-signed"]
    assert judge(terms, ask(terms, agreement="ce" * 32)) == ["request-signed"]
    other = make_terms(name="other")
    assert judge(terms, ask(other)) == ["request-agreement"]
    assert judge(terms, altered(ask(other), agreement=terms.hash)) == ["request-signed"]


def test_kpis_of_another_recipient(terms):
    assert judge(terms, ask(terms, requester="bob", kpis=("cost-difference", "gp-visit-rate-ratio"))) == ["kpis-permitted"]


def test_a_window_beside_the_lattice_could_cut_an_atom(terms):
    stepped = make_terms(windows={"size": 4, "step": 2}, on_demand={"largest": 8}, requesters=[
        {"name": "ann", "recipient": "innovation-team", "runs": 2}])
    mine = stepped.model_copy(update={"requesters": terms.requesters[:1]})
    assert judge(mine, ask(mine, start=2, stop=8)) == []
    assert judge(mine, ask(mine, start=1, stop=7)) == ["window-on-lattice"]
    assert judge(mine, ask(mine, start=0, stop=10)) == ["window-on-lattice"]


def test_more_runs_than_agreed(terms):
    assert judge(terms, ask(terms), runs_used=2) == ["requester-quota"]


@pytest.mark.parametrize("message", [
    b"", b"{}", b"[]", b"\xff" * 300, b"[" * 4000, b'{"demand":{}}', b"{" * (MAX_REQUEST_BYTES + 1),
])
def test_what_is_no_request_is_ignored(message):
    with pytest.raises(Tampered, match="ignored"):
        open_request(message)


def test_a_request_larger_than_its_bound_is_ignored(terms):
    message = ask(terms)
    with pytest.raises(Tampered, match="at most 4096"):
        open_request(message + b" " * MAX_REQUEST_BYTES)
    assert len(message) < 600


@pytest.mark.parametrize("signature", ["", "00" * 64, "00" * 66, "zz" * 65])
def test_a_signature_of_another_form_is_ignored(terms, signature):
    found = json.loads(ask(terms))
    with pytest.raises(Tampered, match="ignored"):
        open_request(json.dumps({**found, "signature": signature}).encode())


@given(st.integers(0, 64), st.integers(1, 255))
def test_one_changed_byte_of_a_signature(terms, place, by):
    found = json.loads(ask(terms))
    raw = bytearray.fromhex(found["signature"])
    raw[place] ^= by
    try:
        rules = judge(terms, json.dumps({**found, "signature": raw.hex()}).encode())
    except Tampered:
        return
    assert rules == ["request-signed"]


def test_a_signature_has_no_second_spelling(terms):
    found = json.loads(ask(terms))
    raw = bytes.fromhex(found["signature"])
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    mirrored = raw[:32] + (order - int.from_bytes(raw[32:64])).to_bytes(32) + bytes([55 - raw[64]])
    short = raw[:64] + bytes([raw[64] - 27])
    for other in (mirrored, short):
        assert judge(terms, json.dumps({**found, "signature": other.hex()}).encode()) == ["request-signed"]


def test_no_rule_depends_on_what_others_refuse(terms):
    demand = Demand(agreement="00" * 32, requester="eve", kpis=("x",), start=4000, stop=5000, nonce="00" * 32)
    facts = gate.AgreementFacts(state="unknown", terms_hash="", missing=(), block_number=0, runs_used=9, run_quota=9,
                                block_time=datetime(1970, 1, 1, tzinfo=UTC))
    known = gate.DemandFacts(signer=None, nonce_seen=True, complete_panes=0, needs_run=True, runs_used=10**9,
                              erased_panes=5000)
    found = gate.verdicts(terms, facts, demand, known)
    assert [r for r, refusal in found if refusal is None] == ["plan-permitted", "privacy-budget-left"]
    assert [r for r, refusal in gate.verdicts(terms, facts, demand, replace(known, needs_run=False)) if refusal is None] == [
        "requester-quota", "plan-permitted", "erased-panes", "quota", "requester-quota-left", "privacy-budget-left"]
