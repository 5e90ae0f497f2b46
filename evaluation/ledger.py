"""What a node keeps of its runs: models of `ledger.json` and `prepared.json` (evaluation.state)."""

from pydantic import AwareDatetime, BaseModel, ConfigDict

from evaluation.evidence import Permitted
from evaluation.records import Answered, Done

MAX_RUNS_KEPT = 64
"""Runs given up, or opened and not settled: each is a rare accident, and is tried again at once."""
MAX_NONCES = 4_096
"""Requests remembered, so that a copy is ignored; forgotten ones would be answered from the ledger, at no cost."""


class Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Attestation(Stored):
    """What this node puts on the chain for a run."""

    block: str
    """Hash of the final block at which this node found it permitted."""
    value: str
    """Hash of its transcript and its sealed results."""
    root: str | None = None
    """Root over all sealed results, which one node commits."""


class Prepared(Stored):
    """How one attempt at a run ended at this node."""

    attempt: str
    """Hexadecimal; "" is none."""
    run: str
    plans: tuple[str, ...]
    windows: tuple[int, ...]
    """Empty for linkage."""
    ahead: bool = False
    """Whether that is of the epoch to come."""
    done: Done
    block: str
    """See Attestation."""
    attestation: str
    hashes: tuple[str, ...]
    """Of the sealed results, in the recipients' alphabetical order."""
    sealed: dict[str, str]
    """Recipient → sealed result, hexadecimal."""
    spent: bool = False
    """Whether the place that was reserved for the next run is spent (evaluation.advance)."""
    requester: str | None = None
    """Who pays for the run."""
    answers: tuple[Answered, ...] = ()
    """Requests that the run answers."""
    handled: int = 0
    """Requests of lower offsets are answered once the run is settled."""
    nonces: dict[str, str] = {}
    """Of these requests; see Ledger."""
    transcript: str = "00" * 32
    """Of the messages of the computation."""
    permitted: Permitted = Permitted()
    """How the run came to be permitted here."""


class Ended(Stored):
    """One settled run."""

    run: str
    plans: tuple[str, ...]
    windows: tuple[int, ...]


class Ledger(Stored):
    """Everything that a node must not forget, and that grows slowly."""

    agreement: str
    runs: tuple[Ended, ...] = ()
    """Settled runs over windows, in order."""
    attempt: str = ""
    """The attempt that was settled last, linkage included."""
    linkage: str = ""
    """The attempt that linked, the last batch if there were several."""
    renewal: str = ""
    """The attempt that linked the epoch to come, or its last batch; empty if there is none."""
    sent: bool = True
    """Whether what it left was sent."""
    attestations: dict[str, Attestation] = {}
    """By run: not yet known to be on the chain."""
    opened: tuple[str, ...] = ()
    """Runs, not settled, of which something may have been opened: never given up. The latest `MAX_RUNS_KEPT`."""
    given_up: tuple[str, ...] = ()
    """Runs that were refused before anything of them was opened: nothing ever will be. As many."""
    releases: tuple[str, ...] = ()
    """Those of them of which the chain may not know that yet."""
    places: int = 0
    """Places that were reserved for runs in advance and are spent (evaluation.advance)."""
    bound: str = ""
    """Manifest to which the next one is bound, empty while it is not."""
    handled: int = 0
    """Requests of lower offsets were answered or refused."""
    nonces: dict[str, str] = {}
    """Requester and nonce → digest, of the latest requests."""
    used: dict[str, int] = {}
    """Requester → new runs."""
    asked_last: bool = False
    """Whether the latest run was made for a request: the schedule comes next."""
    closed: int = 0
    """Leading panes in which rows are erased: no window that begins there runs any more."""
    series: tuple[str, ...] = ()
    """Reservations of privacy (evaluation.spending) that this node noted before anybody paid for them."""
    evidence: str = ""
    """Hash of the last entry of the evidence (evaluation.journal); the file may be ahead by one."""
    due: dict[int, AwareDatetime] = {}
    """Scheduled window → when its inputs were complete here; until it has ended."""
