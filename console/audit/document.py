"""Evidence for programs."""

from collections.abc import Sequence
from typing import Any

from console.audit.finding import Finding
from console.audit.sources import Record
from console.audit.telling import dates
from evaluation.evidence import AnyEntry, Ended, hash_of, line_of
from policy.agreement import Terms


def as_document(
    terms: Terms, agreement_id: str, records: Sequence[Record], entries: Sequence[AnyEntry],
    verification: dict[str, Any] | None,
) -> dict[str, Any]:
    """The entries as they are, with what an auditor would have to look up."""
    return {
        "agreement": {
            "name": terms.draft.name, "title": terms.draft.title.en, "terms_hash": terms.hash, "id": agreement_id,
        },
        "nodes": [
            {
                "node": record.node, "organisation": terms.nodes[record.node].organisation, "file": record.name,
                "entries": len(record.entries), "runs": record.head.runs, "head": record.head.hash,
                "same": record.head.same, "unfinished": record.unfinished,
            }
            for record in records if record.node is not None
        ],
        "entries": [_entry(entry, terms) for entry in entries],
        "verification": verification,
    }


def verification_of(checked: Sequence[str], findings: Sequence[Finding]) -> dict[str, Any]:
    """What was compared with what, and what differs."""
    return {
        "checked": list(checked), "holds": not findings, "findings": [finding.as_document() for finding in findings],
    }


def _entry(entry: AnyEntry, terms: Terms) -> dict[str, Any]:
    windows = entry.common.windows if isinstance(entry, Ended) else entry.windows
    return {
        **entry.model_dump(mode="json"), "hash": hash_of(line_of(entry)),
        "periods": [None if (d := dates(terms, w)) is None else d.model_dump(mode="json") for w in windows],
        **({"cells": _cells(entry, terms)} if isinstance(entry, Ended) else {}),
    }


def _cells(entry: Ended, terms: Terms) -> list[dict[str, Any]]:
    """Each cell of each KPI and window, and whether it came out."""
    plans = {plan.hash: plan for plan in terms.plans}
    return [
        {
            "kpi": plans[digest].kpi, "window": window, "cell": stratum.cell, "released": bit == "1",
            "rule": None if bit == "1" else terms.draft.disclosure.rule,
        }
        for digest, kpi in zip(entry.common.plans, entry.common.outcome, strict=False) if digest in plans
        for window, bits in zip(entry.common.windows, kpi, strict=False)
        for stratum, bit in zip(plans[digest].strata, bits, strict=False)
    ]
