"""Where a node's outcomes go: records and sealed results to the broker, attestations to the chain.

So do runs that were given up: they were refused after their authorisation, and nothing of them was opened.
"""

import asyncio
from typing import TYPE_CHECKING

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluation.ledger import Attestation
from evaluation.records import Failed, Record, seal_record
from evaluation.state import NodeState
from policy.chain.errors import ChainRefusal
from policy.errors import ChainError
from streams.broker import Producer
from streams.topics import RUNS, results

if TYPE_CHECKING:
    from policy.chain.registry import Registry

RETRY_SECONDS = 1.0


class NodeOutlets:
    """One node's; attestations and releases are followed until they are on the chain, across restarts."""

    def __init__(
        self, producer: Producer, registry: "Registry", agreement_id: str, signing_key: Ed25519PrivateKey,
        state: NodeState, number: int,
    ) -> None:
        self._producer, self._registry, self._agreement_id = producer, registry, agreement_id
        self._signing_key, self._state, self._number = signing_key, state, number
        self._group: asyncio.TaskGroup | None = None
        self._under_way: dict[str, asyncio.Event] = {}
        """Run → set when its attestation was sent, or nothing more is to be sent."""
        self._releasing: set[str] = set()
        self._log = structlog.get_logger()

    @property
    def idle(self) -> bool:
        """Whether every attestation and release is on the chain."""
        return not self._state.ledger.attestations and not self._state.ledger.releases

    def resume(self, group: asyncio.TaskGroup) -> None:
        """Follow attestations and releases in `group` from now on, and those of an earlier process."""
        self._group = group
        for run in self._state.ledger.attestations:
            self._start(run)
        for run in self._state.ledger.releases:
            self._release(run)

    async def attest(self, run: str) -> None:
        """See evaluation.answering.Outlets."""
        if run not in self._state.ledger.attestations:
            return
        await (self._under_way.get(run) or self._start(run)).wait()

    def give_up(self, run: str) -> None:
        """See evaluation.answering.Outlets."""
        if self._state.gives_up(run) and run in self._state.ledger.releases:
            self._release(run)

    async def send(self, recipient: str, sealed: bytes) -> None:
        """See evaluation.answering.Outlets."""
        await self._producer.send(results(recipient), 0, [(None, sealed)])

    async def say(self, record: Record) -> None:
        """See evaluation.answering.Outlets."""
        await self._producer.send(RUNS, 0, [(None, seal_record(record, self._signing_key))])

    async def receipt(self, topic: str, record: Record) -> None:
        """See evaluation.answering.Outlets."""
        await self._producer.send(topic, 0, [(None, seal_record(record, self._signing_key))])

    def _start(self, run: str) -> asyncio.Event:
        assert self._group is not None
        self._under_way[run] = asyncio.Event()
        self._group.create_task(self._follow(run, self._state.ledger.attestations[run], self._under_way[run]))
        return self._under_way[run]

    async def _follow(self, run: str, attestation: Attestation, sent: asyncio.Event) -> None:
        """Until it is mined, whatever the endpoint does meanwhile; what the contract refuses is told and left."""
        while True:
            try:
                await self._registry.attest(
                    self._agreement_id, run, attestation.block, attestation.value, sent.set
                )
                if attestation.root is not None:
                    await self._registry.commit(self._agreement_id, run, attestation.root)
            except ChainRefusal as error:
                self._log.error("attestation refused", run=run, reason=str(error))
                await self.say(Failed(
                    agreement=self._state.ledger.agreement, node=self._number, run=run, reason=str(error)
                ))
            except ChainError as error:
                self._log.warning("attestation not on the chain yet", run=run, reason=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            break
        sent.set()
        left = self._state.ledger.attestations
        self._state.update(attestations={r: a for r, a in left.items() if r != run})
        del self._under_way[run]

    def _release(self, run: str) -> None:
        assert self._group is not None
        if run not in self._releasing:
            self._releasing.add(run)
            self._group.create_task(self._follow_release(run))

    async def _follow_release(self, run: str) -> None:
        """Until that is on the chain, or it is final that the run was not authorised when it was given up.

        What the contract refuses is told and left.
        """
        begun: int | None = None
        while True:
            try:
                if begun is None:
                    begun = (await self._registry.block("latest")).number
                final = (await self._registry.block("finalized")).number
                found = await self._registry.run(self._agreement_id, run, "latest")
                if found.stage == "authorised":
                    await self._registry.release(self._agreement_id, run, found.sequence)
                    break
                if found.stage != "unknown" or final >= begun:
                    break
            except ChainRefusal as error:
                self._log.error("run not given up", run=run, reason=str(error))
                break
            except ChainError as error:
                self._log.warning("run not given up yet", run=run, reason=str(error))
            await asyncio.sleep(RETRY_SECONDS)
        self._state.update(releases=tuple(r for r in self._state.ledger.releases if r != run))
        self._releasing.discard(run)
