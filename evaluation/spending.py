"""Privacy budget on the chain: a KPI's series of figures is paid for once in each edition, whatever is released of it.

What is paid for is a reservation of its own, under an id that says of what (ADR 32). The chain reserves it once, so a
run that is repeated, goes on after a restart, or takes a place that was reserved ahead pays nothing again; nor is it
given back with a run that is, since a later one has use for it; a node that says it gave it up is not followed, since
figures may have come out.

Noise of a series is always the same, so that figures of other data under it would tell the difference without noise.
Nodes that lost their folders would compute such figures, of data that were corrected since. So each node notes a series
before any of them pays for it, and computes nothing of one that is paid for and not noted.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.state import NodeState
from policy.agreement import Terms
from policy.canonical import canonical_bytes
from policy.errors import ChainError
from policy.gate import Refusal
from policy.plan import Plan
from policy.privacy import units
from policy.window import Window

if TYPE_CHECKING:
    from policy.chain.registry import Registry


def series_id(terms: Terms, plan: Plan, edition: int) -> str:
    """Under which a plan's series is reserved: 64 hexadecimal digits, equal at all nodes."""
    named = {"agreement": terms.hash, "privacy": plan.hash, "edition": edition}
    return hashlib.sha256(canonical_bytes(named)).hexdigest()


def all_series(terms: Terms) -> frozenset[str]:
    """Every reservation of privacy that the agreement may come to have."""
    return frozenset(
        series_id(terms, plan, edition)
        for plan in terms.plans if plan.privacy is not None for edition in range(terms.draft.lattice.editions)
    )


@dataclass
class Spending:
    """What a run's plans cost in its edition; nothing where they have no privacy."""

    registry: "Registry"
    agreement_id: str
    """On the chain."""
    prices: Mapping[str, tuple[str, int]]
    """Reservation → KPI, and what it costs in millionths of ρ."""
    _unpaid: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, registry: "Registry", agreement_id: str, terms: Terms, plans: Sequence[Plan], windows: Sequence[Window]
    ) -> "Spending":
        """Of a run of these plans over windows of one edition; linkage costs nothing."""
        edition = max((terms.draft.lattice.edition(window.index) for window in windows), default=None)
        private = [] if edition is None else [(plan, plan.privacy) for plan in plans if plan.privacy is not None]
        return cls(registry, agreement_id, {
            series_id(terms, plan, edition or 0): (plan.kpi, units(agreed.rho)) for plan, agreed in private
        })

    async def owed(self, block: int) -> tuple[tuple[str, int], ...]:
        """(KPI, price) of what is not paid for at a block.

        Raises:
            ChainError: see policy.chain.reader.
        """
        views = await asyncio.gather(*(self.registry.run(self.agreement_id, run, block) for run in self.prices))
        self._unpaid = tuple(
            run for run, view in zip(self.prices, views, strict=True)
            if view.stage in {"unknown", "released"} or view.budget != self.prices[run][1]
        )
        return tuple(self.prices[run] for run in self._unpaid)

    def noted(self, state: NodeState) -> Refusal | None:
        """Note at this node what will be paid for; call after `owed`, and before any node pays.

        Returns:
            The refusal of what is paid for, and is not in this node's folder.
        """
        known = state.ledger.series
        strange = [kpi for run, (kpi, _) in self.prices.items() if run not in known and run not in self._unpaid]
        if strange:
            return Refusal(
                "series-noted", f"the privacy of {', '.join(strange)} is paid for, but not noted in this node's folder",
                "the folder in which it was noted",
                "restore it from a copy; if no node has one, revoke the agreement and sign another, since the same "
                "noise over other data would tell how they differ",
            )
        if new := [run for run in self.prices if run not in known]:
            state.update(series=(*known, *new))
        return None

    async def settle(self, *, pays: bool) -> None:
        """Have everything paid for, and that final, before anything is computed from it; call after `owed`.

        Args:
            pays: whether this node is the one that sends what was owed; on nobody's demand.

        Raises:
            ChainError: not enough is left, or somebody made a reservation with another budget.
        """
        if not self._unpaid:
            return  # at a final block already
        if pays:
            for run in self._unpaid:
                await self.registry.authorise(self.agreement_id, [run], None, self.prices[run][1])
        await self.registry.wait_authorised(self.agreement_id, list(self.prices))
        for kpi, price in await self.owed((await self.registry.block("finalized")).number):
            raise ChainError(
                f"the chain has another reservation of privacy for KPI {kpi} than the {price} millionths of ρ that it "
                "costs; find out which node made it, and agree on a new version."
            )
