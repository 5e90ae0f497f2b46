"""What `winnow agreement validate` says: faults, what is doubtful, and what an agreement would permit."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.agreement.subject import Subject, load_subject
from console.agreement.words import Words, plain
from console.locale import Lang
from evaluation.calendar import expected_on
from evaluation.errors import ConfigError
from policy.agreement import Draft
from policy.errors import PolicyError
from policy.privacy import in_rho, units
from policy.review import Fault, review
from policy.runs import RunsNeeded, needed_units, runs_needed
from streams.bounds import check_bounds
from streams.errors import ConfigurationError


@dataclass(frozen=True)
class Verdict:
    """What was found of a file."""

    subject: Subject | None
    """None: something is wrong."""
    faults: tuple[Fault, ...]


def judge(path: Path) -> Verdict:
    """Everything that loading, compiling and the rules for KPIs together say about a draft, or about terms."""
    if path.suffix.lower() == ".json":
        try:
            subject = load_subject(path)
        except (ConfigError, PolicyError) as error:
            return Verdict(None, (Fault(str(path), None, str(error), None),))
        faults = tuple(_served(subject.draft))
    else:
        found = review(path)
        if found.draft is None:
            return Verdict(None, found.faults)
        subject = Subject(found.draft, found.plans, found.kpis)
        faults = (*found.faults, *_served(found.draft))
    return Verdict(None if faults else subject, faults)


def _served(draft: Draft) -> Iterator[Fault]:
    """What a party's process would refuse when it starts."""
    for party in draft.parties:
        try:
            check_bounds(draft, party.name)
        except ConfigurationError as error:
            yield Fault(f"party {party.name}", None, str(error), None)


def doubts(subject: Subject, say: Words) -> Iterator[str]:
    """What may be meant so, and may have been overlooked."""
    draft, needed = subject.draft, runs_needed(subject.draft)
    agreed = draft.quota.runs
    if agreed < needed.schedule:
        yield say("doubt_schedule", agreed=say.number(agreed), needed=say.number(needed.schedule))
    elif agreed < needed.schedule + needed.requests:
        yield say("doubt_requests", agreed=say.number(agreed), needed=say.number(needed.schedule + needed.requests))
    if draft.quota.rho is not None and units(draft.quota.rho) < needed_units(draft):
        yield say(
            "doubt_budget", agreed=say.decimal(draft.quota.rho), needed=say.decimal(in_rho(needed_units(draft))),
        )
    late = [w for w in draft.lattice.scheduled if expected_on(draft, w) > draft.valid_until]
    if late:
        yield say("doubt_late", count=say.number(len(late)), date=say.day(draft.valid_until))
    rounding = draft.disclosure.rounding
    idle = [unit for unit in (rounding.bases if rounding else ()) if unit not in subject.units_of_sums]
    if idle:
        yield say("doubt_rounding", units=say.quoted(idle))
    used = {subject.measure(column.name).name for plan in subject.plans for column in plan.columns}
    of = {m.name: [name for name in (m.of, m.at_risk) if name] for m in draft.measures}
    while more := {name for one in used for name in of[one]} - used:
        used |= more
    unused = [m.name for m in draft.measures if m.name not in used]
    if unused:
        yield say("doubt_unused", names=say.quoted(unused))
    read = {kpi for recipient in draft.recipients for kpi in recipient.kpis}
    unread = [plan.kpi for plan in subject.plans if plan.kpi not in read]
    if unread:
        yield say("doubt_unread", names=say.quoted(unread))
    if not any("withdrawal" in s.kinds for p in draft.parties for s in p.sources):
        yield say("no_withdrawals")


def permitted(subject: Subject, say: Words) -> str:
    """What the agreement would permit, in a paragraph."""
    draft, needed = subject.draft, runs_needed(subject.draft)
    said = [
        say(
            "permits", kpis=say.quoted([plan.kpi for plan in subject.plans]),
            recipients=say.several([r.name for r in draft.recipients]),
        ),
        say("permits_windows", count=say.number(needed.windows)),
    ]
    if len(draft.maturities.editions) > 1:
        said.append(say("permits_editions", count=say.number(needed.full)))
    if draft.batch_edges:
        said.append(say("permits_batches", count=say.number(len(draft.batch_edges))))
    if draft.requesters:
        said.append(say(
            "permits_requests", names=say.several([r.name for r in draft.requesters]),
            count=say.number(needed.requests),
        ))
    said.append(say("permits_runs", needed=say.number(needed.schedule), agreed=say.number(draft.quota.runs)))
    return " ".join(said)


def as_text(verdict: Verdict, file: str, lang: Lang) -> Iterator[str]:
    """The verdict as lines."""
    if verdict.subject is None:
        say = Words(lang, "day")
        yield say("invalid", file=plain(file))
        for fault in verdict.faults:
            yield from ("", plain(fault.where))
            if fault.found is None:
                yield f"  {plain(fault.expected)}"
                continue
            yield f"  {say('fault_found', text=plain(fault.found))}"
            yield f"  {say('fault_expected', text=plain(fault.expected))}"
            yield f"  {say('fault_next', text=plain(fault.next_step or ''))}"
        return
    say = Words(lang, verdict.subject.draft.panes.unit)
    yield from (say("valid", file=plain(file)), permitted(verdict.subject, say))
    found = list(doubts(verdict.subject, say))
    if found:
        yield from ("", say("doubts"), *(f"- {doubt}" for doubt in found))


def as_document(verdict: Verdict, lang: Lang) -> dict[str, Any]:
    """The verdict as plain data."""
    subject = verdict.subject
    return {
        "valid": subject is not None,
        "faults": [
            {"where": f.where, "found": f.found, "expected": f.expected, "next_step": f.next_step}
            for f in verdict.faults
        ],
        "doubts": [] if subject is None else list(doubts(subject, Words(lang, subject.draft.panes.unit))),
        "permits": None if subject is None else _permits(subject, runs_needed(subject.draft)),
    }


def _permits(subject: Subject, needed: RunsNeeded) -> dict[str, Any]:
    draft = subject.draft
    return {
        "kpis": [plan.kpi for plan in subject.plans], "recipients": {r.name: list(r.kpis) for r in draft.recipients},
        "windows": needed.windows, "editions": len(draft.maturities.editions), "batches": 1 + len(draft.batch_edges),
        "requests": {r.name: r.runs for r in draft.requesters},
        "runs": {
            "agreed": draft.quota.runs, "links": needed.links, "renewals": needed.renewals, "windows": needed.windows,
            "full_editions": needed.full, "requests": needed.requests, "budgets": needed.budgets,
            "schedule": needed.schedule,
        },
    }
