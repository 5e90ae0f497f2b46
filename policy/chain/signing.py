"""Keys, and what a party signs (EIP-712). A key is 32 bytes; it is never logged or shown."""

from typing import Any, cast

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from policy.chain.model import Deployment, Proposal, to_bytes32

_TYPES = {
    "Agreement": [
        {"name": "termsHash", "type": "bytes32"},
        {"name": "parties", "type": "address[]"},
        {"name": "attestors", "type": "address[]"},
        {"name": "validFrom", "type": "uint64"},
        {"name": "validUntil", "type": "uint64"},
        {"name": "runQuota", "type": "uint32"},
    ]
}


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


def _typed(deployment: Deployment, proposal: Proposal) -> Any:
    domain = {
        "name": "Winnow AgreementRegistry",
        "version": "1",
        "chainId": deployment.chain_id,
        "verifyingContract": to_checksum_address(deployment.address),
    }
    content = {
        "termsHash": to_bytes32(proposal.terms_hash),
        "parties": [to_checksum_address(a) for a in proposal.parties],
        "attestors": [to_checksum_address(a) for a in proposal.attestors],
        "validFrom": proposal.valid_from,
        "validUntil": proposal.valid_until,
        "runQuota": proposal.run_quota,
    }
    return encode_typed_data(domain, _TYPES, content)
