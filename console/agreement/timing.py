"""What an agreement says about time: windows, what is late, who comes later, and how long it holds."""

from collections.abc import Iterator
from datetime import timedelta

from console.agreement.clause import NEUTRAL, Clause, Section, Weight
from console.agreement.subject import Subject
from console.agreement.words import Words
from console.locale import period
from evaluation.calendar import expected_on
from evaluation.document import DateWindow
from policy.agreement import Draft
from policy.privacy import in_rho, units
from policy.runs import needed_units, runs_needed
from policy.window import MAX_PANES, Window


def periods(subject: Subject, say: Words) -> Section:
    """Panes, windows, and when their figures can come."""
    draft = subject.draft
    grid, spec, scheduled = draft.panes, draft.windows, draft.lattice.scheduled
    first, last = scheduled[0], scheduled[-1]
    window = say(spec.kind, size=say.panes(spec.size or spec.step), every=say.every(spec.step))
    if spec.kind == "cumulative":
        again = say("never_again") if spec.every is None else say("again", every=say.every(spec.every))
        window = f"{window} {again}"
    return Section("periods", (
        Clause("grid", say(
            "grid", panes=say.panes(grid.count), zone=grid.zone, first=say.day(grid.start),
            last=_last_day(draft, grid.count, say),
        )),
        Clause("windows", window),
        Clause("scheduled", say(
            "scheduled", count=say.number(len(scheduled)),
            first=_dates(draft, first, say), last=_dates(draft, last, say),
        ), Weight(more="weaker", level=len(scheduled))),
        Clause("expected", say(
            "expected", first=say.day(expected_on(draft, first)), last=say.day(expected_on(draft, last)),
        ), NEUTRAL),
    ))


def late(subject: Subject, say: Words) -> Section:
    """Grace, maturities, editions and the horizon of corrections."""
    draft = subject.draft
    return Section("late", (Clause("late-is", say("late_is")), *_maturities(draft, say), _horizon(draft, say)))


def _maturities(draft: Draft, say: Words) -> Iterator[Clause]:
    agreed = draft.maturities
    days = say.several([say.number(d) for d in agreed.days])
    yield Clause("maturities", say("maturities", days=days) if agreed.days else say("no_maturities"), NEUTRAL)
    if agreed.days:
        yield Clause("release", say(
            f"release_{agreed.release}", days=say.days(agreed.days[-1]),
            minimum=say.number(draft.disclosure.minimum_cohort),
        ))
    if agreed.revisions is not None:
        yield Clause(
            "revisions", say("revisions", runs=say.number(agreed.revisions)),
            Weight("weaker", "weaker", agreed.revisions),
        )


def _horizon(draft: Draft, say: Words) -> Clause:
    agreed = draft.corrections
    panes = MAX_PANES + 1 if agreed is None else agreed.horizon_panes
    text = say("no_horizon") if agreed is None else say("horizon", panes=say.panes(panes))
    return Clause("horizon", text, Weight(more="weaker", level=panes))


def patients(subject: Subject, say: Words) -> Section:
    """When registers close, and who enters later."""
    draft, agreed = subject.draft, subject.draft.linkage
    clauses = [
        Clause("linked", say("linked", date=say.day(agreed.date))),
        Clause("join", say(f"join_{agreed.join}")),
    ]
    if agreed.batch_panes is None:
        clauses.append(Clause("no-batches", say("no_batches"), NEUTRAL))
        return Section("patients", tuple(clauses))
    edges = draft.batch_edges
    clauses += [
        Clause(
            "batch-panes", say("batch_panes", every=say.every(agreed.batch_panes)),
            Weight("weaker", "stronger", agreed.batch_panes),
        ),
        Clause("batches", say(
            "batches", count=say.number(len(edges)), first=say.day(draft.panes.first_day(edges[0])),
            minimum=say.number(draft.disclosure.minimum_cohort),
        ), Weight("weaker", "weaker", len(edges))),
    ]
    if agreed.renew_batches is not None:
        clauses.append(Clause("renewed", say("renewed", count=say.number(agreed.renew_batches))))
    return Section("patients", tuple(clauses))


def ends(subject: Subject, say: Words) -> Section:
    """Validity, quota, and what happens at the end."""
    draft, needed = subject.draft, runs_needed(subject.draft)
    return Section("ends", (
        Clause(
            "valid-from", say("valid_from", date=say.day(draft.valid_from)),
            Weight(more="stronger", level=draft.valid_from.toordinal()),
        ),
        Clause(
            "valid-until", say("valid_until", date=say.day(draft.valid_until)),
            Weight(more="weaker", level=draft.valid_until.toordinal()),
        ),
        Clause(
            "quota", say("quota", runs=say.number(draft.quota.runs)), Weight(more="weaker", level=draft.quota.runs),
        ),
        *_budget(draft, say),
        Clause("needed", say(
            "needed", schedule=say.number(needed.schedule), requests=say.number(needed.requests),
        ), NEUTRAL),
        Clause("suspend", say("suspend")), Clause("revoke", say("revoke")), Clause("superseded", say("superseded")),
        *_successor(draft, say), Clause("afterwards", say("afterwards")),
    ))


def _budget(draft: Draft, say: Words) -> Iterator[Clause]:
    if draft.quota.rho is not None:
        yield Clause(
            "privacy-budget", say("privacy_budget", rho=say.decimal(draft.quota.rho)),
            Weight("stronger", "weaker", units(draft.quota.rho)),
        )
        yield Clause("privacy-needed", say("privacy_needed", rho=say.decimal(in_rho(needed_units(draft)))), NEUTRAL)


def _successor(draft: Draft, say: Words) -> Iterator[Clause]:
    if draft.supersedes is not None:
        yield Clause("supersedes", say("supersedes", version=draft.supersedes), NEUTRAL)


def _dates(draft: Draft, window: Window, say: Words) -> str:
    grid = draft.panes
    return period(DateWindow(start=grid.first_day(window.start), end=grid.first_day(window.stop)), say.lang)


def _last_day(draft: Draft, stop: int, say: Words) -> str:
    """The last day before pane `stop`."""
    return say.day(draft.panes.first_day(stop) - timedelta(days=1))
