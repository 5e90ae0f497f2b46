"""Values that cross the chain's boundary. Hashes and ids are 64 lower-case hexadecimal digits without 0x."""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field

from policy.chain.errors import ChainStale

At = Literal["finalized", "latest"] | int
"""Which block to read: the newest final one, the newest one, or one by its number."""
State = Literal["unknown", "proposed", "signed", "active", "suspended", "superseded", "revoked", "expired"]
STATES: tuple[State, ...] = get_args(State)
"""In the order of the contract's enum; the last three are for good."""
Stage = Literal["unknown", "authorised", "released", "attested", "committed"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""The same of a run."""

MAX_ACCOUNTS = 8
"""Parties or attestors of an agreement, as in the contract."""
NONE = "00" * 32
"""A hash, an id or a root that there is not."""
NOBODY = "0x" + "00" * 20
"""Instead of a requester: on schedule."""
_HASH = re.compile(r"[0-9a-f]{64}")


class Deployment(BaseModel):
    """One registry, pinned: a node reads no other."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(pattern=r"^0x[0-9a-fA-F]{40}$")
    chain_id: int = Field(ge=1, lt=2**64)
    code_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """keccak-256 of the deployed code, its immutables included."""


class Requester(NamedTuple):
    """Who may have runs made on demand."""

    account: str
    run_quota: int
    """Most of them under all versions of the agreement, at least 1."""


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
    """Most runs under all versions of the agreement."""
    requesters: tuple[Requester, ...] = ()
    """At most 64, by ascending address."""
    privacy_budget: int = 0
    """Most that all these runs may spend, in the unit that the terms say."""
    supersedes: str | None = None
    """The id of the agreement whose place and account this one takes over."""


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
    """By all versions, as are the other two of what was used."""
    requesters: tuple[Requester, ...] = ()
    requester_runs: tuple[int, ...] = ()
    """Runs of each requester."""
    privacy_budget: int = 0
    budget_spent: int = 0
    supersedes: str | None = None
    version: int = 1
    """Its place among those that supersede each other; 0 of an unknown one."""
    latest: str | None = None
    """The id of the last one of them that came into force."""
    suspended_by: tuple[str, ...] = ()
    """Parties that suspend it."""

    @property
    def proposal(self) -> Proposal:
        """The contents that hash to the agreement's id."""
        return Proposal(
            self.terms_hash, self.parties, self.attestors, self.valid_from, self.valid_until, self.run_quota,
            self.requesters, self.privacy_budget, self.supersedes,
        )


@dataclass(frozen=True)
class RunView:
    """A run, read at one block."""

    stage: Stage
    sequence: int
    """Of its last authorisation, from 1 on; 0: none."""
    requester: str | None
    """On whose demand; None: on schedule."""
    budget: int
    """Privacy budget that it reserved."""
    given_up: tuple[int, ...]
    """Places of the attestors that gave it up since."""
    attested: tuple[int, ...]
    """Places of the attestors that attested."""
    commitment: str | None
    """The root of its outputs."""


class Attested(NamedTuple):
    """What an attestor recorded for a run."""

    block_hash: str
    """The final block at which it found the run permitted."""
    transcript: str
    """What it computed."""


def to_bytes32(value: str) -> bytes:
    """The 32 bytes of a hash or an id.

    Raises:
        ValueError: not 64 lower-case hexadecimal digits.
    """
    if not _HASH.fullmatch(value):
        raise ValueError(f"{value[:80]!r} is not a hash: expected 64 lower-case hexadecimal digits")
    return bytes.fromhex(value)


def check_fresh(block: Block, now: float, max_age_seconds: float, otherwise: str = "") -> None:
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
            f"check that the chain makes blocks, the endpoint follows it and this machine's clock is right{otherwise}."
        )
