"""A party sends again what a node misses: the same batches and erasure lists, from the panes topic, where they were
stored before they were shared.

Masks are bound to content, so what is sent again has the very components that were sent before: nothing new is told,
whoever asks and however often. So with lists. What asking may cost the party is bounded: a batch or list is sent to a
node MOST_TIMES by one worker, and at most a tenth of the time goes into hearing words, and another tenth into looking
for what they ask.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

import structlog

from policy.agreement import Terms
from streams import topics
from streams.batch import open_snapshot
from streams.broker import Broker, Consumer, Producer, Record
from streams.erasure import LIST_KEY, ErasureList
from streams.errors import BatchError
from streams.flow import Outbox, to_the_end
from streams.holding import MOST_ASKED, PATIENCE_SECONDS, Holding, ListName, Name, open_holding
from streams.shard import Shard
from streams.share import POLL_SNAPSHOTS, Sharer
from streams.snapshots import BLOCK_KEY
from streams.sparing import Sparing
from streams.tags import Tags

MOST_TIMES = 5
"""A worker sends a batch or list again to a node."""
AGAIN_SECONDS = 30.0
"""So long after a batch was sent again its node is expected to have it."""
REST = 10
"""Hearing and looking took so many times less than the pause after it."""
REST_SECONDS = 5.0
"""The shortest pause."""
SETTLE_SECONDS = PATIENCE_SECONDS + 15.0
"""So long after a party that is done sent something again nodes may ask for more, of which a register told them."""
SETTLE_LIMIT_SECONDS = 3_600.0
"""A party that is done answers for no longer than this."""
POLL_SECONDS = 1.0
POLL_WORDS = 100


class Resender:
    """Answers the three nodes' words; `run` until cancelled, `settle` once at the end.

    Args:
        broker: where the panes topic is.
        terms: the agreement.
        party: whose batches.
        shards: all, in order: what is not shared for the first time yet is not sent again.
        sharer: of the party.
        tags: of the party.
        words: consumer of the holdings topic, from its beginning.
        producer: for the nodes' inboxes.
        told: told how many batches were sent again so far, whenever some were.
    """

    def __init__(
        self, broker: Broker, terms: Terms, party: str, shards: Sequence[Shard], sharer: Sharer, tags: Tags,
        words: Consumer, producer: Producer, told: Callable[[int], None],
    ) -> None:
        self._broker, self._terms, self._party, self._shards = broker, terms, party, shards
        self._sharer, self._tags, self._words, self._producer, self._told = sharer, tags, words, producer, told
        self._asked: dict[int, tuple[Holding, int]] = {}
        """Node → its latest word and when the broker took that (ms since 1970), until it is answered."""
        self._stored_at: dict[Name | ListName, int] = {}
        """List → when it came to the panes topic (ms since 1970), as far as somebody looked."""
        self._old = [shard.panes.withdrawn.made for shard in shards]
        """Lists of each shard that were on the panes topic before this worker began."""
        self._sought_at: dict[ListName, float] = {}
        self._known: dict[int, tuple[int, ...]] = {}
        """Node → by shard, the lists that it said last to have."""
        self._differing: dict[int, tuple[ListName, ...]] = {}
        self._times: Counter[tuple[int, Name | ListName]] = Counter()
        self._sent_at: dict[tuple[int, Name | ListName], float] = {}
        self._rest_until = 0.0
        self._log = structlog.get_logger()
        self.sent = 0
        """Batches and lists that were sent again, to any node."""
        self._gone: dict[Name | ListName, set[int]] = {}
        """What was not there when it was looked for → the nodes that asked for it."""
        self._sparing = Sparing()

    @property
    def gone(self) -> Counter[int]:
        """Shard → batches and lists that nodes miss and that were not on the panes topic when somebody looked last."""
        return Counter(name[0] for name in self._gone if len(name) != 2 or any(
            number <= name[1] for known in self._known.values() for number in known[name[0] : name[0] + 1]
        ))

    @property
    def differing(self) -> Counter[int]:
        """Shard → erasure lists of which some node said last that nodes have different contents."""
        return Counter(shard for shard, _ in set().union(*self._differing.values()))

    async def run(self) -> None:
        """Answer words as they come; first of all read what was said before, of which only the last words count.

        Raises:
            BrokerError: see streams.flow.to_the_end, Producer.send.
        """
        async for records in to_the_end(self._words, [0], POLL_WORDS):
            await self._listen(records)
        while True:
            await self._listen(await self._words.poll(POLL_SECONDS, POLL_WORDS))
            if self._asked and time.monotonic() >= self._rest_until:
                await self._answer()

    async def settle(self) -> None:
        """Answer what was asked by now, whenever the last answer was, and what follows: nodes ask for some at a time.

        Returns when nothing was sent for SETTLE_SECONDS; at once if nothing was asked; after SETTLE_LIMIT_SECONDS in
        any case.

        Raises:
            BrokerError: see streams.flow.to_the_end, Producer.send.
        """
        async for records in to_the_end(self._words, [0], POLL_WORDS):
            self._hear(records)
        until = time.monotonic()
        limit = until + SETTLE_LIMIT_SECONDS
        while True:
            before = self.sent
            if self._asked:
                await self._answer()
            now = time.monotonic()
            if self.sent > before:
                until = min(now + SETTLE_SECONDS, limit)
            if now >= until:
                return
            self._hear(await self._words.poll(POLL_SECONDS, POLL_WORDS))

    async def _listen(self, records: Sequence[Record]) -> None:
        """Hear words, and rest: somebody may say more of them than can be heard."""
        began = time.monotonic()
        self._hear(records)
        await asyncio.sleep(REST * (time.monotonic() - began))

    def _hear(self, records: Sequence[Record]) -> None:
        for record in records:
            try:
                word = open_holding(record.value, self._terms, self._party)
            except BatchError as error:
                if count := self._sparing.due("ignored"):
                    self._log.warning("nodes' words ignored", words=count, reason=str(error), offset=record.offset)
                continue
            self._differing[word.node] = word.differing
            self._known[word.node] = word.lists
            self._asked.pop(word.node, None)
            if word.missing or next(self._lacked(word), None) is not None:
                self._asked[word.node] = word, record.timestamp
            else:
                self._gone = {n: left for n, nodes in self._gone.items() if (left := nodes - {word.node})}

    async def _answer(self) -> None:
        """Look through the panes topic once, and send what is asked for to whom asked."""
        began, asked = time.monotonic(), dict(self._asked)
        wanted: dict[Name | ListName, list[int]] = {}
        for node, (word, at) in asked.items():
            for name in dict.fromkeys(word.missing):
                if self._may_send(node, name, began):
                    wanted.setdefault(name, []).append(node)
            for lacked in islice(self._lacked(word), MOST_ASKED):
                if self._may(node, lacked, began) and self._is_missed(lacked, at):
                    self._sought_at.setdefault(lacked, began)
                    wanted.setdefault(lacked, []).append(node)
        if wanted:
            await self._look(wanted, {node: at for node, (_, at) in asked.items()})
        # Only now: whoever is cancelled while looking leaves the question to `settle`.
        self._asked = {node: told for node, told in self._asked.items() if told is not asked.get(node)}
        took = time.monotonic() - began
        self._rest_until = time.monotonic() + max(REST_SECONDS, REST * took)

    def _may_send(self, node: int, name: Name, now: float) -> bool:
        """Whether a node may have a batch again: it was sealed; and see `_may`."""
        shard, block, pane, revision = name
        draft = self._terms.draft
        if shard >= len(self._shards) or pane >= draft.panes.count:
            return False
        if revision > (draft.maturities.last if pane >= 0 else len(draft.batch_edges)):
            return False
        panes = self._shards[shard].panes
        if not panes.has_sealed(pane, revision) or block >= panes.register.blocks:
            return False
        return (not draft.batch_edges or panes.has_block(block, pane, revision)) and self._may(node, name, now)

    def _may(self, node: int, name: Name | ListName, now: float) -> bool:
        """Whether a node did not get something again just now or too often."""
        asked = node, name
        return (
            self._times[asked] < MOST_TIMES and now - self._sent_at.get(asked, -AGAIN_SECONDS) >= AGAIN_SECONDS
        )

    def _lacked(self, word: Holding) -> Iterator[ListName]:
        """Lists that were made and that a node says not to have."""
        for shard, (known, of) in enumerate(zip(word.lists, self._shards, strict=False)):
            yield from ((shard, number) for number in range(known, of.panes.withdrawn.made))

    def _is_missed(self, name: Name | ListName, told: int) -> bool:
        """Whether a node that lacked a list when it told so (ms since 1970) had been sent it long before.

        Of what it asks for by name the node itself says so.
        """
        stored = self._stored_at.get(name)
        return stored is None or told - stored >= 1000 * PATIENCE_SECONDS

    def _read(self, topic: str, record: Record) -> tuple[Name | ListName, Callable[[], list[bytes]]] | None:
        """What a record of the panes topic holds, and what makes the nodes' messages of it.

        None for an end, and for what the party did not write.
        """
        value = self._tags.take(topic, record) if record.key in (LIST_KEY, BLOCK_KEY) else None
        if value is None:
            return None
        if record.key == LIST_KEY:
            found = ErasureList.read(value)
            name = (found.shard, found.number)
            self._stored_at.setdefault(name, record.timestamp)
            return name, partial(self._sharer.lists, found)
        header, content = open_snapshot(value)
        of = (header.shard, header.block, header.pane, header.revision)
        return of, partial(self._sharer.messages, header, content)

    async def _look(self, wanted: dict[Name | ListName, list[int]], told: Mapping[int, int]) -> None:
        before = self.sent
        try:
            await self._send(wanted, told)
        finally:  # also when cancelled, for what is on its way by then
            if self.sent > before:
                self._log.info("batches sent again", batches=self.sent - before)
                self._told(self.sent)
        gone = {name: nodes for name, nodes in wanted.items() if len(name) != 2 or self._is_gone(name)}
        for name, nodes in gone.items():
            self._gone.setdefault(name, set()).update(nodes)
        if gone:
            self._log.warning("batches that are asked for are not there", batches=len(gone), first=min(gone))

    def _is_gone(self, name: ListName) -> bool:
        """Whether a list that was not found will not be: one that was just made is still on its way to the topic."""
        return name[1] < self._old[name[0]] or time.monotonic() - self._sought_at[name] >= PATIENCE_SECONDS

    async def _send(self, wanted: dict[Name | ListName, list[int]], told: Mapping[int, int]) -> None:
        """Send what is wanted and there; what is not there is left in `wanted`. `told`: when each node spoke."""
        draft, outbox = self._terms.draft, Outbox(self._producer)
        shards = sorted({shard for shard, *_ in wanted})
        limits = {shard: self._shards[shard].shared for shard in shards}
        async with Consumer(self._broker, topics.panes(self._party, draft.name), shards) as panes:
            async for records in to_the_end(panes, shards, POLL_SNAPSHOTS):
                sending: list[tuple[int, Name | ListName]] = []
                for record in records:
                    read = self._read(panes.topic, record)
                    if read is None:
                        continue
                    name, sealed = read
                    nodes = [node for node in wanted.pop(name, []) if self._is_missed(name, told[node])]
                    self._gone.pop(name, None)
                    if not nodes or record.offset >= limits[record.partition]:
                        continue
                    messages = sealed()
                    for node in nodes:
                        outbox.put(topics.inbox(node, draft.name), record.partition, None, messages[node])
                        sending.append((node, name))
                await outbox.send()
                # Only now: what was not sent, since we were cancelled, may be sent by `settle`.
                self._times.update(sending)
                self._sent_at.update(dict.fromkeys(sending, time.monotonic()))
                self.sent += len(sending)
                if not wanted:
                    return
