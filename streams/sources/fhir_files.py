"""Which files of resources a party has, and what their readers look for."""

from collections.abc import Collection
from pathlib import Path

from policy.agreement import Draft
from policy.measure import EventKind
from streams.counted import known_codes
from streams.errors import ConfigurationError
from streams.sources.fhir import FhirContext, FhirForm, FhirRules, Patients
from streams.sources.fhir_answers import Observations, QuestionnaireResponses
from streams.sources.fhir_contacts import Encounters, Procedures
from streams.sources.fhir_enrolments import Devices, Episodes, Tasks
from streams.sources.lines import FieldReader

FORMS: dict[str, type[FhirForm]] = {
    form.resource: form for form in (
        Patients, Episodes, Tasks, Devices, Encounters, Procedures, QuestionnaireResponses, Observations,
    )
}
"""Resource → its reader. Of lines recorded at one time, those of the first come first."""


def fhir_context(
    draft: Draft, party: str, read: FieldReader, programmes: Collection[str], rules: FhirRules | None = None
) -> FhirContext:
    """What the readers of a party's resources share: one for all its files, since Patient.ndjson says who is who.

    Args:
        draft: the agreement.
        party: whose files they are.
        read: how its dates and persons are written.
        programmes: those that resources may enrol in.
        rules: how its server writes resources.

    Raises:
        ConfigurationError: a measure counts the answers to any instrument, or nobody could be known.
    """
    measures = draft.party_measures(party)
    sources: dict[EventKind, str] = {}
    for source in draft.party(party).sources:
        for kind in source.kinds:
            sources.setdefault(kind, source.name)
    if "enrolment" not in sources:
        raise ConfigurationError(
            f"party {party}: resources are about the patients of Patient.ndjson, which are events of kind "
            '"enrolment". Add it to the kinds of one of its sources'
        )
    instruments = known_codes(measures, "prom")
    if instruments is None and any(m.needs == "prom" for m in measures):
        nameless = ", ".join(m.name for m in measures if m.needs == "prom" and m.code is None)
        raise ConfigurationError(
            f"measure {nameless} counts answers to any instrument; in resources, answers are found by the "
            "instrument's code. Give it a code"
        )
    return FhirContext(
        read, sources, frozenset(programmes), known_codes(measures, "monitoring"), instruments or (),
        rules or FhirRules(),
    )


def built_in_resources(draft: Draft, party: str, context: FhirContext, folder: Path) -> list[FhirForm]:
    """The files that a party must have, and those of the others that are there.

    Patients always; EpisodeOfCare and Task for programmes, Device if it is there; Task for monitoring; Encounter
    unless procedures are all that is counted, Procedure when they are; for answers one of QuestionnaireResponse and
    Observation, which may hold modules completed too.
    """
    measures = draft.party_measures(party)
    wanted = {"Patient"}
    if context.programmes:
        wanted |= {"EpisodeOfCare", "Task"} | _there(folder, "Device")
    if "encounter" in context.sources:
        classes = {m.code for m in measures if m.needs == "encounter"}
        wanted |= {"Procedure"} if "procedure" in classes else set()
        wanted |= set() if classes == {"procedure"} else {"Encounter"}
    if "monitoring" in context.sources:
        wanted |= {"Task"} | (_there(folder, "QuestionnaireResponse", "Observation") if context.modules else set())
    if "prom" in context.sources:
        wanted |= _there(folder, "QuestionnaireResponse", "Observation") or {"QuestionnaireResponse"}
    return [form(context) for resource, form in FORMS.items() if resource in wanted]


def _there(folder: Path, *resources: str) -> set[str]:
    return {resource for resource in resources if (folder / f"{resource}.ndjson").exists()}
