"""What is done with whose data, for what, by whom, and why that much is needed: GDPR article 35(7)(a) and (b)."""

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from console.agreement.clause import SectionId
from console.agreement.dpia.blocks import Block, Cell, Line, Part, Report, Table, lines_of
from console.agreement.words import plain
from policy.agreement import Party
from policy.identity import NODES
from policy.measure import Measure

DESCRIBED: Final[tuple[SectionId, ...]] = (
    "who", "computed", "never", "periods", "patients", "late", "asking", "alerts", "ends",
)


def described(report: Report) -> Part:
    """The systematic description: what the summary of the agreement says."""
    blocks = [Block("", report.said("dpia_subjects"))]
    for section in DESCRIBED:
        for about, clauses in groupby(report.clauses(section), lambda clause: clause.about):
            heading = report.say(section)
            blocks.append(Block(f"{heading}: {about}" if about else heading, lines_of(clauses)))
    blocks.append(Block(report.say("dpia_context"), report.open("dpia_open_context")))
    return Part("described", tuple(blocks))


def purposes(report: Report) -> Part:
    """Purposes, and the legal basis, of which an agreement says nothing."""
    basis = (
        *report.silent("dpia_no_basis"), *report.open("dpia_open_basis"), *report.open("dpia_open_health"),
        *report.open("dpia_open_number"),
    )
    return Part("purposes", (
        Block(report.say("dpia_purposes_are"), report.quote("why", "purpose")), Block(report.say("dpia_basis"), basis),
    ))


def roles(report: Report) -> Part:
    """Who is who; who is controller or processor people have to say."""
    head = tuple(report.say(f"dpia_{column}") for column in ("name", "role", "sees", "controller"))
    rows = tuple((*row, report.open("dpia_open_controller", name=name)) for name, row in _roles(report))
    return Part("roles", (
        Block("", (*report.silent("dpia_no_controllers"), *report.open("dpia_open_contracts"))),
        Table(report.say("dpia_roles_table"), head, rows),
    ))


def _roles(report: Report) -> Iterator[tuple[str, tuple[Cell, Cell, Cell]]]:
    """What everybody is called within a sentence, and: the name, the role, what is seen."""
    draft, terms, said = report.draft, report.subject.terms, report.said
    for party in draft.parties:
        yield party.name, ((Line(party.name),), said("dpia_party"), said("dpia_party_sees"))
    for number in range(NODES):
        name = report.say("dpia_runs_node", number=str(number))
        if terms is None:
            who = (Line(name), *report.silent("dpia_node_unnamed"))
        else:
            who = (Line(f"{name}: {plain(terms.nodes[number].organisation)}"),)
        named = report.say("dpia_a_node", number=str(number))
        yield named, (who, said("dpia_node_role"), said("dpia_node_sees"))
    for recipient in draft.recipients:
        reads = report.quote("readers", f"reads:{recipient.name}")
        told = tuple(alert.id for alert in draft.alerts if alert.recipient == recipient.name)
        alerts = said("dpia_told", alerts=report.say.quoted(told)) if told else ()
        yield recipient.name, ((Line(recipient.name),), said("dpia_recipient"), (*reads, *alerts))
    for requester in draft.requesters:
        sees = said("dpia_requester_sees", recipient=requester.recipient)
        yield requester.name, ((Line(requester.name),), said("dpia_requester"), sees)


def flows(report: Report) -> Part:
    """Kinds of data, and what leaves each party in which form for whom."""
    draft, say = report.draft, report.say
    head = tuple(say(f"dpia_{column}") for column in ("party_column", "read", "shares", "goes_to"))
    rows = tuple(
        ((Line(party.name),), _read(report, party), _leaves(report, draft.party_measures(party.name)),
         report.said("dpia_to_nodes"))
        for party in draft.parties
    )
    return Part("flows", (
        Block(say("dpia_categories"), (*report.quote("why", "category"), *report.said("dpia_special"))),
        Block(say("dpia_form"), (*report.quote("shared", "per-pane", "link-key"), *report.quote("who", "pieces"))),
        Table(say("dpia_flows_table"), head, rows),
        *(
            Block(say("dpia_numbers_of", name=party.name), report.quote("shared", *(
                f"{kind}:{party.name}" for kind in ("source", "measure", "category", "grace")
            ))) for party in draft.parties
        ),
        Block(say("dpia_onward"), (
            *lines_of(report.clauses("nodes")), *report.quote("readers", "readers-only"),
            *report.said("dpia_on_chain"),
        )),
    ))


def _read(report: Report, party: Party) -> Cell:
    kinds = dict.fromkeys(kind for source in party.sources for kind in source.kinds)
    return report.said("dpia_kinds", kinds=report.say.several([report.say(f"kind_{kind}") for kind in kinds]))


def _leaves(report: Report, measures: tuple[Measure, ...]) -> Cell:
    if not measures:
        return report.said("dpia_leaves_key")
    return report.said("dpia_leaves", count=report.say.number(len(measures)))


def need(report: Report) -> Part:
    """Necessity and proportionality: which number serves which KPI, and how much is computed at most."""
    say, used = report.say, needed_for(report)
    head = (say("dpia_number"), say("dpia_party_column"), say("dpia_needed_for"))
    rows = tuple(
        ((Line(f"“{measure.name}”"),), (Line(measure.party),),
         report.said("dpia_for", kpis=say.quoted(used[measure.name])) if used[measure.name]
         else report.open("dpia_open_unneeded", name=measure.name))
        for measure in report.draft.measures
    )
    quota = (
        *report.quote("periods", "grid", "windows", "scheduled"), *report.quote("ends", "quota", "needed"),
        *report.quote("asking", "on-demand", "nobody-asks"),
    )
    return Part("need", (
        Block(say("dpia_minimised"), (*report.said("dpia_only_these"), *report.quote("never", "never-records"))),
        Table(say("dpia_need_table"), head, rows),
        Block(say("dpia_how_much"), quota),
        Block(say("dpia_precision"), report.quote("computed", *(
            f"kpi:{plan.kpi}:{what}" for plan in report.subject.plans for what in ("outputs", "groups", "rounding")
        ))),
        Block(say("dpia_weighed"), (
            *report.open("dpia_open_necessity"), *report.open("dpia_open_less"), *report.open("dpia_open_benefit"),
        )),
    ))


def needed_for(report: Report) -> dict[str, list[str]]:
    """Measure → the KPIs that need it, by themselves or through another measure."""
    subject = report.subject
    of = {m.name: [name for name in (m.of, m.at_risk) if name] for m in subject.draft.measures}
    found: dict[str, list[str]] = {name: [] for name in of}
    for plan in subject.plans:
        used = {subject.measure(column.name).name for column in plan.columns}
        while more := {name for one in used for name in of[one]} - used:
            used |= more
        for name in used:
            found[name].append(plan.kpi)
    return found
