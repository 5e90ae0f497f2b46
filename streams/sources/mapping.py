"""source.toml: what a party says about data files of its own making (docs/sources.md)."""

import re
import stat
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from policy.errors import NotToml
from policy.measure import EncounterClass, MonitoringStatus
from policy.toml import read_toml
from streams.envelope import CODE_PATTERN
from streams.errors import SourceError
from streams.moment import DATE_FORMATS
from streams.sources.crosswalk import CrosswalkRules, FileName

MAPPING_FILE = "source.toml"
MAX_MAPPING_BYTES = 1 << 20
MAX_FILES = 64
"""Entries of one party's source.toml; each data file is open during the replay."""
MOST_FAULTS = 5
"""Faults named in one message: more, and it is probably another kind of file."""
DEBIT, CREDIT = "D", "C"
NO_EVENT = "none"
"""The kind of lines that are read, counted, and mean nothing here."""
OPEN = "?"
"""Stands in a proposal for what its reader must fill in; it is no column, code or value."""
VALID, CANCELLED = "valid", "cancelled"
"""States of a record: what a cancelled one says did not happen."""
_HELP = "docs/sources.md describes every key and holds examples to copy"

Kind = Literal["enrolment", "encounter", "monitoring", "prom", "claim", "social", "withdrawal", "none"]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Value = Annotated[str, Field(max_length=200)]


class _Fields(NamedTuple):
    required: tuple[str, ...]
    optional: tuple[str, ...]
    codes: tuple[str, ...]
    """Those whose values are codes, which a code list may translate."""

    @property
    def all(self) -> tuple[str, ...]:
        return self.required + self.optional


_ANY = ("id", "person", "occurred", "recorded")
_CORRECTED = ("previous", "state")
FIELDS: dict[str, _Fields] = {
    "enrolment": _Fields(("id", "person", "programme", "start", "recorded"), ("end",), ("programme",)),
    "encounter": _Fields((*_ANY, "class"), _CORRECTED, ("class", "state")),
    "monitoring": _Fields((*_ANY, "module", "status"), (*_CORRECTED, "due"), ("module", "status", "state")),
    "prom": _Fields((*_ANY, "instrument", "score"), _CORRECTED, ("instrument", "state")),
    "claim": _Fields(
        (*_ANY, "care_type"), ("cents", "amount", "product", "side", "previous"), ("care_type", "product", "side")
    ),
    "social": _Fields((*_ANY, "field", "value"), (), ("field", "value")),
    "withdrawal": _Fields(_ANY, (), ()),
    NO_EVENT: _Fields((), (), ()),
}
"""Kind of event → the fields that make one. Of lines recorded at one time, the first kinds come first."""
OURS: dict[str, tuple[str, ...]] = {
    "side": (DEBIT, CREDIT), "state": (VALID, CANCELLED), "class": get_args(EncounterClass),
    "status": get_args(MonitoringStatus),
}
"""Fields whose codes are fixed."""
_PER_ROW = ("id", "person", "cents", "amount", "score", "previous")
"""Fields that no constant can give: rows differ in them."""
_OF_EVENTS = ("fields", "constants", "codes", "crosswalk", "end_inclusive", "negative_is_credit", "decimal_comma")
"""Keys that say how an event is made of a line."""


class FileMapping(BaseModel):
    """One data file: what it is, and where in a row each field of its events stands."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: FileName
    """Its name in the party's folder."""
    format: Literal["csv", "ndjson", "parquet"]
    kind: Kind
    fields: dict[str, Text] = Field(default_factory=dict)
    """Our field → the column, or the dotted path in a JSON object."""
    constants: dict[str, Text] = Field(default_factory=dict)
    """Our field → its value in every row."""
    where: Annotated[dict[Text, Value | Annotated[list[Value], Field(min_length=1)]], Field(max_length=16)] = Field(
        default_factory=dict
    )
    """Column → the value, or values, of the rows that this entry is about; all columns must fit."""
    codes: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Our field → the source's code → our code; a code that is not listed is unknown."""
    delimiter: Annotated[str, Field(pattern=r"^[,;|\t]$")] | None = None
    crosswalk: CrosswalkRules | None = None
    """Where the number by which all parties know a person is looked up."""
    person_prefix: Annotated[str, Field(max_length=64)] = ""
    """Stands before every person's number, and is no part of it."""
    zone: str | None = None
    """Of dates, and of times without offset; by default the agreement's."""
    date_format: str = "YYYY-MM-DD"
    end_inclusive: bool | None = None
    """Whether `end` is the last day, or the first day after it."""
    negative_is_credit: bool = False
    """A negative amount makes a line that cancels its `previous` one."""
    decimal_comma: bool = False
    id_space: Text | None = None
    """Files with the same one share their record ids; by default each file has its own."""

    @property
    def space(self) -> str:
        """Where record ids are unique, and `previous` is looked up."""
        return self.id_space or self.path

    @model_validator(mode="after")
    def _fits(self) -> "FileMapping":
        self._check_fields()
        self._check_codes()
        if self.delimiter is not None and self.format != "csv":
            raise ValueError(f"delimiter: found with format {self.format!r}, expected only with 'csv'; leave it out")
        if self.date_format not in DATE_FORMATS:
            raise ValueError(f"date_format: found {self.date_format!r}, expected one of {', '.join(DATE_FORMATS)}")
        if self.zone is not None and not _is_zone(self.zone):
            raise ValueError(f"zone: found {self.zone!r}, expected a time zone such as 'Europe/Amsterdam'")
        self._check_kind()
        return self

    def _check_fields(self) -> None:
        known = FIELDS[self.kind]
        if self.kind == NO_EVENT and (needless := [name for name in _OF_EVENTS if name in self.model_fields_set]):
            raise ValueError(
                f"{', '.join(needless)}: kind {NO_EVENT!r} takes no fields, constants or crosswalk, nor what goes with "
                "them; remove them"
            )
        for table, given in (("fields", self.fields), ("constants", self.constants), ("codes", self.codes)):
            for name in given:
                if name not in (known.codes if table == "codes" else known.all):
                    names = ", ".join(known.codes if table == "codes" else known.all)
                    raise ValueError(f"{table}.{name}: not a field for kind {self.kind!r}, expected one of {names}")
        for table, given in (("fields", self.fields), ("constants", self.constants)):
            for name, value in given.items():
                if value == OPEN:
                    raise ValueError(f"{table}.{name}: still {OPEN!r}; fill it in")
        for name in self.constants:
            if name in self.fields:
                raise ValueError(f"constants.{name}: fields.{name} is given too; keep one of them")
            if name in _PER_ROW:
                raise ValueError(f"constants.{name}: rows differ in it; name its column in fields.{name}")
        for name in known.required:
            if name not in self.fields and name not in self.constants:
                how = "" if name in _PER_ROW else f", or give it a value in constants.{name}"
                raise ValueError(f"fields.{name}: missing; name its column{how}")

    def _check_codes(self) -> None:
        for name in FIELDS[self.kind].codes:
            listed = self.codes.get(name)
            if listed is not None and name not in self.fields:
                raise ValueError(f"codes.{name}: there is no fields.{name} to translate; leave it out")
            ours = [self.constants[name]] if name in self.constants else list((listed or {}).values())
            table = "constants" if name in self.constants else "codes"
            for code in ours:
                if not _is_ours(name, code):
                    fixed = OURS.get(name)
                    if code == OPEN:
                        raise ValueError(f"{table}.{name}: still {OPEN!r} for a code; fill in ours")
                    expected = f"one of {', '.join(fixed)}" if fixed else "lower-case letters, digits, '-' and '_'"
                    raise ValueError(f"{table}.{name}: found our code {code!r}, expected {expected}")

    def _check_kind(self) -> None:
        if (self.end_inclusive is None) == ("end" in (self.fields | self.constants)):
            raise ValueError(
                "end_inclusive: expected together with fields.end, true when that is the last day, false when it is "
                "the first day after"
            )
        if self.decimal_comma and not self.fields.keys() & {"amount", "score"}:
            raise ValueError("decimal_comma: expected only with fields.amount or fields.score; leave it out")
        if self.kind != "claim":
            if self.negative_is_credit:
                raise ValueError("negative_is_credit: expected only with kind 'claim'; leave it out")
            return
        if ("cents" in self.fields) == ("amount" in self.fields):
            raise ValueError("fields.cents, fields.amount: expected one of them: whole cents, or a decimal amount")
        sides = (self.constants.get("side"),) if "side" in self.constants else tuple(
            self.codes.get("side", {CREDIT: CREDIT}).values() if "side" in self.fields else ()
        )
        if sides and self.negative_is_credit:
            raise ValueError("negative_is_credit: found with side, expected one of them")
        if (CREDIT in sides or self.negative_is_credit) and "previous" not in self.fields:
            raise ValueError("fields.previous: missing; a credit line must name the record that it cancels")


class FhirFile(BaseModel):
    """A file of FHIR R4 resources, which the built-in readers read."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: FileName
    format: Literal["fhir"]
    resource: Literal[
        "Patient", "EpisodeOfCare", "Task", "Device", "Encounter", "Procedure", "QuestionnaireResponse", "Observation",
    ]


class FhirServer(BaseModel):
    """How the server that wrote the resources does it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    identifier_system: Text | None = None
    """System of the identifier by which a Patient is known; by default urn:winnow:person."""
    crosswalk: CrosswalkRules | None = None
    own_times: bool = False
    """A resource without meta.lastUpdated counts as recorded when it says that it ended, was issued or authored."""
    score_item: Text = "total"
    """linkId of the item of a QuestionnaireResponse that holds the score."""

    @model_validator(mode="after")
    def _filled_in(self) -> "FhirServer":
        if self.identifier_system == OPEN:
            raise ValueError(f"identifier_system: still {OPEN!r}; fill it in")
        return self


def _form(entry: Any) -> str:
    return "fhir" if isinstance(entry, dict) and entry.get("format") == "fhir" else "own"


_FORMATS = tuple(
    name for model in (FileMapping, FhirFile) for name in get_args(model.model_fields["format"].annotation)
)
Entry = Annotated[Annotated[FileMapping, Tag("own")] | Annotated[FhirFile, Tag("fhir")], Discriminator(_form)]


class SourceMapping(BaseModel):
    """The whole of source.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    file: Annotated[list[Entry], Field(min_length=1, max_length=MAX_FILES)]
    fhir: FhirServer | None = None
    """Of the files of format fhir."""

    @model_validator(mode="after")
    def _fit_together(self) -> "SourceMapping":
        crosswalks = {rules.path for rules in self.crosswalks}
        for path, entries in self.by_path().items():
            for name in ("format", "delimiter"):
                if len({getattr(entry, name) for entry in entries}) > 1:
                    raise ValueError(f"{name}: {path} is described twice, with two of them; expected one for one file")
            if any(not entry.where for entry in entries[:-1]):
                raise ValueError(
                    f"where: {path} is described twice, and the first takes every line; say under `where` which lines "
                    "each is about, at least in all but the last"
                )
        paths = [entry.path for entry in self.resources] + list(self.by_path())
        for path in paths:
            if path in (".", "..", MAPPING_FILE):
                raise ValueError(f"path: found {path!r}, expected the name of a data file in the same folder")
            if path in crosswalks:
                raise ValueError(f"crosswalk: {path} is a data file too, expected a file of its own")
            if paths.count(path) > 1:
                raise ValueError(f"path: {path} is described twice, and at least once as fhir; expected once")
        self._check_resources()
        return self

    def _check_resources(self) -> None:
        named = [entry.resource for entry in self.resources]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ValueError(f"resource: {', '.join(twice)} is described twice, expected one file of each")
        if named and "Patient" not in named:
            raise ValueError("resource: no file of Patient, which says whom the other resources are about; describe it")
        if self.fhir is not None and not named:
            raise ValueError("fhir: no file has format 'fhir'; leave it out")

    @property
    def resources(self) -> list[FhirFile]:
        """The files of FHIR resources."""
        return [entry for entry in self.file if isinstance(entry, FhirFile)]

    @property
    def crosswalks(self) -> set[CrosswalkRules]:
        """All that are named."""
        named = [entry.crosswalk for entry in self.file if isinstance(entry, FileMapping)]
        named.append(self.fhir.crosswalk if self.fhir is not None else None)
        return {rules for rules in named if rules is not None}

    def by_path(self) -> dict[str, list[FileMapping]]:
        """What is said of each file that is not of FHIR resources, in the order in which it is said."""
        found: dict[str, list[FileMapping]] = {}
        for entry in self.file:
            if isinstance(entry, FileMapping):
                found.setdefault(entry.path, []).append(entry)
        return found


def load_mapping(folder: Path) -> SourceMapping | None:
    """What the party's source.toml says; None when there is none.

    Raises:
        SourceError: unreadable, no TOML, or not a mapping; names file, key, found, expected and what to do.
    """
    path = folder / MAPPING_FILE
    try:
        found = path.stat()
        # Opening a pipe would wait for whoever writes it, perhaps for ever.
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_MAPPING_BYTES:
            raise SourceError(f"{path}: expected a text file of at most {MAX_MAPPING_BYTES} bytes; {_HELP}")
        data: dict[str, Any] = read_toml(path)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise SourceError(f"{path}: a link that leads nowhere. Correct or remove it") from error
        return None
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    except NotToml as error:
        raise SourceError(f"{path}: not TOML ({error}); {_HELP}") from error
    try:
        return SourceMapping.model_validate(data)
    except ValidationError as error:
        raise SourceError(f"{path}: {_told(error, data)}; {_HELP}") from error


def _told(error: ValidationError, data: dict[str, Any]) -> str:
    faults = error.errors(include_url=False)
    told = []
    for fault in faults[:MOST_FAULTS]:
        where, key = "", list(fault["loc"])
        if len(key) > 1 and key[0] == "file" and isinstance(key[1], int):
            entry = data["file"][key[1]]
            name = entry.get("path") if isinstance(entry, dict) else None
            # What follows the number is the union's tag.
            where, key = f"file {key[1] + 1} ({name if isinstance(name, str) else 'no path'}): ", key[3:]
        place = "" if fault["type"] == "value_error" and where else ".".join(str(part) for part in key)
        match fault["type"]:
            case "value_error":
                said = fault["msg"].removeprefix("Value error, ")
            case "missing":
                said = "missing, expected to be given"
            case "extra_forbidden":
                said = f"an unknown key, expected one of {', '.join(_keys([*map(str, fault['loc'])]))}"
            case "literal_error" if key == ["format"]:
                said = f"found {str(fault['input'])[:80]!r}, expected one of {', '.join(_FORMATS)}"
            case _:
                said = f"found {str(fault['input'])[:80]!r}. {fault['msg'].replace('Input should', 'It should')}"
        told.append(where + (f"{place}: " if place else "") + said)
    more = f" (and {len(faults) - MOST_FAULTS} more)" if len(faults) > MOST_FAULTS else ""
    return "; ".join(told) + more


def _keys(key: list[str]) -> list[str]:
    """The keys that may stand where an unknown one was found."""
    model: type[BaseModel] = SourceMapping
    if "crosswalk" in key[:-1]:
        return ["path", "from", "to", "delimiter"]
    if key[0] == "fhir" and len(key) > 1:
        model = FhirServer
    elif key[0] == "file" and len(key) > 2:
        model = FhirFile if key[2] == "fhir" else FileMapping
    return list(model.model_fields)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _is_ours(field: str, code: str) -> bool:
    if (fixed := OURS.get(field)) is not None:
        return code in fixed
    match field:
        case "product":
            return re.fullmatch(r"[A-Za-z0-9._-]{0,32}", code) is not None
        case "value" if not code:
            return True  # a source's word for "not known"
        case _:
            return re.fullmatch(CODE_PATTERN, code) is not None
