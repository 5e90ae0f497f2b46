"""How nodes agree: equal stances pass, any difference has a name, one refusal stops all."""

import asyncio

import pytest

from evaluation.coordination import (
    MAX_MESSAGE_BYTES,
    Council,
    PeerRefused,
    Ready,
    Stance,
    Verdict,
    disagreement,
    run_id,
)
from mpc.errors import ProtocolError
from tests.support.wires import three_wires

DIGESTS = ["aa", "bb", "cc"]


def ready(**changes):
    return Ready(**{
        "agreement": "e" * 64, "head": 9, "settled": True, "ledger": "a" * 64, "batches": 1, "panes": 4, "open": True, "requests": 0,
        "handled": 0, "asked_last": False, **changes,
    })


def stance(node, **changes):
    return Stance(**{
        "windows": (0, 1), "plans": ("p",), "batches": "b", "block_number": 5, "block_hash": "h",
        "components": {c: DIGESTS[c] for c in (node, (node + 1) % 3)}, **changes,
    })


def stances(node=None, **changes):
    return [stance(j, **(changes if j == node else {})) for j in range(3)]


def test_equal_stances_agree_and_give_one_run_id():
    assert disagreement(stances()) is None
    assert run_id("t", stances()) == run_id("t", stances())
    assert run_id("t", stances()) != run_id("u", stances())


@pytest.mark.parametrize(("change", "rule"), [
    ({"windows": (0,)}, "same-windows"), ({"plans": ("q",)}, "same-plans"), ({"batches": "x"}, "same-batches"),
    ({"block_hash": "fork"}, "heads-agree"), ({"components": {1: "bb", 2: "changed"}}, "commitments-equal"),
])
def test_a_difference_is_named(change, rule):
    found = disagreement(stances(1, **change))
    assert found is not None
    assert found[0] == rule


async def test_exchange_gives_everyone_the_same_in_order():
    async with three_wires() as wires:
        answers = await asyncio.gather(*(
            Council(w).exchange(ready(panes=w.number + 1)) for w in wires
        ))
    assert answers == [[ready(panes=j + 1) for j in range(3)]] * 3


async def test_one_refusal_stops_the_other_two():
    async with three_wires() as wires:
        ended = await asyncio.gather(*(
            Council(w).agree("disclosure", "agreement-active" if w.number == 2 else None) for w in wires
        ), return_exceptions=True)
    assert ended[2] is None
    for refused in ended[:2]:
        assert isinstance(refused, PeerRefused)
        assert (refused.node, refused.rule) == (2, "agreement-active")


@pytest.mark.parametrize("payload", [b"not json", b"{}", b'"' + b"x" * MAX_MESSAGE_BYTES + b'"'])
async def test_a_peer_that_sends_something_else_is_a_protocol_error(payload):
    async with three_wires() as wires:
        for peer in (0, 1):
            wires[2].channel(2).send(peer, 1, payload)
        ended = await asyncio.gather(*(
            Council(w).exchange(ready()) for w in wires[:2]
        ), return_exceptions=True)
    assert all(isinstance(e, ProtocolError) for e in ended)


async def test_nodes_in_different_phases_notice():
    async with three_wires() as wires:
        ended = await asyncio.gather(*(
            Council(w).exchange(Verdict(phase="x")) if w.number == 0 else Council(w).agree("estimate", None)
            for w in wires
        ), return_exceptions=True)
    assert isinstance(ended[1], ProtocolError)
