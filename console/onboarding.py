"""The agreement's way onto the embedded chain: every party signs what it itself computed, then it comes into force."""

from dataclasses import dataclass
from typing import Any

from console.keyring import CHAIN
from console.workdir import WorkDir
from evaluation.agreement import proposal
from evaluation.errors import Tampered
from evaluation.keys import read_secret
from infra.local.chain import DEV_KEY
from policy.chain.model import Deployment


@dataclass(frozen=True)
class Onboarded:
    """Where the agreement is."""

    url: str
    deployment: Deployment
    agreement_id: str

    def settings(self) -> dict[str, Any]:
        """For a process's configuration."""
        return {"url": self.url, "deployment": self.deployment.model_dump(), "agreement_id": self.agreement_id}


async def onboard(work: WorkDir, url: str, leave_out: str | None) -> Onboarded:
    """Deploy the registry, propose the terms, sign as every party except `leave_out`, and activate if all signed.

    Raises:
        policy.errors.ChainError: see policy.chain.
        Tampered: the chain has other contents than the parties computed.
    """
    from policy.chain.deployment import deploy, fund
    from policy.chain.registry import Registry
    from policy.chain.signing import address_of, agreement_id, new_key, sign_agreement

    terms = work.terms
    deployment = await deploy(url, DEV_KEY)
    operator = new_key()
    await fund(url, DEV_KEY, [
        address_of(operator), *(p.address for p in terms.parties), *(n.attestor for n in terms.nodes),
    ])
    contents = proposal(terms)
    expected = agreement_id(deployment, contents)
    async with Registry(url, deployment, operator) as registry:
        proposed = await registry.propose(contents)
        if proposed != expected:
            raise Tampered(f"the chain names the agreement {proposed[:16]}, its contents give {expected[:16]}")
        for party in terms.parties:
            if party.name != leave_out:
                signature = sign_agreement(deployment, contents, read_secret(work.keys(party.name) / CHAIN))
                await registry.relay(proposed, party.address, signature)
        if leave_out is None:
            key = read_secret(work.keys(terms.parties[0].name) / CHAIN)
            async with Registry(url, deployment, key) as first:
                await first.activate(proposed)
        await registry.wait_state(proposed, "proposed" if leave_out else "active")
    return Onboarded(url, deployment, proposed)


async def revoke(work: WorkDir, onboarded: Onboarded, party: str) -> None:
    """Revoke the agreement as one of its parties.

    Raises:
        policy.errors.ChainError: see policy.chain.
    """
    from policy.chain.registry import Registry

    key = read_secret(work.keys(party) / CHAIN)
    async with Registry(onboarded.url, onboarded.deployment, key) as registry:
        await registry.revoke(onboarded.agreement_id)

