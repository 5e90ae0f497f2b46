"""Peers that die, lie or stay silent: a named error at every node, in bounded time, and the next session works."""

import asyncio
import os
import pickle
import time

import numpy as np
import pytest

from mpc.errors import MpcError, PeerLost, PeerTimeout, ProtocolError
from mpc.tail.estimators import estimate
from mpc.tail.field import PRIME, RESIDUE_BYTES
from mpc.tail.session import Session
from tests.support.wires import run_three, three_wires
from tests.unit.mpc.tail.helpers import PANES, PATIENTS, answer, batches, compute, make_plan, number, patients

TAIL = 1


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture(autouse=True)
def nothing_reaches_the_loops_exception_handler(caplog):
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.name == "asyncio"] == []


def work(seed=0, cells=4):
    rng = np.random.default_rng(seed)
    plan = make_plan()
    return plan, [patients(rng, plan, 30) for _ in range(cells)], rng


async def failures(seconds=30, **options):
    """What each node raises from one tail; every node must fail."""
    plan, cells, rng = work()
    held = batches(rng, plan, cells)
    async with three_wires(**options) as wires:
        return await asyncio.gather(
            *(estimate(wire, [held[wire.number]], PATIENTS, PANES, seconds) for wire in wires), return_exceptions=True,
        )


async def works():
    plan, cells, rng = work(1)
    (outputs,) = await compute(rng, [(plan, cells)])
    return float(number(outputs, "value", 0)) == pytest.approx(float(answer(plan, cells[0])[0]), rel=1e-7)


def change(from_node, to_node, which, how):
    """A tap: `how` changes the payload of the messages of the tail from one node to another that `which` chooses."""
    seen = []

    def tap(sender, receiver, channel, label, payload):
        if (sender, receiver, channel) == (from_node, to_node, TAIL):
            seen.append(label)
            if which(label, len(seen)):
                return how(payload)
        return payload
    return tap


def of_mpyc(label, _):
    return label % 2 == 1


@pytest.mark.parametrize("to_node", [0, 1])
async def test_a_pickle_is_refused_and_nothing_runs(tmp_path, to_node):
    path = tmp_path / "executed"
    pickle.loads(pickle.dumps(Bomb(path)))
    assert path.is_dir()
    path.rmdir()

    def padded(payload):
        return pickle.dumps(Bomb(path)).ljust(len(payload), b".")

    for attack in (lambda _: pickle.dumps(Bomb(path)), padded):
        found = await failures(tap=change(2, to_node, of_mpyc, attack))
        assert not path.exists()
        assert isinstance(found[to_node], MpcError)
        assert all(isinstance(error, MpcError) for error in found)
    assert await works()


@pytest.mark.parametrize(("how", "message"), [
    (lambda payload: payload[:-RESIDUE_BYTES], "bytes to the tail where"),
    (lambda payload: payload + payload, "bytes to the tail where"),
    (lambda payload: b"", "bytes to the tail where"),
    (lambda payload: PRIME.to_bytes(RESIDUE_BYTES, "little") + payload[RESIDUE_BYTES:], "not a residue"),
])
async def test_malformed_payloads_are_refused_by_name(how, message):
    found = await failures(tap=change(1, 0, of_mpyc, how))
    assert isinstance(found[0], ProtocolError)
    assert message in str(found[0])
    assert all(isinstance(error, MpcError) for error in found)


async def test_messages_of_the_circuits_have_exact_lengths():
    found = await failures(tap=change(1, 0, lambda label, count: label % 2 == 0 and count > 3, lambda p: p + b"x"))
    assert isinstance(found[0], ProtocolError)
    assert "node 1 sent" in str(found[0])


async def test_a_peer_that_fails_ends_the_tail_at_once_and_the_next_works():
    plan, cells, rng = work()
    held = batches(rng, plan, cells)

    async def node(wire):
        if wire.number == 2:
            await asyncio.sleep(0.05)
            wire.fail(RuntimeError("this node dies"))
            raise RuntimeError("this node dies")
        return await estimate(wire, [held[wire.number]], PATIENTS, PANES, 30)

    started = time.monotonic()
    async with three_wires() as wires:
        found = await asyncio.gather(*(node(wire) for wire in wires), return_exceptions=True)
    assert time.monotonic() - started < 2
    assert isinstance(found[0], PeerLost)
    assert isinstance(found[1], PeerLost)
    assert await works()


@pytest.mark.parametrize("after", [0, 40, 100])
async def test_a_silent_peer_is_a_time_out(after):
    sent = 0

    def tap(sender, receiver, channel, label, payload):
        nonlocal sent
        sent += sender == 2
        return None if sender == 2 and sent > after else payload

    found = await failures(tap=tap, stall_seconds=0.3)
    assert all(isinstance(error, MpcError) for error in found)
    assert any(isinstance(error, PeerTimeout) and "node 2" in str(error) for error in found)
    assert await works()


async def test_the_whole_tail_has_a_time_limit():
    started = time.monotonic()
    found = await failures(seconds=0.2, tap=lambda *_: None, stall_seconds=60)
    assert time.monotonic() - started < 2
    assert any(isinstance(error, PeerTimeout) and "0.2 s" in str(error) for error in found)


async def test_two_sessions_at_once_in_one_process():
    first, second = work(2, cells=6), work(3, cells=2)
    results = await asyncio.gather(*(compute(rng, [(plan, cells)]) for plan, cells, rng in (first, second)))
    for (plan, cells, _), (outputs,) in zip((first, second), results, strict=True):
        for at, rows in enumerate(cells):
            assert float(number(outputs, "value", at)) == pytest.approx(float(answer(plan, rows)[0]), rel=1e-7)


async def test_one_of_two_sessions_fails_and_the_other_does_not_notice():
    plan, cells, rng = work(4)
    bad, (good,) = await asyncio.gather(
        failures(tap=change(1, 0, of_mpyc, lambda payload: b"")), compute(rng, [(plan, cells)]),
    )
    assert all(isinstance(error, MpcError) for error in bad)
    assert float(number(good, "value", 0)) == pytest.approx(float(answer(plan, cells[0])[0]), rel=1e-7)


async def test_a_cancelled_tail_leaves_no_task_behind():
    before = asyncio.all_tasks()
    plan, cells, rng = work()
    held = batches(rng, plan, cells)
    async with three_wires(tap=lambda *_: None) as wires:
        tail = asyncio.create_task(estimate(wires[0], [held[0]], PATIENTS, PANES, 30))
        await asyncio.sleep(0.05)
        tail.cancel()
        with pytest.raises(asyncio.CancelledError):
            await tail
    assert asyncio.all_tasks() == before


async def test_python_objects_do_not_travel():
    async def program(session):
        return await session.runtime.transfer({"any": "object"})

    with pytest.raises(ProtocolError, match="Python objects do not travel"):
        await run_three(lambda wire: Session(wire).run(program, 5))


async def test_nodes_that_have_drifted_apart_draw_unrelated_masks():
    async def program(wire):
        session = Session(wire)
        before = session.streams(16)
        session.record(b"a step" if wire.number < 2 else b"another step")
        return before, session.streams(16)

    drawn = await run_three(program)
    before, after = ([each[at] for each in drawn] for at in (0, 1))
    assert [before[node][1] == before[(node + 1) % 3][0] for node in range(3)] == [True] * 3
    assert [after[node][1] == after[(node + 1) % 3][0] for node in range(3)] == [True, False, False]
