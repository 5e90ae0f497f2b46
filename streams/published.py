"""What a party's source topic holds already of its files: where a replay that was interrupted goes on."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from streams.broker import Consumer
from streams.envelope import Heartbeat, parse
from streams.errors import BrokerError
from streams.flow import END_SECONDS, POLL_SECONDS, to_the_end
from streams.numbering import mark_of, number_of, position_of

TAIL_RECORDS = 600
"""Looked at from the end of a partition: its last heartbeats, one a source, and the line before them."""
POLL_RECORDS = 1_000


@dataclass(frozen=True)
class Published:
    """The end of one partition of the source topic."""

    line: int = 0
    """Number of the last line of a replay; 0 if there is none."""
    mark: bytes = b""
    """Of the lines up to it: streams.numbering."""
    position: bytes = b""
    """Where it stands in the party's files."""
    first: int = 0
    """Number of the first line; 0 if nobody knows: retention took it, or others wrote before it."""
    ended: frozenset[str] = frozenset()
    """Sources whose final heartbeat is there."""


async def published(consumer: Consumer, partitions: Sequence[int]) -> dict[int, Published]:
    """Partition → what its first record and its last ones say.

    Args:
        consumer: of the source topic, of these partitions; left at their ends.
        partitions: of the source topic.

    Raises:
        BrokerError: no answer, or the topic gives nothing before its end.
    """
    found = dict.fromkeys(partitions, Published())
    begins, ends = await consumer.begins(partitions), await consumer.ends(partitions)
    whole = [partition for partition in partitions if begins[partition] == 0 < ends[partition]]
    for partition, first in (await _firsts(consumer, whole)).items():
        found[partition] = Published(first=first)
    for partition, end in ends.items():
        await consumer.seek(partition, max(begins[partition], end - TAIL_RECORDS))
    async for records in to_the_end(consumer, partitions, POLL_RECORDS):
        for record in records:
            before = found[record.partition]
            if (number := number_of(record.key)) > before.line:
                key = record.key or b""
                found[record.partition] = replace(before, line=number, mark=mark_of(key), position=position_of(key))
            elif record.key is None and (source := _final(record.value)) is not None:
                found[record.partition] = replace(before, ended=before.ended | {source})
    return found


async def _firsts(consumer: Consumer, partitions: Sequence[int]) -> dict[int, int]:
    """Partition → the number of its first record; of partitions that have all their records."""
    found: dict[int, int] = {}
    for partition in partitions:
        await consumer.seek(partition, 0)
    limit = time.monotonic() + END_SECONDS
    while len(found) < len(partitions):
        for record in await consumer.poll(POLL_SECONDS, POLL_RECORDS):
            found.setdefault(record.partition, number_of(record.key))
        if time.monotonic() > limit:
            raise BrokerError(f"{consumer.topic} did not give its first records for {END_SECONDS:g} s")
    return found


def _final(value: bytes) -> str | None:
    try:
        event = parse(value)
    except ValidationError:
        return None
    return event.source if isinstance(event, Heartbeat) and event.final else None
