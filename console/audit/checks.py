"""What files of evidence must be by themselves: each under the terms, and several beside each other. Pure functions."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from console.audit.discrepancies import Said, digits, joined, said
from console.audit.finding import Finding
from console.audit.sources import Record
from evaluation.evidence import Common, Ended, attested
from evaluation.merkle import merkle_root
from policy.agreement import Terms
from policy.gate import demand_rules
from policy.identity import NODES


def check_files(records: Sequence[Record], terms: Terms) -> list[Finding]:
    """Everything that does not hold, without the chain."""
    return [
        *(finding for record in records for finding in record.findings),
        *(finding for record in records for entry in record.runs for finding in _under_terms(entry, terms)),
        *_alike(records), *_roots(records),
    ]


def _under_terms(entry: Ended, terms: Terms) -> Iterator[Finding]:
    """What one entry says of a run, and what the terms and the entry's other fields let it say."""
    common, permitted = entry.common, entry.permitted

    def wrong(rule: str, found: Said, expected: Said) -> Finding:
        return Finding(rule, entry.node, common.run, found, expected)

    plans = {plan.hash: plan for plan in terms.plans}
    strange = [h for h in common.plans if h not in plans]
    if strange:
        yield wrong("entry-terms", said("plan", hash=strange[0][:16]), said("plans", hash=terms.hash[:16]))
        return
    run = [plans[h] for h in common.plans]
    if common.windows and common.kpis != tuple(plan.kpi for plan in run):
        yield wrong("entry-terms", said("kpis", kpis=", ".join(common.kpis)), ", ".join(plan.kpi for plan in run))
    if any(terms.draft.lattice.window(window) is None for window in common.windows):
        yield wrong("entry-terms", said("windows", windows=common.windows), said("windows_agreed"))
    shape = [[len(plan.strata)] * len(common.windows) for plan in run] if common.windows else []
    if [[len(bits) for bits in kpi] for kpi in common.outcome] != shape:
        yield wrong("entry-terms", said("other_cells"), said("each_cell"))
    readers = {recipient.name for recipient in terms.draft.recipients}
    if not readers.issuperset(entry.sealed):
        names = ", ".join(sorted(readers))
        yield wrong("entry-terms", said("sealed_for", names=", ".join(entry.sealed)), said("recipients", names=names))
    askers = {requester.name for requester in terms.draft.requesters}
    if common.requester is not None and common.requester not in askers:
        expected = said("one_of", names=", ".join(sorted(askers))) if askers else said("none")
        yield wrong("entry-terms", said("requester", name=common.requester), expected)
    if common.agreement != terms.hash:
        yield wrong("entry-terms", said("agreement", hash=common.agreement[:16]), terms.hash[:16])
    refusing = [verdict.rule for verdict in permitted.verdicts if not verdict.passes]
    asked = set(demand_rules()) if entry.requests else set()
    if refusing or permitted.before is None or permitted.after is None:
        found = said("refused_by", rules=", ".join(refusing)) if refusing else said("not_permitted")
        yield wrong("entry-permitted", found, said("all_permit"))
    elif not asked <= {verdict.rule for verdict in permitted.verdicts}:
        yield wrong("entry-permitted", said("not_asked"), ", ".join(sorted(asked)))
    sealed = [entry.sealed[name] for name in sorted(entry.sealed)]
    value = attested(common.run, entry.manifest, terms.hash, bytes.fromhex(entry.transcript), sealed)
    if value != entry.attestation:
        yield wrong("attestation-value", entry.attestation[:16], said("as_sealed", value=value[:16]))


def _alike(records: Sequence[Record]) -> Iterator[Finding]:
    """The first run of which nodes say different things; a file of which nobody knows whose it is says nothing."""
    records = [record for record in records if record.node is not None]
    for place, trio in enumerate(zip_longest(*(record.runs for record in records))):
        parts = [None if entry is None else entry.common for entry in trio]
        if any(common != parts[0] for common in parts):
            found = joined([
                said("node_says", node=record.node, said=_differing(common, parts))
                for record, common in zip(records, parts, strict=True)
            ])
            run = next(common.run for common in parts if common is not None)
            yield Finding("same-evidence", None, run, said("as_run", place=place + 1, found=found), said("same"))
            return


def _differing(common: Common | None, parts: Sequence[Common | None]) -> Said:
    """What one node says in the fields in which they differ."""
    if common is None:
        return said("no_such_run")
    others = [other for other in parts if other is not None]
    fields = [
        name for name in Common.model_fields if any(getattr(other, name) != getattr(common, name) for other in others)
    ]
    return ", ".join(f"{name} {str(getattr(common, name))[:40]}" for name in fields) or said("has_run")


def _roots(records: Sequence[Record]) -> Iterator[Finding]:
    """With all three files: the roots over what the nodes sealed."""
    if len(records) != NODES:
        return
    for trio in zip(*(record.runs for record in records), strict=False):
        hashes = [bytes.fromhex(entry.sealed[name]) for entry in trio for name in sorted(entry.sealed)]
        root, noted = merkle_root(hashes).hex() if hashes else None, trio[0].common.root
        if root != noted:
            yield Finding("root", None, trio[0].common.run, digits(noted), said("root_of_all", root=digits(root)))
