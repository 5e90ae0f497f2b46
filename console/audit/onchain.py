"""Evidence beside the chain: authorisations, attestations, roots, and the agreement at the blocks that nodes name."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

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
                expected = f"at most {newest}, the newest one"
                yield Finding("account", entry.node, run_of(entry), f"block {block}", expected)
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

        def wrong(rule: str, found: object, expected: object) -> Finding:
            return Finding(rule, entry.node, common.run, str(found), str(expected))

        run, stands = await self._recorded(entry, attestor, until)
        if run.stage not in {"attested", "committed"}:
            yield wrong("authorisation", f"a run that is {run.stage} on the chain", "one that was authorised, attested")
            return
        if run.sequence != entry.sequence:
            yield wrong("authorisation", f"sequence {entry.sequence}", run.sequence)
        asker = requester_address(self.terms, common.requester)
        if (run.requester or "").lower() != (asker or "").lower():
            yield wrong("authorisation", f"asked by {common.requester or 'nobody'}", f"by {run.requester or 'nobody'}")
        if stands is None or stands.transcript != entry.attestation:
            yield wrong("attestation", entry.attestation[:16], "none" if stands is None else stands.transcript[:16])
        before = entry.permitted.before
        if stands is not None and before is not None and stands.block_hash != before.block_hash:
            yield wrong("attestation", f"block {before.block_hash[:16]}", stands.block_hash[:16])
        if run.commitment != common.root:
            yield wrong("root", str(common.root)[:16], f"{str(run.commitment)[:16]}, on the chain")
        said = next((
            e.values["version"] for e in events if e.name == "RunAttested" and e.values["runId"] == common.run
            and e.values["attestor"].lower() == attestor.lower()
        ), None)
        if said is not None and before is not None and said != before.version:
            yield wrong("version", before.version, f"{said}, as the attestation's event says")
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
                "authorisation", entry.node, common.run, f"no reservation of privacy for KPI {kpi}",
                f"one of {price} millionths of ρ",
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
        said = {verdict.rule: verdict for verdict in entry.permitted.verdicts}
        for verdict in verdicts:
            mine = said.get(verdict.rule)
            if mine != verdict:
                yield Finding("verdict", entry.node, common.run, _in_words(verdict.rule, mine), _in_words("", verdict))
        for passed in entry.permitted.phases:
            state = (await self.registry.view(self.agreement, passed.block)).state
            if state != "active":
                yield Finding(
                    "phase", entry.node, common.run, f"phase {passed.phase} entered at block {passed.block}",
                    f"an agreement that was active there; it was {state}",
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
                    "account", entry.node, run,
                    f"{name}: {', '.join(f'{f} {str(getattr(account, f))[:16]}' for f in fields)}",
                    f"{', '.join(f'{f} {str(getattr(there, f))[:16]}' for f in fields)} at block {account.block}",
                )

    def _unrecorded(self, records: Sequence[Record], events: Sequence[Event]) -> list[Finding]:
        """Runs that a node attested on the chain and that its file does not have."""
        found: list[Finding] = []
        for record in records:
            if record.node is None:
                continue
            mine, known = self.terms.nodes[record.node].attestor.lower(), {entry.common.run for entry in record.runs}
            found.extend(
                Finding("evidence-missing", record.node, run, "no entry of this run",
                        f"one, since node {record.node} attested it at block {event.block_number}")
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


def _in_words(rule: str, verdict: Verdict | None) -> str:
    if verdict is None:
        return f"no verdict of {rule}"
    if verdict.passes:
        return f"{verdict.rule} passes"
    return f"{verdict.rule} refuses: found {verdict.found}, required {verdict.required}"
