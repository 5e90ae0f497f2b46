"""Replay: a party's files, in the order of recording, onto its source topic; or on from where one stopped."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from streams import topics
from streams.broker import Producer
from streams.envelope import Heartbeat, PatientEvent, encode
from streams.errors import SourceError
from streams.flow import POLL_RECORDS, TURN_RECORDS, Counts, Outbox, Progress, Pulse
from streams.numbering import MARK_BYTES, numbered
from streams.pseudonym import Pseudonyms
from streams.published import Published
from streams.rejects import Reason, seal_rejected
from streams.sources.lines import IndexedFile, read_events, read_lines


@dataclass(frozen=True)
class Span:
    """Lines of a party's files, by their number in the order of recording; none if `last` is before `first`."""

    first: int
    last: int
    ends: bool
    """Whether the files end with it, so that the sources have."""


def span_of(files: Sequence[IndexedFile], start: datetime | None = None, stop: datetime | None = None) -> Span:
    """The lines recorded from `start` on, and before `stop`; by default all."""
    keys = np.sort(np.concatenate([np.asarray(f.keys, dtype=np.int64) for f in files]))
    first = 0 if start is None else int(np.searchsorted(keys, round(start.timestamp() * 1e6)))
    last = len(keys) if stop is None else int(np.searchsorted(keys, round(stop.timestamp() * 1e6)))
    return Span(first + 1, last, ends=last == len(keys))


@dataclass
class Outlook:
    """What a replay of a span would do."""

    lines: int = 0
    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(source, kind) → events."""
    refused: Counter[Reason] = field(default_factory=Counter)
    there: int = 0
    """Events that stand on the source topic already."""
    first: datetime | None = None
    """When the first event was recorded."""
    last: datetime | None = None

    @property
    def to_send(self) -> int:
        """Events that a replay would publish."""
        return self.events.total() - self.there


def outlook(
    files: Sequence[IndexedFile], party: str, span: Span, there: Mapping[int, Published], pseudonyms: Pseudonyms
) -> Outlook:
    """Look at every line of a span, and send nothing.

    Raises:
        SourceError: a file can no longer be read, or what is there does not fit the span: see `check_there`.
    """
    check_there(files, party, span, there, pseudonyms)
    found = Outlook()
    for number, (file, _, event, _) in enumerate(read_events(files, span.first, span.last), span.first):
        found.lines += 1
        if isinstance(event, Reason):
            found.refused[event] += 1
            continue
        found.events[file.form.source, event.kind] += 1
        found.there += number <= there[pseudonyms.shard(event.patient, len(there))].line
        found.first, found.last = found.first or event.recorded_at, event.recorded_at
    return found


async def replay(
    files: Sequence[IndexedFile], party: str, span: Span, sources: Sequence[str], there: Mapping[int, Published],
    pseudonyms: Pseudonyms, producer: Producer, reject_key: X25519PublicKey, counts: Counts, progress: Progress,
    pulse: Pulse,
) -> None:
    """Publish every line's event, or its refusal; at the files' end each source's final heartbeat in each partition.

    Lines go out in batches, and the next one when the whole of the one before is stored. So what the last line of every
    partition is tells which lines are there: those are read again, for the counts, but not sent. Refused lines of the
    last batch of an interrupted replay may stand on the rejected topic twice.

    Args:
        files: the party's.
        party: its name.
        span: the lines; those before it must be there, or nothing at all.
        sources: the agreed ones.
        there: partition of the source topic → what it holds already; as many partitions as shards.
        pseudonyms: of the party.
        producer: for the source and the rejected topic.
        reject_key: refused lines are sealed to it.
        counts: gets what was read, and refused here, of all lines.
        progress: told of "replay".
        pulse: see streams.flow.Pulse.

    Raises:
        SourceError: a file can no longer be read, or what is there does not fit the files: see `check_there`.
        BrokerError: see Producer.send.
    """
    outbox = Outbox(producer)
    source, rejected = topics.source(party), topics.rejected(party)
    total = span.last - span.first + 1
    trail = await asyncio.to_thread(check_there, files, party, span, there, pseudonyms, pulse.beat)
    first_open = (max(before.line for before in there.values()) - 1) // POLL_RECORDS * POLL_RECORDS
    lines = read_events(files, span.first, span.last)
    for number, (file, position, event, line) in enumerate(lines, span.first):
        counts.read += 1
        trail.take(file, line)
        if isinstance(event, Reason):
            counts.rejected[event] += 1
            if number > first_open:
                outbox.put(rejected, 0, None, seal_rejected(
                    event, file.form.source, position.key.decode(), line, reject_key
                ))
        elif number > first_open:
            shard = pseudonyms.shard(event.patient, len(there))
            if number > there[shard].line:
                outbox.put(source, shard, numbered(number, trail.mark, position.key), encode(event))
        if number % TURN_RECORDS == 0:
            await asyncio.sleep(0)
        if number % POLL_RECORDS == 0:
            await outbox.send()
            pulse.beat()
            progress("replay", counts.read, total)
    await outbox.send()
    # An empty period, of a topic without lines, says nothing about the sources.
    over = span.ends and (span.first <= span.last or any(before.line for before in there.values()))
    for partition, before in there.items():
        for name in sources if over else ():
            if name not in before.ended:
                outbox.put(source, partition, None, encode(Heartbeat(source=name)))
    await outbox.send()
    progress("replay", total, total)


class Trail:
    """What a replay has read so far, as a digest under the party's key."""

    def __init__(self, digest: "hashlib.blake2b") -> None:
        self._digest = digest

    def take(self, file: IndexedFile, line: bytes) -> None:
        """The next line in the order of recording."""
        self._digest.update(b"%s\0%d\0" % (file.form.file.encode(), len(line)))
        self._digest.update(line)

    def copy(self) -> "Trail":
        """One that goes on by itself."""
        return Trail(self._digest.copy())

    @property
    def mark(self) -> bytes:
        """Of all lines so far: streams.numbering."""
        return self._digest.copy().digest()[:MARK_BYTES]


def check_there(
    files: Sequence[IndexedFile], party: str, span: Span, there: Mapping[int, Published], pseudonyms: Pseudonyms,
    beat: Callable[[], None] = lambda: None,
) -> Trail:
    """What is there must be of these files, line by line, and reach to the span; returns the trail of the lines before.

    Args:
        files: the party's.
        party: its name.
        span: the lines that are to be there.
        there: partition of the source topic → what it holds already.
        pseudonyms: of the party.
        beat: called now and then; this may take a minute for each ten million lines.

    Raises:
        SourceError: it is of other files, lines between it and the span are missing, or the span begins before it, or
            goes on after an end.
    """
    topic, latest = topics.source(party), max(before.line for before in there.values())
    wanted = {before.line: before for before in there.values() if before.line}
    trail = Trail(pseudonyms.digest_of_lines())
    before_span = trail.copy()
    for number, (file, row, line) in enumerate(read_lines(files, max(latest, span.first - 1)), 1):
        if number % POLL_RECORDS == 0:
            beat()
        trail.take(file, line)
        if number == span.first - 1:
            before_span = trail.copy()
        if number in wanted:
            known = wanted[number]
            if (known.position, known.mark) != (file.position(row).key, trail.mark):
                break
            del wanted[number]
    if wanted:
        raise SourceError(
            f"{topic} holds line {min(wanted)} of a replay, and in these files that, or a line before, is another. "
            "A replay goes on with the same files only: put them back, or start with new topics"
        )
    if left := sum(1 for _ in _events(files, latest + 1, span.first - 1, beat)) if latest else 0:
        raise SourceError(
            f"{topic} holds lines up to number {latest}, and this replay would begin with {span.first}: "
            f"{left} events between them would be left out. Begin earlier"
        )
    if early := _before(files, span, there, pseudonyms, beat):
        raise SourceError(
            f"{topic} begins with later lines than this replay: {early} of its events can no longer come before them. "
            "Begin later, or start with new topics"
        )
    if after := _after_end(files, span, there, pseudonyms, beat):
        raise SourceError(
            f"sources have ended on {topic}, and {after} events of this replay would come after that, where nobody "
            "reads them. Start with new topics; while files still grow, replay with --to, which ends no source"
        )
    return before_span


def _events(
    files: Sequence[IndexedFile], first: int, last: int, beat: Callable[[], None]
) -> Iterator[tuple[int, str, PatientEvent]]:
    """Number, source and event of some lines. Refused ones are left out: they are not there, and are not missing."""
    if first > last:
        return
    for number, (file, _, event, _) in enumerate(read_events(files, 1, last), 1):
        if number % POLL_RECORDS == 0:
            beat()
        if number >= first and not isinstance(event, Reason):
            yield number, file.form.source, event


def _after_end(
    files: Sequence[IndexedFile], span: Span, there: Mapping[int, Published], pseudonyms: Pseudonyms,
    beat: Callable[[], None],
) -> int:
    """Events of a span that are not there, in partitions in which their source has ended."""
    if not any(before.ended for before in there.values()):
        return 0
    first, found = max(span.first, 1 + min(before.line for before in there.values())), 0
    for number, source, event in _events(files, first, span.last, beat):
        before = there[pseudonyms.shard(event.patient, len(there))]
        found += number > before.line and source in before.ended
    return found


def _before(
    files: Sequence[IndexedFile], span: Span, there: Mapping[int, Published], pseudonyms: Pseudonyms,
    beat: Callable[[], None],
) -> int:
    """Events of a span that should stand before what their partitions begin with."""
    begun = min((before.first for before in there.values() if before.line), default=0)
    # Of the batch with which a topic begins, some partitions may have nothing yet.
    batch = (begun - 1) // POLL_RECORDS * POLL_RECORDS + 1 if begun else 0
    first = {partition: before.first if before.line else batch for partition, before in there.items()}
    events = _events(files, span.first, min(span.last, max(first.values()) - 1), beat)
    return sum(number < first[pseudonyms.shard(event.patient, len(there))] for number, _, event in events)
