"""Risks for patients, what is enforced against each, by whom, and what remains: GDPR article 35(7)(c) and (d)."""

from collections import Counter
from collections.abc import Iterator

from console.agreement.dpia.blocks import Block, Cell, Part, Report, Risk, lines_of
from console.agreement.words import plain


def risks(report: Report) -> Part:
    """Every risk that the agreement bears on."""
    return Part("risks", (
        Block("", (*report.said("dpia_risks_are"), *report.open("dpia_open_weight"), *report.open("dpia_open_risks"))),
        *_computing(report), *_released(report), *_used(report), *_kept(report),
    ))


def _risk(report: Report, key: str, enforced: Cell, by: Cell, remains: Cell) -> Risk:
    return Risk(key, report.say(f"dpia_risk_{key}"), enforced, by, remains)


def _computing(report: Report) -> Iterator[Risk]:
    """While it is computed."""
    yield _risk(
        report, "inside", (*report.quote("who", "pieces"), *report.quote("nodes", "not-learnt"),
                           *report.said("dpia_sealed")),
        report.said("dpia_by_split", "dpia_by_certificates"),
        (*report.quote("assumed", "no-collusion", "semi-honest"), *_same_organisation(report),
         *report.open("dpia_open_collusion")),
    )
    dummies = report.draft.linkage.dummies
    blurred = report.said("dpia_dummies", count=report.say.number(dummies)) if dummies else report.silent("no_dummies")
    yield _risk(
        report, "linking", (*report.quote("shared", "link-key"), *blurred,
                            *report.quote("patients", "batch-panes", "batches")),
        report.said("dpia_by_linkage"),
        (*report.quote("nodes", "overlap", "shards", "dummies", "batches-seen", "block-slots"),
         *report.quote("patients", "renewed")),
    )
    yield _risk(
        report, "party", report.said("dpia_pseudonyms"), report.said("dpia_by_party"),
        (*report.said("dpia_own_systems"), *report.open("dpia_open_security")),
    )


def _same_organisation(report: Report) -> Cell:
    """Of signed terms: who runs more than one node."""
    terms = report.subject.terms
    if terms is None:
        return ()
    runs = Counter(node.organisation for node in terms.nodes)
    several = [plain(name) for name, count in runs.items() if count > 1]
    return report.said("dpia_same_organisation", names=report.say.quoted(several)) if several else ()


def _released(report: Report) -> Iterator[Risk]:
    """By what comes out."""
    subject, draft = report.subject, report.draft
    checked = report.said("dpia_by_shares", minimum=report.say.number(draft.disclosure.minimum_cohort))
    yield _risk(
        report, "few", report.quote("never", "minimum", "atoms", "remainder"), checked,
        report.quote("assumed", "chance"),
    )
    rules = report.quote("never", "largest-percent", "two-largest-percent", "p-percent")
    yield _risk(
        report, "dominant", rules or report.silent("no_dominance"),
        checked if rules else report.said("dpia_by_nobody"),
        report.said("dpia_dominance_remains") if rules else report.open("dpia_open_dominance"),
    )
    yield _risk(
        report, "subtracted",
        (*report.quote("never", "minimum", "atoms"), *report.said("dpia_lattice"), *_full_editions(report)),
        report.said("dpia_by_lattice"),
        (*report.quote("assumed", "one-agreement"), *_differences(report), *report.open("dpia_open_other_agreements")),
    )
    yield _risk(
        report, "withheld", report.quote("never", "suppressed"), report.said("dpia_by_bits"),
        report.quote("nodes", "bits", "bits-full"),
    )
    yield _risk(
        report, "recognised",
        report.quote("computed", *(f"kpi:{plan.kpi}:{what}" for plan in subject.plans for what in (
            "outputs", "rounding", "privacy", "privacy-covers"))),
        report.said("dpia_by_tail"), (*report.quote("assumed", "chance"), *_without_noise(report)),
    )
    if draft.alerts:
        yield _risk(
            report, "alerts", report.quote("alerts", "alert", "alert-out"), report.said("dpia_by_alerts"),
            report.said("dpia_alert_remains"),
        )


def _differences(report: Report) -> Cell:
    """What differences of figures may tell that no rule looks at (docs/adr/0011)."""
    plans = report.subject.plans
    squares = report.quote("computed", *(f"kpi:{plan.kpi}:sums-and-interval" for plan in plans))
    completes = any(plan.estimator == "completion" for plan in plans)
    return (
        *squares, *(report.said("dpia_changers") if squares else ()),
        *(report.said("dpia_made_up_for") if completes else ()), *report.said("dpia_two_codes"),
    )


def _without_noise(report: Report) -> Cell:
    """What noise does not cover, and the KPIs of which the agreement says nothing of noise."""
    kpis = [plan.kpi for plan in report.subject.plans]
    bare = [kpi for kpi in kpis if not report.quote("computed", f"kpi:{kpi}:privacy")]
    return (
        *report.quote("computed", *(f"kpi:{kpi}:privacy-not" for kpi in kpis)),
        *(report.said("dpia_no_noise", kpis=report.say.quoted(bare)) if bare else ()),
    )


def _full_editions(report: Report) -> Cell:
    return report.quote("late", "release") if len(report.draft.maturities.editions) > 1 else ()


def _used(report: Report) -> Iterator[Risk]:
    """By what is done with it."""
    draft = report.draft
    yield _risk(
        report, "purpose",
        (*report.quote("why", "purpose"), *report.said("dpia_plans"), *report.quote("ends", "quota")),
        report.said("dpia_by_gate", "dpia_by_contract"),
        (*report.said("dpia_purpose_remains"), *report.open("dpia_open_use")),
    )
    asked = report.said("dpia_by_requests") if draft.requesters else report.said("dpia_by_gate")
    seen = report.quote("nodes", "requests-seen")
    yield _risk(
        report, "asking", lines_of(report.clauses("asking")), asked, seen or report.said("dpia_schedule_remains"),
    )
    compares = any(len(plan.arms) > 1 for plan in report.subject.plans)
    yield _risk(
        report, "wrong", (*report.quote("late", "late-is", "maturities", "release"), *report.said("dpia_noticed")),
        report.said("dpia_by_nodes"),
        (*report.quote("assumed", "semi-honest", "honest-inputs"),
         *(report.said("dpia_not_randomised") if compares else ())),
    )
    groups = report.quote("computed", *(f"kpi:{plan.kpi}:groups" for plan in report.subject.plans))
    yield _risk(
        report, "groups", groups, report.said("dpia_by_nobody"),
        (*report.silent("dpia_no_fairness"), *report.open("dpia_open_fairness")),
    )


def _kept(report: Report) -> Iterator[Risk]:
    """By what stays."""
    draft = report.draft
    erases = draft.erasure is not None
    yield _risk(
        report, "kept", (*report.quote("late", "horizon"), *report.quote("ends", "valid-until")),
        report.said("dpia_by_deletion"),
        (*report.quote("ends", "afterwards"), *report.said("dpia_disks"), *report.open("dpia_open_stores")),
    )
    withdrawals = any("withdrawal" in source.kinds for party in draft.parties for source in party.sources)
    enforced = tuple(
        line for line in lines_of(report.clauses("withdrawal")) if line not in report.quote("withdrawal", "stays")
    )
    yield _risk(
        report, "withdrawal", enforced if withdrawals else report.silent("no_withdrawals"),
        report.said("dpia_by_erasure" if erases else "dpia_by_party") if withdrawals else report.said("dpia_by_nobody"),
        (*report.quote("withdrawal", "stays"), *(report.said("dpia_receipt_remains") if erases else ()),
         *report.open("dpia_open_objection")),
    )
    yield _risk(
        report, "unaware", report.silent("dpia_no_information"), report.said("dpia_by_nobody"),
        report.open("dpia_open_information"),
    )
    yield _risk(
        report, "chain", (*report.said("dpia_on_chain"), *report.quote("ends", "suspend", "revoke")),
        report.said("dpia_by_contract"), report.said("dpia_chain_remains"),
    )


def residual(report: Report) -> Part:
    """What Winnow does not catch, whatever is agreed, and what this agreement leaves open."""
    keys = ("dpia_wrong_products", "dpia_no_proof", "dpia_disks", "dpia_own_systems")
    agreed = [
        *(() if report.draft.disclosure.dominance else report.said("no_dominance")),
        *report.quote("withdrawal", "no-erasure"), *_same_organisation(report),
        *(() if report.draft.linkage.dummies else report.said("no_dummies")),
    ]
    return Part("residual", (
        Block(report.say("dpia_assumed"), lines_of(report.clauses("assumed"))),
        Block(report.say("dpia_not_caught"), (*report.said(*keys), *_without_noise(report), *_differences(report))),
        *([Block(report.say("dpia_left_open"), tuple(agreed))] if agreed else []),
        Block("", report.open("dpia_open_residual")),
    ))
