"""Requests through real processes: eight requesters race with the schedule and each other; then the command's ways to end."""

import asyncio
import json
import math
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from console.cohort.generate import generate
from console.cohort.shape import Shape
from console.request import Requester, ask
from console.system import LocalSystem
from evaluation.agreement import open_registry
from policy.agreement import load_draft
from policy.chain.reader import wait
from policy.compilation import load_kpis
from policy.request import new_demand
from streams.broker import Broker, Consumer, Producer
from streams.topics import REQUESTS
from tests.support.command import LIMIT_SECONDS, winnow
from tests.support.oracle import expect

AGREEMENTS = Path(__file__).parents[1] / "support" / "agreements"
SHAPE = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)
REQUESTERS = 8
KPIS = ("cost-sums", "gp-visit-sums")
ASKED, LONG, ALL = "2024-02-12/2024-03-25", (6, 12), "2024-01-01/2024-03-25"
SCHEDULED = (8, 12)
SECONDS = 240.0


@pytest.fixture
def agreement(tmp_path):
    """The quick agreement, with eight requesters of three new runs each (the race may cost one of them two), one of one, and windows of six weeks on demand."""
    for program in AGREEMENTS.glob("*sums.toml"):
        shutil.copy(program, tmp_path)
    path = tmp_path / "agreement.toml"
    asking = "".join(
        f'\n[[requesters]]\nname = "asker-{i}"\nrecipient = "innovation-team"\nruns = 3\n' for i in range(REQUESTERS)
    )
    asking += '\n[[requesters]]\nname = "poor"\nrecipient = "innovation-team"\nruns = 1\n'
    path.write_text((AGREEMENTS / "quick.toml").read_text() + "\n[on_demand]\nlargest = 6\n" + asking)
    return path


def longer(agreement):
    """The same agreement with scheduled windows as long as the one that is asked for: what the oracle works out."""
    path = agreement.with_name("longer.toml")
    path.write_text(agreement.read_text().replace("size = 4", "size = 6"))
    return path


async def race(requesters, readers, panes):
    """Every requester's outcome of the same request, sent at the same time."""
    async def one(requester, reader):
        demand = new_demand(requester.terms, requester.settings.requester, KPIS, *panes)
        async with Producer(requester.settings.broker) as producer:
            return await ask(requester, reader, producer, demand, SECONDS)

    return await asyncio.gather(*(one(*pair) for pair in zip(requesters, readers, strict=True)))


def one_release(outcomes):
    """Everybody got the same, and at most one new run made it; returns how often each answer came."""
    assert len({json.dumps([r.model_dump(mode="json") for r in o.releases]) for o in outcomes}) == 1
    assert {o.status for o in outcomes} == {"released"}
    assert len({o.run for o in outcomes}) == 1
    counted = Counter(o.outcome for o in outcomes)
    assert counted["run"] <= 1
    return counted


def equals(outcome, cells):
    """What came out is what the oracle lets out, sum by sum and value by value."""
    expected = {(c.kpi, tuple(c.cell.items())): c for c in cells if c.released}
    found = {(r.kpi, tuple(r.cell.items())) for r in outcome.releases}
    assert found == set(expected)
    for release in outcome.releases:
        cell = expected[release.kpi, tuple(release.cell.items())]
        if release.output == "value":
            for name in ("value", "low", "high"):
                assert math.isclose(getattr(release, name), getattr(cell, name), rel_tol=1e-6), (cell, name)
        else:
            assert release.value == cell.sums[release.output.removeprefix("sums.")]
    assert {(r.kpi, tuple(r.cell.items())) for r in outcome.refusals} == {
        (c.kpi, tuple(c.cell.items())) for c in cells if not c.released
    }


async def command(config, *arguments):
    """`winnow …`: exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "console.cli", *arguments, "--config", str(config), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), SECONDS)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.timeout(900)
async def test_eight_requesters_race_and_the_command_ends_as_it_should(agreement, tmp_path):
    parties = generate(tmp_path / "data", shape=SHAPE).parties
    draft = load_draft(agreement)
    expected = expect(longer(agreement), parties)
    system = LocalSystem(draft, load_kpis(draft, tmp_path), parties, tmp_path / "work", block_seconds=0.25)
    async with system:
        configs = [system.work.configuration(r.name) for r in draft.requesters]
        requesters = [Requester.load(config) for config in configs[:REQUESTERS]]
        readers = [r.reader() for r in requesters]
        for reader in readers:
            await reader.__aenter__()
        try:
            system.start()
            for j in range(3):
                await system.wait(f"all shares at node {j}", lambda j=j: any(
                    line["total"] and line["done"] == line["total"] for line in system.lines(f"node-{j}", "shares")
                ), SECONDS)
            # Nothing is linked yet, so that the schedule is still to run: both races are with it.
            asked, scheduled = await asyncio.gather(
                race(requesters, readers, LONG), race(requesters, readers, SCHEDULED)
            )
            assert one_release(asked)["run"] == 1
            one_release(scheduled)
            cells = [c for c in expected.cells if (c.start, c.end) == (asked[0].window.start, asked[0].window.end)]
            assert any(c.released for c in cells)
            equals(asked[0], cells)
            assert all(r.on_demand for r in asked[0].releases)
            assert not any(r.on_demand for r in scheduled[0].releases)
            await system.wait_for("innovation-team", "complete", SECONDS)
            await one_of_each(requesters[0], readers[0], asked[0].run)
            await copies_and_junk_change_nothing(system, configs[0], readers[0])
            await ways_to_end(system, configs, requesters[0])
        finally:
            for reader in readers:
                await reader.__aexit__(None, None, None)


async def one_of_each(requester, reader, run):
    """The chain counted every run once, and no window of a KPI was computed twice."""
    terms, account = requester.terms, reader.account
    document = account.document()
    async with open_registry(requester.settings.chain, terms) as registry:
        agreement = requester.settings.chain.agreement_id
        assert await registry.authorisation(agreement, run) is not None

        async def counted():
            """A place that was reserved ahead, and for which requests left nothing, is given back."""
            view = await registry.view(agreement, "latest")
            return view if view.runs_used <= len(document.runs) else None

        view = await wait(counted, SECONDS, "the nodes to give back what they did not use")
    assert view.runs_used == len({r.id for r in document.runs}) == len(document.runs)
    values = Counter((r.kpi, r.window.start, r.window.end, tuple(r.cell.items()), r.output) for r in document.releases)
    assert set(values.values()) == {1}
    assert [r.outcome for r in document.runs].count("linked") == 1
    asked = [r for r in document.runs if [(w.start.isoformat(), w.end.isoformat()) for w in r.windows] == [
        tuple(ASKED.split("/"))]]
    assert [r.id for r in asked] == [run]
    used = [account.runs_used(r.name) for r in terms.draft.requesters]
    counted = {asker.account: runs for asker, runs in zip(view.requesters, view.requester_runs, strict=True)}
    assert [counted[identity.address] for identity in terms.requesters] == used
    assert sum(used) in {1, 2}  # the scheduled window is a second new run only if a request came before the schedule
    assert {row.state for row in document.schedule} <= {"ran", "skipped"}


async def copies_and_junk_change_nothing(system, config, reader):
    """Somebody with the broker sends all requests again, and what is no request: nothing runs, the queue goes on."""
    broker, account = Broker(system.broker), reader.account
    before = len(account.document().runs), account.covered()
    async with Consumer(broker, REQUESTS, [0]) as consumer, Producer(broker) as producer:
        sent, end = [], await consumer.end(0)
        while len(sent) < end:
            sent += [m.value for m in await consumer.poll(1.0, 100)]
        assert len(sent) == 2 * REQUESTERS
        other = json.loads(sent[0])
        other["demand"]["start"] = 0
        for junk in (*sent, b"junk", b"{" * 5000, json.dumps(other).encode()):
            await producer.send(REQUESTS, 0, [(None, junk)])
    code, out, err = await command(config, "request", "--kpi", "cost-sums", "--window", ASKED)
    assert code == 0, err
    assert "no quota was used" in out
    assert (len(account.document().runs), account.covered()) == before


async def ways_to_end(system, configs, requester):
    """The command itself, as a user calls it."""
    mine = configs[0]
    kpi = ("--kpi", "cost-sums")
    code, out, _ = await command(mine, "request", *kpi, "--window", ASKED)
    assert code == 0
    assert "no quota was used" in out
    code, out, _ = await command(mine, "request", *kpi, "--window", ASKED, "--cell", "all", "--json")
    found = json.loads(out)
    assert (code, found["outcome"], {json.dumps(r["cell"]) for r in found["releases"]}) == (0, "released", {"{}"})
    code, out, _ = await command(mine, "request", "--kpi", "gp-visit-sums", "--window", ASKED, "--cell", "income:1")
    assert code == 4
    assert "Nothing reached the agreed minimum" in out
    code, _, err = await command(mine, "request", *kpi, "--window", ALL)
    assert code == 3
    nearest = re.search(r"--window (\S+)\.", err)[1]
    assert nearest in {"2024-01-01/2024-02-12", ASKED}
    for wrong, said in ((("--kpi", "made-up", "--window", ASKED), "the agreement does not compute it"),
                        ((*kpi, "--window", "now"), "expected START/END"),
                        ((*kpi, "--window", ASKED, "--cell", "income:9"), "income:5")):
        code, _, err = await command(mine, "request", *wrong)
        assert (code, said in err) == (2, True), err
    code, out, _ = await command(mine, "request", *kpi, "--window", "2024-01-01/2024-02-12", "--dry-run", "--json")
    verdicts = json.loads(out)["verdicts"]
    assert (code, len(verdicts), [v["rule"] for v in verdicts if not v["passes"]]) == (0, 16, [])

    forged = mine.with_name("forged.toml")
    forged.write_text(mine.read_text().replace(str(requester.settings.keys), str(requester.settings.keys.parents[1] / "asker-1" / "keys")))
    code, out, _ = await command(forged, "request", *kpi, "--window", "2024-01-15/2024-02-26")
    assert code == 3
    assert "request-signed" in out
    code, out, _ = await command(forged, "request", *kpi, "--window", "2024-01-15/2024-02-26", "--dry-run", "--json")
    assert code == 3
    assert [v["rule"] for v in json.loads(out)["verdicts"] if not v["passes"]] == ["request-signed"]

    poor = configs[-1]
    first, second = (*kpi, "--window", "2024-01-01/2024-02-12"), (*kpi, "--window", "2024-01-15/2024-02-26")
    assert (await command(poor, "request", *first))[0] in {0, 4}
    code, out, _ = await command(poor, "request", *second)
    assert code == 3
    assert "requester-quota" in out
    code, out, _ = await command(poor, "request", *first)
    assert code in {0, 4}
    assert "no quota was used" in out

    code, out, _ = await command(mine, "schedule", "--json")
    rows = json.loads(out)["schedule"]
    assert code == 0
    assert [r["window"]["start"] for r in rows] == ["2024-01-01", "2024-01-15", "2024-01-29", "2024-02-12", "2024-02-26"]
    assert all(r["state"] in {"ran", "skipped"} and r["nodes"] == [0, 1, 2] for r in rows)
    code, out, _ = await command(mine, "schedule")
    assert "5 windows: " in out

    system.kill("node-2")
    code, _, err = await command(configs[2], "request", *kpi, "--window", "2024-01-29/2024-03-11", "--timeout", "3")
    assert code == 5
    assert "did not end within 3 s" in err


@pytest.mark.timeout(600)
def test_serving_prints_a_command_that_works(tmp_path):
    example = Path(__file__).parents[2] / "examples" / "own-files"
    parties = [part for name in ("hospital", "insurer", "statistics") for part in ("--party", f"{name}={example / name}")]
    serving = subprocess.Popen(
        [sys.executable, "-m", "console.cli", "evaluate", str(example / "agreement.toml"), *parties, "--serve",
         "--work", str(tmp_path / "a work folder")],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    try:
        limit = time.monotonic() + LIMIT_SECONDS
        lines = []
        while not (lines and lines[-1].startswith("    winnow schedule")):
            assert time.monotonic() < limit
            lines.append(serving.stderr.readline())
            assert lines[-1], "".join(lines)
        asking, listing = (shlex.split(line)[1:] for line in lines if line.startswith("    winnow "))
        document, said = winnow(*asking, "--json", expect=0)
        assert document["outcome"] == "run", said
        assert {r["output"] for r in document["releases"]} == {"value"}
        assert all(r["on_demand"] for r in document["releases"])
        rows, _ = winnow(*listing, "--json")
        assert [r["state"] for r in rows["schedule"]] == ["ran"] * 6
    finally:
        serving.terminate()
        serving.communicate(timeout=60)
    assert serving.returncode == 130
