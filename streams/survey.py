"""What a party's files would bring, before anything runs: counts and places, never what a line says."""

import secrets
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

from policy.agreement import Draft
from streams.pseudonym import Pseudonyms
from streams.rejects import Reason
from streams.sources.agreed import open_sources
from streams.sources.lines import read_events
from streams.validate import Validator

MOST_EXAMPLES = 3
"""Places that are named for each reason of refusal."""


@dataclass
class FileSurvey:
    """What became of one file's lines: accepted + rejected = read."""

    file: str
    source: str
    read: int = 0
    accepted: int = 0
    rejected: Counter[Reason] = field(default_factory=Counter)
    examples: dict[Reason, list[str]] = field(default_factory=dict)
    """Reason → the first places, file:line."""
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

    def accept(self, patient: str, day: date) -> None:
        """Count an accepted line."""
        self.accepted += 1
        self.patients.add(patient)
        self.first = day if self.first is None else min(self.first, day)
        self.last = day if self.last is None else max(self.last, day)


def survey(draft: Draft, party: str, folder: Path) -> list[FileSurvey]:
    """Read all of a party's files as an evaluation would, and keep nothing.

    Raises:
        SourceError, ConfigurationError: see streams.sources.agreed.open_sources.
    """
    pseudonyms = Pseudonyms(secrets.token_bytes(32), secrets.token_bytes(32))
    validator, zone = Validator(draft, party, pseudonyms), ZoneInfo(draft.panes.zone)
    files = open_sources(draft, party, folder, pseudonyms)
    found = {f.form.file: FileSurvey(f.form.file, f.form.source) for f in files}
    for file, position, event, _ in read_events(files):
        told = found[file.form.file]
        told.read += 1
        outcome = event if isinstance(event, Reason) else validator.check(
            event, pseudonyms.shard(event.patient, draft.shards)
        )
        if isinstance(outcome, Reason):
            told.refuse(outcome, position.line)
        else:
            told.accept(outcome.patient, outcome.occurred_at.astimezone(zone).date())
    return list(found.values())
