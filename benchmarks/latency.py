"""From the seal of the last party's pane to the window's result at its recipient.

10,000 patients in two shards, three parties, weekly panes, windows of four weeks, real processes: three nodes, the
recipient, embedded broker and chain. This process acts for the parties: it seals and signs with their keys, and feeds
one pane after another as they would when live. Everybody is idle again before the last party seals, at any moment of
the chain's block interval.

- `winnow`: from when the last party's snapshots (all shards) are handed to its share stage until the three nodes'
  shares of the window are recombined and decoded. All gates are on: chain, disclosure, alerts.
- `plaintext`: the same window and panes in the same processes, but the snapshots go in the clear to three nodes that
  compute with numpy (benchmarks.clear_node). What they tell each other, compare, ask the gate, note, attest and
  send is the same: the ratio to it is the price of secrecy. It runs after the others, with its own broker and chain.
- `one-process`: no three nodes: one process has everything, asks the gate and the chain, attests, and tells the result
  (benchmarks.plaintext). The ratio to it is the price of three organisations that need not trust each other, too.
- `one-process-ungated`: the same, asking nobody.

All but the last run under an authorisation that is on the chain before.

Cases: 8 measures (a ratio of visit rates, in all and by two incomes, an alert) with the embedded chain's block times
for replays and for live operation, and the demonstration's agreement (13 measures, two KPIs, in all and by five
incomes, an alert). All values and intervals are compared with numpy.
"""

import asyncio
import json
import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.cohort import Blocks, Cell, Cohort
from benchmarks.plaintext import GATED, UNGATED
from benchmarks.report import case
from console.cohort.agreement import demo_agreement
from console.keyring import BATCH, SHARING
from console.onboarding import Onboarded
from console.reader import AccountReader
from console.system import LocalSystem, Role
from console.workdir import WorkDir
from evaluation.document import DateWindow
from evaluation.keys import read_secret
from infra.local.chain import LIVE_BLOCK_SECONDS, REPLAY_BLOCK_SECONDS
from infra.local.children import spawn_tied, stop
from policy.agreement import Draft, load_draft
from policy.compilation import load_kpis
from policy.identity import NODES
from policy.window import Window
from streams import topics
from streams.batch import snapshot
from streams.broker import Broker, Consumer, Producer, create_topics
from streams.flow import Outbox
from streams.share import Sharer

FIRST_PANES = 4
"""Of the demonstration's windows."""
LINK_SECONDS, RESULT_SECONDS = 120.0, 30.0
IDLE_SECONDS = 1.0
"""After everything of the window before has arrived."""
PLACE_BLOCKS = 4
"""From the end of a run until the place for the next one is final."""
TOLERANCE = 1e-5
"""Relative to the value or to the width of its interval: plans have 20 significant bits."""
SMALL_KPIS = ("gp-visit-rate-ratio",)
SMALL_STRATA = """
[strata]
dimension = "income"
categories = [{ value = "lowest", measure = "income_1" }, { value = "highest", measure = "income_5" }]
"""
SMALL_MEASURES = (
    "app_user", "app_not_yet", "insured_days", "insured_any", "gp_visits", "gp_any", "income_1", "income_5",
)


Result = dict[str, Any]
"""What one contender took in one case: see benchmarks.report."""


@dataclass(frozen=True)
class Setting:
    """One set-up."""

    name: str
    small: bool
    """Eight measures instead of the demonstration's thirteen."""
    block_seconds: float

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.name}, a block every {self.block_seconds:g} s"


SETTINGS = (
    Setting("8 measures", small=True, block_seconds=REPLAY_BLOCK_SECONDS),
    Setting("8 measures", small=True, block_seconds=LIVE_BLOCK_SECONDS),
    Setting("demonstration", small=False, block_seconds=REPLAY_BLOCK_SECONDS),
)


def measure_latency(patients: int, runs: int) -> list[Result]:
    """All cases, over `runs` windows after one that warms up."""
    return measured(SETTINGS, _measure, patients, runs)


def measured(
    settings: Sequence[Setting], measure: Callable[[Path, Setting, int, int], Coroutine[None, None, list[Result]]],
    patients: int, runs: int,
) -> list[Result]:
    """The cases of each setting, in an empty folder of its own: `measure(folder, setting, patients, runs)`."""
    found = []
    for setting in settings:
        with tempfile.TemporaryDirectory(prefix="winnow-benchmark-", ignore_cleanup_errors=True) as folder:
            found += asyncio.run(measure(Path(folder), setting, patients, runs))
    return found


async def _measure(folder: Path, setting: Setting, patients: int, runs: int) -> list[Result]:
    draft = agreed(folder, setting, runs)
    kpis, data = load_kpis(draft, folder), {p.name: folder for p in draft.parties}
    seconds: dict[str, list[float]] = {"winnow": [], "plaintext": [], GATED: [], UNGATED: []}

    def note(number: int, taken: Mapping[str, float], phases: Mapping[str, float]) -> None:
        for contender, took in taken.items():
            sys.stderr.write(f"{setting.words}, window {number} of {runs}, {contender}: {took:.3f} s\n")
            if number:
                seconds[contender].append(took)
        sys.stderr.write(f"  phases: {phases}\n")

    # One system after the other: ten idle processes take a good part of a core.
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(
            LocalSystem(draft, kpis, data, folder / "secret", block_seconds=setting.block_seconds)
        )
        parties = await fed(stack, system, Parties, patients)
        one = await _one_process(stack, folder, system, parties)
        for number, window in enumerate(draft.lattice.scheduled):
            taken = {"winnow": await parties.evaluate(window), **await one.evaluate(window)}
            note(number, taken, parties.phases(window))
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(
            ClearSystem(draft, kpis, data, folder / "clear", block_seconds=setting.block_seconds)
        )
        parties = await fed(stack, system, ClearParties, patients)
        for number, window in enumerate(draft.lattice.scheduled):
            # The next run's place is on the chain, and final, by then; the other system has that time anyway.
            await asyncio.sleep(PLACE_BLOCKS * setting.block_seconds)
            note(number, {"plaintext": await parties.evaluate(window)}, parties.phases(window))
    rows = [case(setting.words, contender, patients, taken) for contender, taken in seconds.items()]
    medians = {row["contender"]: row["seconds"] for row in rows}
    return [
        {**row, "ratio_to_plaintext": round(row["seconds"] / medians["plaintext"], 2),
         "ratio_to_one_process": round(row["seconds"] / medians[GATED], 2)} for row in rows
    ]


class ClearSystem(LocalSystem):
    """The same processes, with nodes that compute in the clear."""

    def _processes(self, work: WorkDir, onboarded: Onboarded) -> list[Role]:
        return [
            role._replace(module="benchmarks.clear_node") if role.module == "evaluation.node" else role
            for role in super()._processes(work, onboarded)
        ]


async def fed(stack: AsyncExitStack, system: LocalSystem, kind: "type[Parties]", patients: int) -> "Parties":
    """Start nodes and recipients, and feed them until they have linked."""
    work, broker, draft = system.work, Broker(system.broker), system.work.terms.draft
    system.start(*(r.name for r in draft.recipients), *(f"node-{j}" for j in range(NODES)))
    producer = await stack.enter_async_context(Producer(broker))
    recipient = draft.recipients[0].name
    reader = await stack.enter_async_context(AccountReader(broker, work.terms, recipient, work.keys(recipient)))
    parties = kind(system, Cohort(draft, work.terms.hash, patients), producer, reader)
    await parties.begin()
    return parties


async def _one_process(stack: AsyncExitStack, folder: Path, system: LocalSystem, parties: "Parties") -> "OneProcess":
    broker = Broker(system.broker)
    await create_topics(broker, [topics.Topic(name, 1, 1) for name in (GATED, UNGATED)])
    process = spawn_tied(
        [sys.executable, "-m", "benchmarks.plaintext", str(system.work.configuration("node-0"))],
        folder / "plaintext.log", Path.cwd(), env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    stack.callback(stop, process)
    one = OneProcess(parties, {
        name: await stack.enter_async_context(Consumer(broker, name, [0])) for name in (GATED, UNGATED)
    })
    await one.begin()
    return one


def agreed(folder: Path, setting: Setting, runs: int) -> Draft:
    """The demonstration's agreement with as many windows as are measured; with eight measures if `small`."""
    path = folder / "agreement.toml"
    path.write_text(demo_agreement() + (SMALL_STRATA if setting.small else ""), encoding="utf-8")
    draft = load_draft(path)
    changes: dict[str, Any] = {"panes": draft.panes.model_copy(update={"count": FIRST_PANES + runs})}
    if setting.small:
        changes |= {
            "kpis": SMALL_KPIS, "measures": tuple(m for m in draft.measures if m.name in SMALL_MEASURES),
            "recipients": tuple(
                r.model_copy(update={"kpis": tuple(k for k in r.kpis if k in SMALL_KPIS)}) for r in draft.recipients
            ),
        }
    return Draft.model_validate_json(draft.model_copy(update=changes).model_dump_json())


class Parties:
    """All parties, by their keys, and the recipient of what the nodes make of their panes."""

    def __init__(self, system: LocalSystem, cohort: Cohort, producer: Producer, reader: AccountReader) -> None:
        self._system, self._cohort, self._producer, self._reader = system, cohort, producer, reader
        self._terms = system.work.terms
        self._draft = self._terms.draft
        self.names = [party.name for party in self._draft.parties]
        self._sent = 0
        """Batches that every node has to get."""
        keys = {name: system.work.keys(name) for name in self.names}
        self._sharers = {
            name: Sharer(
                self._terms, read_secret(folder / SHARING),
                Ed25519PrivateKey.from_private_bytes(read_secret(folder / BATCH)),
            ) for name, folder in keys.items()
        }

    @property
    def first(self) -> Window:
        """The first window that is measured."""
        return self._draft.lattice.scheduled[0]

    async def begin(self) -> None:
        """Share registers and all panes before the first window's last; wait for the linkage."""
        for pane in range(-1, self.first.stop - 1):
            for party in self.names:
                await self._share(party, self.blocks(party, pane))
        await self._reader.wait(
            lambda: self._reader.account.document().runs or None, LINK_SECONDS, lambda: "the nodes have not linked"
        )

    async def evaluate(self, window: Window) -> float:
        """Seconds from the last party's seal to the released window, which is checked."""
        *others, last = self.names
        for party in others:
            await self._share(party, self.blocks(party, window.stop - 1))
        blocks = self.blocks(last, window.stop - 1)
        await self.idle()
        begin = time.perf_counter()
        await self._share(last, blocks)
        releases = await self._reader.wait(
            lambda: self._reader.account.releases(windows=[window.index]) or None, RESULT_SECONDS,
            lambda: f"no result of window {window.index}",
        )
        seconds = time.perf_counter() - begin
        strata = {
            (plan.kpi, tuple(stratum.cell.items())): place
            for plan in self._terms.plans for place, stratum in enumerate(plan.strata)
        }
        self.check(window, {
            (r.kpi, strata[r.kpi, tuple(r.cell.items())]): Cell(r.value, r.low or math.nan, r.high or math.nan)
            for r in releases
        })
        return seconds

    def phases(self, window: Window) -> dict[str, float]:
        """Seconds of the window's run at the slowest node, as far as the nodes have said."""
        runs = self._reader.account.document().runs
        return next((r.seconds for r in runs if len(r.windows) == 1 and r.windows[0] == DateWindow.of_panes(
            self._draft.panes, window.start, window.stop
        )), {})

    async def told(self, window: Window) -> dict[str, float]:
        """The same, when all three nodes have said it."""
        return await self._reader.wait(
            lambda: self.phases(window) if self._reader.account.progress[0] > window.index else None, RESULT_SECONDS,
            lambda: f"no record of window {window.index}",
        )

    def blocks(self, party: str, pane: int) -> Blocks:
        """A pane of a party; its register for −1."""
        return self._cohort.register(party) if pane < 0 else self._cohort.pane(party, pane)

    async def show(self, party: str, blocks: Blocks) -> None:
        """Put snapshots on the party's own topic, in the clear."""
        outbox = Outbox(self._producer)
        for header, content in blocks:
            outbox.put(topics.panes(party, self._draft.name), header.shard, None, snapshot(header, content))
        await outbox.send()

    async def idle(self) -> None:
        """Wait until every node has what was shared so far, and for a random part of a block interval more."""
        def there() -> bool:
            told = [self._system.lines(f"node-{j}", "shares") for j in range(NODES)]
            return all(lines and lines[-1]["done"] == self._sent for lines in told)

        await self._system.wait("the nodes to get all batches", there, RESULT_SECONDS)
        await asyncio.sleep(IDLE_SECONDS + random.random() * LIVE_BLOCK_SECONDS)

    def check(self, window: Window, found: Mapping[tuple[str, int], Cell]) -> None:
        """Refuse results that are not numpy's."""
        expected = self._cohort.expected(self._terms.plans, window.start, window.stop)
        if found.keys() != expected.keys() or not expected:
            raise RuntimeError(f"window {window.index}: found {sorted(found)}, expected {sorted(expected)}")
        for place, cell in expected.items():
            width, got = cell.high - cell.low, found[place]
            for one, other in ((got.value, cell.value), (got.low, cell.low), (got.high, cell.high)):
                if not math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE * width):
                    raise RuntimeError(f"window {window.index}, {place}: found {got}, expected {cell}")

    async def _share(self, party: str, blocks: Blocks) -> None:
        outbox = Outbox(self._producer)
        for header, content in blocks:
            for node, message in enumerate(self._sharers[party].messages(header, content)):
                outbox.put(topics.inbox(node, self._draft.name), header.shard, None, message)
        await outbox.send()
        self._sent += len(blocks)


class ClearParties(Parties):
    """Parties that hide nothing from three nodes."""

    async def _share(self, party: str, blocks: Blocks) -> None:
        await self.show(party, blocks)
        self._sent += len(blocks)


class OneProcess:
    """The parties show everything to one process instead."""

    def __init__(self, parties: Parties, results: Mapping[str, Consumer]) -> None:
        self._parties, self._results = parties, results

    async def begin(self) -> None:
        """Show registers and all panes before the first window's last."""
        for pane in range(-1, self._parties.first.stop - 1):
            for party in self._parties.names:
                await self._parties.show(party, self._parties.blocks(party, pane))

    async def evaluate(self, window: Window) -> dict[str, float]:
        """Contender → seconds from the last party's seal to the window, which is checked."""
        *others, last = self._parties.names
        for party in others:
            await self._parties.show(party, self._parties.blocks(party, window.stop - 1))
        blocks = self._parties.blocks(last, window.stop - 1)
        await self._parties.idle()
        begin = time.perf_counter()
        await self._parties.show(last, blocks)

        async def came(consumer: Consumer) -> float:
            while not (records := await consumer.poll(1.0, 1)):
                pass
            seconds = time.perf_counter() - begin
            cells = json.loads(records[0].value)["cells"]
            self._parties.check(window, {(kpi, stratum): Cell(**cell) for kpi, stratum, cell in cells})
            return seconds

        async with asyncio.timeout(RESULT_SECONDS):
            seconds = await asyncio.gather(*(came(consumer) for consumer in self._results.values()))
        return dict(zip(self._results, seconds, strict=True))
