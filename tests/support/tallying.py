"""A control stream in a process of its own: counts the records it has not seen.

    python -m tests.support.tallying FOLDER ADDRESS [USER PASSWORD-FILE AUTHORITY]
"""

import asyncio
import logging
import sys
from pathlib import Path

from streams.tables import ControlStream
from tests.support.brokers import broker_from

NAME, TOPIC = "tally", "words"


class Tally:
    """Row: word → how often; and how far it read, so that a second reading changes nothing."""

    def __init__(self, stream):
        self._stream = stream
        self._rows = {}
        self._place = 0

    async def restored(self, table):
        self._rows, self._place = dict(table), 0
        print("restored", sorted((k.decode(), v.decode()) for k, v in table.items()), flush=True)

    def suspended(self):
        print("suspended", flush=True)

    async def record(self, topic, value):
        assert topic == TOPIC
        self._place += 1
        if self._place <= int(self._rows.get(b"", b"0")):
            return
        for key, count in ((value, int(self._rows.get(value, b"0")) + 1), (b"", self._place)):
            self._rows[key] = str(count).encode()
            await self._stream.put(key, self._rows[key])
        print("counted", value.decode(), self._rows[value].decode(), flush=True)
        if value == b"boom":
            raise ValueError("boom")


async def main(folder, *words):
    stream = ControlStream(broker_from(*words), NAME, [TOPIC], Path(folder))
    await stream.run(Tally(stream))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main(*sys.argv[1:]))
