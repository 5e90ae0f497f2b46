"""The same data with panes of a day, a week, a month and a year: each evaluation equals its own oracle."""

import re
from datetime import date
from pathlib import Path

import pytest

from console.cohort.generate import generate
from console.cohort.shape import Shape
from tests.support.command import compare, evaluate
from tests.support.oracle import expect

AGREEMENTS = Path(__file__).parents[1] / "support" / "agreements"
SHAPE = Shape(patients=400, weeks=157, seed=11, start=date(2023, 1, 1), enrolled=0.5, uptake_weeks=3.0)
GRIDS = {  # unit: panes, window and step, the insurer's grace of 150 days and more, longest pane in days
    "day": (548, 137, 155, 1),  # with a leap day and three changes of the clock
    "week": (156, 26, 22, 7),
    "month": (36, 6, 5, 31),
    "year": (3, 1, 1, 366),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("cohort"), shape=SHAPE).parties


def agreement(folder, unit):
    """quick.toml on another grid."""
    panes, window, grace, days = GRIDS[unit]
    text = (AGREEMENTS / "quick.toml").read_text(encoding="utf-8")
    for pattern, value in (
        (r"^unit = .*$", f'unit = "{unit}"'), (r"^start = .*$", "start = 2023-01-01"), (r"^count = .*$", f"count = {panes}"),
        (r"^date = .*$", "date = 2023-01-03"), (r"^valid_from = .*$", "valid_from = 2023-01-01"),
        (r"^size = .*$", f"size = {window}"), (r"^step = .*$", f"step = {window}"),
        (r"^grace_panes = .*$", f"grace_panes = {grace}"), (r"^bound = 7$", f"bound = {days}"),
        (r"^bound = 63$", "bound = 1000"), (r"^shards = .*$", "shards = 1"),
    ):
        text, found = re.subn(pattern, value, text, flags=re.MULTILINE)
        assert found == 1, pattern
    for kpi in ("gp-visit-sums", "cost-sums"):
        (folder / f"{kpi}.toml").write_text((AGREEMENTS / f"{kpi}.toml").read_text(encoding="utf-8"), encoding="utf-8")
    path = folder / "agreement.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.timeout(600)
@pytest.mark.parametrize("unit", GRIDS)
def test_each_pane_unit_equals_its_oracle(tmp_path, folders, unit):
    path = agreement(tmp_path, unit)
    expected = expect(path, folders)
    document, _ = evaluate(path, folders)
    cells, sums = compare(document, expected)
    assert cells > 0
    assert sums == 4 * cells
    assert document["events"] == expected.events
