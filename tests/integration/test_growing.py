"""Registers that take in new patients, from files to document: every cell equals that of an oracle of the batches."""

import tomllib
from pathlib import Path

import pytest
import tomli_w

from console.cohort.generate import generate
from console.cohort.shape import Shape
from tests.support.command import compare, evaluate
from tests.support.oracle import expect

AGREEMENTS = Path(__file__).parents[1] / "support" / "agreements"
SHAPE = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0, newcomers=0.5)


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
