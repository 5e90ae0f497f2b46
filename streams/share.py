"""The share stage: snapshots in, one sealed and signed message per node out.

Masks are bound to the content, so a resend is byte for byte the same share and two contents never share a mask.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from numpy.typing import NDArray

from mpc import sharing
from policy.agreement import Terms
from policy.identity import NODES
from streams import topics
from streams.batch import BatchHeader, open_snapshot
from streams.broker import Consumer, Producer
from streams.erasure import LIST_KEY, SENT_KEY, ErasureList, seal_list, seal_sent
from streams.flow import Outbox, Progress, Pulse, polls
from streams.growth import Ends, Growth
from streams.parcel import Piece, held, seal, travelling
from streams.shard import Shard
from streams.snapshots import END_KEY
from streams.tags import Tags

POLL_SNAPSHOTS = 32
"""Snapshots in memory at once: at most 32 · 900 kB, and thrice that as messages."""


class Sharer:
    """Turns blocks into messages for the three nodes."""

    def __init__(self, terms: Terms, sharing_key: bytes, signing: Ed25519PrivateKey) -> None:
        self._sharing_key, self._signing = sharing_key, signing
        self._node_keys = [X25519PublicKey.from_public_bytes(bytes.fromhex(n.sealing_key)) for n in terms.nodes]

    def messages(self, header: BatchHeader, content: NDArray[np.uint64]) -> list[bytes]:
        """One message per node, in order, for content (columns, slots)."""
        moving = travelling(header)
        seed = sharing.mask_seed(self._sharing_key, header.batch_id, content)
        dealt = sharing.split(content, moving, seed, xor=header.xor)
        pieces = [
            Piece(
                component=c, travels=c == moving, salt=dealt.salts[c],
                commitment=sharing.commitment(dealt.salts[c], dealt.components[c]),
                body=dealt.components[c].astype("<u8", copy=False).tobytes() if c == moving else dealt.seeds[c],
            )
            for c in range(NODES)
        ]
        return [
            seal(header, [pieces[c] for c in held(node)], node, self._node_keys[node], self._signing)
            for node in range(NODES)
        ]

    def lists(self, found: ErasureList) -> list[bytes]:
        """One message per node, in order, for a list of rows to be erased."""
        return [seal_list(found, node, key, self._signing) for node, key in enumerate(self._node_keys)]

    def sent(self, found: ErasureList) -> bytes:
        """A note that it left."""
        return seal_sent(found, self._signing)


async def share(
    terms: Terms, sharer: Sharer, tags: Tags, shards: Sequence[Shard], consumer: Consumer, producer: Producer,
    progress: Progress, pulse: Pulse,
) -> None:
    """Share every snapshot until all partitions have ended.

    Args:
        terms: the agreement.
        sharer: of the party.
        tags: of the party.
        shards: all, in order; each is shared from its `shared` on, which is kept current.
        consumer: of the panes topic.
        producer: for the nodes' inboxes.
        progress: told of "share", blocks of all.
        pulse: see streams.flow.Pulse.

    Raises:
        StalledError, BrokerError: see streams.flow.polls and Producer.send.
        BrokerError: the panes topic no longer has what is to be shared.
        BatchError: a tagged record of the panes topic is none that the panes stage writes.
    """
    draft, outbox = terms.draft, Outbox(producer)
    unfinished = set(range(draft.shards))
    growth, ends = Growth(draft), [Ends() for _ in shards]
    done = 0
    for number, shard in enumerate(shards):
        await consumer.seek(number, shard.shared)
    async for records in polls(consumer, pulse, POLL_SNAPSHOTS):
        foreign: Counter[int] = Counter()
        for record in records:
            value = tags.take(consumer.topic, record)
            if value is None:
                tags.report(consumer.topic, record)
                foreign[record.partition] += 1
                continue
            if record.key == END_KEY:
                unfinished.discard(record.partition)
                continue
            if record.key == LIST_KEY:
                found = ErasureList.read(value)
                for node, message in enumerate(sharer.lists(found)):
                    outbox.put(topics.inbox(node, draft.name), found.shard, None, message)
                outbox.put(topics.receipts(found.party, draft.name), 0, SENT_KEY, sharer.sent(found))
                continue
            header, content = open_snapshot(value)
            if header.blocks is not None:
                ends[header.shard].note(header.revision, header.block, header.blocks)
            for node, message in enumerate(sharer.messages(header, content)):
                outbox.put(topics.inbox(node, draft.name), header.shard, None, message)
            done += 1
        await outbox.send()
        for record in records:
            shards[record.partition].shared = record.offset + 1
        for number, count in foreign.items():
            shards[number].foreign += count
        total = sum(growth.shared(of, draft.panes.count, 1 + draft.maturities.last) for of in ends)
        progress("share", done, max(done, total))
        if not unfinished:
            return
