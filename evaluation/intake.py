"""Requests as a node takes them from the topic: in order, without strangers' and copies, never more than fit.

All nodes read one partition and leave the same messages out, so that their queues are alike. What lies behind a full
queue stays on the topic.
"""

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass

from evaluation.config import ChainSettings
from evaluation.errors import Tampered
from evaluation.requests import SignedDemand, open_request
from evaluation.state import NodeState
from policy.agreement import Terms
from policy.gate import DemandFacts, DemandRule, Refusal, request_agreement, request_signed, requester_known
from policy.request import Demand

MAX_WAITING = 256
MAX_STRANGERS = 100
"""Refusals of requests that are nobody's that a node says in the open; anybody could make it say more."""


@dataclass(frozen=True)
class Asked:
    """A request that its requester signed."""

    offset: int
    demand: Demand
    digest: str
    signer: str | None


class NotAsked(Exception):
    """A message that is not taken; with `digest` it is a request, which `refusal` refuses in the open."""

    def __init__(self, reason: str, digest: str | None = None, refusal: Refusal | None = None) -> None:
        super().__init__(reason)
        self.digest, self.refusal = digest, refusal


def nonce_key(demand: Demand) -> str:
    """What a requester uses once."""
    return f"{demand.requester} {demand.nonce}"


class Intake:
    """The queue of one node."""

    def __init__(self, terms: Terms, chain: ChainSettings, state: NodeState) -> None:
        self._terms, self._chain, self._state = terms, chain, state
        self._queue: deque[Asked] = deque()
        self._strangers = 0
        self.read = state.ledger.handled
        """Messages of lower offsets were read or answered."""
        self._more = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether nothing more is read for now."""
        return len(self._queue) >= MAX_WAITING

    async def reach(self, offset: int, seconds: float) -> None:
        """Wait until messages below `offset` were read, and at most `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.read < offset:
                    self._more.clear()
                    await self._more.wait()

    def waiting(self, below: int) -> tuple[Asked, ...]:
        """Requests of offsets below `below` that are not answered."""
        while self._queue and self._queue[0].offset < self._state.ledger.handled:
            self._queue.popleft()
        return tuple(asked for asked in self._queue if asked.offset < below)

    def take(self, offset: int, message: bytes) -> None:
        """Take the next message.

        Raises:
            NotAsked: it is left out.
        """
        if offset < self.read:
            return
        self.read = offset + 1
        self._more.set()
        try:
            request = open_request(message)
        except Tampered as error:
            raise NotAsked(str(error)) from error
        digest = request.digest(self._chain.deployment, self._chain.agreement_id)
        known = self._state.ledger.nonces
        if digest in {known.get(nonce_key(request.demand)), known.get(digest), *(a.digest for a in self._queue)}:
            raise NotAsked("a copy of an earlier request; it is ignored")
        self._check(request, digest, None, requester_known, request_agreement)
        signer = request.signer(self._chain.deployment, self._chain.agreement_id)
        self._check(request, digest, signer, request_signed)
        self._queue.append(Asked(offset, request.demand, digest, signer))

    def _check(self, request: SignedDemand, digest: str, signer: str | None, *rules: DemandRule) -> None:
        facts = DemandFacts(signer=signer, nonce_seen=False, complete_panes=0, needs_run=False, runs_used=0)
        refusal = next((r for rule in rules if (r := rule(self._terms, request.demand, facts)) is not None), None)
        if refusal is None:
            return
        self._strangers += 1
        if self._strangers > MAX_STRANGERS:
            raise NotAsked(refusal.rule)
        raise NotAsked(refusal.rule, digest, refusal)
