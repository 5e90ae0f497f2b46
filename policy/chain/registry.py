"""The agreement registry, as nodes and parties use it: reads (policy.chain.reader) and transactions.

Transactions return once they are mined and are safe to repeat: what is already as asked is not an error.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from eth_utils.address import to_checksum_address

from policy.chain.codec import encode_call
from policy.chain.errors import ChainRefusal
from policy.chain.model import Deployment, Proposal, to_bytes32
from policy.chain.reader import MAX_HEAD_AGE_SECONDS, REQUEST_TIMEOUT_SECONDS, RegistryReader, chunks
from policy.chain.sender import Sender
from policy.chain.signing import address_of, agreement_id, sign_agreement
from policy.errors import ChainError

# Limits, not costs: about twice or more of what docs/adr/0002-immutable-registry.md lists.
_GAS_PROPOSE, _GAS_PROPOSE_ACCOUNT = 300_000, 60_000
_GAS_SIGN = 300_000
_GAS_REVOKE = 100_000
_GAS_AUTHORISE, _GAS_AUTHORISE_RUN = 150_000, 60_000
_GAS_RECORD = 150_000


class Registry(RegistryReader):
    """A registry that `key` sends transactions to and pays for, None only reads; otherwise like RegistryReader."""

    def __init__(
        self, url: str, deployment: Deployment, key: bytes | None = None,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        max_head_age_seconds: float = MAX_HEAD_AGE_SECONDS,
    ) -> None:
        super().__init__(url, deployment, timeout_seconds, max_head_age_seconds)
        self._sender = None if key is None else Sender(self._endpoint, key, deployment.chain_id)

    async def propose(
        self, terms_hash: str, parties: Sequence[str], attestors: Sequence[str], valid_from: int, valid_until: int,
        run_quota: int,
    ) -> str:
        """Write an agreement down.

        Args:
            terms_hash: 64 hexadecimal digits.
            parties: addresses whose signatures it needs, at most 8.
            attestors: the nodes' addresses, at most 8.
            valid_from: Unix seconds, the first at which runs may be authorised.
            valid_until: Unix seconds, the first at which they no longer may.
            run_quota: most runs ever.

        Returns:
            The agreement's id.

        Raises:
            ChainError: see policy.chain.errors.
        """
        proposal = Proposal(terms_hash, tuple(parties), tuple(attestors), valid_from, valid_until, run_quota)
        expected = agreement_id(self.deployment, proposal)
        gas = _GAS_PROPOSE + _GAS_PROPOSE_ACCOUNT * (len(parties) + len(attestors))
        await self._send_once(
            "AgreementExists", "propose", gas, to_bytes32(terms_hash), list(map(to_checksum_address, parties)),
            list(map(to_checksum_address, attestors)), valid_from, valid_until, run_quota,
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
        await self._send_once(
            "AlreadySigned", "sign", _GAS_SIGN, to_bytes32(agreement), to_checksum_address(party), signature
        )

    async def revoke(self, agreement: str) -> None:
        """End the agreement for good; this registry's key must be a party's.

        Raises:
            ChainError: see policy.chain.errors.
        """
        await self._send_once("AgreementNotInState", "revoke", _GAS_REVOKE, to_bytes32(agreement))

    async def authorise(
        self, agreement: str, runs: Sequence[str], sent: Callable[[], None] | None = None
    ) -> None:
        """Authorise runs; those that are authorised already are not counted again.

        `sent` is called for every transaction (RUNS_PER_CALL runs) that is on its way.

        Raises:
            ChainError: see policy.chain.errors. Runs of other transactions of the same call may be authorised.
        """
        ended = await asyncio.gather(*(
            self._send(
                "authorise", _GAS_AUTHORISE + _GAS_AUTHORISE_RUN * len(chunk), to_bytes32(agreement),
                [to_bytes32(run) for run in chunk], sent=sent,
            )
            for chunk in chunks(runs)
        ), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error

    async def attest(
        self, agreement: str, run: str, attestation: str, sent: Callable[[], None] | None = None
    ) -> None:
        """Record the hash of what this node checked for an authorised run, once.

        `sent` is called when the transaction is on its way; not if the attestation stands already.

        Raises:
            ChainRefusal: not authorised, not an attestor, or another attestation stands.
            ChainError: see policy.chain.errors.
        """
        await self._record(
            "attest", "AlreadyAttested", agreement, run, attestation,
            lambda: self.attestation(agreement, run, self._writer.address, "latest"), sent,
        )

    async def commit(self, agreement: str, run: str, root: str) -> None:
        """Record the root of an authorised run's outputs, once.

        Raises:
            ChainRefusal: not authorised, not an attestor, or another root stands.
            ChainError: see policy.chain.errors.
        """
        await self._record(
            "commit", "AlreadyCommitted", agreement, run, root, lambda: self.commitment(agreement, run, "latest")
        )

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

    async def _send_once(self, done: str, function: str, gas: int, *arguments: Any) -> None:
        """Send; the rule `done` says that it was so already."""
        try:
            await self._send(function, gas, *arguments)
        except ChainRefusal as error:
            if error.rule != done:
                raise

    async def _record(
        self, function: str, done: str, agreement: str, run: str, value: str,
        recorded: Callable[[], Awaitable[str | None]], sent: Callable[[], None] | None = None,
    ) -> None:
        """Send a value that is recorded once; the same value again is no error, another one is."""
        try:
            await self._send(
                function, _GAS_RECORD, to_bytes32(agreement), to_bytes32(run), to_bytes32(value), sent=sent
            )
        except ChainRefusal as error:
            if error.rule != done or await recorded() != value:
                raise
