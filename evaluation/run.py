"""One node's part in one run: agree, ask the gate, authorise on chain, compute, hand out sealed shares.

Between all phases the node looks at the newest block and tells its verdict to its peers: one refusal stops all
three before anything more is opened. What a run opens: for linkage the shuffled tags, for windows how many cells
come out.
Outputs are opened by nobody here; each recipient gets three sealed shares.

A run whose place was reserved in advance (evaluation.advance) waits for no block. While the chain makes another's
authorisation final, panes are added up and contributors compared with the minimum, on shares:
nothing of a run is opened, and no output computed, before its authorisation is final at all three nodes. Where many
panes are left to add, as after a restart, all but the last portion are added before the run is authorised, over as many
attempts as that takes.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluation.advance import Advance, taken
from evaluation.agreement import read_facts, requester_address
from evaluation.compute import FIRST, Computation, Shown
from evaluation.config import ChainSettings
from evaluation.coordination import Added, Council, PeerRefused, Stance, disagreement, go_back, run_id, shared_mark
from evaluation.evidence import attested
from evaluation.growing import Link
from evaluation.outcome import Outcome, RunRefused, hashes_of
from evaluation.records import Done, Suppressed
from evaluation.results import AlertShares, KpiShares, ResultShares, seal_result
from evaluation.spending import Spending
from evaluation.state import NodeState
from evaluation.status import StatusLine
from evaluation.trail import Trail
from mpc.errors import ProtocolError
from mpc.wire import MAX_MESSAGES, Wire
from mpc.workers import ShardEngines
from policy.agreement import Terms
from policy.gate import Refusal, RunRequest, checked, during
from policy.identity import NODES
from policy.plan import Plan
from policy.window import Window

if TYPE_CHECKING:
    from policy.chain.registry import Registry

SAME_BLOCK_SECONDS = 3.0
ADDING_SECONDS = 450.0
"""After so long an attempt begins no further portion of panes."""
MOST_MESSAGES = MAX_MESSAGES // 2
"""After so many, too: the others are for the run, and for the portion that is under way."""


@dataclass
class NodeRun:
    """This node's side of one attempt at one run; use `link` or `windows` once."""

    terms: Terms
    chain: ChainSettings
    registry: "Registry"
    computation: Computation
    signing_key: Ed25519PrivateKey
    status: StatusLine
    wire: Wire
    council: Council
    head: int
    """The newest block that is final at all three nodes."""
    state: NodeState
    given_up: Collection[str] = ()
    """Runs that one of the three nodes gave up, as all three know."""
    advance: Advance | None = None
    """Where a run over windows finds its authorisation, if it is there already."""
    closed: int = 0
    """Leading panes in which rows are erased."""
    adding_seconds: float = ADDING_SECONDS
    trail: Trail = field(default_factory=Trail)
    _begun: float = field(default_factory=time.monotonic)
    _seconds: dict[str, float] = field(default_factory=dict)
    _run: str | None = None
    _manifest: str = ""
    """What the run is: H(agreement, plans, windows, data)."""
    _spent: bool = False
    """Whether the place that was reserved for the next run is spent by this one."""
    _link: Link = FIRST
    """What is linked, if no windows run."""
    _known: int | None = None
    """Its sequence number, if it is authorised already."""
    _spending: Spending = field(init=False)
    reserved: str | None = None
    """The run's id, once it is, or may be, authorised on the chain."""
    _bound: str = ""
    """The manifest to which the next place is bound once something of this run is opened."""
    _block: str = ""
    """Hash of the final block at which it was found permitted."""
    _request: RunRequest = field(default_factory=lambda: RunRequest(plan_hashes=(), windows=()))

    async def link(self, plans: Sequence[Plan], what: Link = FIRST) -> Outcome:
        """Link batches of all shards' registers, for these plans.

        Raises:
            RunRefused: by a rule.
            MpcError, ChainError: see there.
        """
        self._link = what
        await self._agree(plans, (), ())
        async with self._timed("authorise"):
            sequence = await self._authorise(leader=what.batch % NODES)
        engines = self.computation.engines(self.wire)
        async with self._phase("link", what.words):
            self._opens()
            await self.computation.link(engines, what)
        return self._outcome(engines, self._done(plans, (), sequence), {})

    async def windows(
        self, plans: Sequence[Plan], windows: Sequence[Window], requester: str | None = None
    ) -> Outcome | None:
        """Run these plans over these windows of one edition, whose panes all three nodes have.

        Alerts are about scheduled windows; several of these follow each other. `requester`: by whose demand.

        Returns:
            None if panes were added and others are left to the next attempt; nothing of the run is authorised then.

        Raises:
            RunRefused: by a rule.
            MpcError, ChainError: see there.
        """
        draft, first = self.terms.draft, windows[0].index
        watching = bool(draft.alerts) and draft.lattice.is_scheduled(windows[0])
        before = [w for w in draft.lattice.scheduled[:first] if w.start >= self.closed] if watching else []
        await self._agree(plans, windows, (*before, *windows), requester)
        engines = self.computation.engines(self.wire)
        if not await self._caught_up(engines, windows):
            return None
        async with self._authorising(leader=first % NODES) as authorised:
            async with self._phase("aggregate"):
                await self.computation.extend(engines, windows)
                judged = await self.computation.judge(engines, plans, (*before, *windows))
            async with self._timed("authorise"):
                sequence = await authorised
        async with self._phase("disclosure"):
            self._opens()
            history = await self.computation.opened(engines, judged)
            shown = history.after(len(before))
        async with self._phase("estimate"):
            shares, alerts = await asyncio.gather(
                self.computation.estimate(engines, plans, windows, shown),
                self._alerts(engines, plans, (*before, *windows), history, len(windows) if watching else 0),
            )
        async with self._phase("release"):
            sealed = self._seal(plans, shares, alerts)
        agreed, late = draft.disclosure, "; as many patients, or none, changed since the provisional edition"
        required = agreed.words() + (late if draft.lattice.edition(first) else "")
        suppressed = tuple(
            Suppressed(kpi=plan.kpi, window=window.index, cell=stratum.cell, rule=agreed.rule, required=required)
            for p, plan in enumerate(plans)
            for w, window in enumerate(windows)
            for s, stratum in enumerate(plan.strata)
            if s not in shown.positions(p, w)
        )
        done = self._done(plans, windows, sequence, suppressed, tuple(a.alert for a in alerts))
        return self._outcome(engines, done, sealed)

    async def _caught_up(self, engines: ShardEngines, windows: Sequence[Window]) -> bool:
        """Add panes until one portion at most is left; whether the run can go on in this attempt.

        Every node has its own clock and count, but none goes on where another one has had enough.

        Raises:
            ProtocolError: a peer has other portions left.
        """
        left = self.computation.left(windows)
        if len(left) < 2:
            return True
        async with self._phase("panes"):
            while len(left) > 1:
                added, *_ = left
                await self.computation.add(engines, windows)
                left = self.computation.left(windows)
                edition = "added up again, as they were at their last maturity" if added.edition else "added up"
                self.status.say("panes", added.stop, left[-1].stop, edition)
                told = await self.council.exchange(Added(left=len(left), enough=self._had_enough))
                if len({t.left for t in told}) != 1:
                    raise ProtocolError(f"{[t.left for t in told]} portions of panes are left; expected equal numbers")
                if any(t.enough for t in told):
                    return False
        return True

    @property
    def _had_enough(self) -> bool:
        return time.monotonic() - self._begun > self.adding_seconds or self.wire.messages > MOST_MESSAGES

    async def _alerts(
        self, engines: ShardEngines, plans: Sequence[Plan], windows: Sequence[Window], released: Shown, shown: int
    ) -> tuple[AlertShares, ...]:
        """The states of alerts after the last `shown` windows, in a session of their own."""
        if not shown:
            return ()
        async with self._timed("alerts"):
            return await self.computation.alerts(engines, plans, windows, released, shown)

    def _seal(
        self, plans: Sequence[Plan], shares: Sequence[KpiShares], alerts: Sequence[AlertShares]
    ) -> dict[str, bytes]:
        """This node's share of everything, for whom it is meant."""
        draft, sealed = self.terms.draft, {}
        for recipient, identity in zip(draft.recipients, self.terms.recipients, strict=True):
            permitted = {p.hash for p in plans if p.kpi in recipient.kpis}
            watched = {a.id for a in draft.alerts if a.recipient == recipient.name} & {a.alert for a in alerts}
            if permitted or watched:
                sealed[recipient.name] = seal_result(
                    ResultShares(
                        agreement=self.terms.hash, recipient=recipient.name, node=self.wire.number,
                        run=self._run or "", kpis=tuple(k for k in shares if k.plan in permitted),
                        alerts=tuple(a for a in alerts if a.alert in watched),
                    ),
                    identity.sealing_key, self.signing_key,
                )
        return sealed

    async def _agree(
        self, plans: Sequence[Plan], windows: Sequence[Window], read: Sequence[Window], requester: str | None = None
    ) -> None:
        """Agree on what runs over which data, and ask the gate.

        `read`: the run's windows and, for the states of alerts, the scheduled ones before.
        """
        self.trail.requester, self.trail.windows = requester, tuple(w.index for w in windows)
        self._request = RunRequest(
            plan_hashes=tuple(sorted(p.hash for p in plans)), windows=tuple((w.start, w.stop) for w in windows),
            erased_panes=self.closed, requester=requester,
        )
        async with self._timed("agree"):
            block, (place, bound) = await asyncio.gather(self.registry.block(self.head), self._place(windows))
            batches, components = self.computation.manifest(read, self._link)
            stances = await self.council.exchange(Stance(
                windows=self.trail.windows, plans=self._request.plan_hashes, batches=batches, requester=requester or "",
                components=components, block_number=block.number, block_hash=block.hash,
                linkage="" if self._link.begins and not windows else self.computation.epoch(self._link).linkage,
                batch=self._link.batch, epoch=self._link.epoch,
                totals=self.computation.totals if windows else (),
                place=place, bound=bound,
            ))
            if (differing := disagreement(stances)) is not None:
                await self.verdict("agree", Refusal(*differing, "compare the nodes' records"))
            if len({s.totals for s in stances}) != 1:
                await go_back(self.council, self.computation.now.totals, shared_mark(stances))
            self._manifest = run_id(self.terms.hash, stances)
            self._run, self._spent = taken(stances, self._manifest, self.given_up)
            self._known, facts, latest = await asyncio.gather(
                self.registry.authorisation(self.chain.agreement_id, self._run),
                read_facts(self.registry, self.chain, self.terms, "finalized"), self.latest(),
            )
            self._bound = self._manifest if self._run == place else self.state.ledger.bound
            self.reserved, self._block = None if self._known is None else self._run, facts.block_hash
            self._spending = Spending.of(self.registry, self.chain.agreement_id, self.terms, plans, windows)
            self._request = replace(self._request, owed=await self._spending.owed(facts.block_number))
            verdicts = checked(self.terms, facts, replace(self._request, already_authorised=self._known is not None))
            self.trail.judged(facts, verdicts, self.closed)
            refusal = next((refusal for _, refusal in verdicts if refusal is not None), latest)
            await self.verdict("agree", refusal or self._spending.noted(self.state))

    async def _place(self, windows: Sequence[Window]) -> tuple[str, str]:
        """See Advance.seen; linkage takes no place, and neither does what counts against a requester."""
        if self.advance is None or not windows or self._request.requester is not None:
            return "", ""
        return await self.advance.seen(self.head)

    def _opens(self) -> None:
        """From here on something of the run may be opened: it is never given up, and its place is no other's."""
        assert self._run is not None
        self.state.opens(self._run, self._bound)

    @property
    def run(self) -> str | None:
        """Its id, once the three nodes agree on one."""
        return self._run

    @contextlib.asynccontextmanager
    async def _authorising(self, leader: int) -> AsyncIterator["asyncio.Task[int]"]:
        """The authorisation, on its way while something else is done that opens nothing."""
        task = asyncio.create_task(self._authorise(leader))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _authorise(self, leader: int) -> int:
        """Get the run onto the chain, and what it owes; returns its sequence number once both are final here."""
        assert self._run is not None
        await self._spending.settle(pays=self.wire.number == leader)
        if self._known is not None:
            self.status.say("authorised", windows=len(self._request.windows), run=self._run)
            self.trail.authorised_before()
            return self._known
        self.reserved = self._run
        if self.wire.number == leader:
            begin = time.perf_counter()

            def submitted() -> None:
                self._seconds["submit"] = round(time.perf_counter() - begin, 3)

            asker = requester_address(self.terms, self._request.requester)
            await self.registry.authorise(self.chain.agreement_id, [self._run], asker, sent=submitted)
            self.status.say("authorised", windows=len(self._request.windows), run=self._run)
        numbers = await self.registry.wait_authorised(self.chain.agreement_id, [self._run])
        self.trail.authorised(await read_facts(self.registry, self.chain, self.terms, "finalized"))
        return numbers[self._run]

    def _outcome(self, engines: ShardEngines, done: Done, sealed: dict[str, bytes]) -> Outcome:
        transcript = engines.main.transcript
        value = attested(done.run, self._manifest, self.terms.hash, transcript, hashes_of(sealed))
        return Outcome(done, self._block, transcript.hex(), value, self.trail.permitted, sealed, self._spent)

    @contextlib.asynccontextmanager
    async def _phase(self, name: str, of: str = "") -> AsyncIterator[None]:
        """Enter a phase only if the agreement still holds at the newest block, at all three nodes."""
        async with self._timed(name):
            self.status.say(name, detail=f"run {(self._run or '')[:8]}{of}")
            self.trail.phase = name
            await self.verdict(name, await self.latest())
            yield

    @contextlib.asynccontextmanager
    async def _timed(self, name: str) -> AsyncIterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = round(time.perf_counter() - begin, 3)

    async def latest(self) -> Refusal | None:
        """What the newest block says against going on."""
        facts = await read_facts(self.registry, self.chain, self.terms, "latest")
        self.trail.looked(facts)
        return next(iter(during(self.terms, facts, self._request)), None)

    async def verdict(self, phase: str, refusal: Refusal | None) -> None:
        """Tell this node's verdict on a phase; return only if all three go on.

        Raises:
            RunRefused: one does not.
        """
        peers_rule = None
        try:
            await self.council.agree(phase, None if refusal is None else refusal.rule)
        except PeerRefused as error:
            peers_rule = error.rule
            refusal = refusal or await self._soon() or Refusal(
                "peer-refused", str(error), "all three nodes go on", f"ask node {error.node}'s operator"
            )
        if refusal is not None:
            raise RunRefused(refusal, self._run, phase, self.trail.permitted, peers_rule)
        self.trail.passed(phase)

    async def _soon(self) -> Refusal | None:
        """A peer refused first: its endpoint may be a block ahead, so look again for a moment."""
        end = time.monotonic() + SAME_BLOCK_SECONDS
        while time.monotonic() < end:
            refusal = await self.latest()
            if refusal is not None:
                return refusal
            await asyncio.sleep(0.1)
        return None

    def _done(
        self, plans: Sequence[Plan], windows: Sequence[Window], sequence: int, suppressed: tuple[Suppressed, ...] = (),
        alerts: tuple[str, ...] = (),
    ) -> Done:
        assert self._run is not None
        cells = sum(len(p.strata) for p in plans) * len(windows)
        return Done(
            agreement=self.terms.hash, node=self.wire.number, run=self._run,
            manifest=self._manifest if self._manifest != self._run else "",
            windows=tuple(w.index for w in windows), batch=self._link.batch, epoch=self._link.epoch,
            sequence=sequence, seconds=self._seconds, suppressed=suppressed,
            released=cells - len(suppressed), alerts=alerts, kpis=tuple(p.kpi for p in plans) if windows else (),
        )
