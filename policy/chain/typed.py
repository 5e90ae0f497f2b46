"""The digest of structured data that wallets sign (EIP-712), for flat structs of the types that ours have."""

from collections.abc import Mapping
from typing import Any

from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError
from eth_utils.crypto import keccak

_DOMAIN = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}


def typed_digest(name: str, types: Mapping[str, str], values: Mapping[str, Any], domain: Mapping[str, Any]) -> bytes:
    """What is signed: 32 bytes.

    Args:
        name: of the struct.
        types: field → bytes32, address, uint…, string, or a list of one of these, in the struct's order.
        values: field → its value; a list for a list.
        domain: name, version, chainId and verifyingContract of who checks the signature.

    Raises:
        ValueError: a value is not of its type.
        KeyError: a field has no value.
    """
    return keccak(b"\x19\x01" + _struct("EIP712Domain", _DOMAIN, domain) + _struct(name, types, values))


def _struct(name: str, types: Mapping[str, str], values: Mapping[str, Any]) -> bytes:
    written = f"{name}({','.join(f'{kind} {field}' for field, kind in types.items())})"
    return keccak(keccak(text=written) + b"".join(_word(kind, values[field]) for field, kind in types.items()))


def _word(kind: str, value: Any) -> bytes:
    if kind.endswith("[]"):
        return keccak(b"".join(_word(kind.removesuffix("[]"), one) for one in value))
    if kind == "string":
        return keccak(text=value)
    try:
        return encode([kind], [value])
    except EncodingError as error:
        raise ValueError(f"expected {kind}: {error}") from error
