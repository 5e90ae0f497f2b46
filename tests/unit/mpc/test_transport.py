"""Real TLS links on loopback: who may join, what a peer may send, and how attempts begin and end."""

import asyncio
import contextlib
import hashlib
import socket
import ssl
import stat
import subprocess
import time

import numpy as np
import pytest

from mpc import frames, transport
from mpc.engine import Engine
from mpc.errors import IntegrityError, MpcError, PeerLost, PeerTimeout, ProtocolError
from mpc.frames import TAG_BYTES, data_header
from mpc.identity import create_identity, load_identity
from mpc.keys import AttemptSecret
from mpc.link import SERVER_NAME, dialler_context
from mpc.transport import NodeAddress, NodeLinks
from mpc.wire import Attempt
from tests.support.links import agreed_nodes, made_identities, three_links, until

HELLO = frames.encode(frames.Hello())


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    return made_identities(tmp_path_factory.mktemp("keys"))


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch):
    monkeypatch.setattr(transport, "RETRY_SECONDS", (0.02, 0.1))


@pytest.fixture
def nodes(identities):
    return agreed_nodes(identities)


async def compute(links, run=b"run", seconds=5.0, size=2000):
    """Node 0 enters numbers, all count those below 500."""
    async with links.attempt(run, seconds) as wire:
        engine = Engine(wire)
        x = await engine.input(0, np.arange(size) if links.number == 0 else None, (size,))
        opened = await engine.open((await engine.less(x, 500)).sum())
        return int(opened), wire.attempt


def test_an_identity_is_a_private_file_and_its_digest(tmp_path):
    identity = create_identity(tmp_path, "node-0")
    assert identity == load_identity(tmp_path, "node-0")
    for path in (identity.certificate_file, identity.key_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    openssl = subprocess.run(
        ["openssl", "x509", "-in", identity.certificate_file, "-noout", "-fingerprint", "-sha256"],
        capture_output=True, text=True, check=True,
    ).stdout
    assert openssl.partition("=")[2].strip().replace(":", "").lower() == identity.fingerprint
    with pytest.raises(FileExistsError):
        create_identity(tmp_path, "node-0")


async def test_three_nodes_meet_compute_and_meet_again(nodes, identities):
    async with three_links(nodes, identities) as links:
        first = await asyncio.gather(*map(compute, links))
        second = await asyncio.gather(*map(compute, links))
        assert {value for value, _ in first + second} == {500}
        assert len({name for _, name in first}) == len({name for _, name in second}) == 1
        assert first[0][1] != second[0][1]
        left = [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]
        assert not [h for h in left if isinstance(getattr(h._callback, "__self__", None), Attempt)]


async def test_several_attempts_at_once(nodes, identities):
    async with three_links(nodes, identities) as links:
        runs = [(link, b"run %d" % k, 5.0, 600 + 100 * k) for k in range(8) for link in links]
        results = await asyncio.gather(*(compute(*run) for run in runs))
        assert {value for value, _ in results} == {500}
        assert len({name for _, name in results}) == 8


async def test_long_messages_cross(nodes, identities):
    payload = np.random.default_rng(1).bytes(20 * 2**20)

    async def program(link):
        async with link.attempt(b"run", 10) as wire:
            for peer in {0, 1, 2} - {link.number}:
                wire.send(peer, 1, payload)
            await wire.drain()
            return [await wire.receive(peer, 1) == payload for peer in {0, 1, 2} - {link.number}]

    async with three_links(nodes, identities) as links:
        assert await asyncio.gather(*map(program, links)) == [[True, True]] * 3


async def test_a_long_message_lands_where_it_is_awaited(nodes, identities):
    payload = np.random.default_rng(2).bytes(2**20)

    async def program(link):
        async with link.attempt(b"run", 10) as wire:
            peers = sorted({0, 1, 2} - {link.number})
            rooms = [memoryview(bytearray(len(payload))) for _ in peers]
            awaited = [asyncio.create_task(wire.receive(*each)) for each in zip(peers, (1, 1), rooms, strict=True)]
            await asyncio.sleep(0)
            for peer in peers:
                wire.send(peer, 0, b"")
            for peer in peers:
                await wire.receive(peer, 0)
                wire.send(peer, 1, payload)
            await wire.drain()
            return [await each is room and room == payload for each, room in zip(awaited, rooms, strict=True)]

    async with three_links(nodes, identities) as links:
        assert await asyncio.gather(*map(program, links)) == [[True, True]] * 3


async def test_long_arrays_are_read_to_where_they_stay(nodes, identities, monkeypatch):
    """Whoever sends last in a round sends to a node that waits already."""
    landed, landing = [], Attempt.landing

    def seen(attempt, peer, channel, label, size):
        room = landing(attempt, peer, channel, label, size)
        landed.append(None if room is None else size)
        return room

    monkeypatch.setattr(Attempt, "landing", seen)
    values = np.arange(20_000, dtype=np.uint64)

    async def program(link):
        async with link.attempt(b"run", 10) as wire:
            engine = Engine(wire)
            x = await engine.input(0, values if link.number == 0 else None, values.shape)
            return await engine.open(await engine.multiply(x, x))

    async with three_links(nodes, identities) as links:
        for found in await asyncio.gather(*map(program, links)):
            np.testing.assert_array_equal(found, values**2)
    assert values.nbytes in landed
    assert set(landed) <= {None, values.nbytes}


async def test_the_listener_is_on_loopback(nodes, identities):
    async with NodeLinks(0, nodes, identities[0]) as links:
        assert links._listener.getsockname()[0] == "127.0.0.1"


def test_the_wrong_identity_is_refused_before_any_connection(nodes, identities):
    with pytest.raises(ValueError, match="the agreement says"):
        NodeLinks(0, nodes, identities[3])
    with pytest.raises(ValueError, match="three certificates"):
        NodeLinks(0, [nodes[0], nodes[1], nodes[1]], identities[0])
    for endpoint in ("127.0.0.1", "host:", "host:0", "host:65536", "host:x"):
        with pytest.raises(ValueError, match="expected host:port"):
            _ = NodeAddress(endpoint, "").host_port
    assert NodeAddress("[::1]:80", "").host_port == ("::1", 80)


async def dial(nodes, target, context):
    """A TLS connection that speaks our protocol; returns what the listener sends back, b"" when it hangs up."""
    host, port = nodes[target].host_port
    reader = writer = None
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=SERVER_NAME)
        writer.write(HELLO)
        async with asyncio.timeout(3):
            return await reader.read(100)
    except OSError:
        return b""
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def certificate(identity):
    return ssl.PEM_cert_to_DER_cert(identity.certificate_file.read_text())


async def test_only_agreed_certificates_are_let_in(nodes, identities):
    """A stranger, nobody, and node 0 itself (a number that must not dial node 0) hear nothing; node 2 does."""
    async with three_links(nodes, identities) as links:
        await until(lambda: all(len(link.linked) == 2 for link in links))
        nobody = ssl.create_default_context(cadata=None)
        nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
        assert await dial(nodes, 0, nobody) == b""
        assert await dial(nodes, 0, dialler_context(identities[3], certificate(identities[0]))) == b""
        assert await dial(nodes, 0, dialler_context(identities[0], certificate(identities[0]))) == b""
        assert await dial(nodes, 1, dialler_context(identities[0], certificate(identities[1]))) == b""
        assert all(len(link.linked) == 2 for link in links)
        greeting = await dial(nodes, 0, dialler_context(identities[2], certificate(identities[0])))
        assert greeting.startswith(HELLO)


async def test_older_tls_is_refused(nodes, identities):
    async with three_links(nodes, identities, who=(0, 1)) as links:
        await until(lambda: links[0].linked == {1})
        context = dialler_context(identities[1], certificate(identities[0]))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        assert await dial(nodes, 0, context) == b""


async def test_a_listener_with_another_certificate_is_not_dialled(nodes, identities):
    """Someone took node 0's address: nodes 1 and 2 name both certificates and never link to it."""
    false_nodes = [NodeAddress(nodes[0].endpoint, identities[3].fingerprint), *nodes[1:]]
    async with NodeLinks(0, false_nodes, identities[3]), three_links(nodes, identities, who=(1, 2)) as links:
        await until(lambda: links[0].linked == {2})
        await asyncio.sleep(0.3)
        assert links[0].linked == {2}
        assert links[1].linked == {1}
        with pytest.raises(PeerTimeout, match=r"node 0 \(not reachable\)"):
            await compute(links[0], seconds=0.2)


async def test_a_certificate_decides_the_number_whatever_is_claimed(nodes, identities):
    """Node 2's certificate makes the link node 2's: nothing a frame says can make it node 1's."""
    async with three_links(nodes, identities, who=(0,)) as (link,):
        context = dialler_context(identities[2], certificate(identities[0]))
        async with node_2_listening(nodes, identities), raw_peer(nodes, 0, context):
            await until(lambda: link.linked)
            assert link.linked == {2}


@contextlib.asynccontextmanager
async def node_2_listening(nodes, identities):
    """A bare TLS listener from which node 0 learns node 2's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identities[2].certificate_file, identities[2].key_file)

    async def hang_up(reader, writer):
        writer.close()

    async with await asyncio.start_server(hang_up, *nodes[2].host_port, ssl=context):
        yield


@contextlib.asynccontextmanager
async def raw_peer(nodes, target, context):
    """A greeted connection on which a test sends what it likes."""
    async with asyncio.timeout(5):
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    *nodes[target].host_port, ssl=context, server_hostname=SERVER_NAME,
                )
                writer.write(HELLO)
                if await reader.readexactly(len(HELLO)) == HELLO:
                    break
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.02)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    "bad",
    [
        bytes(4),
        (1).to_bytes(4, "big") + b"\x63",
        (5).to_bytes(4, "big") + b"\x01abcd",
        (3).to_bytes(4, "big") + b"\x04ab",
        HELLO,
        HELLO[:5] + b"another-one-",
    ],
    ids=["empty", "unknown-kind", "short-open", "short-data", "second-hello", "other-version"],
)
async def test_a_frame_outside_the_protocol_ends_the_link_and_no_other(nodes, identities, bad):
    async with three_links(nodes, identities, who=(0, 1)) as links:
        context = dialler_context(identities[2], certificate(identities[0]))
        async with node_2_listening(nodes, identities), raw_peer(nodes, 0, context) as (reader, writer):
            await until(lambda: links[0].linked == {1, 2})
            writer.write(bad)
            with contextlib.suppress(OSError):
                async with asyncio.timeout(2):
                    await reader.read()
            assert links[0].linked == {1}


async def test_only_the_link_in_force_writes_where_a_message_is_awaited(nodes, identities, monkeypatch):
    """A peer with a second connection could change what it had sent after it was checked."""
    begun, landing = asyncio.Event(), NodeLinks._landing

    def seen(links, link, *message):
        begun.set()
        return landing(links, link, *message)

    monkeypatch.setattr(NodeLinks, "_landing", seen)
    payload, other = b"x" * 2**18, b"y" * 2**18

    async def third(link):
        async with link.attempt(b"run", 10) as wire:
            await wire.receive(0, 1)
            wire.send(0, 7, payload)
            await wire.receive(0, 2)

    async def second(link):
        async with link.attempt(b"run", 10) as wire:
            await wire.receive(0, 2)

    async def first(link):
        async with link.attempt(b"run", 10) as wire:
            room = memoryview(bytearray(len(payload)))
            awaited = asyncio.create_task(wire.receive(2, 7, room))
            context = dialler_context(identities[2], certificate(identities[0]))
            reader, writer = await asyncio.open_connection(
                *nodes[0].host_port, ssl=context, server_hostname=SERVER_NAME,
            )
            assert await reader.readexactly(len(HELLO)) == HELLO
            stream = data_header(wire.attempt[:TAG_BYTES], 0, 7, len(other)) + other
            begun.clear()
            writer.write(stream[: len(other) // 2])
            await asyncio.wait_for(begun.wait(), 5)
            wire.send(2, 1, b"")
            found = await awaited
            writer.write(stream[len(other) // 2 :])
            with contextlib.suppress(OSError):
                await reader.read()  # it is hung up on for want of a hello
            writer.close()
            for peer in (1, 2):
                wire.send(peer, 2, b"")
            return found is room, found == payload

    async with three_links(nodes, identities) as links:
        found, _, _ = await asyncio.gather(*(act(link) for act, link in zip((first, second, third), links, strict=True)))
    assert found == (True, True)


async def test_what_comes_after_an_attempt_lands_elsewhere(nodes, identities):
    """A message that is half here when its attempt ends; its link goes on."""
    size, half, stopped = 2**18, asyncio.Event(), asyncio.Event()
    room = memoryview(bytearray(size))

    async def third(link):
        with contextlib.suppress(PeerLost):
            async with link.attempt(b"run", 10) as wire:
                await wire.receive(0, 1)
                stream = data_header(wire.attempt[:TAG_BYTES], 0, 7, size) + b"x" * size
                link._links[0].write(stream[: size // 2])
                half.set()
                await stopped.wait()
                link._links[0].write(stream[size // 2 :])

    async def second(link):
        with contextlib.suppress(PeerLost):
            async with link.attempt(b"run", 10) as wire:
                await wire.receive(0, 2)

    async def first(link):
        with contextlib.suppress(PeerLost):
            async with link.attempt(b"run", 10) as wire:
                awaited = asyncio.create_task(wire.receive(2, 7, room))
                await asyncio.sleep(0)
                wire.send(2, 1, b"")
                await half.wait()
                await until(lambda: b"x" in bytes(room))
                raise PeerLost("by the test")
        with pytest.raises(PeerLost):
            await awaited
        before = bytes(room)
        assert 0 < before.count(b"x") < size
        stopped.set()
        return before

    async with three_links(nodes, identities) as links:
        acts = [act(link) for act, link in zip((first, second, third), links, strict=True)]
        before, _, _ = await asyncio.gather(*acts)
        results = await asyncio.gather(*map(compute, links))
        assert {value for value, _ in results} == {500}
        assert room == before


async def test_a_peer_that_never_says_hello_is_dropped(nodes, identities):
    async with (
        three_links(nodes, identities, who=(0,), handshake_seconds=2) as (link,),
        node_2_listening(nodes, identities),
    ):
        context = dialler_context(identities[2], certificate(identities[0]))
        async with raw_peer(nodes, 0, context):
            await until(lambda: link.linked == {2})
        await until(lambda: not link.linked)
        host, port = nodes[0].host_port
        start = time.monotonic()
        reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=SERVER_NAME)
        with contextlib.suppress(OSError):
            assert await reader.read() == HELLO
        assert 2 <= time.monotonic() - start < 10
        assert not link.linked
        writer.close()


async def test_connections_that_say_nothing_do_not_keep_peers_out(nodes, identities):
    async with three_links(nodes, identities, who=(0,), handshake_seconds=0.2):
        idle = [socket.create_connection(nodes[0].host_port) for _ in range(transport.MAX_HANDSHAKES)]
        async with three_links(nodes, identities, who=(1,)) as (other,):
            await until(lambda: other.linked == {0})
        for connection in idle:
            connection.close()


async def test_an_error_at_one_node_reaches_the_others_at_once_and_the_next_attempt_works(nodes, identities):
    async def failing(link):
        async with link.attempt(b"run", 30) as wire:
            if link.number == 1:
                raise IntegrityError("something differs")
            await wire.receive(1, 1)

    async with three_links(nodes, identities) as links:
        start = time.monotonic()
        results = await asyncio.gather(*map(failing, links), return_exceptions=True)
        assert [type(r) for r in results] == [IntegrityError] * 3
        assert "node 1 ended the attempt after a failed integrity check" in str(results[0])
        assert {value for value, _ in await asyncio.gather(*map(compute, links))} == {500}
        assert time.monotonic() - start < 5


async def test_a_node_that_does_not_come_is_named_and_a_late_one_meets_the_retries(nodes, identities):
    async def retrying(link):
        for _ in range(20):
            with contextlib.suppress(PeerTimeout, PeerLost):
                return await compute(link, seconds=0.4)
        raise AssertionError("the nodes never met")

    async with three_links(nodes, identities) as links:
        await until(lambda: all(len(link.linked) == 2 for link in links))
        with pytest.raises(PeerTimeout, match=r"node 1 \(linked\), node 2 \(linked\)"):
            await compute(links[0], seconds=0.1)
        early = [asyncio.create_task(retrying(link)) for link in links[:2]]
        await asyncio.sleep(0.6)
        results = await asyncio.gather(*early, retrying(links[2]))
        assert {value for value, _ in results} == {500}
        assert len({name for _, name in results}) == 1


async def test_a_run_is_attempted_once_at_a_time_and_attempts_are_bounded(nodes, identities, monkeypatch):
    monkeypatch.setattr(transport, "MAX_ATTEMPTS", 2)
    async with three_links(nodes, identities, who=(0,)) as (link,):
        waiting = [asyncio.create_task(compute(link, b"run %d" % k, 1.0)) for k in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(ProtocolError, match="already"):
            await compute(link, b"run 0")
        with pytest.raises(ProtocolError, match="2 attempts are open"):
            await compute(link, b"run 2")
        assert [type(r) for r in await asyncio.gather(*waiting, return_exceptions=True)] == [PeerTimeout] * 2


async def test_contributions_to_runs_nobody_here_opened_are_bounded(nodes, identities):
    async with three_links(nodes, identities, who=(0, 1)) as links:
        await until(lambda: links[0].linked == {1} and links[1].linked == {0})
        outgoing = links[1]._links[0]
        contribution = AttemptSecret().contribution
        for k in range(500):
            outgoing.write(frames.encode(frames.Open(k.to_bytes(32, "big"), contribution)))
        await until(lambda: links[0]._offers.get(1, (499).to_bytes(32, "big")) is not None)
        assert len(links[0]._offers._offers[1]) == 64


async def test_a_peer_that_changes_its_contribution_again_and_again_is_dropped(nodes, identities, monkeypatch):
    monkeypatch.setattr(transport, "MAX_CHANGES", 8)
    run = hashlib.sha256(b"winnow run\0run").digest()
    async with three_links(nodes, identities, who=(0, 1)) as links:
        await until(lambda: links[0].linked == {1} and links[1].linked == {0})
        waiting = asyncio.create_task(compute(links[0], b"run", 5.0))
        await until(lambda: links[0]._meetings)
        outgoing = links[1]._links[0]
        for _ in range(8):
            outgoing.write(frames.encode(frames.Open(run, AttemptSecret().contribution)))
        await until(lambda: links[0]._meetings[run].changes[1] == 8)
        assert links[0].linked == {1}
        outgoing.write(frames.encode(frames.Open(run, AttemptSecret().contribution)))
        await until(lambda: links[1]._links.get(0) is not outgoing)
        waiting.cancel()


async def test_a_link_that_breaks_comes_back(nodes, identities):
    async with three_links(nodes, identities) as links:
        await asyncio.gather(*map(compute, links))
        links[0]._links[2].end(PeerLost("cut by the test"))
        results = await asyncio.gather(*map(compute, links), return_exceptions=True)
        if any(isinstance(r, MpcError) for r in results):
            results = await asyncio.gather(*map(compute, links))
        assert {value for value, _ in results} == {500}


async def test_a_node_hears_of_links_and_of_a_peer_that_waits_for_it(nodes, identities):
    news = asyncio.Event()
    async with three_links(nodes, identities, (0, 1), on_news=news.set) as (first, second):
        await until(lambda: 1 in first.linked and 0 in second.linked)
        assert news.is_set()
        news.clear()
        assert not second.invited(b"run")
        with pytest.raises(PeerTimeout):
            async with first.attempt(b"run", 0.3):
                pass
        assert news.is_set()
        await until(lambda: not second.invited(b"run"))  # who gave up invites no longer
        waiting = [asyncio.create_task(compute(links)) for links in (first, second)]
        await until(lambda: second.invited(b"run") and first.invited(b"run"))
        assert not second.invited(b"another run")
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
