"""Observation and QuestionnaireResponse: scores of questionnaires, and modules of monitoring that were completed."""

from collections.abc import Iterator
from decimal import Decimal

from policy.measure import EventKind
from streams.envelope import MAX_SCORE, Monitoring, MonitoringEvent, Prom, PromEvent
from streams.rejects import Reason, RefusedLineError
from streams.sources.fhir import FhirForm, code_among, parsed, present, unknown
from streams.sources.resources import Answer, Item, Observation, QuestionnaireResponse, Reference, Resource


class _Answers(FhirForm):
    """A code that is an instrument's makes a PROM answer, one that is a module's a module completed."""

    kinds = ("prom", "monitoring")

    def _known(self, kind: EventKind) -> frozenset[str]:
        context = self._context
        if kind not in context.sources:
            return frozenset()
        return frozenset((context.instruments if kind == "prom" else context.modules) or ())

    def _said_that(
        self, resource: Resource, subject: Reference, of: tuple[EventKind, str], at: str | None, score: float | None,
    ) -> PromEvent | MonitoringEvent:
        kind, code = of
        common = self._common(resource, subject, present(at), kind)
        if kind == "monitoring":
            return MonitoringEvent(**common, payload=Monitoring(module=code, status="completed"))
        return PromEvent(**common, payload=Prom(instrument=code, score=hundredths(score)))

    def _taken_back(self, resource: Resource, subject: Reference, of: tuple[EventKind, str]
                    ) -> PromEvent | MonitoringEvent:
        self._takes_back(resource)
        kind, code = of
        common = self._common(resource, subject, self._recorded(resource), kind)
        if kind == "monitoring":
            return MonitoringEvent(**common, payload=Monitoring(module=code, status="completed", cancels=True))
        return PromEvent(**common, payload=Prom(instrument=code, score=0, cancels=True))


class Observations(_Answers):
    """Observation: the value is the score, the effective time is when it was given."""

    resource = "Observation"

    def _parse(self, text: str) -> Observation:
        return parsed(text, Observation)

    def _own_time(self, resource: Observation) -> str | None:
        return resource.issued or resource.period.end or _effective(resource)

    def event(self, text: str) -> PromEvent | MonitoringEvent:
        """See Form."""
        found = self._parse(text)
        kinds: tuple[EventKind, ...] = ("prom", "monitoring")
        of = next(((k, code) for k in kinds if (code := code_among([found.code], self._known(k)))), None)
        if of is None:
            raise unknown([found.code])
        match found.status:
            case "final" | "amended" | "corrected":
                score = found.quantity.value if found.integer is None else found.integer
                return self._said_that(found, found.subject, of, _effective(found), score)
            case "cancelled" | "entered-in-error":
                return self._taken_back(found, found.subject, of)
            case "unknown":
                raise RefusedLineError(Reason.UNKNOWN_CODE, "status", found.status)
            case _:
                raise RefusedLineError(Reason.NOT_MAPPED)


class QuestionnaireResponses(_Answers):
    """QuestionnaireResponse: the last part of `questionnaire` is the code, the item `total` holds the score."""

    resource = "QuestionnaireResponse"

    def _parse(self, text: str) -> QuestionnaireResponse:
        return parsed(text, QuestionnaireResponse)

    def _own_time(self, resource: QuestionnaireResponse) -> str | None:
        return resource.authored

    def event(self, text: str) -> PromEvent | MonitoringEvent:
        """See Form."""
        found = self._parse(text)
        code = found.questionnaire.partition("|")[0].rpartition("/")[2]
        kinds: tuple[EventKind, ...] = ("prom", "monitoring")
        of = next(((k, code) for k in kinds if code in self._known(k)), None)
        if of is None:
            raise RefusedLineError(Reason.UNKNOWN_CODE, "questionnaire", code)
        match found.status:
            case "completed" | "amended":
                return self._said_that(found, found.subject, of, found.authored, self._score(found))
            case "entered-in-error":
                return self._taken_back(found, found.subject, of)
            case _:
                raise RefusedLineError(Reason.NOT_MAPPED)

    def _score(self, response: QuestionnaireResponse) -> float | None:
        answers = [a for item in _items(response.item) if item.link_id == self._context.rules.score_item
                   for a in item.answer]
        if len(answers) > 1:
            raise RefusedLineError(Reason.WRONG_TYPE)
        return _number(answers[0]) if answers else None


def _items(items: list[Item]) -> Iterator[Item]:
    for item in items:
        yield item
        yield from _items(item.item)


def _number(answer: Answer) -> float | None:
    return next((v for v in (answer.integer, answer.number, answer.quantity.value) if v is not None), None)


def _effective(observation: Observation) -> str | None:
    return observation.at or observation.instant or observation.period.start


def hundredths(score: float | None) -> int:
    """A score in hundredths of a point; one that has no whole number of them is refused, never rounded.

    Raises:
        RefusedLineError: none, too large, or too fine.
    """
    if score is None:
        raise RefusedLineError(Reason.MISSING_FIELD)
    if abs(score) * 100 > MAX_SCORE:
        raise RefusedLineError(Reason.AMOUNT_TOO_LARGE)
    # The shortest decimal that means this number is what the source wrote.
    value = Decimal(repr(score)) * 100
    if value != value.to_integral_value():
        raise RefusedLineError(Reason.WRONG_TYPE)
    return int(value)
