"""A hospital's resources: FHIR R4 NDJSON, plain JSON and small models of the few elements that are used.

https://hl7.org/fhir/R4/ - Patient, EpisodeOfCare and Task. Elements that are not used are allowed and ignored;
codes that are used are checked here.
"""

import re
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streams.envelope import REGISTERED, Enrolment, EnrolmentEvent
from streams.rejects import Reason, RefusedLineError, reason_of
from streams.sources.lines import FieldReader

PERSON_SYSTEM = "urn:winnow:person"
MAX_REPEATS = 64
"""Most identifiers or codings of one element."""
_LAST_UPDATED = re.compile(rb'"lastUpdated"\s*:\s*"([0-9TZ:.+-]{10,40})"')
_PATIENT = re.compile(r"(?:.{0,200}/)?Patient/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")

ResourceId = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,64}$")]
RESOURCE = TypeVar("RESOURCE", bound="Resource")


class Element(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class Meta(Element):
    last_updated: str = Field(alias="lastUpdated", max_length=40)


class Identifier(Element):
    system: str | None = None
    value: str | None = None


class Coding(Element):
    code: str | None = None


class CodeableConcept(Element):
    coding: list[Coding] = Field(max_length=MAX_REPEATS)


class Period(Element):
    start: str
    end: str | None = None


class Reference(Element):
    reference: str


class Resource(Element):
    id: ResourceId
    meta: Meta


class Patient(Resource):
    resource_type: Literal["Patient"] = Field(alias="resourceType")
    identifier: list[Identifier] = Field(max_length=MAX_REPEATS)


class EpisodeOfCare(Resource):
    resource_type: Literal["EpisodeOfCare"] = Field(alias="resourceType")
    status: Literal["active", "onhold", "finished"]
    type: list[CodeableConcept] = Field(max_length=MAX_REPEATS)
    patient: Reference
    period: Period


class Task(Resource):
    resource_type: Literal["Task"] = Field(alias="resourceType")
    status: Literal["in-progress", "completed"]
    code: CodeableConcept
    subject: Reference = Field(alias="for")
    period: Period = Field(alias="executionPeriod")


class FhirForm:
    """Common to the files: one resource a line, its time of recording in meta.lastUpdated."""

    file: str

    def __init__(self, source: str, read: FieldReader) -> None:
        self.source, self._read = source, read

    def recorded(self, line: bytes) -> str | None:
        """See Form."""
        found = _LAST_UPDATED.search(line)
        return found[1].decode() if found else None

    def _resource(self, text: str, model: type[RESOURCE]) -> RESOURCE:
        try:
            return model.model_validate_json(text)
        except ValidationError as error:
            raise RefusedLineError(reason_of(error)) from error

    def _enrolment(self, resource: Resource, patient: str, programme: str, start: str, end: str | None
                   ) -> EnrolmentEvent:
        read = self._read
        return EnrolmentEvent(
            event_id=read.event_id(self.file, resource.id), patient=patient, occurred_at=read.start(start),
            recorded_at=read.start(resource.meta.last_updated), source=self.source,
            payload=Enrolment(programme=programme, stop=read.stop(end)),
        )


class Patients(FhirForm):
    """Patient.ndjson: makes a person known, from when it was recorded on."""

    file = "Patient.ndjson"

    def __init__(self, source: str, read: FieldReader) -> None:
        super().__init__(source, read)
        self.pseudonyms: dict[str, str] = {}
        """Resource id → pseudonym of every patient read so far; the first of an id holds."""

    def event(self, text: str) -> EnrolmentEvent:
        """See Form."""
        found = self._resource(text, Patient)
        person = next((i.value for i in found.identifier if i.system == PERSON_SYSTEM), None)
        patient = self._read.person(person or "")
        event = self._enrolment(found, patient, REGISTERED, found.meta.last_updated, None)
        self.pseudonyms.setdefault(found.id, patient)
        return event


class Enrolments(FhirForm):
    """A file whose resources enrol patients in programmes."""

    def __init__(
        self, source: str, read: FieldReader, patients: Patients, programmes: frozenset[str]
    ) -> None:
        super().__init__(source, read)
        self._patients, self._programmes = patients, programmes

    def _patient(self, reference: Reference) -> str:
        found = _PATIENT.fullmatch(reference.reference)
        if not found:
            raise RefusedLineError(Reason.WRONG_TYPE)
        patient = self._patients.pseudonyms.get(found[1])
        if patient is None:
            raise RefusedLineError(Reason.UNKNOWN_REFERENCE)
        return patient

    def _programme(self, concepts: list[CodeableConcept]) -> str:
        for concept in concepts:
            for coding in concept.coding:
                if coding.code in self._programmes:
                    return coding.code
        raise RefusedLineError(Reason.UNKNOWN_CODE)


class Episodes(Enrolments):
    """EpisodeOfCare.ndjson: patients of a cohort."""

    file = "EpisodeOfCare.ndjson"

    def event(self, text: str) -> EnrolmentEvent:
        """See Form."""
        found = self._resource(text, EpisodeOfCare)
        return self._enrolment(
            found, self._patient(found.patient), self._programme(found.type), found.period.start, found.period.end
        )


class Tasks(Enrolments):
    """Task.ndjson: activations of an app."""

    file = "Task.ndjson"

    def event(self, text: str) -> EnrolmentEvent:
        """See Form."""
        found = self._resource(text, Task)
        return self._enrolment(
            found, self._patient(found.subject), self._programme([found.code]), found.period.start,
            found.period.end,
        )
