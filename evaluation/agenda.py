"""What is due at a node by itself: windows and batches of the registers, in the order in which they run."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.expected import Expected
from evaluation.growing import panes_of
from evaluation.state import NodeState
from policy.agreement import Terms
from policy.gate import revisions_left
from policy.plan import Plan
from policy.window import Window

MOST_CELLS = 1_500
"""Of all KPIs and windows of a run. A node's result has at most 600 bytes a cell, its record 300; a message 900 kB."""


@dataclass
class Agenda:
    """One node's; equal at nodes whose ledgers are."""

    terms: Terms
    plans: Sequence[Plan]
    state: NodeState
    expected: Expected

    def missing(self, window: Window) -> tuple[Plan, ...]:
        """Plans that have not run for a window."""
        return tuple(p for p in self.plans if (p.hash, window.index) not in self.state.pairs)

    def due(self, panes: int, mature: int, most: int) -> tuple[Window, ...]:
        """The next windows that run together: complete, one after another, of one edition, missing the same plans.

        Full editions come when no first one is due.

        Args:
            panes: leading ones that are complete.
            mature: leading ones that are complete for full editions.
            most: windows that all nodes let share a run; fewer where their results would be too long for a message.
        """
        first = self._together(self.terms.draft.lattice.scheduled[self.expected.following() :], panes, most)
        return first or self._together(self.revisable(), mature, most)

    def _together(self, left: Sequence[Window], panes: int, most: int) -> tuple[Window, ...]:
        if not left:
            return ()
        found: list[Window] = []
        plans = self.missing(left[0])
        room = MOST_CELLS // max(1, sum(len(plan.strata) for plan in plans))
        for window in left[: max(1, min(most, room))]:
            if window.stop > panes or self.missing(window) != plans:
                break
            found.append(window)
        return tuple(found)

    def panes_of(self, batches: int) -> int:
        """Leading panes that need none but the first batches of the registers."""
        draft = self.terms.draft
        return panes_of(draft.batch_edges, batches, draft.panes.count)

    def next_batch(self, linked: int, here: int) -> int | None:
        """The batch of the registers to be linked next, if it is here and a window that has not ended needs it."""
        if here <= linked:
            return None
        return linked if not linked or any(w.stop > self.panes_of(linked) for w in self.left()) else None

    def left(self) -> tuple[Window, ...]:
        """Windows that run by themselves and have not ended."""
        return (*self.terms.draft.lattice.scheduled[self.expected.following() :], *self.revisable())

    def earliest(self, due: Sequence[Window], mature: int, most: int) -> int | None:
        """The first pane of all windows that could run now; `due`: those that would come next."""
        revised = self._together(self.revisable(), mature, most) if due else ()
        return min((w.start for w in (*due, *revised)), default=None)

    def used_up(self, windows: Sequence[int]) -> tuple[int, ...]:
        """Scheduled ones of a run's windows, if it left nothing of them."""
        lattice = self.terms.draft.lattice
        found = tuple(w for w in windows if (window := lattice.window(w)) is not None and lattice.is_scheduled(window))
        return found if all(map(self.expected.ended, found)) else ()

    def unrevised(self) -> tuple[Window, ...]:
        """Full editions that have not ended and still can, in order."""
        closed = self.state.ledger.closed
        return tuple(w for w in self.terms.draft.lattice.full if w.start >= closed and self.missing(w))

    def revisable(self) -> tuple[Window, ...]:
        """Those that may still run."""
        return () if revisions_left(self.terms, self.state.revisions(self.terms.draft.lattice)) else self.unrevised()
