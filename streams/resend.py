"""A party sends again what a node misses: the same batches, from the panes as they were stored before they were shared.

Masks are bound to content, so what is sent again has the very components that were sent before: nothing new is told,
whoever asks and however often. What asking may cost the party is bounded: a batch is sent to a node MOST_TIMES by one
worker, and at most a tenth of the time goes into hearing words, and another tenth into looking for batches.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

import structlog

from policy.agreement import Terms
from streams import topics
from streams.batch import open_snapshot
from streams.broker import Broker, Consumer, Producer, Record
from streams.errors import BatchError
from streams.flow import Outbox, to_the_end
from streams.holding import PATIENCE_SECONDS, Holding, Name, open_holding
from streams.shard import Shard
from streams.share import POLL_SNAPSHOTS, Sharer
from streams.snapshots import BLOCK_KEY
from streams.sparing import Sparing
from streams.tags import Tags

MOST_TIMES = 5
"""A worker sends a batch again to a node."""
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
        self._asked: dict[int, Holding] = {}
        """Node → its latest word, until it is answered."""
        self._times: Counter[tuple[int, Name]] = Counter()
        self._sent_at: dict[tuple[int, Name], float] = {}
        self._rest_until = 0.0
        self._log = structlog.get_logger()
        self.sent = 0
        """Batches that were sent again, to any node."""
        self._gone: dict[Name, set[int]] = {}
        """What was not there when it was looked for → the nodes that asked for it."""
        self._sparing = Sparing()

    @property
    def gone(self) -> Counter[int]:
        """Shard → batches that nodes miss and that were not on the panes topic when it was looked through last."""
        return Counter(shard for shard, *_ in self._gone)

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
            self._asked.pop(word.node, None)
            if word.missing:
                self._asked[word.node] = word
            else:
                self._gone = {n: left for n, nodes in self._gone.items() if (left := nodes - {word.node})}

    async def _answer(self) -> None:
        """Look through the panes topic once, and send what is asked for to whom asked."""
        began, asked = time.monotonic(), dict(self._asked)
        wanted: dict[Name, list[int]] = {}
        for node, word in asked.items():
            for name in dict.fromkeys(word.missing):
                if self._may_send(node, name, began):
                    wanted.setdefault(name, []).append(node)
        if wanted:
            await self._look(wanted)
        # Only now: whoever is cancelled while looking leaves the question to `settle`.
        self._asked = {node: word for node, word in self._asked.items() if word is not asked.get(node)}
        took = time.monotonic() - began
        self._rest_until = time.monotonic() + max(REST_SECONDS, REST * took)

    def _may_send(self, node: int, name: Name, now: float) -> bool:
        """Whether a node may have a batch again: it was sealed, and the node did not have it just now or too often."""
        shard, block, pane, revision = name
        draft = self._terms.draft
        if shard >= len(self._shards) or pane >= draft.panes.count or revision > draft.maturities.last:
            return False
        panes, asked = self._shards[shard].panes, (node, name)
        return (
            panes.has_sealed(pane, revision) and block < panes.register.blocks and self._times[asked] < MOST_TIMES
            and now - self._sent_at.get(asked, -AGAIN_SECONDS) >= AGAIN_SECONDS
        )

    async def _look(self, wanted: dict[Name, list[int]]) -> None:
        before = self.sent
        try:
            await self._send(wanted)
        finally:  # also when cancelled, for what is on its way by then
            if self.sent > before:
                self._log.info("batches sent again", batches=self.sent - before)
                self._told(self.sent)
        for name, nodes in wanted.items():
            self._gone.setdefault(name, set()).update(nodes)
        if wanted:
            self._log.warning("batches that are asked for are not there", batches=len(wanted), first=min(wanted))

    async def _send(self, wanted: dict[Name, list[int]]) -> None:
        """Send what is wanted and there; what is not there is left in `wanted`."""
        draft, outbox = self._terms.draft, Outbox(self._producer)
        shards = sorted({shard for shard, *_ in wanted})
        limits = {shard: self._shards[shard].shared for shard in shards}
        async with Consumer(self._broker, topics.panes(self._party, draft.name), shards) as panes:
            async for records in to_the_end(panes, shards, POLL_SNAPSHOTS):
                sending: list[tuple[int, Name]] = []
                for record in records:
                    value = self._tags.take(panes.topic, record) if record.key == BLOCK_KEY else None
                    if value is None:
                        continue
                    header, content = open_snapshot(value)
                    name = (header.shard, header.block, header.pane, header.revision)
                    nodes = wanted.pop(name, [])
                    self._gone.pop(name, None)
                    if not nodes or record.offset >= limits[record.partition]:
                        continue
                    messages = self._sharer.messages(header, content)
                    for node in nodes:
                        outbox.put(topics.inbox(node, draft.name), header.shard, None, messages[node])
                        sending.append((node, name))
                await outbox.send()
                # Only now: what was not sent, since we were cancelled, may be sent by `settle`.
                self._times.update(sending)
                self._sent_at.update(dict.fromkeys(sending, time.monotonic()))
                self.sent += len(sending)
                if not wanted:
                    return
