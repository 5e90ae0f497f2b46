"""Every KPI program of the catalogue, in one agreement, against the oracle."""

from pathlib import Path

from console.cohort.generate import generate
from console.cohort.shape import Shape
from policy.kpi import catalogue
from tests.support.command import compare, evaluate
from tests.support.oracle import expect

ROOT = Path(__file__).parents[2]
SHAPE = Shape(patients=900, weeks=26, seed=5, enrolled=0.5, uptake_weeks=2.0)
MORE_MEASURES = """
[[measures]]
name = "{name}"
party = "insurer"
aggregation = "count"
kind = "claim"
care_type = "{care}"
at_risk = "insured_days"
bound = 63

[[measures]]
name = "{name}_any"
party = "insurer"
aggregation = "nonzero"
of = "{name}"
"""


def agreement(folder):
    """quick.toml with tumbling quarters of the year and every KPI, of which the sums are outputs too."""
    text = (ROOT / "tests" / "support" / "agreements" / "quick.toml").read_text(encoding="utf-8")
    names = catalogue()
    for before, after in (
        ('kpis = ["gp-visit-sums.toml", "cost-sums.toml"]', f"kpis = {[f'{n}.toml' for n in names]}".replace("'", '"')),
        ('kpis = ["gp-visit-sums", "cost-sums"]', f"kpis = {list(names)}".replace("'", '"')),
        ("count = 12", "count = 26"), ("size = 4", "size = 13"), ("step = 2", "step = 13"),
    ):
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    for name, care in (("outpatient_visits", "outpatient"), ("admissions", "admission")):
        text += MORE_MEASURES.format(name=name, care=care)
    for name in names:
        program = (ROOT / "policy" / "catalogue" / f"{name}.toml").read_text(encoding="utf-8")
        program = program.replace('outputs = ["value", "interval"]', 'outputs = ["value", "interval", "sums"]')
        program = program.replace("significant_bits = 20", "significant_bits = 44")
        (folder / f"{name}.toml").write_text(program, encoding="utf-8")
    path = folder / "agreement.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_whole_catalogue_equals_the_oracle(tmp_path):
    summary = generate(tmp_path / "data", shape=SHAPE)
    path = agreement(tmp_path)
    document, _ = evaluate(path, summary.parties)
    cells, sums = compare(document, expect(path, summary.parties))
    assert sums == 4 * cells
    assert {r["kpi"] for r in document["releases"]} == set(catalogue())
