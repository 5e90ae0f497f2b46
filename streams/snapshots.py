"""The panes stage: shards fold their logs; registers and sealed panes are stored before they are shared."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from numpy.typing import NDArray

from policy.agreement import Draft
from streams import topics
from streams.batch import LINK_COLUMN, BatchHeader, party_columns, snapshot
from streams.broker import Consumer, Producer, Record
from streams.checkpoint import Checkpoints
from streams.columns import EventColumns
from streams.envelope import encode
from streams.erasure import LIST_KEY, ErasureList
from streams.errors import BatchError, BrokerError, StreamsError
from streams.flow import END_SECONDS, POLL_SECONDS, Counts, Outbox, Progress, Pulse, polls
from streams.panes import Sealed
from streams.register import EPOCH
from streams.rejects import seal_rejected
from streams.shard import Refused, Shard
from streams.tags import Tags
from streams.withdrawn import Listed

BLOCK_KEY = b"block"
"""Of a snapshot of one block."""
END_KEY = b"end"
"""The last record of a partition: everything of this epoch has been written."""
LOG_RECORDS = 32
"""Records of the log taken at a time: at most 900 kB each."""
TURN_OUTCOMES = 500
"""Refused events in memory at once; of sealed panes there is one."""


class PaneStage:
    """One party's shards, from the sharded topic to the panes and the rejected topic.

    Args:
        draft: the agreement.
        agreement: its hash.
        party: whose stage.
        tags: of the party.
        shards: all of them, in order.
        link_key: patient → link key.
        reject_key: refused events are sealed to it.
        checkpoints: where states are kept; None: nowhere.
    """

    def __init__(
        self, draft: Draft, agreement: str, party: str, tags: Tags, shards: Sequence[Shard],
        link_key: Callable[[str], int], reject_key: X25519PublicKey, checkpoints: Checkpoints | None = None,
    ) -> None:
        self._draft, self._agreement, self._party, self._shards = draft, agreement, party, shards
        self._tags, self._checkpoints = tags, checkpoints
        self._link_key, self._reject_key = link_key, reject_key
        self._registered = [shard.panes.register.opened for shard in shards]
        """Of each shard, the batches of its register that were stored."""
        self._columns = party_columns(draft, party)
        self._topic, self._rejected = topics.panes(party, draft.name), topics.rejected(party)

    async def catch_up(self, consumer: Consumer, producer: Producer, counts: Counts, pulse: Pulse) -> None:
        """Fold what the log holds already, from every shard's `position` on: then shards know how far re-keying came.

        Args:
            consumer: of the sharded topic.
            producer: for the panes and the rejected topic.
            counts: gets what was accepted, refused and late from here on.
            pulse: see streams.flow.Pulse.

        Raises:
            BrokerError: the log no longer has what follows a state; and see `run`.
            StalledError, StreamsError: see `run`.
        """
        for number, shard in enumerate(self._shards):
            await consumer.seek(number, shard.position)
        ends = (await consumer.ends(range(len(self._shards)))).values()
        outbox = Outbox(producer)
        while any(shard.position < end for shard, end in zip(self._shards, ends, strict=True)):
            records = await consumer.poll(POLL_SECONDS, LOG_RECORDS)
            if not records:
                pulse.check(consumer.topic)
            await self._take(consumer.topic, records, outbox, counts, pulse)
        self._count(counts)

    async def run(
        self, consumer: Consumer, producer: Producer, counts: Counts, progress: Progress, pulse: Pulse
    ) -> None:
        """Fold on until every agreed source has ended in every source partition.

        Args:
            consumer: of the sharded topic, from every shard's `position` on.
            producer: for the panes and the rejected topic.
            counts: gets what was accepted, refused and late from here on.
            progress: told of "panes", sealed of all.
            pulse: see streams.flow.Pulse.

        Raises:
            StalledError, BrokerError: see streams.flow.polls and Producer.send.
            StreamsError: the sharded topic lost records.
        """
        outbox, total = Outbox(producer), len(self._shards) * self._draft.panes.count
        if not self._ended():
            async for records in polls(consumer, pulse, LOG_RECORDS):
                await self._take(consumer.topic, records, outbox, counts, pulse)
                progress("panes", sum(shard.panes.sealed for shard in self._shards), total)
                if self._ended():
                    break
        for number in range(len(self._shards)):
            self._store(outbox, number, END_KEY, b"")
        await outbox.send()

    def _ended(self) -> bool:
        return all(shard.ended for shard in self._shards)

    async def _take(
        self, log: str, records: Sequence[Record], outbox: Outbox, counts: Counts, pulse: Pulse
    ) -> None:
        for record in records:
            await self._fold(log, record, outbox, counts)
            pulse.beat()
            self._count(counts)
            if self._checkpoints is not None:
                await self._checkpoints.keep_if_due(record.partition, self._shards[record.partition])

    def _count(self, counts: Counts) -> None:
        counts.accepted = sum(shard.accepted for shard in self._shards)
        counts.late_pending = sum(shard.panes.late_pending for shard in self._shards)
        counts.late_after_maturity = sum(shard.panes.late_after_maturity for shard in self._shards)

    async def _fold(self, log: str, record: Record, outbox: Outbox, counts: Counts) -> None:
        shard = self._shards[record.partition]
        shard.latest = hashlib.sha256(record.value).hexdigest()
        columns = await asyncio.to_thread(self._read, log, record)
        if columns is None:
            self._tags.report(log, record)
            shard.pass_over(record.offset)
            return
        outcomes = shard.fold(record.offset, columns)
        more = True
        while more:
            # In a thread: folding does not hold up the connections to the broker.
            refused, made, more = await asyncio.to_thread(_some, outcomes)
            for outcome in refused:
                outbox.put(self._rejected, 0, None, seal_rejected(
                    outcome.reason, outcome.event.source, outcome.position, encode(outcome.event), self._reject_key
                ))
            counts.rejected.update(outcome.reason for outcome in refused)
            for batch in range(self._registered[record.partition], shard.panes.register.opened):
                self._registered[record.partition] = batch + 1
                self._put(outbox, record.partition, -1, shard.panes.register.link_column(self._link_key, batch), batch)
            if isinstance(made, Sealed):
                self._put(outbox, record.partition, made.pane, made.content.view(np.uint64), made.revision)
            elif made is not None:
                self._store(outbox, record.partition, LIST_KEY, ErasureList(
                    agreement=self._agreement, party=self._party, shard=record.partition, number=made.number,
                    boundary=made.boundary, slots=made.slots,
                ).canonical)
            await outbox.send()

    def _put(
        self, outbox: Outbox, shard: int, pane: int, content: NDArray[np.uint64], revision: int = 0
    ) -> None:
        """The blocks of what is sealed of a pane, or of a batch of the register, which `revision` is then."""
        size = self._draft.linkage.block_slots
        blocks = range(content.shape[1] // size)
        if pane < 0:
            blocks = self._shards[shard].panes.register.blocks_of(revision)
        for place, block in enumerate(blocks):
            header = BatchHeader(
                agreement=self._agreement, epoch=EPOCH, party=self._party, shard=shard, block=block,
                kind="register" if pane < 0 else "pane", pane=pane, revision=revision,
                columns=(LINK_COLUMN,) if pane < 0 else self._columns, slots=size,
                blocks=blocks.stop if pane < 0 else None,
            )
            self._store(outbox, shard, BLOCK_KEY, snapshot(header, content[:, place * size : (place + 1) * size]))

    def _store(self, outbox: Outbox, shard: int, key: bytes, value: bytes) -> None:
        outbox.put(self._topic, shard, key, self._tags.put(self._topic, shard, key, value))

    def _read(self, log: str, record: Record) -> EventColumns | None:
        """What a record of the log says; None if it is not the party's."""
        value = self._tags.take(log, record)
        if value is None:
            return None
        try:
            return EventColumns.from_bytes(value)
        except BatchError as error:
            raise StreamsError(
                f"record {record.offset} of shard {record.partition} is none that re-keying writes: {error}"
            ) from error


async def is_of(log: Consumer, shard: int, state: Shard) -> bool:
    """Whether a state is one of this log: the record that it ends with is there, or retention has deleted it.

    Args:
        log: consumer of the shard's partition of the sharded topic.
        shard: its number.
        state: of the shard, with a position beyond 0.

    Raises:
        BrokerError: no answer, or the record does not come.
    """
    last = state.position - 1
    begins, ends = await log.begins([shard]), await log.ends([shard])
    if last >= ends[shard]:
        return False
    if last < begins[shard]:
        return True
    await log.seek(shard, last)
    limit = time.monotonic() + END_SECONDS
    while time.monotonic() < limit:
        for record in await log.poll(POLL_SECONDS, 1):
            return record.offset == last and hashlib.sha256(record.value).hexdigest() == state.latest
    raise BrokerError(f"{log.topic} gave nothing for {END_SECONDS:g} s before its end")


def _some(outcomes: Iterator[Refused | Sealed | Listed]) -> tuple[list[Refused], Sealed | Listed | None, bool]:
    """Refusals, up to a sealed pane, a list or TURN_OUTCOMES; and whether there may be more."""
    refused: list[Refused] = []
    for outcome in islice(outcomes, TURN_OUTCOMES):
        if not isinstance(outcome, Refused):
            return refused, outcome, True
        refused.append(outcome)
    return refused, None, len(refused) == TURN_OUTCOMES
