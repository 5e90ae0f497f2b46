"""Ingest: what comes on the source topic is accepted for its shard, or refused with a reason."""

import asyncio

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from pydantic import ValidationError

from policy.agreement import Draft
from streams import topics
from streams.broker import Consumer, Producer, Record
from streams.envelope import Heartbeat, encode, parse
from streams.flow import TURN_RECORDS, Counts, Ends, Outbox, Progress, Pulse, polls
from streams.rejects import Reason, reason_of, seal_rejected
from streams.validate import Validator


async def ingest(
    draft: Draft, party: str, validator: Validator, consumer: Consumer, producer: Producer,
    reject_key: X25519PublicKey, counts: Counts, progress: Progress, pulse: Pulse,
) -> None:
    """Validate until every agreed source has ended in every partition.

    Raises:
        StalledError, BrokerError: see streams.flow.polls and Producer.send.
    """
    sources = [s.name for s in draft.party(party).sources]
    ends, outbox = Ends(range(draft.shards), sources), Outbox(producer)
    sharded, rejected = topics.sharded(party, draft.name), topics.rejected(party)
    done = 0
    async for records in polls(consumer, pulse):
        for record in records:
            done += 1
            if done % TURN_RECORDS == 0:
                await asyncio.sleep(0)
            outcome = _judge(record, validator)
            if isinstance(outcome, Heartbeat):
                done -= 1
                if outcome.final:
                    ends.end(record.partition, outcome.source)
                outbox.put(sharded, record.partition, None, record.value)
            elif isinstance(outcome, bytes):
                counts.accepted += 1
                outbox.put(sharded, record.partition, record.key, outcome)
            else:
                reason, name = outcome
                counts.rejected[reason] += 1
                position = record.key or f"{consumer.topic}:{record.partition}:{record.offset}".encode()
                outbox.put(rejected, 0, None, seal_rejected(
                    reason, name, position.decode("utf-8", "replace")[:400], record.value, reject_key
                ))
        await outbox.send()
        progress("ingest", done, counts.read)
        if ends.all:
            return


def _judge(record: Record, validator: Validator) -> bytes | Heartbeat | tuple[Reason, str]:
    """The bytes that go on, a heartbeat, or the reason of a refusal and the source, as far as it is known."""
    try:
        event = parse(record.value)
    except ValidationError as error:
        return reason_of(error), ""
    if isinstance(event, Heartbeat):
        return event
    checked = validator.check(event, record.partition)
    if isinstance(checked, Reason):
        return checked, event.source
    return record.value if checked is event else encode(checked)
