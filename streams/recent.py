"""The batches that came last, kept in memory beside their files: a run that follows at once opens none of these."""

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from streams.batch import BatchHeader

RECENT_BYTES = 64 << 20
Held = tuple[BatchHeader, NDArray[np.uint64]]


class Recent:
    """Headers and (2, columns, slots) components, at most RECENT_BYTES of them; oldest go first. For any thread."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[object, ...], Held] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def keep(self, header: BatchHeader, data: NDArray[np.uint64]) -> None:
        """Keep what is now in the batch's file, instead of what was."""
        with self._lock:
            self._drop(header.key)
            self._held[header.key] = header, data
            self._bytes += data.nbytes
            while self._bytes > RECENT_BYTES:
                self._drop(next(iter(self._held)))

    def get(self, key: tuple[object, ...]) -> Held | None:
        """What was kept of a batch, if it still is."""
        with self._lock:
            return self._held.get(key)

    def _drop(self, key: tuple[object, ...]) -> None:
        held = self._held.pop(key, None)
        self._bytes -= 0 if held is None else held[1].nbytes
