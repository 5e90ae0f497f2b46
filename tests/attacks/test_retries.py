"""What an attempt that fails, on purpose or not, may leave behind for the next one."""

from collections import Counter

import numpy as np
import pytest

from evaluation.outcome import Outcome
from evaluation.results import combine, open_result
from mpc.engine import Engine
from mpc.errors import IntegrityError, MpcError, PeerLost
from tests.support.dealing import deal
from tests.support.runs import PATIENTS, RECIPIENT_KEY, ThreeNodes
from tests.support.wires import three_wires


def released(nodes, outcomes):
    """What the recipient reads: (KPI, window, cell) → sums."""
    opened = [
        open_result(o.sealed["innovation-team"], "innovation-team", RECIPIENT_KEY, nodes.terms) for o in outcomes
    ]
    return {
        (r.kpi, r.window, tuple(r.cell.items())): r.result.sums for r in combine(opened, nodes.terms.plans)
    }


async def test_failing_the_linkage_on_purpose_does_not_average_the_noise_away():
    """A curious node lets attempts fail after the tags are open: each must show the same noisy region sizes."""
    nodes, seen = ThreeNodes(), Counter()
    for _ in range(4):
        await nodes.attempt()
        seen[nodes.computations[0].patients] += 1
    assert len(seen) == 1
    assert min(seen) >= PATIENTS


async def test_no_two_attempts_link_in_the_same_order():
    """If permutations or tags came back, a change of data between attempts would show whose data changed."""
    nodes = ThreeNodes()
    await nodes.attempt()
    before, = nodes.computations[0].linked[0].segments
    await nodes.attempt()
    after, = nodes.computations[0].linked[0].segments
    for old, new in zip(before.permutations, after.permutations, strict=True):
        for mine, later in zip(old.pieces, new.pieces, strict=True):
            assert mine is None or (mine == later).mean() < 0.2
    assert (before.order == after.order).mean() < 0.2


async def test_a_link_cut_at_the_last_message_cannot_leave_nodes_with_totals_that_do_not_fit(monkeypatch):
    """Nodes 0 and 2 have added the panes; node 1 missed the end and begins again. The next attempt must be right."""
    nodes, honest = ThreeNodes(), ThreeNodes()
    for three in (nodes, honest):
        assert all(isinstance(o, Outcome) for o in await three.attempt())
    expected = released(honest, await honest.attempt(0))
    assert expected

    def cut(*_):
        raise PeerLost("cut")

    with monkeypatch.context() as patch:
        patch.setattr(nodes.computations[1]._totals, "_count", cut)
        assert all(isinstance(o, MpcError) for o in await nodes.attempt(0))
    assert len({c.totals for c in nodes.computations}) == 2
    assert released(nodes, await nodes.attempt(0)) == expected


async def test_a_repeat_of_a_run_opens_nothing_new_and_costs_nothing():
    """Repeating a run is no way to ask again: same run id, same bits, same numbers, one authorisation."""
    nodes = ThreeNodes()
    await nodes.attempt()
    first = await nodes.attempt(0, due=3)
    again = await nodes.attempt(0, due=3)
    assert released(nodes, first) == released(nodes, again)
    assert {o.done.run for o in (*first, *again)} == {first[0].done.run}
    assert len(nodes.chain.runs) == 2
    # Shares of two attempts lie on different lines: mixed, they are refused and tell nothing.
    with pytest.raises(IntegrityError, match="do not agree"):
        released(nodes, [first[0], again[1], first[2]])


async def test_a_node_between_two_that_drifted_apart_cannot_take_one_mask_off_two_messages():
    """Node 0 shuffles while node 1 enters a value, both as their second operation; node 2 receives both."""
    rng = np.random.default_rng(3)
    secret, other = rng.integers(0, 2**63, (2, 32)).astype(np.uint64)
    dealt, arrived = deal(secret, rng), {}

    def tap(sender, receiver, channel, label, payload):
        if receiver == 2:
            arrived.setdefault(sender, np.frombuffer(payload, "<u8"))
        return payload

    async with three_wires(tap=tap, stall_seconds=0.2) as wires:
        engines = [Engine(wire) for wire in wires]
        permutation = await engines[0].random_permutation(32)
        await engines[1].random_permutation(32)
        for engine, work in ((0, engines[0].shuffle(dealt[0], permutation)), (1, engines[1].input(1, other, (32,)))):
            try:
                await work
            except MpcError:
                assert engine == 0
        parts = dealt[0].parts
        moved = (parts[0] + parts[1])[permutation.pieces[0]]
    assert set(arrived) == {0, 1}
    assert not np.any(arrived[0] - arrived[1] == moved - other)
