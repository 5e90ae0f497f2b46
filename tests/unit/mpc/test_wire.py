"""One attempt's boxes, bounds, time-outs and keys."""

import asyncio
import time

import pytest

from mpc import keys, wire
from mpc.errors import IntegrityError, MpcError, PeerLost, PeerTimeout, ProtocolError
from tests.support.wires import three_wires


def timers():
    """Those of the loop that will still do something."""
    return [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]


async def test_messages_find_their_label_in_any_order():
    async with three_wires() as (a, b, _):
        for label in (3, -(2**63), 2**63 - 1):
            a.send(1, label, b"early %d" % label)
        late = asyncio.create_task(b.receive(0, 4))
        await asyncio.sleep(0)
        a.send(1, 4, memoryview(b"late"))
        assert await late == b"late"
        for label in (2**63 - 1, 3, -(2**63)):
            assert await b.receive(0, label) == b"early %d" % label


async def test_channels_are_label_and_key_spaces_of_their_own():
    async with three_wires() as (a, b, _):
        a.send(1, 5, b"zero")
        a.channel(1).send(1, 5, b"one")
        assert await b.channel(1).receive(0, 5) == b"one"
        assert await b.receive(0, 5) == b"zero"
        assert a.pair_key(1, b"x") == b.pair_key(0, b"x") == a.channel(0).pair_key(1, b"x")
        found = {a.pair_key(1, b"x"), a.pair_key(2, b"x"), a.pair_key(1, b"y"), a.channel(1).pair_key(1, b"x")}
        assert len(found) == 4
        with pytest.raises(ProtocolError, match="channel 65536"):
            a.channel(2**16)


async def test_every_attempt_has_new_names_and_keys():
    """The same run twice: a retry may share nothing with what came before."""
    async with three_wires() as one, three_wires() as other:
        assert len({w.attempt for w in one}) == 1
        assert one[0].attempt != other[0].attempt
        first = {w.pair_key(p, b"x") for w in one for p in range(3) if p != w.number}
        second = {w.pair_key(p, b"x") for w in other for p in range(3) if p != w.number}
        assert len(first) == len(second) == 3
        assert not first & second


def test_each_nodes_contribution_alone_changes_the_name():
    contributions = [keys.AttemptSecret().contribution for _ in range(3)]
    name = keys.attempt_name(b"run", contributions)
    for node in range(3):
        changed = list(contributions)
        changed[node] = keys.AttemptSecret().contribution
        assert keys.attempt_name(b"run", changed) != name
    assert keys.attempt_name(b"other", contributions) != name
    with pytest.raises(ProtocolError):
        keys.attempt_name(b"run", contributions[:2])


def test_a_key_that_would_fix_the_secret_is_refused():
    weak = keys.Contribution(b"n" * 32, bytes(32))
    with pytest.raises(ProtocolError, match="low order"):
        keys.AttemptSecret().agree(weak)
    with pytest.raises(ProtocolError, match="expected 64"):
        keys.Contribution.from_bytes(b"short")


async def test_a_label_serves_once_on_both_sides():
    async with three_wires() as (a, b, _):
        a.send(1, 1, b"x")
        with pytest.raises(ProtocolError, match="used twice"):
            a.send(1, 1, b"y")
        assert await b.receive(0, 1) == b"x"
        with pytest.raises(ProtocolError, match="asked for twice"):
            await b.receive(0, 1)


async def test_a_repeated_message_ends_the_attempt():
    async with three_wires() as (a, b, c):
        attempt = b._attempt
        attempt.deliver(0, 0, 9, b"once")
        attempt.deliver(0, 0, 9, b"again")
        with pytest.raises(ProtocolError, match=r"node 0.*used twice"):
            await b.receive(0, 9)
        with pytest.raises(PeerLost, match="node 1 ended the attempt after a breach"):
            await c.receive(0, 1)
        with pytest.raises(PeerLost):
            a.send(1, 1, b"")


async def test_a_payload_lands_once_where_its_receiver_waits():
    async with three_wires() as (_, b, _):
        attempt, room = b._attempt, memoryview(bytearray(8))
        assert attempt.landing(0, 0, 5, 8) is None  # nobody waits
        waiting = asyncio.create_task(b.receive(0, 5, room))
        await asyncio.sleep(0)
        for other in ((2, 0, 5, 8), (0, 1, 5, 8), (0, 0, 6, 8), (0, 0, 5, 7), (0, 0, 5, 9)):
            assert attempt.landing(*other) is None
        assert attempt.landing(0, 0, 5, 8) is room
        assert attempt.landing(0, 0, 5, 8) is None
        attempt.deliver(0, 0, 5, room)
        assert await waiting is room


@pytest.mark.parametrize("end", [
    lambda attempt: attempt.deliver(0, 0, 5, b"here now"), lambda attempt: attempt.ended(0),
    lambda attempt: attempt.fail(ValueError()),
], ids=["delivered", "peer ended", "failed"])
async def test_nothing_lands_where_nobody_waits_any_more(end):
    async with three_wires() as (_, b, _):
        waiting = asyncio.create_task(b.receive(0, 5, memoryview(bytearray(8))))
        await asyncio.sleep(0)
        end(b._attempt)
        assert b._attempt.landing(0, 0, 5, 8) is None  # the receiver did not come to its turn yet
        await asyncio.wait([waiting])
        assert b._attempt.landing(0, 0, 5, 8) is None
        assert waiting.exception() is not None or waiting.result() == b"here now"


async def test_a_silent_peer_is_named_in_time_and_the_others_are_freed_at_once():
    async with three_wires(stall_seconds=0.2) as (a, b, _):
        start = time.monotonic()
        with pytest.raises(PeerTimeout, match=r"no whole message came from node 2 for 0\.2 s"):
            await a.receive(2, 1)
        assert time.monotonic() - start < 1
        with pytest.raises(PeerLost, match="node 0 ended the attempt after a silent peer"):
            await b.receive(2, 1)


async def turns():
    """Lets everything happen that can without a clock."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_each_wait_has_its_own_time(monkeypatch):
    """One timer serves all of them: it looks at the earliest one that is still open."""
    now = [100.0]
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
    async with three_wires(stall_seconds=10) as (a, b, _):
        first, second = (asyncio.create_task(a.receive(1, label)) for label in (1, 2))
        await turns()
        now[0] += 8
        b.send(0, 1, b"soon enough")
        assert await first == b"soon enough"
        third = asyncio.create_task(a.receive(1, 3))
        b.send(0, 2, b"this too")
        assert await second == b"this too"
        now[0] += 9.5
        await turns()
        assert not third.done()
        now[0] += 1
        await turns()
        with pytest.raises(PeerTimeout, match=r"from node 1 for 10 s \(label 3\)"):
            third.result()


async def test_a_closed_attempt_leaves_no_timer():
    """It would keep all of the attempt in memory for as long as the time-out."""
    async with three_wires(stall_seconds=60) as (a, b, _):
        for label in (1, 2):
            waiting = asyncio.create_task(b.receive(0, label))
            await asyncio.sleep(0)
            a.send(1, label, b"")
            await waiting
        assert len(timers()) == 1
        b._attempt.close()
        assert timers() == []


async def test_a_message_of_the_last_moment_counts():
    """A node that was busy for longer than the time-out finds both waiting, the message and the alarm."""
    async with three_wires(stall_seconds=0.05) as (a, b, _):
        waiting = asyncio.create_task(b.receive(0, 1))
        await asyncio.sleep(0)
        a.send(1, 1, b"in time")
        time.sleep(0.1)  # noqa: ASYNC251 - busy
        assert await waiting == b"in time"
        a.send(1, 2, b"more")
        assert await b.receive(0, 2) == b"more"


async def test_a_failure_frees_all_who_wait_at_once():
    async with three_wires(stall_seconds=60) as (a, b, c):
        waiting = [asyncio.create_task(w.receive(0, label)) for w in (b, c) for label in (1, 2)]
        await asyncio.sleep(0)
        a.fail(IntegrityError("components differ"))
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(r) for r in results] == [IntegrityError] * 4
        assert "node 0" in str(results[0])
        with pytest.raises(IntegrityError, match="components differ"):
            a.send(1, 1, b"")


async def test_an_error_outside_the_family_is_reported_without_its_text():
    async with three_wires() as (a, b, _):
        a.fail(ValueError("patient 12345"))
        for number, node in ((0, a), (1, b)):
            with pytest.raises(MpcError) as caught:
                await node.receive(2, 1)
            assert "12345" not in str(caught.value), number


async def test_what_waits_unasked_is_bounded(monkeypatch):
    monkeypatch.setattr(wire, "MAX_EARLY_BYTES", 1000)
    async with three_wires() as (a, b, _):
        for label in range(4):
            a.send(1, label, bytes(250))
        await asyncio.sleep(0)
        assert await b.receive(0, 0) == bytes(250)
        a.send(1, 10, bytes(251))
        await asyncio.sleep(0)
        with pytest.raises(ProtocolError, match="too far ahead: 1001 bytes in 4 messages"):
            await b.receive(0, 1)


async def test_the_number_of_unasked_messages_and_of_all_is_bounded(monkeypatch):
    monkeypatch.setattr(wire, "MAX_EARLY_MESSAGES", 3)
    async with three_wires() as (a, b, _):
        for label in range(4):
            a.send(1, label, b"")
        await asyncio.sleep(0)
        with pytest.raises(ProtocolError, match="too far ahead"):
            await b.receive(0, 0)
    monkeypatch.setattr(wire, "MAX_MESSAGES", 2)
    async with three_wires() as (a, _, _):
        a.send(1, 0, b"")
        a.send(1, 1, b"")
        with pytest.raises(ProtocolError, match="more than 2 messages"):
            a.send(1, 2, b"")


async def test_calls_outside_the_rules():
    async with three_wires() as (a, _, _):
        with pytest.raises(ProtocolError, match="no peer 0"):
            a.send(0, 1, b"")
        with pytest.raises(ProtocolError, match="no peer 3"):
            a.pair_key(3, b"x")
        with pytest.raises(ProtocolError, match="64 bits"):
            a.send(1, 2**63, b"")
        with pytest.raises(ProtocolError, match="at most"):
            a.send(1, 1, memoryview(bytearray(wire.MAX_PAYLOAD_BYTES + 1)))


async def test_a_peer_that_finished_leaves_what_it_sent():
    async with three_wires() as (a, b, _):
        a.send(1, 1, b"last")
        await asyncio.sleep(0)
        waiting = asyncio.create_task(b.receive(0, 2))
        await asyncio.sleep(0)
        b._attempt.ended(0)
        with pytest.raises(PeerLost, match="node 0 ended the attempt"):
            await waiting
        b._attempt.lose(0, "closed")
        assert await b.receive(0, 1) == b"last"
        with pytest.raises(PeerLost, match="node 0 ended the attempt"):
            await b.receive(0, 3)
        with pytest.raises(PeerLost, match="node 0 ended the attempt"):
            b.send(0, 1, b"")
        b.send(2, 1, b"the third node is still there")
