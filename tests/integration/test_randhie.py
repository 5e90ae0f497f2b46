"""A public data set, cut into three parties, with configuration only: the ratios are those of the plain data."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import statsmodels.api as sm

from tests.support.command import evaluate

EXAMPLE = Path(__file__).parents[2] / "examples" / "randhie"
PUBLISHED = 1.227


def plain():
    """Health → ratio of mean visits, free care to cost sharing; all people under None."""
    data = sm.datasets.randhie.load_pandas().data
    free = data["lncoins"] == 0
    groups = {None: data["mdvis"] == data["mdvis"]}
    for health, column in (("good", "hlthg"), ("fair", "hlthf"), ("poor", "hlthp")):
        groups[health] = data[column] == 1
    groups["excellent"] = ~(groups["good"] | groups["fair"] | groups["poor"])
    return {
        health: data["mdvis"][free & group].mean() / data["mdvis"][~free & group].mean() for health, group in groups.items()
    }


@pytest.mark.timeout(600)
def test_the_rate_ratio_by_plan_is_the_plain_one(tmp_path):
    subprocess.run([sys.executable, EXAMPLE / "cut.py", tmp_path], check=True, timeout=120)
    document, _ = evaluate(
        EXAMPLE / "agreement.toml", {party: tmp_path / party for party in ("hospital", "insurer", "statistics")}
    )
    found = {release["cell"].get("health"): release["value"] for release in document["releases"]}
    expected = plain()
    assert found.keys() == expected.keys()
    for health, value in expected.items():
        assert math.isclose(found[health], value, rel_tol=1e-6), health
    assert round(found[None], 3) == PUBLISHED
    assert document["refusals"] == []
    for events in document["events"].values():
        assert events["read"] == events["accepted"]
