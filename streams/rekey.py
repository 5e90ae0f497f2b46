"""Re-keying: what comes on the source topic, partitioned anyhow, goes on by shard, in columns; or is refused.

For every stretch of a source partition every shard gets a record, which may have no row: offsets and watermarks travel
with it. What a header says follows from the partition's records before its `next` alone. So a stretch that is sent
again, cut in whatever way, says the same, and who reads drops what it has seen.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from policy.agreement import Draft
from streams import topics
from streams.broker import Consumer, Producer, Record
from streams.columns import ENDED, MAX_BYTES, MAX_KEY_BYTES, UNKNOWN_SOURCE, EventColumns, Header
from streams.envelope import Heartbeat, parse
from streams.errors import StreamsError
from streams.fixed import Int64s
from streams.flow import Counts, Outbox, Progress, Pulse, polls
from streams.judge import Judge
from streams.marks import MICROS_PER_DAY, Source, course, least
from streams.numbering import number_of, position_of
from streams.parse import parse_batch
from streams.pseudonym import Pseudonyms
from streams.rejects import Reason, seal_rejected
from streams.rowwise import MICROSECOND, micros
from streams.tags import Tags
from streams.validate import CLOCK_SLACK

STRETCH_RECORDS = 16_000
"""Records taken at a time: many, since every shard gets a record for them."""
MESSAGE_RECORDS = 8_000
"""Rows of ordinary events that fit a message (80 bytes each, compressed); more would mostly be cut in two."""


@dataclass(frozen=True)
class Step:
    """What a stretch of a source partition became."""

    header: Header
    """Of the partition after it: where the next step begins."""
    sharded: list[list[bytes]]
    """Shard → records, in order."""
    rejected: list[bytes]
    """Records of the rejected topic."""
    accepted: int
    refused: Counter[Reason]

    @property
    def events(self) -> int:
        """How many of its records are no heartbeats, or are refused."""
        return self.accepted + self.refused.total()


@dataclass(frozen=True)
class _Refusal:
    """A record that is refused."""

    record: Record
    reason: Reason
    source: str
    """As far as it is known."""


class Rekeyer:
    """One party's re-keying without the topics: a function of a partition's header and its next records."""

    def __init__(self, draft: Draft, party: str, pseudonyms: Pseudonyms, reject_key: X25519PublicKey) -> None:
        self._shards, self._topic, self._reject_key = draft.shards, topics.source(party), reject_key
        self._sources = tuple(Source(s.name, s.bound_days * MICROS_PER_DAY) for s in draft.party(party).sources)
        self._names = tuple(s.name for s in self._sources)
        self._judge = Judge(draft, party, pseudonyms)
        self.most = min(STRETCH_RECORDS, MESSAGE_RECORDS * draft.shards)
        """Records that are best taken at a time."""

    def ended(self, header: Header) -> bool:
        """Whether every agreed source has ended in that partition."""
        return header.ended(self._names)

    def step(self, before: Header, records: Sequence[Record]) -> Step:
        """Re-key the next records of a partition.

        Args:
            before: the header after what came earlier; `beginning` of a partition of which nothing was read.
            records: at least one, offsets ascending from before.next on.

        Raises:
            StreamsError: a record from before `before.next`.
        """
        if records[0].offset < before.next:
            raise StreamsError(
                f"{self._topic}/{before.partition}: offset {records[0].offset} came again; {before.next} is next"
            )
        first, line = _first_time(before.line, records)
        header = Header(partition=before.partition, first=before.next, next=records[-1].offset + 1, line=line)
        events, refusals = self._judged(before, first, header)
        sharded = [self._of_shard(events, shard).to_bytes() for shard in range(self._shards)]
        if max(map(len, sharded)) > MAX_BYTES and len(records) > 1:
            middle = len(records) // 2
            one = self.step(before, records[:middle])
            two = self.step(one.header, records[middle:])
            return Step(
                two.header, [a + b for a, b in zip(one.sharded, two.sharded, strict=True)],
                one.rejected + two.rejected, one.accepted + two.accepted, one.refused + two.refused,
            )
        return Step(
            events.columns.header, [[record] for record in sharded], [self._sealed(r) for r in refusals],
            len(events.columns), Counter(r.reason for r in refusals),
        )

    def _judged(
        self, before: Header, records: Sequence[Record], header: Header
    ) -> tuple["_Sharded", list[_Refusal]]:
        """The events that may enter, under the completed header after them, and what may not."""
        values, offsets = [record.value for record in records], [record.offset for record in records]
        columns, broken, heartbeats = parse_batch(
            values, offsets, [None if r.key is None else position_of(r.key) for r in records], self._names, header
        )
        # A clock that is ahead would take the watermark along, and seal panes of which nothing has come.
        latest = _latest(records)
        judged = self._judge.judge(columns, latest[np.searchsorted(offsets, columns.offset)])
        refusals = [_Refusal(records[i], reason, "") for i, reason in broken]
        ahead = {i for i, beat in heartbeats if beat.recorded_at is not None and micros(beat.recorded_at) > latest[i]}
        refusals += [
            _Refusal(records[i], Reason.IN_THE_FUTURE, beat.source) for i, beat in heartbeats if i in ahead
        ]
        heartbeats = [(i, beat) for i, beat in heartbeats if i not in ahead]
        if judged.refused:
            place = dict(zip(offsets, records, strict=True))
            refusals += [
                _Refusal(place[int(columns.offset[row])], reason, self._source(columns, row, place))
                for row, reason in judged.refused
            ]
            kept = np.flatnonzero(judged.accepted)
            columns, judged = columns.take(kept), judged._replace(shard=judged.shard[kept])
        refusals.sort(key=lambda r: r.record.offset)
        way = course(
            self._sources, before.marks, columns.offset, columns.source, columns.occurred, columns.recorded,
            [(offsets[i], heartbeat) for i, heartbeat in heartbeats],
        )
        refused = Counter(before.refused)
        refused.update(str(r.reason) for r in refusals)
        header = header.model_copy(update={
            "marks": way.marks, "watermark": least(self._sources, way.marks),
            "accepted": before.accepted + len(columns), "refused": dict(sorted(refused.items())),
        })
        columns = replace(columns, header=header, watermark=way.watermark, clock=way.clock)
        return _Sharded(columns, judged.shard), refusals

    def _of_shard(self, events: "_Sharded", shard: int) -> EventColumns:
        if self._shards == 1:
            return events.columns
        return events.columns.take(np.flatnonzero(events.shard == shard))

    def _source(self, columns: EventColumns, row: int, place: Mapping[int, Record]) -> str:
        """The source of a refused event; one that is not agreed has no index, so it is read again."""
        index = int(columns.source[row])
        if index != UNKNOWN_SOURCE:
            return self._names[index]
        event = parse(place[int(columns.offset[row])].value)
        return "" if isinstance(event, Heartbeat) else event.source

    def _sealed(self, refusal: _Refusal) -> bytes:
        record = refusal.record
        position = position_of(record.key or b"") or f"{self._topic}:{record.partition}:{record.offset}".encode()
        return seal_rejected(
            refusal.reason, refusal.source, position.decode("utf-8", "replace")[:MAX_KEY_BYTES], record.value,
            self._reject_key,
        )


@dataclass(frozen=True)
class _Sharded:
    """Events and the shard of each."""

    columns: EventColumns
    shard: np.ndarray[tuple[int], np.dtype[np.int64]]


def _first_time(line: int, records: Sequence[Record]) -> tuple[Sequence[Record], int]:
    """Records without the lines of a replay that came before, and the number of the last line."""
    found, repeated = [number_of(record.key) for record in records], []
    for place, number in enumerate(found):
        if number > line:
            line = number
        elif number:
            repeated.append(place)
    if not repeated:
        return records, line
    again = set(repeated)
    return [record for place, record in enumerate(records) if place not in again], line


def _latest(records: Sequence[Record]) -> Int64s:
    """(n,) µs since 1970: nothing in a record was recorded after it was sent, but for CLOCK_SLACK; ENDED where
    a record does not tell when that was.
    """
    sent = np.array([record.timestamp for record in records], dtype=np.int64)
    told = (sent > 0) & (sent < ENDED // 2000)
    return np.where(told, np.where(told, sent, 0) * 1000 + CLOCK_SLACK // MICROSECOND, ENDED)


def beginning(partition: int) -> Header:
    """The header of a source partition of which nothing was read."""
    return Header(partition=partition, first=0, next=0)


async def rekey(
    rekeyer: Rekeyer, tags: Tags, party: str, agreement: str, headers: dict[int, Header], consumer: Consumer,
    producer: Producer, counts: Counts, progress: Progress, pulse: Pulse,
) -> None:
    """Re-key until every agreed source has ended in every partition of `headers`.

    The next records are read while those before them are stored: two stretches are in memory at most, besides what the
    consumer has fetched.

    Args:
        rekeyer: of the party.
        tags: of the party.
        party: whose topics these are.
        agreement: its name.
        headers: source partition → the header to go on from; `beginning` of one that is new. Kept current.
        consumer: of the party's source topic and these partitions.
        producer: for the sharded and the rejected topic.
        counts: gets what was refused from here on.
        progress: told of "ingest".
        pulse: see streams.flow.Pulse.

    Raises:
        StalledError, BrokerError: see streams.flow.polls and Producer.send.
        BrokerError: the source topic no longer has what a start asks for.
    """
    outbox = Outbox(producer)
    for partition, header in headers.items():
        await consumer.seek(partition, header.next)
    sharded, rejected, done = topics.sharded(party, agreement), topics.rejected(party), 0
    sending: asyncio.Task[None] | None = None
    if _all_ended(rekeyer, headers):
        return
    try:
        async for records in polls(consumer, pulse, rekeyer.most):
            by_partition: dict[int, list[Record]] = {}
            for record in records:
                by_partition.setdefault(record.partition, []).append(record)
            # In a thread: parsing does not hold up the connections to the broker, and mostly runs beside them.
            steps = [await asyncio.to_thread(rekeyer.step, headers[p], found) for p, found in by_partition.items()]
            if sending is not None:
                await sending
            for step in steps:
                headers[step.header.partition] = step.header
                for shard, messages in enumerate(step.sharded):
                    for message in messages:
                        outbox.put(sharded, shard, None, tags.put(sharded, shard, None, message))
                for message in step.rejected:
                    outbox.put(rejected, 0, None, message)
                done += step.events
                counts.rejected.update(step.refused)
            sending = asyncio.ensure_future(outbox.send())
            progress("ingest", done, max(done, counts.read))
            if _all_ended(rekeyer, headers):
                break
        if sending is not None:
            await sending
    finally:
        if sending is not None:
            sending.cancel()
            # Its error, if it has one beside ours, is nobody's.
            await asyncio.gather(sending, return_exceptions=True)


def _all_ended(rekeyer: Rekeyer, headers: Mapping[int, Header]) -> bool:
    return all(rekeyer.ended(header) for header in headers.values())
