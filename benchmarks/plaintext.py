"""What a window costs in one process that has everything, in the clear: `python -m benchmarks.plaintext NODE.toml`.

It reads the parties' own panes topics, which hold registers and panes in the clear, matches the registers, applies
the same disclosure rules and computes the same KPIs with numpy. For every window it sends the recipient two records:
one at once, asking nobody, and one governed as the nodes' runs are: gate and authorisation at a final block, another
look at the newest block before and after computing, attestation sent before the result.
"""

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.cohort import Blocks, Cell, Table, window_cells
from evaluation.agreement import open_registry, read_facts
from evaluation.config import ChainSettings, NodeSettings, load_settings, load_terms
from evaluation.keys import read_secret
from policy.agreement import Draft, Terms
from policy.gate import Refusal, RunRequest, before, during
from policy.window import Window
from streams import topics
from streams.batch import LINK_COLUMN, BatchHeader, open_snapshot, party_columns
from streams.broker import Broker, Consumer, Producer
from streams.inbox import BATCH_WAIT_MS, POLL_MESSAGES, POLL_SECONDS

if TYPE_CHECKING:
    from policy.chain.registry import Registry

UNGATED, GATED = "one-process-ungated", "one-process"
"""Topics of the two records, and names of the contenders."""


@dataclass
class Aggregator:
    """Blocks in, windows out."""

    terms: Terms
    _blocks: dict[tuple[int, str, int], dict[int, NDArray[np.uint64]]] = field(default_factory=dict)
    """(pane, party, shard) → block → content."""
    _count: dict[tuple[str, int], int] = field(default_factory=dict)
    _order: dict[tuple[str, int], NDArray[np.intp]] = field(default_factory=dict)
    _tables: list[dict[str, Table]] = field(default_factory=list)

    def take(self, header: BatchHeader, content: NDArray[np.uint64]) -> list[Window]:
        """A block; the windows that it completes."""
        self._blocks.setdefault((header.pane, header.party, header.shard), {})[header.block] = content
        if header.blocks is not None:
            self._count[header.party, header.shard] = header.blocks
        found: list[Window] = []
        while self._has(-1) and self._has(len(self._tables)):
            if not self._order:
                self._match()
            self._tables.append(self._aligned(len(self._tables)))
            stop = len(self._tables)
            window = self.terms.draft.lattice.at(stop - self.terms.draft.lattice.scheduled[0].stop, stop)
            if window is not None:
                found.append(window)
        return found

    @property
    def linked(self) -> bool:
        """Whether all registers are here."""
        return self._has(-1)

    @property
    def panes(self) -> int:
        """Leading panes that are here, of everybody, in one order of patients."""
        return len(self._tables)

    def cells(self, window: Window) -> dict[tuple[str, int], Cell]:
        """(KPI, stratum) → what a window releases."""
        tables, minimum = self._tables[window.start : window.stop], self.terms.draft.disclosure.minimum_cohort
        return window_cells(self.terms.plans, tables, minimum)

    def record(self, window: Window) -> bytes:
        """A window's cells."""
        cells = self.cells(window)
        return json.dumps({
            "window": window.index, "cells": [[kpi, stratum, asdict(cell)] for (kpi, stratum), cell in cells.items()],
        }).encode()

    def _sides(self) -> list[tuple[str, int]]:
        return [(p.name, shard) for p in self.terms.draft.parties for shard in range(self.terms.draft.shards)]

    def _has(self, pane: int) -> bool:
        return all(
            len(self._blocks.get((pane, *side), ())) == self._count.get(side, -1) for side in self._sides()
        )

    def _whole(self, pane: int, party: str, shard: int) -> NDArray[np.uint64]:
        blocks = self._blocks[pane, party, shard]
        return np.concatenate([blocks[b] for b in range(len(blocks))], axis=1)

    def _match(self) -> None:
        for shard in range(self.terms.draft.shards):
            keys = {p.name: self._whole(-1, p.name, shard)[0] for p in self.terms.draft.parties}
            common, *others = keys.values()
            for other in others:
                common = np.intersect1d(common, other)
            for party, all_keys in keys.items():
                order = np.argsort(all_keys)
                self._order[party, shard] = order[np.searchsorted(all_keys[order], common)]

    def _aligned(self, pane: int) -> dict[str, Table]:
        draft = self.terms.draft
        return {
            column: np.concatenate([
                self._whole(pane, party.name, shard)[row][self._order[party.name, shard]].view(np.int64)
                for shard in range(draft.shards)
            ])
            for party in draft.parties for row, column in enumerate(party_columns(draft, party.name))
            if column != LINK_COLUMN
        }


@dataclass
class Governed:
    """Windows as the nodes run them, but for what they compute."""

    aggregator: Aggregator
    chain: ChainSettings
    registry: "Registry"
    producer: Producer

    async def run(self, window: Window, group: asyncio.TaskGroup) -> None:
        """One window, from the gate to the result."""
        terms, agreement = self.aggregator.terms, self.chain.agreement_id
        request = RunRequest(tuple(p.hash for p in terms.plans), ((window.start, window.stop),))
        run = self._run(window.index)
        facts = await read_facts(self.registry, self.chain, terms, "finalized")
        _go_on(before(terms, facts, request))
        if await self.registry.authorisation(agreement, run) is None:
            await self.registry.authorise(agreement, [run])
            await self.registry.wait_authorised(agreement, [run])
        _go_on(during(terms, await read_facts(self.registry, self.chain, terms, "latest"), request))
        record = self.aggregator.record(window)
        _go_on(during(terms, await read_facts(self.registry, self.chain, terms, "latest"), request))
        sent = asyncio.Event()
        transcript = hashlib.sha256(record).hexdigest()
        group.create_task(self.registry.attest(agreement, run, facts.block_hash, transcript, sent.set))
        await sent.wait()
        await self.producer.send(GATED, 0, [(None, record)])
        # As the nodes do: the next run finds its authorisation there.
        group.create_task(self.registry.authorise(agreement, [self._run(window.index + 1)]))

    def _run(self, window: int) -> str:
        return hashlib.sha256(f"plaintext {self.aggregator.terms.hash} {window}".encode()).hexdigest()


def _go_on(refusals: tuple[Refusal, ...]) -> None:
    if refusals:
        raise RuntimeError(f"refused by {refusals[0].rule}")


async def aggregate(settings: NodeSettings) -> None:
    """Until ended from outside; `settings`: of the node whose account authorises and attests."""
    terms, broker = load_terms(settings.terms), settings.broker
    aggregator, draft = Aggregator(terms), terms.draft
    async with (
        open_registry(settings.chain, terms, read_secret(settings.keys / "chain")) as registry,
        Producer(broker) as producer, asyncio.TaskGroup() as group,
    ):
        governed = Governed(aggregator, settings.chain, registry, producer)

        async def take(party: str) -> None:
            async for blocks in follow(broker, draft, party):
                for header, content in blocks:
                    for window in aggregator.take(header, content):
                        group.create_task(governed.run(window, group))
                        await producer.send(UNGATED, 0, [(None, aggregator.record(window))])

        for party in draft.parties:
            group.create_task(take(party.name))


async def follow(broker: Broker, draft: Draft, party: str) -> AsyncIterator[Blocks]:
    """What a party's panes topic gets, in the clear, as it comes; never ends by itself."""
    async with Consumer(broker, topics.panes(party, draft.name), range(draft.shards), BATCH_WAIT_MS) as consumer:
        while True:
            if records := await consumer.poll(POLL_SECONDS, POLL_MESSAGES):
                yield [open_snapshot(record.value) for record in records]


if __name__ == "__main__":
    asyncio.run(aggregate(load_settings(Path(sys.argv[1]), NodeSettings)))
