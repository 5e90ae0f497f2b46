"""What an agreement says about protection: what stays inside, what nodes learn, erasure, and what is assumed."""

from collections.abc import Iterator

from console.agreement.clause import Clause, Effect, Section, Weight
from console.agreement.subject import Subject
from console.agreement.words import Words
from policy.disclosure import Disclosure
from policy.measure import Unit


def never(subject: Subject, say: Words) -> Section:
    """Disclosure rules."""
    draft = subject.draft
    minimum = draft.disclosure.minimum_cohort
    shortest, in_order = min(stop - start for start, stop in draft.lattice.atoms), _in_order(subject)
    return Section("never", (
        Clause("never-records", say("never_records")),
        Clause("minimum", say("minimum", minimum=say.number(minimum)), Weight("stronger", "stronger", minimum)),
        Clause("atoms", say("atoms", panes=say.panes(shortest)), Weight("stronger", "stronger", shortest)),
        Clause("remainder", say("remainder_in_order" if in_order else "remainder"),
               Weight(more="weaker", level=in_order)),
        *_dominance(draft.disclosure, say),
        *_rounding(subject, say),
        Clause("suppressed", say("suppressed")),
    ))


def _in_order(subject: Subject) -> int:
    """Whether some groups may come out where others may not: 0 or 1."""
    return int(subject.draft.disclosure.tables == "in-order")


def _dominance(agreed: Disclosure, say: Words) -> Iterator[Clause]:
    rules = agreed.dominance
    if rules is None:
        yield Clause("no-dominance", say("no_dominance"), Weight("weaker"))
        return
    agreed_rules: tuple[tuple[str, int | None, Effect], ...] = (
        ("largest_percent", rules.largest_percent, "weaker"),
        ("two_largest_percent", rules.two_largest_percent, "weaker"),
        ("p_percent", rules.p_percent, "stronger"),
    )
    for key, percent, more in agreed_rules:
        if percent is not None:
            yield Clause(
                key.replace("_", "-"), say(key, percent=say.number(percent)), Weight("stronger", more, percent),
            )


def _rounding(subject: Subject, say: Words) -> Iterator[Clause]:
    agreed = subject.draft.disclosure.rounding
    for unit, base in (agreed.bases if agreed is not None else {}).items():
        comes_out = unit in subject.units_of_sums
        text = say("rounded" if comes_out else "rounds_nothing", what=say(f"sums_{unit}"), base=_base(unit, base, say))
        level = base if comes_out else 1
        yield Clause(f"rounded-{unit}", text, Weight("stronger" if level > 1 else "neutral", "stronger", level))


def _base(unit: Unit, base: int, say: Words) -> str:
    if unit == "cents":
        return say.euros(base)
    return say("base_hundredths", base=say.number(base)) if unit == "hundredths" else say.number(base)


def nodes(subject: Subject, say: Words) -> Section:
    """What the nodes get to know besides what they compute."""
    draft = subject.draft
    shards, dummies, slots = draft.shards, draft.linkage.dummies, draft.linkage.block_slots
    clauses = [
        Clause("overlap", say("overlap")),
        Clause("shards", say("shards", shards=say.number(shards)) if shards > 1 else say("one_shard"),
               Weight(more="weaker", level=shards)),
        Clause("dummies", say("dummies", dummies=say.number(dummies)) if dummies else say("no_dummies"),
               Weight(more="stronger", level=dummies)),
        Clause("block-slots", say("block_slots", slots=say.number(slots)), Weight(more="stronger", level=slots)),
    ]
    if draft.batch_edges:
        clauses.append(Clause("batches-seen", say("batches_seen"), Weight("weaker")))
    in_order = _in_order(subject)
    clauses.append(Clause("bits", say("bits_in_order" if in_order else "bits"), Weight(more="weaker", level=in_order)))
    if len(draft.maturities.editions) > 1:
        clauses.append(Clause("bits-full", say("bits_full"), Weight("weaker")))
    if draft.requesters:
        clauses.append(Clause("requests-seen", say("requests_seen"), Weight("weaker")))
    if draft.erasure is not None:
        clauses.append(Clause("erasure-seen", say("erasure_seen")))
    clauses.append(Clause("not-learnt", say("not_learnt")))
    return Section("nodes", tuple(clauses))


def withdrawal(subject: Subject, say: Words) -> Section:
    """What happens to the rows of who withdraws."""
    agreed = subject.draft.erasure
    by = [p.name for p in subject.draft.parties if any("withdrawal" in s.kinds for s in p.sources)]
    clauses = [
        Clause(
            "withdrawals-by", say("withdrawals_by", names=say.several(by)) if by else say("no_withdrawals"),
            Weight(more="stronger", level=frozenset(by)),
        ),
        Clause("zero", say("zero")),
    ]
    if agreed is None:
        clauses.append(Clause("no-erasure", say("no_erasure"), Weight("weaker")))
    else:
        delay = agreed.delay_panes
        longest = subject.draft.lattice.longest_scheduled
        clauses += [
            Clause("erasure", say("erasure_every", every=say.every(agreed.every_panes)),
                   Weight("stronger", "weaker", agreed.every_panes)),
            Clause("erasure-slots", say("erasure_slots", slots=say.number(agreed.batch_slots)),
                   Weight("stronger", "stronger", agreed.batch_slots)),
            Clause("erasure-delay", say("erasure_delay_default") if delay is None else say(
                "erasure_delay", panes=say.panes(delay),
            ), Weight("stronger", "weaker", longest if delay is None else delay)),
            Clause("erasure-within", say("erasure_within", days=say.days(agreed.within_days)),
                   Weight("stronger", "weaker", agreed.within_days)),
            Clause("erasure-receipt", say("erasure_receipt"), Weight("stronger")),
        ]
    return Section("withdrawal", (*clauses, Clause("stays", say("stays"))))


def assumed(_: Subject, say: Words) -> Section:
    """What protection rests on, whatever is agreed."""
    return Section("assumed", tuple(
        Clause(key.replace("_", "-"), say(key))
        for key in ("semi_honest", "no_collusion", "honest_inputs", "one_agreement", "chance")
    ))
