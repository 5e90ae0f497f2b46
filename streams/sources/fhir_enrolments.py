"""EpisodeOfCare, Task and Device: who is in which programme, and which modules of monitoring are due and completed."""

import re

from streams.envelope import CODE_PATTERN, Enrolment, EnrolmentEvent, Monitoring, MonitoringEvent
from streams.rejects import Reason, RefusedLineError
from streams.sources.fhir import FhirContext, FhirForm, code_among, parsed, present, unknown
from streams.sources.resources import CodeableConcept, Device, EpisodeOfCare, Period, Reference, Resource, Task

_CODE = re.compile(CODE_PATTERN)
_NOTHING_YET = ("planned", "waitlist", "draft", "requested", "received", "accepted", "rejected", "ready")
"""States of what has not begun."""
_TAKEN_BACK = ("cancelled", "entered-in-error")


class _Programmes(FhirForm):
    """Resources that enrol a patient for a period."""

    def _enrolment(
        self, resource: Resource, patient: Reference, programme: str, status: str, period: Period | None
    ) -> EnrolmentEvent:
        if status in _NOTHING_YET:
            raise RefusedLineError(Reason.NOT_MAPPED)
        if status in _TAKEN_BACK:
            self._takes_back(resource)
            # An enrolment of no length: nobody is in it.
            start = (period.start if period else None) or self._recorded(resource)
            common = self._common(resource, patient, start, "enrolment")
            return EnrolmentEvent(**common, payload=Enrolment(programme=programme, stop=common["occurred_at"]))
        start, end = present(period.start if period else None), period.end if period else None
        common = self._common(resource, patient, start, "enrolment")
        return EnrolmentEvent(**common, payload=Enrolment(programme=programme, stop=self._read.stop(end)))

    def _programme(self, concepts: list[CodeableConcept]) -> str:
        found = code_among(concepts, self._context.programmes)
        if found is None:
            raise unknown(concepts)
        return found


class Episodes(_Programmes):
    """EpisodeOfCare: patients of a cohort."""

    resource = "EpisodeOfCare"
    kinds = ("enrolment",)

    def _parse(self, text: str) -> EpisodeOfCare:
        return parsed(text, EpisodeOfCare)

    def _own_time(self, resource: EpisodeOfCare) -> str | None:
        return _last(resource.period)

    def event(self, text: str) -> EnrolmentEvent:
        """See Form."""
        found = self._parse(text)
        return self._enrolment(found, found.patient, self._programme(found.type), found.status, found.period)


class Tasks(_Programmes):
    """Task: activations of an app, and modules of monitoring, by their code."""

    resource = "Task"
    kinds = ("enrolment", "monitoring")

    def _parse(self, text: str) -> Task:
        return parsed(text, Task)

    def _own_time(self, resource: Task) -> str | None:
        return resource.last_modified or _last(resource.period) or resource.authored_on

    def event(self, text: str) -> EnrolmentEvent | MonitoringEvent:
        """See Form."""
        found, context = self._parse(text), self._context
        programme = code_among([found.code], context.programmes) if "enrolment" in context.sources else None
        if programme is not None:
            return self._enrolment(found, found.subject, programme, found.status, found.period)
        module = self._module(found.code) if "monitoring" in context.sources else None
        if module is None:
            raise unknown([found.code])
        return self._monitoring(found, module)

    def _module(self, code: CodeableConcept) -> str | None:
        if self._context.modules is not None:
            return code_among([code], self._context.modules)
        return next((c.code for c in code.coding if c.code and _CODE.fullmatch(c.code)), None)

    def _monitoring(self, task: Task, module: str) -> MonitoringEvent:
        start = (task.period.start if task.period else None) or task.restriction.period.start or task.authored_on
        match task.status:
            case "cancelled" | "entered-in-error" | "rejected":
                self._takes_back(task)
                common = self._common(task, task.subject, self._recorded(task), "monitoring")
                return MonitoringEvent(**common, payload=Monitoring(module=module, status="due", cancels=True))
            case "draft":
                raise RefusedLineError(Reason.NOT_MAPPED)
            case "completed":
                end = (task.period.end if task.period else None) or task.last_modified or self._recorded(task)
                common = self._common(task, task.subject, end, "monitoring")
                due = self._read.start(start) if start else None
                return MonitoringEvent(**common, payload=Monitoring(module=module, status="completed", due=due))
            case _:
                common = self._common(task, task.subject, present(start), "monitoring")
                return MonitoringEvent(**common, payload=Monitoring(module=module, status="due"))


class Devices(_Programmes):
    """Device: in a programme, by the device's type, from when it was recorded as active until it no longer was.

    R4 says of no device since when a patient has it, so the times of recording count.
    """

    resource = "Device"
    kinds = ("enrolment",)

    def __init__(self, context: FhirContext, file: str | None = None) -> None:
        super().__init__(context, file)
        self._spells: dict[str, tuple[str, str | None]] = {}
        """Resource id → since when active, and until when."""

    def _parse(self, text: str) -> Device:
        return parsed(text, Device)

    def event(self, text: str) -> EnrolmentEvent:
        """See Form."""
        found = self._parse(text)
        programme, recorded = self._programme([found.type]), self._recorded(found)
        start, end = self._spells.get(found.id, (None, None))
        match found.status:
            case "unknown":
                raise RefusedLineError(Reason.UNKNOWN_CODE)
            case "active" if start is None or end is not None:
                start, end = recorded, None
            case "inactive" if end is None:
                start, end = present(start), recorded
            case "entered-in-error":
                self._takes_back(found)
                start = end = present(start)
            case _:
                pass
        start = present(start)
        common = self._common(found, found.patient, start, "enrolment")
        # A device that is taken into use again is another enrolment.
        common["event_id"] = self._read.event_id(f"{self.resource}.ndjson", f"{found.id}/{start}")
        stop = self._read.start(end) if end else None
        self._spells[found.id] = start, end
        return EnrolmentEvent(**common, payload=Enrolment(programme=programme, stop=stop))


def _last(period: Period | None) -> str | None:
    return (period.end or period.start) if period else None
