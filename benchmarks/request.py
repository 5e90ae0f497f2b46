"""From a signed request to the result at its recipient.

The demonstration's cohort and agreement, all processes on this machine, an embedded chain with a block a second of
which the one two behind the head is final. Once every scheduled window has run, one requester asks for windows that
never ran, one after the other, each for both KPIs and all cells.

- "signed request to result": from before the request is signed until all three nodes' shares are recombined and
  decoded at the requester.
- "the same, not waiting for blocks": that, minus the time in which the last node had nothing left to do but to wait
  until the run's authorisation, which the chain had taken, is final (phase `authorise` of the run, less what `submit`
  took beyond the work beside it). Results wait for no other block: an attestation is sent before them, but mined when
  it may.

Every result is compared with the plaintext oracle of the tests.
"""

import asyncio
import math
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import case
from console.cohort.agreement import demo_agreement
from console.cohort.generate import generate
from console.cohort.shape import Shape
from console.reader import AccountReader
from console.request import Requester, ask
from console.requested import Outcome
from console.system import LocalSystem
from infra.local.chain import LIVE_BLOCK_SECONDS
from policy.agreement import load_draft
from policy.compilation import load_kpis
from policy.request import new_demand
from streams.broker import Producer
from tests.support.oracle import Expected, expect

LENGTH = 6
"""Weeks of the windows that are asked for; scheduled ones have 4."""
REPLAY_SECONDS = 900.0
ASK_SECONDS = 60.0
TOLERANCE = 1e-5
"""Relative to the value or to the width of its interval; the demonstration's plans have 20 significant bits, of each of
the two rates that a difference is made of."""


def measure_requests(patients: int, runs: int) -> list[dict[str, Any]]:
    """Both cases, over `runs` requests after one that warms up."""
    with tempfile.TemporaryDirectory(prefix="winnow-benchmark-", ignore_cleanup_errors=True) as folder:
        return asyncio.run(_measure(Path(folder), patients, runs))


async def _measure(folder: Path, patients: int, runs: int) -> list[dict[str, Any]]:
    shape = Shape(patients=patients)
    parties = generate(folder / "data", shape=shape).parties
    agreement, longer = folder / "agreement.toml", folder / "longer.toml"
    text = demo_agreement(shape)
    agreement.write_text(text, encoding="utf-8")
    longer.write_text(text.replace("size = 4", f"size = {LENGTH}"), encoding="utf-8")
    draft = load_draft(agreement)
    oracle = expect(longer, parties)
    system = LocalSystem(
        draft, load_kpis(draft, folder), parties, folder / "work", block_seconds=LIVE_BLOCK_SECONDS
    )
    totals, waits = [], []
    async with system:
        system.start()
        await system.wait_for(draft.recipients[0].name, "complete", REPLAY_SECONDS)
        requester = Requester.load(system.work.configuration(draft.requesters[0].name))
        async with (
            requester.reader() as reader,
            Producer(requester.settings.broker) as producer,
        ):
            await reader.catch_up()
            last = draft.panes.count - LENGTH
            for number in range(runs + 1):
                start = last - number
                demand = new_demand(requester.terms, requester.settings.requester, draft.kpis, start, start + LENGTH)
                begin = time.perf_counter()
                outcome = await ask(requester, reader, producer, demand, ASK_SECONDS)
                spent = time.perf_counter() - begin
                _check(outcome, oracle)
                seconds = await reader.wait(
                    partial(_phases, reader, outcome.run), ASK_SECONDS, lambda: "a node says nothing of the run"
                )
                if number:
                    totals.append(spent)
                    waits.append(seconds["authorise"] - max(0.0, seconds["submit"] - seconds["aggregate"]))
                sys.stderr.write(f"request {number} of {runs}: {spent:.2f} s, {seconds}\n")
    return [
        case("signed request to result", "winnow", patients, totals),
        case("the same, not waiting for blocks", "winnow", patients,
             [total - wait for total, wait in zip(totals, waits, strict=True)]),
    ]


def _phases(reader: AccountReader, run: str | None) -> dict[str, float] | None:
    """Seconds of a run's phases, once the node that brought its authorisation to the chain has told them."""
    found = next((r.seconds for r in reader.account.document().runs if r.id == run), {})
    return found if "submit" in found else None


def _check(outcome: Outcome, oracle: Expected) -> None:
    """Refuse a result that is not the oracle's, or was not computed for this request."""
    if outcome.outcome != "run":
        raise RuntimeError(f"a new window was answered as {outcome.outcome}, status {outcome.status}")
    cells = [
        c for c in oracle.cells if (c.start, c.end) == (outcome.window.start, outcome.window.end) and c.released
    ]
    found = {(r.kpi, tuple(r.cell.items())): r for r in outcome.releases if r.output == "value"}
    if len(found) != len(cells) or not cells:
        raise RuntimeError(f"found {len(found)} values, expected {len(cells)}")
    for cell in cells:
        release = found[cell.kpi, tuple(cell.cell.items())]
        width = (cell.high or 0) - (cell.low or 0)
        for got, wanted in ((release.value, cell.value), (release.low, cell.low), (release.high, cell.high)):
            if got is None or wanted is None or not math.isclose(
                got, wanted, rel_tol=TOLERANCE, abs_tol=TOLERANCE * width
            ):
                raise RuntimeError(f"{cell.kpi} {cell.cell}: found {got}, expected {wanted}")
