"""Renewal of the epoch in the background: when all batches are linked anew, and when the new linkage is taken over.

An epoch to come is linked when the one in force has more segments than agreed. It gets the batches that are linked
meanwhile, and running totals of its own, a portion an attempt; all of it when nothing else is to do. Windows run with
the epoch in force. Once all three nodes have told, at the beginning of an attempt, that they have the same totals, as
far as those in force, each takes the new epoch over by itself. A node that was killed before it could finds that
another one has, and follows: that one had heard that all three could.

What is not whole when no window is left is given up, by all three in one attempt: else one that gives it up alone could
miss that another one has taken it over.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from evaluation.compute import Computation
from evaluation.coordination import Ahead, Ready, go_back, shared_mark
from evaluation.errors import ConfigError
from evaluation.growing import Link
from evaluation.run import NodeRun
from evaluation.state import NodeState
from evaluation.status import StatusLine
from evaluation.totals import Portion
from policy.agreement import Terms


@dataclass
class Renewal:
    """One node's."""

    terms: Terms
    computation: Computation
    state: NodeState
    status: StatusLine

    def resume(self) -> None:
        """Go on with what was kept of the epoch to come; without it, if that is gone."""
        try:
            self.computation.coming.resume(*self.state.renewal())
        except ConfigError as error:
            structlog.get_logger().error("the next epoch is linked again", reason=str(error))
            self._drop()

    def stand(self) -> tuple[str, str]:
        """What this node tells of the epoch to come: the attempt that linked it, and a digest if it is whole here."""
        renewal, coming = self.state.ledger.renewal, self.computation.coming
        if not renewal or coming.linkage != renewal or self.next_link is not None or self.left():
            return renewal, ""
        mark = "".join(coming.totals.marks[-1:])
        return renewal, hashlib.sha256(f"{renewal} {mark}".encode()).hexdigest()

    @property
    def waiting(self) -> bool:
        """Whether there is something to do."""
        return self.pending or bool(self.computation.coming.linkage) or self.next_link is not None

    @property
    def pending(self) -> bool:
        """Whether there is an epoch to come."""
        return bool(self.state.ledger.renewal)

    @property
    def next_link(self) -> Link | None:
        """What is to be linked for the epoch to come; equal at nodes whose linkages are."""
        now, coming = self.computation.now, self.computation.coming
        every = self.terms.draft.linkage.renew_batches
        if every is None or not now.linkage:
            return None
        if coming.linkage:
            return Link(coming.batches, coming.first, ahead=True) if coming.batches < now.batches else None
        segments = now.batches - now.first + 1
        return Link(now.batches - 1, now.batches, ahead=True) if segments > every else None

    def left(self) -> list[Portion]:
        """Portions of panes that the epoch to come lacks: those of all windows that ended."""
        coming, lattice = self.computation.coming, self.terms.draft.lattice
        stops = [0] * lattice.editions
        for run in self.state.ledger.runs:
            for window in map(lattice.window, run.windows):
                if window is not None:
                    edition = lattice.edition(window.index)
                    stops[edition] = max(stops[edition], window.stop)
        return coming.totals.left(coming.linked, [max(stops[edition:]) for edition in range(len(stops))])

    def level(self, ready: Sequence[Ready], *, over: bool) -> tuple[list[str], bool]:
        """Take over, follow, or give up, as the three nodes' words say.

        Args:
            ready: their words.
            over: whether no window is left, so that nobody will take over what is not whole.

        Returns:
            The linkages that are then in force, and whether one of them was taken over.

        Raises:
            ConfigError: a file of this node is gone.
        """
        if self.computation.coming.linkage != self.state.ledger.renewal:
            self.computation.coming.resume(*self.state.renewal())
        linkages = {r.linkage for r in ready}
        taken = next((r.renewal for r in ready if r.renewal and r.renewal in linkages), "")
        if not taken and ready[0].renewed and len({r.renewed for r in ready}) == 1:
            taken = ready[0].renewal
        if taken:
            if self.state.ledger.renewal == taken:
                self.state.take_over()
                self.computation.take_over()
                self.status.say("renewed", detail=f"{self.computation.batches} batches of the registers, linked anew")
        elif self.pending and (over or len({r.renewal for r in ready}) != 1):
            self._drop()
        return [taken if taken and r.renewal == taken else r.linkage for r in ready], bool(taken)

    async def add(self, run: NodeRun) -> None:
        """Add a portion of panes to the running totals of the epoch to come, if any is left.

        Raises:
            RunRefused: the agreement does not hold any more.
            MpcError, ChainError: see there.
        """
        epoch = self.computation.coming
        told = await run.council.exchange(Ahead(totals=epoch.totals.marks))
        if len({t.totals for t in told}) != 1:
            await go_back(run.council, epoch.totals, shared_mark(told))
        await run.verdict("panes", await run.latest())
        portions = self.left()
        if portions:
            await epoch.totals.add(self.computation.engines(run.wire), epoch.linked, portions[0])
            self.status.say("panes", portions[0].stop, portions[-1].stop, "added up anew, for the next epoch")

    def _drop(self) -> None:
        self.state.drop_renewal()
        self.computation.coming.resume("", {})
