"""From a sealed pane's plaintext to three nodes' inboxes, and what that costs on the wire.

One row is one value: a slot of a column. The blocks have 512 slots, the default; the columns are those of the
agreement's insurer (7), and, for the framing to weigh most, those of its hospital (2).

- "shared": blocks in memory are split, committed, sealed and signed for three nodes and stored by the embedded broker,
  which has acknowledged all of it; `winnow` is the share stage's own code, on one core.
- "made": the same without the broker.
- "opened at a node": signature, seal, expansion and commitments of one node's third of it.

`bytes_per_row` counts every byte that the producer wrote to its connections with the broker while one pane was
shared: the three nodes' messages, record batches, requests. It passes a relay for that, in a run of its own.

Contenders: `three-components` sends each node its two components whole, as textbooks have it, sealed and signed as
ours are; `json-values` writes a JSON record for each value and node, unsealed, at up to 10⁴ slots.

Before anything is timed, what lies in the inboxes is opened, and the nodes' components must add up to the input.
"""

import asyncio
import contextlib
import json
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from benchmarks.relay import CountedBroker, Relay
from benchmarks.report import case
from infra.local.broker import EmbeddedBroker
from policy.agreement import Terms
from policy.identity import NODES
from streams import topics
from streams.batch import BatchHeader, framed, party_columns, unframed
from streams.broker import Broker, Consumer, Producer, create_topics
from streams.flow import Outbox
from streams.inbox import Opener
from streams.parcel import held
from streams.share import POLL_SNAPSHOTS, Sharer
from tests.support.parties import BATCH_KEY, NODE_KEYS, SHARING_KEY, keyed_terms

SLOTS = (10_000, 100_000, 1_000_000)
BLOCK_SLOTS = 512
MOST_JSON_SLOTS = 10_000
READ_SECONDS = 60.0
READ_RECORDS = 5_000
Words = NDArray[np.uint64]
Block = tuple[BatchHeader, Words]
_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


@dataclass
class Contender:
    """A way to share. `make`: a block's messages, each for the node of its place.

    `gather`: one node's records → (block, component) → the component.
    """

    name: str
    make: Callable[[BatchHeader, Words], Sequence[Sequence[bytes]]]
    gather: Callable[[int, Sequence[bytes]], dict[tuple[int, int], Words]]
    most_slots: int = max(SLOTS)


@dataclass
class Shares:
    """What all contenders have in common: terms of which we hold every key."""

    terms: Terms = field(default_factory=lambda: keyed_terms(linkage={
        "date": "2024-01-08", "block_slots": BLOCK_SLOTS, "dummies": 6,
    }))

    def __post_init__(self) -> None:
        self.signing = Ed25519PrivateKey.from_private_bytes(BATCH_KEY)
        self.keys = [X25519PrivateKey.from_private_bytes(key) for key in NODE_KEYS]
        self.sharer = Sharer(self.terms, SHARING_KEY, self.signing)
        self.openers = [Opener(self.terms, node, key) for node, key in enumerate(self.keys)]

    def blocks(self, party: str, slots: int) -> list[Block]:
        """A pane of one shard, rounded up to whole blocks."""
        rng, columns = np.random.default_rng(slots), party_columns(self.terms.draft, party)
        heads = [
            BatchHeader(
                agreement=self.terms.hash, epoch=0, party=party, shard=0, block=block, kind="pane", pane=3, revision=0,
                columns=columns, slots=BLOCK_SLOTS,
            ) for block in range(-(-slots // BLOCK_SLOTS))
        ]
        return [(head, rng.integers(0, 1 << 26, head.shape, dtype=np.uint64)) for head in heads]

    def contenders(self) -> tuple[Contender, ...]:
        """Ours first."""
        return (
            Contender("winnow", lambda head, content: [[m] for m in self.sharer.messages(head, content)], self._opened),
            Contender("three-components", self._whole, self._whole_opened),
            Contender("json-values", _json, _json_opened, MOST_JSON_SLOTS),
        )

    def _opened(self, node: int, records: Sequence[bytes]) -> dict[tuple[int, int], Words]:
        batches = [self.openers[node].open(record, 0) for record in records]
        return {(b.header.block, c): values for b in batches for c, values in b.components.items()}

    def _whole(self, head: BatchHeader, content: Words) -> list[list[bytes]]:
        parts = _split(content)
        found = []
        for node in range(NODES):
            body = b"".join(parts[c].tobytes() for c in held(node))
            sealed = framed(head, _SUITE.encrypt(body, self.keys[node].public_key(), head.canonical))
            found.append([self.signing.sign(sealed) + sealed])
        return found

    def _whole_opened(self, node: int, records: Sequence[bytes]) -> dict[tuple[int, int], Words]:
        found: dict[tuple[int, int], Words] = {}
        for record in records:
            self.signing.public_key().verify(record[:64], record[64:])
            head, canonical, body = unframed(record[64:])
            plain = np.frombuffer(_SUITE.decrypt(body, self.keys[node], canonical), "<u8").reshape(2, *head.shape)
            found |= {(head.block, c): plain[place] for place, c in enumerate(held(node))}
        return found


def _split(content: Words) -> list[Words]:
    """Three components, two of them fresh."""
    first, second = np.frombuffer(secrets.token_bytes(2 * content.nbytes), "<u8").reshape(2, *content.shape)
    return [first, second, content - first - second]


def _json(head: BatchHeader, content: Words) -> list[list[bytes]]:
    parts = [part.tolist() for part in _split(content)]
    return [
        [
            json.dumps({
                "party": head.party, "pane": head.pane, "block": head.block, "column": name, "slot": slot,
                "components": [parts[c][row][slot] for c in held(node)],
            }).encode()
            for row, name in enumerate(head.columns) for slot in range(head.slots)
        ] for node in range(NODES)
    ]


def _json_opened(node: int, records: Sequence[bytes]) -> dict[tuple[int, int], Words]:
    found: dict[tuple[int, int], list[int]] = {}
    for record in records:  # in the order of columns and slots
        said = json.loads(record)
        for component, value in zip(held(node), said["components"], strict=True):
            found.setdefault((said["block"], component), []).append(value)
    return {place: np.array(values, np.uint64) for place, values in found.items()}


def measure_shares(rows: int | None, runs: int) -> list[dict[str, Any]]:
    """All cases; `rows`: slots, instead of the three sizes."""
    return asyncio.run(_measure((rows,) if rows else SLOTS, runs))


async def _measure(sizes: Sequence[int], runs: int) -> list[dict[str, Any]]:
    shares, found = Shares(), list[dict[str, Any]]()
    for slots, party in [*((slots, "insurer") for slots in sizes), (sizes[min(1, len(sizes) - 1)], "hospital")]:
        blocks = shares.blocks(party, slots)
        for contender in shares.contenders():
            if slots <= contender.most_slots:
                found += await _cases(shares, contender, blocks, f"{slots} slots", runs)
    return found


async def _cases(
    shares: Shares, contender: Contender, blocks: Sequence[Block], name: str, runs: int
) -> list[dict[str, Any]]:
    values, columns = sum(content.size for _, content in blocks), len(blocks[0][0].columns)
    wire = await _wire_bytes(shares, contender, blocks)
    taken = {
        "shared": await _sent(shares, contender, blocks, runs),
        "made": _timed(runs, partial(_made, contender, blocks)),
    }
    if contender.name == "winnow":
        mine = [messages[0][0] for messages in _made(contender, blocks)]
        taken["opened at a node"] = _timed(runs, partial(contender.gather, 0, mine))
    rows = []
    for what, seconds in taken.items():
        row = case(f"{name} of {columns} columns, {what}", contender.name, values, seconds, digits=5)
        row["rows_per_second"] = round(values / row["seconds"])
        if what == "shared":
            row["bytes_per_row"] = round(wire / values, 2)
        rows.append(row)
    return rows


def _made(contender: Contender, blocks: Sequence[Block]) -> list[Sequence[Sequence[bytes]]]:
    return [contender.make(head, content) for head, content in blocks]


def _timed(runs: int, work: Callable[[], object]) -> list[float]:
    """Seconds of each run, after a warm-up."""
    seconds = []
    for _ in range(runs + 1):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return seconds[1:]


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="winnow-benchmark-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextlib.asynccontextmanager
async def _producing(shares: Shares, address: str) -> AsyncIterator[Producer]:
    broker = Broker(address)
    await create_topics(broker, [topics.Topic(topics.inbox(j, shares.terms.draft.name), 1, 1) for j in range(NODES)])
    async with Producer(broker) as producer:
        yield producer


async def _share(shares: Shares, contender: Contender, blocks: Sequence[Block], producer: Producer) -> int:
    """As the share stage does it: some blocks at a time, all nodes side by side; returns a node's messages."""
    outbox, name, sent = Outbox(producer), shares.terms.draft.name, 0
    for start in range(0, len(blocks), POLL_SNAPSHOTS):
        for head, content in blocks[start : start + POLL_SNAPSHOTS]:
            for node, messages in enumerate(contender.make(head, content)):
                sent += len(messages)
                for message in messages:
                    outbox.put(topics.inbox(node, name), 0, None, message)
        await outbox.send()
    return sent // NODES


async def _sent(shares: Shares, contender: Contender, blocks: Sequence[Block], runs: int) -> list[float]:
    with _folder() as folder, EmbeddedBroker(folder) as broker:
        async with _producing(shares, broker.address) as producer:
            seconds = []
            for _ in range(runs + 1):
                begin = time.perf_counter()
                await _share(shares, contender, blocks, producer)
                seconds.append(time.perf_counter() - begin)
            return seconds[1:]


async def _wire_bytes(shares: Shares, contender: Contender, blocks: Sequence[Block]) -> int:
    """Share once through a relay that counts, read it back, and check it."""
    with _folder() as folder:
        async with Relay() as relay:
            with CountedBroker(folder, relay) as broker:
                relay.target = broker.port
                async with _producing(shares, f"127.0.0.1:{relay.port}") as producer:
                    before = relay.passed
                    messages = await _share(shares, contender, blocks, producer)
                    wire = relay.passed - before
                parts: dict[tuple[int, int], Words] = {}
                for node in range(NODES):
                    records = await _read(broker.address, topics.inbox(node, shares.terms.draft.name), messages)
                    for place, values in contender.gather(node, records).items():
                        if place in parts and not np.array_equal(parts[place], values):
                            raise RuntimeError(f"{contender.name}: the holders of block and component {place} differ")
                        parts[place] = values
    for head, content in blocks:
        total = sum((parts[head.block, c].reshape(head.shape) for c in range(NODES)), np.uint64(0))
        if not np.array_equal(total, content):
            raise RuntimeError(f"{contender.name}: block {head.block} does not come back")
    return wire


async def _read(address: str, topic: str, count: int) -> list[bytes]:
    async with Consumer(Broker(address), topic, [0]) as consumer:
        found: list[bytes] = []
        limit = time.monotonic() + READ_SECONDS
        while len(found) < count:
            if time.monotonic() > limit:
                raise RuntimeError(f"{len(found)} of {count} records of {topic} came within {READ_SECONDS:g} s")
            found += [record.value for record in await consumer.poll(1.0, READ_RECORDS)]
        return found
