import subprocess
import sys

import pytest
from eth_abi.abi import decode
from eth_utils import keccak

from policy.chain.artifact import registry_artifact
from policy.chain.codec import decode_result, encode_call, refusal, struct
from policy.chain.errors import ChainMismatch, ChainStale
from policy.chain.model import Block, Deployment, Proposal, Requester, check_fresh, to_bytes32
from policy.chain.signing import address_of, agreement_id, content_of, new_key, sign_agreement

DEPLOYMENT = Deployment(address="0x" + "5f" * 20, chain_id=1234, code_hash="00" * 32)
PROPOSAL = Proposal(
    "ab" * 32, ("0x" + "11" * 20, "0x" + "aa" * 20), ("0x" + "33" * 20,), 1_700_000_000, 1_800_000_000, 42,
    (Requester("0x" + "22" * 20, 3), Requester("0x" + "44" * 20, 4)), 99, "ef" * 32,
)


def word(value):
    return value.to_bytes(32, "big") if isinstance(value, int) else bytes.fromhex(value.removeprefix("0x")).rjust(32, b"\0")


def test_the_light_modules_do_not_load_web3():
    code = "import sys, policy.chain, policy.chain.model, policy.chain.errors; sys.exit('web3' in sys.modules or 'eth_account' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_the_agreement_id_is_the_eip_712_digest():
    """The standard's formulas written out by hand."""
    domain = keccak(
        keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
        + keccak(b"Winnow AgreementRegistry") + keccak(b"2") + word(1234) + word("5f" * 20)
    )
    requester = b"Requester(address account,uint32 runQuota)"
    content = keccak(
        keccak(
            b"Agreement(bytes32 termsHash,bytes32 supersedes,address[] parties,address[] attestors,Requester[] requesters,"
            b"uint64 validFrom,uint64 validUntil,uint32 runQuota,uint64 privacyBudget)" + requester
        )
        + word("ab" * 32) + word("ef" * 32) + keccak(word("11" * 20) + word("aa" * 20)) + keccak(word("33" * 20))
        + keccak(b"".join(
            keccak(keccak(requester) + word(account * 20) + word(quota)) for account, quota in (("22", 3), ("44", 4))
        ))
        + word(1_700_000_000) + word(1_800_000_000) + word(42) + word(99)
    )
    assert agreement_id(DEPLOYMENT, PROPOSAL) == keccak(b"\x19\x01" + domain + content).hex()


def test_a_signature_is_the_partys_over_the_id():
    from eth_keys.datatypes import Signature

    key = new_key()
    raw = sign_agreement(DEPLOYMENT, PROPOSAL, key)
    assert len(raw) == 65
    signature = Signature(raw[:64] + bytes([raw[64] - 27]))
    signer = signature.recover_public_key_from_msg_hash(bytes.fromhex(agreement_id(DEPLOYMENT, PROPOSAL)))
    assert signer.to_checksum_address() == address_of(key)


def test_addresses_are_those_of_the_published_key():
    """anvil's and Hardhat's first account."""
    key = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
    assert address_of(key) == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@pytest.mark.parametrize("key", [b"", bytes(32), b"\xff" * 32, b"\x17" * 31])
def test_a_bad_key_is_refused_without_showing_it(key):
    with pytest.raises(ValueError, match="not a private key") as caught:
        address_of(key)
    assert "17" * 8 not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("value", ["", "0x" + "ab" * 32, "AB" * 32, "ab" * 31, "ab" * 33, "zz" * 32, "ab" * 32 + "\n"])
def test_hashes_have_one_spelling(value):
    with pytest.raises(ValueError, match="64 lower-case"):
        to_bytes32(value)


@pytest.mark.parametrize(("age", "fresh"), [(0, True), (60, True), (-60, True), (61, False), (-61, False)])
def test_a_head_is_neither_old_nor_from_the_future(age, fresh):
    block = Block(number=7, hash="00" * 32, time=1_000_000)
    if fresh:
        check_fresh(block, 1_000_000 + age, 60)
    else:
        with pytest.raises(ChainStale, match=r"block 7 is 61 s"):
            check_fresh(block, 1_000_000 + age, 60)


def test_code_may_differ_in_its_immutables_only():
    artifact = registry_artifact()
    start, length = artifact.immutables[0]
    deployed = bytearray(artifact.deployed)
    deployed[start:start + length] = b"\x77" * length
    artifact.check_code(bytes(deployed))
    deployed[start - 1] ^= 1
    for wrong, words in (
        (bytes(deployed), "not the registry's"), (b"", "no contract"), (artifact.deployed[:-1], "not the registry's"),
    ):
        with pytest.raises(ChainMismatch, match=words):
            artifact.check_code(wrong)


def test_refusals_say_the_rule_what_was_found_and_the_next_step():
    data = keccak(b"QuotaExhausted(bytes32,uint32)")[:4] + word("cd" * 32) + word(5)
    error = refusal("authorise", data)
    assert (error.rule, error.found) == ("QuotaExhausted", {"id": "cd" * 32, "quota": 5})
    assert str(error) == (
        f"the registry refused authorise: QuotaExhausted (id {'cd' * 32}, quota 5). Agree on a higher quota in a new version."
    )


def test_refusals_that_are_cut_or_unknown_are_still_refusals():
    known = keccak(b"QuotaExhausted(bytes32,uint32)")[:4]
    assert refusal("authorise", known + b"\0").rule == "QuotaExhausted"
    assert refusal("authorise", b"").rule == "Revert"
    strange = refusal("authorise", b"\x01\x02\x03\x04" + bytes(1000))
    assert strange.found == {"data": "0x01020304" + "00" * 32}


def test_calls_are_encoded_as_the_abi_says():
    expected = keccak(b"authorise(bytes32,(bytes32,address,uint64)[])")[:4]
    expected += word("ab" * 32) + word(64) + word(1) + word("cd" * 32) + word("11" * 20) + word(7)
    assert encode_call("authorise", bytes.fromhex("ab" * 32), [(bytes.fromhex("cd" * 32), "0x" + "11" * 20, 7)]) == expected


@pytest.mark.parametrize("data", [b"", b"\x01", bytes(31), b"\xff" * 64])
def test_results_that_cannot_be_are_refused(data):
    with pytest.raises(ValueError, match="cannot return"):
        decode_result("agreement", data)


def test_a_proposal_is_encoded_in_the_order_of_the_contracts_fields():
    (content,) = decode(
        ["(bytes32,bytes32,address[],address[],(address,uint32)[],uint64,uint64,uint32,uint64)"],
        encode_call("propose", struct("propose", content_of(PROPOSAL)))[4:],
    )
    assert content == (
        bytes.fromhex("ab" * 32), bytes.fromhex("ef" * 32), PROPOSAL.parties, PROPOSAL.attestors,
        tuple(map(tuple, PROPOSAL.requesters)), 1_700_000_000, 1_800_000_000, 42, 99,
    )
