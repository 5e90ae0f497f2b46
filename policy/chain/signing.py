"""Keys, and what parties and requesters sign (EIP-712). A key is 32 bytes; it is never logged or shown."""

from typing import Any, cast

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_keys.constants import SECPK1_N
from eth_keys.exceptions import BadSignature
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError as MalformedSignature

from policy.chain.model import NONE, Deployment, Proposal, to_bytes32
from policy.request import Demand

_SIGNATURE_BYTES = 65
_TYPES = {
    "Agreement": [
        {"name": "termsHash", "type": "bytes32"},
        {"name": "supersedes", "type": "bytes32"},
        {"name": "parties", "type": "address[]"},
        {"name": "attestors", "type": "address[]"},
        {"name": "requesters", "type": "Requester[]"},
        {"name": "validFrom", "type": "uint64"},
        {"name": "validUntil", "type": "uint64"},
        {"name": "runQuota", "type": "uint32"},
        {"name": "privacyBudget", "type": "uint64"},
    ],
    "Requester": [
        {"name": "account", "type": "address"},
        {"name": "runQuota", "type": "uint32"},
    ],
}
_DOMAIN_TYPE = [
    {"name": "name", "type": "string"}, {"name": "version", "type": "string"}, {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]
_DEMAND_TYPES = {
    "Demand": [
        {"name": "agreement", "type": "bytes32"},
        {"name": "termsHash", "type": "bytes32"},
        {"name": "requester", "type": "string"},
        {"name": "kpis", "type": "string[]"},
        {"name": "start", "type": "uint32"},
        {"name": "stop", "type": "uint32"},
        {"name": "nonce", "type": "bytes32"},
    ]
}
"""`agreement` is the id on chain; `start` and `stop` are panes."""


def account_of(key: bytes) -> LocalAccount:
    """A signer for a key.

    Raises:
        ValueError: not a private key of the curve; the message does not repeat it.
    """
    try:
        return cast("LocalAccount", Account.from_key(key))
    except Exception:
        raise ValueError("not a private key: expected 32 bytes between 1 and the order of secp256k1") from None


def new_key() -> bytes:
    """A fresh private key."""
    return bytes(Account.create().key)


def address_of(key: bytes) -> str:
    """The address of a key, with checksum (EIP-55).

    Raises:
        ValueError: see account_of.
    """
    return str(account_of(key).address)


def agreement_id(deployment: Deployment, proposal: Proposal) -> str:
    """The EIP-712 digest of an agreement in one registry: its id, and what its parties sign.

    Raises:
        ValueError: a hash or an address is malformed.
    """
    message = _typed(deployment, proposal)
    return keccak(b"\x19" + message.version + message.header + message.body).hex()


def sign_agreement(deployment: Deployment, proposal: Proposal, key: bytes) -> bytes:
    """A party's signature: 65 bytes, r ‖ s ‖ v.

    Raises:
        ValueError: a hash, an address or the key is malformed.
    """
    return bytes(account_of(key).sign_message(_typed(deployment, proposal)).signature)


def agreement_signer(deployment: Deployment, proposal: Proposal, signature: bytes) -> str | None:
    """The address whose key made a party's signature, with checksum; None if these bytes are no signature.

    Raises:
        ValueError: a hash or an address is malformed.
    """
    return _signer(_typed(deployment, proposal), signature)


def agreement_typed_data(deployment: Deployment, proposal: Proposal) -> dict[str, Any]:
    """What a party signs, as wallets take it (EIP-712, `eth_signTypedData_v4`): plain data, bytes as hexadecimal.

    Raises:
        ValueError: a hash or an address is malformed.
    """
    content = content_of(proposal)
    return {
        "types": {"EIP712Domain": _DOMAIN_TYPE, **_TYPES}, "primaryType": "Agreement", "domain": _domain(deployment),
        "message": {key: f"0x{value.hex()}" if isinstance(value, bytes) else value for key, value in content.items()},
    }


def demand_digest(deployment: Deployment, agreement: str, demand: Demand) -> str:
    """The EIP-712 digest of a request under one agreement of one registry: its id, and what its requester signs.

    Args:
        deployment: the pinned registry; its chain and address are part of what is signed.
        agreement: the agreement's id on chain.
        demand: what is asked for.

    Raises:
        ValueError: a hash or an address is malformed.
    """
    message = _typed_demand(deployment, agreement, demand)
    return keccak(b"\x19" + message.version + message.header + message.body).hex()


def sign_demand(deployment: Deployment, agreement: str, demand: Demand, key: bytes) -> bytes:
    """A requester's signature: 65 bytes, r ‖ s ‖ v.

    Raises:
        ValueError: a hash, an address or the key is malformed.
    """
    return bytes(account_of(key).sign_message(_typed_demand(deployment, agreement, demand)).signature)


def demand_signer(deployment: Deployment, agreement: str, demand: Demand, signature: bytes) -> str | None:
    """The address whose key made the signature, with checksum; None if these bytes are no signature.

    Every signature has one spelling: v is 27 or 28, and s lies in the lower half of the order, as the contract asks.

    Raises:
        ValueError: a hash or an address is malformed.
    """
    return _signer(_typed_demand(deployment, agreement, demand), signature)


def _signer(message: Any, signature: bytes) -> str | None:
    half = SECPK1_N // 2
    if len(signature) != _SIGNATURE_BYTES or signature[-1] not in (27, 28) or int.from_bytes(signature[32:64]) > half:
        return None
    try:
        return str(Account.recover_message(message, signature=signature))
    except (BadSignature, MalformedSignature, ValueError):
        return None


def _typed_demand(deployment: Deployment, agreement: str, demand: Demand) -> Any:
    content = {
        "agreement": to_bytes32(agreement), "termsHash": to_bytes32(demand.agreement),
        "requester": demand.requester, "kpis": list(demand.kpis), "start": demand.start, "stop": demand.stop,
        "nonce": to_bytes32(demand.nonce),
    }
    return encode_typed_data(_domain(deployment), _DEMAND_TYPES, content)


def _domain(deployment: Deployment) -> dict[str, Any]:
    return {
        "name": "Winnow AgreementRegistry",
        "version": "2",
        "chainId": deployment.chain_id,
        "verifyingContract": to_checksum_address(deployment.address),
    }


def content_of(proposal: Proposal) -> dict[str, Any]:
    """A proposal as the contract takes it, in the order of its fields.

    Raises:
        ValueError: a hash or an address is malformed.
    """
    return {
        "termsHash": to_bytes32(proposal.terms_hash),
        "supersedes": to_bytes32(proposal.supersedes or NONE),
        "parties": [to_checksum_address(a) for a in proposal.parties],
        "attestors": [to_checksum_address(a) for a in proposal.attestors],
        "requesters": [
            {"account": to_checksum_address(r.account), "runQuota": r.run_quota} for r in proposal.requesters
        ],
        "validFrom": proposal.valid_from,
        "validUntil": proposal.valid_until,
        "runQuota": proposal.run_quota,
        "privacyBudget": proposal.privacy_budget,
    }


def _typed(deployment: Deployment, proposal: Proposal) -> Any:
    return encode_typed_data(_domain(deployment), _TYPES, content_of(proposal))
