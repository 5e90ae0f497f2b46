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
from streams.sources.crosswalk import CrosswalkRules, load_crosswalk
from streams.sources.fhir import PERSON_SYSTEM, FhirForm, FhirRules
from streams.sources.fhir_files import FORMS, built_in_resources, fhir_context
from streams.sources.lines import FieldReader, Form, IndexedFile, SourceFile, check_file, placed
from streams.sources.mapped import Mapping
from streams.sources.mapping import (
    FIELDS,
    MAPPING_FILE,
    NO_EVENT,
    FhirFile,
    FhirServer,
    FileMapping,
    SourceMapping,
    load_mapping,
)
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
            case FhirForm() if mapped:
                return SourceFile(folder, form, placed(form, start, list(FIELDS).index(form.kinds[0])))
            case _:
                return SourceFile(folder, form, placed(form, start))

    forms = _forms(draft, party, folder, pseudonyms)
    mapped = any(isinstance(form, MappedForm) for form in forms)
    return [indexed(form) for form in forms]


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
    crosswalks = {rules.path for rules in mapping.crosswalks} if mapping else set()
    there = (entry.name for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
    return sorted({*there} - read - crosswalks - {MAPPING_FILE})


def _forms(draft: Draft, party: str, folder: Path, pseudonyms: Pseudonyms) -> list[Form]:
    mapping = load_mapping(folder)
    if mapping is None:
        return _built_in(draft, party, folder, pseudonyms)
    return _mapped(mapping, draft, party, folder, pseudonyms)


def _mapped(mapping: SourceMapping, draft: Draft, party: str, folder: Path, pseudonyms: Pseudonyms) -> list[Form]:
    agreed: dict[str, str] = {kind: s.name for s in reversed(draft.party(party).sources) for kind in s.kinds}
    described = _described(mapping, agreed, party, folder / MAPPING_FILE)
    for kind in FIELDS:
        if kind in agreed and kind not in described:
            raise ConfigurationError(
                f"{folder / MAPPING_FILE}: no file of kind {kind!r}, which the agreement asks {party} for. Describe it "
                "in a [[file]]"
            )
    agreed[NO_EVENT] = draft.party(party).sources[0].name
    crosswalks = {rules: load_crosswalk(folder, rules) for rules in mapping.crosswalks}

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
    forms: list[tuple[int, Form]] = [
        (min(first[rules.kind] for rules in entries), form(entries)) for entries in mapping.by_path().values()
    ]
    forms += [(first[f.kinds[0]], f) for f in _resources(mapping, draft, party, pseudonyms, crosswalks)]
    # Resources say themselves whose they are, and Patients come first of them: the sort keeps their order.
    return [made for _, made in sorted(forms, key=lambda ranked: (ranked[0], not isinstance(ranked[1], FhirForm)))]


def _described(mapping: SourceMapping, agreed: dict[str, str], party: str, where: Path) -> set[str]:
    """The kinds of events that the files can hold.

    Raises:
        ConfigurationError: a file has none that the party was asked for.
    """
    found: set[str] = set()
    for rules in mapping.file:
        kinds = FORMS[rules.resource].kinds if isinstance(rules, FhirFile) else (rules.kind,)
        found |= {*kinds}
        if not {*kinds} & {*agreed, NO_EVENT}:
            raise ConfigurationError(
                f"{where}: {rules.path} has kind {' or '.join(map(repr, kinds))}; the agreement asks {party} for "
                f"{', '.join(sorted(agreed))}. Leave it out, or give it the kind {NO_EVENT!r}, which takes no fields"
            )
    return found


def _resources(
    mapping: SourceMapping, draft: Draft, party: str, pseudonyms: Pseudonyms,
    crosswalks: dict[CrosswalkRules, dict[str, str]],
) -> list[FhirForm]:
    """The readers of FHIR resources, Patients first."""
    if not mapping.resources:
        return []
    server, zone = mapping.fhir or FhirServer(), draft.panes.zone
    rules = FhirRules(
        server.identifier_system or PERSON_SYSTEM, None if server.crosswalk is None else crosswalks[server.crosswalk],
        server.own_times, server.score_item,
    )
    read = FieldReader(pseudonyms, start_reader(zone), stop_reader(zone))
    context = fhir_context(draft, party, read, programmes(draft, party), rules)
    paths = {entry.resource: entry.path for entry in mapping.resources}
    return [form(context, paths[name]) for name, form in FORMS.items() if name in paths]


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
