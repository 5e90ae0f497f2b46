"""Attempts that fail: tried again, and on record once for each reason."""

from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from evaluation import node as module
from evaluation.errors import Unreachable
from mpc.errors import PeerLost
from policy.chain.errors import ChainTimeout, ChainUnreachable
from tests.support.node import a_node


class Links:
    """Both peers are there."""

    linked = frozenset({1, 2})

    @asynccontextmanager
    async def attempt(self, *_):
        yield None


class Failing:
    """A desk whose attempts end by these errors, one after another; None: something was done."""

    def __init__(self, *errors):
        self.errors, self.records = list(errors), []

    async def attempt(self, _wire):
        if (error := self.errors.pop(0)) is not None:
            raise error
        return True

    async def look(self):
        pass

    async def say(self, record):
        self.records.append(record.reason)


@pytest.fixture
def attempts(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0)

    async def attempted(*errors, **more):
        node, _ = a_node(tmp_path, **more)
        desk = Failing(*errors)
        node._desk = desk
        node._outlets = SimpleNamespace(say=desk.say)
        for _ in errors:
            assert await node._attempt(Links())
        return desk.records

    return attempted


async def test_a_peer_that_does_not_get_its_transaction_mined_ends_no_other_node(attempts):
    late = ChainTimeout("run ab: not authorised within 60 s")
    assert await attempts(late, None, live=True) == [str(late)]


async def test_what_is_tried_again_every_second_is_on_record_once(attempts):
    lost, late = PeerLost("node 1"), ChainTimeout("run ab")
    assert await attempts(lost, lost, late, late, lost, None, lost, live=True) == ["node 1", "run ab", "node 1", "node 1"]


async def test_a_node_that_waits_for_nobody_gives_up(attempts):
    with pytest.raises(Unreachable, match="5 attempts failed, the last one: run ab"):
        await attempts(*[ChainTimeout("run ab")] * 5)


async def test_a_chain_that_is_gone_ends_the_process(attempts):
    with pytest.raises(ChainUnreachable):
        await attempts(ChainUnreachable("no answer"), live=True)
