"""What nodes and parties say in the open: signed records on the `runs` topic.

A record says that a run was done, refused or failed and why, which cells were suppressed, which windows were missed or
skipped, how a request was answered, what a node waits for, which panes are closed, how far a party has sealed, or how
many events it read. It holds no share, no result and nothing about a patient. Its fields have the bounds of the result
document's, so that a signer who writes nonsense is ignored and cannot end a reader.
"""

from typing import Annotated, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from evaluation.document import Code, Count
from evaluation.errors import Tampered
from mpc.linked import MAX_PARTIES
from policy.agreement import MAX_SHARDS, Terms
from policy.alert import MAX_ALERTS
from policy.growth import MAX_BATCHES
from policy.maturity import MAX_MATURITIES
from policy.window import MAX_PANES

MAX_RECORD_BYTES = 1 << 20
BELIEVED = 2
"""Nodes that must say the same of a run, a window or a request before it is shown: one of two is honest."""
_SIGNATURE_BYTES = 64
MAX_RECORD_KPIS = 64
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Words = Annotated[str, Field(max_length=500)]
Windows = Annotated[tuple[Count, ...], Field(min_length=1, max_length=MAX_PANES)]


class Record(BaseModel):
    """Common to all records; `agreement` is the hash of the signed terms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agreement: str


class Refused(Record):
    """A node refuses a request, or windows (with `windows` empty: everything), by a rule."""

    kind: Literal["refused"] = "refused"
    node: int
    run: str | None
    windows: tuple[int, ...]
    rule: Code
    found: str | None
    required: str
    next_step: str
    request: Digest | None = None
    """The request that is refused; the schedule goes on."""


class Suppressed(BaseModel):
    """A cell of a window that does not come out; never a number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kpi: str
    window: int
    cell: dict[str, str]
    rule: Code
    required: str


class Done(Record):
    """A node's run ended; results, if any, are on their way to the recipients."""

    kind: Literal["done"] = "done"
    node: int
    run: str
    manifest: str = ""
    """H(agreement, plans, windows, data) of a run that was authorised in advance; otherwise that is the run's id."""
    windows: tuple[int, ...]
    """Empty for a linkage run."""
    batch: Annotated[int, Field(ge=0, lt=MAX_BATCHES)] = 0
    """Of a linkage run: which batch of the registers' blocks it linked."""
    epoch: Annotated[int, Field(ge=1, le=MAX_BATCHES)] = 1
    """Of a linkage run: how many batches were linked together when its epoch began; more than 1: linked anew."""
    sequence: Count
    seconds: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    suppressed: tuple[Suppressed, ...] = ()
    released: Count = 0
    """Number of released cells."""
    alerts: tuple[Code, ...] = Field(default=(), max_length=MAX_ALERTS)
    """Alerts whose states after these windows are on their way, released or not."""
    kpis: tuple[Code, ...] = Field(default=(), max_length=MAX_RECORD_KPIS)
    """KPIs that were computed; empty: all of the agreement's. A request may have asked for some of them."""
    due_at: AwareDatetime | None = None
    """When this node had everything that the last window needs."""
    ended_at: AwareDatetime | None = None
    late: Words | None = None
    """Why it ended long after it was due, such as that this node was down."""


class Failed(Record):
    """A node's run was given up before anything was opened; it will be tried again."""

    kind: Literal["failed"] = "failed"
    node: int
    run: str | None
    reason: str


class Answered(Record):
    """What a node does about a request that it admits."""

    kind: Literal["answered"] = "answered"
    node: int
    request: Digest
    """The digest that its requester signed."""
    requester: Code | None = None
    outcome: Literal["run", "joined", "released"]
    """run: a new run computes what is missing. joined: a run under way does. released: all of it ended before."""
    run: Digest | None = None
    window: Count
    kpis: tuple[Code, ...] = Field(min_length=1, max_length=MAX_RECORD_KPIS)


class Missed(Record):
    """Windows that were due and could not run; they run as soon as they can."""

    kind: Literal["missed"] = "missed"
    node: int
    windows: Windows
    reason: Words
    since: AwareDatetime | None
    """None: nobody knows, as before a node's first start."""
    until: AwareDatetime | None = None
    """None: it lasts."""


class Skipped(Record):
    """Scheduled windows that do not run, since everything of them ended in another way."""

    kind: Literal["skipped"] = "skipped"
    node: int
    windows: Windows
    reason: Words


class Events(Record):
    """A party's account of its own events."""

    kind: Literal["events"] = "events"
    party: str
    final: bool
    read: Count
    accepted: Count
    rejected: dict[Code, Count]
    late_pending: Count
    late_after_maturity: Count = 0

    @model_validator(mode="after")
    def _adds_up(self) -> "Events":
        late = self.late_pending + self.late_after_maturity
        if self.accepted + sum(self.rejected.values()) != self.read or late > self.accepted:
            raise ValueError("an account of events that does not add up")
        return self


class PanesSealed(Record):
    """How many panes a party's worker has sealed in its shards, which nodes see from the batches too."""

    kind: Literal["sealed"] = "sealed"
    party: str
    sealed: Annotated[
        dict[Annotated[int, Field(ge=0, lt=MAX_SHARDS)], Annotated[int, Field(ge=0, le=MAX_PANES)]],
        Field(min_length=1, max_length=MAX_SHARDS),
    ]
    """Shard → panes."""


class Lacking(BaseModel):
    """What a node lacks first of one party's shard: a batch of the register, or a pane at a revision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    party: Code
    shard: Annotated[int, Field(ge=0, lt=MAX_SHARDS)]
    batch: Annotated[int, Field(ge=0, lt=MAX_BATCHES)] | None = None
    pane: Annotated[int, Field(ge=0, lt=MAX_PANES)] | None = None
    revision: Annotated[int, Field(ge=0, le=MAX_MATURITIES)] = 0
    window: Count
    """The first one that needs it."""

    @model_validator(mode="after")
    def _one_of_them(self) -> "Lacking":
        if (self.batch is None) == (self.pane is None) or (self.revision and self.pane is None):
            raise ValueError("expected a batch of the register, or a pane and its revision")
        return self


class Awaiting(Record):
    """What a node waits for, though the calendar says that it could be here; a later word replaces an earlier one."""

    kind: Literal["awaiting"] = "awaiting"
    node: int
    said_at: AwareDatetime
    lacking: tuple[Lacking, ...] = Field(max_length=MAX_PARTIES * MAX_SHARDS)
    """One at most of each party's shard; empty: it waits for nothing any more."""


class Erased(Record):
    """A node's receipt: the rows of a list are erased in all that it holds of the panes before a boundary."""

    kind: Literal["erased"] = "erased"
    node: int
    party: str
    shard: Annotated[int, Field(ge=0, lt=MAX_SHARDS)]
    number: Count
    boundary: Annotated[int, Field(ge=1, le=MAX_PANES)]
    rows: Count
    digest: Digest
    """Of the list (streams.erasure)."""
    erased_at: AwareDatetime


class Closed(Record):
    """Rows are erased in these leading panes: no window that begins there runs any more."""

    kind: Literal["closed"] = "closed"
    node: int
    panes: Annotated[int, Field(ge=1, le=MAX_PANES)]


AnyRecord = (
    Awaiting | Closed | Erased | Refused | Done | Failed | Answered | Missed | Skipped | Events | PanesSealed
)
_ADAPTER: TypeAdapter[AnyRecord] = TypeAdapter(Annotated[AnyRecord, Field(discriminator="kind")])


def seal_record(record: Record, key: Ed25519PrivateKey) -> bytes:
    """Signature (64 bytes, Ed25519, RFC 8032) followed by the record as JSON."""
    body = record.model_dump_json().encode()
    return key.sign(b"winnow-record\0" + body) + body


def open_record(message: bytes, terms: Terms) -> AnyRecord:
    """Check a record's form, agreement and signature.

    Raises:
        Tampered: too large, not a record, another agreement, an unknown signer or a wrong signature.
    """
    if not _SIGNATURE_BYTES < len(message) <= MAX_RECORD_BYTES:
        raise Tampered(f"a record of {len(message)} bytes, expected 65 to {MAX_RECORD_BYTES}; it is ignored")
    signature, body = message[:_SIGNATURE_BYTES], message[_SIGNATURE_BYTES:]
    try:
        record = _ADAPTER.validate_json(body)
    except ValidationError as error:
        raise Tampered(f"not a record: {error.errors()[0]['msg']}; it is ignored") from error
    if record.agreement != terms.hash:
        raise Tampered(f"a record of agreement {record.agreement[:16]}, expected {terms.hash[:16]}; it is ignored")
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(_signer(record, terms))).verify(
            signature, b"winnow-record\0" + body
        )
    except InvalidSignature as error:
        raise Tampered(f"a {record.kind} record with a wrong signature; it is ignored") from error
    return record


def _signer(record: AnyRecord, terms: Terms) -> str:
    if isinstance(record, Events | PanesSealed):
        keys = {p.name: p.batch_key for p in terms.parties}
        if record.party not in keys:
            raise Tampered(f"a record of unknown party {record.party!r}; it is ignored")
        return keys[record.party]
    if not 0 <= record.node < len(terms.nodes):
        raise Tampered(f"a record of unknown node {record.node}; it is ignored")
    return terms.nodes[record.node].record_key
