"""Runs that a node gives back: authorised, or about to be, and refused before anything of them was opened (ADR 29).

What was opened, or may have been, is in the ledger and is never given up.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from evaluation.advance import Advance
from evaluation.answering import Outlets
from evaluation.coordination import Ready
from evaluation.ledger import MAX_RUNS_KEPT
from evaluation.run import NodeRun
from evaluation.state import NodeState


@dataclass
class GivingUp:
    """One node's."""

    state: NodeState
    outlets: Outlets
    advance: Advance | None
    begun: NodeRun | None = None
    """The latest run, unless it was settled."""
    kept: Collection[str] = ()
    """What is never given up, whoever says so: figures may have come out of it in any run."""

    def hear(self, ready: Sequence[Ready]) -> set[str]:
        """What one of the nodes gave up, all do that opened nothing of it; half of the room is for this node's own.

        Returns:
            Ids under which nothing runs any more, equal at all nodes.
        """
        heard = {run for r in ready for run in r.given_up}.difference(self.kept)
        for run in sorted(heard):
            if len(self.state.ledger.given_up) < MAX_RUNS_KEPT // 2:
                self.outlets.give_up(run)
        if self.advance is not None:
            self.advance.given_up = heard
        return heard

    def run(self) -> None:
        """The latest run was refused."""
        if self.begun is not None and self.begun.reserved is not None:
            self.outlets.give_up(self.begun.reserved)

    def everything(self) -> None:
        """The schedule is stopped or over: nothing goes on that an attempt left, nothing takes the place reserved."""
        self.run()
        if self.advance is not None:
            self.outlets.give_up(self.advance.run)
