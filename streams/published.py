"""What a party's source topic holds already of its files: where a replay that was interrupted goes on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from streams.broker import Consumer
from streams.envelope import Heartbeat, parse
from streams.flow import to_the_end
from streams.numbering import number_of, position_of

TAIL_RECORDS = 600
"""Looked at from the end of a partition: its last heartbeats, one a source, and the line before them."""
POLL_RECORDS = 1_000


@dataclass(frozen=True)
class Published:
    """The end of one partition of the source topic."""

    line: int = 0
    """Number of the last line of a replay; 0 if there is none."""
    position: bytes = b""
    """Where it stands in the party's files."""
    ended: frozenset[str] = frozenset()
    """Sources whose final heartbeat is there."""


async def published(consumer: Consumer, partitions: Sequence[int]) -> dict[int, Published]:
    """Partition → what its last records say.

    Args:
        consumer: of the source topic, of these partitions; left at their ends.
        partitions: of the source topic.

    Raises:
        BrokerError: no answer, or the topic gives nothing before its end.
    """
    found = dict.fromkeys(partitions, Published())
    begins, ends = await consumer.begins(partitions), await consumer.ends(partitions)
    for partition, end in ends.items():
        await consumer.seek(partition, max(begins[partition], end - TAIL_RECORDS))
    async for records in to_the_end(consumer, partitions, POLL_RECORDS):
        for record in records:
            before = found[record.partition]
            if (number := number_of(record.key)) > before.line:
                found[record.partition] = replace(before, line=number, position=position_of(record.key or b""))
            elif record.key is None and (source := _final(record.value)) is not None:
                found[record.partition] = replace(before, ended=before.ended | {source})
    return found


def _final(value: bytes) -> str | None:
    try:
        event = parse(value)
    except ValidationError:
        return None
    return event.source if isinstance(event, Heartbeat) and event.final else None
