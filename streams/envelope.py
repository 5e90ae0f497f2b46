"""Events as they travel in an organisation's own topics. No identifier, no free text."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from streams.pseudonym import EVENT_ID_PATTERN, PSEUDONYM_PATTERN

MAX_CENTS = 10**9
"""€10 million on one line; an agreement's bounds are far lower."""
CODE_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,39}$"
REGISTERED = "registered"
"""The programme of everyone an organisation knows: it makes a patient known and counts for no measure."""

EventId = Annotated[str, Field(pattern=EVENT_ID_PATTERN)]
Pseudonym = Annotated[str, Field(pattern=PSEUDONYM_PATTERN)]
Code = Annotated[str, Field(pattern=CODE_PATTERN)]


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Event(Message):
    """Common to all events of a patient."""

    event_id: EventId
    patient: Pseudonym
    occurred_at: AwareDatetime
    recorded_at: AwareDatetime
    source: Code
    """An agreed source of the party."""
    corrects: EventId | None = None
    """An earlier event that this one cancels."""


class Enrolment(Message):
    programme: Code
    stop: AwareDatetime | None = None
    """The first instant after the enrolment; occurred_at is its first instant."""


class EnrolmentEvent(Event):
    """Enrolled from occurred_at until payload.stop. The same event_id recorded later replaces the interval."""

    kind: Literal["enrolment"] = "enrolment"
    payload: Enrolment


class Claim(Message):
    care_type: Code
    product: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,32}$")] = ""
    cents: int = Field(ge=0, le=MAX_CENTS)
    credit: bool = False


class ClaimEvent(Event):
    """A claim line; a credit line cancels the line that `corrects` names."""

    kind: Literal["claim"] = "claim"
    payload: Claim


class Social(Message):
    field: Code
    value: Code | None
    """None: not known from occurred_at on."""


class SocialEvent(Event):
    """A property that holds from occurred_at until the next one."""

    kind: Literal["social"] = "social"
    payload: Social


class Heartbeat(Message):
    """A source's word on how far it is in one partition: nothing more comes from it that happened earlier."""

    kind: Literal["heartbeat"] = "heartbeat"
    source: Code
    final: Literal[True] = True
    """The source ends here: nothing more comes at all."""


PatientEvent = EnrolmentEvent | ClaimEvent | SocialEvent
Envelope = Annotated[PatientEvent | Heartbeat, Field(discriminator="kind")]

_ADAPTER: TypeAdapter[PatientEvent | Heartbeat] = TypeAdapter(Envelope)


def parse(value: bytes) -> PatientEvent | Heartbeat:
    """An envelope from JSON.

    Raises:
        pydantic.ValidationError: see streams.rejects.reason_of; its text holds input and must not be logged.
    """
    return _ADAPTER.validate_json(value)


def encode(message: Message) -> bytes:
    """An envelope as JSON."""
    return message.__pydantic_serializer__.to_json(message)
