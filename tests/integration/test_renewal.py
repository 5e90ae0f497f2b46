"""Everything linked anew between two windows, from files to results: every cell equals that of an oracle of the batches."""

import asyncio
import tomllib
from random import Random

import pytest
import tomli_w

from console.cohort.generate import generate
from console.cohort.shape import Shape
from policy.agreement import load_draft
from streams.store import ShareStore
from tests.simulation.test_schedules_that_grow import Growing
from tests.support import schedules
from tests.support.growing import newcomers
from tests.support.oracle import expect
from tests.support.pipelines import PARTIES
from tests.support.runs import ThreeNodes, released
from tests.support.world import World

CHANGES = {
    "shards": 1, "windows": {"size": 3, "step": 1},
    "linkage": {"batch_panes": 1, "renew_batches": 2, "dummies": 16},
}


class Store(ShareStore):
    """Of which some has not come yet."""

    most_batches, most_panes = 3, 3

    @property
    def batches_complete(self):
        return min(super().batches_complete, self.most_batches)

    @property
    def complete_panes(self):
        return min(super().complete_panes, self.most_panes)


@pytest.fixture
def agreed(tmp_path, monkeypatch):
    """schedules.toml with a batch every pane."""
    data = tomllib.loads(schedules.AGREEMENT.read_text(encoding="utf-8"))
    path = tmp_path / "agreement.toml"
    path.write_text(tomli_w.dumps({**data, **CHANGES, "linkage": {**data["linkage"], **CHANGES["linkage"]}}), "utf-8")
    for kpi in schedules.AGREEMENT.parent.glob("*.toml"):
        if kpi.name in data["kpis"]:
            (tmp_path / kpi.name).write_text(kpi.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(schedules, "AGREEMENT", path)
    assert load_draft(path).batch_edges == (1, 2, 3)
    return path


@pytest.mark.timeout(300)
async def test_a_window_after_a_renewal_that_began_before_batches_counts_whom_the_oracle_does(agreed, tmp_path):
    cohort = newcomers(generate(
        tmp_path / "cohort", shape=Shape(patients=300, weeks=4, seed=7, enrolled=0.6, uptake_weeks=0.5)
    ).parties["hospital"].parent)
    evaluation = Growing(cohort, tmp_path / "shared", World(rng=Random(1), incidents=[]))
    await asyncio.wait_for(evaluation.share(), schedules.SHARE_SECONDS)
    nodes = ThreeNodes(schedules.terms())
    for node in nodes.nodes:
        node.shares = Store(tmp_path / "shared" / f"store-{node.number}", nodes.terms, node.number)
        node.restart()
    await nodes.work_on()
    assert [node.computation.now.first for node in nodes.nodes] == [3] * 3
    for node in nodes.nodes:
        node.shares.most_batches = node.shares.most_panes = 4
    await nodes.work_on()
    expected = {
        (c.kpi, c.window, tuple(c.cell.items())): c.sums
        for c in expect(agreed, {party: cohort / party for party in PARTIES}).cells if c.released
    }
    assert {window for _, window, _ in expected} == {0, 1}
    assert released(nodes) == expected
