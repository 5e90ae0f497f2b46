"""Every KPI program of the catalogue, through `winnow evaluate`, against the oracle."""

import csv
import shutil
from pathlib import Path

from console.cohort.generate import generate
from console.cohort.shape import Shape
from policy.kpi import catalogue
from tests.support.command import compare, evaluate
from tests.support.oracle import expect

ROOT = Path(__file__).parents[2]
SHAPE = Shape(patients=900, weeks=26, seed=5, enrolled=0.5, uptake_weeks=2.0)
CAPPED = "cost-difference-winsorised"
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
MONITORED = """
[[measures]]
name = "modules_due"
party = "hospital"
aggregation = "count"
kind = "monitoring"
code = "due"
module = "check-in"
bound = 15

[[measures]]
name = "modules_completed"
party = "hospital"
aggregation = "count"
kind = "monitoring"
code = "completed"
module = "check-in"
bound = 15

[[measures]]
name = "modules_missed"
party = "hospital"
aggregation = "missed"
module = "check-in"
bound = 15

[[measures]]
name = "prom_follow_ups"
party = "hospital"
aggregation = "follow-ups"
code = "ibd-control-8"
bound = 7

[[measures]]
name = "prom_change"
party = "hospital"
aggregation = "change"
code = "ibd-control-8"
bound = 11200
""" + "".join(f"""
[[measures]]
name = "{name}_any"
party = "hospital"
aggregation = "nonzero"
of = "{name}"
""" for name in ("modules_due", "modules_completed", "modules_missed", "prom_follow_ups"))
EDUCATION = {"low": ("1", "2"), "middle": ("3",), "high": ("4", "5")}
"""Made of the cohort's income quintiles."""
EDUCATED = """
[[measures]]
name = "education_{level}"
party = "statistics"
aggregation = "category"
field = "education"
value = "{level}"
"""
STRATA = """
[strata]
dimension = "education"
name = { en = "Education", nl = "Opleiding" }
categories = [
    { value = "low", measure = "education_low", name = { en = "low", nl = "laag" } },
    { value = "middle", measure = "education_middle" },
    { value = "high", measure = "education_high" },
]
"""
SOURCE = """
[[file]]
path = "persons.csv"
format = "csv"
kind = "social"
fields = { id = "record_id", person = "person", value = "income_quintile", occurred = "valid_from", recorded = "recorded_at" }
constants = { field = "education" }
codes = { value = { 1 = "low", 2 = "low", 3 = "middle", 4 = "high", 5 = "high" } }
"""


def agreement(folder, names, more="", changes=()):
    """quick.toml with tumbling quarters of the year and these KPIs, of which the sums are outputs too."""
    text = (ROOT / "tests" / "support" / "agreements" / "quick.toml").read_text(encoding="utf-8")
    for before, after in (
        ('kpis = ["gp-visit-sums.toml", "cost-sums.toml"]', f"kpis = {[f'{n}.toml' for n in names]}".replace("'", '"')),
        ('kpis = ["gp-visit-sums", "cost-sums"]', f"kpis = {list(names)}".replace("'", '"')),
        ("count = 12", "count = 26"), ("size = 4", "size = 13"), ("step = 2", "step = 13"),
    ):
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    for name in names:
        program = (ROOT / "policy" / "catalogue" / f"{name}.toml").read_text(encoding="utf-8")
        program = program.replace('outputs = ["value", "interval"]', 'outputs = ["value", "interval", "sums"]')
        program = program.replace("significant_bits = 20", "significant_bits = 44")
        for before, after in changes:
            program = program.replace(before, after)
        (folder / f"{name}.toml").write_text(program, encoding="utf-8")
    path = folder / "agreement.toml"
    path.write_text(text + more, encoding="utf-8")
    return path


def checked(document, expected, names):
    """Every cell and sum of the KPIs came out as the oracle says; the numbers of cells by KPI."""
    cells, sums = compare(document, expected)
    assert cells
    assert sums == sum(len(c.sums) for c in expected.cells if c.released)
    assert {r["kpi"] for r in document["releases"]} == set(names)
    return cells


def test_the_whole_catalogue_equals_the_oracle(tmp_path):
    """All but the capped cost, which must not be in one agreement with the cost."""
    summary = generate(tmp_path / "data", shape=SHAPE, events=True)
    names = [name for name in catalogue() if name != CAPPED]
    more = MONITORED + "".join(
        MORE_MEASURES.format(name=name, care=care)
        for name, care in (("outpatient_visits", "outpatient"), ("admissions", "admission"))
    )
    path = agreement(tmp_path, names, more)
    text = path.read_text(encoding="utf-8")
    for before, after in (
        # The oracle's watermark is the party's, which is a shard's where there is one.
        ("shards = 2", "shards = 1"),
        ('name = "hospital"\nsources = [{ name = "ehr", kinds = ["enrolment"] }]',
         'name = "hospital"\ngrace_panes = 2\nsources = [{ name = "ehr", kinds = ["enrolment", "monitoring", "prom"] }]'),
    ):
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")
    document, _ = evaluate(path, summary.parties)
    checked(document, expect(path, summary.parties), names)
    units = {(r["kpi"], r["output"]): r["unit"] for r in document["releases"]}
    assert units["monitoring-adherence", "sums.exposed.time"] == "count"
    assert units["prom-change", "sums.exposed.outcome"] == "hundredths"
    assert units["uptake", "sums.comparator.time"] == "days"


def test_capped_cost_and_uptake_by_education_equal_the_oracle(tmp_path):
    """Another social factor than income, by the agreement and a source.toml alone; a cap that many pass."""
    folders = generate(tmp_path / "data", shape=SHAPE).parties
    (tmp_path / "system").mkdir()
    (tmp_path / "oracle").mkdir()
    more = "".join(EDUCATED.format(level=level) for level in EDUCATION)
    names, changes = [CAPPED, "uptake"], [("cap = 1000000", "cap = 400000")]
    path = agreement(tmp_path / "system", names, more + STRATA, changes)
    mine = dict(folders)
    mine["statistics"] = Path(shutil.copytree(folders["statistics"], tmp_path / "system" / "statistics"))
    (mine["statistics"] / "source.toml").write_text(SOURCE, encoding="utf-8")
    document, _ = evaluate(path, mine)

    # The oracle reads quintiles only: it gets one for each level.
    one_of = {quintile: among[0] for among in EDUCATION.values() for quintile in among}
    theirs = dict(folders) | {"statistics": tmp_path / "oracle" / "statistics"}
    theirs["statistics"].mkdir()
    with (folders["statistics"] / "persons.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (theirs["statistics"] / "persons.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | {"income_quintile": one_of.get(row["income_quintile"], "")} for row in rows)
    told = agreement(tmp_path / "oracle", names, more + STRATA, changes)
    text = told.read_text(encoding="utf-8")
    for level, among in EDUCATION.items():
        text = text.replace(f'value = "{level}"\n', f'value = "{among[0]}"\n')
    told.write_text(text, encoding="utf-8")
    expected = expect(told, theirs)
    checked(document, expected, names)
    assert {tuple(r["cell"].items()) for r in document["releases"]} == {(), *((("education", e),) for e in EDUCATION)}
    program = tmp_path / "oracle" / f"{CAPPED}.toml"
    program.write_text(program.read_text(encoding="utf-8").replace("cap = 400000", "cap = 1000000000"), encoding="utf-8")
    capped, whole = (found.find(CAPPED, 0).sums["exposed.outcome"] for found in (expected, expect(told, theirs)))
    assert 0.3 < capped / whole < 0.95
