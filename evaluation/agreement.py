"""Reading the agreement from the chain, and what follows from it for this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from evaluation.config import ChainSettings
from evaluation.errors import Refused, Tampered
from evaluation.status import StatusLine
from policy.agreement import Terms
from policy.chain.model import AgreementView, At, Proposal
from policy.gate import AgreementFacts, Refusal, RunRequest, before

if TYPE_CHECKING:
    from policy.chain.registry import Registry


def proposal(terms: Terms) -> Proposal:
    """What the chain must know of these terms: who signs, who attests, how long, how many runs."""
    draft = terms.draft
    return Proposal(
        terms_hash=terms.hash, parties=tuple(p.address for p in terms.parties),
        attestors=tuple(n.attestor for n in terms.nodes), valid_from=_midnight(draft.valid_from),
        valid_until=_midnight(draft.valid_until + timedelta(days=1)), run_quota=draft.quota.runs,
    )


@asynccontextmanager
async def open_registry(
    chain: ChainSettings, terms: Terms, key: bytes | None = None
) -> AsyncIterator["Registry"]:
    """The pinned registry; web3 is loaded only here, since that takes most of a second.

    Raises:
        Tampered: the configured agreement is not the one of these terms. Anybody can propose the same terms with
            only himself as a party; the id covers parties, attestors, dates and quota.
    """
    from policy.chain.registry import Registry
    from policy.chain.signing import agreement_id

    expected = agreement_id(chain.deployment, proposal(terms))
    if chain.agreement_id != expected:
        raise Tampered(
            f"the configuration names agreement {chain.agreement_id[:16]}, these terms are agreement {expected[:16]}. "
            "Correct agreement_id, or install the terms that were signed."
        )
    async with Registry(chain.url, chain.deployment, key) as registry:
        yield registry


def facts(view: AgreementView, terms: Terms) -> AgreementFacts:
    """The chain's view in the gate's words; parties by name."""
    names = {p.address.lower(): p.name for p in terms.parties}
    return AgreementFacts(
        state=view.state, terms_hash=view.terms_hash,
        missing=tuple(names.get(address.lower(), address) for address in view.missing),
        block_number=view.block_number, block_time=datetime.fromtimestamp(view.block_time, UTC),
        runs_used=view.runs_used, run_quota=view.run_quota,
    )


async def read_facts(registry: "Registry", chain: ChainSettings, terms: Terms, at: At) -> AgreementFacts:
    """The agreement as the chain has it at one block.

    Raises:
        policy.errors.ChainError: the endpoint is not to be trusted or does not answer: a refusal.
    """
    return facts(await registry.view(chain.agreement_id, at), terms)


def in_words(refusal: Refusal) -> str:
    """A refusal as a sentence."""
    found = f"found {refusal.found}, " if refusal.found is not None else ""
    return f"{refusal.rule}: {found}required {refusal.required}. Next: {refusal.next_step}."


async def admission(chain: ChainSettings, terms: Terms, status: StatusLine) -> None:
    """Let a party go on only under an active agreement.

    Raises:
        Refused: naming the first rule that refuses.
    """
    status.say("agreement")
    async with open_registry(chain, terms) as registry:
        found = await read_facts(registry, chain, terms, "finalized")
    refusals = before(terms, found, RunRequest(plan_hashes=(), windows=()))
    if refusals:
        raise Refused(in_words(refusals[0]))


def _midnight(day: date) -> int:
    """Unix seconds of the start of a day, UTC."""
    return int(datetime.combine(day, time(), UTC).timestamp())
