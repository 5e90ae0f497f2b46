"""A node's inbox: share messages in, checked batches out; and lists of rows to be erased.

A message that is not signed by its party, not sealed to this node or not of the agreement's form is logged and left;
the stream goes on.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import numpy as np
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from mpc import sharing
from policy.agreement import Terms
from streams import topics
from streams.batch import LINK_COLUMN, BatchHeader, party_columns
from streams.broker import Broker, Consumer
from streams.erasure import ErasureList, check_list, is_list, open_list, party_of
from streams.errors import BatchError
from streams.parcel import Piece, read_header, unseal
from streams.sharefile import ShareBatch
from streams.sparing import Sparing

POLL_SECONDS = 0.5
BATCH_WAIT_MS = 25
"""A batch may lie this long on the embedded broker; an idle node costs it each wait."""
POLL_MESSAGES = 64
"""At most 64 · 900 kB are in memory at once."""
MESSAGES_AT_ONCE = 8
"""Opened before the event loop turns: a backlog must not keep the node from its peers and its chain for seconds."""


class Opener:
    """Opens messages for one node under one agreement."""

    def __init__(self, terms: Terms, node: int, key: X25519PrivateKey) -> None:
        self._terms, self._agreement, self._node, self._key = terms, terms.hash, node, key
        self._party_keys = {
            p.name: Ed25519PublicKey.from_public_bytes(bytes.fromhex(p.batch_key)) for p in terms.parties
        }
        self._columns = {p.name: party_columns(terms.draft, p.name) for p in terms.parties}

    def open(self, message: bytes, partition: int) -> ShareBatch:
        """Check a message and expand its components.

        Raises:
            BatchError: by which check; the message is not to be used.
        """
        header = read_header(message)
        self._check(header, partition)
        pieces = unseal(message, self._node, self._key, self._party_keys[header.party], header)
        components = {p.component: self._component(header, p) for p in pieces}
        return ShareBatch(header, components, {p.component: p.commitment for p in pieces})

    def open_list(self, message: bytes, partition: int) -> ErasureList:
        """Check a message with rows to be erased, as far as the agreement tells.

        Raises:
            BatchError: by which check; the message is not to be used.
        """
        party = party_of(message)
        if party not in self._party_keys:
            raise BatchError(f"an erasure list of {party!r}, who is no party of this agreement")
        found = open_list(message, self._node, self._key, self._party_keys[party])
        if found.agreement != self._agreement or found.shard != partition:
            raise BatchError(f"an erasure list of {party!r} under {found.agreement[:16]} on partition {partition}")
        check_list(found, self._terms.draft)
        return found

    def _check(self, header: BatchHeader, partition: int) -> None:
        draft = self._terms.draft
        columns = self._columns.get(header.party)
        if header.agreement != self._agreement or columns is None:
            raise BatchError(f"a batch of {header.party!r} under {header.agreement[:16]}, expected this agreement's")
        if header.kind == "register":
            fits = (
                header.pane == -1 and header.columns == (LINK_COLUMN,) and header.blocks is not None
                and header.revision <= header.block < header.blocks and header.revision <= len(draft.batch_edges)
            )
        else:
            fits = (
                0 <= header.pane < draft.panes.count and header.columns == columns and header.blocks is None
                and header.revision <= draft.maturities.last
            )
        if not fits or header.slots != draft.linkage.block_slots or header.shard != partition:
            raise BatchError(f"batch {header.key} on partition {partition} does not fit the agreement")

    @staticmethod
    def _component(header: BatchHeader, piece: Piece) -> NDArray[np.uint64]:
        component: NDArray[np.uint64]
        if piece.travels:
            component = np.frombuffer(piece.body, dtype="<u8").astype(np.uint64, copy=False).reshape(header.shape)
        else:
            component = sharing.expand(piece.body, header.shape)
        if sharing.commitment(piece.salt, component) != piece.commitment:
            raise BatchError(f"batch {header.key}: component {piece.component} does not fit its commitment")
        return component


class Inbox:
    """Iterates over a node's batches and erasure lists as they come, at least one at a time, never ending by itself."""

    def __init__(self, broker: Broker, terms: Terms, node: int, key: X25519PrivateKey) -> None:
        draft = terms.draft
        self._opener = Opener(terms, node, key)
        self._consumer = Consumer(broker, topics.inbox(node, draft.name), range(draft.shards), BATCH_WAIT_MS)
        self._awaited = draft.maturities.editions[0]
        self._log, self._sparing = structlog.get_logger(), Sparing()
        self.refused = 0
        """Messages left unused."""
        self.newest: dict[int, datetime] = {}
        """Pane → when the latest batch that the first edition of results is made of was sent."""

    async def __aenter__(self) -> Self:
        await self._consumer.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self._consumer.__aexit__(kind, error, trace)

    async def __aiter__(self) -> AsyncIterator[list[ShareBatch | ErasureList]]:
        while True:
            records = await self._consumer.poll(POLL_SECONDS, POLL_MESSAGES)
            for start in range(0, len(records), MESSAGES_AT_ONCE):
                batches: list[ShareBatch | ErasureList] = []
                for record in records[start : start + MESSAGES_AT_ONCE]:
                    try:
                        if is_list(record.value):
                            batches.append(self._opener.open_list(record.value, record.partition))
                            continue
                        batches.append(batch := self._opener.open(record.value, record.partition))
                        self._note(batch.header, record.timestamp)
                    except BatchError as error:
                        self.refused += 1
                        if count := self._sparing.due("refused"):
                            self._log.error(
                                "share messages refused", messages=count, reason=str(error), offset=record.offset
                            )
                if batches:
                    yield batches
                await asyncio.sleep(0)

    def _note(self, header: BatchHeader, milliseconds: int) -> None:
        if header.revision > (0 if header.kind == "register" else self._awaited):
            return
        pane = header.pane
        with contextlib.suppress(OverflowError, OSError, ValueError):  # whoever sends may write any number
            sent = datetime.fromtimestamp(milliseconds / 1000, UTC)
            self.newest[pane] = max(sent, self.newest.get(pane, sent))
