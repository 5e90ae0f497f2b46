"""Events as they travel in an organisation's own topics. No identifier, no free text."""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from policy.measure import EncounterClass, MonitoringStatus
from streams.pseudonym import EVENT_ID_PATTERN, PSEUDONYM_PATTERN

MAX_CENTS = 10**9
"""€10 million on one line; an agreement's bounds are far lower."""
MAX_SCORE = 10**6
"""10,000 points either way on a questionnaire, in hundredths."""
CODE_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,39}$"
PRODUCT_PATTERN = r"^[A-Za-z0-9._-]{0,32}$"
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
    product: Annotated[str, Field(pattern=PRODUCT_PATTERN)] = ""
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


class Encounter(Message):
    type: EncounterClass
    cancels: bool = False
    """Nothing happened: the event only takes back an earlier one."""


class EncounterEvent(Event):
    """A contact with care, at its first instant.

    The same event_id recorded later replaces what was said; `corrects` names another event that this one replaces.
    With payload.cancels nothing takes its place. The same holds for MonitoringEvent and PromEvent.
    """

    kind: Literal["encounter"] = "encounter"
    payload: Encounter


class Monitoring(Message):
    module: Code
    status: MonitoringStatus
    due: AwareDatetime | None = None
    """Of one completed: when it was due, if no event of another id says so. It then counts as due there too."""
    cancels: bool = False


class MonitoringEvent(Event):
    """A module of home monitoring became due, or was completed, when it happened.

    A source tells of a module either in two events, or in one whose later version, completed, has payload.due.
    """

    kind: Literal["monitoring"] = "monitoring"
    payload: Monitoring

    @model_validator(mode="after")
    def _due_once(self) -> Self:
        if self.payload.due is not None and self.payload.status == "due":
            raise ValueError("what is due occurs when it is due")
        return self


class Prom(Message):
    instrument: Code
    score: int = Field(ge=-MAX_SCORE, le=MAX_SCORE)
    """Hundredths of a point."""
    cancels: bool = False


class PromEvent(Event):
    """A patient's answer to a questionnaire, when it was given."""

    kind: Literal["prom"] = "prom"
    payload: Prom


class Withdrawal(Message):
    """Nothing but the fact."""


class WithdrawalEvent(Event):
    """The patient no longer takes part: counts 0 in every pane that is not sealed yet, whatever else is known."""

    kind: Literal["withdrawal"] = "withdrawal"
    payload: Withdrawal = Withdrawal()


class Heartbeat(Message):
    """A source's word on how far it is in one partition: it has ended, or its watermark stands at `until`."""

    kind: Literal["heartbeat"] = "heartbeat"
    source: Code
    final: bool = True
    """The source ends here: nothing more comes at all."""
    until: AwareDatetime | None = None
    """Nothing on time comes any more that happened before this instant. Counts no further than recorded_at."""
    recorded_at: AwareDatetime | None = None
    """When the source said so; events that come later were recorded later."""

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        given = (self.until is not None, self.recorded_at is not None)
        if given != ((False, False) if self.final else (True, True)):
            raise ValueError("a heartbeat is final, or says until and recorded_at")
        return self


RevisableEvent = EncounterEvent | MonitoringEvent | PromEvent
PatientEvent = EnrolmentEvent | ClaimEvent | SocialEvent | RevisableEvent | WithdrawalEvent
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
