"""Which entries an audit is about: one run, or a period."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date

from console.audit.sources import Record
from console.errors import ConsoleError
from evaluation.evidence import AnyEntry, Ended

LEAST_DIGITS = 8
"""Of a run's id."""


@dataclass(frozen=True)
class Selection:
    """Without anything: all entries."""

    run: str | None = None
    """The first digits of its id, or all."""
    start: date | None = None
    """UTC, by the nodes' clocks."""
    stop: date | None = None
    """The day after the last one."""

    def check(self) -> None:
        """Look at it before anything is read.

        Raises:
            ConsoleError: it can be of no entry.
        """
        digits = self.run or ""
        if self.run is not None and (len(digits) < LEAST_DIGITS or not set(digits) <= set("0123456789abcdef")):
            raise ConsoleError(f"--run {self.run}: expected {LEAST_DIGITS} to 64 hexadecimal digits of a run's id.")
        if self.start is not None and self.stop is not None and self.stop <= self.start:
            raise ConsoleError(f"--until {self.stop} is not after --from {self.start}. It is the day after the last.")

    def of(self, records: Sequence[Record], *, at_least_one: bool = True) -> list[AnyEntry]:
        """What it selects, by time and node.

        Raises:
            ConsoleError: no record has such a run, and `at_least_one` has to.
        """
        found = sorted(self._each(records), key=lambda entry: (entry.at, entry.node))
        if self.run is not None and not found and at_least_one:
            raise ConsoleError(f"--run {self.run}: no entry of such a run. Leave --run out to see all of them.")
        return found

    def _each(self, records: Sequence[Record]) -> Iterator[AnyEntry]:
        for entry in (entry for record in records for entry in record.entries):
            day = entry.at.astimezone(UTC).date()
            if self.run is not None and not (run_of(entry) or "").startswith(self.run):
                continue
            if (self.start is None or day >= self.start) and (self.stop is None or day < self.stop):
                yield entry


EVERYTHING = Selection()


def run_of(entry: AnyEntry) -> str | None:
    """The run that an entry is about."""
    return entry.common.run if isinstance(entry, Ended) else entry.run
