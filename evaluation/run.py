"""One node's part in one run: agree, ask the gate, authorise on chain, compute, hand out sealed shares.

Between all phases the node looks at the newest block and tells its verdict to its peers: one refusal stops all
three before anything more is opened. What a run opens: for linkage the shuffled tags, for windows the release bits.
Outputs are opened by nobody here; each recipient gets three sealed shares.

A run whose place was reserved in advance (evaluation.advance) waits for no block. While the chain makes another's
authorisation final, panes are added up and contributors compared with the minimum, on shares:
nothing of a run is opened, and no output computed, before its authorisation is final at all three nodes. Where many
panes are left to add, as after a restart, all but the last portion are added before the run is authorised, over as many
attempts as that takes.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluation.advance import Advance, taken
from evaluation.agreement import read_facts
from evaluation.compute import FIRST, Computation, ReleaseBits
from evaluation.config import ChainSettings
from evaluation.coordination import Added, Council, PeerRefused, Stance, disagreement, go_back, run_id, shared_mark
from evaluation.errors import EvaluationError
from evaluation.growing import Link
from evaluation.records import Done, Suppressed
from evaluation.results import AlertShares, KpiShares, ResultShares, seal_result
from evaluation.status import StatusLine
from mpc.errors import ProtocolError
from mpc.wire import MAX_MESSAGES, Wire
from mpc.workers import ShardEngines
from policy.agreement import NODES, Terms
from policy.gate import Refusal, RunRequest, before, during
from policy.plan import Plan
from policy.window import Window

if TYPE_CHECKING:
    from policy.chain.registry import Registry

SAME_BLOCK_SECONDS = 3.0
ADDING_SECONDS = 450.0
"""After so long an attempt begins no further portion of panes."""
MOST_MESSAGES = MAX_MESSAGES // 2
"""After so many, too: the others are for the run, and for the portion that is under way."""
RULE_MINIMUM = "minimum-cohort"


class RunRefused(EvaluationError):
    """A rule stopped the run; nothing more was opened."""

    def __init__(self, refusal: Refusal, run: str | None) -> None:
        super().__init__(f"{refusal.rule}: {refusal.required}")
        self.refusal, self.run = refusal, run


@dataclass
class Outcome:
    """What a run leaves behind at this node."""

    done: Done
    attestation: str
    """What this node puts on the chain: its transcript and its sealed results, hashed."""
    sealed: dict[str, bytes] = field(default_factory=dict)
    """Recipient → sealed result of this node."""
    spent: bool = False
    """Whether the place that was reserved for the next run is spent."""

    @property
    def hashes(self) -> tuple[str, ...]:
        """Of the sealed results, in the recipients' alphabetical order."""
        return _hashes(self.sealed)


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
    advance: Advance | None = None
    """Where a run over windows finds its authorisation, if it is there already."""
    closed: int = 0
    """Leading panes in which rows are erased."""
    adding_seconds: float = ADDING_SECONDS
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
            await self.computation.link(engines, what)
        return Outcome(self._done(plans, (), sequence), await self._attestation(engines, ()))

    async def windows(self, plans: Sequence[Plan], windows: Sequence[Window]) -> Outcome | None:
        """Run these plans over these windows of one edition, whose panes all three nodes have.

        Alerts are about scheduled windows; several of these follow each other.

        Returns:
            None if panes were added and others are left to the next attempt; nothing of the run is authorised then.

        Raises:
            RunRefused: by a rule.
            MpcError, ChainError: see there.
        """
        draft, first = self.terms.draft, windows[0].index
        watching = bool(draft.alerts) and draft.lattice.is_scheduled(windows[0])
        before = [w for w in draft.lattice.scheduled[:first] if w.start >= self.closed] if watching else []
        await self._agree(plans, windows, (*before, *windows))
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
            if self.advance is not None and self._run != self._manifest:
                self.advance.bind(self._manifest)
            history = await self.computation.opened(engines, judged)
            bits = history.after(len(before))
        async with self._phase("estimate"):
            shares, alerts = await asyncio.gather(
                self.computation.estimate(engines, plans, windows, bits),
                self._alerts(engines, plans, (*before, *windows), history, len(windows) if watching else 0),
            )
        async with self._phase("release"):
            sealed = self._seal(plans, shares, alerts)
        minimum = draft.disclosure.minimum_cohort
        changed = "; as many patients, or none, changed since the provisional edition"
        late = changed if draft.lattice.edition(first) else ""
        suppressed = tuple(
            Suppressed(kpi=plan.kpi, window=window.index, cell=stratum.cell, rule=RULE_MINIMUM,
                       required=f"at least {minimum} contributors in every atom{late}")
            for p, plan in enumerate(plans)
            for w, window in enumerate(windows)
            for s, stratum in enumerate(plan.strata)
            if s not in bits.strata(p, w, len(plan.strata))
        )
        done = self._done(plans, windows, sequence, suppressed, tuple(a.alert for a in alerts))
        return Outcome(done, await self._attestation(engines, _hashes(sealed)), sealed, self._spent)

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
        self, engines: ShardEngines, plans: Sequence[Plan], windows: Sequence[Window], released: ReleaseBits, shown: int
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

    async def _agree(self, plans: Sequence[Plan], windows: Sequence[Window], read: Sequence[Window]) -> None:
        """Agree on what runs over which data, and ask the gate.

        `read`: the run's windows and, for the states of alerts, the scheduled ones before.
        """
        self._request = RunRequest(
            plan_hashes=tuple(sorted(p.hash for p in plans)), windows=tuple((w.start, w.stop) for w in windows),
            erased_panes=self.closed,
        )
        async with self._timed("agree"):
            block, (place, bound) = await asyncio.gather(self.registry.block(self.head), self._place(windows))
            batches, components = self.computation.manifest(read, self._link)
            stances = await self.council.exchange(Stance(
                windows=tuple(w.index for w in windows), plans=self._request.plan_hashes, batches=batches,
                components=components, block_number=block.number, block_hash=block.hash,
                linkage="" if self._link.begins and not windows else self.computation.epoch(self._link).linkage,
                batch=self._link.batch, epoch=self._link.epoch,
                totals=self.computation.totals if windows else (),
                place=place, bound=bound,
            ))
            differing = disagreement(stances)
            if differing is not None:
                rule, found, required = differing
                await self.verdict("agree", Refusal(rule, found, required, "compare the nodes' records"))
            if len({s.totals for s in stances}) != 1:
                await go_back(self.council, self.computation.now.totals, shared_mark(stances))
            self._manifest = run_id(self.terms.hash, stances)
            self._run, self._spent = taken(stances, self._manifest)
            self._known, facts, latest = await asyncio.gather(
                self.registry.authorisation(self.chain.agreement_id, self._run),
                read_facts(self.registry, self.chain, self.terms, "finalized"), self.latest(),
            )
            refusals = before(self.terms, facts, replace(self._request, already_authorised=self._known is not None))
            await self.verdict("agree", refusals[0] if refusals else latest)

    async def _place(self, windows: Sequence[Window]) -> tuple[str, str]:
        """See Advance.seen; linkage takes no place."""
        return ("", "") if self.advance is None or not windows else await self.advance.seen(self.head)

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
        """Get the run onto the chain; returns its sequence number once that is final here."""
        assert self._run is not None
        if self._known is not None:
            self.status.say("authorised", windows=len(self._request.windows), run=self._run)
            return self._known
        if self.wire.number == leader:
            begin = time.perf_counter()

            def submitted() -> None:
                self._seconds["submit"] = round(time.perf_counter() - begin, 3)

            await self.registry.authorise(self.chain.agreement_id, [self._run], submitted)
            self.status.say("authorised", windows=len(self._request.windows), run=self._run)
        numbers = await self.registry.wait_authorised(self.chain.agreement_id, [self._run])
        return numbers[self._run]

    async def _attestation(self, engines: ShardEngines, hashes: Sequence[str]) -> str:
        """What this node vouches for: its transcript and its sealed results, at a block."""
        assert self._run is not None
        view = await self.registry.view(self.chain.agreement_id, "latest")
        return hashlib.sha256(b"\0".join((
            b"winnow-attestation", self._run.encode(), self._manifest.encode(), self.terms.hash.encode(),
            view.block_hash.encode(), engines.main.transcript, *[h.encode() for h in hashes],
        ))).hexdigest()

    @contextlib.asynccontextmanager
    async def _phase(self, name: str, of: str = "") -> AsyncIterator[None]:
        """Enter a phase only if the agreement still holds at the newest block, at all three nodes."""
        async with self._timed(name):
            self.status.say(name, detail=f"run {(self._run or '')[:8]}{of}")
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
        return next(iter(during(self.terms, facts, self._request)), None)

    async def verdict(self, phase: str, refusal: Refusal | None) -> None:
        """Tell this node's verdict on a phase; return only if all three go on.

        Raises:
            RunRefused: one does not.
        """
        try:
            await self.council.agree(phase, None if refusal is None else refusal.rule)
        except PeerRefused as error:
            refusal = refusal or await self._soon() or Refusal(
                "peer-refused", str(error), "all three nodes go on", f"ask node {error.node}'s operator"
            )
        if refusal is not None:
            raise RunRefused(refusal, self._run)

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


def _hashes(sealed: Mapping[str, bytes]) -> tuple[str, ...]:
    return tuple(hashlib.sha256(sealed[name]).hexdigest() for name in sorted(sealed))
