"""Which encounters, monitoring events and PROM answers may enter: each may be said again, corrected or cancelled.

The bounds hold whatever the panes stage leaves out as late: a late correction leaves what it corrects in its pane. So
something taken back frees its place only when that is all that changes, in one pane, and the event was never revised
before; of scores the widest spread ever accepted counts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from policy.measure import Measure
from policy.window import PaneGrid
from streams.chest import Tables, table
from streams.columns import NEVER
from streams.counted import Key, counted, key_of, known_codes, moments
from streams.envelope import EncounterEvent, MonitoringEvent, PromEvent, RevisableEvent
from streams.rejects import Reason
from streams.rowwise import micros, moment


@dataclass(slots=True)
class _Said:
    """The last version of an event."""

    kind: str
    instrument: str | None
    patient: str
    occurred_at: datetime
    recorded_at: datetime
    places: tuple[tuple[int, int], ...]
    """(pane, measure) whose bounds it uses."""
    stands: bool
    revised: bool = False
    taken_back_by: str | None = None
    """The id of the event that cancelled it: its own, or that of another."""
    least: int = 0
    """The earliest that it, or anything that it took back, said; µs since 1970."""


@dataclass(slots=True)
class _Spread:
    """One patient's answers to an instrument."""

    least: int
    most: int
    in_a_pane: int
    """Most answers in one pane."""

    @property
    def largest(self) -> int:
        """No pane's changes add up to more, either way, whichever answer turns out to be the first."""
        return (self.most - self.least) * self.in_a_pane


_SAID = pa.schema([
    pa.field("event", pa.string(), nullable=False), pa.field("kind", pa.string(), nullable=False),
    pa.field("instrument", pa.string()), pa.field("patient", pa.string(), nullable=False),
    pa.field("occurred", pa.int64(), nullable=False), pa.field("recorded", pa.int64(), nullable=False),
    pa.field("places", pa.list_(pa.int64()), nullable=False), pa.field("stands", pa.bool_(), nullable=False),
    pa.field("revised", pa.bool_(), nullable=False), pa.field("taken_back_by", pa.string()),
    pa.field("least", pa.int64(), nullable=False),
])
_USES = pa.schema([
    pa.field(name, pa.int64(), nullable=False) for name in ("person", "pane", "measure", "number")
])
_SPREADS = pa.schema([
    pa.field(name, pa.int64(), nullable=False) for name in ("person", "measure", "least", "most", "in_a_pane")
])


class Revisions:
    """Checks one party's events of these kinds in their order."""

    def __init__(self, grid: PaneGrid, measures: Sequence[Measure]) -> None:
        self._grid, self._measures = grid, measures
        self._modules = known_codes(measures, "monitoring")
        self._instruments = known_codes(measures, "prom")
        self._limited: dict[Key, tuple[int, ...]] = {}
        self._said: dict[str, _Said] = {}
        self._totals: dict[tuple[int, int, int], int] = {}
        """(person, pane, measure) → events, or an upper bound of them."""
        self._spreads: dict[tuple[int, int], _Spread] = {}

    def check(self, event: RevisableEvent, person: int | None, since: int = NEVER) -> RevisableEvent | Reason:
        """The event as it may enter, or why not.

        Args:
            event: of a patient of this partition, not in the future, from a source of its kind.
            person: the number that the patient has or would have; None: is not known and may not be new.
            since: what happened before this instant (µs since 1970) is too old, and as if it had been forgotten.

        An event that only cancels enters with the time of what it cancels.
        """
        if self._unknown(event):
            return Reason.UNKNOWN_CODE
        cancels = event.payload.cancels
        # An answer from before the first pane may be what later ones are compared with.
        outside = self._grid.pane_of(event.occurred_at) is None
        if outside and not cancels and (not isinstance(event, PromEvent) or event.occurred_at >= self._grid.edges[0]):
            return Reason.OUTSIDE_AGREEMENT
        said = [micros(at) for at, _ in moments(event)]
        if min(said, default=since) < since:
            return Reason.TOO_OLD
        if person is None:
            return Reason.UNKNOWN_PERSON
        gone = self._taken_back(event, since)
        if isinstance(gone, Reason):
            return gone
        made = self._version(event)
        made.least = min([*said, *(earlier.least for earlier in gone)])
        made.revised = self._find(event.event_id, since) is not None
        if (refused := self._count(event, made, gone, person)) is not None:
            return refused
        for earlier in gone:
            earlier.stands, earlier.taken_back_by, earlier.revised = False, event.event_id, True
        if cancels and (own := self._find(event.event_id, since)) is not None:
            own.recorded_at = event.recorded_at
            made = own
        self._said[event.event_id] = made
        return event.model_copy(update={"occurred_at": gone[-1].occurred_at}) if cancels else event

    def forget(self, before: int, pane: int) -> None:
        """What was said of before an instant (µs since 1970), and the uses of panes with a number below `pane`."""
        self._said = {event: said for event, said in self._said.items() if said.least >= before}
        self._totals = {place: number for place, number in self._totals.items() if place[1] >= pane}

    def forget_people(self, people: Mapping[int, str]) -> None:
        """All that was said of some people; number → pseudonym."""
        names = set(people.values())
        self._said = {event: said for event, said in self._said.items() if said.patient not in names}
        self._totals = {place: number for place, number in self._totals.items() if place[0] not in people}
        self._spreads = {of: spread for of, spread in self._spreads.items() if of[0] not in people}

    def _find(self, event_id: str, since: int) -> _Said | None:
        """What was said under an id, unless it may be forgotten."""
        said = self._said.get(event_id)
        return None if said is None or said.least < since else said

    def dump(self) -> dict[str, pa.RecordBatch]:
        """What was said, as tables."""
        return {
            "said": table(_SAID, (
                (event, s.kind, s.instrument, s.patient, micros(s.occurred_at), micros(s.recorded_at),
                 [number for place in s.places for number in place], s.stands, s.revised, s.taken_back_by, s.least)
                for event, s in self._said.items()
            )),
            "uses": table(_USES, ((*place, number) for place, number in self._totals.items())),
            "spreads": table(_SPREADS, (
                (*of, s.least, s.most, s.in_a_pane) for of, s in self._spreads.items()
            )),
        }

    def load(self, tables: Tables) -> None:
        """Put a new one back to where it was.

        Raises:
            StoreError: not the tables of `dump`.
        """
        for event, kind, instrument, patient, occurred, recorded, places, stands, revised, by, least in tables.rows(
            "said", _SAID
        ):
            self._said[event] = _Said(
                kind, instrument, patient, moment(occurred), moment(recorded),
                tuple(zip(places[::2], places[1::2], strict=True)), stands, revised, by, least,
            )
        self._totals = {(person, pane, measure): n for person, pane, measure, n in tables.rows("uses", _USES)}
        self._spreads = {
            (person, index): _Spread(least, most, number)
            for person, index, least, most, number in tables.rows("spreads", _SPREADS)
        }

    def _unknown(self, event: RevisableEvent) -> bool:
        match event:
            case EncounterEvent():
                return False
            case MonitoringEvent():
                return self._modules is not None and event.payload.module not in self._modules
            case PromEvent():
                return self._instruments is not None and event.payload.instrument not in self._instruments

    def _version(self, event: RevisableEvent) -> _Said:
        places = [
            (pane, index) for moment, key in moments(event) if (pane := self._grid.pane_of(moment)) is not None
            for index in self._limits(key)
        ]
        return _Said(
            event.kind, _instrument(event), event.patient, event.occurred_at, event.recorded_at, tuple(places),
            stands=not event.payload.cancels,
        )

    def _limits(self, key: Key) -> tuple[int, ...]:
        """The measures of which an event uses up some of the bound."""
        found = self._limited.get(key)
        if found is None:
            adds = {index for index, value in counted(self._measures, key) if value > 0}
            found = self._limited[key] = tuple(
                index for index, m in enumerate(self._measures)
                if index in adds or (m.aggregation in ("follow-ups", "change") and m.code == key[1])
            )
        return found

    def _taken_back(self, event: RevisableEvent, since: int) -> list[_Said] | Reason:
        """What stands and would no longer."""
        gone: list[_Said] = []
        own = self._find(event.event_id, since)
        if own is not None:
            if not _alike(own, event) or event.recorded_at <= own.recorded_at:
                return Reason.DUPLICATE_ID
            if own.taken_back_by not in (None, event.event_id):
                return Reason.ALREADY_CANCELLED
            if own.stands:
                gone.append(own)
        if event.corrects is not None and event.corrects != event.event_id:
            other = self._find(event.corrects, since)
            if other is None and since != NEVER:
                # Nobody remembers whether it was ever there.
                return Reason.TOO_OLD
            if other is None or not _alike(other, event) or (not other.stands and other.taken_back_by is None):
                return Reason.UNKNOWN_REFERENCE
            if other.taken_back_by not in (None, event.event_id):
                return Reason.ALREADY_CANCELLED
            if other.stands:
                gone.append(other)
        if event.payload.cancels and not gone:
            if own is None and since != NEVER:
                return Reason.TOO_OLD
            return Reason.UNKNOWN_REFERENCE if own is None else Reason.ALREADY_CANCELLED
        return gone

    def _count(self, event: RevisableEvent, made: _Said, gone: list[_Said], person: int) -> Reason | None:
        """Keep count of what the bounds allow, or say which one would be broken."""
        changes = Counter(made.places)
        if len(gone) == 1:
            changes.subtract(gone[0].places)
        panes = {pane for (pane, _), change in changes.items() if change}
        frees = len(gone) == 1 and len(panes) == 1 and not gone[0].revised
        after = {
            place: self._totals.get((person, *place), 0) + change
            for place, change in changes.items() if change >= 0 or frees
        }
        spreads: dict[int, _Spread] = {}
        if isinstance(event, PromEvent) and made.stands:
            for index in self._limits(key_of(event)):
                if self._measures[index].aggregation == "change":
                    most = max((number for (_, of), number in after.items() if of == index), default=0)
                    spreads[index] = self._spread(person, index, event.payload.score, most)
                    if spreads[index].largest > self._measures[index].bound:
                        return Reason.AMOUNT_TOO_LARGE
        for place, number in after.items():
            measure = self._measures[place[1]]
            if changes[place] > 0 and measure.aggregation != "change" and number > measure.bound:
                return Reason.TOO_MANY_EVENTS
        self._totals.update({(person, *place): number for place, number in after.items()})
        for index, spread in spreads.items():
            self._spreads[person, index] = spread
        return None

    def _spread(self, person: int, index: int, score: int, number: int) -> _Spread:
        """A patient's spread with one more score, and `number` answers in its pane."""
        old = self._spreads.get((person, index)) or _Spread(score, score, 0)
        return _Spread(min(old.least, score), max(old.most, score), max(old.in_a_pane, number))


def _instrument(event: RevisableEvent) -> str | None:
    return event.payload.instrument if isinstance(event, PromEvent) else None


def _alike(said: _Said, event: RevisableEvent) -> bool:
    return (said.kind, said.instrument, said.patient) == (event.kind, _instrument(event), event.patient)
