"""Records of the embedded broker that come out of their order, as a consumer gives them on."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition

from streams import broker as adapter
from streams.broker import APACHE_SINGLE, Broker, Consumer
from streams.errors import BrokerError

ONE, OTHER = TopicPartition("requests", 0), TopicPartition("requests", 1)


class Shown:
    """A client that gets what a broker shows: at each fetch the offsets of every partition from its position on."""

    def __init__(self, *fetches):
        self.fetches, self.positions, self._client = list(fetches), {ONE: 0, OTHER: 0}, None

    def seek(self, at, offset):
        self.positions[at] = offset

    async def getmany(self, **_):
        shown = self.fetches.pop(0) if len(self.fetches) > 1 else self.fetches[0]
        answer = {}
        for at, offsets in shown.items():
            if found := [o for o in offsets if o >= self.positions[at]]:
                self.positions[at] = found[-1] + 1
                answer[at] = [SimpleNamespace(partition=at.partition, offset=o, value=b"%d" % o) for o in found]
        return answer


@pytest.fixture
def reading(monkeypatch):
    """A consumer of both partitions with such a client."""
    def made(client, broker):
        monkeypatch.setattr(adapter, "AIOKafkaConsumer", lambda **_: client)
        return Consumer(broker, "requests", [0, 1])

    return made


async def read(consumer, polls):
    return [(r.partition, r.offset) for _ in range(polls) for r in await consumer.poll(0, 100)]


async def test_a_record_that_is_shown_late_comes_in_its_place(reading):
    client = Shown({ONE: [0]}, {ONE: [0, 2], OTHER: [0, 1]}, {ONE: [0, 2, 3]}, {ONE: [0, 1, 2, 3], OTHER: [0, 1]})
    consumer = reading(client, Broker("127.0.0.1:1"))
    assert await read(consumer, 1) == [(0, 0)]
    assert await read(consumer, 1) == [(1, 0), (1, 1)]
    assert await read(consumer, 1) == []
    assert await read(consumer, 1) == [(0, 1), (0, 2), (0, 3)]


async def test_a_record_that_stays_away_ends_the_process_by_its_name(reading, monkeypatch):
    monkeypatch.setattr(adapter, "GAP_SECONDS", 0.05)
    consumer = reading(Shown({ONE: [0, 1, 3]}), Broker("127.0.0.1:1"))
    with pytest.raises(BrokerError, match=r"requests/0 shows offset 3 and not 2 for 0\.05 s: .* Start a fresh one"):
        async with asyncio.timeout(10):
            await read(consumer, 1000)


async def test_apache_kafka_may_have_gaps(reading):
    consumer = reading(Shown({ONE: [0, 5, 6]}), Broker("127.0.0.1:1", APACHE_SINGLE))
    assert await read(consumer, 1) == [(0, 0), (0, 5), (0, 6)]
