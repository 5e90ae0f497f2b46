"""Late events, from files to document: at maturity every cell equals that of an oracle that was told of them."""

import tomllib
from pathlib import Path

import pytest
import tomli_w

from console.cohort.generate import generate
from console.cohort.shape import Shape
from tests.support.command import compare, evaluate
from tests.support.oracle import expect

AGREEMENTS = Path(__file__).parents[1] / "support" / "agreements"
SHAPE = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)


def agreement(folder, grace=1, **changes):
    """quick.toml with less grace than claims need, and one shard: late is then what its source says."""
    data = tomllib.loads((AGREEMENTS / "quick.toml").read_text(encoding="utf-8"))
    for kpi in data["kpis"]:
        (folder / kpi).write_text((AGREEMENTS / kpi).read_text(encoding="utf-8"), encoding="utf-8")
    for party in data["parties"]:
        party["grace_panes"] = grace
    path = folder / "agreement.toml"
    path.write_text(tomli_w.dumps({**data, "shards": 1, **changes}), encoding="utf-8")
    return path


@pytest.mark.timeout(600)
def test_results_at_maturity_hold_what_came_late(tmp_path):
    folders = generate(tmp_path / "cohort", shape=SHAPE, dirt=2).parties
    once = expect(agreement(tmp_path), folders)
    path = agreement(tmp_path, maturities={"days": [7, 28], "release": "maturity"})
    expected = expect(path, folders)
    document, _ = evaluate(path, folders)
    cells, sums = compare(document, expected)
    assert (cells > 0, sums) == (True, 4 * cells)
    assert document["events"] == expected.events
    late = expected.events["insurer"]
    assert late["late_pending"] > 100
    assert late["late_after_maturity"] > 0
    assert late["late_pending"] + late["late_after_maturity"] == once.events["insurer"]["late_pending"]
    changed = [c for c in expected.cells if c.sums != once.find(c.kpi, c.window, **c.cell).sums]
    assert len(changed) > len(expected.cells) // 2


@pytest.mark.timeout(600)
def test_a_window_comes_provisional_and_then_full(tmp_path):
    folders = generate(tmp_path / "cohort", shape=SHAPE, dirt=2).parties
    late = {"days": [7, 28], "release": "both", "revisions": 50}
    path = agreement(tmp_path, grace=3, maturities=late, disclosure={"minimum_cohort": 10})
    expected = expect(path, folders)
    document, _ = evaluate(path, folders)
    cells, sums = compare(document, expected)
    assert (cells > 30, sums) == (True, 4 * cells)
    assert document["events"] == expected.events
    assert {(r["revision"], r["edition"]) for r in document["releases"]} == {(0, "provisional"), (1, "full")}
    first = {(c.kpi, c.window, str(c.cell)): c for c in expected.cells if c.revision == 0}
    pairs = [(first[c.kpi, c.window, str(c.cell)], c) for c in expected.cells if c.revision == 1]
    assert any(a.released and b.released and a.sums != b.sums for a, b in pairs)
    assert any(a.released and not b.released for a, b in pairs), "a few changed"
    assert {r["revision"] for r in document["runs"] if r["windows"]} == {0, 1}
