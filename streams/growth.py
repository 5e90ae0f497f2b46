"""The batches of registers that grow at agreed dates: when they open, and what is known of their blocks."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping

import numpy as np

from policy.agreement import Draft


class Ends:
    """What headers said of one register: how many blocks the batches up to each one have, and which batch has a block.

    Blocks are numbered through all batches, of which each has one block at least.
    """

    def __init__(self) -> None:
        self._ends: dict[int, int] = {}
        """Batch → blocks of all batches up to it."""
        self._least: dict[int, int] = {}
        """Batch → the first of its blocks that was named."""

    def fits(self, batch: int, block: int, blocks: int) -> bool:
        """Whether a block of a batch, with so many blocks up to that batch's end, agrees with all that was said."""
        if not batch <= block < blocks or self._ends.get(batch, blocks) != blocks:
            return False
        for other, end in self._ends.items():
            if other < batch and end + batch - other - 1 > block:
                return False
            if other > batch and self._least[other] < blocks + other - batch - 1:
                return False
        return True

    def note(self, batch: int, block: int, blocks: int) -> None:
        """Take over what fits."""
        self._ends[batch] = blocks
        self._least[batch] = min(block, self._least.get(batch, block))

    def may_have(self, batches: int, block: int) -> bool:
        """Whether the first so many batches may have this block, as far as anything is known."""
        ends = [end - (batch - batches + 1) for batch, end in self._ends.items() if batch >= batches - 1]
        return block < min(ends, default=block + 1)

    def end(self, batches: int) -> int | None:
        """Blocks of the first so many batches; None if nobody said."""
        return 0 if batches == 0 else self._ends.get(batches - 1)

    def span(self, batch: int) -> range | None:
        """A batch's blocks; None if nobody said."""
        start, stop = self.end(batch), self.end(batch + 1)
        return None if start is None or stop is None else range(start, stop)

    @property
    def leading(self) -> int:
        """Leading batches of which it is known how many blocks they have."""
        found = 0
        while found in self._ends:
            found += 1
        return found


class Growth:
    """When the batches of an agreement's registers open; the same for all parties and shards."""

    def __init__(self, draft: Draft) -> None:
        self._edges = (0, *draft.batch_edges)
        self.batches = len(self._edges)
        """All of them; 1 if registers close once."""
        self.edges = np.array(self._edges, dtype=np.int64)
        """(batches,) what `edge` says of each."""

    def edge(self, batch: int) -> int:
        """The first pane that is shared of a batch's blocks, 0 ≤ batch < batches."""
        return self._edges[batch]

    def until(self, pane: int) -> int:
        """Leading batches of which a pane is shared, at least 1."""
        return max(1, bisect_right(self._edges, pane))

    def shared(self, ends: Ends, panes: int, revisions: int) -> int:
        """Share batches of one register and its panes; a batch of the register of which nothing is known counts as one
        block.

        Args:
            ends: what is known.
            panes: of the grid.
            revisions: of each pane.
        """
        total = 0
        for batch, edge in enumerate(self._edges):
            span = ends.span(batch)
            total += (1 if span is None else len(span)) * (1 + (panes - edge) * revisions)
        return total

    def due(self, ends: Ends, batches: int, newest: Mapping[int, int]) -> Iterator[tuple[int, int, range]]:
        """(pane, revision, blocks) of one register and its panes that are to be here by now, the latest panes of a
        revision first; pane −1: a batch of the register, which `revision` is then.

        Args:
            ends: of the register.
            batches: leading ones of which these tell.
            newest: revision → the last pane of which something is here.
        """
        for revision, last in newest.items():
            for pane in range(last, -1, -1):
                yield pane, revision, range(ends.end(min(batches, self.until(pane))) or 0)
            if revision == 0:
                yield from ((-1, batch, ends.span(batch) or range(0)) for batch in range(batches))

    def most_due(self, ends: Ends, batches: int, newest: Mapping[int, int]) -> int:
        """Blocks that `due` names."""
        spans = [(self._edges[batch], len(ends.span(batch) or ())) for batch in range(batches)]
        of_panes = sum(max(0, last + 1 - edge) * blocks for last in newest.values() for edge, blocks in spans)
        return of_panes + sum(blocks for _, blocks in spans)
