"""Evidence in words: what a run was, who asked, what came out, and each node's account of it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from console.asking import cell_text
from console.audit.finding import Finding
from console.audit.sources import Record
from console.audit.words import FINDINGS, INTERRUPTIONS, say
from console.locale import Lang, period
from console.words import RULES, described
from evaluation.document import DateWindow
from evaluation.evidence import Aborted, AnyEntry, Ended, Permitted, Refused, hash_of, line_of
from policy.agreement import Terms

SHORT = 12
"""Digits of a hash that are shown; --json has all."""
MOST_WINDOWS = 6
Line = tuple[int, str]
"""How far it is indented, and its words."""


def heading(terms: Terms, agreement_id: str, records: Sequence[Record], lang: Lang) -> Iterator[Line]:
    """Which agreement, and which files."""
    yield 0, say(lang, "title", title=terms.draft.title.of(lang))
    yield 0, say(lang, "agreement", terms=short(terms.hash), id=short(agreement_id))
    for record in records:
        if record.node is not None:
            yield 0, say(
                lang, "file", node=record.node, organisation=terms.nodes[record.node].organisation,
                entries=len(record.entries), head=short(record.head.hash),
            )
        if record.unfinished:
            yield 1, say(lang, "unfinished")


def entries_in_words(entries: Sequence[AnyEntry], terms: Terms, lang: Lang) -> Iterator[Line]:
    """Every entry, in order; what nodes say of one run that ended stands together."""
    told: set[str] = set()
    for entry in entries:
        if not isinstance(entry, Ended):
            yield from _other(entry, terms, lang)
        elif entry.common.run not in told:
            told.add(entry.common.run)
            yield from _ended(
                [e for e in entries if isinstance(e, Ended) and e.common.run == entry.common.run], terms, lang
            )
    if not entries:
        yield 0, say(lang, "nothing")


def findings_in_words(findings: Sequence[Finding], lang: Lang) -> Iterator[Line]:
    """Everything that does not hold."""
    for finding in findings:
        where = [say(lang, "node", node=finding.node)] if finding.node is not None else []
        where += [say(lang, "run", run=short(finding.run))] if finding.run else []
        yield 1, f"{finding.rule}: {', '.join([*where, FINDINGS[finding.rule].of(lang)])}"
        found, expected = finding.in_words(lang)
        yield 2, say(lang, "finding", found=found, expected=expected)


def short(digits: str | None) -> str:
    """The beginning of a hash."""
    return "-" if digits is None else digits[:SHORT]


def dates(terms: Terms, index: int) -> DateWindow | None:
    """A window's days; None: the agreement has no such window."""
    window = terms.draft.lattice.window(index)
    return None if window is None else DateWindow.of_panes(terms.draft.panes, window.start, window.stop)


def _ended(entries: Sequence[Ended], terms: Terms, lang: Lang) -> Iterator[Line]:
    common = entries[0].common
    yield 0, ""
    yield 0, say(lang, "run" if common.windows else "linked", run=common.run)
    yield 1, f"{say(lang, 'asked')}: {_who(entries[0], lang)}"
    if common.windows:
        yield 1, f"{say(lang, 'windows')}: {_windows(terms, common.windows, lang)}"
        yield from _cells(entries[0], terms, lang)
    else:
        yield 1, f"{say(lang, 'opened')}: {say(lang, 'no_cells')}"
    if common.alerts:
        readers = {alert.id: alert.recipient for alert in terms.draft.alerts}
        told = [say(lang, "alert", alert=alert, recipient=readers.get(alert, "?")) for alert in common.alerts]
        yield 1, f"{say(lang, 'alerts')}: {', '.join(told)}"
    for entry in sorted(entries, key=lambda entry: entry.node):
        yield 1, f"{say(lang, 'node', node=entry.node)}, {_at(entry, lang)}"
        yield from _permitted(entry.permitted, lang)
        for recipient, digest in sorted(entry.sealed.items()):
            yield 2, say(lang, "sealed", recipient=recipient, hash=short(digest))
        yield 2, say(
            lang, "attested", value=short(entry.attestation), root=short(common.root), sequence=entry.sequence
        )


def _who(entry: Ended, lang: Lang) -> str:
    """On schedule, and the requests that the run answers."""
    asked = [
        say(lang, "request", requester=r.requester, request=short(r.request), outcome=say(lang, f"asked_{r.outcome}"))
        for r in entry.requests
    ]
    return "; ".join([*([] if entry.common.requester else [say(lang, "schedule")]), *asked])


def _cells(entry: Ended, terms: Terms, lang: Lang) -> Iterator[Line]:
    """By KPI: how many cells came out, and which did not, by window."""
    yield 1, f"{say(lang, 'opened')}:"
    plans = {plan.hash: plan for plan in terms.plans}
    for digest, kpi in zip(entry.common.plans, entry.common.outcome, strict=False):
        plan = plans.get(digest)
        if plan is None:
            continue
        yield 2, say(
            lang, "cells", kpi=plan.kpi, released="".join(kpi).count("1"), all=sum(len(bits) for bits in kpi)
        )
        for index, bits in zip(entry.common.windows, kpi, strict=False):
            hidden = [
                say(lang, "all_patients") if not stratum.cell else cell_text(stratum.cell)
                for stratum, bit in zip(plan.strata, bits, strict=False) if bit == "0"
            ]
            if hidden:
                withheld = say(lang, "withheld", cells=", ".join(hidden), rule=terms.draft.disclosure.rule)
                yield 3, f"{_windows(terms, (index,), lang)}: {withheld}"


def _other(entry: AnyEntry, terms: Terms, lang: Lang) -> Iterator[Line]:
    """A refusal, a run that was cut off, or an answer."""
    assert not isinstance(entry, Ended)
    yield 0, ""
    if isinstance(entry, Refused):
        yield 0, say(lang, "refused", rule=described(RULES, entry.rule, lang))
    elif isinstance(entry, Aborted):
        yield 0, say(lang, "aborted", reason=described(INTERRUPTIONS, entry.reason, lang))
    else:
        yield 0, say(lang, "answered", request=short(entry.request))
    yield 1, f"{say(lang, 'node', node=entry.node)}, {_at(entry, lang)}"
    asker = entry.requester or ("-" if isinstance(entry, Refused) and entry.request else say(lang, "schedule"))
    yield 1, f"{say(lang, 'asked')}: {asker}"
    yield 1, f"{say(lang, 'windows')}: {_windows(terms, entry.windows, lang) or say(lang, 'all_left')}"
    if not isinstance(entry, Aborted) and entry.kpis:
        yield 1, f"{say(lang, 'kpis')}: {', '.join(entry.kpis)}"
    if isinstance(entry, Refused):
        found = entry.found or say(lang, "data_dependent")
        yield 1, say(lang, "refuses", rule=entry.rule, found=found, required=entry.required)
        yield 1, say(lang, "next", step=entry.next_step)
    if isinstance(entry, Refused | Aborted):
        yield 1, f"{say(lang, 'phase', phase=entry.phase)}; {say(lang, 'may_be_open' if entry.opened else 'not_open')}"
    if entry.run:
        yield 1, say(lang, "run", run=entry.run)
    if isinstance(entry, Refused | Aborted):
        yield from _permitted(entry.permitted, lang)


def _permitted(permitted: Permitted, lang: Lang) -> Iterator[Line]:
    """Block, rules, phases, quota and budget, as far as there are any."""
    before, after = permitted.before, permitted.after
    if before is None:
        return
    judged = "permitted" if all(verdict.passes for verdict in permitted.verdicts) else "judged"
    yield 2, say(lang, judged, version=before.version, block=before.block, hash=short(before.block_hash))
    if passing := [verdict.rule for verdict in permitted.verdicts if verdict.passes]:
        yield 2, say(lang, "passes", rules=", ".join(passing))
    for verdict in permitted.verdicts:
        if not verdict.passes:
            found = verdict.found or say(lang, "data_dependent")
            yield 2, say(lang, "refuses", rule=verdict.rule, found=found, required=verdict.required)
    if permitted.phases:
        yield 2, say(lang, "phases", phases=", ".join(f"{p.phase} {p.block}" for p in permitted.phases))
    if after is None:
        return
    quota = say(
        lang, "quota", before=before.runs_used, most=before.run_quota, after=after.runs_used, block=after.block
    )
    if before.requester_runs is not None:
        mine = say(lang, "requester_quota", before=before.requester_runs, after=after.requester_runs)
        quota = f"{quota}; {mine}"
    yield 2, quota
    if before.privacy_budget != "0":
        yield 2, say(
            lang, "budget", before=before.budget_spent, most=before.privacy_budget, after=after.budget_spent
        )


def _at(entry: AnyEntry, lang: Lang) -> str:
    return say(lang, "at", at=moment(entry.at), number=entry.number, hash=short(hash_of(line_of(entry))))


def moment(at: datetime) -> str:
    """To the second, UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _windows(terms: Terms, indexes: Sequence[int], lang: Lang) -> str:
    """Windows by their days; many of them by the first and the last one."""
    said = [str(index) if (days := dates(terms, index)) is None else period(days, lang) for index in indexes]
    return ", ".join(said) if len(said) <= MOST_WINDOWS else f"{said[0]} … {said[-1]} ({len(said)})"
