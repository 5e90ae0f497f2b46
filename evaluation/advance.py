"""The next run's authorisation, on the chain before there is anything to run (ADR 18).

A run over windows needs an authorisation that is final, which takes three blocks. So whenever a run has ended, one node
reserves the next place in the agreement's quota, under an id that says nothing of what will run. The run that takes the
place is *bound* to it before anything is opened: its manifest (plans, windows, data) is noted at each node, durably.
Another manifest, after a crash, cannot take a place that is bound: it needs an authorisation of its own, as every run
did before.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from evaluation.coordination import Stance
from evaluation.state import NodeState
from policy.canonical import canonical_bytes
from policy.errors import ChainError
from policy.identity import NODES

if TYPE_CHECKING:
    from policy.chain.registry import Registry


def place(agreement: str, number: int) -> str:
    """Id under which the number-th place of an agreement is reserved: 64 hexadecimal digits, equal at all nodes."""
    return hashlib.sha256(canonical_bytes({"agreement": agreement, "place": number})).hexdigest()


@dataclass
class Advance:
    """One node's view of the next place."""

    agreement: str
    """Hash of the terms."""
    agreement_id: str
    """On the chain."""
    number: int
    """Of the node."""
    registry: "Registry"
    state: NodeState
    given_up: Collection[str] = ()
    """Runs and places that one of the nodes gave up, as all three heard last."""

    @property
    def run(self) -> str:
        """Id of the next place."""
        gone = {*self.given_up, *self.state.ledger.given_up}
        return renamed(place(self.agreement, self.state.ledger.places), gone)

    @property
    def mine(self) -> bool:
        """Whether it is this node's turn to reserve it; if it does not, runs authorise themselves."""
        return self.state.ledger.places % NODES == self.number

    async def seen(self, head: int) -> tuple[str, str]:
        """The next place and the manifest to which it is bound here; both empty if none is reserved at `head`.

        Raises:
            ChainError: see policy.chain.reader.
        """
        found = await self.registry.authorisation(self.agreement_id, self.run, head)
        return ("", "") if found is None else (self.run, self.state.ledger.bound)

    async def reserve(self) -> None:
        """Have the next place reserved; what the contract or the endpoint refuses is told, and left."""
        run = self.run
        try:
            if await self.registry.authorisation(self.agreement_id, run, "latest") is None:
                await self.registry.authorise(self.agreement_id, [run])
        except ChainError as error:
            structlog.get_logger().warning("no place reserved", run=run, reason=str(error))

    def level(self, places: Sequence[int]) -> None:
        """Go on from the place at which the furthest node is; what is passed over stays unused.

        Where nodes count differently, as when a ledger is from a copy, no run would ever take a place again.

        Args:
            places: what the three nodes count, after their settled runs were found equal. No run spends two of them, so
                more than there are runs is not believed.
        """
        ledger = self.state.ledger
        furthest = max((count for count in places if count <= len(ledger.runs)), default=0)
        if ledger.places != furthest:
            structlog.get_logger().error(
                "this node counted places otherwise than the others", counted=ledger.places, others=furthest,
                todo="nothing, unless it comes again: see whether its state folder was restored, or is used twice",
            )
            self.state.update(places=furthest, bound="")


def taken(stances: list[Stance], manifest: str, given_up: Collection[str]) -> tuple[str, bool]:
    """The run's id, and whether the next place is spent by it.

    All three nodes have the same stances and know of the same runs that a node gave up, and so decide the same: the
    place is taken if all three see it reserved, none has bound it to another manifest, and none has given it up. One
    that is bound to another, or given up, is spent all the same.
    """
    places = {s.place for s in stances}
    reserved = len(places) == 1 and places != {""}
    place_ = stances[0].place
    if reserved and place_ not in given_up and {s.bound for s in stances} <= {"", manifest}:
        return place_, True
    return renamed(manifest, given_up), reserved


def renamed(run: str, given_up: Collection[str]) -> str:
    """The id instead of one that a node gave up: nothing can be attested under that."""
    while run in given_up:
        run = hashlib.sha256(canonical_bytes({"given_up": run})).hexdigest()
    return run
