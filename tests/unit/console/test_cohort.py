"""The synthetic cohort: repeatable, calibrated, clean unless asked otherwise, and fit for its agreements."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from console.cohort import Shape, Summary, demo_agreement, generate
from policy.agreement import load_draft
from policy.compilation import compile_plans, load_kpis
from tests.support.oracle import expect

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "own-files"
AGREEMENTS = ROOT / "tests" / "support" / "agreements"
START = date(2024, 1, 1)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """The demonstration's own."""
    return generate(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def claims(cohort: Summary) -> pd.DataFrame:
    table = pd.read_csv(cohort.parties["insurer"] / "claims.csv", dtype={"previous_record_id": str})
    table["recorded"] = pd.to_datetime(table["recorded_at"], utc=True)
    table["lag"] = (table["recorded_at"].str[:10].map(date.fromisoformat) - table["service_date"].map(date.fromisoformat))
    return table


def ndjson(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def files(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.suffix in (".csv", ".ndjson")}


def persons(cohort: Summary) -> tuple[set[str], set[str], set[str]]:
    hospital = {r["identifier"][0]["value"] for r in ndjson(cohort.parties["hospital"] / "Patient.ndjson")}
    members = set(pd.read_csv(cohort.parties["insurer"] / "members.csv")["person"])
    registry = set(pd.read_csv(cohort.parties["statistics"] / "persons.csv")["person"])
    return hospital, members, registry


def test_same_seed_same_bytes_and_another_seed_others(tmp_path: Path):
    made = [tmp_path / name for name in ("a", "b", "c")]
    for directory, seed in zip(made, (4, 4, 5), strict=True):
        generate(directory, patients=120, weeks=10, seed=seed)
    a, b, c = (files(directory) for directory in made)
    assert len(a) == 6
    assert a == b
    assert all(a[name] != c[name] for name in a)


def test_a_hospitals_events_come_only_when_asked_for_and_change_nothing_else(tmp_path: Path):
    plain, full, again = (tmp_path / name for name in ("plain", "full", "again"))
    generate(plain, patients=300, weeks=40, seed=4)
    for directory in (full, again):
        generate(directory, patients=300, weeks=40, seed=4, events=True)
    a, b = files(plain), files(full)
    assert b == files(again)
    new = {f"hospital/{kind}.ndjson" for kind in ("Encounter", "Observation", "QuestionnaireResponse")}
    assert b.keys() - a.keys() == new
    assert {name for name in a if a[name] != b[name]} == {"hospital/Task.ndjson"}
    tasks = b["hospital/Task.ndjson"].splitlines()
    assert [line for line in tasks if b"ibd-coach" in line] == a["hospital/Task.ndjson"].splitlines()
    known = {r["id"] for r in ndjson(full / "hospital" / "Patient.ndjson")}
    answers = ndjson(full / "hospital" / "QuestionnaireResponse.ndjson")
    assert {r["subject"]["reference"].removeprefix("Patient/") for r in answers} <= known
    scores = [r["item"][0]["answer"][0]["valueInteger"] for r in answers if "item" in r]
    assert 0 <= min(scores) < max(scores) <= 16
    first_versions = sum(r["meta"]["versionId"] == "1" for r in answers)
    # Who is in care is asked every 12 weeks, once before the period, and answers three times in four.
    assert first_versions / len(known) == pytest.approx((40 / 12 + 1) * 0.75, rel=0.15)
    due = {json.loads(line)["id"] for line in tasks if b'"requested"' in line}
    done = {json.loads(line)["id"] for line in tasks if b"check-in" in line and b'"completed"' in line}
    assert done < due
    assert len(done) / len(due) == pytest.approx(0.75, abs=0.08)


def test_registers_overlap_as_documented(cohort: Summary):
    hospital, members, registry = persons(cohort)
    assert len(hospital) == cohort.patients == 4_350
    assert len(hospital & members) / len(hospital) == pytest.approx(0.95, abs=0.015)
    assert len(hospital & registry) / len(hospital) == pytest.approx(0.98, abs=0.01)
    assert len(members - hospital) > 400
    assert len(registry - hospital) > 400
    assert all(len(person) == 9 and person[0] == "P" and person[1:].isdigit() for person in hospital | members | registry)


def test_a_third_enrol_and_more_of_them_early(cohort: Summary):
    tasks = ndjson(cohort.parties["hospital"] / "Task.ndjson")
    starts = {t["for"]["reference"]: date.fromisoformat(t["executionPeriod"]["start"]) for t in tasks}
    assert len(starts) == cohort.users
    assert cohort.users / cohort.patients == pytest.approx(1 / 3, abs=0.02)
    weeks = pd.Series([(day - START).days // 7 for day in starts.values()])
    assert weeks.between(0, 12).sum() > 2 * weeks.between(13, 25).sum() > 2 * weeks.between(26, 38).sum() > 0
    assert weeks.between(39, 77).sum() > 0


def test_what_ends_is_recorded_open_first_and_then_with_its_last_day(cohort: Summary):
    for name, period in (("Task", "executionPeriod"), ("EpisodeOfCare", "period")):
        seen: dict[str, dict] = {}
        ended = 0
        for row in ndjson(cohort.parties["hospital"] / f"{name}.ndjson"):
            end = row[period].get("end")
            recorded = datetime.fromisoformat(row["meta"]["lastUpdated"])
            if end is None:
                assert row["id"] not in seen
            else:
                ended += 1
                assert seen[row["id"]][period] == {"start": row[period]["start"]}
                assert recorded.date() == date.fromisoformat(end) + timedelta(days=1)
            seen[row["id"]] = row
        assert ended > 20


def test_files_are_in_the_order_of_recording(cohort: Summary, claims: pd.DataFrame):
    assert claims["recorded"].is_monotonic_increasing
    for name in ("Patient", "EpisodeOfCare", "Task"):
        moments = [datetime.fromisoformat(r["meta"]["lastUpdated"]) for r in ndjson(cohort.parties["hospital"] / f"{name}.ndjson")]
        assert moments == sorted(moments)


def test_claims_lag_as_care_types_do_and_never_beyond_the_grace(claims: pd.DataFrame):
    days = claims["lag"].map(lambda lag: lag.days)
    assert 150_000 <= len(claims) <= 200_000
    assert days.min() >= 1
    assert days.max() <= 150 < 22 * 7
    debit = claims["debit_credit"] == "D"
    median = days[debit].groupby(claims["care_type"]).median()
    assert median["gp"] < 45 < 60 < median["outpatient"]
    assert pd.Series(claims["service_date"].map(date.fromisoformat)).between(START, START + timedelta(days=545)).all()


def test_credit_lines_cancel_one_earlier_line_each(claims: pd.DataFrame):
    credit = claims[claims["debit_credit"] == "C"]
    assert len(credit) / len(claims) == pytest.approx(0.02, abs=0.004)
    assert credit["previous_record_id"].is_unique
    cancelled = claims.set_index("record_id").loc[credit["previous_record_id"]].reset_index()
    same = ["person", "care_type", "product", "service_date", "amount_cents"]
    assert (credit[same].reset_index(drop=True) == cancelled[same]).all(axis=None)
    assert (cancelled["debit_credit"] == "D").all()
    assert (cancelled["recorded"].to_numpy() < credit["recorded"].to_numpy()).all()
    assert claims[claims["debit_credit"] == "D"]["previous_record_id"].isna().all()


def test_use_and_cost_are_calibrated(tmp_path: Path):
    """Twice as many people as in the pilot; everybody starts within days, so that the two groups stand apart."""
    shape = Shape(patients=9_000, weeks=52, seed=11, enrolled=0.5, uptake_weeks=0.1)
    made = generate(tmp_path, shape=shape)
    table = pd.read_csv(made.parties["insurer"] / "claims.csv")
    sign = np.where(table["debit_credit"] == "D", 1, -1)
    table["lines"], table["cents"] = sign, sign * table["amount_cents"]
    hospital, members, _ = persons(made)
    tasks = ndjson(made.parties["hospital"] / "Task.ndjson")
    numbers = {r["id"]: r["identifier"][0]["value"] for r in ndjson(made.parties["hospital"] / "Patient.ndjson")}
    every = {numbers[t["for"]["reference"].removeprefix("Patient/")] for t in tasks}
    stopped = {
        numbers[t["for"]["reference"].removeprefix("Patient/")] for t in tasks if "end" in t["executionPeriod"]
    }
    years = 52 * 7 / 365.25

    def per_year(people: set[str], column: str, care: str = "") -> pd.Series:
        rows = table[table["care_type"] == care] if care else table
        return rows.groupby("person")[column].sum().reindex(sorted(people), fill_value=0) / years

    users, others = (every - stopped) & members, (hospital & members) - every
    gp = per_year(others, "lines", "gp")
    assert gp.mean() == pytest.approx(4.6, rel=0.06)
    assert gp.var() > 2 * gp.mean()
    assert per_year(users, "lines", "gp").mean() / gp.mean() == pytest.approx(0.85, abs=0.05)
    assert per_year(others, "lines", "outpatient").mean() == pytest.approx(2.34, rel=0.05)
    assert per_year(users, "lines", "outpatient").mean() == pytest.approx(1.55, rel=0.06)
    assert per_year(others, "lines", "admission").mean() == pytest.approx(0.10, abs=0.02)
    cost = per_year(others, "cents") / 100
    assert cost.mean() == pytest.approx(9_481, rel=0.06)
    # Gamma of shape 0.57 has a coefficient of variation of 1.32.
    assert 1.1 < cost.std() / cost.mean() < 1.6
    assert 0.86 < (per_year(users, "cents") / 100).mean() / cost.mean() < 1.02


def test_demonstration_is_never_late_and_mostly_released(cohort: Summary, tmp_path: Path):
    agreement = tmp_path / "agreement.toml"
    agreement.write_text(demo_agreement(), encoding="utf-8")
    expected = expect(agreement, cohort.parties)
    for party, events in expected.events.items():
        lines = sum(n for name, n in cohort.lines.items() if name.startswith(party))
        assert events == {"read": lines, "accepted": lines, "rejected": {}, "late_pending": 0, "late_after_maturity": 0}
    for kpi in ("gp-visit-rate-ratio", "cost-difference"):
        totals, tables = expected.released(kpi)
        assert set(totals) >= set(range(4, 75))
        assert len(tables) >= 75 / 3
    assert 3_900 < expected.linked < 4_200


def test_newcomers_are_not_linked_and_count_as_late(tmp_path: Path):
    shape = Shape(patients=300, weeks=12, seed=2, newcomers=0.1)
    made = generate(tmp_path, shape=shape)
    (tmp_path / "agreement.toml").write_text(demo_agreement(shape), encoding="utf-8")
    expected = expect(tmp_path / "agreement.toml", made.parties)
    assert all(events["late_pending"] > 0 for events in expected.events.values())
    assert 0.5 * 300 < expected.linked < 0.78 * 300


@pytest.mark.parametrize("shape", [
    Shape(), Shape(weeks=12), Shape(weeks=30, start=date(2022, 10, 3), zone="Europe/London"),
], ids=["usual", "short", "elsewhere"])
def test_demo_agreement_fits_the_period(shape: Shape, tmp_path: Path):
    path = tmp_path / "agreement.toml"
    path.write_text(demo_agreement(shape), encoding="utf-8")
    draft = load_draft(path)
    assert (draft.panes.start, draft.panes.count, draft.panes.zone) == (shape.start, shape.weeks, shape.zone)
    assert draft.linkage.date == draft.valid_from + timedelta(days=2) == shape.start + timedelta(days=2)
    for plan in compile_plans(draft, load_kpis(draft, path.parent)):
        plan.check_bounds(10_000, draft.lattice.largest)


@pytest.mark.parametrize("path", [*sorted(AGREEMENTS.glob("*.toml")), EXAMPLE / "agreement.toml"], ids=lambda p: p.stem)
def test_agreements_and_programs_are_valid(path: Path):
    if "[[parties]]" in path.read_text(encoding="utf-8"):
        draft = load_draft(path)
        kpis = load_kpis(draft, path.parent)
        assert {k for r in draft.recipients for k in r.kpis} == {kpi.id for kpi in kpis}
        for plan in compile_plans(draft, kpis):
            plan.check_bounds(10_000, draft.lattice.largest)
    else:
        assert any(path.name in other.read_text(encoding="utf-8") for other in AGREEMENTS.glob("*.toml") if other != path)


@pytest.mark.parametrize("agreement", ["quick", "monthly"])
def test_cohorts_named_in_the_agreements_give_both_releases_and_refusals(agreement: str, tmp_path: Path):
    shape = {
        "quick": Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0, newcomers=0.03),
        "monthly": Shape(
            patients=900, weeks=52, seed=7, start=date(2023, 1, 1), zone="Europe/Lisbon", newcomers=0.03,
        ),
    }[agreement]
    expected = expect(AGREEMENTS / f"{agreement}.toml", generate(tmp_path, shape=shape).parties)
    assert any(c.released and c.cell for c in expected.cells)
    assert any(c.released and not c.cell for c in expected.cells)
    if agreement == "quick":
        assert any(not c.released for c in expected.cells)


def test_dirt_is_rejected_for_its_reason_and_changes_nothing(tmp_path: Path):
    shape = Shape(patients=200, weeks=12, seed=6)
    clean, dirty = generate(tmp_path / "clean", shape=shape), generate(tmp_path / "dirty", shape=shape, dirt=3)
    agreement = tmp_path / "agreement.toml"
    agreement.write_text(demo_agreement(shape), encoding="utf-8")
    before, after = expect(agreement, clean.parties), expect(agreement, dirty.parties)
    assert after.cells == before.cells
    for party, events in after.events.items():
        assert events["rejected"] == dirty.rejected[party]
        assert events["accepted"] == before.events[party]["accepted"]
        assert events["read"] == events["accepted"] + sum(dirty.rejected[party].values())
    assert {r for reasons in dirty.rejected.values() for r in reasons} >= {
        "broken-json", "broken-csv", "wrong-type", "missing-field", "unknown-code", "negative-amount",
        "amount-too-large", "outside-agreement", "in-the-future", "duplicate-id", "too-large", "not-text",
        "unknown-reference", "unknown-person", "already-cancelled", "credit-mismatch", "stop-before-start",
    }


def test_example_is_what_its_command_writes(tmp_path: Path):
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    command = next(line.split() for line in readme.splitlines() if "python -m console.cohort" in line)
    assert command[:4] == ["python", "-m", "console.cohort", "examples/own-files"]
    subprocess.run([sys.executable, *command[1:3], str(tmp_path), *command[4:]], cwd=ROOT, check=True, timeout=60, capture_output=True)
    assert files(tmp_path) == files(EXAMPLE)
    assert sum(p.stat().st_size for p in EXAMPLE.rglob("*") if p.is_file()) < 400_000


def test_example_releases_what_its_readme_says():
    expected = expect(EXAMPLE / "agreement.toml", {name: EXAMPLE / name for name in ("hospital", "insurer", "statistics")})
    assert expected.released("gp-visit-rate-ratio") == ([1, 2, 3, 4, 5], [])
    assert expected.released("cost-difference") == ([1, 2, 3, 4, 5], [2, 3, 4, 5])


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Shape(patients=0), "patients is 0; expected 1 to"),
    (lambda: Shape(weeks=1), "weeks is 1; expected 4 to"),
    (lambda: Shape(enrolled=1.5), "enrolled is 1.5"),
    (lambda: Shape(income=(0.5, 0.5, 0.5, 0, 0)), "add up to 1"),
])
def test_impossible_shapes_are_refused(make: Callable[[], Shape], message: str):
    with pytest.raises(ValueError, match=message):
        make()
