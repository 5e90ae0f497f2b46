"""Which files a party's agreed sources are, and opening them before anything runs."""

import secrets
from pathlib import Path

from policy.agreement import Draft
from policy.measure import EventKind
from streams.errors import ConfigurationError
from streams.moment import start_reader, stop_reader
from streams.pseudonym import Pseudonyms
from streams.sources.claims import INSURED, Claims, Members
from streams.sources.fhir import Episodes, Patients, Tasks
from streams.sources.lines import FieldReader, Form, SourceFile, check_file
from streams.sources.social import Persons


def programmes(draft: Draft, party: str) -> frozenset[str]:
    """The programmes that a party's measures speak of: any other code is unknown."""
    named = {name for m in draft.party_measures(party) for name in (m.programme, m.cohort)}
    return frozenset(name for name in named if name is not None)


def open_sources(draft: Draft, party: str, folder: Path, pseudonyms: Pseudonyms) -> list[SourceFile]:
    """A party's files, indexed. What the agreement does not ask for is not read.

    A file belongs to the first agreed source that lists its kind of event. Insurance periods come from
    members.csv, other enrolments from FHIR resources, claims from claims.csv, social factors from persons.csv.

    Raises:
        SourceError: a file is missing, unreadable, or has another header.
        ConfigurationError: the agreement asks this party for nothing that there is a reader for.
    """
    start = start_reader(draft.panes.zone)
    return [SourceFile(folder, form, start) for form in _forms(draft, party, pseudonyms)]


def check_sources(draft: Draft, party: str, folder: Path) -> None:
    """Look at the beginning of each of a party's files.

    Raises:
        SourceError, ConfigurationError: as open_sources.
    """
    nobody = Pseudonyms(secrets.token_bytes(32), secrets.token_bytes(32))
    for form in _forms(draft, party, nobody):
        check_file(folder, form)


def _forms(draft: Draft, party: str, pseudonyms: Pseudonyms) -> list[Form]:
    zone = draft.panes.zone
    read = FieldReader(pseudonyms, start_reader(zone), stop_reader(zone))
    agreed = draft.party(party).sources

    def source(kind: EventKind) -> str | None:
        return next((s.name for s in agreed if kind in s.kinds), None)

    forms: list[Form] = []
    if (name := source("enrolment")) is not None:
        known = programmes(draft, party)
        if known - {INSURED}:
            patients = Patients(name, read)
            forms += [
                patients, Episodes(name, read, patients, known - {INSURED}),
                Tasks(name, read, patients, known - {INSURED}),
            ]
        if INSURED in known:
            forms.append(Members(name, read))
    if (name := source("claim")) is not None:
        forms.append(Claims(name, read))
    if (name := source("social")) is not None:
        forms.append(Persons(name, read))
    if not forms:
        kinds = ", ".join(sorted({k for s in agreed for k in s.kinds}))
        raise ConfigurationError(f"party {party}: there is no reader for what the agreement asks of it ({kinds})")
    return forms
