"""Whether events may enter, as far as that needs no history: whole columns at once.

The same reasons in the same order as for one event by itself: whose patient it is, whether the source may send this
kind, the clock, then what the kind says. What needs history (ids, people, references, bounds) the fold of a shard
decides.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from policy.agreement import Draft
from policy.measure import Measure
from streams.columns import EventColumns
from streams.counted import known_codes
from streams.envelope import REGISTERED
from streams.fixed import Bools, Int64s
from streams.pseudonym import CACHED, Pseudonyms
from streams.rejects import Reason
from streams.rowwise import CLAIM, ENCOUNTER, ENROLMENT, KINDS, MICROSECOND, MONITORING, PROM, micros
from streams.sources.agreed import programmes
from streams.validate import CARE_TYPES, CLOCK_SLACK, STOP_SLACK

FOREIGN = -1
"""The shard of a pseudonym that this party did not make."""
EARLIEST, LATEST = micros(datetime(1, 1, 3, tzinfo=UTC)), micros(datetime(9999, 12, 29, tzinfo=UTC))
"""Instants beyond these leave the calendar in one time zone or another, or when a slack is added."""
_CLOCK_SLACK, _STOP_SLACK = CLOCK_SLACK // MICROSECOND, STOP_SLACK // MICROSECOND


class Judged(NamedTuple):
    """A decision an event."""

    shard: NDArray[np.int64]
    """(n,) the shard, or FOREIGN."""
    accepted: Bools
    """(n,)"""
    refused: list[tuple[int, Reason]]
    """Row and reason of those that are not accepted, in order."""


class Judge:
    """One party's rules."""

    def __init__(self, draft: Draft, party: str, pseudonyms: Pseudonyms) -> None:
        self._shards, self._pseudonyms = draft.shards, pseudonyms
        self._known: dict[bytes, int] = {}
        self._allowed = np.zeros((256, len(KINDS)), dtype=np.bool_)
        """(source, kind); a source that is not agreed may send nothing."""
        for index, source in enumerate(draft.party(party).sources):
            self._allowed[index, [KINDS.index(kind) for kind in source.kinds if kind in KINDS]] = True
        measures = draft.party_measures(party)
        self._codes = {
            CLAIM: CARE_TYPES | _care_types(measures), ENROLMENT: programmes(draft, party) | {REGISTERED},
            MONITORING: known_codes(measures, "monitoring"), PROM: known_codes(measures, "prom"),
        }
        """Kind → the codes that it may have; None: any."""
        edges = draft.panes.edges
        self._start, self._end = micros(edges[0]), micros(edges[-1])

    def judge(self, events: EventColumns, latest: Int64s | int) -> Judged:
        """Shard and decision of every event.

        Args:
            events: n of them.
            latest: (n,), or one for all, µs since 1970: what says that it was recorded later is of a wrong clock.
        """
        shard = self._shard(events)
        verdicts = _Verdicts(len(events))
        kind, occurred, recorded, until = events.kind, events.occurred, events.recorded, events.until
        verdicts.refuse(shard == FOREIGN, Reason.WRONG_TYPE)
        for at in (occurred, recorded, until):
            verdicts.refuse((at < EARLIEST) | (at > LATEST), Reason.WRONG_TYPE)
        verdicts.refuse(~self._allowed[events.source, kind], Reason.UNKNOWN_CODE)
        verdicts.refuse((occurred > recorded + _CLOCK_SLACK) | (recorded > latest), Reason.IN_THE_FUTURE)
        for of, known in self._codes.items():
            if known is not None and (kind == of).any():
                strange = np.array([*(name not in known for name in events.codes), False])
                verdicts.refuse((kind == of) & strange[events.code], Reason.UNKNOWN_CODE)
        # An answer from before the first pane may be what later ones are compared with.
        outside = ((occurred < self._start) & (kind != PROM)) | (occurred >= self._end)
        placed = (kind == CLAIM) | (kind == ENCOUNTER) | (kind == MONITORING) | (kind == PROM)
        # What takes something back gets the time of that.
        verdicts.refuse(outside & placed & ~events.flag, Reason.OUTSIDE_AGREEMENT)
        verdicts.refuse((kind == CLAIM) & events.flag & ~events.has_corrects, Reason.MISSING_FIELD)
        stops = (kind == ENROLMENT) & events.has_until
        verdicts.refuse(stops & (until < occurred), Reason.STOP_BEFORE_START)
        verdicts.refuse(stops & (until > recorded + _STOP_SLACK), Reason.IN_THE_FUTURE)
        return Judged(shard, verdicts.accepted, verdicts.refused())

    def _shard(self, events: EventColumns) -> Int64s:
        """(n,) shards; each pseudonym is opened once in a while."""
        patients: list[bytes] = events.patient.tolist()
        try:
            return np.fromiter(map(self._known.__getitem__, patients), dtype=np.int64, count=len(patients))
        except KeyError:
            found = np.empty(len(patients), dtype=np.int64)
            for i, patient in enumerate(patients):
                at = self._known.get(patient)
                found[i] = self._open(patient) if at is None else at
            return found

    def _open(self, patient: bytes) -> int:
        if len(self._known) >= CACHED:
            self._known.clear()
        try:
            found = self._pseudonyms.shard_of(patient, self._shards)
        except ValueError:
            found = FOREIGN
        self._known[patient] = found
        return found


class _Verdicts:
    """The first reason found for each row."""

    def __init__(self, n: int) -> None:
        self.accepted: Bools = np.ones(n, dtype=np.bool_)
        self._found: list[tuple[NDArray[np.int64], Reason]] = []

    def refuse(self, rows: Bools, reason: Reason) -> None:
        """Refuse the rows that nothing was found against yet."""
        new = np.flatnonzero(rows & self.accepted)
        if len(new):
            self.accepted[new] = False
            self._found.append((new, reason))

    def refused(self) -> list[tuple[int, Reason]]:
        """Row and reason, in order of rows."""
        return sorted((row, reason) for rows, reason in self._found for row in rows.tolist())


def _care_types(measures: Sequence[Measure]) -> frozenset[str]:
    return frozenset(m.care_type for m in measures if m.kind == "claim" and m.care_type is not None)
