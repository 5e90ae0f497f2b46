"""Alerts from files to document: every state against hysteresis over the oracle's values."""

import json
import tomllib
from pathlib import Path

import pytest
import tomli_w

from console.cohort.generate import generate
from console.cohort.shape import Shape
from tests.support.command import evaluate
from tests.support.oracle import expect

AGREEMENT = Path(__file__).parents[1] / "support" / "agreements" / "quick.toml"
EXAMPLE = Path(__file__).parents[2] / "examples" / "own-files"
SHAPE = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)
WATCHED = [("gp-visit-rate-ratio", {}, "above"), ("gp-visit-rate-ratio", {}, "below"), ("cost-difference", {}, "above"),
           ("cost-difference", {"income": "1"}, "below")]


def weekly():
    """The agreement with a window every week."""
    agreement = tomllib.loads(AGREEMENT.read_text(encoding="utf-8"))
    kpis = ["gp-visit-rate-ratio", "cost-difference"]
    return agreement | {
        "windows": {"size": 4, "step": 1}, "kpis": kpis, "recipients": [{"name": "innovation-team", "kpis": kpis}],
    }


def by_window(expected, kpi, cell):
    """Values by first day; None where nothing may come out."""
    return {c.start.isoformat(): c.value if c.released else None
            for c in expected.cells if c.kpi == kpi and c.cell == cell}


def rule(number, values, kpi, cell, when):
    """Bounds at a third and two thirds of the values, so that the state changes."""
    seen = sorted(v for v in values.values() if v is not None)
    low, high = f"{seen[len(seen) // 3]:.4f}", f"{seen[2 * len(seen) // 3]:.4f}"
    raise_at, clear_at = (high, low) if when == "above" else (low, high)
    return {"id": f"alert-{number}", "kpi": kpi, "cell": cell, "recipient": f"watch-{number % 2}", "when": when,
            "raise_at": raise_at, "clear_at": clear_at}


def hysteresis(alert, values):
    """(first day, state, changed) by window, in plain Python."""
    upper, lower, raised, found = float(alert["raise_at"]), float(alert["clear_at"]), False, []
    sign = 1 if alert["when"] == "above" else -1
    for start, value in sorted(values.items()):
        before = raised
        if value is not None and sign * (value - upper) >= 0:
            raised = True
        elif value is not None and sign * (value - lower) <= 0:
            raised = False
        state = "no-data" if value is None else "raised" if raised else "clear"
        found.append((start, state, raised != before))
    return found


@pytest.mark.timeout(600)
def test_every_state_equals_hysteresis_over_the_oracles_values(tmp_path):
    summary = generate(tmp_path, shape=SHAPE, dirt=2)
    agreement, path = weekly(), tmp_path / "agreement.toml"
    path.write_text(tomli_w.dumps(agreement), encoding="utf-8")
    expected = expect(path, summary.parties)
    values = [by_window(expected, kpi, cell) for kpi, cell, _ in WATCHED]
    alerts = [rule(i, v, *watched) for i, (v, watched) in enumerate(zip(values, WATCHED, strict=True))]
    agreement["alerts"] = alerts
    agreement["recipients"] += [{"name": f"watch-{j}", "kpis": []} for j in (0, 1)]
    path.write_text(tomli_w.dumps(agreement), encoding="utf-8")

    work = tmp_path / "work"
    document, _ = evaluate(path, summary.parties, "--work", work)
    rows = {alert["id"]: [r for r in document["alerts"] if r["id"] == alert["id"]] for alert in alerts}
    assert sum(map(len, rows.values())) == len(document["alerts"])
    for alert, by_start in zip(alerts, values, strict=True):
        wanted = hysteresis(alert, by_start)
        assert [(r["window"]["start"], r["state"], r["changed"]) for r in rows[alert["id"]]] == wanted
        assert all({k: r[k] for k in ("kpi", "cell", "when", "raise_at", "clear_at")}
                   == {k: alert[k] for k in ("kpi", "cell", "when", "raise_at", "clear_at")} for r in rows[alert["id"]])
    assert sum(changed for alert, v in zip(alerts, values, strict=True) for *_, changed in hysteresis(alert, v)) >= 4
    assert any(r["state"] == "no-data" for r in document["alerts"])

    watch = json.loads((work / "watch-0" / "document.json").read_text(encoding="utf-8"))
    assert watch["releases"] == []
    assert {r["id"] for r in watch["alerts"]} == {"alert-0", "alert-2"}
    assert watch["status"] == "released"
    team = json.loads((work / "innovation-team" / "document.json").read_text(encoding="utf-8"))
    assert team["alerts"] == []
    assert len(team["releases"]) == len(document["releases"])


def test_an_alert_about_nothing_is_refused_before_anything_starts(tmp_path):
    agreement = tomllib.loads((EXAMPLE / "agreement.toml").read_text(encoding="utf-8"))
    agreement["alerts"][0]["cell"] = {"income": "9"}
    path = tmp_path / "agreement.toml"
    path.write_text(tomli_w.dumps(agreement), encoding="utf-8")
    folders = {party["name"]: EXAMPLE / party["name"] for party in agreement["parties"]}
    _, said = evaluate(path, folders, expect=2)
    assert "alert gp-advantage-gone: KPI gp-visit-rate-ratio has no cell {'income': '9'}" in said
