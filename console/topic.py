"""What a topic of one partition holds now, for commands that look and end."""

import asyncio
import sys
from collections.abc import Callable

from evaluation.errors import Tampered, Unreachable
from streams.broker import Broker, Consumer, Record

READ_SECONDS = 30.0
POLL_SECONDS = 0.2
MOST_MESSAGES = 500


async def read_topic(broker: Broker, topic: str, take: Callable[[Record], None]) -> None:
    """Have `take` see every record that is there now; what it finds tampered with is told on stderr and passed over.

    Raises:
        Unreachable: not within READ_SECONDS.
        BrokerError: the broker is gone.
    """
    try:
        async with asyncio.timeout(READ_SECONDS), Consumer(broker, topic, [0]) as consumer:
            end, read = await consumer.end(0), 0
            while read < end:
                for message in await consumer.poll(POLL_SECONDS, MOST_MESSAGES):
                    read = message.offset + 1
                    try:
                        take(message)
                    except Tampered as error:
                        sys.stderr.write(f"winnow: {topic}: {error}.\n")
    except TimeoutError as error:
        raise Unreachable(f"{topic} could not be read to its end within {READ_SECONDS:g} s. Try again.") from error
