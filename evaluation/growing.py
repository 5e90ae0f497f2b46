"""Registers that grow: which batches of their blocks panes have (`Draft.batch_edges`)."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Link(NamedTuple):
    """What a run without windows links."""

    batch: int = 0
    """Of the registers; the last one of those that are linked together."""
    epoch: int = 1
    """Batches that were linked together first, under one key: what tells this epoch from those before."""
    ahead: bool = False
    """In the epoch to come, not in the one in force."""

    @property
    def begins(self) -> bool:
        """Whether an epoch begins."""
        return self.batch + 1 == self.epoch

    @property
    def words(self) -> str:
        """For people; empty for the first linkage."""
        if self.begins:
            return f", {self.epoch} batches of the registers linked anew" if self.batch else ""
        return f", batch {self.batch} of the registers{', in the next epoch' if self.ahead else ''}"


def batches_before(edges: Sequence[int], stop: int) -> int:
    """Leading batches of which panes before `stop` have blocks: those that must be linked for a window that ends there.

    `edges`: the panes at which batches 1, 2, … open, ascending.
    """
    return 1 + bisect_left(edges, stop)


def panes_of(edges: Sequence[int], batches: int, count: int) -> int:
    """Of `count` panes, the leading ones that have blocks of none but the first `batches` batches."""
    if not batches:
        return 0
    return edges[batches - 1] if batches <= len(edges) else count


def stretches(edges: Sequence[int], panes: range) -> list[range]:
    """Panes cut where batches open."""
    cuts = [panes.start, *(edge for edge in edges if panes.start < edge < panes.stop), panes.stop]
    return [range(start, stop) for start, stop in pairwise(cuts)]
