"""Registers that grow: which batches of their blocks panes have (`Draft.batch_edges`)."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise


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
