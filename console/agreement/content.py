"""What an agreement says about its purpose, what is computed, and who reads, asks for or is told of it."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import ceil, log10
from typing import get_args

from console.agreement.clause import NEUTRAL, Clause, Section, Weight
from console.agreement.subject import Subject
from console.agreement.vocabulary import term_in_words
from console.agreement.words import Words, plain
from policy.kpi import Kpi, ValueUnit
from policy.plan import Plan
from policy.privacy import units


def why(subject: Subject, say: Words) -> Section:
    """Purposes and data categories."""
    found = []
    for key, terms in (("purpose", subject.draft.purposes), ("category", subject.draft.data_categories)):
        said = {term: say(key, term=term_in_words(term, say)) for term in terms}
        found += [Clause(f"{key}:{term}", text, Weight("weaker")) for term, text in said.items()]
    return Section("why", tuple(found))


def computed(subject: Subject, say: Words) -> Section:
    """Every KPI: how it is calculated, in which groups, and what of it comes out."""
    clauses = []
    for plan in subject.plans:
        about = _title(subject, plan.kpi, say)
        clauses += [replace(clause, about=about) for clause in _kpi(subject, plan, say)]
    return Section("computed", tuple(clauses))


def _kpi(subject: Subject, plan: Plan, say: Words) -> Iterator[Clause]:
    program, key = subject.program(plan.kpi), f"kpi:{plan.kpi}"
    yield Clause(key, " ".join(_calculation(subject, plan, say)), Weight("weaker"))
    names = [subject.measure(column.name).name for column in plan.contributors]
    yield Clause(f"{key}:counted", say("counted", names=say.quoted(names)), Weight("weaker"))
    if plan.cap is not None:
        yield Clause(f"{key}:cap", say("cap", cap=say.euros(plan.cap)), Weight(level=plan.cap))
    cells = frozenset(str(s.cell) for s in plan.strata)
    yield Clause(f"{key}:groups", _groups(plan, program, say), Weight("weaker", "weaker", cells))
    said = [say(f"output_{output}") for output in plan.outputs]
    if plan.bases:
        said = [say("output_rounded_sums", bases=say.several([say.number(base) for base in plan.bases]))]
    yield Clause(
        f"{key}:outputs", say("outputs", outputs=say.several(said)),
        Weight("weaker", "weaker", frozenset(plan.outputs)),
    )
    digits = say.number(int(plan.significant_bits * log10(2)))
    yield Clause(
        f"{key}:rounding", say("rounding", bits=say.number(plan.significant_bits), digits=digits),
        Weight("weaker", "weaker", plan.significant_bits),
    )
    if {"sums", "interval"} <= set(plan.outputs):
        yield Clause(f"{key}:sums-and-interval", say("sums_and_interval"), Weight("weaker"))
    yield from _privacy(plan, key, say)
    if program is not None:
        words = say("makers_words", description=say.of(program.description))
        yield Clause(f"{key}:makers-words", words, binding=False)


def _privacy(plan: Plan, key: str, say: Words) -> Iterator[Clause]:
    agreed = plan.privacy
    if agreed is None:
        return
    yield Clause(f"{key}:privacy", say(
        "privacy", rho=say.decimal(agreed.rho), delta=say.decimal(agreed.delta),
        epsilon=say.decimal(f"{ceil(100 * agreed.epsilon) / 100:.2f}"),
    ), Weight("stronger", "weaker", units(agreed.rho)))
    yield Clause(f"{key}:privacy-covers", say("privacy_covers"), Weight("stronger"))
    yield Clause(f"{key}:privacy-not", say("privacy_not"), NEUTRAL)
    yield Clause(
        f"{key}:privacy-interval",
        say("privacy_interval", groups=say.number(plan.groups)) if plan.groups > 1 else say("privacy_no_interval"),
        NEUTRAL,
    )


def _calculation(subject: Subject, plan: Plan, say: Words) -> Iterator[str]:
    arms = [subject.measure(arm.name).name for arm in plan.arms]
    yield say(
        plan.estimator, time=subject.measure(plan.time.name).name, exposed=arms[0], comparator=arms[-1],
        outcome=subject.measure(plan.outcome[0].name).name if plan.outcome else "",
    )
    yield say("unit", unit=_unit(plan, say))
    scale = Fraction(plan.scale_numerator, plan.scale_denominator)
    if scale != 1:
        yield say("scale", scale=f"{plan.scale_numerator}/{plan.scale_denominator}")


def _unit(plan: Plan, say: Words) -> str:
    return say(f"unit_{plan.unit}") if plan.unit in get_args(ValueUnit) else plain(plan.unit)


def _groups(plan: Plan, program: Kpi | None, say: Words) -> str:
    names = {} if program is None else program.names
    values, dimension = [], ""
    for stratum in plan.strata:
        if stratum.column is None:
            continue
        ((dimension, value),) = stratum.cell.items()
        said = names.get(f"{dimension}:{value}")
        values.append(
            say("group", value=value, measure=stratum.column.name) if said is None
            else say("named_group", name=say.of(said), value=value, measure=stratum.column.name)
        )
    if not values:
        return say("no_groups")
    named = names.get(dimension)
    shown = dimension if named is None else say("named_dimension", name=say.of(named), dimension=dimension)
    return say("groups", dimension=shown, values=say.several(values))


def _title(subject: Subject, kpi: str, say: Words) -> str:
    program = subject.program(kpi)
    return kpi if program is None else say("kpi", title=say.of(program.title), id=kpi)


def readers(subject: Subject, say: Words) -> Section:
    """Which recipient reads which KPIs."""
    clauses = [Clause("readers-only", say("readers_only"))]
    for recipient in subject.draft.recipients:
        kpis = frozenset(recipient.kpis)
        text = say("reads", name=recipient.name, kpis=say.quoted(recipient.kpis)) if kpis else say(
            "reads_nothing", name=recipient.name,
        )
        clauses.append(Clause(f"reads:{recipient.name}", text, Weight("weaker", "weaker", kpis)))
    return Section("readers", tuple(clauses))


def asking(subject: Subject, say: Words) -> Section:
    """Who may ask for which windows, and how often."""
    clauses = []
    for requester in subject.draft.requesters:
        about = f"asks:{requester.name}"
        clauses += [
            Clause(about, say("asks", name=requester.name, recipient=requester.recipient), Weight("weaker")),
            Clause(
                f"{about}:runs", say("asks_runs", name=requester.name, runs=say.number(requester.runs)),
                Weight("weaker", "weaker", requester.runs),
            ),
        ]
    on_demand = subject.draft.on_demand
    if not clauses:
        clauses.append(Clause("nobody-asks", say("nobody_asks"), Weight("stronger")))
    largest = 0 if on_demand is None else on_demand.largest
    if largest or subject.draft.requesters:
        text = say("largest", panes=say.panes(largest)) if largest else say("scheduled_only")
        clauses.append(Clause("on-demand", text, Weight("weaker", "weaker", largest)))
    return Section("asking", tuple(clauses))


def alerts(subject: Subject, say: Words) -> Section:
    """Which bound tells whom."""
    clauses = []
    units = {plan.kpi: _unit(plan, say) for plan in subject.plans}
    for alert in subject.draft.alerts:
        cell = [say("cell", dimension=plain(d), value=plain(v)) for d, v in alert.cell.items()]
        other = "below" if alert.when == "above" else "above"
        text = say(
            "alert", id=alert.id, recipient=alert.recipient, kpi=f"“{plain(alert.kpi)}”",
            cell=say.several(cell) or say("all_patients"), raise_at=say.decimal(alert.raise_at),
            clear_at=say.decimal(alert.clear_at), when=say(alert.when), unless=say(other),
            unit=units[alert.kpi],
        )
        clauses.append(Clause(f"alert:{alert.id}", text, Weight("weaker")))
    closing = say("alert_out") if clauses else say("no_alerts")
    return Section("alerts", (*clauses, Clause("alert-out", closing, NEUTRAL)))
