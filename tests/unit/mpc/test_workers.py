"""Shards side by side in threads: the same results, errors that reach everybody, and nodes that choose for themselves."""

import asyncio
import threading
import time

import numpy as np
import pytest

from mpc import workers
from mpc.errors import IntegrityError, MpcError, PeerLost, PeerTimeout, ProtocolError
from mpc.wire import MAX_EARLY_MESSAGES
from mpc.workers import MAX_WORKERS, ShardEngines, Workers, together
from tests.support.dealing import deal, reveal
from tests.support.wires import run_three, three_wires

SHARDS = 5


def values(shard):
    return np.random.default_rng(shard).integers(-(2**40), 2**40, 1_000)


def squares(number, seen=None):
    """Shard → a program that squares and compares its values."""
    def program_of(shard):
        mine = deal(values(shard), np.random.default_rng(shard + 100))[number]

        async def program(engine):
            if seen is not None:
                seen.add(threading.current_thread().name)
            square = await engine.multiply(mine, mine)
            return square + await engine.less(mine, 0)

        return program

    return {shard: program_of(shard) for shard in range(SHARDS)}


async def three(count_of, programs_of, **options):
    """Every node runs its programs; node i has `count_of(i)` workers."""
    async def program(wire):
        with Workers(count_of(wire.number)) as threads:
            engines = ShardEngines(wire, threads)
            found = await engines.each(programs_of(wire.number))
            return found, engines.main.transcript

    return await run_three(program, **options)


@pytest.mark.parametrize("count_of", [lambda _: 1, lambda _: 3, lambda number: 2 * number + 1], ids=["1", "3", "1-3-5"])
async def test_results_are_the_same_in_any_number_of_threads(count_of):
    seen = [set(), set(), set()]
    nodes = await three(count_of, lambda number: squares(number, seen[number]))
    for shard in range(SHARDS):
        found = reveal([node[shard] for node, _ in nodes])
        np.testing.assert_array_equal(found, values(shard) ** 2 + (values(shard) < 0))
    assert len({transcript for _, transcript in nodes}) == 1
    for number, names in enumerate(seen):
        count = count_of(number)
        expected = {f"mpc-{place}" for place in range(count)} if count > 1 else {threading.current_thread().name}
        assert names == expected


async def test_an_error_in_one_shard_is_raised_at_all_nodes_and_threads_go_on():
    async def failing(_engine):
        raise ProtocolError("made up")

    def programs_of(number):
        return {**squares(number), **({3: failing} if number == 1 else {})}

    with Workers(2) as first, Workers(2) as second, Workers(2) as third:
        threads = (first, second, third)
        outcomes, all_over = {}, asyncio.Event()

        async def broken(wire):
            try:
                await ShardEngines(wire, threads[wire.number]).each(programs_of(wire.number))
            except MpcError as error:
                outcomes[wire.number] = error
                if len(outcomes) == 3:
                    all_over.set()
                raise

        with pytest.raises(MpcError):
            await run_three(broken, stall_seconds=5.0)
        async with asyncio.timeout(10):
            await all_over.wait()
        assert isinstance(outcomes[1], ProtocolError)
        assert all("ended the attempt after a breach of the protocol" in str(outcomes[n]) for n in (0, 2))

        async def whole(wire):
            return await ShardEngines(wire, threads[wire.number]).each(squares(wire.number))

        nodes = await run_three(whole)
        np.testing.assert_array_equal(reveal([node[0] for node in nodes]), values(0) ** 2 + (values(0) < 0))


async def test_a_peer_that_falls_silent_ends_all_within_the_time_out():
    lost = []

    def tap(sender, _receiver, channel, _label, payload):
        if sender == 2 and channel == workers.FIRST_CHANNEL + 4:
            lost.append(payload)
            return None
        return payload

    async def at(wire):
        with Workers(2) as threads:
            await ShardEngines(wire, threads).each(squares(wire.number))

    begin = time.monotonic()
    async with three_wires(tap=tap, stall_seconds=0.5) as wires:
        ended = await asyncio.gather(*map(at, wires), return_exceptions=True)
    assert lost
    # The first to give up tells the others, which may hear of it before their own time-out.
    assert {type(end) for end in ended} <= {PeerTimeout, PeerLost}
    assert any("no whole message came" in str(end) for end in ended)
    assert time.monotonic() - begin < 10


async def test_what_a_peer_sends_for_shards_that_there_are_not_is_bounded():
    """On a channel that nobody reads: the attempt ends, in all threads too."""
    async def at(wire):
        if wire.number == 2:
            channel = wire.channel(workers.FIRST_CHANNEL + SHARDS)
            for label in range(MAX_EARLY_MESSAGES + 1):
                channel.send(0, label, b"")
            await channel.receive(0, 0)
        with Workers(3) as threads:
            await ShardEngines(wire, threads).each(squares(wire.number))

    async with three_wires(stall_seconds=20.0) as wires:
        ended = await asyncio.gather(*map(at, wires), return_exceptions=True)
    assert [type(end) for end in ended] == [ProtocolError, PeerLost, PeerLost]
    assert "node 2 is too far ahead" in str(ended[0])
    assert all("node 0 ended the attempt after a breach of the protocol" in str(end) for end in ended[1:])


async def test_when_a_program_cannot_begin_those_that_have_are_ended():
    """As when a share file is gone: nobody would wait for them any more."""
    async def waits(engine):
        await engine.wire.receive((engine.number + 1) % 3, 1)

    def cannot(_engine):
        raise OSError("made up")

    async with three_wires() as (wire, *_):
        before = asyncio.all_tasks()
        with pytest.raises(OSError, match="made up"):
            await ShardEngines(wire, Workers(1)).each({0: waits, 1: cannot})
        assert asyncio.all_tasks() == before


async def test_nodes_that_compute_something_else_for_a_shard_find_it_before_anything_opens():
    async def program(wire):
        with Workers(2) as threads:
            engines = ShardEngines(wire, threads)
            mine = deal(values(0), np.random.default_rng(1))[wire.number]

            async def shard(engine):
                # A node that takes another public step changes no message, only its transcript.
                await engine.random_permutation(3 if wire.number == 2 else 2)
                return await engine.multiply(mine, mine)

            found = await engines.each({0: shard})
            return await engines.main.open(found[0])

    with pytest.raises(IntegrityError, match="has done something else"):
        await run_three(program)


@pytest.mark.parametrize(("at_fault", "message"), [("entered", "hold a component of an input"), ("shuffled", "a shuffle was wrong")])
async def test_what_is_wrong_in_a_shard_is_found_before_anything_opens(at_fault, message):
    """Entered and shuffled on a shard's channel, opened on the main one."""
    def tap(sender, receiver, channel, label, payload):
        spoilt = {"entered": 0, "shuffled": 2}[at_fault]
        hit = sender == 2 and receiver < 2 and channel == workers.FIRST_CHANNEL and label >> 22 == spoilt
        return bytes([payload[0] ^ 1]) + payload[1:] if hit else payload

    async def program(wire):
        engines = ShardEngines(wire, Workers(1))

        async def shard(engine):
            entered = await engine.input(2, values(0) if wire.number == 2 else None, (1_000,))
            permutation = await engine.random_permutation(1_000)
            if at_fault == "shuffled":
                await engine.shuffle(entered, permutation)

        await engines.each({0: shard})
        return await engines.main.open(engines.main.zeros((1,)))

    with pytest.raises(IntegrityError, match=message):
        await run_three(program, tap=tap)


async def test_waiting_may_be_cut_short():
    async def program(wire):
        with Workers(2) as threads:
            engines = ShardEngines(wire, threads)
            if wire.number == 0:
                await asyncio.sleep(0.3)
                return
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await engines.each(squares(wire.number))

    begin = time.monotonic()
    await run_three(program, stall_seconds=60.0)
    assert time.monotonic() - begin < 10
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mpc-")]


async def test_threads_that_do_not_end_are_waited_for_once(monkeypatch):
    """As when the disk hangs: the node's process has to end all the same."""
    monkeypatch.setattr(workers, "END_SECONDS", 0.5)
    hang, stuck = threading.Event(), threading.Semaphore(0)

    async def hangs():
        stuck.release()
        hang.wait(30)

    with Workers(4) as threads:
        ends = [asyncio.create_task(threads.run(place, hangs)) for place in range(4)]
        for _ in ends:
            await asyncio.to_thread(stuck.acquire, timeout=10)
        left = [thread for thread in threading.enumerate() if thread.name.startswith("mpc-")]
        begin = time.monotonic()
    took = time.monotonic() - begin
    hang.set()
    await asyncio.gather(*ends, return_exceptions=True)
    for thread in left:
        thread.join(10)
    assert len(left) == 4
    assert took < 1.5


def test_shards_that_fit_are_worked_on_together(monkeypatch):
    monkeypatch.setattr(workers, "ROWS_TOGETHER", 10)
    assert together({0: 4, 1: 6, 2: 1, 5: 30, 6: 0, 7: 10, 8: 0}) == [[0, 1], [2], [5], [6, 7, 8]]
    assert together({}) == []


@pytest.mark.parametrize("count", [0, -1, MAX_WORKERS + 1])
def test_numbers_of_workers_are_bounded(count):
    with pytest.raises(ValueError, match=f"{count} workers; expected 1 to {MAX_WORKERS}"):
        Workers(count)
