"""How many runs an agreement may come to need of its quota."""

from dataclasses import dataclass

from policy.agreement import Draft
from policy.growth import spare_links
from policy.privacy import units


@dataclass(frozen=True)
class RunsNeeded:
    """Most runs of each kind. Windows that are due together share one, so fewer may do."""

    links: int
    """Of the first registers, and of every later batch."""
    renewals: int
    """That link batches anew."""
    windows: int
    """Of scheduled windows, in their first edition."""
    full: int
    """Of their full editions, as far as the quota of these lets them."""
    requests: int
    """Of all requesters together."""
    budgets: int = 0
    """That take privacy budget, one for each KPI with privacy and edition (evaluation.spending)."""

    @property
    def schedule(self) -> int:
        """Without requests."""
        return self.links + self.renewals + self.windows + self.full + self.budgets


def runs_needed(draft: Draft) -> RunsNeeded:
    """The most that the schedule and the requesters can use."""
    later = len(draft.batch_edges)
    lattice = draft.lattice
    return RunsNeeded(
        links=1 + later, renewals=spare_links(draft.linkage.renew_batches, later), windows=len(lattice.scheduled),
        full=min(len(lattice.full), draft.maturities.revisions or 0), requests=sum(r.runs for r in draft.requesters),
        budgets=len(draft.privacy) * lattice.editions,
    )


def needed_units(draft: Draft) -> int:
    """Privacy that all KPIs of this version spend, in all editions, as the chain counts it."""
    return sum(units(agreed.rho) for agreed in draft.privacy) * draft.lattice.editions
