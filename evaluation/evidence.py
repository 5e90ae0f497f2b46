"""What a node keeps as evidence of its runs: signed entries, each of which names the hash of the one before (ADR 31).

An entry says that a run ended, was refused or was cut off, or that a request was answered from what had ended. It holds
what a node says in the open, what it read from the chain, and hashes: no share, no result, nothing about a patient, and
no number that depends on the data. Files of them: evaluation.journal.
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal, overload

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from evaluation.document import Code
from policy.canonical import canonical_bytes, canonical_hash
from policy.gate import AgreementFacts, Refusal

BEGIN = "00" * 32
"""Instead of the hash of an entry, or of a common part, before the first one."""
MAX_ENTRY_BYTES = 1 << 20
MAX_PHASES = 32
MAX_RULES = 64
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MAX_WORDS = 4_096
"""Characters of a rule's words: one that lists all that would be permitted may have more, and is cut."""
Words = Annotated[str, Field(max_length=MAX_WORDS)]
Name = Annotated[str, Field(max_length=64)]
Bits = Annotated[str, Field(pattern=r"^[01]{1,4096}$")]
Count = Annotated[int, Field(ge=0, lt=2**53)]
"""As JSON has them."""
Moment = Annotated[
    AwareDatetime, Field(ge=datetime(1, 1, 2, tzinfo=UTC), le=datetime(9999, 12, 30, tzinfo=UTC))
]
"""That is one in every time zone."""
Amount = Annotated[str, Field(pattern=r"^[0-9]{1,78}$")]
"""Of the privacy budget, in digits: it may be larger than a number of JSON."""
_DOMAIN = b"winnow-evidence\0"


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Verdict(Part):
    """What a rule of the gate said at this node."""

    rule: Code
    passes: bool
    found: Words | None = None
    """None where it passes, or where it would depend on the data."""
    required: Words | None = None

    @classmethod
    def of(cls, rule: str, refusal: Refusal | None) -> "Verdict":
        """A verdict of policy.gate."""
        if refusal is None:
            return cls(rule=rule, passes=True)
        return cls(rule=rule, passes=False, found=cut(refusal.found), required=cut(refusal.required))


@overload
def cut(words: str) -> str: ...
@overload
def cut(words: None) -> None: ...
def cut(words: str | None) -> str | None:
    """As many of them as an entry holds."""
    return None if words is None else words[:MAX_WORDS]


class Account(Part):
    """The agreement on the chain at one block; counts are over all its versions."""

    block: Count
    block_hash: str
    state: str
    version: Count
    runs_used: Count
    run_quota: Count
    requester_runs: Count | None = None
    """Of the run's requester."""
    budget_spent: Amount = "0"
    privacy_budget: Amount = "0"

    @classmethod
    def of(cls, facts: AgreementFacts, requester: str | None) -> "Account":
        """As a node read it."""
        return cls(
            block=facts.block_number, block_hash=facts.block_hash, state=facts.state, version=facts.version,
            runs_used=facts.runs_used, run_quota=facts.run_quota,
            requester_runs=None if requester is None else facts.requester_runs.get(requester, 0),
            budget_spent=str(facts.budget_spent), privacy_budget=str(facts.privacy_budget),
        )


class Passed(Part):
    """A phase that the node entered, since no rule refused at the newest block."""

    phase: Name
    block: Count


class Permitted(Part):
    """How a run came to be permitted at this node."""

    before: Account | None = None
    """At the final block at which it was found permitted; None: it did not come so far."""
    after: Account | None = None
    """At a final block at which it is authorised: the same one, if it was authorised by then."""
    verdicts: tuple[Verdict, ...] = Field(default=(), max_length=MAX_RULES)
    """Of every rule, at the block of `before`."""
    erased_panes: Count = 0
    """Leading panes in which rows were erased then."""
    phases: tuple[Passed, ...] = Field(default=(), max_length=MAX_PHASES)


class Common(Part):
    """What all three nodes say of a run that ended, to the letter."""

    agreement: Hash
    """Of the signed terms."""
    run: Hash
    requester: Name | None
    """None: on schedule."""
    windows: tuple[Count, ...]
    """Indexes on the agreement's lattice; empty: registers were linked."""
    kpis: tuple[Code, ...]
    """Empty where registers were linked."""
    plans: tuple[Hash, ...]
    """Of the KPIs, in the same order; all that the registers were linked for."""
    batch: Count
    epoch: Count
    """Of a linkage: which batch, and how many its epoch began with."""
    outcome: tuple[tuple[Bits, ...], ...]
    """By KPI and window: which cells came out (1), in the order of the plan's strata, all patients first."""
    alerts: tuple[Code, ...]
    """Alerts whose states left."""
    root: Hash | None
    """Over all that the three nodes sealed; None: nothing was."""


class Entry(Part):
    """Common to all entries."""

    number: Count
    """Its place in the file, from 0 on."""
    previous: Hash
    """Of the entry before, BEGIN of the first one."""
    at: Moment
    """By this node's clock, UTC."""
    agreement: Hash
    """Of the signed terms."""
    agreement_id: Hash
    """On the chain."""
    node: Annotated[int, Field(ge=0, le=2)]
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
    """Ed25519 (RFC 8032) by the key with which the node signs its records, over all else."""


class Asking(Part):
    """A request that a run answers."""

    request: Hash
    """The digest that its requester signed."""
    requester: Name | None
    outcome: Literal["run", "joined", "released"]
    kpis: tuple[Code, ...]


class Ended(Entry):
    """A run ended: it counts at all three nodes."""

    kind: Literal["run"] = "run"
    common: Common
    same: Hash
    """Over the common parts of all runs up to this one: equal at all three nodes."""
    attempt: Hash
    """Of the nodes, in which it ended."""
    manifest: Hash
    """H(agreement, plans, windows, data)."""
    sequence: Count
    """On the chain."""
    requests: tuple[Asking, ...] = ()
    permitted: Permitted
    sealed: dict[Name, Hash]
    """Recipient → SHA-256 of this node's sealed result."""
    transcript: Hash
    """Of the messages of the computation."""
    attestation: Hash
    """What this node puts on the chain; see `attested`."""


class Refused(Entry):
    """A rule refused a run, windows or a request; nothing more of it was opened."""

    kind: Literal["refused"] = "refused"
    rule: Code
    found: Words | None
    required: Words
    next_step: Words
    phase: Name
    """`start`, `ready` (before anything runs), `schedule` or `request`, or a phase of a run."""
    run: Hash | None
    """None: it has no id yet."""
    windows: tuple[Count, ...]
    kpis: tuple[Code, ...] = ()
    """Of a request; empty: all of the agreement."""
    request: Hash | None
    requester: Name | None
    opened: bool
    """Whether something of the run may have been opened before."""
    permitted: Permitted


class Aborted(Entry):
    """A run was cut off, by whatever is no rule: nothing of it counts, and it is tried again."""

    kind: Literal["aborted"] = "aborted"
    reason: Name
    """The kind of error."""
    phase: Name
    run: Hash | None
    windows: tuple[Count, ...]
    requester: Name | None
    opened: bool
    permitted: Permitted


class Answered(Entry):
    """A request was answered from what had ended before: nothing was computed, and no quota used."""

    kind: Literal["answered"] = "answered"
    request: Hash
    requester: Name | None
    windows: tuple[Count, ...]
    kpis: tuple[Code, ...]
    run: Hash | None
    """In which it had ended."""


AnyEntry = Ended | Refused | Aborted | Answered
ENTRY: TypeAdapter[AnyEntry] = TypeAdapter(Annotated[AnyEntry, Field(discriminator="kind")])


def line_of(entry: AnyEntry) -> bytes:
    """The entry as it stands in the file, without the end of the line: canonical JSON (RFC 8785)."""
    return canonical_bytes(entry)


def hash_of(line: bytes) -> str:
    """By which the next entry names it."""
    return hashlib.sha256(line).hexdigest()


def signed(entry: AnyEntry, key: Ed25519PrivateKey) -> AnyEntry:
    """The entry with this node's signature."""
    return entry.model_copy(update={"signature": key.sign(_covered(entry)).hex()})


def is_signed(entry: AnyEntry, record_key: str) -> bool:
    """Whether the node with this key (Ed25519, hexadecimal) signed it."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(record_key)).verify(
            bytes.fromhex(entry.signature), _covered(entry)
        )
    except InvalidSignature:
        return False
    return True


def _covered(entry: AnyEntry) -> bytes:
    return _DOMAIN + canonical_bytes(entry.model_dump(mode="json", exclude={"signature"}))


def following(same: str, common: Common) -> str:
    """Head of the common parts after one more."""
    return canonical_hash({"before": same, "run": common.model_dump(mode="json")})


def attested(run: str, manifest: str, agreement: str, transcript: bytes, sealed: Iterable[str]) -> str:
    """What a node vouches for on the chain: its transcript and its sealed results.

    Args:
        run: its id.
        manifest: see Ended.
        agreement: hash of the terms.
        transcript: 32 bytes.
        sealed: hashes of the sealed results, in the recipients' alphabetical order.
    """
    return hashlib.sha256(b"\0".join((
        b"winnow-attestation", run.encode(), manifest.encode(), agreement.encode(), transcript,
        *[h.encode() for h in sealed],
    ))).hexdigest()
