"""What a requester signs: the standard's formulas by hand, and what a signature is bound to."""

import pytest
from eth_keys.datatypes import Signature
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policy.chain.model import Deployment
from policy.chain.signing import address_of, demand_digest, demand_signer, new_key, sign_demand
from policy.request import Demand

DEPLOYMENT = Deployment(address="0x" + "5f" * 20, chain_id=1234, code_hash="00" * 32)
AGREEMENT = "cd" * 32
DEMAND = Demand(agreement="ab" * 32, requester="ann", kpis=("admissions", "gp-visits"), start=2, stop=6, nonce="17" * 32)


def word(value):
    return value.to_bytes(32, "big") if isinstance(value, int) else bytes.fromhex(value).rjust(32, b"\0")


def test_the_digest_is_the_eip_712_digest():
    domain = keccak(
        keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
        + keccak(b"Winnow AgreementRegistry") + keccak(b"2") + word(1234) + word("5f" * 20)
    )
    content = keccak(
        keccak(b"Demand(bytes32 agreement,bytes32 termsHash,string requester,string[] kpis,uint32 start,uint32 stop,"
               b"bytes32 nonce)")
        + word("cd" * 32) + word("ab" * 32) + keccak(b"ann") + keccak(keccak(b"admissions") + keccak(b"gp-visits"))
        + word(2) + word(6) + word("17" * 32)
    )
    assert demand_digest(DEPLOYMENT, AGREEMENT, DEMAND) == keccak(b"\x19\x01" + domain + content).hex()


def test_the_signature_is_over_the_digest():
    key = new_key()
    raw = sign_demand(DEPLOYMENT, AGREEMENT, DEMAND, key)
    assert len(raw) == 65
    signature = Signature(raw[:64] + bytes([raw[64] - 27]))
    signer = signature.recover_public_key_from_msg_hash(bytes.fromhex(demand_digest(DEPLOYMENT, AGREEMENT, DEMAND)))
    assert signer.to_checksum_address() == address_of(key) == demand_signer(DEPLOYMENT, AGREEMENT, DEMAND, raw)


@pytest.mark.parametrize(("deployment", "agreement", "demand"), [
    ({"chain_id": 1235}, AGREEMENT, {}),
    ({"address": "0x" + "5e" * 20}, AGREEMENT, {}),
    ({}, "ce" * 32, {}),
    ({}, AGREEMENT, {"agreement": "ac" * 32}),
    ({}, AGREEMENT, {"requester": "bob"}),
    ({}, AGREEMENT, {"kpis": ("admissions",)}),
    ({}, AGREEMENT, {"start": 3}),
    ({}, AGREEMENT, {"stop": 7}),
    ({}, AGREEMENT, {"nonce": "18" * 32}),
], ids=["chain", "contract", "agreement", "terms", "requester", "kpis", "start", "stop", "nonce"])
def test_a_signature_holds_for_nothing_else(deployment, agreement, demand):
    key = new_key()
    raw = sign_demand(DEPLOYMENT, AGREEMENT, DEMAND, key)
    found = demand_signer(DEPLOYMENT.model_copy(update=deployment), agreement, DEMAND.model_copy(update=demand), raw)
    assert found != address_of(key)


@given(st.binary(max_size=70))
def test_bytes_that_are_no_signature_are_nobodys(raw):
    found = demand_signer(DEPLOYMENT, AGREEMENT, DEMAND, raw)
    assert found is None or (len(raw) == 65 and found.startswith("0x"))


@pytest.mark.parametrize(("change", "message"), [
    ({"kpis": ()}, "at least 1"),
    ({"kpis": ("b", "a")}, "alphabetical"),
    ({"kpis": ("a", "a")}, "each once"),
    ({"kpis": tuple(f"kpi-{i:02}" for i in range(33))}, "at most 32"),
    ({"stop": 2}, "must come after"),
    ({"start": -1}, "greater than or equal to 0"),
    ({"stop": 10**6}, "less than or equal to 5000"),
    ({"nonce": "17"}, "should match"),
    ({"requester": "Ann\n"}, "should match"),
    ({"surprise": 1}, "Extra inputs"),
])
def test_what_is_no_demand_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        Demand.model_validate({**DEMAND.model_dump(), **change})
