"""The file that answers make: an agreement in TOML, in which every choice says what it protects."""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final

from console.agreement.drafting.content import tables
from console.agreement.drafting.texts import Say

WHY: Final[dict[str, tuple[str, ...]]] = {
    "purposes": ("why_purposes",), "data_categories": ("why_data_categories",), "valid_from": ("why_valid_from",),
    "valid_until": ("why_valid_until",), "shards": ("on_shards",), "kpis": ("why_kpis",),
    "panes.zone": ("why_zone",), "panes.unit": ("why_pane",), "panes.start": ("why_first_day",),
    "panes.count": ("why_panes",), "windows.size": ("why_window",), "windows.step": ("why_step",),
    "on_demand.largest": ("why_on_demand",), "linkage.date": ("why_linked_by",), "linkage.block_slots": ("on_slots",),
    "linkage.dummies": ("on_dummies",), "linkage.batch_panes": ("why_new_patients",),
    "disclosure.minimum_cohort": ("why_minimum_cohort",), "disclosure.tables": ("why_tables",),
    "disclosure.dominance.largest_percent": ("why_largest_percent",),
    "disclosure.dominance.two_largest_percent": ("why_two_largest_percent",),
    "disclosure.dominance.p_percent": ("why_p_percent",), "erasure.every_panes": ("why_erase_every",),
    "erasure.batch_slots": ("on_batch_slots",), "erasure.within_days": ("why_erase_within",),
    "corrections.horizon_panes": ("why_remember",), "quota.runs": ("why_runs",),
    "parties": ("why_withdrawals",), "parties.grace_panes": ("why_claims_wait",),
    "recipients": ("why_recipients", "why_reads"),
    "requesters": ("why_requesters", "why_asks_for", "why_asks_runs"), "strata": ("why_factor", "why_categories"),
    "measures": ("on_measures", "on_codes"),
}
"""Field or table → what is written above it; of an array of tables above its first one."""


def render(answers: dict[str, Any], say: Say) -> str:
    """The agreement as TOML."""
    return "\n".join([*(f"# {say(key)}" for key in ("made", "made_next", "made_more")), "", *_agreement(answers, say)])


def answers_text(answers: Mapping[str, str], say: Say) -> str:
    """Answers as TOML, by the keys of their questions."""
    lines = [f"# {say('answers')}", *(f"{key} = {_value(text)}" for key, text in answers.items())]
    return "\n".join(lines) + "\n"


def _agreement(answers: dict[str, Any], say: Say) -> Iterator[str]:
    found = tables(answers)
    for key, value in found.items():
        if not _is_table(value):
            yield from _field(key, key, value, say)
    for key, value in found.items():
        if isinstance(value, dict) and key != "title":
            yield from _table(key, value, say)
        elif _is_table(value) and key != "title":
            yield ""
            yield from (f"# {say(why)}" for why in WHY.get(key, ()))
            for number, row in enumerate(value):
                yield from ([""] if number else [])
                yield f"[[{key}]]"
                for name, inner in row.items():
                    yield from _field(f"{key}.{name}", name, inner, say)
    yield ""


def _table(path: str, table: Mapping[str, Any], say: Say) -> Iterator[str]:
    yield ""
    yield from (f"# {say(why)}" for why in WHY.get(path, ()))
    yield f"[{path}]"
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    for key, value in table.items():
        if key not in inner:
            yield from _field(f"{path}.{key}", key, value, say)
    for key, value in inner.items():
        yield from _table(f"{path}.{key}", value, say)


def _field(path: str, key: str, value: Any, say: Say) -> Iterator[str]:
    yield from (f"# {say(why)}" for why in WHY.get(path, ()))
    yield f"{key} = {_value(value)}"


def _is_table(value: Any) -> bool:
    """Whether it is written as a table of its own, or several; a title is not."""
    if isinstance(value, dict):
        return set(value) != {"en", "nl"}
    return isinstance(value, list)


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case date():
            return value.isoformat()
        case dict():
            return f"{{ {', '.join(f'{key} = {_value(inner)}' for key, inner in value.items())} }}"
        case list() | tuple():
            return f"[{', '.join(_value(item) for item in value)}]"
        case _:
            return str(value)

