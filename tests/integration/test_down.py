"""Real processes of which a node is away when windows are due: it runs them when it is back, and the record says so."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from console.cohort.generate import generate
from console.cohort.shape import Shape
from console.system import LocalSystem
from evaluation.errors import Tampered
from evaluation.expected import GRACE
from evaluation.records import Done, Missed, open_record
from policy.agreement import load_draft
from policy.compilation import load_kpis
from streams.broker import Broker, Consumer
from streams.topics import RUNS
from tests.support.command import compare
from tests.support.oracle import expect

AGREEMENT = Path(__file__).parents[1] / "support" / "agreements" / "quick.toml"
SHAPE = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)
LIMIT_SECONDS = 240
WINDOWS = tuple(range(5))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("cohort"), shape=SHAPE, dirt=2).parties


@pytest.fixture
def system(tmp_path, folders):
    draft = load_draft(AGREEMENT)
    return LocalSystem(draft, load_kpis(draft, AGREEMENT.parent), folders, tmp_path / "work")


async def read_records(system):
    """Everything on the runs topic, in order."""
    found = []
    async with Consumer(Broker(system.broker), RUNS, [0]) as consumer:
        while records := await consumer.poll(1.0, 500):
            for record in records:
                try:
                    found.append(open_record(record.value, system.work.terms))
                except Tampered as error:
                    raise AssertionError("a process wrote what is no record") from error
    return found


def document_of(system):
    return json.loads(system.work.document("innovation-team").read_text())


async def ended(system):
    """Wait for the end of everything; returns what the nodes said."""
    await system.wait_for("innovation-team", "complete", LIMIT_SECONDS)
    for number in range(3):
        await system.wait_for(f"node-{number}", "over", LIMIT_SECONDS)
    return await read_records(system)


def missed_by(records, node, reason):
    """What a node said it missed for a reason; on a busy machine it may have others, too."""
    return [r for r in records if isinstance(r, Missed) and (r.node, r.reason) == (node, reason)]


def late_of(records, node):
    return {w: r.late for r in records if isinstance(r, Done) and r.node == node for w in r.windows}


@pytest.mark.timeout(600)
async def test_a_node_that_was_not_up_runs_what_it_missed(system, folders):
    began = datetime.now(UTC)
    others = ("innovation-team", "node-0", "node-2")
    async with system:
        system.start(*others, *folders)
        for node in ("node-0", "node-2"):
            await system.wait(
                f"{node} to miss every window",
                lambda node=node: any(s["facts"]["windows"] == [*WINDOWS] for s in system.lines(node, "missed")),
                LIMIT_SECONDS,
            )
        assert not system.lines("node-0", "windows")
        system.start("node-1")
        records = await ended(system)
        document = document_of(system)
    cells, sums = compare(document, expect(AGREEMENT, folders))
    assert sums == 4 * cells > 0
    assert document["status"] == "released"

    for node in (0, 2):
        lasting, *_, over = missed_by(records, node, "node 1 was away")
        assert lasting.until is None
        assert over.windows == WINDOWS
        assert began < over.since < over.until < datetime.now(UTC)
    own = missed_by(records, 1, "this node had not started")
    assert {w for r in own for w in r.windows} == set(WINDOWS)
    assert all(r.since is None and began < r.until for r in own)
    for node, reason in ((0, "node 1 was away from "), (1, "this node had not started to "), (2, "node 1 was away")):
        late = late_of(records, node)
        assert set(late) == set(WINDOWS)
        assert all(reason in words for words in late.values())
    runs = [r for r in records if isinstance(r, Done) and r.windows]
    assert all(began < r.due_at < r.ended_at < datetime.now(UTC) for r in runs)


@pytest.mark.timeout(600)
async def test_a_node_that_is_killed_in_a_run_goes_on_where_it_was(system, folders):
    """kill -9 while it links and again while it aggregates; it is back each time, and nothing is released twice."""
    async with system:
        system.start()
        await system.wait_for("node-1", "link", LIMIT_SECONDS)
        system.kill("node-1")
        await system.wait_for("node-0", "retry", LIMIT_SECONDS)
        system.start("node-1")
        await system.wait_for("node-1", "aggregate", LIMIT_SECONDS)
        system.kill("node-1")
        await asyncio.sleep(GRACE.total_seconds())  # what is shorter is no reason that a record gives
        system.start("node-1")
        await system.wait_for("node-1", "resumed", LIMIT_SECONDS, count=2)
        records = await ended(system)
        document = document_of(system)
    cells, sums = compare(document, expect(AGREEMENT, folders))
    assert sums == 4 * cells > 0
    assert document["status"] == "released"
    for node in range(3):
        windows = [w for r in records if isinstance(r, Done) and r.node == node for w in r.windows]
        assert sorted(windows) == [*WINDOWS]
    assert any("this node was down from" in (words or "") for words in late_of(records, 1).values())
