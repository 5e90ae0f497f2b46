"""Which measures an encounter, a monitoring event or a PROM answer counts for."""

from collections.abc import Sequence
from datetime import datetime

from policy.measure import Measure
from streams.envelope import EncounterEvent, MonitoringEvent, PromEvent, RevisableEvent

Key = tuple[str, str, str | None]
"""Kind, code and module: what decides."""


def key_of(event: RevisableEvent) -> Key:
    """What decides which measures an event counts for."""
    match event:
        case EncounterEvent():
            return event.kind, event.payload.type, None
        case MonitoringEvent():
            return event.kind, event.payload.status, event.payload.module
        case PromEvent():
            return event.kind, event.payload.instrument, None


def moments(event: RevisableEvent) -> list[tuple[datetime, Key]]:
    """What an event that is no cancellation says happened, and when."""
    if event.payload.cancels:
        return []
    said = [(event.occurred_at, key_of(event))]
    if isinstance(event, MonitoringEvent) and event.payload.due is not None:
        said.append((event.payload.due, (event.kind, "due", event.payload.module)))
    return said


def counted(measures: Sequence[Measure], key: Key) -> tuple[tuple[int, int], ...]:
    """(index, value) of the measures to which an event adds `value`; those of `missed` add up to due − completed."""
    kind, code, module = key
    found = []
    for index, m in enumerate(measures):
        if m.needs != kind or m.module not in (None, module):
            continue
        if m.aggregation == "count" and m.code in (None, code):
            found.append((index, 1))
        elif m.aggregation == "missed":
            found.append((index, 1 if code == "due" else -1))
    return tuple(found)


def known_codes(measures: Sequence[Measure], kind: str) -> frozenset[str] | None:
    """The modules or instruments that measures of `kind` name; None: any, because none is named by one of them."""
    named = {m.module if kind == "monitoring" else m.code for m in measures if m.needs == kind}
    return frozenset(name for name in named if name is not None) if named and None not in named else None
