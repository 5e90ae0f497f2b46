"""How three nodes agree on the next run: same windows, same data, same block, same plans, everyone willing.

All messages go over the attempt's authenticated channel, are canonical JSON of bounded size, and carry no share.
Rounds: `ready` (what could each do next), `stance` (what each would run, over which data), then a `verdict` before
every phase, so that one node's refusal stops all three before anything is opened; in the end `sealed`: the outcome is
durable here. Where running totals differ, nodes tell each other at which mark they went back to; where many panes are
to be added before a run, what is `added` after each portion; between runs, how far each is `ahead` with the next epoch.
"""

import hashlib
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluation.config import MOST_WINDOWS
from evaluation.errors import Apart
from evaluation.evidence import BEGIN
from evaluation.ledger import MAX_RUNS_KEPT
from evaluation.totals import MARKS, PaneTotals
from mpc.errors import ProtocolError
from mpc.wire import Wire
from policy.agreement import MAX_SHARDS
from policy.canonical import canonical_bytes
from policy.growth import MAX_BATCHES
from policy.identity import NODES
from streams.erasure import MAX_LISTS

Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Attempted = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
MODEL = TypeVar("MODEL", bound=BaseModel)
Number = Annotated[int, Field(ge=0, le=MAX_LISTS)]
MAX_MESSAGE_BYTES = 64 << 10
MAX_SIDES = 5 * MAX_SHARDS
"""Shards of all parties of an agreement."""


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ready(Message):
    """What this node could do next. All three see the same three messages, and so take the same decision."""

    agreement: Hex32
    """Hash of the terms, of one version, under which it works."""
    head: int
    """Its newest finalised block."""
    attempt: Attempted = ""
    """The attempt that it prepared last, or settled last if it prepared none since."""
    settled: bool
    """Whether that attempt is settled here."""
    ledger: Hex32
    """A digest of the runs that are settled here."""
    evidence: Hex32 = BEGIN
    """Head of what it noted of all runs that ended (evaluation.noting)."""
    noted: int = Field(default=0, ge=0)
    """How many these are."""
    linkage: Attempted = ""
    """The attempt that linked, the last batch if there were several."""
    renewal: Attempted = ""
    """The attempt that linked the epoch to come, or its last batch; empty if there is none."""
    renewed: Attempted = ""
    """A digest of that and of its running totals, if they are as far as those in force; else empty."""
    batches: int = Field(ge=0, le=MAX_BATCHES)
    """Leading batches of the registers that are complete here, and could be linked."""
    panes: int = Field(ge=0)
    """Leading panes that are complete here."""
    mature: int = Field(default=0, ge=0)
    """Leading panes that are complete for the last edition of results."""
    open: bool
    """Whether it runs scheduled windows: no rule refused them."""
    requests: int = Field(ge=0)
    """Requests of lower offsets were read here."""
    handled: int = Field(ge=0)
    """Requests of lower offsets are answered here."""
    asked_last: bool
    """Whether the latest run was for a request: a scheduled one comes first then."""
    given_up: tuple[Hex32, ...] = Field(default=(), max_length=MAX_RUNS_KEPT)
    """Runs that it gave up: it attests to nothing under these ids."""
    windows: int = Field(default=MOST_WINDOWS, ge=1, le=MOST_WINDOWS)
    """Scheduled windows that may share a run, as far as it goes."""
    places: int = Field(default=0, ge=0, lt=2**53)
    """Places that are spent, as this node counts (evaluation.advance)."""
    lists: tuple[tuple[Number, Number, Number, Number, Number], ...] = Field(default=(), max_length=MAX_SIDES)
    """By party and shard: erasure lists known, due, overdue, marked and done (streams.erased.Stand)."""


class Lists(Message):
    """Digests of the erasure lists that could be obeyed now, of parties and shards that have some."""

    digests: tuple[Hex32, ...] = Field(max_length=MAX_SIDES)


class Stance(Message):
    """What this node is about to run. Components' digests cover salted commitments."""

    windows: tuple[int, ...]
    plans: tuple[str, ...]
    requester: str = Field(default="", max_length=40)
    """On whose demand; empty: on schedule."""
    batches: str
    components: dict[int, str]
    """Component → digest, for the two components that this node holds."""
    block_number: int
    block_hash: str
    linkage: str = ""
    """The attempt of which this node keeps the linkage; empty where it is made from the beginning."""
    batch: int = Field(default=0, ge=0, lt=MAX_BATCHES)
    """Without windows: the batch of the registers that is linked."""
    epoch: int = Field(default=1, ge=1, le=MAX_BATCHES)
    """Without windows: how many batches that epoch began with."""
    place: Attempted = ""
    """The place that is reserved for the next run, at this block; empty if none is, or this node wants none."""
    bound: Attempted = ""
    """The manifest to which that place is bound here already."""
    totals: tuple[Hex32, ...] = Field(default=(), max_length=MARKS)
    """The last marks of its running totals; where nodes differ, all go back to the last one that they share."""


class Ahead(Message):
    """How far this node is with the epoch to come."""

    totals: tuple[Hex32, ...] = Field(default=(), max_length=MARKS)
    """As in Stance."""


class Verdict(Message):
    """Whether this node goes on to `phase`; else the rule by which it refuses."""

    phase: str = Field(max_length=40)
    rule: str | None = Field(default=None, pattern=r"^[a-z][a-z-]{0,39}$")


class WentBack(Message):
    """Where nodes' running totals differed: the mark at which this node's are now."""

    mark: Attempted


class Added(Message):
    """A portion of panes is in the running totals."""

    left: int = Field(ge=0)
    """Portions that the run still needs."""
    enough: bool
    """Whether this node leaves them to another attempt, since this one has used up its time or messages."""


class Sealed(Message):
    """Hashes of this node's sealed results, in the recipients' alphabetical order."""

    hashes: tuple[Hex32, ...] = Field(max_length=64)


class PeerRefused(Exception):
    """A peer's verdict stopped the run."""

    def __init__(self, node: int, rule: str) -> None:
        super().__init__(f"node {node} refuses by rule {rule}")
        self.node, self.rule = node, rule


class Council:
    """The three nodes' exchange within one attempt; every message kind is sent once, in the same order by all."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire.channel(2)
        self._label = 0

    async def exchange(self, mine: MODEL) -> list[MODEL]:
        """Send `mine` to both peers, receive theirs; in order of node number.

        One round.

        Raises:
            ProtocolError: a peer's message is too large or not of this kind.
            PeerLost, PeerTimeout: see mpc.wire.
        """
        self._label += 1
        label, payload = self._label, canonical_bytes(mine)
        peers = [j for j in range(NODES) if j != self._wire.number]
        for peer in peers:
            self._wire.send(peer, label, payload)
        await self._wire.drain()
        answers = {self._wire.number: mine}
        for peer in peers:
            data = bytes(await self._wire.receive(peer, label))
            if len(data) > MAX_MESSAGE_BYTES:
                raise ProtocolError(f"node {peer} sent {len(data)} bytes, at most {MAX_MESSAGE_BYTES} are expected")
            try:
                answers[peer] = type(mine).model_validate_json(data)
            except ValidationError as error:
                raise ProtocolError(f"node {peer} did not send a {type(mine).__name__}") from error
        return [answers[j] for j in range(NODES)]

    async def agree(self, phase: str, rule: str | None) -> None:
        """Tell my verdict on `phase`; return only if all three go on.

        Raises:
            PeerRefused: a peer refuses (also when I refuse too: the caller knows its own verdict).
        """
        verdicts = await self.exchange(Verdict(phase=phase, rule=rule))
        for node, verdict in enumerate(verdicts):
            if verdict.phase != phase:
                raise ProtocolError(f"node {node} is at {verdict.phase!r}, this node at {phase!r}")
            if verdict.rule is not None and node != self._wire.number:
                raise PeerRefused(node, verdict.rule)


def same_agreement(ready: list[Ready]) -> None:
    """All three nodes work under one version of one agreement.

    Raises:
        Apart: they do not. It may end by itself, where a new version is being installed at one node after another.
    """
    if len({r.agreement for r in ready}) == 1:
        return
    found = ", ".join(f"{r.agreement[:16]} at node {node}" for node, r in enumerate(ready))
    raise Apart(
        f"same-agreement: found {found}, required the same at all three nodes. Next: install the terms in force, which "
        "winnow agreement history names."
    )


def disagreement(stances: list[Stance]) -> tuple[str, str, str] | None:
    """The first thing on which three stances differ: (rule, found, required), or None."""
    for rule, values in (
        ("same-windows", [s.windows for s in stances]),
        ("same-plans", [(s.plans, s.requester) for s in stances]),
        ("same-batches", [s.batches for s in stances]),
        ("same-linkage", [(s.linkage, s.batch, s.epoch) for s in stances]),
        ("heads-agree", [(s.block_number, s.block_hash) for s in stances]),
    ):
        if len(set(values)) != 1:
            return rule, "the three nodes differ", "equal at all three nodes"
    for node, stance in enumerate(stances):
        if set(stance.components) != {node, (node + 1) % NODES}:
            return "commitments-equal", f"node {node} tells of components {sorted(stance.components)}", "both it holds"
    for component in range(NODES):
        held = {s.components[component] for s in stances if component in s.components}
        if len(held) != 1:
            return "commitments-equal", f"the holders of component {component} differ", "equal at both holders"
    return None


def shared_mark(stances: list[Stance] | list[Ahead]) -> str:
    """The last mark of running totals that all three nodes have; empty if there is none."""
    first, *others = stances
    return next((mark for mark in reversed(first.totals) if all(mark in s.totals for s in others)), "")


async def go_back(council: Council, totals: PaneTotals, mark: str) -> None:
    """Have running totals that belong together: those at a mark that all three had, or none where one lost them."""
    totals.go_back(mark)
    told = await council.exchange(WentBack(mark="".join(totals.marks[-1:])))
    if len({t.mark for t in told}) != 1:
        totals.forget()


def run_id(agreement: str, stances: list[Stance]) -> str:
    """H(agreement, plans, windows, manifest, who asked): 64 hexadecimal digits, the same at all three nodes.

    The chain counts a run against its requester, so what one asks for is not what another does.
    """
    first = stances[0]
    digests = {c: d for s in stances for c, d in s.components.items()}
    return hashlib.sha256(canonical_bytes({
        "agreement": agreement, "plans": list(first.plans), "windows": list(first.windows),
        "batches": first.batches, "components": [digests[c] for c in range(NODES)],
        **({"requester": first.requester} if first.requester else {}),
    })).hexdigest()
