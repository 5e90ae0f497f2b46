"""The panes stage: accepted events in, snapshots of registers and sealed panes out, stored before they are shared."""

import asyncio
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from policy.agreement import Draft
from streams import topics
from streams.batch import LINK_COLUMN, BatchHeader, party_columns, snapshot
from streams.broker import Consumer, Producer
from streams.columns import ENDED, NEVER
from streams.envelope import Heartbeat, PatientEvent, parse
from streams.errors import StreamsError
from streams.flow import TURN_RECORDS, Counts, Ends, Outbox, Progress, Pulse, polls
from streams.panes import ShardPanes
from streams.register import register_seed
from streams.rowwise import micros
from streams.watermark import Watermark

EPOCH = 0
"""The register's: agreements have one so far."""
END_KEY = b"end"
"""The last record of a partition: everything of this epoch has been written."""


class PaneStage:
    """One party's shards, from the sharded topic to the panes topic; `key`: the party's alone."""

    def __init__(
        self, draft: Draft, agreement: str, party: str, link_key: Callable[[str], int], key: bytes
    ) -> None:
        self._draft, self._agreement, self._party, self._link_key = draft, agreement, party, link_key
        self._columns = party_columns(draft, party)
        self._topic = topics.panes(party, draft.name)
        self._shards = [
            ShardPanes(draft, party, register_seed(key, agreement, party, shard, EPOCH))
            for shard in range(draft.shards)
        ]
        bounds = {s.name: s.bound_days for s in draft.party(party).sources}
        self._watermarks = [Watermark(bounds) for _ in range(draft.shards)]
        self._clocks = [NEVER] * draft.shards
        self._registered = [False] * draft.shards

    async def run(
        self, consumer: Consumer, producer: Producer, counts: Counts, progress: Progress, pulse: Pulse
    ) -> None:
        """Work until every agreed source has ended in every shard.

        Raises:
            StalledError, BrokerError: see streams.flow.polls and Producer.send.
            StreamsError: the sharded topic holds what ingest never writes.
        """
        sources = [s.name for s in self._draft.party(self._party).sources]
        ends, outbox = Ends(range(self._draft.shards), sources), Outbox(producer)
        total = self._draft.shards * self._draft.panes.count
        async for records in polls(consumer, pulse):
            for number, record in enumerate(records, 1):
                if number % TURN_RECORDS == 0:
                    await asyncio.sleep(0)
                try:
                    event = parse(record.value)
                except ValidationError as error:
                    raise StreamsError(
                        f"{consumer.topic}/{record.partition} offset {record.offset} is not an envelope"
                    ) from error
                if isinstance(event, Heartbeat):
                    self._hear(record.partition, event)
                    if event.final:
                        ends.end(record.partition, event.source)
                else:
                    self._add(record.partition, event)
                # At once: what is late must not depend on how many records came together.
                if self._shards[record.partition].ripe:
                    await self._seal(record.partition, outbox)
            for shard in range(len(self._shards)):
                await self._seal(shard, outbox)
            counts.late_pending = sum(s.late_pending for s in self._shards)
            progress("panes", sum(s.sealed for s in self._shards), total)
            if ends.all:
                break
        for shard in range(len(self._shards)):
            outbox.put(self._topic, shard, END_KEY, b"")
        await outbox.send()

    def _hear(self, shard: int, heartbeat: Heartbeat) -> None:
        watermark = self._watermarks[shard]
        if heartbeat.until is None or heartbeat.recorded_at is None:
            watermark.finish(heartbeat.source)
        else:
            watermark.hear(heartbeat.source, heartbeat.until.timestamp(), heartbeat.recorded_at.timestamp())
            self._clocks[shard] = max(self._clocks[shard], micros(heartbeat.recorded_at))
        self._reach(shard)

    def _add(self, shard: int, event: PatientEvent) -> None:
        self._clocks[shard] = max(self._clocks[shard], micros(event.recorded_at))
        self._reach(shard)
        self._shards[shard].apply(event)
        self._watermarks[shard].observe(event.source, event.occurred_at.timestamp(), event.recorded_at.timestamp())
        self._reach(shard)

    def _reach(self, shard: int) -> None:
        value = self._watermarks[shard].value
        ends = {math.inf: ENDED, -math.inf: NEVER}
        self._shards[shard].reach(ends[value] if math.isinf(value) else round(value * 1e6), self._clocks[shard])

    async def _seal(self, shard: int, outbox: Outbox) -> None:
        state = self._shards[shard]
        if state.register.closed and not self._registered[shard]:
            self._registered[shard] = True
            self._put(outbox, shard, -1, state.register.link_column(self._link_key))
        while state.sealed < state.sealable:
            pane, content = state.seal()
            self._put(outbox, shard, pane, content.view(np.uint64))
            await outbox.send()
        await outbox.send()

    def _put(self, outbox: Outbox, shard: int, pane: int, content: NDArray[np.uint64]) -> None:
        size, blocks = self._draft.linkage.block_slots, self._shards[shard].register.blocks
        for block in range(blocks):
            header = BatchHeader(
                agreement=self._agreement, epoch=EPOCH, party=self._party, shard=shard, block=block,
                kind="register" if pane < 0 else "pane", pane=pane, revision=0,
                columns=(LINK_COLUMN,) if pane < 0 else self._columns, slots=size,
                blocks=blocks if pane < 0 else None,
            )
            outbox.put(self._topic, shard, b"block", snapshot(header, content[:, block * size : (block + 1) * size]))
