"""The share store as runs read it: until streams.store has batches of registers, of the first one alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streams import store


class ShareStore(store.ShareStore):
    """See streams.store."""

    @property
    def batches_complete(self) -> int:
        """Leading batches of which every block of every register is here."""
        return int(self.registers_complete)

    def register(self, party: str, shard: int, _batch: int = 0) -> NDArray[np.uint64]:
        """Of the first batch."""
        return super().register(party, shard)

    def panes(
        self, party: str, shard: int, panes: range, columns: Sequence[str], edition: int = 0, _batches: int = 1
    ) -> NDArray[np.uint64]:
        """Of the first batch."""
        return super().panes(party, shard, panes, columns, edition)

    def commitments(self, panes: range | None, edition: int = 0, batches: int = 1) -> dict[str, dict[int, bytes]]:
        """Of the first batch."""
        assert batches == 1
        return super().commitments(panes, edition)
