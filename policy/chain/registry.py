"""The agreement registry, as nodes and parties use it: reads (policy.chain.reader) and transactions.

Transactions return once they are mined and are safe to repeat: what is already as asked is not an error.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from eth_utils.address import to_checksum_address

from policy.chain.codec import encode_call, struct
from policy.chain.errors import ChainRefusal
from policy.chain.finality import CLIENTS_OWN, MAX_HEAD_AGE_SECONDS, Finality
from policy.chain.model import NOBODY, STAGES, STATES, Attested, Deployment, Proposal, to_bytes32
from policy.chain.reader import REQUEST_TIMEOUT_SECONDS, RegistryReader, chunks
from policy.chain.sender import Sender
from policy.chain.signing import address_of, agreement_id, agreement_signer, content_of, sign_agreement
from policy.chain.wallet import malformed, refused_by
from policy.errors import ChainError

# Limits, not costs: about twice or more of what docs/measurements.md lists.
_GAS_PROPOSE, _GAS_PROPOSE_ACCOUNT = 400_000, 60_000
_GAS_SIGN = 300_000
_GAS_SIGN_CONTRACT = 3_000_000
"""A contract that is a party spends what it needs to check a signature: many owners, say."""
_GAS_ACTIVATE = 300_000
_GAS_STATE = 150_000
_GAS_AUTHORISE, _GAS_AUTHORISE_RUN = 200_000, 80_000
_GAS_FIND_REQUESTER = 300_000
_GAS_RELEASE = 150_000
_GAS_RECORD = 200_000


class Registry(RegistryReader):
    """A registry that `key` sends transactions to and pays for, None only reads; otherwise like RegistryReader."""

    def __init__(
        self, url: str, deployment: Deployment, key: bytes | None = None,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        max_head_age_seconds: float = MAX_HEAD_AGE_SECONDS, finality: Finality = CLIENTS_OWN,
    ) -> None:
        super().__init__(url, deployment, timeout_seconds, max_head_age_seconds, finality)
        self._sender = None if key is None else Sender(self._endpoint, key, deployment.chain_id)

    async def propose(self, proposal: Proposal) -> str:
        """Write an agreement down; returns its id.

        Raises:
            ChainError: see policy.chain.errors.
        """
        expected = agreement_id(self.deployment, proposal)
        lists = len(proposal.parties) + len(proposal.attestors) + len(proposal.requesters)
        await self._send_once(
            _rule("AgreementExists"), "propose", _GAS_PROPOSE + _GAS_PROPOSE_ACCOUNT * lists,
            struct("propose", content_of(proposal)),
        )
        return expected

    async def sign(self, agreement: str, party_key: bytes) -> None:
        """Sign as a party and bring the signature in; this registry's own key pays.

        The signature is over contents that hash to `agreement`: pass an id that the party computed from its own
        terms (policy.chain.signing.agreement_id).

        Raises:
            ChainError: see policy.chain.errors.
        """
        view = await self.view(agreement, "latest")
        if view.state == "unknown":
            raise ChainRefusal("AgreementUnknown", {"id": agreement}, "sign")
        signature = sign_agreement(self.deployment, view.proposal, party_key)
        await self.relay(agreement, address_of(party_key), signature)

    async def relay(self, agreement: str, party: str, signature: bytes) -> None:
        """Bring in a signature that a party made elsewhere (policy.chain.signing.sign_agreement).

        Raises:
            ChainError: see policy.chain.errors.
        """
        gas = _GAS_SIGN_CONTRACT if await self.is_contract(party) else _GAS_SIGN
        await self._send_once(
            _rule("AlreadySigned"), "sign", gas, to_bytes32(agreement), to_checksum_address(party), signature
        )

    async def unfit(self, proposal: Proposal, party: str, signature: bytes) -> str | None:
        """Why a signature of a party would be refused now, as found and what to do; None: it would be taken.

        Asked is what the contract asks (OpenZeppelin's SignatureChecker): a party with code is asked by ERC-1271.

        Args:
            proposal: the agreement's content, from the party's own terms.
            party: its address.
            signature: as it was made elsewhere.

        Raises:
            ChainError: see policy.chain.errors.
        """
        await self.block("latest")
        if await self.is_contract(party):
            digest = to_bytes32(agreement_id(self.deployment, proposal))
            return await refused_by(self._endpoint, party, digest, signature)
        signer = agreement_signer(self.deployment, proposal, signature)
        if signer is None:
            return malformed(signature)
        if signer.lower() != party.lower():
            return (
                f"it is that of {signer} if it is of these terms, expected that of {party}; sign these terms, for this "
                "chain and registry, with the party's own key"
            )
        return None

    async def is_contract(self, address: str) -> bool:
        """Whether an address has code, at the newest block.

        Raises:
            ChainError: see policy.chain.errors.
        """
        return bool(await self._endpoint.data("eth_getCode", to_checksum_address(address), "latest"))

    async def activate(self, agreement: str) -> None:
        """Bring an agreement that all have signed into force; this registry's key must be a party's.

        What it supersedes is superseded then.

        Raises:
            ChainError: see policy.chain.errors.
        """
        in_force = {STATES.index("active"), STATES.index("suspended")}
        await self._send_once(
            lambda error: error.rule == "AgreementNotInState" and error.found.get("found") in in_force,
            "activate", _GAS_ACTIVATE, to_bytes32(agreement),
        )

    async def suspend(self, agreement: str) -> None:
        """Stop authorisations until the same party resumes; this registry's key must be a party's.

        Raises:
            ChainError: see policy.chain.errors.
        """
        await self._send_once(_rule("AlreadySuspended"), "suspend", _GAS_STATE, to_bytes32(agreement))

    async def resume(self, agreement: str) -> None:
        """End this party's suspension.

        Raises:
            ChainError: see policy.chain.errors.
        """
        await self._send_once(_rule("NotSuspended"), "resume", _GAS_STATE, to_bytes32(agreement))

    async def revoke(self, agreement: str) -> None:
        """End the agreement for good; this registry's key must be a party's.

        Raises:
            ChainError: see policy.chain.errors.
        """
        revoked = STATES.index("revoked")
        await self._send_once(
            lambda error: error.rule == "AgreementEnded" and error.found.get("found") == revoked,
            "revoke", _GAS_STATE, to_bytes32(agreement),
        )

    async def authorise(
        self, agreement: str, runs: Sequence[str], requester: str | None = None, budget: int = 0,
        sent: Callable[[], None] | None = None,
    ) -> None:
        """Authorise runs; those that are authorised already are not counted again, released ones are.

        Args:
            agreement: its id.
            runs: their ids.
            requester: the address on whose demand they are made; None: on schedule.
            budget: what each of them may spend of the privacy budget.
            sent: called for every transaction (RUNS_PER_CALL runs) that is on its way.

        Raises:
            ChainError: see policy.chain.errors. Runs of other transactions of the same call may be authorised.
        """
        asker = NOBODY if requester is None else to_checksum_address(requester)
        gas = _GAS_AUTHORISE if requester is None else _GAS_AUTHORISE + _GAS_FIND_REQUESTER
        ended = await asyncio.gather(*(
            self._send(
                "authorise", gas + _GAS_AUTHORISE_RUN * len(chunk), to_bytes32(agreement),
                [(to_bytes32(run), asker, budget) for run in chunk], sent=sent,
            )
            for chunk in chunks(runs)
        ), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error

    async def release(self, agreement: str, run: str, sequence: int) -> None:
        """State that this node opened nothing of a run under this authorisation, and never will.

        Raises:
            ChainRefusal: somebody attested, or it was authorised again since.
            ChainError: see policy.chain.errors.
        """
        released = STAGES.index("released")
        await self._send_once(
            lambda error: error.rule == "AlreadyGivenUp"
            or (error.rule == "RunNotInStage" and error.found.get("found") == released),
            "release", _GAS_RELEASE, to_bytes32(agreement), to_bytes32(run), sequence,
        )

    async def attest(
        self, agreement: str, run: str, block_hash: str, transcript: str, sent: Callable[[], None] | None = None
    ) -> None:
        """Record what this node computed in an authorised run, once.

        Args:
            agreement: its id.
            run: its id.
            block_hash: the final block at which this node found the run permitted.
            transcript: the hash of what it computed.
            sent: called when the transaction is on its way; not if the attestation stands already.

        Raises:
            ChainRefusal: not authorised, given up, not an attestor, or another attestation stands.
            ChainError: see policy.chain.errors.
        """
        try:
            await self._send(
                "attest", _GAS_RECORD, to_bytes32(agreement), to_bytes32(run), to_bytes32(block_hash),
                to_bytes32(transcript), sent=sent,
            )
        except ChainRefusal as error:
            mine = Attested(block_hash, transcript)
            if error.rule != "AlreadyAttested" or await self._attested(agreement, run) != mine:
                raise

    async def commit(self, agreement: str, run: str, root: str) -> None:
        """Record the root of an attested run's outputs, once.

        Raises:
            ChainRefusal: not attested, not an attestor, or another root stands.
            ChainError: see policy.chain.errors.
        """
        try:
            await self._send("commit", _GAS_RECORD, to_bytes32(agreement), to_bytes32(run), to_bytes32(root))
        except ChainRefusal as error:
            if error.rule != "AlreadyCommitted" or (await self.run(agreement, run, "latest")).commitment != root:
                raise

    async def _attested(self, agreement: str, run: str) -> Attested | None:
        return await self.attestation(agreement, run, self._writer.address, "latest")

    @property
    def _writer(self) -> Sender:
        if self._sender is None:
            raise ChainError("found no key to send transactions with; open the registry with one.")
        return self._sender

    async def _send(
        self, function: str, gas: int, *arguments: Any, sent: Callable[[], None] | None = None
    ) -> None:
        await self.block("latest")  # chain and code are the pinned ones, before anything is signed for them
        await self._writer.send(function, self.deployment.address, encode_call(function, *arguments), gas, sent=sent)

    async def _send_once(self, done: Callable[[ChainRefusal], bool], function: str, gas: int, *arguments: Any) -> None:
        """Send; `done` tells of a refusal whether it says that all is as asked."""
        try:
            await self._send(function, gas, *arguments)
        except ChainRefusal as error:
            if not done(error):
                raise


def _rule(name: str) -> Callable[[ChainRefusal], bool]:
    return lambda error: error.rule == name
