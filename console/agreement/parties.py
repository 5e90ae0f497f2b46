"""What an agreement says about who takes part, what each party shares, and whose keys are whose."""

from collections.abc import Iterator
from dataclasses import replace

from console.agreement.clause import NEUTRAL, Clause, Section, Weight
from console.agreement.measures import measure_clauses
from console.agreement.subject import Subject
from console.agreement.words import Words, plain
from policy.agreement import Party


def who(subject: Subject, say: Words) -> Section:
    """Its name, parties, nodes, recipients and requesters."""
    draft, terms = subject.draft, subject.terms
    clauses = [
        Clause("name", say("name", name=draft.name, title=say.of(draft.title)), NEUTRAL),
        *(Clause(f"party:{p.name}", say("party", name=p.name)) for p in draft.parties),
        Clause("pieces", say("pieces")),
    ]
    if terms is None:
        clauses.append(Clause("nodes", say("nodes_draft")))
    else:
        clauses += [
            Clause(f"node:{n.number}", say(
                "node", number=str(n.number), organisation=plain(n.organisation), endpoint=plain(n.endpoint),
            )) for n in terms.nodes
        ]
    clauses += [
        Clause(f"{role}:{one.name}", say(role, name=one.name), Weight("weaker"))
        for role, everyone in (("recipient", draft.recipients), ("requester", draft.requesters)) for one in everyone
    ]
    return Section("who", tuple(clauses))


def shared(subject: Subject, say: Words) -> Section:
    """Each party's sources, wait and measures."""
    draft = subject.draft
    clauses = [Clause("per-pane", say("per_pane")), Clause("link-key", say("link_key"))]
    for party in draft.parties:
        said = [*_delivery(party, say), *measure_clauses(draft.party_measures(party.name), say)]
        clauses += [replace(clause, about=party.name) for clause in said]
    return Section("shared", tuple(clauses))


def _delivery(party: Party, say: Words) -> Iterator[Clause]:
    for source in party.sources:
        kinds = say.several([say(f"kind_{kind}") for kind in source.kinds])
        text = say("source", name=source.name, kinds=kinds)
        if source.bound_days:
            text = f"{text} {say('source_bound', days=say.days(source.bound_days))}"
        yield Clause(f"source:{party.name}:{source.name}", text, NEUTRAL)
    wait = say("grace", name=party.name, panes=say.panes(party.grace_panes)) if party.grace_panes else say(
        "no_grace", name=party.name,
    )
    yield Clause(f"grace:{party.name}", wait, NEUTRAL)


def keys(subject: Subject, say: Words) -> Section:
    """Every key of signed terms; none of a draft."""
    terms = subject.terms
    if terms is None:
        return Section("keys", ())
    clauses = []
    for party in terms.parties:
        clauses += [
            Clause(f"key:{party.name}:address", say("key_address", name=party.name, key=party.address)),
            Clause(f"key:{party.name}:batches", say("key_batches", name=party.name, key=party.batch_key)),
        ]
    for node in terms.nodes:
        number = str(node.number)
        clauses += [
            Clause(f"key:node-{number}:{what}", say(f"key_{what}", number=number, key=key)) for what, key in (
                ("certificate", node.certificate), ("node_sealing", node.sealing_key), ("records", node.record_key),
                ("attestor", node.attestor),
            )
        ]
    clauses += [
        Clause(f"key:{r.name}:sealing", say("key_sealing", name=r.name, key=r.sealing_key)) for r in terms.recipients
    ]
    clauses += [
        Clause(f"key:{r.name}:requests", say("key_requests", name=r.name, key=r.address)) for r in terms.requesters
    ]
    return Section("keys", tuple(clauses))
