"""Calls, results and errors of the registry as bytes (the contract ABI)."""

from functools import cache
from typing import Any, cast

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import abi_to_signature, get_abi_input_types, get_abi_output_types
from eth_utils.crypto import keccak

from policy.chain.artifact import registry_artifact
from policy.chain.errors import ChainRefusal

_SELECTOR = 4
_SHOWN = 36
"""Bytes of an unknown error that are shown: its selector and first word."""


def encode_call(function: str, *arguments: Any) -> bytes:
    """Call data of one of the registry's functions."""
    entry = _functions()[function]
    return _selector(entry) + encode(get_abi_input_types(cast("Any", entry)), arguments)


def decode_result(function: str, data: bytes) -> Any:
    """The single value that a function returns.

    Raises:
        ValueError: `data` is not what the function returns.
    """
    try:
        (value,) = decode(get_abi_output_types(cast("Any", _functions()[function])), data)
    except (DecodingError, OverflowError) as error:
        raise ValueError(f"{function} returned {len(data)} bytes that it cannot return") from error
    return value


def refusal(function: str, data: bytes) -> ChainRefusal:
    """The contract's error in words.

    Args:
        function: what was called.
        data: what the reverted call returned: selector and arguments, or nothing.
    """
    entry = _errors().get(data[:_SELECTOR])
    if entry is None:
        return ChainRefusal("Revert", {"data": "0x" + data[:_SHOWN].hex()}, function)
    try:
        values = decode(get_abi_input_types(cast("Any", entry)), data[_SELECTOR:])
    except (DecodingError, OverflowError):
        return ChainRefusal(entry["name"], {}, function)
    shown = {
        place["name"]: value.hex() if isinstance(value, bytes) else value
        for place, value in zip(entry["inputs"], values, strict=True)
    }
    return ChainRefusal(entry["name"], shown, function)


def _selector(entry: dict[str, Any]) -> bytes:
    return keccak(text=abi_to_signature(cast("Any", entry)))[:_SELECTOR]


@cache
def _functions() -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in registry_artifact().abi if entry["type"] == "function"}


@cache
def _errors() -> dict[bytes, dict[str, Any]]:
    return {_selector(entry): entry for entry in registry_artifact().abi if entry["type"] == "error"}
