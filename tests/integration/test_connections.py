"""Whoever uses a broker may be cancelled at any moment: afterwards none of its connections is open."""

import asyncio
import contextlib
import time

import pytest

from streams import connections
from streams.admin import administrator, create_topics
from streams.broker import Broker, Consumer, Producer, watch
from streams.topics import Topic
from tests.support.sockets import connected

TOPIC = "hospital.source"
POINTS = 20
"""Moments in which each is cancelled, evenly from its beginning to after its end."""


async def read(broker):
    async with Consumer(broker, TOPIC, [0, 1]) as consumer:
        await consumer.ends([0, 1])
        await consumer.poll(0.02, 10)


async def write(broker):
    async with Producer(broker) as producer:
        await producer.send(TOPIC, 0, [(b"key", b"value")])


async def administer(broker):
    async with administrator(broker, "looking") as admin:
        await admin.describe_topics([TOPIC])


async def look_out(broker):
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await watch(broker)


@pytest.mark.parametrize("again", [None, 0.002], ids=["once", "twice"])
@pytest.mark.parametrize("work", [read, write, administer, look_out])
async def test_who_is_cancelled_leaves_no_connection(broker, work, again):
    here, port = broker.of(), int(broker.address.rpartition(":")[2])
    await create_topics(here, [Topic(TOPIC, 2, 1)])
    await write(here)
    began = time.monotonic()
    await work(here)
    whole = time.monotonic() - began
    assert connected(port) == 0
    for point in range(POINTS):
        task = asyncio.ensure_future(work(here))
        await asyncio.sleep(1.1 * whole * point / POINTS)
        task.cancel()
        if again is not None:
            await asyncio.sleep(again)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert connected(port) == 0, f"cancelled {point}/{POINTS} of the way"


async def test_closing_does_not_wait_for_a_fetch(apache, monkeypatch):
    monkeypatch.setattr(connections, "CLOSE_SECONDS", 10.0)
    await create_topics(apache.of(), [Topic(TOPIC, 1, 1)])
    async with Consumer(apache.of(), TOPIC, [0], wait_ms=20_000) as consumer:
        assert await consumer.poll(1.0, 1) == []
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert connected(int(apache.address.rpartition(":")[2])) == 0


@pytest.mark.parametrize("work", [read, write, administer])
async def test_a_broker_that_says_nothing_is_left_too(work, monkeypatch):
    monkeypatch.setattr(connections, "CLOSE_SECONDS", 0.1)
    arrived, held = asyncio.Event(), []

    async def silent(reader, writer):
        held.append(writer)
        arrived.set()
        await reader.read()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        task = asyncio.ensure_future(work(Broker(f"127.0.0.1:{port}")))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert connected(port) == 0
        for writer in held:
            writer.close()
