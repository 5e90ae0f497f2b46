"""Keys, and what parties and requesters sign (EIP-712). A key is 32 bytes; it is never logged or shown."""

import secrets
from typing import Any

from eth_keys.constants import SECPK1_N
from eth_keys.datatypes import PrivateKey, Signature
from eth_keys.exceptions import BadSignature
from eth_utils.address import to_checksum_address
from eth_utils.exceptions import ValidationError as MalformedSignature

from policy.chain.model import Deployment, Proposal, to_bytes32
from policy.chain.typed import typed_digest
from policy.request import Demand

_SIGNATURE_BYTES = 65
_V = 27
"""What the last byte of a signature counts from."""
_AGREEMENT = {
    "termsHash": "bytes32", "parties": "address[]", "attestors": "address[]", "validFrom": "uint64",
    "validUntil": "uint64", "runQuota": "uint32",
}
_DEMAND = {
    "agreement": "bytes32", "termsHash": "bytes32", "requester": "string", "kpis": "string[]", "start": "uint32",
    "stop": "uint32", "nonce": "bytes32",
}
"""`agreement` is the id on chain; `start` and `stop` are panes."""


def private_key(key: bytes) -> PrivateKey:
    """A key that signs.

    Raises:
        ValueError: not a private key of the curve; the message does not repeat it.
    """
    try:
        return PrivateKey(key)
    except Exception:
        raise ValueError("not a private key: expected 32 bytes between 1 and the order of secp256k1") from None


def new_key() -> bytes:
    """A fresh private key."""
    return (secrets.randbelow(SECPK1_N - 1) + 1).to_bytes(32)


def address_of(key: bytes) -> str:
    """The address of a key, with checksum (EIP-55).

    Raises:
        ValueError: see private_key.
    """
    return str(private_key(key).public_key.to_checksum_address())


def agreement_id(deployment: Deployment, proposal: Proposal) -> str:
    """The EIP-712 digest of an agreement in one registry: its id, and what its parties sign.

    Raises:
        ValueError: a hash or an address is malformed.
    """
    return _agreement_digest(deployment, proposal).hex()


def sign_agreement(deployment: Deployment, proposal: Proposal, key: bytes) -> bytes:
    """A party's signature: 65 bytes, r ‖ s ‖ v.

    Raises:
        ValueError: a hash, an address or the key is malformed.
    """
    return _signed(_agreement_digest(deployment, proposal), key)


def demand_digest(deployment: Deployment, agreement: str, demand: Demand) -> str:
    """The EIP-712 digest of a request under one agreement of one registry: its id, and what its requester signs.

    Args:
        deployment: the pinned registry; its chain and address are part of what is signed.
        agreement: the agreement's id on chain.
        demand: what is asked for.

    Raises:
        ValueError: a hash or an address is malformed.
    """
    return _demand_digest(deployment, agreement, demand).hex()


def sign_demand(deployment: Deployment, agreement: str, demand: Demand, key: bytes) -> bytes:
    """A requester's signature: 65 bytes, r ‖ s ‖ v.

    Raises:
        ValueError: a hash, an address or the key is malformed.
    """
    return _signed(_demand_digest(deployment, agreement, demand), key)


def demand_signer(deployment: Deployment, agreement: str, demand: Demand, signature: bytes) -> str | None:
    """The address whose key made the signature, with checksum; None if these bytes are no signature.

    Every signature has one spelling: v is 27 or 28, and s lies in the lower half of the order, as the contract asks.

    Raises:
        ValueError: a hash or an address is malformed.
    """
    digest = _demand_digest(deployment, agreement, demand)
    if len(signature) != _SIGNATURE_BYTES or signature[-1] not in (_V, _V + 1):
        return None
    if int.from_bytes(signature[32:64]) > SECPK1_N // 2:
        return None
    try:
        found = Signature(signature[:-1] + bytes([signature[-1] - _V])).recover_public_key_from_msg_hash(digest)
    except (BadSignature, MalformedSignature, ValueError):
        return None
    return str(found.to_checksum_address())


def _signed(digest: bytes, key: bytes) -> bytes:
    *rs, v = private_key(key).sign_msg_hash(digest).to_bytes()
    return bytes([*rs, v + _V])


def _demand_digest(deployment: Deployment, agreement: str, demand: Demand) -> bytes:
    return typed_digest("Demand", _DEMAND, {
        "agreement": to_bytes32(agreement), "termsHash": to_bytes32(demand.agreement),
        "requester": demand.requester, "kpis": demand.kpis, "start": demand.start, "stop": demand.stop,
        "nonce": to_bytes32(demand.nonce),
    }, _domain(deployment))


def _agreement_digest(deployment: Deployment, proposal: Proposal) -> bytes:
    return typed_digest("Agreement", _AGREEMENT, {
        "termsHash": to_bytes32(proposal.terms_hash),
        "parties": [to_checksum_address(a) for a in proposal.parties],
        "attestors": [to_checksum_address(a) for a in proposal.attestors],
        "validFrom": proposal.valid_from,
        "validUntil": proposal.valid_until,
        "runQuota": proposal.run_quota,
    }, _domain(deployment))


def _domain(deployment: Deployment) -> dict[str, Any]:
    return {
        "name": "Winnow AgreementRegistry",
        "version": "1",
        "chainId": deployment.chain_id,
        "verifyingContract": to_checksum_address(deployment.address),
    }
