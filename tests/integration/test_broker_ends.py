"""The embedded broker may tell an end that lies before records which are there: a start goes on all the same."""

from contextlib import asynccontextmanager

import pytest

from streams.broker import Consumer, Producer, create_topics
from streams.errors import BrokerError
from streams.topics import Topic

TOPIC = "hospital.source"


@asynccontextmanager
async def short(broker):
    """Who sends and who reads five records, the end of which is told as 2."""
    await create_topics(broker, [Topic(TOPIC, 1, 1)])
    async with Producer(broker) as producer, Consumer(broker, TOPIC, [0]) as consumer:
        await producer.send(TOPIC, 0, [(None, b"%d" % number) for number in range(5)])

        async def told(partitions):
            return dict.fromkeys(partitions, 2)

        consumer.ends = told
        yield producer, consumer


async def read(consumer, count):
    found = []
    for _ in range(20):
        if len(found) >= count:
            break
        found += [record.value for record in await consumer.poll(1.0, 10)]
    return found


@pytest.mark.parametrize("offset", [2, 3, 4, 5])
async def test_a_start_goes_on_at_a_record_beyond_the_end_that_is_told(embedded_broker, offset):
    async with short(embedded_broker.of()) as (producer, consumer):
        await consumer.seek(0, offset)
        await producer.send(TOPIC, 0, [(None, b"5")])
        assert await read(consumer, 6 - offset) == [b"%d" % number for number in range(offset, 6)]


@pytest.mark.parametrize("offset", [6, 7, 900])
async def test_where_no_record_is_there_records_are_lost(embedded_broker, offset):
    async with short(embedded_broker.of()) as (_, consumer):
        with pytest.raises(BrokerError, match=rf"offset {offset} of {TOPIC}/0 lies outside 0\.\.2: the topic lost records"):
            await consumer.seek(0, offset)


async def test_apache_kafka_is_believed(apache):
    async with short(apache.of()) as (_, consumer):
        with pytest.raises(BrokerError, match=r"offset 4 of hospital.source/0 lies outside 0\.\.2"):
            await consumer.seek(0, 4)
        await consumer.seek(0, 2)
        assert await read(consumer, 3) == [b"2", b"3", b"4"]
