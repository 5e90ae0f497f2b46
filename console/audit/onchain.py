"""Evidence beside the chain: authorisations, attestations, roots, and the agreement at the blocks that nodes name."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from console.audit.discrepancies import Said, digits, said
from console.audit.finding import Finding
from console.audit.selection import run_of
from console.audit.sources import Record
from evaluation.agreement import facts, requester_address
from evaluation.evidence import Account, Answered, AnyEntry, Ended, Verdict
from evaluation.spending import Spending
from policy.agreement import Terms
from policy.chain.events import Event
from policy.gate import RunRequest, checked
from policy.window import Window

if TYPE_CHECKING:
    from policy.chain.model import Attested, RunView
    from policy.chain.registry import Registry

PATIENCE_SECONDS: Final = 30.0
"""How long one audit waits, in all, for what nodes send to the chain when a run has ended to become final."""
ASK_AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True)
class OnChain:
    """The registry, as this organisation's own endpoint tells of it."""

    registry: "Registry"
    agreement: str
    """The id on the chain."""
    terms: Terms

    async def check(
        self, records: Sequence[Record], entries: Collection[AnyEntry], events: Sequence[Event]
    ) -> AsyncIterator[Finding]:
        """Everything that does not fit, as it is found.

        A node notes a run before it attests it, and the root of its outputs follows: what is not on the chain yet is
        waited for, `PATIENCE_SECONDS` in all.

        Args:
            records: of nodes.
            entries: those of them that are asked about.
            events: of the agreement, up to a block that was final before the records were read.

        Raises:
            policy.errors.ChainError: the endpoint does not answer, wrongly, or has forgotten what was at a block.
        """
        for finding in self._unrecorded(records, events):
            yield finding
        newest = (await self.registry.block("latest")).number
        for entry in entries:
            if (block := _last_block(entry)) > newest:
                yield Finding(
                    "account", entry.node, run_of(entry), said("block", block=block), said("newest", block=newest)
                )
        there = [entry for entry in entries if _last_block(entry) <= newest]
        final = (await self.registry.block("finalized")).number
        until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        for entry in there:
            if isinstance(entry, Ended):
                async for finding in self._run(entry, events, until):
                    yield finding
                async for finding in self._unpaid(entry, final):
                    yield finding
        for entry in there:
            if not isinstance(entry, Answered):
                async for finding in self._accounts(entry):
                    yield finding

    async def _recorded(self, entry: Ended, attestor: str, until: float) -> "tuple[RunView, Attested | None]":
        """A run and a node's attestation, as soon as nothing is missing that would follow, or at `until`."""
        while True:
            run = await self.registry.run(self.agreement, entry.common.run)
            stands = await self.registry.attestation(self.agreement, entry.common.run, attestor)
            follows = run.stage in {"authorised", "attested"} and (
                stands is None or (run.commitment is None and entry.common.root is not None)
            )
            if not follows or asyncio.get_running_loop().time() >= until:
                return run, stands
            await asyncio.sleep(ASK_AGAIN_SECONDS)

    async def _run(self, entry: Ended, events: Sequence[Event], until: float) -> AsyncIterator[Finding]:
        """One node's word on a run that ended."""
        common, attestor = entry.common, self.terms.nodes[entry.node].attestor

        def wrong(rule: str, found: Said, expected: Said) -> Finding:
            return Finding(rule, entry.node, common.run, found, expected)

        run, stands = await self._recorded(entry, attestor, until)
        if run.stage not in {"attested", "committed"}:
            yield wrong("authorisation", said("stage", stage=run.stage), said("stage_needed"))
            return
        if run.sequence != entry.sequence:
            yield wrong("authorisation", said("sequence", sequence=entry.sequence), str(run.sequence))
        asker = requester_address(self.terms, common.requester)
        if (run.requester or "").lower() != (asker or "").lower():
            yield wrong("authorisation", _asked_by(common.requester), _asked_by(run.requester))
        if stands is None or stands.transcript != entry.attestation:
            yield wrong("attestation", entry.attestation[:16], digits(None if stands is None else stands.transcript))
        before = entry.permitted.before
        if stands is not None and before is not None and stands.block_hash != before.block_hash:
            yield wrong("attestation", said("block", block=before.block_hash[:16]), stands.block_hash[:16])
        if run.commitment != common.root:
            yield wrong("root", digits(common.root), said("on_chain", root=digits(run.commitment)))
        told = next((
            e.values["version"] for e in events if e.name == "RunAttested" and e.values["runId"] == common.run
            and e.values["attestor"].lower() == attestor.lower()
        ), None)
        if told is not None and before is not None and told != before.version:
            yield wrong("version", str(before.version), said("event_says", version=told))
        if before is not None:
            async for finding in self._permitted(entry, before):
                yield finding

    async def _unpaid(self, entry: Ended, block: int) -> AsyncIterator[Finding]:
        """Privacy that the run's figures spent, and of which the chain has no reservation at a block, or another."""
        common = entry.common
        plans = [plan for plan in self.terms.plans if plan.hash in common.plans]
        spending = Spending.of(self.registry, self.agreement, self.terms, plans, self._windows(entry))
        if not spending.prices:
            return
        for kpi, price in await spending.owed(block):
            yield Finding(
                "authorisation", entry.node, common.run,
                said("no_reservation", kpi=kpi), said("reservation", price=price),
            )

    def _windows(self, entry: Ended) -> list[Window]:
        """Those of a run's windows that are the agreement's."""
        return [w for w in map(self.terms.draft.lattice.window, entry.common.windows) if w is not None]

    async def _permitted(self, entry: Ended, before: Account) -> AsyncIterator[Finding]:
        """The gate's rules, asked again at the block at which the run was found permitted, and the phases' blocks."""
        common = entry.common
        known = await self.registry.authorisation(self.agreement, common.run, before.block)
        request = RunRequest(
            plan_hashes=common.plans, windows=tuple((w.start, w.stop) for w in self._windows(entry)),
            already_authorised=known is not None, requester=common.requester,
            erased_panes=entry.permitted.erased_panes,
        )
        there = facts(await self.registry.view(self.agreement, before.block), self.terms)
        verdicts = [Verdict.of(rule, refusal) for rule, refusal in checked(self.terms, there, request)]
        noted = {verdict.rule: verdict for verdict in entry.permitted.verdicts}
        for verdict in verdicts:
            mine = noted.get(verdict.rule)
            if mine != verdict:
                yield Finding("verdict", entry.node, common.run, _in_words(verdict.rule, mine), _in_words("", verdict))
        for passed in entry.permitted.phases:
            state = (await self.registry.view(self.agreement, passed.block)).state
            if state != "active":
                yield Finding(
                    "phase", entry.node, common.run,
                    said("phase_entered", phase=passed.phase, block=passed.block), said("active", state=state),
                )

    async def _accounts(self, entry: AnyEntry) -> AsyncIterator[Finding]:
        """The agreement as the node read it: version, state, quota and budget, at its blocks."""
        assert not isinstance(entry, Answered)
        run, requester = (entry.common.run, entry.common.requester) if isinstance(entry, Ended) else (
            entry.run, entry.requester
        )
        for name, account in (("before", entry.permitted.before), ("after", entry.permitted.after)):
            if account is None:
                continue
            counted = None if account.requester_runs is None else requester
            view = await self.registry.view(self.agreement, account.block)
            there = Account.of(facts(view, self.terms), counted)
            fields = [f for f in Account.model_fields if getattr(there, f) != getattr(account, f)]
            if fields:
                yield Finding(
                    "account", entry.node, run, said(name, fields=_fields(account, fields)),
                    said("at_block", fields=_fields(there, fields), block=account.block),
                )

    def _unrecorded(self, records: Sequence[Record], events: Sequence[Event]) -> list[Finding]:
        """Runs that a node attested on the chain and that its file does not have."""
        found: list[Finding] = []
        for record in records:
            if record.node is None:
                continue
            mine, known = self.terms.nodes[record.node].attestor.lower(), {entry.common.run for entry in record.runs}
            found.extend(
                Finding("evidence-missing", record.node, run, said("no_run"),
                        said("attested_run", node=record.node, block=event.block_number))
                for event in events
                if event.name == "RunAttested" and event.values["attestor"].lower() == mine
                and (run := event.values["runId"]) not in known
            )
        return found


def _last_block(entry: AnyEntry) -> int:
    """The highest block that an entry names; 0: none."""
    if isinstance(entry, Answered):
        return 0
    permitted = entry.permitted
    accounts = [account.block for account in (permitted.before, permitted.after) if account is not None]
    return max([*accounts, *(passed.block for passed in permitted.phases)], default=0)


def _in_words(rule: str, verdict: Verdict | None) -> Said:
    if verdict is None:
        return said("no_verdict", rule=rule)
    if verdict.passes:
        return said("passes", rule=verdict.rule)
    return said("refuses", rule=verdict.rule, found=verdict.found, required=verdict.required)


def _asked_by(asker: str | None) -> Said:
    return said("asked_by", name=asker) if asker else said("asked_by_nobody")


def _fields(account: Account, fields: Sequence[str]) -> str:
    return ", ".join(f"{field} {str(getattr(account, field))[:16]}" for field in fields)
