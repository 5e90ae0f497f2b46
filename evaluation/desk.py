"""What one node decides and does in one attempt of the three: settle, link, serve a request, or run what is due.

All three nodes see the same three `Ready` messages and decide by them alone, so they take the same decision without a
leader. Requests and the schedule take turns when both wait. What ended here and is not known to have arrived is
sent by `publish`, before anything else begins.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluation.advance import Advance
from evaluation.agenda import Agenda
from evaluation.agreement import in_force, read_facts
from evaluation.answering import Answering, Extras, Outlets
from evaluation.compute import FIRST, Computation
from evaluation.config import MOST_WINDOWS, ChainSettings
from evaluation.coordination import Council, Ready, same_agreement
from evaluation.erasing import Erasing
from evaluation.errors import Apart
from evaluation.expected import Expected
from evaluation.giving_up import GivingUp
from evaluation.growing import Link
from evaluation.intake import Asked, Intake
from evaluation.ledger import Prepared
from evaluation.noting import Evidence
from evaluation.outcome import Outcome, RunRefused
from evaluation.records import Skipped
from evaluation.renewal import Renewal
from evaluation.run import ADDING_SECONDS, NodeRun
from evaluation.settling import settle
from evaluation.spending import all_series
from evaluation.state import NodeState
from evaluation.status import StatusLine
from mpc.wire import Wire
from policy.agreement import Terms
from policy.gate import RunRequest, during, revisions_left
from policy.plan import Plan
from policy.request import demanded_window, missing_plans
from policy.window import Window

if TYPE_CHECKING:
    from policy.chain.registry import Registry

HEAR_SECONDS = 0.2
"""Longest wait for requests that a peer says to have read; reading them takes some tens of milliseconds."""


class Inputs(Protocol):
    """What has arrived at a node."""

    @property
    def batches_complete(self) -> int: ...
    @property
    def complete_panes(self) -> int: ...
    @property
    def mature_panes(self) -> int: ...


@dataclass
class Desk:
    """One node's side of the work; `attempt` once for every attempt, `publish` in between."""

    terms: Terms
    plans: Sequence[Plan]
    number: int
    chain: ChainSettings
    registry: "Registry"
    computation: Computation
    inputs: Inputs
    signing_key: Ed25519PrivateKey
    status: StatusLine
    state: NodeState
    intake: Intake
    expected: Expected
    outlets: Outlets
    most_windows: int = MOST_WINDOWS
    live: bool = False
    """Whether the next run is authorised in advance, and what may pass is waited for."""
    erasing: Erasing | None = None
    """Of an agreement with erasure."""
    stopped: RunRefused | None = None
    """Why scheduled windows run no longer."""
    adding_seconds: float = ADDING_SECONDS
    """After so long an attempt begins no further portion of panes."""
    suspended: bool = False
    """Whether that may end by itself."""
    again: float = 0.0
    """When to look whether it has; of time.monotonic."""

    def __post_init__(self) -> None:
        self.evidence = Evidence(self.terms, self.chain.agreement_id, self.number, self.signing_key, self.state)
        self.answering = Answering(
            self.terms, self.number, self.state, self.intake, self.outlets, self.status, self.evidence
        )
        self.agenda = Agenda(self.terms, self.plans, self.state, self.expected)
        self.renewal = Renewal(self.terms, self.computation, self.state, self.status)
        self.advance = Advance(
            self.terms.hash, self.chain.agreement_id, self.number, self.registry, self.state
        ) if self.live else None
        self.giving_up = GivingUp(self.state, self.outlets, self.advance, kept=all_series(self.terms))

    def resume(self) -> None:
        """Go on with the linkage that was kept.

        Raises:
            ConfigError: it is gone.
        """
        self.computation.resume(*self.state.linkage())
        self.renewal.resume()

    @property
    def has_work(self) -> bool:
        """Whether this node knows of something to do together."""
        if not self.state.settled or self.intake.waiting(self.intake.read) or self._erases:
            return True
        if self.stopped is not None:
            return False
        here = self.inputs.batches_complete
        if self.computation.linkage != self.state.ledger.linkage:
            return True
        most = self.agenda.panes_of(here)
        panes, mature = (min(most, p) for p in (self.inputs.complete_panes, self.inputs.mature_panes))
        due = self.agenda.due(panes, mature, self.most_windows)
        return bool(due) or self.agenda.next_batch(self.computation.batches, here) is not None or self._renews

    @property
    def over(self) -> bool:
        """Whether no scheduled window is left to run, in no edition, and no row is left to be erased."""
        if self._erases:
            return False
        if self.stopped is not None:
            return True
        return self.expected.following() == len(self.terms.draft.lattice.scheduled) and not self.agenda.revisable()

    async def attempt(self, wire: Wire) -> bool:
        """One attempt; returns whether it got anything done.

        Raises:
            Apart: the nodes' ledgers or agreements differ.
            MpcError, ChainError: see there; the next attempt sorts out how far this one came.
        """
        council = Council(wire)
        head = (await self.registry.block("finalized")).number
        ready = await council.exchange(self._ready(head))
        same_agreement(ready)
        if len({r.requests for r in ready}) != 1:
            # Give the node that is behind a moment to read: else this attempt would be for nothing.
            await self.intake.reach(max(r.requests for r in ready), HEAR_SECONDS)
            ready = await council.exchange(self._ready(head))
        head = min(r.head for r in ready)
        if len({r.attempt for r in ready}) == 1:
            if not all(r.settled for r in ready):
                await settle(council, self.state, self.evidence, self.number)
                return True
        elif not self.state.settled and self.state.prepared is not None:
            self.evidence.dropped(self.state.prepared)
            self.state.drop()
        if self.computation.linkage != self.state.ledger.linkage:
            # What an attempt linked that was dropped, or failed before it prepared anything.
            self.computation.resume(*self.state.linkage())
        if len({r.ledger for r in ready}) != 1:
            raise Apart(
                "the nodes remember different runs: one lost its state folder or has another's. Restore that folder."
            )
        self.evidence.compare(ready)
        if self.advance is not None:
            self.advance.level([r.places for r in ready])
        linkages, renewed = self.renewal.level(ready, over=not self.agenda.left())
        linked = linkages[0] != "" and len(set(linkages)) == 1
        given_up = self.giving_up.hear(ready)
        run = NodeRun(
            self.terms, self.chain, self.registry, self.computation, self.signing_key, self.status, wire, council, head,
            self.state, given_up, self.advance, self.state.ledger.closed, self.adding_seconds,
        )
        here = min(r.batches for r in ready)
        panes, mature = (
            min(self.agenda.panes_of(here), *told) for told in ([r.panes for r in ready], [r.mature for r in ready])
        )
        await self.answering.catch_up(max(r.handled for r in ready))
        queue = self.intake.waiting(min(r.requests for r in ready))
        most = min(r.windows for r in ready)
        due = self.agenda.due(panes, mature, most) if all(r.open for r in ready) else ()
        first = self.agenda.earliest(due, mature, most)
        if self.erasing is not None and await self.erasing.level(council, ready, first):
            return True
        known = self.computation.batches if linked else 0
        due = tuple(w for w in due if w.stop <= self.agenda.panes_of(known))
        batch = None if due else self.agenda.next_batch(known, here)
        asked = bool(queue) and not (due and self._needs_batch(queue[0], known))
        if asked and not (linked and (due or batch is not None) and any(r.asked_last for r in ready)):
            return await self._serve(run, queue, panes, known)
        if not all(r.open for r in ready):
            await self._look_why()
            return False
        if due:
            return await self._scheduled(run, self.agenda.missing(due[0]), due, queue)
        if batch is not None:
            return await self._scheduled(run, self.plans, (), (), self._link(batch))
        return renewed or (linked and self._renews and await self._ahead(run))

    async def publish(self) -> None:
        """Send what the last settled run left, until it is known to have arrived; the attestation first."""
        if self.erasing is not None:
            await self.erasing.tell()
        mine = self.state.prepared
        if self.state.ledger.sent or mine is None:
            return
        await self.outlets.attest(mine.run)
        await asyncio.gather(
            *(self.outlets.send(recipient, bytes.fromhex(sealed)) for recipient, sealed in mine.sealed.items()),
            *(self.outlets.say(record) for record in (mine.done, *mine.answers)),
        )
        for answer in mine.answers:
            self.status.say("request", request=answer.request, outcome=answer.outcome)
        if mine.requester is not None and (used := self.agenda.used_up(mine.windows)):
            await self.outlets.say(Skipped(
                agreement=self.terms.hash, node=self.number, windows=used,
                reason=f"released on demand, in run {mine.run[:16]}",
            ))
        if self.over:
            self.giving_up.everything()
        self.state.update(sent=True)
        if mine.windows:
            self.status.say("windows", self.expected.following(), len(self.terms.draft.lattice.scheduled))
            await self._tell_if_unrevised(mine)

    @property
    def place(self) -> str | None:
        """The place that this node is to reserve for the next run; None if it is another's turn.

        None is reserved once the schedule is over: it might never be used.
        """
        if self.advance is None or not self.state.settled or not self.state.ledger.linkage or self.over:
            return None
        return self.advance.run if self.advance.mine else None

    async def look(self) -> None:
        """Stop the schedule if the newest block says so; take it up again when a suspension or difference is over."""
        if self.stopped is None:
            await self._look_why()
        elif self.suspended and time.monotonic() >= self.again:
            found = await in_force(self.registry, self.chain.agreement_id)
            self.suspended = found is False
            if found:
                self.stopped = None
                self.status.say("schedule", self.expected.following(), len(self.terms.draft.lattice.scheduled))

    def _ready(self, head: int) -> Ready:
        state, ledger = self.state, self.state.ledger
        renewal, renewed = self.renewal.stand()
        return Ready(
            agreement=self.terms.hash, head=head,
            attempt=ledger.attempt if state.prepared is None else state.prepared.attempt, settled=state.settled,
            ledger=state.digest, evidence=self.evidence.same, noted=self.evidence.runs,
            linkage=ledger.linkage, renewal=renewal, renewed=renewed,
            batches=self.inputs.batches_complete, panes=self.inputs.complete_panes,
            mature=self.inputs.mature_panes, open=self.stopped is None,
            requests=self.intake.read, handled=ledger.handled, asked_last=ledger.asked_last,
            given_up=ledger.given_up, windows=self.most_windows, places=ledger.places,
            lists=() if self.erasing is None else self.erasing.stands(),
        )

    def _link(self, batch: int) -> Link:
        """Of a batch in the epoch in force, or from the first one on."""
        return Link(batch, self.computation.now.first) if batch else FIRST

    @property
    def _renews(self) -> bool:
        """Whether there is something to do for the epoch to come, be it to give it up because no window is left."""
        return self.renewal.waiting if self.agenda.left() else self.renewal.pending

    async def _ahead(self, run: NodeRun) -> bool:
        """One step towards the epoch to come; a refusal ends the schedule."""
        what = self.renewal.next_link
        if what is not None:
            return await self._scheduled(run, self.plans, (), (), what)
        try:
            await self.renewal.add(run)
        except RunRefused as error:
            await self._stop(error)
        return True

    def _needs_batch(self, asked: Asked, linked: int) -> bool:
        """Whether more batches must be linked for a request; what can do without goes first: that may be refused."""
        window = demanded_window(self.terms, asked.demand)
        return window is not None and window.stop > self.agenda.panes_of(linked)

    @property
    def _erases(self) -> bool:
        return self.erasing is not None and self.erasing.waiting

    async def _tell_if_unrevised(self, mine: Prepared) -> None:
        """Say that no run of full editions is left, after the last one; those that are left never come."""
        lattice = self.terms.draft.lattice
        if not lattice.edition(mine.windows[0]):
            return
        refusal = revisions_left(self.terms, self.state.revisions(lattice))
        left = tuple(w.index for w in self.agenda.unrevised())
        if refusal is not None and left:
            await self.outlets.say(self.answering.refused(RunRefused(refusal, None), left))

    async def perform(
        self, run: NodeRun, plans: Sequence[Plan], windows: Sequence[Window], extras: Extras, what: Link = FIRST
    ) -> Outcome | None:
        """Run, keep the outcome, and settle it; without windows: link batches of the registers.

        Returns:
            None where the run is left to the next attempt, see NodeRun.windows.

        Raises:
            RunRefused: by a rule.
            MpcError, ChainError: see there; what is prepared here by then stays.
        """
        attempt, self.giving_up.begun = run.wire.attempt.hex(), run
        try:
            with self.evidence.watching(run):
                outcome = await (run.windows(plans, windows, extras.requester) if windows else run.link(plans, what))
        except RunRefused:
            self.giving_up.run()
            raise
        if outcome is None:
            return None
        if not windows:
            self.state.keep_linkage(attempt, self.computation.epoch(what).linked)
        due_at, late = self.expected.account(windows)
        self.state.prepare(Prepared(
            attempt=attempt, run=outcome.done.run, plans=tuple(p.hash for p in plans),
            windows=tuple(w.index for w in windows), ahead=not windows and what.ahead,
            done=outcome.done.model_copy(update={"due_at": due_at, "late": late, "ended_at": datetime.now(UTC)}),
            block=outcome.block, attestation=outcome.attestation, hashes=outcome.hashes,
            sealed={name: sealed.hex() for name, sealed in outcome.sealed.items()}, requester=extras.requester,
            answers=tuple(a.model_copy(update={"run": a.run or outcome.done.run}) for a in extras.answers),
            handled=extras.handled, nonces=extras.nonces, spent=outcome.spent,
            transcript=outcome.transcript, permitted=outcome.permitted,
        ))
        await settle(run.council, self.state, self.evidence, self.number)
        self.giving_up.begun = None
        return outcome

    async def _scheduled(
        self, run: NodeRun, plans: Sequence[Plan], windows: tuple[Window, ...], queue: tuple[Asked, ...],
        what: Link = FIRST,
    ) -> bool:
        """Link batches, or run scheduled windows; requests that wait for them join. A refusal ends the schedule."""
        extras = Extras()
        if windows and queue:
            facts = await read_facts(self.registry, self.chain, self.terms, "finalized")
            self.answering.join(extras, queue, facts, plans, windows)
        try:
            await self.perform(run, plans, windows, extras, what)
        except RunRefused as error:
            await self._stop(error)
        return True

    async def _serve(self, run: NodeRun, queue: tuple[Asked, ...], panes: int, linked: int) -> bool:
        """Answer the request that waits longest, by a run if something of it never ran; `linked`: batches."""
        asked = queue[0]
        demand, window = asked.demand, demanded_window(self.terms, asked.demand)
        facts = await read_facts(self.registry, self.chain, self.terms, "finalized")
        covered = self.state.pairs
        missing = missing_plans(self.terms, demand, covered)
        try:
            await run.verdict("request", self.answering.refusal(asked, facts, panes, covered, {}))
            assert window is not None
            if not missing:
                await self.answering.released(asked, window)
            elif window.stop <= self.agenda.panes_of(linked):
                extras = Extras(requester=demand.requester)
                extras.answer(asked, self.answering.answer(asked, window, "run"))
                self.answering.join(extras, queue[1:], facts, missing, (window,))
                self.status.say("request", request=asked.digest, outcome="begun")
                await self.perform(run, missing, (window,), extras)
            else:
                await self.perform(run, self.plans, (), Extras(), self._link(linked))
        except RunRefused as error:
            await self.answering.refuse(asked, window, error)
        return True

    async def _look_why(self) -> None:
        facts = await read_facts(self.registry, self.chain, self.terms, "latest")
        refusal = next(iter(during(self.terms, facts, RunRequest(plan_hashes=(), windows=()))), None)
        if refusal is not None and self.stopped is None:
            await self._stop(RunRefused(refusal, None))

    async def _stop(self, error: RunRefused) -> None:
        """A rule refuses the scheduled windows that are left; requests are still answered."""
        every = self.terms.draft.lattice.scheduled
        following = self.expected.following()
        again = error.again(live=self.live)
        self.stopped, self.suspended, self.again = error, again is not None, time.monotonic() + (again or 0.0)
        self.giving_up.everything()
        left = tuple(w.index for w in (*every[following:], *self.agenda.unrevised()))
        await self.outlets.say(self.answering.refused(error, left))
        self.status.say("stopped", following, len(every), error.refusal.rule)
