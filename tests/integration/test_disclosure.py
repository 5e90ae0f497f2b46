"""Output rules from files to document: what comes out is what the oracle releases."""

import tomllib
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path

import pytest
import tomli_w

from console.cohort.generate import generate
from console.cohort.shape import Shape
from tests.support.command import compare, evaluate
from tests.support.oracle import expect

AGREEMENTS = Path(__file__).parents[1] / "support" / "agreements"
SHAPE = Shape(patients=900, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)
DOMINANCE = {"largest_percent": 50, "two_largest_percent": 85, "p_percent": 10}
KPIS = ("gp-visit-sums", "cost-sums")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("cohort"), shape=SHAPE, dirt=2).parties


def agreement(folder, **disclosure):
    """quick.toml under other rules."""
    data = tomllib.loads((AGREEMENTS / "quick.toml").read_text(encoding="utf-8"))
    for kpi in data["kpis"]:
        (folder / kpi).write_text((AGREEMENTS / kpi).read_text(encoding="utf-8"), encoding="utf-8")
    path = folder / "agreement.toml"
    path.write_text(tomli_w.dumps({**data, "disclosure": disclosure}), encoding="utf-8")
    return path


def numbers(expected):
    """How many of the total and five income groups come out, by KPI and window."""
    return [
        [sum(c.released for c in expected.cells if (c.kpi, c.window) == (kpi, window)) for window in range(5)]
        for kpi in KPIS
    ]


@pytest.mark.timeout(600)
def test_tables_that_a_few_patients_dominate_stay_inside(tmp_path, folders):
    assert numbers(expect(agreement(tmp_path, minimum_cohort=3), folders)) == [[1, 1, 6, 6, 6], [1, 1, 6, 6, 6]]
    path = agreement(tmp_path, minimum_cohort=3, dominance=DOMINANCE)
    expected = expect(path, folders)
    assert numbers(expected) == [[1, 1, 6, 6, 6], [1, 1, 6, 1, 1]]
    document, _ = evaluate(path, folders)
    compare(document, expected)
    withheld = next(r for r in document["refusals"] if r["kpi"] == "cost-sums")
    assert withheld["required"] == (
        "at least 3 contributors in every atom; the largest contributor makes up less than 50 %, the two largest make up "
        "less than 85 %, nobody can estimate another's part to within 10 %"
    )


@pytest.mark.timeout(600)
def test_as_many_of_the_first_groups_come_out_as_may(tmp_path, folders):
    assert numbers(expect(agreement(tmp_path, minimum_cohort=5), folders)) == [[1, 1, 1, 1, 6], [1, 1, 6, 6, 6]]
    path = agreement(tmp_path, minimum_cohort=5, tables="in-order")
    expected = expect(path, folders)
    assert numbers(expected) == [[1, 1, 4, 4, 6], [5, 5, 6, 6, 6]]
    document, _ = evaluate(path, folders)
    compare(document, expected)


def nearest(x, base):
    """By decimals, from a half upward."""
    return int((Decimal(x) / base + Decimal("0.5")).to_integral_value(ROUND_FLOOR)) * base


@pytest.mark.timeout(600)
def test_sums_come_out_as_multiples_of_what_is_agreed(tmp_path, folders):
    path = agreement(tmp_path, minimum_cohort=5, rounding={"days": 30, "count": 5, "cents": 10_000})
    for kpi in KPIS:
        program = (tmp_path / f"{kpi}.toml").read_text(encoding="utf-8")
        (tmp_path / f"{kpi}.toml").write_text(program.replace('["value", "interval", "sums"]', '["sums"]'), encoding="utf-8")
    expected = expect(path, folders)
    document, _ = evaluate(path, folders)
    found = {
        (r["kpi"], r["window"]["start"], tuple(r["cell"].items()), r["output"].removeprefix("sums.")): r["value"]
        for r in document["releases"] if r["output"] != "value"
    }
    wanted = {
        (cell.kpi, cell.start.isoformat(), tuple(cell.cell.items()), name): nearest(
            total, 30 if name.endswith(".time") else {"gp-visit-sums": 5, "cost-sums": 10_000}[cell.kpi]
        )
        for cell in expected.cells if cell.released for name, total in cell.sums.items()
    }
    assert found == wanted
    assert len(found) > 100
    exact = [total for cell in expected.cells if cell.released for total in cell.sums.values()]
    assert sum(x == y for x, y in zip(exact, wanted.values(), strict=True)) < len(exact) / 4
    assert {r["output"].split(".")[0] for r in document["releases"]} == {"sums", "value"}
    assert all(r["low"] is None for r in document["releases"] if r["output"] == "value")  # what the recipient divides
