"""Which files a party's agreed sources are, and opening them before anything runs."""

import secrets
from collections.abc import Iterator
from pathlib import Path

from policy.agreement import Draft
from policy.measure import EventKind
from streams.errors import ConfigurationError, SourceError
from streams.moment import start_reader, stop_reader
from streams.pseudonym import Pseudonyms
from streams.sources.claims import INSURED, Claims, Members
from streams.sources.crosswalk import load_crosswalk
from streams.sources.fhir_files import built_in_resources, fhir_context
from streams.sources.lines import FieldReader, Form, IndexedFile, SourceFile, check_file, placed
from streams.sources.mapped import Mapping
from streams.sources.mapping import FIELDS, MAPPING_FILE, NO_EVENT, FileMapping, SourceMapping, load_mapping
from streams.sources.parquet import ParquetForm, ParquetSource, check_parquet
from streams.sources.rows import JsonRows, MappedForm, MappedTable, dotted
from streams.sources.social import Persons
from streams.sources.withdrawals import Withdrawals


def programmes(draft: Draft, party: str) -> frozenset[str]:
    """The programmes that a party's measures speak of: any other code is unknown."""
    named = {name for m in draft.party_measures(party) for name in (m.programme, m.cohort)}
    return frozenset(name for name in named if name is not None)


def open_sources(draft: Draft, party: str, folder: Path, pseudonyms: Pseudonyms) -> list[IndexedFile]:
    """A party's files, indexed. What the agreement does not ask for is not read.

    A file belongs to the first agreed source that lists its kind of event. Which files there are and what they hold
    stands in the folder's source.toml. Without one, insurance periods come from members.csv, other enrolments,
    encounters, monitoring and PROM answers from FHIR resources, claims from claims.csv, social factors from
    persons.csv, withdrawals from withdrawals.csv.

    Raises:
        SourceError: a file is missing, unreadable, or has another header.
        ConfigurationError: the agreement asks this party for nothing that there is a reader for.
    """
    start = start_reader(draft.panes.zone)

    def indexed(form: Form) -> IndexedFile:
        match form:
            case ParquetForm():
                return ParquetSource(folder, form)
            case MappedForm():
                return SourceFile(folder, form, form.place)
            case _:
                return SourceFile(folder, form, placed(form, start))

    return [indexed(form) for form in _forms(draft, party, folder, pseudonyms)]


def check_sources(draft: Draft, party: str, folder: Path) -> None:
    """Look at the beginning of each of a party's files.

    Raises:
        SourceError, ConfigurationError: as open_sources.
    """
    for fault in source_faults(draft, party, folder):
        raise fault


def source_faults(draft: Draft, party: str, folder: Path) -> Iterator[SourceError]:
    """What is wrong with the beginning of each of a party's files: one fault a file at most.

    Raises:
        SourceError: source.toml cannot be used.
        ConfigurationError: as open_sources.
    """
    nobody = Pseudonyms(secrets.token_bytes(32), secrets.token_bytes(32))
    for form in _forms(draft, party, folder, nobody):
        try:
            if isinstance(form, ParquetForm):
                check_parquet(folder, form)
            else:
                check_file(folder, form)
        except SourceError as fault:
            yield fault


def unread_files(folder: Path, read: set[str]) -> list[str]:
    """Names of the files in a party's folder that are neither data files nor belong to them."""
    mapping = load_mapping(folder)
    crosswalks = {f.crosswalk.path for f in mapping.file if f.crosswalk is not None} if mapping else set()
    there = (entry.name for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
    return sorted({*there} - read - crosswalks - {MAPPING_FILE})


def _forms(draft: Draft, party: str, folder: Path, pseudonyms: Pseudonyms) -> list[Form]:
    mapping = load_mapping(folder)
    if mapping is None:
        return _built_in(draft, party, folder, pseudonyms)
    return _mapped(mapping, draft, party, folder, pseudonyms)


def _mapped(mapping: SourceMapping, draft: Draft, party: str, folder: Path, pseudonyms: Pseudonyms) -> list[Form]:
    agreed: dict[str, str] = {kind: s.name for s in reversed(draft.party(party).sources) for kind in s.kinds}
    agreed[NO_EVENT] = draft.party(party).sources[0].name
    described = {rules.kind for rules in mapping.file}
    where = folder / MAPPING_FILE
    for rules in mapping.file:
        if rules.kind not in agreed:
            raise ConfigurationError(
                f"{where}: {rules.path} has kind {rules.kind!r}; the agreement asks {party} for "
                f"{', '.join(sorted(agreed.keys() - {NO_EVENT}))}. Leave it out, or give it the kind {NO_EVENT!r}"
            )
    for kind in FIELDS:
        if kind in agreed and kind != NO_EVENT and kind not in described:
            raise ConfigurationError(
                f"{where}: no file of kind {kind!r}, which the agreement asks {party} for. Describe it in a [[file]]"
            )

    crosswalks = {c: load_crosswalk(folder, c) for c in {rules.crosswalk for rules in mapping.file} if c is not None}

    def form(entries: list[FileMapping]) -> Form:
        made = [
            Mapping(
                rules, agreed[rules.kind], draft.panes.zone, pseudonyms,
                None if rules.crosswalk is None else crosswalks[rules.crosswalk],
            )
            for rules in entries
        ]
        match entries[0].format:
            case "csv":
                return MappedTable(made, folder / entries[0].path)
            case "ndjson":
                return MappedForm(made, JsonRows(dotted))
            case "parquet":
                return ParquetForm(made)

    first = {kind: place for place, kind in enumerate(FIELDS)}
    return [
        form(entries) for entries in sorted(mapping.by_path().values(), key=lambda e: min(first[r.kind] for r in e))
    ]


def _built_in(draft: Draft, party: str, folder: Path, pseudonyms: Pseudonyms) -> list[Form]:
    zone = draft.panes.zone
    read = FieldReader(pseudonyms, start_reader(zone), stop_reader(zone))
    agreed = draft.party(party).sources

    def source(kind: EventKind) -> str | None:
        return next((s.name for s in agreed if kind in s.kinds), None)

    forms: list[Form] = []
    known = programmes(draft, party) if source("enrolment") is not None else frozenset()
    if known - {INSURED} or any(source(kind) for kind in ("encounter", "monitoring", "prom")):
        forms += built_in_resources(draft, party, fhir_context(draft, party, read, known - {INSURED}), folder)
    if INSURED in known and (name := source("enrolment")) is not None:
        forms.append(Members(name, read))
    if (name := source("claim")) is not None:
        forms.append(Claims(name, read))
    if (name := source("social")) is not None:
        forms.append(Persons(name, read))
    if forms and (name := source("withdrawal")) is not None:
        forms.append(Withdrawals(name, read))
    if not forms:
        kinds = ", ".join(sorted({k for s in agreed for k in s.kinds}))
        raise ConfigurationError(f"party {party}: there is no reader for what the agreement asks of it ({kinds})")
    return forms
