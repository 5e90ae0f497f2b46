"""Agreements in which every field is set, and a change of every field: what people read must follow each of them."""

import types
import typing
from copy import deepcopy
from dataclasses import replace

from pydantic import BaseModel

from console.agreement.subject import Subject
from policy.agreement import Draft
from policy.compilation import compile_plans
from policy.kpi import load_kpi
from tests.support.terms import draft_data

ROUNDING = {"days": 7, "count": 5, "cents": 100, "hundredths": 10}
LEVELS = ("low", "middle", "high")
MORE_MEASURES = [
    *({"name": f"education_{level}", "party": "statistics", "aggregation": "category", "field": "education",
       "value": level} for level in LEVELS),
    {"name": "in_care_days", "party": "hospital", "aggregation": "days", "programme": "ibd-care", "bound": 7},
    {"name": "in_care", "party": "hospital", "aggregation": "nonzero", "of": "in_care_days"},
    {"name": "visits", "party": "hospital", "aggregation": "count", "kind": "encounter", "code": "outpatient",
     "bound": 31},
    {"name": "modules", "party": "hospital", "aggregation": "count", "kind": "monitoring", "code": "due",
     "module": "diary", "bound": 9},
    {"name": "left_out", "party": "hospital", "aggregation": "missed", "module": "diary", "bound": 9},
    {"name": "answers", "party": "hospital", "aggregation": "follow-ups", "code": "ibd-control-8", "bound": 9},
    {"name": "change", "party": "hospital", "aggregation": "change", "code": "ibd-control-8", "bound": 900},
]


def text(word):
    return {"en": f"{word} in English", "nl": f"{word} in het Nederlands"}


def full_data(**changes):
    """The tables of an agreement with all fields but those of windows that grow."""
    base = draft_data()
    hospital, insurer, statistics = base["parties"]
    hospital = {
        **hospital, "sources": [
            {"name": "fhir", "kinds": ["enrolment", "encounter", "monitoring", "prom", "withdrawal"], "bound_days": 3},
        ],
    }
    return base | {
        "supersedes": "5" * 64, "shards": 2, "linkage": {
            "date": "2024-01-08", "join": "inner", "block_slots": 64, "dummies": 32, "batch_panes": 3,
            "renew_batches": 2,
        },
        "disclosure": {"minimum_cohort": 10, "dominance": {
            "largest_percent": 50, "two_largest_percent": 85, "p_percent": 10,
        }, "rounding": dict(ROUNDING)},
        "maturities": {"days": [30, 60], "release": "both", "revisions": 7},
        "parties": [hospital, insurer, statistics], "measures": [*base["measures"], *MORE_MEASURES],
        "recipients": [*base["recipients"], {"name": "insurer-alerts", "kpis": []}],
        "strata": {"dimension": "education", "name": text("Education"), "categories": [
            {"value": level, "measure": f"education_{level}", "name": text(level)} for level in LEVELS
        ]},
        "on_demand": {"largest": 6},
        "requesters": [{"name": "analyst", "recipient": "innovation-team", "runs": 5}],
        "alerts": [{
            "id": "advantage-gone", "kpi": "gp-visit-rate-ratio", "cell": {"education": "low"},
            "recipient": "insurer-alerts", "when": "above", "raise_at": "1.10", "clear_at": "0.90",
        }],
        "corrections": {"horizon_panes": 26},
        "erasure": {"every_panes": 4, "batch_slots": 16, "delay_panes": 2, "within_days": 31},
    } | changes


def growing_data():
    """The same with windows that grow, and with privacy, under which nobody is linked anew."""
    data = full_data(
        windows={"kind": "cumulative", "step": 2, "every": 6}, quota={"runs": 100, "rho": "2"},
        privacy=[{"kpi": "gp-visit-rate-ratio", "rho": "0.5", "delta": "0.000001"}],
    )
    del data["linkage"]["renew_batches"]
    return data


def subject(data):
    """The agreement as the commands have it."""
    draft = Draft.model_validate(data)
    kpis = tuple(kpi if draft.strata is None else draft.strata.applied(kpi) for kpi in map(load_kpi, draft.kpis))
    return Subject(draft, compile_plans(draft, kpis), kpis)


def with_sums(data):
    """The same, of which every KPI lets out its sums alone."""
    found = subject(data)
    kpis = tuple(kpi.model_copy(update={"outputs": ("sums",)}) for kpi in found.kpis)
    return Subject(found.draft, compile_plans(found.draft, kpis), kpis)


def put(path, value):
    """A change of one field, by keys and places."""
    def change(data):
        *way, last = path
        for step in way:
            data = data[step]
        data[last] = value
    return change


def together(*changes):
    def change(data):
        for one in changes:
            one(data)
    return change


def rename(old, new):
    """A name everywhere."""
    def renamed(value):
        if isinstance(value, dict):
            return {key: renamed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [renamed(item) for item in value]
        return new if value == old else value
    return lambda data: data.update(renamed(deepcopy(data)))


def at(data, table, name):
    """The place of the row of that name."""
    return next(i for i, row in enumerate(data[table]) if row["name"] == name)


def measure(name, /, **fields):
    return lambda data: data["measures"][at(data, "measures", name)].update(fields)


def drop(*path):
    def change(data):
        *way, last = path
        for step in way:
            data = data[step]
        del data[last]
    return change


HOPPING = {
    "name": put(["name"], "other"),
    "title.en": put(["title", "en"], "Other"), "title.nl": put(["title", "nl"], "Ander"),
    "supersedes": put(["supersedes"], "6" * 64),
    "purposes": put(["purposes"], ["dpv:ScientificResearch"]),
    "data_categories": put(["data_categories"], ["dpv-pd:Insurance"]),
    "valid_from": put(["valid_from"], "2024-01-02"), "valid_until": put(["valid_until"], "2030-01-02"),
    "shards": put(["shards"], 3),
    "panes.zone": put(["panes", "zone"], "Europe/Brussels"),
    "panes.unit": together(put(["panes", "unit"], "day"), put(["linkage", "date"], "2024-01-02"),
                           put(["corrections", "horizon_panes"], 90)),
    "panes.start": put(["panes", "start"], "2024-01-02"), "panes.count": put(["panes", "count"], 13),
    "windows.kind": put(["windows"], {"kind": "tumbling", "size": 4}),
    "windows.size": put(["windows", "size"], 5), "windows.step": put(["windows", "step"], 2),
    "maturities.days": put(["maturities", "days"], [30, 61]),
    "maturities.release": put(["maturities"], {"days": [30, 60], "release": "maturity"}),
    "maturities.revisions": put(["maturities", "revisions"], 8),
    "linkage.date": put(["linkage", "date"], "2024-01-09"),
    "linkage.block_slots": put(["linkage", "block_slots"], 72), "linkage.dummies": put(["linkage", "dummies"], 34),
    "linkage.batch_panes": put(["linkage", "batch_panes"], 4),
    "linkage.renew_batches": put(["linkage", "renew_batches"], 1),
    "disclosure.minimum_cohort": put(["disclosure", "minimum_cohort"], 11),
    "disclosure.dominance.largest_percent": put(["disclosure", "dominance", "largest_percent"], 51),
    "disclosure.dominance.two_largest_percent": put(["disclosure", "dominance", "two_largest_percent"], 86),
    "disclosure.dominance.p_percent": put(["disclosure", "dominance", "p_percent"], 20),
    "disclosure.tables": put(["disclosure", "tables"], "in-order"),
    **{f"disclosure.rounding.{unit}": put(["disclosure", "rounding", unit], 50) for unit in ROUNDING},
    "quota.runs": put(["quota", "runs"], 101),
    "parties.name": rename("insurer", "bank"),
    "parties.sources.name": put(["parties", 0, "sources", 0, "name"], "other"),
    "parties.sources.kinds": put(["parties", 1, "sources", 0, "kinds"], ["enrolment", "claim", "social"]),
    "parties.sources.bound_days": put(["parties", 0, "sources", 0, "bound_days"], 4),
    "parties.grace_panes": put(["parties", 1, "grace_panes"], 3),
    "measures.name": measure("visits", name="contacts"), "measures.party": together(
        measure("in_care_days", party="insurer"), measure("in_care", party="insurer")),
    "measures.aggregation": measure("left_out", aggregation="follow-ups", module=None, code="ibd-control-8"),
    "measures.kind": measure("visits", kind="prom", code=None),
    "measures.programme": together(measure("app_user", programme="other"), measure("app_not_yet", programme="other")),
    "measures.cohort": measure("app_not_yet", cohort="other"), "measures.care_type": measure("gp_visits", care_type="ed"),
    "measures.code": measure("visits", code="admission"), "measures.module": measure("left_out", module="other"),
    "measures.field": together(*(measure(f"income_{n}", field="wealth") for n in range(1, 6))),
    "measures.value": measure("income_1", value="0"), "measures.of": measure("in_care", of="visits"),
    "measures.at_risk": measure("cost", at_risk="gp_visits"), "measures.bound": measure("visits", bound=32),
    "recipients.name": rename("innovation-team", "board"),
    "recipients.kpis": put(["recipients", 0, "kpis"], ["cost-difference"]),
    "kpis": together(put(["kpis"], ["gp-visit-rate-ratio"]), put(["recipients", 0, "kpis"], ["gp-visit-rate-ratio"])),
    "strata.dimension": together(put(["strata", "dimension"], "schooling"),
                                 put(["alerts", 0, "cell"], {"schooling": "low"})),
    "strata.name.en": put(["strata", "name", "en"], "Schooling"),
    "strata.name.nl": put(["strata", "name", "nl"], "Scholing"),
    "strata.categories.value": put(["strata", "categories", 1, "value"], "medium"),
    "strata.categories.measure": together(measure("education_high", name="education_top"),
                                          put(["strata", "categories", 2, "measure"], "education_top")),
    "strata.categories.name.en": put(["strata", "categories", 1, "name", "en"], "medium"),
    "strata.categories.name.nl": put(["strata", "categories", 1, "name", "nl"], "medium"),
    "on_demand.largest": put(["on_demand", "largest"], 7),
    "requesters.name": put(["requesters", 0, "name"], "other"),
    "requesters.recipient": put(["requesters", 0, "recipient"], "insurer-alerts"),
    "requesters.runs": put(["requesters", 0, "runs"], 6),
    "alerts.id": put(["alerts", 0, "id"], "other"), "alerts.kpi": put(["alerts", 0, "kpi"], "cost-difference"),
    "alerts.cell": put(["alerts", 0, "cell"], {}), "alerts.recipient": put(["alerts", 0, "recipient"], "innovation-team"),
    "alerts.when": put(["alerts", 0], {
        "id": "advantage-gone", "kpi": "gp-visit-rate-ratio", "cell": {"education": "low"},
        "recipient": "insurer-alerts", "when": "below", "raise_at": "0.90", "clear_at": "1.10",
    }),
    "alerts.raise_at": put(["alerts", 0, "raise_at"], "1.11"), "alerts.clear_at": put(["alerts", 0, "clear_at"], "0.91"),
    "corrections.horizon_panes": put(["corrections", "horizon_panes"], 27),
    "erasure.every_panes": put(["erasure", "every_panes"], 5), "erasure.batch_slots": put(["erasure", "batch_slots"], 17),
    "erasure.delay_panes": put(["erasure", "delay_panes"], 3), "erasure.within_days": put(["erasure", "within_days"], 30),
}
"""Field → a change of it, from `full_data`."""
GROWING = {
    "windows.every": put(["windows", "every"], 4), "windows.step": put(["windows", "step"], 3),
    "quota.rho": put(["quota", "rho"], "2.5"), "privacy.kpi": put(["privacy", 0, "kpi"], "cost-difference"),
    "privacy.rho": put(["privacy", 0, "rho"], "0.25"), "privacy.delta": put(["privacy", 0, "delta"], "0.00001"),
}
"""The same from `growing_data`."""
WITHOUT = {
    "supersedes": drop("supersedes"), "maturities": drop("maturities"), "linkage.batch_panes": together(
        drop("linkage", "batch_panes"), drop("linkage", "renew_batches")),
    "linkage.renew_batches": drop("linkage", "renew_batches"), "disclosure.dominance": drop("disclosure", "dominance"),
    "disclosure.rounding": drop("disclosure", "rounding"),
    **{f"disclosure.rounding.{unit}": drop("disclosure", "rounding", unit) for unit in ROUNDING},
    "strata": together(drop("strata"), put(["alerts", 0, "cell"], {})), "on_demand": drop("on_demand"),
    "requesters": drop("requesters"), "alerts": drop("alerts"), "corrections": drop("corrections"),
    "erasure": drop("erasure"), "erasure.delay_panes": drop("erasure", "delay_panes"),
    "strata.name": drop("strata", "name"), "strata.categories.name": drop("strata", "categories", 0, "name"),
}
"""What may be left out, left out of `full_data`."""
ONE_VALUE = {"linkage.join"}
"""Fields that can have one value only."""


def changed(data, change):
    """A copy of an agreement's tables, changed."""
    copy = deepcopy(data)
    change(copy)
    return copy


def leaves(model, path=""):
    """Dotted paths of all fields of a model that hold no model."""
    for name, field in model.model_fields.items():
        found = list(_models(field.annotation))
        for inner in found:
            yield from leaves(inner, f"{path}{name}.")
        if not found:
            yield f"{path}{name}"


def _models(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in (tuple, typing.Union, types.UnionType, typing.Annotated):
        for inner in typing.get_args(annotation):
            yield from _models(inner)


def with_plan(one, **fields):
    """The agreement with its first plan changed, whatever that plan then is."""
    first, *rest = one.plans
    return replace(one, plans=(first.model_copy(update=fields), *rest))
