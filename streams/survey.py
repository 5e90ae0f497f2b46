"""What a party's files would bring, before anything runs: counts, places and common codes, never what a line says."""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from policy.agreement import Draft
from policy.measure import Measure
from streams.columns import EventColumns
from streams.counted import key_of
from streams.envelope import (
    REGISTERED,
    ClaimEvent,
    EncounterEvent,
    EnrolmentEvent,
    MonitoringEvent,
    PatientEvent,
    PromEvent,
    SocialEvent,
)
from streams.judge import Judge
from streams.pseudonym import Pseudonyms
from streams.rejects import Position, Reason, RefusedLineError
from streams.rowwise import micros
from streams.sources.agreed import open_sources, unread_files
from streams.sources.fhir import FhirForm
from streams.sources.lines import IndexedFile, read_events
from streams.sources.rows import MappedForm
from streams.tally import CodeTally
from streams.validate import CLOCK_SLACK, Validator

Line = tuple[IndexedFile, Position, PatientEvent | Reason, bytes]
"""As streams.sources.lines.read_events gives it."""
MOST_KEYS = 10_000
"""Combinations of codes for which it is remembered which measures they count for."""
BATCH_LINES = 4_000
"""Lines judged at once."""
MOST_EXAMPLES = 3
"""Places that are named for each reason of refusal."""


@dataclass
class FileSurvey:
    """What became of one file's lines: accepted + rejected = read."""

    file: str
    source: str
    read: int = 0
    accepted: int = 0
    events: Counter[str] = field(default_factory=Counter)
    """Kind → accepted lines."""
    rejected: Counter[Reason] = field(default_factory=Counter)
    examples: dict[Reason, list[str]] = field(default_factory=dict)
    """Reason → the first places, file:line."""
    unknown: dict[str, CodeTally] = field(default_factory=dict)
    """Field → the codes for which lines were refused."""
    first: date | None = None
    """Earliest local day of an accepted line."""
    last: date | None = None
    patients: set[str] = field(default_factory=set, repr=False)
    """Pseudonyms under a key that nobody has."""

    def refuse(self, reason: Reason, line: int) -> None:
        """Count a refused line."""
        self.rejected[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < MOST_EXAMPLES:
            examples.append(f"{self.file}:{line}")

    def accept(self, kind: str, patient: str, day: date) -> None:
        """Count an accepted line."""
        self.accepted += 1
        self.events[kind] += 1
        self.patients.add(patient)
        self.first = day if self.first is None else min(self.first, day)
        self.last = day if self.last is None else max(self.last, day)


@dataclass
class Survey:
    """What a party's folder would bring."""

    files: list[FileSurvey] = field(default_factory=list)
    unused: dict[str, CodeTally] = field(default_factory=dict)
    """Field → the codes of accepted lines that no measure of the agreement counts."""
    idle: list[str] = field(default_factory=list)
    """Measures that no accepted line counts for: 0 for everyone."""
    unread: list[str] = field(default_factory=list)
    """Files in the folder that nothing is read from."""


def survey(draft: Draft, party: str, folder: Path) -> Survey:
    """Read all of a party's files as an evaluation would, and keep nothing.

    Raises:
        SourceError, ConfigurationError: see streams.sources.agreed.open_sources.
    """
    pseudonyms = Pseudonyms(secrets.token_bytes(32), secrets.token_bytes(32))
    zone = ZoneInfo(draft.panes.zone)
    files = open_sources(draft, party, folder, pseudonyms)
    found = {f.form.file: FileSurvey(f.form.file, f.form.source) for f in files}
    measures = draft.party_measures(party)
    counts_for: dict[tuple[str, ...], set[str]] = {}
    unused: dict[str, CodeTally] = {}
    for (file, position, event, line), outcome in _decided(draft, party, pseudonyms, read_events(files)):
        told = found[file.form.file]
        told.read += 1
        if isinstance(outcome, Reason):
            told.refuse(outcome, position.line)
            if outcome is Reason.UNKNOWN_CODE:
                _learn_unknown(told, file, event, line)
            continue
        told.accept(outcome.kind, outcome.patient, outcome.occurred_at.astimezone(zone).date())
        codes = dict(_codes(outcome))
        key = (outcome.kind, *codes.values())
        if key not in counts_for and len(counts_for) < MOST_KEYS:
            counts_for[key] = {m.name for m in measures if _feeds(outcome, m)}
        # Neither that somebody is known nor that something is not known counts for anything, and need not.
        if not codes.keys() or {REGISTERED, ""} & {*codes.values()}:
            continue
        if not counts_for.get(key):
            for name, code in codes.items():
                unused.setdefault(f"{outcome.kind}.{name}", CodeTally()).add(code, outcome.patient)
    fed = {name for names in counts_for.values() for name in names}
    idle = [m.name for m in measures if (m.of or m.name) not in fed]
    return Survey(list(found.values()), unused, idle, unread_files(folder, {*found}))


def _decided(
    draft: Draft, party: str, pseudonyms: Pseudonyms, lines: Iterable[Line]
) -> Iterator[tuple[Line, PatientEvent | Reason]]:
    """Every line with its event as it may enter, or why not."""
    sources = [source.name for source in draft.party(party).sources]
    judge, history = Judge(draft, party, pseudonyms), Validator(draft, party)
    lines, latest = iter(lines), micros(datetime.now(UTC) + CLOCK_SLACK)
    while some := list(islice(lines, BATCH_LINES)):
        events = [event for _, _, event, _ in some if not isinstance(event, Reason)]
        refused = dict(judge.judge(EventColumns.from_events(events, range(len(events)), sources), latest).refused)
        row = 0
        for line in some:
            event = line[2]
            if isinstance(event, Reason):
                yield line, event
                continue
            yield line, refused[row] if row in refused else history.enter(event)
            row += 1


def _learn_unknown(told: FileSurvey, file: IndexedFile, event: PatientEvent | Reason, line: bytes) -> None:
    """Count the code for which a line was refused, when it is known which it was."""
    if not isinstance(event, Reason):
        name, code = next(_codes(event), ("code", ""))
        told.unknown.setdefault(name, CodeTally()).add(code, event.patient)
        return
    text = line.decode("utf-8").rstrip("\r\n")
    try:
        file.form.event(text)
    except RefusedLineError as refusal:
        if refusal.field:
            person = file.form.person(text) if isinstance(file.form, MappedForm | FhirForm) else None
            told.unknown.setdefault(refusal.field, CodeTally()).add(refusal.code, person)


def _codes(event: PatientEvent) -> Iterator[tuple[str, str]]:
    """The codes of an event, the one that is most likely unknown first."""
    match event:
        case EnrolmentEvent():
            yield "programme", event.payload.programme
        case ClaimEvent():
            yield "care_type", event.payload.care_type
        case SocialEvent():
            yield "field", event.payload.field
            yield "value", event.payload.value or ""
        case EncounterEvent():
            yield "class", event.payload.type
        case MonitoringEvent():
            yield "module", event.payload.module
            yield "status", event.payload.status
        case PromEvent():
            yield "instrument", event.payload.instrument


def _feeds(event: PatientEvent, measure: Measure) -> bool:
    """Whether an event counts for a measure, whenever it happened."""
    match event:
        case EnrolmentEvent():
            needed = measure.cohort if measure.aggregation == "not-yet-exposed" else measure.programme
            return event.payload.programme == needed
        case SocialEvent():
            return (measure.field, measure.value) == (event.payload.field, event.payload.value)
        case ClaimEvent():
            return measure.needs == "claim" and measure.care_type in (None, event.payload.care_type)
        case EncounterEvent() | MonitoringEvent() | PromEvent():
            kind, code, module = key_of(event)
            return measure.needs == kind and measure.code in (None, code) and measure.module in (None, module)
        case _:
            return False
