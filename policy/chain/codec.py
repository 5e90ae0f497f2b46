"""Calls, results, events and errors of the registry as bytes (the contract ABI)."""

from collections.abc import Mapping, Sequence
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


def struct(function: str, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """The single argument of a function, a struct, as `encode_call` takes it.

    Args:
        function: of the registry.
        values: fields by name; structs among them, and in lists, likewise.
    """
    (place,) = _functions()[function]["inputs"]
    return tuple(_ordered(component, values[component["name"]]) for component in place["components"])


def _ordered(place: Mapping[str, Any], value: Any) -> Any:
    if place["type"].endswith("[]") and "components" in place:
        return [_ordered({**place, "type": place["type"].removesuffix("[]")}, member) for member in value]
    if "components" in place:
        return tuple(_ordered(component, value[component["name"]]) for component in place["components"])
    return value


def decode_result(function: str, data: bytes) -> Any:
    """What a function returns: its value, or a tuple of several.

    Raises:
        ValueError: `data` is not what the function returns.
    """
    try:
        values = decode(get_abi_output_types(cast("Any", _functions()[function])), data)
    except (DecodingError, OverflowError) as error:
        raise ValueError(f"{function} returned {len(data)} bytes that it cannot return") from error
    return values[0] if len(values) == 1 else values


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


def decode_event(topics: Sequence[bytes], data: bytes) -> tuple[str, dict[str, Any]]:
    """(name, values by name in the order of declaration) of one of the registry's events.

    Raises:
        ValueError: no event of the registry, or not what it holds.
    """
    entry = _events().get(topics[0] if topics else b"")
    if entry is None:
        raise ValueError("a log is of no event of the registry")
    indexed = [place["type"] for place in entry["inputs"] if place["indexed"]]
    plain = [place["type"] for place in entry["inputs"] if not place["indexed"]]
    if len(topics) != 1 + len(indexed):
        raise ValueError(f"a log of {entry['name']} has {len(topics)} topics, expected {1 + len(indexed)}")
    try:
        # Indexed values are static here: each fills one topic.
        found = iter(decode(indexed, b"".join(topics[1:])))
        rest = iter(decode(plain, data))
    except (DecodingError, OverflowError) as error:
        raise ValueError(f"a log of {entry['name']} has {len(data)} bytes that it cannot have") from error
    return entry["name"], {place["name"]: next(found if place["indexed"] else rest) for place in entry["inputs"]}


def _selector(entry: dict[str, Any]) -> bytes:
    return keccak(text=abi_to_signature(cast("Any", entry)))[:_SELECTOR]


@cache
def _functions() -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in registry_artifact().abi if entry["type"] == "function"}


@cache
def _events() -> dict[bytes, dict[str, Any]]:
    return {
        keccak(text=abi_to_signature(cast("Any", entry))): entry
        for entry in registry_artifact().abi if entry["type"] == "event"
    }


@cache
def _errors() -> dict[bytes, dict[str, Any]]:
    return {_selector(entry): entry for entry in registry_artifact().abi if entry["type"] == "error"}
