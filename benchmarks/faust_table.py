"""A Faust agent with a Table, event by event: `python -m benchmarks.faust_table ADDRESS NAME EVENTS`.

In a process of its own, without web server, from a topic with one partition and as many events as are read. NAME is
new each time: the group of an earlier run has committed its offsets, and its table has its changelog. It prints one
JSON object: seconds from the first event to the last, and the sum of the cents in its table.
"""

import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from typing import Any

import faust
from faust.app.base import BootStrategy
from pydantic import TypeAdapter

from streams.envelope import ClaimEvent, Envelope, Heartbeat, PatientEvent

TOPIC, TABLE = "benchmark-faust.source", "totals"
SECONDS = 100.0
NEVER = 10.0**9


def changelog(name: str) -> str:
    """The topic that a run's table is kept on, as Faust derives it."""
    return f"{name}-{TABLE}-changelog"


class _Boot(BootStrategy):
    enable_web = False


class _App(faust.App):
    BootStrategy = _Boot


async def _follow(address: str, name: str, wanted: int) -> dict[str, float]:
    adapter: TypeAdapter[PatientEvent | Heartbeat] = TypeAdapter(Envelope)
    done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    with tempfile.TemporaryDirectory(prefix="winnow-faust-") as folder:
        app: Any = _App(
            name, env={}, broker=f"kafka://{address}", datadir=folder, store="memory://", autodiscover=False,
            loop=asyncio.get_running_loop(), web_enabled=False, topic_allow_declare=False, topic_disable_leader=True,
            topic_partitions=1, table_standby_replicas=0, consumer_auto_offset_reset="earliest",
            broker_session_timeout=6.0, broker_heartbeat_interval=1.5, broker_commit_livelock_soft_timeout=NEVER,
        )
        table: Any = app.Table(TABLE, partitions=1, default=int)
        source = app.topic(TOPIC, value_serializer="raw", internal=True)

        async def agent(stream: AsyncIterator[bytes]) -> None:
            begin, count = 0.0, 0
            async for value in stream:
                begin = begin or time.perf_counter()
                event = adapter.validate_json(value)
                if isinstance(event, ClaimEvent):
                    table[event.patient] += event.payload.cents
                count += 1
                if count == wanted:
                    done.set_result(time.perf_counter() - begin)

        app.agent(source, name=name)(agent)
        async with asyncio.timeout(SECONDS):
            await app.start()
            seconds = await done
        found = {"seconds": seconds, "cents": sum(table.values())}
        await app.stop()
        return found


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.stdout.write(json.dumps(asyncio.run(_follow(sys.argv[1], sys.argv[2], int(sys.argv[3])))) + "\n")
