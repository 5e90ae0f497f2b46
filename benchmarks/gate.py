"""How much time the gate adds to a run whose authorisation was made ahead.

The demonstration's agreement with 10,000 patients, as in `latency`: real processes, embedded broker and chain, one
window after another, each run under a place that was reserved and final before its last pane came. The nodes are the
product's, and time themselves (benchmarks.gate_node). Of each run the slowest of the three nodes counts.

- `gate`: reading the chain, the rules, waiting for the authorisation, from the first look at the final block on.
- `gate-and-verdicts`: with telling each other the verdicts before every phase, in which a node also waits for the
  others to get there.
- `winnow`: the whole, from the last party's seal to the window at its recipient.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.gate_node import GATE, VERDICTS
from benchmarks.latency import PLACE_BLOCKS, Parties, Result, Setting, agreed, fed, measured
from benchmarks.report import case
from console.onboarding import Onboarded
from console.system import LocalSystem, Role
from console.workdir import WorkDir
from infra.local.chain import LIVE_BLOCK_SECONDS, REPLAY_BLOCK_SECONDS
from policy.compilation import load_kpis

SETTINGS = (
    Setting("demonstration", small=False, block_seconds=REPLAY_BLOCK_SECONDS),
    Setting("demonstration", small=False, block_seconds=LIVE_BLOCK_SECONDS),
)


class TimedSystem(LocalSystem):
    """The same processes, with nodes that time their gate."""

    def _processes(self, work: WorkDir, onboarded: Onboarded) -> list[Role]:
        return [
            role._replace(module="benchmarks.gate_node") if role.module == "evaluation.node" else role
            for role in super()._processes(work, onboarded)
        ]


def measure_gate(patients: int, runs: int) -> list[Result]:
    """All cases, over `runs` windows after one that warms up."""
    return measured(SETTINGS, _measure, patients, runs)


async def _measure(folder: Path, setting: Setting, patients: int, runs: int) -> list[Result]:
    draft = agreed(folder, setting, runs)
    kpis, data = load_kpis(draft, folder), {p.name: folder for p in draft.parties}
    seconds: dict[str, list[float]] = {"gate": [], "gate-and-verdicts": [], "winnow": []}
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(
            TimedSystem(draft, kpis, data, folder / "gate", block_seconds=setting.block_seconds)
        )
        parties = await fed(stack, system, Parties, patients)
        for number, window in enumerate(draft.lattice.scheduled):
            await asyncio.sleep(PLACE_BLOCKS * setting.block_seconds)
            whole = await parties.evaluate(window)
            phases = await parties.told(window)
            if "submit" in phases:
                raise RuntimeError(f"window {number} was not authorised ahead: its run had itself authorised")
            sys.stderr.write(f"{setting.words}, window {number} of {runs}: {whole:.3f} s, {phases}\n")
            if number:
                for contender, took in zip(seconds, (phases[GATE], phases[VERDICTS], whole), strict=True):
                    seconds[contender].append(took)
    return [case(setting.words, contender, patients, taken) for contender, taken in seconds.items()]
