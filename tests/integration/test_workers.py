"""Real nodes, each with threads of its own number: ended in order and killed while they add up, and out of room."""

import json
import resource
import time
from pathlib import Path

import pytest

from console.cohort.generate import generate
from console.cohort.shape import Shape
from console.system import LocalSystem
from evaluation.errors import EXIT_INTERRUPTED, EXIT_USAGE
from policy.agreement import load_draft
from policy.compilation import load_kpis
from tests.support.command import compare
from tests.support.oracle import expect

AGREEMENT = Path(__file__).parents[1] / "support" / "agreements" / "quick.toml"
SHAPE = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)
LIMIT_SECONDS = 240
END_SECONDS = 5
WORKERS = {"node-0": 4, "node-1": 1, "node-2": 3}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("cohort"), shape=SHAPE).parties


@pytest.fixture
async def system(tmp_path, folders):
    draft = load_draft(AGREEMENT)
    async with LocalSystem(draft, load_kpis(draft, AGREEMENT.parent), folders, tmp_path / "work") as system:
        for node, workers in WORKERS.items():
            system._roles[node].settings["workers"] = workers
        yield system


@pytest.mark.timeout(600)
async def test_nodes_with_threads_end_in_order_and_go_on(system, folders):
    """SIGTERM while it links, SIGTERM while it adds up, kill -9 while another one does; nothing is released twice."""
    system.start()
    for phase, node in (("link", "node-0"), ("aggregate", "node-0"), ("aggregate", "node-2")):
        await system.wait_for(node, phase, LIMIT_SECONDS)
        if node == "node-2":
            system.kill(node)
        else:
            begin = time.monotonic()
            assert await system.stop(node) == EXIT_INTERRUPTED
            assert time.monotonic() - begin < END_SECONDS
        system.start(node)
    await system.wait_for("innovation-team", "complete", LIMIT_SECONDS)
    document = json.loads(system.work.document("innovation-team").read_text())
    cells, sums = compare(document, expect(AGREEMENT, folders))
    assert sums == 4 * cells > 0
    assert document["status"] == "released"


@pytest.mark.timeout(600)
async def test_a_node_without_room_for_its_running_totals_says_where(system):
    system.start()
    await system.wait_for("node-0", "link", LIMIT_SECONDS)
    # As a disk that is full: the operating system refuses files of more than 256 KiB.
    resource.prlimit(system.pid("node-0"), resource.RLIMIT_FSIZE, (1 << 18, 1 << 18))
    await system.wait("node-0 to end", lambda: not system.runs("node-0"), LIMIT_SECONDS)
    (said,) = system.lines("node-0", "failed")
    assert "the running totals, a file without a name of" in said["facts"]["reason"]
    assert str(system.root / "node-0" / "state") in said["facts"]["reason"]
    assert said["facts"]["code"] == await system.stop("node-0") == EXIT_USAGE
