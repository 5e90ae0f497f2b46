"""Reading the agreement from the chain, and what follows from it for this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evaluation.config import ChainSettings
from evaluation.errors import Refused
from evaluation.status import StatusLine
from policy.agreement import Terms
from policy.chain.model import AgreementView, At
from policy.gate import AgreementFacts, Refusal, RunRequest, before

if TYPE_CHECKING:
    from policy.chain.registry import Registry


@asynccontextmanager
async def open_registry(chain: ChainSettings, key: bytes | None = None) -> AsyncIterator["Registry"]:
    """The pinned registry; web3 is loaded only here, since that takes most of a second."""
    from policy.chain.registry import Registry

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
    async with open_registry(chain) as registry:
        found = await read_facts(registry, chain, terms, "finalized")
    refusals = before(terms, found, RunRequest(plan_hashes=(), windows=()))
    if refusals:
        raise Refused(in_words(refusals[0]))
