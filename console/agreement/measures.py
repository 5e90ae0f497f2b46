"""Measures in words: which number of each patient a party shares."""

from collections.abc import Iterable

from console.agreement.clause import Clause, Weight
from console.agreement.words import Words
from policy.measure import Aggregation, Measure

USED: dict[Aggregation, frozenset[str]] = {
    "exposed": frozenset({"programme"}), "not-yet-exposed": frozenset({"programme", "cohort"}),
    "days": frozenset({"programme"}), "count": frozenset({"kind", "care_type", "code", "module"}),
    "sum": frozenset({"kind", "care_type", "code", "module"}), "category": frozenset({"field", "value"}),
    "nonzero": frozenset({"of"}), "missed": frozenset({"kind", "module"}), "follow-ups": frozenset({"kind", "code"}),
    "change": frozenset({"kind", "code"}),
}
"""Fields that say what a measure is; the others may be written and do nothing."""
FIELDS = ("kind", "programme", "cohort", "care_type", "code", "module", "field", "value", "of")
YES_OR_NO = ("exposed", "not-yet-exposed", "category", "nonzero")


def measure_clauses(measures: Iterable[Measure], say: Words) -> list[Clause]:
    """A clause for each measure; categories that differ in their value alone are one clause together."""
    found: dict[str, list[Measure]] = {}
    for measure in measures:
        alike = measure.model_copy(update={"name": "", "value": None}) if measure.aggregation == "category" else measure
        found.setdefault(repr(alike), []).append(measure)
    clauses, used = [], set[str]()
    for alike_ones in found.values():
        first = alike_ones[0]
        if first.aggregation != "category":
            key, level = f"measure:{first.party}:{first.name}", None
            meaning = say("m", name=first.name, meaning=_meaning(first, say))
        else:
            key = f"category:{first.party}:{first.field}"
            level = frozenset(f"{m.name} {m.value}" for m in alike_ones)
            values = [say("m_value", value=m.value or "", name=m.name) for m in alike_ones]
            said = say("m_category", field=first.field or "", values=say.several(values))
            meaning = f"{said[0].upper()}{said[1:]}."
        while key in used:
            key += "+"
        used.add(key)
        weight = Weight("weaker", None if level is None else "weaker", level)
        clauses.append(Clause(key, " ".join([meaning, *_limits(first, say)]), weight))
    return clauses


def _meaning(measure: Measure, say: Words) -> str:
    return say(
        f"m_{measure.aggregation}", programme=measure.programme or "", cohort=measure.cohort or "",
        code=measure.code or "", of=measure.of or "", events=_events(measure, say),
    )


def _events(measure: Measure, say: Words) -> str:
    """Which events it is made of."""
    kind = measure.needs
    if kind in {None, "enrolment", "social", "withdrawal", "heartbeat"}:
        events = "" if kind is None else say(f"kind_{kind}")
    elif kind == "claim":
        key = "events_claim" if measure.care_type is None else "events_claim_care_type"
        events = say(key, care_type=measure.care_type or "")
    else:
        key = f"events_{kind}" if measure.code is None else f"events_{kind}_code"
        events = say(key, code=measure.code or "")
    return events if measure.module is None else say("events_module", events=events, module=measure.module)


def _limits(measure: Measure, say: Words) -> list[str]:
    """Its bound, what it depends on, and what is written beside it for nothing."""
    said = []
    if measure.aggregation == "sum":
        said.append(say("m_bound_cents", bound=say.euros(measure.bound)))
    elif measure.aggregation == "change":
        said.append(say("m_bound_points", bound=say.number(measure.bound)))
    elif measure.aggregation not in YES_OR_NO or measure.bound > 1:
        said.append(say("m_bound", bound=say.number(measure.bound)))
    if measure.at_risk is not None:
        said.append(say("m_at_risk", at_risk=measure.at_risk))
    idle = [
        f"{field} = {value}" for field in FIELDS
        if field not in USED[measure.aggregation] and (value := getattr(measure, field)) is not None
    ]
    if idle:
        said.append(say("m_idle", fields=", ".join(idle)))
    return said
