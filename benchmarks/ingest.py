"""From the bytes of JSON events on a source topic to durable panes.

The events are a health insurer's: an enrolment for each of PATIENTS, then claim lines as they are recorded. All
contenders read them from the same embedded broker and check every field.

- `winnow`: the product's own stages, side by side. Whole polls are parsed, judged, re-keyed to SHARDS shards and stored
  on the sharded topic; shards fold them from there, and every sealed pane is stored on the panes topic.
- `aiokafka-bare`: a `getmany` loop, json.loads and a pydantic TypeAdapter, into a dict. Nothing is stored.
- `faust-table`: a Faust agent with a Table, event by event, in a process of its own and over a twentieth of the events.
  From the first event it sees to the last.

Before anything is timed, what came out is compared with what went in.
"""

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import TypeAdapter

from benchmarks import faust_table
from benchmarks.report import case
from infra.local.broker import EmbeddedBroker
from policy.agreement import Draft
from policy.measure import LIMB_BITS
from streams import topics
from streams.batch import open_snapshot
from streams.broker import FETCH_BYTES, Broker, Consumer, Producer, create_topics
from streams.envelope import Claim, ClaimEvent, Enrolment, EnrolmentEvent, Envelope, Heartbeat, PatientEvent, encode
from streams.flow import Counts, Pulse
from streams.pseudonym import Pseudonyms
from streams.rekey import Rekeyer, beginning, rekey
from streams.shard import Shard
from streams.snapshots import END_KEY, PaneStage
from streams.tags import TAG_BYTES, Tags
from streams.topics import Topic
from tests.support.parties import LINK_SECRET, PSEUDONYM_KEY, REJECTS_KEY, SHARING_KEY
from tests.support.terms import draft_data

PARTY, SOURCE = "insurer", "claims"
AGREEMENT = "0" * 64
PATIENTS, SHARDS = 10_000, 4
FAUST_PART = 20
POLL_RECORDS = 4_000
STALL_SECONDS = 60.0
COST_COLUMNS = ("cost.high", "cost.low")
FAUST_SECONDS = 120.0
CARE = ("gp", "outpatient", "medication", "admission", "dental")
_ADAPTER: TypeAdapter[PatientEvent | Heartbeat] = TypeAdapter(Envelope)


class _Load:
    """What lies on the source topic, and what must come out."""

    def __init__(self, rows: int) -> None:
        self.draft = Draft.model_validate(draft_data(shards=SHARDS))
        self.names = Pseudonyms(LINK_SECRET, PSEUDONYM_KEY)
        self.rows, self.cents, self.values = rows, 0, list[bytes]()
        self.partitions: list[list[int]] = [[] for _ in range(SHARDS)]
        """Source partition → its events: a patient's are in one, in order, but not in that of their shard."""
        rng, start = random.Random(1), datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Amsterdam"))
        hours = [-60 * 24] * PATIENTS + sorted(rng.randrange(84 * 24) for _ in range(rows))
        for number in range(rows):
            member, day = number < PATIENTS, start + timedelta(hours=hours[number])
            patient = number if member else rng.randrange(min(PATIENTS, rows))
            self.partitions[patient % SHARDS].append(number)
            event: dict[str, Any] = {
                "event_id": self.names.event_id("benchmark", str(number)), "occurred_at": day,
                "patient": self.names.patient(f"P{patient:08d}"),
                "recorded_at": day + timedelta(days=1, seconds=rng.randrange(80_000)), "source": SOURCE,
            }
            if member:
                self.values.append(encode(EnrolmentEvent(**event, payload=Enrolment(programme="insured"))))
                continue
            cents = rng.randrange(1, 20_000)
            payload = Claim(care_type=rng.choice(CARE), product=f"Z{rng.randrange(100):05d}", cents=cents)
            self.values.append(encode(ClaimEvent(**event, payload=payload)))
            self.cents += cents

    def partition(self, number: int) -> list[tuple[bytes | None, bytes]]:
        """(key, value) of one source partition: its share of the events, and the end of the source."""
        mine = self.partitions[number]
        records: list[tuple[bytes | None, bytes]] = [(f"claims.csv:{i}".encode(), self.values[i]) for i in mine]
        return [*records, (None, encode(Heartbeat(source=SOURCE)))]


def measure_ingest(rows: int, runs: int) -> list[dict[str, Any]]:
    """All contenders, over `runs` runs each after one that warms up and is checked."""
    with (
        tempfile.TemporaryDirectory(prefix="winnow-benchmark-", ignore_cleanup_errors=True) as folder,
        EmbeddedBroker(Path(folder)) as server,
    ):
        return asyncio.run(_measure(Broker(server.address), _Load(rows), runs))


async def _measure(broker: Broker, load: _Load, runs: int) -> list[dict[str, Any]]:
    draft, part = load.draft, max(1, load.rows // FAUST_PART)
    wanted = [
        topics.source(PARTY), topics.rejected(PARTY), topics.panes(PARTY, draft.name),
        *(topics.sharded(PARTY, _log(number)) for number in range(runs + 1)),
    ]
    await create_topics(broker, [
        *(Topic(name, SHARDS, 1) for name in wanted), Topic(faust_table.TOPIC, 1, 1),
        *(Topic(faust_table.changelog(f"run-{number}"), 1, 1, compacted=True) for number in range(runs + 1)),
    ])
    async with Producer(broker) as producer:
        for number in range(SHARDS):
            await producer.send(topics.source(PARTY), number, load.partition(number))
        await producer.send(faust_table.TOPIC, 0, ((None, value) for value in load.values[-part:]))
    contenders: list[tuple[str, int, Callable[[int], Awaitable[float]]]] = [
        ("winnow", load.rows, lambda number: _winnow(broker, load, number)),
        ("aiokafka-bare", load.rows, lambda _: _bare(broker, load)),
        ("faust-table", part, lambda number: asyncio.to_thread(_faust, broker, load, part, f"run-{number}")),
    ]
    seconds: dict[str, list[float]] = {name: [] for name, _, _ in contenders}
    for number in range(runs + 1):
        for name, _, run in contenders:
            spent = await run(number)
            if number:
                seconds[name].append(spent)
            elif name == "winnow":
                await _check(broker, load)
            sys.stderr.write(f"{number} of {runs}, {name}: {spent:.2f} s\n")
    found = [case("source topic to panes", name, rows, seconds[name]) for name, rows, _ in contenders]
    return [row | {"rows_per_second": round(row["rows"] / row["seconds"])} for row in found]


def _log(number: int) -> str:
    """The agreement whose name the sharded topic of a run bears: shards begin with an empty log."""
    return f"run-{number}"


async def _winnow(broker: Broker, load: _Load, number: int) -> float:
    """Seconds until every pane is acknowledged."""
    draft, counts, pulse = load.draft, Counts(), Pulse(STALL_SECONDS)
    reject_key = X25519PrivateKey.from_private_bytes(REJECTS_KEY).public_key()
    partitions, tags = range(SHARDS), Tags(SHARING_KEY, AGREEMENT)
    shards = [Shard(draft, PARTY, shard, bytes(32), SHARDS) for shard in partitions]
    stage = PaneStage(draft, AGREEMENT, PARTY, tags, shards, load.names.link_key, reject_key)
    rekeyer = Rekeyer(draft, PARTY, load.names, reject_key)
    async with (
        Producer(broker) as producer, Consumer(broker, topics.source(PARTY), partitions) as consumer,
        Consumer(broker, topics.sharded(PARTY, _log(number)), partitions) as log,
    ):
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            group.create_task(rekey(
                rekeyer, tags, PARTY, _log(number), {p: beginning(p) for p in partitions}, consumer, producer, counts,
                lambda *_: None, pulse,
            ))
            group.create_task(stage.run(log, producer, counts, lambda *_: None, pulse))
        spent = time.perf_counter() - begin
    if (counts.accepted, counts.rejected.total(), counts.late_pending) != (load.rows, 0, 0):
        raise RuntimeError(f"of {load.rows} rows: {counts.summary()}")
    return spent


async def _check(broker: Broker, load: _Load) -> None:
    """Refuse panes that do not hold what was claimed."""
    cents, ended = 0, 0
    async with Consumer(broker, topics.panes(PARTY, load.draft.name), range(SHARDS)) as consumer:
        while ended < SHARDS:
            for record in await consumer.poll(2.0, 32):
                if record.key == END_KEY:
                    ended += 1
                    continue
                header, content = open_snapshot(record.value[:-TAG_BYTES])
                if header.kind == "pane":
                    high, low = (content[header.columns.index(name)].view(np.int64).sum() for name in COST_COLUMNS)
                    cents += (int(high) << LIMB_BITS) + int(low)
    if cents != load.cents:
        raise RuntimeError(f"found {cents} cents in panes; expected {load.cents}")


async def _bare(broker: Broker, load: _Load) -> float:
    """Seconds until the dict holds everything."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.address, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest",
        fetch_max_wait_ms=broker.profile.fetch_wait_ms, max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_bytes=FETCH_BYTES,
    )
    events: dict[str, PatientEvent] = {}
    ends, validate = 0, _ADAPTER.validate_python
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topics.source(PARTY), p) for p in range(SHARDS)])
        begin = time.perf_counter()
        while ends < SHARDS:
            for records in (await consumer.getmany(timeout_ms=500, max_records=POLL_RECORDS)).values():
                for record in records:
                    event = validate(json.loads(record.value))
                    if isinstance(event, Heartbeat):
                        ends += 1
                    else:
                        events[event.event_id] = event
        spent = time.perf_counter() - begin
    finally:
        await consumer.stop()
    cents = sum(event.payload.cents for event in events.values() if isinstance(event, ClaimEvent))
    if (len(events), cents) != (load.rows, load.cents):
        raise RuntimeError(f"the bare loop found {len(events)} events and {cents} cents; expected {load.cents}")
    return spent


def _faust(broker: Broker, load: _Load, part: int, name: str) -> float:
    """Seconds that the last `part` events took in a new process."""
    command = [sys.executable, "-m", "benchmarks.faust_table", broker.address, name, str(part)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=FAUST_SECONDS)
    found = json.loads(answer.stdout)
    expected = sum(
        event.payload.cents for event in map(_ADAPTER.validate_json, load.values[-part:])
        if isinstance(event, ClaimEvent)
    )
    if found["cents"] != expected:
        raise RuntimeError(f"Faust's table has {found['cents']} cents; expected {expected}")
    return float(found["seconds"])
