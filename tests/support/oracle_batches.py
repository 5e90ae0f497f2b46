"""The oracle's own account of who enters which batch of a register, and from which pane on they count.

Shares no code with Winnow. The rules:
- batch 0 opens on the linkage date, and a later one at the start of every pane whose number is a multiple of
  `batch_panes` and that begins after that date;
- a batch takes in who was first recorded before it opens, was in none yet, and did not withdraw before it opens; batch 0
  takes in those who withdrew, too;
- a later batch takes in nobody where fewer than `minimum_cohort` would enter, by party and shard: they wait.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

FAR = 10**9
"""A pane after all others."""


class Batches:
    """Of one party's registers."""

    def __init__(self, agreement: dict, grid, shard_of: Callable[[str], int] | None) -> None:
        every, date = agreement["linkage"].get("batch_panes"), agreement["linkage"]["date"]
        count = len(grid.edges) - 1
        self.panes = [0, *(p for p in range(1, count) if every and p % every == 0 and grid.edges[p] > date)]
        """Of each batch the first pane that has it."""
        self._opens = [grid.midnight(date), *(grid.midnight(grid.edges[p]) for p in self.panes[1:])]
        self._minimum = agreement.get("disclosure", {}).get("minimum_cohort", 1)
        if len(self.panes) > 1 and agreement.get("shards", 1) > 1 and shard_of is None:
            raise ValueError("whether enough people wait is decided shard by shard: say which shard a person is in")
        self._shard_of = shard_of or (lambda _: 0)

    def next(self, at: datetime) -> int | None:
        """The first batch that opens after an instant."""
        return next((batch for batch, opens in enumerate(self._opens) if at.timestamp() < opens), None)

    def entered(self, known: Mapping[str, datetime], left: Mapping[str, datetime]) -> dict[str, int]:
        """Everybody who is in a batch → the first pane that they are in.

        Args:
            known: person → when they were first recorded.
            left: person → when they withdrew.
        """
        first = {person: self.next(at) for person, at in known.items()}
        found = {person: 0 for person, batch in first.items() if batch == 0}
        for batch, pane in enumerate(self.panes[1:], 1):
            ready: dict[int, list[str]] = {}
            for person, own in first.items():
                gone = self.next(left[person]) if person in left else None
                if person not in found and own is not None and own <= batch and (gone is None or gone > batch):
                    ready.setdefault(self._shard_of(person), []).append(person)
            for people in ready.values():
                if len(people) >= self._minimum:
                    found.update(dict.fromkeys(people, pane))
        return found
