"""Windows that grow and windows that hop, from files to document: every cell equals the oracle's."""

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
KPI = "gp-visit-sums"
KINDS = {  # what the agreement says → first and last week of every window
    "cumulative": (
        {"kind": "cumulative", "step": 2, "every": 6}, [(0, 2), (0, 4), (0, 6), (6, 8), (6, 10), (6, 12)],
    ),
    "hopping": ({"kind": "hopping", "size": 5, "step": 3}, [(0, 5), (3, 8), (6, 11)]),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("cohort"), shape=SHAPE, dirt=2).parties


def agreement(folder, windows, **more):
    """quick.toml with other windows."""
    data = tomllib.loads((AGREEMENTS / "quick.toml").read_text(encoding="utf-8"))
    for kpi in data["kpis"]:
        (folder / kpi).write_text((AGREEMENTS / kpi).read_text(encoding="utf-8"), encoding="utf-8")
    path = folder / "agreement.toml"
    path.write_text(tomli_w.dumps({**data, "windows": windows, **more}), encoding="utf-8")
    return path


def alert_at(bound):
    return {"id": "many-visits", "kpi": KPI, "recipient": "innovation-team", "when": "above", "raise_at": bound,
            "clear_at": f"{float(bound) - 1e-5:.6f}"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_window_equals_its_oracle(tmp_path, folders, kind):
    said, weeks = KINDS[kind]
    expected = expect(agreement(tmp_path, said), folders)
    totals = sorted((c for c in expected.cells if c.kpi == KPI and not c.cell), key=lambda c: c.end)
    bound = sorted(c.value for c in totals)[len(totals) // 2] + 1e-4
    path = agreement(tmp_path, said, alerts=[alert_at(f"{bound:.6f}")])
    document, _ = evaluate(path, folders)
    cells, sums = compare(document, expected)
    assert (cells > 0, sums) == (True, 4 * cells)
    first = totals[0].start
    assert [((c.start - first).days // 7, (c.end - first).days // 7) for c in totals] == weeks
    assert len({(r["window"]["start"], r["window"]["end"]) for r in document["releases"]}) == len(weeks)
    states = ["raised" if c.value >= bound else "clear" for c in totals]
    assert set(states) == {"raised", "clear"}
    assert [(row["window"]["end"], row["state"]) for row in document["alerts"]] == [
        (c.end.isoformat(), state) for c, state in zip(totals, states, strict=True)
    ]
    assert [row["window"]["end"] for row in document["schedule"]] == [c.end.isoformat() for c in totals]
    assert {row["state"] for row in document["schedule"]} == {"ran"}
