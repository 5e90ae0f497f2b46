"""One node's part in one run: agree, ask the gate, authorise on chain, compute, hand out sealed shares.

Between all phases the node looks at the newest block and tells its verdict to its peers: one refusal stops all
three before anything more is opened. What a run opens: for linkage the shuffled tags, for windows the release bits.
Outputs are opened by nobody here; each recipient gets three sealed shares.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluation.agreement import read_facts
from evaluation.compute import Computation
from evaluation.config import ChainSettings
from evaluation.coordination import Council, PeerRefused, Ready, Sealed, Stance, disagreement, run_id
from evaluation.errors import EvaluationError
from evaluation.merkle import merkle_root
from evaluation.records import Done, Suppressed
from evaluation.results import AlertShares, ResultShares, seal_result
from evaluation.status import StatusLine
from mpc.engine import Engine
from mpc.errors import ProtocolError
from mpc.wire import Wire
from policy.agreement import Terms
from policy.gate import Refusal, RunRequest, before, during
from policy.plan import Plan
from policy.window import Window

if TYPE_CHECKING:
    from policy.chain.registry import Registry

SAME_BLOCK_SECONDS = 3.0
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
    sealed: dict[str, bytes] = field(default_factory=dict)
    """Recipient → sealed result of this node."""


@dataclass
class NodeRun:
    """This node's side of one attempt at one run; use `link` or `windows` once."""

    terms: Terms
    plans: Sequence[Plan]
    chain: ChainSettings
    registry: "Registry"
    computation: Computation
    signing_key: Ed25519PrivateKey
    status: StatusLine
    wire: Wire
    _seconds: dict[str, float] = field(default_factory=dict)
    _run: str | None = None

    def __post_init__(self) -> None:
        self._council = Council(self.wire)
        self._request = RunRequest(plan_hashes=tuple(sorted(p.hash for p in self.plans)), windows=())

    async def link(self) -> Outcome:
        """Link all shards.

        Raises:
            RunRefused: by a rule.
            MpcError, ChainError: see there.
        """
        sequence = await self._authorise((), leader=0)
        engine = Engine(self.wire)
        async with self._phase("link"):
            await self.computation.link(engine)
        await self._attest(engine, ())
        return Outcome(self._done((), sequence))

    async def windows(self, following: int, due: int, most: int) -> Outcome:
        """Run the windows that all three nodes have the panes of, beginning with `following`.

        Args:
            following: index of the next window here.
            due: how many windows from there on have their panes here, ≥ 1.
            most: at most this many.

        Raises:
            RunRefused: by a rule.
            MpcError, ChainError: see there.
        """
        head = (await self.registry.block("finalized")).number
        ready = await self._council.exchange(Ready(next=following, count=min(due, most), head=head))
        if len({r.next for r in ready}) != 1:
            raise ProtocolError(f"the nodes are at different windows: {[r.next for r in ready]}")
        every = self.terms.draft.lattice.scheduled
        windows = every[following : following + min(r.count for r in ready)]
        self._request = replace(self._request, windows=tuple((w.start, w.stop) for w in windows))
        sequence = await self._authorise(windows, leader=following % 3, head=min(r.head for r in ready))
        engine = Engine(self.wire)
        async with self._phase("aggregate"):
            await self.computation.extend(engine, windows[-1].stop)
        async with self._phase("disclosure"):
            before = every[:following] if self.terms.draft.alerts else ()
            history = await self.computation.releasable(engine, self.plans, (*before, *windows))
            bits = history.after(len(before))
        async with self._phase("estimate"):
            shares = await self.computation.estimate(engine, self.plans, windows, bits)
        alerts: tuple[AlertShares, ...] = ()
        if self.terms.draft.alerts:
            async with self._phase("alerts"):
                alerts = await self.computation.alerts(engine, self.plans, (*before, *windows), history, len(windows))
        async with self._phase("release"):
            sealed = {
                recipient.name: seal_result(
                    ResultShares(
                        agreement=self.terms.hash, recipient=recipient.name, node=self.wire.number,
                        run=self._run or "", kpis=tuple(k for k in shares if k.plan in permitted),
                        alerts=tuple(a for a in alerts if a.alert in watched),
                    ),
                    identity.sealing_key, self.signing_key,
                )
                for recipient, identity in zip(self.terms.draft.recipients, self.terms.recipients, strict=True)
                if (permitted := {p.hash for p in self.plans if p.kpi in recipient.kpis})
                | (watched := {a.id for a in self.terms.draft.alerts if a.recipient == recipient.name})
            }
        await self._attest(engine, tuple(sealed[name] for name in sorted(sealed)))
        minimum = self.terms.draft.disclosure.minimum_cohort
        suppressed = tuple(
            Suppressed(kpi=plan.kpi, window=window.index, cell=stratum.cell, rule=RULE_MINIMUM,
                       required=f"at least {minimum} contributors in every atom")
            for p, plan in enumerate(self.plans)
            for w, window in enumerate(windows)
            for s, stratum in enumerate(plan.strata)
            if s not in bits.strata(p, w, len(plan.strata))
        )
        return Outcome(self._done(windows, sequence, suppressed, tuple(a.alert for a in alerts)), sealed)

    async def _authorise(self, windows: Sequence[Window], leader: int, head: int | None = None) -> int:
        """Agree on what runs over which data, ask the gate, and get the run onto the chain."""
        async with self._timed("agree"):
            if head is None:
                own = (await self.registry.block("finalized")).number
                head = min(r.head for r in await self._council.exchange(Ready(next=0, count=1, head=own)))
            block = await self.registry.block(head)
            batches, components = self.computation.manifest(windows)
            stances = await self._council.exchange(Stance(
                windows=tuple(w.index for w in windows), plans=self._request.plan_hashes, batches=batches,
                components=components, block_number=block.number, block_hash=block.hash,
                linkage=self.computation.linkage if windows else "",
                totals=self.computation.totals if windows else "",
            ))
            differing = disagreement(stances)
            if differing is not None:
                rule, found, required = differing
                await self._verdict("agree", Refusal(rule, found, required, "compare the nodes' records"))
            if len({s.totals for s in stances}) != 1:
                self.computation.forget_totals()
            self._run = run_id(self.terms.hash, stances)
            known = await self.registry.authorisation(self.chain.agreement_id, self._run) is not None
            refusals = before(
                self.terms, await read_facts(self.registry, self.chain, self.terms, "finalized"),
                replace(self._request, already_authorised=known),
            )
            await self._verdict("agree", refusals[0] if refusals else await self._latest())
        async with self._timed("authorise"):
            if self.wire.number == leader:
                await self.registry.authorise(self.chain.agreement_id, [self._run])
                self.status.say("authorised", windows=len(windows), run=self._run)
            numbers = await self.registry.wait_authorised(self.chain.agreement_id, [self._run])
            return numbers[self._run]

    async def _attest(self, engine: Engine, sealed: Sequence[bytes]) -> None:
        """Put on chain what this node vouches for: its transcript, and one root over all sealed results."""
        assert self._run is not None
        async with self._timed("attest"):
            mine = [hashlib.sha256(message).hexdigest() for message in sealed]
            answers = await self._council.exchange(Sealed(hashes=tuple(mine)))
            if len({len(answer.hashes) for answer in answers}) != 1:
                raise ProtocolError(f"the nodes sealed {[len(a.hashes) for a in answers]} results; expected as many")
            view = await self.registry.view(self.chain.agreement_id, "latest")
            attestation = hashlib.sha256(b"\0".join((
                b"winnow-attestation", self._run.encode(), self.terms.hash.encode(), view.block_hash.encode(),
                engine.transcript, *[h.encode() for h in mine],
            ))).hexdigest()
            await self.registry.attest(self.chain.agreement_id, self._run, attestation)
            hashes = [bytes.fromhex(h) for answer in answers for h in answer.hashes]
            if hashes and self.wire.number == 0:
                await self.registry.commit(self.chain.agreement_id, self._run, merkle_root(hashes).hex())

    @contextlib.asynccontextmanager
    async def _phase(self, name: str) -> AsyncIterator[None]:
        """Enter a phase only if the agreement still holds at the newest block, at all three nodes."""
        async with self._timed(name):
            self.status.say(name, detail=f"run {(self._run or '')[:8]}")
            await self._verdict(name, await self._latest())
            yield

    @contextlib.asynccontextmanager
    async def _timed(self, name: str) -> AsyncIterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = round(time.perf_counter() - begin, 3)

    async def _latest(self) -> Refusal | None:
        """What the newest block says against going on."""
        facts = await read_facts(self.registry, self.chain, self.terms, "latest")
        return next(iter(during(self.terms, facts, self._request)), None)

    async def _verdict(self, phase: str, refusal: Refusal | None) -> None:
        try:
            await self._council.agree(phase, None if refusal is None else refusal.rule)
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
            refusal = await self._latest()
            if refusal is not None:
                return refusal
            await asyncio.sleep(0.1)
        return None

    def _done(
        self, windows: Sequence[Window], sequence: int, suppressed: tuple[Suppressed, ...] = (),
        alerts: tuple[str, ...] = (),
    ) -> Done:
        assert self._run is not None
        cells = sum(len(p.strata) for p in self.plans) * len(windows)
        return Done(
            agreement=self.terms.hash, node=self.wire.number, run=self._run,
            windows=tuple(w.index for w in windows), sequence=sequence, seconds=self._seconds, suppressed=suppressed,
            released=cells - len(suppressed), alerts=alerts,
        )
