"""Replay: a party's files, in the order of recording, onto its source topic."""

import asyncio
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from streams import topics
from streams.broker import Producer
from streams.envelope import Heartbeat, encode
from streams.flow import POLL_RECORDS, TURN_RECORDS, Counts, Outbox, Progress, Pulse
from streams.pseudonym import Pseudonyms
from streams.rejects import Reason, seal_rejected
from streams.sources.lines import IndexedFile, read_events


async def replay(
    files: Sequence[IndexedFile], party: str, sources: Sequence[str], shards: int, pseudonyms: Pseudonyms,
    producer: Producer, reject_key: X25519PublicKey, counts: Counts, progress: Progress, pulse: Pulse,
) -> None:
    """Publish every line's event, or its refusal; then each source's final heartbeat in each partition.

    Raises:
        SourceError: a file can no longer be read.
        BrokerError: see Producer.send.
    """
    outbox = Outbox(producer)
    source, rejected = topics.source(party), topics.rejected(party)
    total = sum(len(f) for f in files)
    for number, (file, position, event, line) in enumerate(read_events(files), 1):
        counts.read += 1
        if isinstance(event, Reason):
            counts.rejected[event] += 1
            outbox.put(rejected, 0, None, seal_rejected(
                event, file.form.source, position.key.decode(), line, reject_key
            ))
        else:
            outbox.put(source, pseudonyms.shard(event.patient, shards), position.key, encode(event))
        if number % TURN_RECORDS == 0:
            await asyncio.sleep(0)
        if number % POLL_RECORDS == 0:
            await outbox.send()
            pulse.beat()
            progress("replay", number, total)
    for shard in range(shards):
        for name in sources:
            outbox.put(source, shard, None, encode(Heartbeat(source=name)))
    await outbox.send()
    progress("replay", total, total)
