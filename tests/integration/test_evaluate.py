"""`winnow evaluate` from files to document, against the plaintext oracle."""

from datetime import date
from pathlib import Path

import pytest

from console.cohort.generate import generate
from console.cohort.shape import Shape
from tests.support.command import compare, evaluate
from tests.support.oracle import expect

AGREEMENTS = Path(__file__).parents[1] / "support" / "agreements"
SHAPES = {
    "sums": Shape(),
    "quick": Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0),
    "monthly": Shape(patients=900, weeks=52, seed=7, start=date(2023, 1, 1), zone="Europe/Lisbon"),
}


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("name", SHAPES)
def test_every_released_number_equals_the_oracle(tmp_path, name):
    summary = generate(tmp_path, shape=SHAPES[name], dirt=2)
    expected = expect(AGREEMENTS / f"{name}.toml", summary.parties)
    document, _ = evaluate(AGREEMENTS / f"{name}.toml", summary.parties)
    cells, sums = compare(document, expected)
    assert cells > 0
    assert sums == 4 * cells
    assert document["status"] == "released"
    assert document["events"] == expected.events
    for party, events in document["events"].items():
        assert events["accepted"] + sum(events["rejected"].values()) == events["read"]
        assert events["rejected"] == summary.rejected[party]
