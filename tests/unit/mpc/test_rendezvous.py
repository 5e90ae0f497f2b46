"""Three nodes agree on an attempt, whatever the order in which they open, give up and open again."""

import pytest

from mpc.errors import ProtocolError
from mpc.rendezvous import MAX_OFFERS, Offers, Opening

RUN = b"r" * 32


class World:
    """Three openings that hear of each other at once; the transport's job, without a network."""

    def __init__(self):
        self.offers = [Offers([p for p in range(3) if p != n]) for n in range(3)]
        self.openings = [None, None, None]

    def open(self, node):
        self.openings[node] = Opening(node, b"run", RUN)
        for other in range(3):
            if other != node:
                self.offers[other].put(node, RUN, self.openings[node].secret.contribution)
        self.settle()

    def withdraw(self, node):
        nonce = self.openings[node].secret.contribution.nonce
        self.openings[node] = None
        for other in range(3):
            if other != node:
                self.offers[other].withdraw(node, RUN, nonce)
        self.settle()

    def settle(self):
        for node, opening in enumerate(self.openings):
            if opening is not None and opening.consider(self.offers[node]) and opening.name is not None:
                for other in range(3):
                    if other != node and self.openings[other] is not None:
                        self.openings[other].confirm(node, opening.name)

    def agreed(self):
        return [opening is not None and opening.agreed for opening in self.openings]


def test_all_three_agree_on_one_name_and_pairs_on_one_secret():
    world = World()
    for node in (2, 0):
        world.open(node)
        assert world.agreed() == [False] * 3
    assert world.openings[0].absent == [1, 2]
    world.open(1)
    world.settle()
    assert world.agreed() == [True] * 3
    assert len({opening.name for opening in world.openings}) == 1
    secrets = [opening.secrets() for opening in world.openings]
    assert all(secrets[a][b] == secrets[b][a] for a in range(3) for b in range(3) if a != b)


def test_who_gave_up_and_came_back_changes_the_name():
    world = World()
    for node in range(3):
        world.open(node)
    first = world.openings[0].name
    world.withdraw(1)
    assert world.openings[0].name is None
    world.open(1)
    world.settle()
    assert world.agreed() == [True] * 3
    assert world.openings[0].name != first


def test_a_contribution_serves_one_attempt():
    world = World()
    for node in range(3):
        world.open(node)
    world.settle()
    world.openings[0].consume(world.offers[0])
    again = Opening(0, b"run", RUN)
    again.consider(world.offers[0])
    assert again.name is None


def test_no_start_before_both_confirmed():
    world = World()
    world.open(0)
    with pytest.raises(ProtocolError, match="both peers"):
        world.openings[0].consume(world.offers[0])


def test_a_withdrawal_does_not_touch_a_newer_contribution():
    offers = Offers([1])
    old, new = (Opening(1, b"run", RUN).secret.contribution for _ in range(2))
    offers.put(1, RUN, old)
    offers.put(1, RUN, new)
    offers.withdraw(1, RUN, old.nonce)
    assert offers.get(1, RUN) == new


def test_the_oldest_contribution_goes_first():
    offers = Offers([1])
    contribution = Opening(1, b"run", RUN).secret.contribution
    for k in range(MAX_OFFERS + 1):
        offers.put(1, bytes([k]), contribution)
    assert offers.get(1, bytes([0])) is None
    assert offers.get(1, bytes([1])) == offers.get(1, bytes([MAX_OFFERS])) == contribution
