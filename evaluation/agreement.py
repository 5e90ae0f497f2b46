"""Reading the agreement from the chain, and what follows from it for this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from evaluation.config import ChainSettings
from evaluation.errors import Refused, Tampered
from evaluation.status import StatusLine
from policy.agreement import Terms
from policy.chain.model import AgreementView, At, Proposal, Requester
from policy.gate import AgreementFacts, Refusal, RunRequest, before
from policy.privacy import units

if TYPE_CHECKING:
    from policy.chain.registry import Registry


def proposal(terms: Terms) -> Proposal:
    """What the chain must know of these terms: who signs, attests and asks, how long, how much of what."""
    draft = terms.draft
    askers = (
        Requester(identity.address, drafted.runs)
        for identity, drafted in zip(terms.requesters, draft.requesters, strict=True)
    )
    return Proposal(
        terms_hash=terms.hash, parties=tuple(p.address for p in terms.parties),
        attestors=tuple(n.attestor for n in terms.nodes), valid_from=_midnight(draft.valid_from),
        valid_until=_midnight(draft.valid_until + timedelta(days=1)), run_quota=draft.quota.runs,
        requesters=tuple(sorted(askers, key=lambda asker: int(asker.account, 16))), supersedes=draft.supersedes,
        privacy_budget=0 if draft.quota.rho is None else units(draft.quota.rho),
    )


@asynccontextmanager
async def open_registry(
    chain: ChainSettings, terms: Terms, key: bytes | None = None
) -> AsyncIterator["Registry"]:
    """The pinned registry; web3 is loaded only here, since that takes half a second.

    Raises:
        Tampered: the configured agreement is not the one of these terms. Anybody can propose the same terms with
            only himself as a party; the id covers parties, attestors, requesters, dates and quotas.
    """
    from policy.chain.registry import Registry
    from policy.chain.signing import agreement_id

    check_id(chain, agreement_id(chain.deployment, proposal(terms)))
    async with Registry(chain.url, chain.deployment, key, finality=chain.finality) as registry:
        yield registry


def check_id(chain: ChainSettings, expected: str) -> None:
    """Refuse a configured agreement that is not the one of the terms; `expected`: the id that these have.

    Raises:
        Tampered: it is another one.
    """
    if chain.agreement_id != expected:
        raise Tampered(
            f"the configuration names agreement {chain.agreement_id[:16]}, these terms are agreement {expected[:16]}. "
            "Correct agreement_id, or install the terms that were signed."
        )


def facts(view: AgreementView, terms: Terms) -> AgreementFacts:
    """The chain's view in the gate's words; parties and requesters by name."""
    names = {identity.address.lower(): identity.name for identity in terms.parties}
    askers = {identity.address.lower(): identity.name for identity in terms.requesters}
    counted = zip(view.requesters, view.requester_runs, strict=True)
    return AgreementFacts(
        state=view.state, terms_hash=view.terms_hash,
        missing=tuple(names.get(address.lower(), address) for address in view.missing),
        block_number=view.block_number, block_time=datetime.fromtimestamp(view.block_time, UTC),
        runs_used=view.runs_used, run_quota=view.run_quota, block_hash=view.block_hash,
        suspended_by=tuple(names.get(address.lower(), address) for address in view.suspended_by), latest=view.latest,
        requester_runs={askers.get(asker.account.lower(), asker.account): runs for asker, runs in counted},
        version=view.version, privacy_budget=view.privacy_budget, budget_spent=view.budget_spent,
    )


async def read_facts(registry: "Registry", chain: ChainSettings, terms: Terms, at: At) -> AgreementFacts:
    """The agreement as the chain has it at one block.

    Raises:
        policy.errors.ChainError: the endpoint is not to be trusted or does not answer: a refusal.
    """
    return facts(await registry.view(chain.agreement_id, at), terms)


def requester_address(terms: Terms, name: str | None) -> str | None:
    """The address that a requester's runs are counted against; None of nobody's."""
    return next((identity.address for identity in terms.requesters if identity.name == name), None)


async def in_force(registry: "Registry", agreement: str) -> bool | None:
    """Whether the agreement is active at the newest block and the newest final one; None: it never will be again.

    Raises:
        policy.errors.ChainError: the endpoint is not to be trusted or does not answer.
    """
    latest = await registry.view(agreement, "latest")
    if latest.state in {"superseded", "revoked", "expired"}:
        return None
    return latest.state == "active" and (await registry.view(agreement, "finalized")).state == "active"


def in_words(refusal: Refusal) -> str:
    """A refusal as a sentence."""
    found = f"found {refusal.found}, " if refusal.found is not None else ""
    return f"{refusal.rule}: {found}required {refusal.required}. Next: {refusal.next_step}."


async def admission(chain: ChainSettings, terms: Terms, status: StatusLine) -> AgreementFacts:
    """Let a party go on only under an active agreement.

    Returns:
        What the chain says of it, at a final block.

    Raises:
        Refused: naming the first rule that refuses.
    """
    status.say("agreement")
    async with open_registry(chain, terms) as registry:
        found = await read_facts(registry, chain, terms, "finalized")
    refusals = before(terms, found, RunRequest(plan_hashes=(), windows=()))
    if refusals:
        raise Refused(in_words(refusals[0]))
    return found


def _midnight(day: date) -> int:
    """Unix seconds of the start of a day, UTC."""
    return int(datetime.combine(day, time(), UTC).timestamp())
