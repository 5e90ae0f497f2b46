"""The tables of an agreement, from answers."""

from datetime import date
from typing import Any

from console.agreement.drafting.roles import INCOME, Needs, Role, Table, factor_measures, measures
from policy.agreement import LAST_DAY, Draft

BLOCK_SLOTS = 512
DUMMIES = 32
"""Made-up patients of each node in each register: what three parties with later entries need, with room."""
MOST_RUNS = 100_000
ROLES: tuple[Role, ...] = ("hospital", "insurer", "statistics")


def parties(answers: dict[str, Any], needs: Needs) -> dict[Role, str]:
    """Role → the party that has it."""
    return {role: answers[role] for role in ROLES if role != "insurer" or needs.insurer}


def tables(answers: dict[str, Any]) -> dict[str, Any]:
    """Everything that policy.agreement.Draft holds, in the order in which people read it."""
    needs = Needs(answers["kpis"])
    found: dict[str, Any] = {
        "name": answers["name"], "title": {"en": answers["title_en"], "nl": answers["title_nl"]},
        "purposes": answers["purposes"], "data_categories": answers["data_categories"],
        "valid_from": answers["valid_from"], "valid_until": answers["valid_until"],
        "shards": 1, "kpis": answers["kpis"],
        "panes": {
            "zone": answers["zone"], "unit": answers["pane"], "start": answers["first_day"], "count": answers["panes"],
        },
        "windows": {"size": answers["window"], "step": answers["step"]},
    }
    if answers.get("on_demand") is not None:
        found["on_demand"] = {"largest": answers["on_demand"]}
    block_slots = max(BLOCK_SLOTS, _eighths(answers["minimum_cohort"]))
    found["linkage"] = {
        "date": answers["linked_by"], "join": "inner", "block_slots": block_slots, "dummies": DUMMIES,
        **({} if answers["new_patients"] is None else {"batch_panes": answers["new_patients"]}),
    }
    rules = ("largest_percent", "two_largest_percent", "p_percent")
    agreed = {rule: answers[rule] for rule in rules if answers[rule] is not None}
    found["disclosure"] = {
        "minimum_cohort": answers["minimum_cohort"], "tables": answers["tables"],
        **({"dominance": agreed} if agreed else {}),
    }
    if answers.get("erase_every") is not None:
        found["erasure"] = {
            "every_panes": answers["erase_every"], "batch_slots": max(32, _eighths(answers["minimum_cohort"])),
            "within_days": answers["erase_within"],
        }
    if answers["remember"] is not None:
        found["corrections"] = {"horizon_panes": answers["remember"]}
    found["quota"] = {"runs": answers["runs"]}
    found["parties"] = [_party(role, name, answers, needs) for role, name in parties(answers, needs).items()]
    found["recipients"] = [{"name": name, "kpis": answers[f"reads.{name}"]} for name in answers["recipients"]]
    if answers["requesters"]:
        found["requesters"] = [
            {"name": name, "recipient": answers[f"asks_for.{name}"], "runs": answers[f"asks_runs.{name}"]}
            for name in answers["requesters"]
        ]
    if answers["factor"] != INCOME or answers["categories"] != ("1", "2", "3", "4", "5"):
        found["strata"] = {"dimension": answers["factor"], "categories": [
            {"value": value, "measure": name}
            for value, name in factor_measures(answers["factor"], answers["categories"]).items()
        ]}
    found["measures"] = measures(needs, answers)
    return found


def trial(answers: dict[str, Any]) -> Draft:
    """The draft that comes of answers in which validity and quota are still open: as wide as they can be.

    Raises:
        pydantic.ValidationError: the answers do not fit together.
    """
    return Draft.model_validate(tables({
        **answers, "valid_from": date(1970, 1, 1), "valid_until": LAST_DAY, "runs": MOST_RUNS,
    }))


def _party(role: Role, name: str, answers: dict[str, Any], needs: Needs) -> Table:
    kinds = [*needs.kinds(role), *(["withdrawal"] if name in answers["withdrawals"] else [])]
    source = {"hospital": "ehr", "insurer": "claims", "statistics": "registry"}[role]
    grace = {"grace_panes": answers["claims_wait"]} if role == "insurer" and answers["claims_wait"] else {}
    return {"name": name, **grace, "sources": [{"name": source, "kinds": kinds}]}


def _eighths(number: int) -> int:
    """Rounded up to a multiple of 8."""
    return -(-number // 8) * 8
