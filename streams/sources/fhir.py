"""A hospital's resources: FHIR R4 NDJSON, one resource a line. What all readers share, and the patients.

Versions of a resource come in lines of their own, each recorded later than the one before. A later one replaces what
was said; one that was entered in error takes it back.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from pydantic import ValidationError

from policy.measure import EventKind
from streams.envelope import REGISTERED, Enrolment, EnrolmentEvent, PatientEvent
from streams.rejects import Reason, RefusedLineError, reason_of
from streams.sources.lines import FieldReader
from streams.sources.resources import CodeableConcept, Patient, Reference, Resource

PERSON_SYSTEM = "urn:winnow:person"
ALWAYS = "1900-01-01"
"""When a patient was recorded of whom nothing says when, where own times are agreed on."""
_LAST_UPDATED = re.compile(rb'"lastUpdated"\s*:\s*"([0-9TZ:.+-]{10,40})"')
_PATIENT = re.compile(r"(?:.{0,200}/)?Patient/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")

RESOURCE = TypeVar("RESOURCE", bound=Resource)


@dataclass(frozen=True)
class FhirRules:
    """How a party's server writes resources."""

    person_system: str = PERSON_SYSTEM
    """System of the identifier by which a patient is known."""
    crosswalk: Mapping[str, str] | None = None
    """That identifier → the number by which all parties know the person; None: they are the same."""
    own_times: bool = False
    """A resource without meta.lastUpdated counts as recorded when it says that it ended, was issued or authored."""
    score_item: str = "total"
    """linkId of the item of a QuestionnaireResponse that holds the score."""


@dataclass(frozen=True)
class FhirContext:
    """What the readers of one party's resources share."""

    read: FieldReader
    sources: Mapping[EventKind, str]
    """Kind → the agreed source that its events belong to."""
    programmes: Collection[str] = ()
    modules: Collection[str] | None = ()
    """None: any, of those that Tasks name."""
    instruments: Collection[str] = ()
    rules: FhirRules = FhirRules()
    patients: dict[str, str] = field(default_factory=dict, repr=False)
    """Resource id → pseudonym of every patient read so far; the first of an id holds."""


class FhirForm(ABC):
    """One file of resources; `event` is what a line says."""

    resource: ClassVar[str]
    kinds: ClassVar[tuple[EventKind, ...]]
    """Kinds of events that it can hold."""

    def __init__(self, context: FhirContext, file: str | None = None) -> None:
        self._context, self._read = context, context.read
        self.file = file or f"{self.resource}.ndjson"
        self.source = next(context.sources[kind] for kind in self.kinds if kind in context.sources)
        self._said: set[str] = set()
        """Ids of resources of which some version said something."""

    def begin(self) -> None:
        """See RememberingForm."""
        self._said.clear()
        self._context.patients.clear()

    def recorded(self, line: bytes) -> str | None:
        """See Form."""
        if found := _LAST_UPDATED.search(line):
            return found[1].decode()
        if not self._context.rules.own_times:
            return None
        try:
            return self._own_time(self._parse(line.decode("utf-8")))
        except (RefusedLineError, UnicodeDecodeError):
            return None

    @abstractmethod
    def event(self, text: str) -> PatientEvent:
        """See Form."""

    @abstractmethod
    def _parse(self, text: str) -> Any:
        """The resource.

        Raises:
            RefusedLineError: it is none of that type.
        """

    def _own_time(self, _resource: Any) -> str | None:
        """When the resource says that it ended, was issued or authored."""
        return None

    def _recorded(self, resource: Resource) -> str:
        found = resource.meta.last_updated
        if found is None and self._context.rules.own_times:
            found = self._own_time(resource)
        return present(found)

    def _patient(self, reference: Reference) -> str:
        found = _PATIENT.fullmatch(reference.reference)
        if not found:
            raise RefusedLineError(Reason.WRONG_TYPE)
        patient = self._context.patients.get(found[1])
        if patient is None:
            raise RefusedLineError(Reason.UNKNOWN_REFERENCE)
        return patient

    def person(self, text: str) -> str | None:
        """The pseudonym of the patient whom a line is about, as far as that can be told."""
        try:
            resource = self._parse(text)
            reference = getattr(resource, "subject", None) or getattr(resource, "patient", None)
            return None if reference is None else self._patient(reference)
        except RefusedLineError:
            return None

    def _takes_back(self, resource: Resource) -> None:
        """Refuse to take back what was never said."""
        if resource.id not in self._said:
            raise RefusedLineError(Reason.NOT_MAPPED)

    def _common(self, resource: Resource, patient: Reference, occurred: str, kind: EventKind) -> dict[str, Any]:
        """What all events have."""
        # First: a line of which nothing says when it was recorded may stand before its patient.
        recorded_at = self._read.start(self._recorded(resource))
        common = {
            "event_id": self._read.event_id(f"{self.resource}.ndjson", resource.id), "patient": self._patient(patient),
            "occurred_at": self._read.start(occurred), "recorded_at": recorded_at,
            "source": self._context.sources[kind],
        }
        self._said.add(resource.id)
        return common


def parsed(text: str, model: type[RESOURCE]) -> RESOURCE:
    """A resource.

    Raises:
        RefusedLineError: it is none of that type.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise RefusedLineError(reason_of(error)) from error


def present(value: str | None) -> str:
    """A value that must be there."""
    if not value:
        raise RefusedLineError(Reason.MISSING_FIELD)
    return value


def code_among(concepts: list[CodeableConcept], known: Collection[str]) -> str | None:
    """The first code of the concepts that is known."""
    return next((c.code for concept in concepts for c in concept.coding if c.code in known and c.code), None)


def unknown(concepts: list[CodeableConcept]) -> RefusedLineError:
    """The refusal of concepts none of whose codes is known."""
    first = next((c.code for concept in concepts for c in concept.coding if c.code), None)
    return RefusedLineError(Reason.UNKNOWN_CODE, "code", first or "")


class Patients(FhirForm):
    """Patient: makes a person known, from when it was recorded on."""

    resource = "Patient"
    kinds = ("enrolment",)

    def _parse(self, text: str) -> Patient:
        return parsed(text, Patient)

    def _own_time(self, _resource: Patient) -> str:
        return ALWAYS

    def event(self, text: str) -> EnrolmentEvent:
        """See Form."""
        found, rules, read = self._parse(text), self._context.rules, self._read
        number = present(next((i.value for i in found.identifier if i.system == rules.person_system), None))
        if rules.crosswalk is not None and number not in rules.crosswalk:
            raise RefusedLineError(Reason.UNKNOWN_REFERENCE)
        patient = read.person_or_uuid(number if rules.crosswalk is None else rules.crosswalk[number])
        recorded = read.start(self._recorded(found))
        event = EnrolmentEvent(
            event_id=read.event_id(self.file, found.id), patient=patient, occurred_at=recorded, recorded_at=recorded,
            source=self.source, payload=Enrolment(programme=REGISTERED),
        )
        self._context.patients.setdefault(found.id, patient)
        return event
