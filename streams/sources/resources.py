"""Small models of FHIR R4 resources: the few elements that are used, with their codes (https://hl7.org/fhir/R4/).

Elements that are not used are allowed and ignored. Codes are those of R4, so that another one is refused.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_REPEATS = 64
"""Most identifiers, codings or answers of one element."""
MAX_ITEMS = 1_000

ResourceId = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,64}$")]


class Element(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class Meta(Element):
    last_updated: str | None = Field(default=None, alias="lastUpdated", max_length=40)


class Identifier(Element):
    system: str | None = None
    value: str | None = None


class Coding(Element):
    system: str | None = None
    code: str | None = None


class CodeableConcept(Element):
    coding: list[Coding] = Field(max_length=MAX_REPEATS)


class Period(Element):
    start: str | None = None
    end: str | None = None


class Reference(Element):
    reference: str


class Quantity(Element):
    value: float | None = None


class Resource(Element):
    id: ResourceId
    meta: Meta = Meta()


class Patient(Resource):
    resource_type: Literal["Patient"] = Field(alias="resourceType")
    identifier: list[Identifier] = Field(max_length=MAX_REPEATS)


class EpisodeOfCare(Resource):
    resource_type: Literal["EpisodeOfCare"] = Field(alias="resourceType")
    status: Literal["planned", "waitlist", "active", "onhold", "finished", "cancelled", "entered-in-error"]
    type: list[CodeableConcept] = Field(max_length=MAX_REPEATS)
    patient: Reference
    period: Period | None = None


class Restriction(Element):
    period: Period = Period()


class Task(Resource):
    resource_type: Literal["Task"] = Field(alias="resourceType")
    status: Literal[
        "draft", "requested", "received", "accepted", "rejected", "ready", "cancelled", "in-progress", "on-hold",
        "failed", "completed", "entered-in-error",
    ]
    code: CodeableConcept
    subject: Reference = Field(alias="for")
    period: Period | None = Field(default=None, alias="executionPeriod")
    restriction: Restriction = Restriction()
    authored_on: str | None = Field(default=None, alias="authoredOn")
    last_modified: str | None = Field(default=None, alias="lastModified")


class Device(Resource):
    resource_type: Literal["Device"] = Field(alias="resourceType")
    status: Literal["active", "inactive", "entered-in-error", "unknown"]
    type: CodeableConcept
    patient: Reference


class Encounter(Resource):
    resource_type: Literal["Encounter"] = Field(alias="resourceType")
    status: Literal[
        "planned", "arrived", "triaged", "in-progress", "onleave", "finished", "cancelled", "entered-in-error",
        "unknown",
    ]
    of: Coding = Field(alias="class")
    subject: Reference
    period: Period | None = None


class Procedure(Resource):
    resource_type: Literal["Procedure"] = Field(alias="resourceType")
    status: Literal[
        "preparation", "in-progress", "not-done", "on-hold", "stopped", "completed", "entered-in-error", "unknown",
    ]
    subject: Reference
    at: str | None = Field(default=None, alias="performedDateTime")
    period: Period = Field(default=Period(), alias="performedPeriod")


class Observation(Resource):
    resource_type: Literal["Observation"] = Field(alias="resourceType")
    status: Literal[
        "registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown",
    ]
    code: CodeableConcept
    subject: Reference
    at: str | None = Field(default=None, alias="effectiveDateTime")
    instant: str | None = Field(default=None, alias="effectiveInstant")
    period: Period = Field(default=Period(), alias="effectivePeriod")
    issued: str | None = None
    quantity: Quantity = Field(default=Quantity(), alias="valueQuantity")
    integer: int | None = Field(default=None, alias="valueInteger")


class Answer(Element):
    number: float | None = Field(default=None, alias="valueDecimal")
    integer: int | None = Field(default=None, alias="valueInteger")
    quantity: Quantity = Field(default=Quantity(), alias="valueQuantity")


class Item(Element):
    link_id: str = Field(alias="linkId")
    answer: list[Answer] = Field(default=[], max_length=MAX_REPEATS)
    item: list["Item"] = Field(default=[], max_length=MAX_ITEMS)


class QuestionnaireResponse(Resource):
    resource_type: Literal["QuestionnaireResponse"] = Field(alias="resourceType")
    status: Literal["in-progress", "completed", "amended", "entered-in-error", "stopped"]
    questionnaire: str
    subject: Reference
    authored: str | None = None
    item: list[Item] = Field(default=[], max_length=MAX_ITEMS)
