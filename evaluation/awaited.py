"""What nodes wait for, though the calendar says that it could be here: which party, shard, and batch or pane.

Names and numbers alone, which nodes, parties and readers know of each other anyhow.
"""

from collections.abc import Iterable
from datetime import date
from typing import Annotated

from pydantic import Field

from evaluation.calendar import shared_on
from evaluation.document import Count, DateWindow, Frozen
from evaluation.records import Awaiting, Lacking
from policy.agreement import Draft


class Awaited(Frozen):
    """One thing that is not there, of some shards of a party."""

    party: str
    shards: tuple[Count, ...]
    batch: Count | None = None
    """Of the party's register; None: it is a pane."""
    pane: DateWindow | None = None
    """Its days."""
    revision: Count = 0
    """Of the pane; 0: as first sealed."""
    expected: date
    """First local day on which it can be there."""
    window: DateWindow
    """The first one that waits for it."""
    nodes: tuple[Annotated[int, Field(ge=0, le=2)], ...]
    """That lack it."""

    @property
    def what(self) -> str:
        """As in: batch 2 of the register of insurer, shards 0, 3"""
        shards = f"shard{'s' if len(self.shards) > 1 else ''} {', '.join(map(str, self.shards))}"
        if self.pane is None:
            return f"batch {self.batch} of the register of {self.party}, {shards}"
        matured = f" at maturity {self.revision}" if self.revision else ""
        return f"the pane of {self.pane.start.isoformat()}{matured} of {self.party}, {shards}"


def waits(draft: Draft, words: Iterable[Awaiting]) -> tuple[Awaited, ...]:
    """What nodes wait for, in time and then by party; of each node one word. What no agreement has is left out."""
    windows: dict[tuple[int, Lacking], dict[int, int]] = {}  # shard, what of it → node → the first that waits there
    for word in words:
        for each in word.lacking:
            if _is_agreed(draft, each):
                what = each.model_copy(update={"shard": 0, "window": 0})
                by_node = windows.setdefault((each.shard, what), {})
                by_node[word.node] = min(each.window, by_node.get(word.node, each.window))
    together: dict[tuple[Lacking, tuple[int, ...]], list[tuple[int, int]]] = {}
    for (shard, what), by_node in windows.items():
        together.setdefault((what, tuple(sorted(by_node))), []).append((shard, min(by_node.values())))
    rows = [_row(draft, what, who, sides) for (what, who), sides in together.items()]
    return tuple(sorted(rows, key=lambda r: (r.expected, r.party, r.shards, r.nodes)))


def _is_agreed(draft: Draft, each: Lacking) -> bool:
    there = each.batch is None or each.batch <= len(draft.batch_edges)
    there = there and (each.pane is None or each.pane < draft.panes.count)
    return (
        there and each.party in {p.name for p in draft.parties} and each.shard < draft.shards
        and each.revision <= draft.maturities.last and draft.lattice.window(each.window) is not None
    )


def _row(draft: Draft, what: Lacking, nodes: tuple[int, ...], sides: list[tuple[int, int]]) -> Awaited:
    window = draft.lattice.window(min(window for _, window in sides))
    assert window is not None
    return Awaited(
        party=what.party, shards=tuple(sorted(shard for shard, _ in sides)), batch=what.batch,
        pane=None if what.pane is None else DateWindow.of_panes(draft.panes, what.pane, what.pane + 1),
        revision=what.revision, expected=shared_on(draft, what), nodes=nodes,
        window=DateWindow.of_panes(draft.panes, window.start, window.stop),
    )
