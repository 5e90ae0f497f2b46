"""The committed build of the contract, and what of its code may differ from one deployment to the next."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from policy.chain.errors import ChainMismatch


@dataclass(frozen=True)
class Artifact:
    """A compiled contract."""

    abi: list[dict[str, Any]]
    bytecode: bytes
    deployed: bytes
    """Run-time code with zeros in place of immutables."""
    immutables: tuple[tuple[int, int], ...]
    """(start, length) in `deployed`: values the constructor fills in, such as its own address."""

    def masked(self, code: bytes) -> bytes:
        """`code` with its immutables set to zero."""
        plain = bytearray(code)
        for start, length in self.immutables:
            plain[start : start + length] = bytes(length)
        return bytes(plain)

    def check_code(self, code: bytes) -> None:
        """Refuse code that the committed sources do not compile to.

        Raises:
            ChainMismatch: there is no code, or other code.
        """
        if not code:
            raise ChainMismatch(
                "found no contract at the registry's address; check the address, and that the endpoint is of its chain."
            )
        if len(code) != len(self.deployed) or self.masked(code) != self.deployed:
            raise ChainMismatch(
                f"the contract's code ({len(code)} bytes) is not the registry's that this version was built with "
                f"({len(self.deployed)} bytes); deploy this version's registry, or install the version that fits."
            )


@cache
def registry_artifact() -> Artifact:
    """The registry's build, from policy/chain/artifacts."""
    text = (resources.files("policy.chain") / "artifacts" / "AgreementRegistry.json").read_text(encoding="utf-8")
    found = json.loads(text)
    return Artifact(
        abi=found["abi"],
        bytecode=bytes.fromhex(found["bytecode"][2:]),
        deployed=bytes.fromhex(found["deployed_bytecode"][2:]),
        immutables=tuple((place["start"], place["length"]) for place in found["immutable_references"]),
    )
