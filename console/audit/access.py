"""An access log after NEN 7513, made from evidence: who did what, when, on what grounds, and how it ended.

Which fields of the standard these are, and which there cannot be, is in docs/audit.md. No patient is named.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

from console.audit.telling import dates
from evaluation.evidence import Aborted, Answered, AnyEntry, Ended, Refused, hash_of, line_of
from policy.agreement import Terms

Form = Literal["json", "csv"]
UNKNOWN: Final = "unknown"
"""Instead of a user, where somebody asked who is no requester of the agreement, or did not sign."""
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
FIELDS: Final = (
    "at", "event", "action", "outcome", "reason", "user", "user_role", "responsible", "system", "access_point",
    "organisation", "object", "kpis", "alerts", "periods", "agreement", "agreement_id", "version", "purposes",
    "request", "run", "emergency", "source", "entry",
)


def rows(entries: Sequence[AnyEntry], terms: Terms) -> Iterator[dict[str, Any]]:
    """One for each run, delivery, refusal, interruption and answer, in the order of the entries."""
    for entry in entries:
        match entry:
            case Ended():
                yield from _ended(entry, terms)
            case Refused():
                yield _row(entry, terms, event="refusal", action="execute", outcome="refused", reason=entry.rule,
                           kpis=entry.kpis, windows=entry.windows, request=entry.request)
            case Aborted():
                yield _row(entry, terms, event="interruption", action="execute", outcome="failed",
                           reason=entry.reason, windows=entry.windows)
            case Answered():
                yield _row(entry, terms, event="answer", action="execute", outcome="success",
                           reason="released before", kpis=entry.kpis, windows=entry.windows, request=entry.request)


def written(found: Sequence[dict[str, Any]], form: Form) -> str:
    """As lines of JSON, or as CSV (RFC 4180) with a heading; several values of a field with "; " between."""
    if form == "json":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS)
    writer.writeheader()
    writer.writerows({key: _flat(value) for key, value in row.items()} for row in found)
    return text.getvalue()


def _ended(entry: Ended, terms: Terms) -> Iterator[dict[str, Any]]:
    """The run, each recipient's delivery, and each request that the run answers beside the one it was made for."""
    common = entry.common
    asked = ", ".join(asking.request for asking in entry.requests) or None
    run: dict[str, Any] = {
        "kpis": common.kpis, "windows": common.windows, "request": asked, "action": "execute", "outcome": "success",
    }
    yield _row(entry, terms, event="run" if common.windows else "linkage", **run)
    for recipient in sorted(entry.sealed):
        mine = next((r.kpis for r in terms.draft.recipients if r.name == recipient), ())
        watched = {a.id for a in terms.draft.alerts if a.recipient == recipient}
        alerts = [alert for alert in common.alerts if alert in watched]
        empty = not alerts and not _released(entry, terms, mine)
        yield _row(entry, terms, event="delivery", user=recipient, role="recipient", alerts=alerts, **{
            **run, "action": "transfer", "kpis": [kpi for kpi in common.kpis if kpi in mine],
        }, reason="nothing reached the minimum" if empty else None)
    for asking in entry.requests:
        if asking.outcome != "run":
            yield _row(
                entry, terms, event="answer", action="execute", outcome="success", asker=asking.requester or UNKNOWN,
                reason="released before" if asking.outcome == "released" else "joined this run", kpis=asking.kpis,
                windows=common.windows if asking.outcome == "joined" else (), request=asking.request,
            )


def _released(entry: Ended, terms: Terms, kpis: Sequence[str]) -> bool:
    """Whether any cell of these KPIs came out."""
    mine = {plan.hash for plan in terms.plans if plan.kpi in kpis}
    return any(
        "1" in bits for digest, kpi in zip(entry.common.plans, entry.common.outcome, strict=False) if digest in mine
        for bits in kpi
    )


def _row(
    entry: AnyEntry, terms: Terms, *, event: str, action: str, outcome: str, reason: str | None = None,
    kpis: Sequence[str] = (), alerts: Sequence[str] = (), windows: Sequence[int] = (), request: str | None = None,
    user: str | None = None, role: str | None = None, asker: str | None = None,
) -> dict[str, Any]:
    """`user` and `role` are those of `asker` unless given; `asker` is the entry's."""
    node = terms.nodes[entry.node]
    asker = asker or (entry.common.requester if isinstance(entry, Ended) else entry.requester)
    if asker is None and isinstance(entry, Refused) and entry.request is not None:
        asker, role = UNKNOWN, "nobody who may ask"
    before = None if isinstance(entry, Answered) else entry.permitted.before
    periods = [f"{d.start}/{d.end}" for d in (dates(terms, w) for w in windows) if d is not None]
    return {
        "at": entry.at.isoformat(), "event": event, "action": action, "outcome": outcome, "reason": reason,
        "user": user or asker or "schedule",
        "user_role": role or ("requester" if asker else "schedule of the agreement"),
        "responsible": asker or "the parties of the agreement", "system": f"node-{entry.node}",
        "access_point": node.endpoint, "organisation": node.organisation,
        "object": "registers of patients, on shares" if event == "linkage" else "aggregate figures",
        "kpis": list(kpis), "alerts": list(alerts), "periods": periods, "agreement": terms.draft.title.en,
        "agreement_id": entry.agreement_id, "version": None if before is None else before.version,
        "purposes": list(terms.draft.purposes), "request": request,
        "run": entry.common.run if isinstance(entry, Ended) else entry.run, "emergency": False,
        "source": f"node-{entry.node} evidence, entry {entry.number}", "entry": hash_of(line_of(entry)),
    }


def _flat(value: Any) -> Any:
    """A field of CSV: with a mark in front where a spreadsheet would take it for a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    text = "; ".join(value) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(FORMULA) else text
