"""What files of evidence must be by themselves: each under the terms, and several beside each other. Pure functions."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from console.audit.finding import Finding
from console.audit.sources import Record
from evaluation.evidence import Common, Ended, attested
from evaluation.merkle import merkle_root
from policy.agreement import NODES, Terms
from policy.gate import demand_rules


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

    def wrong(rule: str, found: object, expected: object) -> Finding:
        return Finding(rule, entry.node, common.run, str(found), str(expected))

    plans = {plan.hash: plan for plan in terms.plans}
    strange = [h for h in common.plans if h not in plans]
    if strange:
        yield wrong("entry-terms", f"plan {strange[0][:16]}", f"plans of agreement {terms.hash[:16]}")
        return
    run = [plans[h] for h in common.plans]
    if common.windows and common.kpis != tuple(plan.kpi for plan in run):
        yield wrong("entry-terms", f"KPIs {', '.join(common.kpis)}", f"{', '.join(plan.kpi for plan in run)}")
    if any(terms.draft.lattice.window(window) is None for window in common.windows):
        yield wrong("entry-terms", f"windows {common.windows}", "windows of the agreement")
    shape = [[len(plan.strata)] * len(common.windows) for plan in run] if common.windows else []
    if [[len(bits) for bits in kpi] for kpi in common.outcome] != shape:
        yield wrong("entry-terms", "outcomes of other cells", "one for each cell of the agreement")
    readers = {recipient.name for recipient in terms.draft.recipients}
    if not readers.issuperset(entry.sealed):
        yield wrong("entry-terms", f"sealed for {', '.join(entry.sealed)}", f"recipients: {', '.join(sorted(readers))}")
    askers = {requester.name for requester in terms.draft.requesters}
    if common.requester is not None and common.requester not in askers:
        yield wrong("entry-terms", f"requester {common.requester}", f"one of {', '.join(sorted(askers)) or 'nobody'}")
    if common.agreement != terms.hash:
        yield wrong("entry-terms", f"agreement {common.agreement[:16]}", terms.hash[:16])
    refusing = [verdict.rule for verdict in permitted.verdicts if not verdict.passes]
    asked = set(demand_rules()) if entry.requests else set()
    if refusing or permitted.before is None or permitted.after is None:
        yield wrong("entry-permitted", f"refused by {', '.join(refusing) or 'nobody, and permitted by nobody'}",
                    "a run that every rule permitted")
    elif not asked <= {verdict.rule for verdict in permitted.verdicts}:
        yield wrong("entry-permitted", "rules for requests that were not asked", ", ".join(sorted(asked)))
    sealed = [entry.sealed[name] for name in sorted(entry.sealed)]
    value = attested(common.run, entry.manifest, terms.hash, bytes.fromhex(entry.transcript), sealed)
    if value != entry.attestation:
        yield wrong("attestation-value", entry.attestation[:16], f"{value[:16]}, over what the entry says was sealed")


def _alike(records: Sequence[Record]) -> Iterator[Finding]:
    """The first run of which nodes say different things; a file of which nobody knows whose it is says nothing."""
    records = [record for record in records if record.node is not None]
    for place, trio in enumerate(zip_longest(*(record.runs for record in records))):
        said = [None if entry is None else entry.common for entry in trio]
        if any(common != said[0] for common in said):
            found = "; ".join(
                f"node {record.node} {_differing(common, said)}" for record, common in zip(records, said, strict=True)
            )
            run = next(common.run for common in said if common is not None)
            yield Finding("same-evidence", None, run, f"as run {place + 1}: {found}", "the same at all nodes")
            return


def _differing(common: Common | None, said: Sequence[Common | None]) -> str:
    """What one node says in the fields in which they differ."""
    if common is None:
        return "has no such run"
    others = [other for other in said if other is not None]
    fields = [
        name for name in Common.model_fields if any(getattr(other, name) != getattr(common, name) for other in others)
    ]
    return ", ".join(f"{name} {str(getattr(common, name))[:40]}" for name in fields) or "has a run"


def _roots(records: Sequence[Record]) -> Iterator[Finding]:
    """With all three files: the roots over what the nodes sealed."""
    if len(records) != NODES:
        return
    for trio in zip(*(record.runs for record in records), strict=False):
        hashes = [bytes.fromhex(entry.sealed[name]) for entry in trio for name in sorted(entry.sealed)]
        root, said = merkle_root(hashes).hex() if hashes else None, trio[0].common.root
        if root != said:
            yield Finding("root", None, trio[0].common.run, str(said)[:16],
                          f"{str(root)[:16]}, over the results that the three nodes sealed")
