"""How three nodes agree on one attempt at a run. State and decisions only: `mpc.transport` moves the frames.

Each node opens with a contribution. Who sees all three calls the attempt by its name (`mpc.keys`) and confirms the
name to both; an attempt starts at a node when both peers have confirmed the name it computed itself. A peer that gave
up and opens again replaces its contribution, the name changes, and confirmations start over. So nodes that retry at
different moments meet, and no two attempts have a name, or a key, in common.
"""

from collections.abc import Sequence

from mpc.errors import ProtocolError
from mpc.keys import AttemptSecret, Contribution, attempt_name

MAX_OFFERS = 64
"""Contributions kept per peer for runs that this node has not opened; the oldest goes first."""


class Offers:
    """The latest contribution of each peer to each run."""

    def __init__(self, peers: Sequence[int]) -> None:
        self._offers: dict[int, dict[bytes, Contribution]] = {peer: {} for peer in peers}

    def put(self, peer: int, run: bytes, contribution: Contribution) -> None:
        offers = self._offers[peer]
        offers.pop(run, None)
        if len(offers) >= MAX_OFFERS:
            del offers[next(iter(offers))]
        offers[run] = contribution

    def withdraw(self, peer: int, run: bytes, nonce: bytes) -> None:
        """Nothing when the peer has replaced that contribution already."""
        offer = self._offers[peer].get(run)
        if offer is not None and offer.nonce == nonce:
            del self._offers[peer][run]

    def forget(self, peer: int) -> None:
        self._offers[peer].clear()

    def get(self, peer: int, run: bytes) -> Contribution | None:
        return self._offers[peer].get(run)


class Opening:
    """One node's view of an attempt that is being agreed."""

    def __init__(self, number: int, run_id: bytes, run: bytes) -> None:
        """`run`: what the run is called on the link, a digest of `run_id`."""
        self.number = number
        self.run = run
        self.secret = AttemptSecret()
        self.name: bytes | None = None
        self._run_id = run_id
        self._used: dict[int, Contribution] = {}
        self._confirmed: dict[int, bytes] = {}

    def consider(self, offers: Offers) -> bool:
        """Takes the peers' latest contributions into account; whether `name` changed."""
        found = {peer: offers.get(peer, self.run) for peer in range(3) if peer != self.number}
        self._used = {peer: offer for peer, offer in found.items() if offer is not None}
        before = self.name
        if len(self._used) < len(found):
            self.name = None
        else:
            everyone = {**self._used, self.number: self.secret.contribution}
            self.name = attempt_name(self._run_id, [everyone[node] for node in range(3)])
        return self.name != before

    def secrets(self) -> dict[int, bytes]:
        """The X25519 secret with each peer. Raises: ProtocolError for a contribution that fixes it."""
        return {peer: self.secret.agree(offer) for peer, offer in self._used.items()}

    def confirm(self, peer: int, name: bytes) -> None:
        self._confirmed[peer] = name

    @property
    def agreed(self) -> bool:
        """Whether both peers confirmed the name this node computed."""
        return self.name is not None and [self._confirmed.get(p) for p in self._used] == [self.name] * 2

    @property
    def absent(self) -> list[int]:
        """Peers that have not confirmed this node's name for the attempt."""
        return [
            peer for peer in range(3)
            if peer != self.number and (self.name is None or self._confirmed.get(peer) != self.name)
        ]

    def spend(self, peer: int, offers: Offers) -> None:
        """`peer` aborted under its present contribution: wait for its next."""
        offer = self._used.get(peer)
        if offer is not None:
            offers.withdraw(peer, self.run, offer.nonce)

    def consume(self, offers: Offers) -> None:
        """The contributions are spent: the next attempt needs new ones."""
        if not self.agreed:
            raise ProtocolError("an attempt may not start before both peers confirmed it")
        for peer in self._used:
            self.spend(peer, offers)
