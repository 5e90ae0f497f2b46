"""What we sign is what eth-account signs: typed data and transactions, byte for byte."""

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from policy.chain.model import Deployment, Proposal
from policy.chain.sender import Transaction
from policy.chain.signing import address_of, demand_signer, new_key, private_key, sign_agreement, sign_demand
from policy.request import Demand

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
keys = st.integers(1, ORDER - 1).map(lambda n: n.to_bytes(32))
hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
deployments = st.builds(Deployment, address=addresses, chain_id=st.integers(1, 2**40), code_hash=hashes)
groups = st.lists(addresses, min_size=0, max_size=8).map(tuple)
names = st.from_regex(r"\A[a-z][a-z0-9-]{0,20}\Z")
AGREEMENT = {"Agreement": [
    {"name": "termsHash", "type": "bytes32"}, {"name": "parties", "type": "address[]"},
    {"name": "attestors", "type": "address[]"}, {"name": "validFrom", "type": "uint64"},
    {"name": "validUntil", "type": "uint64"}, {"name": "runQuota", "type": "uint32"},
]}
DEMAND = {"Demand": [
    {"name": "agreement", "type": "bytes32"}, {"name": "termsHash", "type": "bytes32"},
    {"name": "requester", "type": "string"}, {"name": "kpis", "type": "string[]"}, {"name": "start", "type": "uint32"},
    {"name": "stop", "type": "uint32"}, {"name": "nonce", "type": "bytes32"},
]}


def by_eth_account(deployment, types, content, key):
    domain = {
        "name": "Winnow AgreementRegistry", "version": "1", "chainId": deployment.chain_id,
        "verifyingContract": deployment.address,
    }
    return Account.sign_typed_data(key, domain, types, content)


@given(deployments, hashes, groups, groups, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1),
       st.integers(0, 2**32 - 1), keys)
def test_agreements(deployment, terms, parties, attestors, valid_from, valid_until, quota, key):
    ours = sign_agreement(deployment, Proposal(terms, parties, attestors, valid_from, valid_until, quota), key)
    theirs = by_eth_account(deployment, AGREEMENT, {
        "termsHash": bytes.fromhex(terms), "parties": list(parties), "attestors": list(attestors),
        "validFrom": valid_from, "validUntil": valid_until, "runQuota": quota,
    }, key)
    assert ours == theirs.signature


@given(deployments, hashes, hashes, names, st.lists(names, min_size=1, max_size=5, unique=True).map(sorted),
       st.integers(0, 4_000), st.integers(1, 900), hashes, keys)
def test_demands(deployment, agreement, terms, requester, kpis, start, length, nonce, key):
    stop = start + length
    demand = Demand(agreement=terms, requester=requester, kpis=tuple(kpis), start=start, stop=stop, nonce=nonce)
    theirs = by_eth_account(deployment, DEMAND, {
        "agreement": bytes.fromhex(agreement), "termsHash": bytes.fromhex(terms), "requester": requester, "kpis": kpis,
        "start": start, "stop": stop, "nonce": bytes.fromhex(nonce),
    }, key)
    assert sign_demand(deployment, agreement, demand, key) == theirs.signature
    assert demand_signer(deployment, agreement, demand, theirs.signature) == Account.from_key(key).address


@given(st.integers(1, 2**40), st.integers(0, 2**32), st.integers(0, 2**60), st.integers(0, 2**40),
       st.integers(0, 2**30), st.none() | addresses, st.integers(0, 2**80), st.binary(max_size=300), keys)
def test_transactions(chain, nonce, fee, tip, gas, to, value, data, key):
    theirs = Account.sign_transaction({
        "type": 2, "chainId": chain, "nonce": nonce, "maxFeePerGas": fee, "maxPriorityFeePerGas": tip, "gas": gas,
        "value": value, "data": data, **({} if to is None else {"to": bytes.fromhex(to[2:])}),
    }, key)
    ours = Transaction(chain, nonce, fee, tip, gas, to, value, data)
    assert ours.signed(private_key(key)) == theirs.raw_transaction


@pytest.mark.parametrize("change", [{"valid_from": -1}, {"valid_until": 2**64}, {"run_quota": 2**32}])
def test_numbers_that_do_not_fit_are_refused(change):
    content = {"valid_from": 0, "valid_until": 1, "run_quota": 1, **change}
    with pytest.raises(ValueError, match="expected uint"):
        sign_agreement(Deployment(address="0x" + "5f" * 20, chain_id=1, code_hash="00" * 32),
                       Proposal("ab" * 32, (), (), **content), new_key())


@given(keys)
def test_addresses(key):
    assert address_of(key) == Account.from_key(key).address


def test_new_keys_are_keys():
    made = {new_key() for _ in range(50)}
    assert len(made) == 50
    assert all(len(key) == 32 and address_of(key) for key in made)
