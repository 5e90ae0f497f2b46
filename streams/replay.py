"""Replay: a party's files, in the order of recording, onto its source topic; or on from where one stopped."""

import asyncio
from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from streams import topics
from streams.broker import Producer
from streams.envelope import Heartbeat, encode
from streams.errors import SourceError
from streams.flow import POLL_RECORDS, TURN_RECORDS, Counts, Outbox, Progress, Pulse
from streams.numbering import numbered
from streams.pseudonym import Pseudonyms
from streams.published import Published
from streams.rejects import Reason, seal_rejected
from streams.sources.lines import IndexedFile, read_events, replay_order


async def replay(
    files: Sequence[IndexedFile], party: str, sources: Sequence[str], there: Mapping[int, Published],
    pseudonyms: Pseudonyms, producer: Producer, reject_key: X25519PublicKey, counts: Counts, progress: Progress,
    pulse: Pulse,
) -> None:
    """Publish every line's event, or its refusal; then each source's final heartbeat in each partition.

    Lines go out in batches, and the next one when the whole of the one before is stored. So what the last line of every
    partition is tells which lines are there: those are read again, for the counts, but not sent. Refused lines of the
    last batch of an interrupted replay may stand on the rejected topic twice.

    Args:
        files: the party's.
        party: its name.
        sources: the agreed ones.
        there: partition of the source topic → what it holds already; as many partitions as shards.
        pseudonyms: of the party.
        producer: for the source and the rejected topic.
        reject_key: refused lines are sealed to it.
        counts: gets what was read, and refused here, of all lines.
        progress: told of "replay".
        pulse: see streams.flow.Pulse.

    Raises:
        SourceError: a file can no longer be read, or the files are not those of the interrupted replay.
        BrokerError: see Producer.send.
    """
    outbox = Outbox(producer)
    source, rejected = topics.source(party), topics.rejected(party)
    total = sum(len(f) for f in files)
    await asyncio.to_thread(_check_same, files, party, there)
    first_open = (max(before.line for before in there.values()) - 1) // POLL_RECORDS * POLL_RECORDS
    for number, (file, position, event, line) in enumerate(read_events(files), 1):
        counts.read += 1
        if isinstance(event, Reason):
            counts.rejected[event] += 1
            if number > first_open:
                outbox.put(rejected, 0, None, seal_rejected(
                    event, file.form.source, position.key.decode(), line, reject_key
                ))
        elif number > first_open:
            shard = pseudonyms.shard(event.patient, len(there))
            if number > there[shard].line:
                outbox.put(source, shard, numbered(number, position.key), encode(event))
        if number % TURN_RECORDS == 0:
            await asyncio.sleep(0)
        if number % POLL_RECORDS == 0:
            await outbox.send()
            pulse.beat()
            progress("replay", number, total)
    await outbox.send()
    for partition, before in there.items():
        for name in sources:
            if name not in before.ended:
                outbox.put(source, partition, None, encode(Heartbeat(source=name)))
    await outbox.send()
    progress("replay", total, total)


def _check_same(files: Sequence[IndexedFile], party: str, there: Mapping[int, Published]) -> None:
    """What is there must be of these files, in this order."""
    positions = {before.line: before.position for before in there.values() if before.line}
    for number, (which, row) in enumerate(replay_order(files), 1):
        if number in positions and positions.pop(number) != files[which].position(row).key:
            positions[number] = b""
            break
        if not positions:
            return
    if positions:
        raise SourceError(
            f"{topics.source(party)} holds line {min(positions)} of a replay, which is another one in these files. "
            "An interrupted replay goes on with the same files only: put them back, or start with new topics"
        )
