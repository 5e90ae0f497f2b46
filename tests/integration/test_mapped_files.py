"""The same cohort in files of other names, columns, codes and formats gives the same results."""

import csv
import json
import shutil
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from console.cohort.generate import generate
from console.cohort.shape import Shape
from tests.support.command import evaluate
from tests.support.parties import MEMBERS_TOML

QUICK = Path(__file__).parents[1] / "support" / "agreements" / "quick.toml"
INSURER = """
[[file]]
path = "declaraties.parquet"
format = "parquet"
kind = "claim"
fields = { id = "nr", person = "bsn", care_type = "soort", product = "prestatie", occurred = "dag", amount = "bedrag", side = "dc", previous = "vorig", recorded = "geboekt" }
codes = { side = { Debet = "D", Credit = "C" } }
"""
STATISTICS = """
[[file]]
path = "inkomens.ndjson"
format = "ndjson"
kind = "social"
fields = { id = "id", person = "persoon.nummer", value = "kwintiel", occurred = "vanaf", recorded = "geboekt" }
constants = { field = "income_quintile" }
codes = { value = { K1 = "1", K2 = "2", K3 = "3", K4 = "4", K5 = "5" } }
"""


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def remake(folders):
    """Rewrite the insurer's claims and the statistics office's table; the old files go."""
    claims = folders["insurer"] / "claims.csv"
    pq.write_table(pa.Table.from_pylist([
        {
            "nr": row["record_id"], "bsn": row["person"], "soort": row["care_type"], "prestatie": row["product"],
            "dag": row["service_date"], "bedrag": Decimal(row["amount_cents"]) / 100,
            "dc": {"D": "Debet", "C": "Credit"}[row["debit_credit"]], "vorig": row["previous_record_id"] or None,
            "geboekt": row["recorded_at"], "opmerking": "read by nobody",
        }
        for row in reversed(rows(claims))
    ]), folders["insurer"] / "declaraties.parquet", row_group_size=500)
    claims.unlink()
    (folders["insurer"] / "source.toml").write_text(INSURER + MEMBERS_TOML, encoding="utf-8")
    persons = folders["statistics"] / "persons.csv"
    (folders["statistics"] / "inkomens.ndjson").write_text("".join(
        json.dumps({
            "id": row["record_id"], "persoon": {"nummer": row["person"]}, "vanaf": row["valid_from"],
            "kwintiel": f"K{row['income_quintile']}" if row["income_quintile"] else None, "geboekt": row["recorded_at"],
        }) + "\n" for row in rows(persons)
    ), encoding="utf-8")
    persons.unlink()
    (folders["statistics"] / "source.toml").write_text(STATISTICS, encoding="utf-8")


def test_files_by_mapping_give_the_results_of_the_built_in_layout(tmp_path):
    shape = Shape(patients=300, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)
    built_in = generate(tmp_path / "a", shape=shape).parties
    mapped = {name: Path(shutil.copytree(folder, tmp_path / "b" / name)) for name, folder in built_in.items()}
    remake(mapped)
    first, _ = evaluate(QUICK, built_in)
    second, _ = evaluate(QUICK, mapped)

    def told(document):
        return {
            (r["kpi"], r["output"], json.dumps(r["window"]), json.dumps(r["cell"], sort_keys=True), part): r[part]
            for r in document["releases"] for part in ("value", "low", "high") if r[part] is not None
        }

    expected, found = told(first), told(second)
    assert len(expected) > len(first["releases"]) > 20
    assert found.keys() == expected.keys()
    for release, told_first in expected.items():  # the arithmetic's error, of 2^-44, is another one each time
        assert found[release] == pytest.approx(told_first, rel=1e-12), release
    assert second["events"] == first["events"]
