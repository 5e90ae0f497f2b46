"""Signatures that were made elsewhere: by a key in another device, or by a wallet that is a contract (ERC-1271)."""

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address

from policy.chain.endpoint import Endpoint, Reverted

MAGIC = bytes.fromhex("1626ba7e")
"""What a contract answers that takes a signature: the selector of isValidSignature(bytes32,bytes)."""
SIGNATURE_BYTES = 65
MOST_SIGNATURE_BYTES = 16_384
"""Of a contract's signature: those of two hundred owners."""


async def refused_by(endpoint: Endpoint, wallet: str, digest: bytes, signature: bytes) -> str | None:
    """Why a contract does not take a signature, as found and what to do; None: it does.

    Args:
        endpoint: of the chain on which it stands.
        wallet: the contract's address.
        digest: 32 bytes, what was signed.
        signature: in the form that this contract understands.

    Raises:
        ChainUnreachable: the endpoint failed.
    """
    call = {
        "to": to_checksum_address(wallet),
        "data": "0x" + (MAGIC + encode(["bytes32", "bytes"], [digest, signature])).hex(),
    }
    try:
        answer = await endpoint.data("eth_call", call, "latest")
    except Reverted:
        found = "reverts"
    else:
        if answer == MAGIC.ljust(32, b"\0"):
            return None
        found = f"answers 0x{answer[:4].hex()}" if answer else "answers nothing, as one without isValidSignature does"
    return (
        f"the contract at {wallet} {found}, expected 0x{MAGIC.hex()} (ERC-1271); let its owners sign or approve these "
        "terms, for this chain and registry, and give the signature in the form that the wallet gives it"
    )


def malformed(signature: bytes) -> str:
    """What is wrong with bytes that are no signature of a key, as found and what to do."""
    if len(signature) != SIGNATURE_BYTES:
        return f"it has {len(signature)} bytes, expected {SIGNATURE_BYTES}: r, s and v; give it as the wallet gave it"
    if signature[-1] not in (27, 28):
        return f"it ends in {signature[-1]:02x}, expected 1b or 1c; where a wallet gave 00 or 01, add 1b"
    return "it is no point of the curve, or has the higher s of two; sign again with a wallet that gives the lower one"
