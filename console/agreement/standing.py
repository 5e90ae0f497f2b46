"""What the chain says of an agreement: where it stands, and what the gate would say of a run."""

import json
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from console.asking import panes_between, window_dates
from console.errors import ConsoleError
from console.output import standard_output
from console.requested import Output, Verdict, present_checks
from evaluation.agreement import facts as facts_of
from evaluation.agreement import open_registry
from evaluation.config import AgreedSettings, load_settings, load_terms
from evaluation.errors import EXIT_ENDED, EXIT_REFUSED
from evaluation.spending import Spending
from policy.agreement import Terms
from policy.chain.model import AgreementView, At
from policy.gate import AgreementFacts, RunRequest, checked, state_phrase
from policy.privacy import in_rho
from policy.toml import MOST_DIGITS


@dataclass(frozen=True)
class Asked:
    """A run that is asked about; without KPIs or window: all KPIs, and no window."""

    kpis: tuple[str, ...] = ()
    window: str | None = None
    requester: str | None = None


def block_of(text: str) -> At:
    """`latest`, `finalized` or a number.

    Raises:
        ConsoleError: anything else.
    """
    if text == "latest":
        return "latest"
    if text == "finalized":
        return "finalized"
    if text.isdecimal() and len(text) <= MOST_DIGITS:
        return int(text)
    raise ConsoleError(f"--at {text}: expected latest, finalized or the number of a block.")


async def show(config: Path, at: str, *, as_json: bool) -> int:
    """Print where the agreement stands at a block.

    Raises:
        ConsoleError: no block.
        ConfigError, policy.errors.ChainError: see there.
    """
    settings, terms = _agreed(config)
    view, facts = await _read(settings, terms, block_of(at))
    with standard_output():
        if as_json:
            sys.stdout.write(json.dumps(as_document(terms, view, facts), indent=1, ensure_ascii=False) + "\n")
        else:
            for label, words in as_lines(terms, view, facts):
                Output().print(Text(f"{label:<12} ", style="dim").append(words, style="default"))
    return EXIT_ENDED


async def check(config: Path, asked: Asked, at: str, *, as_json: bool) -> int:
    """Print what every rule of the gate would say of a run at a block; nothing is sent.

    Raises:
        ConsoleError: no block, or the agreement has no such KPI or requester.
        Refused: it has no such window.
        ConfigError, policy.errors.ChainError: see there.
    """
    settings, terms = _agreed(config)
    request = _request(terms, asked)
    async with open_registry(settings.chain, terms) as registry:
        facts = facts_of(await registry.view(settings.chain.agreement_id, block_of(at)), terms)
        windows = [w for asked_for in request.windows if (w := terms.draft.lattice.at(*asked_for)) is not None]
        plans = [plan for plan in terms.plans if plan.hash in request.plan_hashes]
        spending = Spending.of(registry, settings.chain.agreement_id, terms, plans, windows)
        request = replace(request, owed=await spending.owed(facts.block_number))
    found = tuple(Verdict.of(rule, refusal) for rule, refusal in checked(terms, facts, request))
    passes = all(verdict.passes for verdict in found)
    with standard_output():
        if as_json:
            document = {
                "block": facts.block_number, "block_hash": facts.block_hash, "passes": passes,
                "verdicts": [verdict.model_dump(exclude={"nodes"}) for verdict in found],
            }
            sys.stdout.write(json.dumps(document, indent=1) + "\n")
        else:
            present_checks(found, facts.block_number)
    return EXIT_ENDED if passes else EXIT_REFUSED


async def history(config: Path, first: int, at: str, *, as_json: bool) -> int:
    """Print what happened to the agreement on the chain, in order.

    Raises:
        ConsoleError: no block.
        ConfigError, policy.errors.ChainError: see there.
    """
    if first < 0:
        raise ConsoleError(f"--first {first}: expected the number of a block.")
    settings, terms = _agreed(config)
    async with open_registry(settings.chain, terms) as registry:
        events = await registry.events(settings.chain.agreement_id, first, block_of(at))
    names = names_of(terms)
    with standard_output():
        if as_json:
            document = [
                {"event": e.name, "block": e.block_number, "block_hash": e.block_hash, "transaction": e.transaction,
                 **{key: names.get(str(value).lower(), value) for key, value in e.values.items() if key != "id"}}
                for e in events
            ]
            sys.stdout.write(json.dumps(document, indent=1) + "\n")
        elif not events:
            Output().print(f"No event of this agreement from block {first} up to {at}.", markup=False, highlight=False)
        else:
            for event in events:
                facts = ", ".join(
                    f"{key} {names.get(str(value).lower(), str(value)[:16])}"
                    for key, value in event.values.items() if key != "id"
                )
                Output().print(
                    Text(f"{event.block_number:>9} ", style="dim").append(event.name, style="bold default")
                    .append(f"  {facts}", style="default")
                )
    return EXIT_ENDED


def names_of(terms: Terms) -> dict[str, str]:
    """Address → who that is in the agreement."""
    return {
        **{party.address.lower(): party.name for party in terms.parties},
        **{requester.address.lower(): requester.name for requester in terms.requesters},
        **{node.attestor.lower(): f"node-{node.number}" for node in terms.nodes},
    }


def as_document(terms: Terms, view: AgreementView, facts: AgreementFacts) -> dict[str, Any]:
    """Where the agreement stands, for programs."""
    return {
        "state": view.state, "block": view.block_number, "block_hash": view.block_hash, "version": view.version,
        "terms_hash": terms.hash, "terms_agreed": view.terms_hash == terms.hash, "latest": view.latest,
        "supersedes": view.supersedes, "not_signed_by": list(facts.missing), "suspended_by": list(facts.suspended_by),
        "valid_from": _day(view.valid_from), "valid_before": _day(view.valid_until),
        "runs": {"used": view.runs_used, "quota": view.run_quota},
        "requesters": {
            name: {"used": used, "quota": quota.run_quota}
            for (name, used), quota in zip(facts.requester_runs.items(), view.requesters, strict=True)
        },
        "privacy_budget": {"spent": view.budget_spent, "most": view.privacy_budget},
    }


def as_lines(terms: Terms, view: AgreementView, facts: AgreementFacts) -> list[tuple[str, str]]:
    """The same for people: (what, how it is)."""
    lines = [("Agreement", terms.draft.title.en), ("State", state_phrase(facts))]
    if view.state == "unknown":
        return [*lines, ("Next", "propose it (winnow agreement propose), or correct agreement_id")]
    same = "these are the terms on the chain" if view.terms_hash == terms.hash else (
        f"NOT those on the chain, {view.terms_hash[:16]}: install the terms that the parties signed"
    )
    return [
        *lines, ("Terms", f"{terms.hash[:16]}; {same}"), ("Version", str(view.version)),
        ("Dates", f"from {_day(view.valid_from)}, until {_day(view.valid_until)} begins"),
        ("Runs", f"{view.runs_used} of {view.run_quota} used, by all versions"),
        *(
            ("Requester", f"{name}: {used} of {asker.run_quota} runs used")
            for (name, used), asker in zip(facts.requester_runs.items(), view.requesters, strict=True)
        ),
        *_privacy(view),
    ]


def _privacy(view: AgreementView) -> list[tuple[str, str]]:
    if not view.privacy_budget:
        return []
    return [("Privacy", f"ρ = {in_rho(view.budget_spent)} of {in_rho(view.privacy_budget)} spent, by all versions")]


def _agreed(config: Path) -> tuple[AgreedSettings, Terms]:
    settings = load_settings(config, AgreedSettings)
    return settings, load_terms(settings.terms)


async def _read(settings: AgreedSettings, terms: Terms, at: At) -> tuple[AgreementView, AgreementFacts]:
    async with open_registry(settings.chain, terms) as registry:
        view = await registry.view(settings.chain.agreement_id, at)
    return view, facts_of(view, terms)


def _request(terms: Terms, asked: Asked) -> RunRequest:
    known = {plan.kpi: plan.hash for plan in terms.plans}
    if strange := [kpi for kpi in asked.kpis if kpi not in known]:
        raise ConsoleError(f"--kpi {strange[0]}: the agreement does not compute it; it computes {', '.join(known)}.")
    names = [requester.name for requester in terms.draft.requesters]
    if asked.requester is not None and asked.requester not in names:
        raise ConsoleError(f"--requester {asked.requester}: the agreement names {', '.join(names) or 'nobody'}.")
    windows = () if asked.window is None else (panes_between(terms.draft, *window_dates(asked.window)),)
    hashes = tuple(sorted(known[kpi] for kpi in asked.kpis or known))
    return RunRequest(plan_hashes=hashes, windows=windows, requester=asked.requester)


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat() if seconds else "-"
