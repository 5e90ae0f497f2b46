"""Differential privacy from files to document: one KPI with noise beside one without, and what is said and kept of it."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w

from console.cohort.generate import generate
from console.cohort.shape import Shape
from evaluation.journal import FILE
from policy.agreement import Terms
from policy.privacy import NODES_PARTS
from tests.support.command import compare, evaluate, winnow
from tests.support.oracle import expect

AGREEMENTS = Path(__file__).parents[1] / "support" / "agreements"
SHAPE = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)
NOISY, EXACT = "gp-visit-sums", "cost-sums"


def agreement(folder):
    """quick.toml with privacy for one KPI, of which only sums come out."""
    data = tomllib.loads((AGREEMENTS / "quick.toml").read_text(encoding="utf-8"))
    for kpi in data["kpis"]:
        program = (AGREEMENTS / kpi).read_text(encoding="utf-8")
        if kpi == f"{NOISY}.toml":
            program = program.replace('["value", "interval", "sums"]', '["sums"]')
        (folder / kpi).write_text(program, encoding="utf-8")
    data["quota"]["rho"], data["privacy"] = "1.5", [{"kpi": NOISY, "rho": "1", "delta": "0.000001"}]
    path = folder / "agreement.toml"
    path.write_text(tomli_w.dumps(data), encoding="utf-8")
    return path


@pytest.mark.timeout(600)
def test_one_kpi_has_noise_and_spends_its_budget_and_the_other_is_exact(tmp_path):
    folders, path, work = generate(tmp_path / "cohort", shape=SHAPE).parties, agreement(tmp_path), tmp_path / "work"
    expected = expect(path, folders)
    document, _ = evaluate(path, folders, "--work", work)

    noisy = [row for row in document["releases"] if row["kpi"] == NOISY and row["output"].startswith("sums.")]
    rest = {key: [row for row in document[key] if row["kpi"] == EXACT] for key in ("releases", "refusals")}
    cells, sums = compare(rest, replace(expected, cells=tuple(c for c in expected.cells if c.kpi == EXACT)))
    assert cells and sums

    plan = next(p for p in Terms.model_validate_json((work / "terms.json").read_text()).plans if p.kpi == NOISY)
    variances = {
        f"sums.{name}": float(noise.variance * NODES_PARTS) for name, noise in zip(plan.sums, plan.noise, strict=True)
    }
    exact = {
        (c.start.isoformat(), c.end.isoformat(), tuple(sorted(c.cell.items())), f"sums.{name}"): number
        for c in expected.cells if c.kpi == NOISY and c.released for name, number in c.sums.items()
    }
    scaled = {}
    for release in noisy:
        assert release["noise"] == "unsaid"
        cell, window, name = tuple(sorted(release["cell"].items())), release["window"], release["output"]
        moved = release["value"] - exact.pop((window["start"], window["end"], cell, name))
        scaled[window["start"], cell, name] = moved**2 / variances[name]
    assert not exact and len(scaled) >= 20
    # A window of two atoms has the noise of one block, or of two; values that share a block move together.
    assert 0.1 < sum(scaled.values()) / len(scaled) < 10
    assert len(set(scaled.values())) > len(scaled) / 4

    last = json.loads((work / "node-1" / "state" / FILE).read_text().splitlines()[-1])["permitted"]
    assert [last[when]["budget_spent"] for when in ("before", "after")] == ["0", "1000000"]
    assert last["after"]["privacy_budget"] == "1500000"
    winnow("audit", "--config", work / "node-1" / "config.toml", "--verify", "--offline")
