"""Encounter and Procedure: contacts with care."""

from typing import Literal

from policy.measure import EncounterClass
from streams.envelope import Encounter, EncounterEvent
from streams.rejects import Reason, RefusedLineError
from streams.sources import resources
from streams.sources.fhir import FhirForm, parsed, present

ACT_CODES = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CLASSES: dict[str, EncounterClass] = {
    "AMB": "outpatient", "HH": "outpatient", "PRENC": "outpatient", "OBSENC": "outpatient", "IMP": "admission",
    "ACUTE": "admission", "NONAC": "admission", "SS": "admission", "EMER": "ed", "VR": "tele",
}
"""Code of v3-ActCode → class. An observation stay is ambulatory care, a short stay is an admission."""
Happened = Literal["yes", "not-yet", "no", "unknown"]


class _Contacts(FhirForm):
    def _contact(
        self, resource: resources.Resource, subject: resources.Reference, of: EncounterClass, at: str | None,
        happened: Happened,
    ) -> EncounterEvent:
        match happened:
            case "yes":
                common = self._common(resource, subject, present(at), "encounter")
                return EncounterEvent(**common, payload=Encounter(type=of))
            case "no":
                self._takes_back(resource)
                common = self._common(resource, subject, self._recorded(resource), "encounter")
                return EncounterEvent(**common, payload=Encounter(type=of, cancels=True))
            case "not-yet":
                raise RefusedLineError(Reason.NOT_MAPPED)
            case "unknown":
                raise RefusedLineError(Reason.UNKNOWN_CODE, "status", "unknown")


class Encounters(_Contacts):
    """Encounter: the class is of v3-ActCode, the start of the period is when it happened."""

    resource = "Encounter"
    kinds = ("encounter",)

    def _parse(self, text: str) -> resources.Encounter:
        return parsed(text, resources.Encounter)

    def _own_time(self, resource: resources.Encounter) -> str | None:
        return (resource.period.end or resource.period.start) if resource.period else None

    def event(self, text: str) -> EncounterEvent:
        """See Form."""
        found = self._parse(text)
        of = CLASSES.get(present(found.of.code)) if present(found.of.system) == ACT_CODES else None
        if of is None:
            raise RefusedLineError(Reason.UNKNOWN_CODE, "class", found.of.code or "")
        happened: Happened
        match found.status:
            case "planned":
                happened = "not-yet"
            case "cancelled" | "entered-in-error":
                happened = "no"
            case "unknown":
                happened = "unknown"
            case _:
                happened = "yes"
        return self._contact(found, found.subject, of, found.period.start if found.period else None, happened)


class Procedures(_Contacts):
    """Procedure: a contact of class `procedure`, when it was performed."""

    resource = "Procedure"
    kinds = ("encounter",)

    def _parse(self, text: str) -> resources.Procedure:
        return parsed(text, resources.Procedure)

    def _own_time(self, resource: resources.Procedure) -> str | None:
        return resource.period.end or resource.period.start or resource.at

    def event(self, text: str) -> EncounterEvent:
        """See Form."""
        found = self._parse(text)
        happened: Happened
        match found.status:
            case "preparation" | "on-hold":
                happened = "not-yet"
            case "not-done" | "entered-in-error":
                happened = "no"
            case "unknown":
                happened = "unknown"
            case _:
                happened = "yes"
        return self._contact(found, found.subject, "procedure", found.at or found.period.start, happened)
