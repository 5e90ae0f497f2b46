"""Where a node's outcomes go: records and sealed results to the broker, attestations to the chain."""

import asyncio
from typing import TYPE_CHECKING

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluation.records import Failed, Record, seal_record
from evaluation.state import Attestation, NodeState
from policy.chain.errors import ChainRefusal
from policy.errors import ChainError
from streams.broker import Producer
from streams.topics import RUNS, results

if TYPE_CHECKING:
    from policy.chain.registry import Registry

RETRY_SECONDS = 1.0


class NodeOutlets:
    """One node's; attestations are followed until they are on the chain, across restarts."""

    def __init__(
        self, producer: Producer, registry: "Registry", agreement_id: str, signing_key: Ed25519PrivateKey,
        state: NodeState, number: int,
    ) -> None:
        self._producer, self._registry, self._agreement_id = producer, registry, agreement_id
        self._signing_key, self._state, self._number = signing_key, state, number
        self._group: asyncio.TaskGroup | None = None
        self._under_way: dict[str, asyncio.Event] = {}
        """Run → set when its attestation was sent, or nothing more is to be sent."""
        self._log = structlog.get_logger()

    @property
    def idle(self) -> bool:
        """Whether every attestation is on the chain."""
        return not self._state.ledger.attestations

    def resume(self, group: asyncio.TaskGroup) -> None:
        """Follow attestations in `group` from now on, and those of an earlier process."""
        self._group = group
        for run in self._state.ledger.attestations:
            self._start(run)

    async def attest(self, run: str) -> None:
        """See evaluation.desk.Outlets."""
        if run not in self._state.ledger.attestations:
            return
        await (self._under_way.get(run) or self._start(run)).wait()

    async def send(self, recipient: str, sealed: bytes) -> None:
        """See evaluation.desk.Outlets."""
        await self._producer.send(results(recipient), 0, [(None, sealed)])

    async def say(self, record: Record) -> None:
        """See evaluation.desk.Outlets."""
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
                await self._registry.attest(self._agreement_id, run, attestation.value, sent.set)
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
