"""How one node answers requests: refuse by a rule, answer from what has ended, or let a run under way answer them.

Pure decisions over the ledger and facts that are equal at all nodes; what has to be computed is the desk's business.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import structlog

from evaluation.intake import Asked, Intake, NotAsked, nonce_key
from evaluation.noting import Evidence
from evaluation.outcome import RunRefused
from evaluation.records import Answered, Record, Refused
from evaluation.state import NodeState
from evaluation.status import StatusLine
from policy.agreement import Terms
from policy.gate import AgreementFacts, DemandFacts, Refusal, admission
from policy.plan import Plan
from policy.request import Pair, demanded_plans, demanded_window, missing_plans
from policy.window import Window
from streams.sparing import Sparing


class Outlets(Protocol):
    """Where a node's outcomes go."""

    async def attest(self, run: str) -> None:
        """Return when the run's attestation is sent to the chain, or is there."""

    def give_up(self, run: str) -> None:
        """State on the chain that nothing of the run was opened here, and never will be; see NodeState.gives_up."""

    async def send(self, recipient: str, sealed: bytes) -> None:
        """Send a sealed result."""

    async def say(self, record: Record) -> None:
        """Send a record."""

    async def receipt(self, topic: str, record: Record) -> None:
        """Send a party, on its topic of receipts, what was done for it."""


@dataclass
class Extras:
    """What a run settles beside its windows."""

    requester: str | None = None
    answers: list[Answered] = field(default_factory=list)
    handled: int = 0
    nonces: dict[str, str] = field(default_factory=dict)

    def answer(self, asked: Asked, answered: Answered) -> None:
        """The run answers this request, too."""
        self.answers.append(answered)
        self.handled = asked.offset + 1
        self.nonces[nonce_key(asked.demand)] = asked.digest


@dataclass
class Answering:
    """One node's."""

    terms: Terms
    number: int
    state: NodeState
    intake: Intake
    outlets: Outlets
    status: StatusLine
    evidence: Evidence
    sparing: Sparing = field(default_factory=Sparing)

    async def hear(self, offset: int, message: bytes) -> bool:
        """Take a message of the requests' topic; whether it is a request to answer."""
        try:
            self.intake.take(offset, message)
        except NotAsked as reason:
            if (count := self.sparing.due("ignored")) > 0:  # anybody who may write there can cause them without end
                structlog.get_logger().warning("requests ignored", count=count, reason=str(reason), offset=offset)
            if reason.refusal is not None and reason.digest is not None:
                await self.outlets.say(self.refused(RunRefused(reason.refusal, None, "request"), (), reason.digest))
            return False
        return True

    def refusal(
        self, asked: Asked, facts: AgreementFacts, panes: int, covered: Collection[Pair], nonces: Mapping[str, str]
    ) -> Refusal | None:
        """The first rule's that refuses a request; `nonces`: of the requests before it, beside those in the ledger."""
        ledger, key = self.state.ledger, nonce_key(asked.demand)
        known = DemandFacts(
            signer=asked.signer, nonce_seen=key in ledger.nonces or key in nonces, complete_panes=panes,
            needs_run=bool(missing_plans(self.terms, asked.demand, covered)),
            runs_used=ledger.used.get(asked.demand.requester, 0), erased_panes=ledger.closed,
        )
        return admission(self.terms, facts, asked.demand, known)

    def join(
        self, extras: Extras, queue: Sequence[Asked], facts: AgreementFacts, plans: Sequence[Plan],
        windows: Sequence[Window],
    ) -> None:
        """Let a run answer the next requests, too, as long as nothing more has to be computed for them."""
        mine = {(p.hash, w.index) for p in plans for w in windows}
        covered = mine | self.state.pairs.keys()
        for asked in queue:
            window = demanded_window(self.terms, asked.demand)
            if window is None or missing_plans(self.terms, asked.demand, covered):
                return
            if self.refusal(asked, facts, window.stop, covered, extras.nonces) is not None:
                return
            waits = any((p.hash, window.index) in mine for p in demanded_plans(self.terms, asked.demand))
            extras.answer(asked, self.answer(asked, window, "joined" if waits else "released"))

    def answer(self, asked: Asked, window: Window, outcome: Literal["run", "joined", "released"]) -> Answered:
        """`run` is that of the ledger; None for one that is under way."""
        ended = [self.state.pairs.get((p.hash, window.index)) for p in demanded_plans(self.terms, asked.demand)]
        return Answered(
            agreement=self.terms.hash, node=self.number, request=asked.digest, requester=asked.demand.requester,
            outcome=outcome, run=ended[-1] if outcome == "released" else None, window=window.index,
            kpis=asked.demand.kpis,
        )

    async def released(self, asked: Asked, window: Window) -> None:
        """Everything asked for has ended before."""
        answer = self.answer(asked, window, "released")
        self.evidence.answered(asked, window, answer.run)
        await self.outlets.say(answer)
        self.state.answered(asked.offset + 1, {nonce_key(asked.demand): asked.digest})
        self.status.say("request", request=asked.digest, outcome="released")

    async def refuse(self, asked: Asked, window: Window | None, error: RunRefused) -> None:
        """A rule refuses it."""
        await self.outlets.say(self.refused(error, () if window is None else (window.index,), asked.digest, asked))
        self.state.answered(asked.offset + 1, self._spent(asked))
        self.status.say("request", request=asked.digest, outcome="refused", rule=error.refusal.rule)

    async def catch_up(self, handled: int) -> None:
        """Peers answered requests that this node did not come to any more: it says what it can say of them.

        Of the others it notes what peers noted, so that all leave the same copies out. What this node has not read yet
        it reads first: a peer that is wrong about its place must not move others'.
        """
        handled = min(handled, self.intake.read)
        for asked in self.intake.waiting(handled):
            window = demanded_window(self.terms, asked.demand)
            if window is not None and not missing_plans(self.terms, asked.demand, self.state.pairs):
                await self.released(asked, window)
            else:
                self.state.answered(asked.offset + 1, self._spent(asked))
        if handled > self.state.ledger.handled:
            self.state.answered(handled, {})

    def _spent(self, asked: Asked) -> dict[str, str]:
        """What a refused request leaves in the ledger.

        A nonce stays with the request that used it first; a copy of this one is to be known, too.
        """
        key = nonce_key(asked.demand)
        return {asked.digest if key in self.state.ledger.nonces else key: asked.digest}

    def refused(
        self, error: RunRefused, windows: tuple[int, ...], request: str | None = None, asked: Asked | None = None
    ) -> Refused:
        """Note a refusal as evidence; returns it as a record."""
        refusal = error.refusal
        self.evidence.refused(error, windows, request, asked)
        return Refused(
            agreement=self.terms.hash, node=self.number, run=error.run, windows=windows, rule=refusal.rule,
            found=refusal.found, required=refusal.required, next_step=refusal.next_step, request=request,
        )
