"""Values that cross the chain's boundary. Hashes and ids are 64 lower-case hexadecimal digits without 0x."""

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from policy.chain.errors import ChainStale

At = Literal["finalized", "latest"] | int
"""Which block to read: the newest final one, the newest one, or one by its number."""
State = Literal["unknown", "proposed", "active", "revoked", "expired"]
STATES: tuple[State, ...] = ("unknown", "proposed", "active", "revoked", "expired")
"""In the order of the contract's enum."""

MAX_ACCOUNTS = 8
"""Parties or attestors of an agreement, as in the contract."""
_HASH = re.compile(r"[0-9a-f]{64}")


class Deployment(BaseModel):
    """One registry, pinned: a node reads no other."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(pattern=r"^0x[0-9a-fA-F]{40}$")
    chain_id: int = Field(ge=1, lt=2**64)
    code_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """keccak-256 of the deployed code, its immutables included."""


@dataclass(frozen=True)
class Proposal:
    """What the chain knows of an agreement's content; its digest is the agreement's id."""

    terms_hash: str
    parties: tuple[str, ...]
    """Addresses, 1 to 8 different ones; the order counts."""
    attestors: tuple[str, ...]
    valid_from: int
    """Unix seconds, the first at which runs may be authorised."""
    valid_until: int
    """Unix seconds, the first at which they no longer may."""
    run_quota: int


@dataclass(frozen=True)
class Block:
    """A block that was read."""

    number: int
    hash: str
    time: int
    """Unix seconds."""
    base_fee_wei: int = 0


@dataclass(frozen=True)
class AgreementView:
    """An agreement, all of it read at one block."""

    block_number: int
    block_hash: str
    block_time: int
    """Unix seconds."""
    state: State
    terms_hash: str
    parties: tuple[str, ...]
    attestors: tuple[str, ...]
    missing: tuple[str, ...]
    """Parties that have not signed."""
    valid_from: int
    valid_until: int
    run_quota: int
    runs_used: int

    @property
    def proposal(self) -> Proposal:
        """The contents that hash to the agreement's id."""
        return Proposal(
            self.terms_hash, self.parties, self.attestors, self.valid_from, self.valid_until, self.run_quota
        )


def to_bytes32(value: str) -> bytes:
    """The 32 bytes of a hash or an id.

    Raises:
        ValueError: not 64 lower-case hexadecimal digits.
    """
    if not _HASH.fullmatch(value):
        raise ValueError(f"{value[:80]!r} is not a hash: expected 64 lower-case hexadecimal digits")
    return bytes.fromhex(value)


def check_fresh(block: Block, now: float, max_age_seconds: float) -> None:
    """Refuse a head that cannot be the chain's newest.

    An endpoint that hides newer blocks while it goes on making some of its own passes this check; nodes therefore
    compare the hashes of final blocks with each other.

    Raises:
        ChainStale: older than `max_age_seconds`, or as far in the future.
    """
    age = now - block.time
    if abs(age) > max_age_seconds:
        when = f"{age:.0f} s old" if age > 0 else f"{-age:.0f} s in the future"
        raise ChainStale(
            f"block {block.number} is {when}, expected at most {max_age_seconds:.0f} s; "
            "check that the chain makes blocks, the endpoint follows it and this machine's clock is right."
        )
