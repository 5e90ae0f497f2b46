"""A whole system on three brokers of Apache Kafka, of whose processes some are killed: nothing is lost or doubled."""

import asyncio
import json
from pathlib import Path

import pytest

from console.cohort.generate import generate
from console.cohort.shape import Shape
from console.system import LocalSystem
from policy.agreement import load_draft
from policy.compilation import load_kpis
from tests.support.command import compare
from tests.support.oracle import expect

AGREEMENT = Path(__file__).parents[1] / "support" / "agreements" / "quick.toml"
SHAPE = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)
LIMIT_SECONDS = 300


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("cohort"), shape=SHAPE, dirt=2).parties


@pytest.mark.timeout(900)
async def test_a_party_a_node_and_a_broker_are_killed_in_the_middle(tmp_path, folders):
    draft = load_draft(AGREEMENT)
    system = LocalSystem(draft, load_kpis(draft, AGREEMENT.parent), folders, tmp_path / "work", kafka=3)
    async with system:
        cluster = system.brokers.service
        system.start()
        await system.wait_for("insurer", "ingest", LIMIT_SECONDS)
        system.kill("insurer")
        system.start("insurer")
        await system.wait_for("hospital", "panes", LIMIT_SECONDS)
        await asyncio.to_thread(cluster.kill, 1)
        system.kill("hospital")
        system.start("hospital")
        await system.wait_for("node-1", "windows", LIMIT_SECONDS)
        system.kill("node-1")
        system.start("node-1")
        cluster.begin(1)
        await system.wait_for("innovation-team", "complete", LIMIT_SECONDS)
        for number in range(3):
            await system.wait_for(f"node-{number}", "over", LIMIT_SECONDS)
        for party in folders:
            await system.wait_for(party, "done", LIMIT_SECONDS)
        document = json.loads(system.work.document("innovation-team").read_text())
    expected = expect(AGREEMENT, folders)
    cells, sums = compare(document, expected)
    assert sums == 4 * cells > 0
