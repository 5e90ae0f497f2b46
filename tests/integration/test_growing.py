"""Registers that take in new patients, from files to document: every cell equals that of an oracle of the batches."""

import json
import tomllib
from pathlib import Path

import pytest
import tomli_w

from console.cohort.generate import generate
from console.cohort.shape import Shape
from console.system import LocalSystem
from policy.agreement import load_draft
from policy.compilation import load_kpis
from tests.support.command import compare, evaluate
from tests.support.oracle import expect

AGREEMENTS = Path(__file__).parents[1] / "support" / "agreements"
SHAPE = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0, newcomers=0.5)
LIMIT_SECONDS = 240


def agreement(folder, **linkage):
    """quick.toml with one shard, and more of its linkage."""
    data = tomllib.loads((AGREEMENTS / "quick.toml").read_text(encoding="utf-8"))
    for kpi in data["kpis"]:
        (folder / kpi).write_text((AGREEMENTS / kpi).read_text(encoding="utf-8"), encoding="utf-8")
    path = folder / "agreement.toml"
    path.write_text(tomli_w.dumps({**data, "shards": 1, "linkage": {**data["linkage"], **linkage}}), encoding="utf-8")
    return path


@pytest.mark.timeout(600)
def test_whoever_comes_later_counts_from_the_next_batch_on(tmp_path):
    folders = generate(tmp_path / "cohort", shape=SHAPE, dirt=2).parties
    closed = expect(agreement(tmp_path), folders)
    path = agreement(tmp_path, batch_panes=3, dummies=16)
    expected = expect(path, folders)
    document, _ = evaluate(path, folders)
    cells, sums = compare(document, expected)
    assert (cells > 0, sums) == (True, 4 * cells)
    assert document["events"] == expected.events
    assert [run["batch"] for run in document["runs"] if not run["windows"]] == [0, 1, 2, 3]
    grown = [c for c in expected.cells if c.sums != closed.find(c.kpi, c.window, **c.cell).sums]
    assert len(grown) > len(expected.cells) // 2


@pytest.mark.timeout(600)
async def test_a_node_that_is_killed_while_it_links_a_batch_goes_on_where_it_was(tmp_path):
    """kill -9 of one node and then of another, at batches 1 and 2; every cell comes out right, once."""
    folders = generate(tmp_path / "cohort", shape=SHAPE, dirt=2).parties
    path = agreement(tmp_path, batch_panes=3, dummies=16)
    draft = load_draft(path)
    async with LocalSystem(draft, load_kpis(draft, tmp_path), folders, tmp_path / "work") as system:
        system.start()
        for node, batch in (("node-1", 1), ("node-2", 2)):
            await system.wait(
                f"{node} to link batch {batch}",
                lambda node=node, batch=batch: any(
                    f"batch {batch} of the registers" in said["detail"] for said in system.lines(node, "link")
                ),
                LIMIT_SECONDS,
            )
            system.kill(node)
            await system.wait_for("node-0", "retry", LIMIT_SECONDS, count=batch)
            system.start(node)
        await system.wait_for("innovation-team", "complete", LIMIT_SECONDS)
        document = json.loads(system.work.document("innovation-team").read_text())
    cells, sums = compare(document, expect(path, folders))
    assert (cells > 0, sums) == (True, 4 * cells)
    assert [run["batch"] for run in document["runs"] if not run["windows"]] == [0, 1, 2, 3]
