"""Drills: each is refused by every node, names its rule, opens nothing, and has its exit code."""

from pathlib import Path

import pytest

from console.cohort.generate import generate
from console.cohort.shape import Shape
from tests.support.command import evaluate

AGREEMENT = Path(__file__).parents[1] / "support" / "agreements" / "quick.toml"
DRILLS = {
    "unsigned": (3, "agreement-active", "not signed by statistics"),
    "unagreed-kpi": (3, "plan-permitted", "plan "),
    "revoke-mid-run": (3, "agreement-active", "revoked"),
    "small-cohort": (4, "minimum-cohort", None),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    shape = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)
    return generate(tmp_path_factory.mktemp("cohort"), shape=shape).parties


@pytest.mark.parametrize("drill", DRILLS)
def test_a_drill_is_refused_by_every_node_and_opens_nothing(folders, drill):
    code, rule, found = DRILLS[drill]
    document, _ = evaluate(AGREEMENT, folders, "--drill", drill, expect=code)
    assert document["releases"] == []
    assert document["refusals"]
    for refusal in document["refusals"]:
        assert refusal["rule"] == rule
        assert refusal["nodes"] == [0, 1, 2]
        assert refusal["required"]
        assert refusal["found"] is None if found is None else found in refusal["found"]
    windowed = [run for run in document["runs"] if run["windows"]]
    assert [run["outcome"] for run in windowed] == (["suppressed"] * len(windowed) if code == 4 else [])
