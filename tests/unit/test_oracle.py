"""The oracle against cases worked out by hand."""

import json
import math
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tests.support.oracle import _cells, expect
from tests.support.oracle_files import Grid, Reader

AGREEMENT = """
kpis = ["gp.toml", "cost.toml"]
panes = { zone = "Europe/Amsterdam", unit = "week", start = 2024-01-01, count = 2 }
windows = { size = 1, step = 1 }
linkage = { date = 2024-01-01 }
disclosure = { minimum_cohort = MINIMUM }
parties = [
    { name = "h", sources = [{ name = "ehr", kinds = ["enrolment"] }] },
    { name = "i", grace_panes = 2, sources = [{ name = "claims", kinds = ["enrolment", "claim"] }] },
    { name = "s", sources = [{ name = "registry", kinds = ["social"] }] },
]
measures = [
    { name = "user", party = "h", aggregation = "exposed", programme = "ibd-coach" },
    { name = "not_yet", party = "h", aggregation = "not-yet-exposed", programme = "ibd-coach", cohort = "ibd-care" },
    { name = "days", party = "i", aggregation = "days", programme = "insured" },
    { name = "visits", party = "i", aggregation = "count", kind = "claim", care_type = "gp", at_risk = "days" },
    { name = "cost", party = "i", aggregation = "sum", kind = "claim", at_risk = "days", bound = 67108863 },
    { name = "low", party = "s", aggregation = "category", field = "income_quintile", value = "1" },
    { name = "high", party = "s", aggregation = "category", field = "income_quintile", value = "2" },
]
"""
KPI = """
id = "ID"
estimator = "ESTIMATOR"
exposed = "user"
comparator = "not_yet"
time = "days"
outcome = "OUTCOME"
strata.group = { low = "low", high = "high" }
"""
CLAIMS = "record_id,person,care_type,product,service_date,amount_cents,debit_credit,previous_record_id,recorded_at"
MEMBERS = "record_id,person,start,end,recorded_at"
PERSONS = "record_id,person,income_quintile,valid_from,recorded_at"


def fhir(kind: str, key: str, recorded: str, **fields) -> str:
    return json.dumps({"resourceType": kind, "id": key, "meta": {"lastUpdated": recorded}, **fields})


def patient(n: int) -> str:
    number = [{"system": "urn:winnow:person", "value": f"P{n}"}]
    return fhir("Patient", f"p{n}", "2020-01-01", identifier=number)


def episode(n: int, start: str) -> str:
    return fhir(
        "EpisodeOfCare", f"e{n}", start, status="active", type=[{"coding": [{"code": "ibd-care"}]}],
        patient={"reference": f"Patient/p{n}"}, period={"start": start},
    )


def task(n: int, start: str, end: str | None = None, recorded: str | None = None) -> str:
    return fhir(
        "Task", f"t{n}", recorded or start, status="completed" if end else "in-progress",
        code={"coding": [{"code": "ibd-coach"}]}, **{"for": {"reference": f"Patient/p{n}"}},
        executionPeriod={"start": start} | ({"end": end} if end else {}),
    )


def write(folder: Path, **files: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, lines in files.items():
        (folder / (name + (".csv" if name.islower() else ".ndjson"))).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def case(tmp_path: Path):
    """Twelve people: P1 to P3 and P6 use the app, P4 to P6 start or stop, P12 is in no registry."""

    def build(minimum: int):
        (tmp_path / "agreement.toml").write_text(AGREEMENT.replace("MINIMUM", str(minimum)))
        for name, estimator, outcome in (("gp", "rate-ratio", "visits"), ("cost", "mean-difference", "cost")):
            text = KPI.replace("ID", name).replace("ESTIMATOR", estimator).replace("OUTCOME", outcome)
            (tmp_path / f"{name}.toml").write_text(text)
        folders = {
            "h": write(
                tmp_path / "h", Patient=[patient(n) for n in range(1, 13)],
                EpisodeOfCare=[episode(n, "2024-01-02" if n == 11 else "2021-05-05") for n in range(1, 13)],
                Task=[
                    task(1, "2023-12-01"), task(2, "2023-12-01"), task(3, "2023-12-01"), task(6, "2023-12-01"),
                    task(4, "2024-01-03"), task(5, "2024-01-08"), task(6, "2023-12-01", "2024-01-10", "2024-01-11"),
                ],
            ),
            "i": write(
                tmp_path / "i",
                members=[
                    MEMBERS, *(f"m{n},P{n},2022-01-01,,2022-01-01" for n in range(1, 13)),
                    "m10,P10,2022-01-01,2024-01-04,2024-01-05",
                ],
                claims=[
                    CLAIMS,
                    "a,P1,gp,x,2024-01-01,4000,D,,2024-01-15", "b,P1,gp,x,2024-01-07,4000,D,,2024-01-15",
                    "c,P2,gp,x,2024-01-05,4000,D,,2024-01-15", "d,P6,gp,x,2024-01-03,4000,D,,2024-01-15",
                    "e,P7,gp,x,2024-01-04,4000,D,,2024-01-15", "f,P8,gp,x,2024-01-04,4000,D,,2024-01-15",
                    "g,P8,gp,x,2024-01-04,4000,D,,2024-01-15", "h,P10,gp,x,2024-01-02,4000,D,,2024-01-15",
                    # Not insured on that day, but insured in that pane.
                    "i,P10,gp,x,2024-01-06,4000,D,,2024-01-15",
                    "j,P1,admission,x,2024-01-03,100000,D,,2024-01-15",
                    *(f"k{n},P12,gp,x,2024-01-04,4000,D,,2024-01-15" for n in range(5)),
                    "c2,P2,gp,x,2024-01-05,4000,C,c,2024-01-20",
                    "l,P4,gp,x,2024-01-14,4000,D,,2024-01-20", "m,P5,gp,x,2024-01-08,4000,D,,2024-01-20",
                    # Not insured in that pane at all.
                    "n,P10,gp,x,2024-01-09,4000,D,,2024-01-20",
                    "o,P11,gp,x,2024-01-09,4000,D,,2024-01-20", "p,P9,gp,x,2024-01-09,4000,D,,2024-01-20",
                    "q,P3,medication,x,2024-01-10,5000,D,,2024-01-20",
                ],
            ),
            "s": write(tmp_path / "s", persons=[
                PERSONS, *(f"s{n},P{n},{1 if n in (1, 2, 7, 8) else 2},2023-01-01,2023-06-01" for n in range(1, 12)),
                "t1,P1,2,2024-01-05,2024-01-05",
            ]),
        }
        return expect(tmp_path / "agreement.toml", folders)

    return build


def test_people_in_all_registers_are_linked(case):
    expected = case(1)
    assert expected.linked == 11
    assert expected.events["i"] == {"read": 13 + 22, "accepted": 35, "rejected": {}, "late_pending": 0, "late_after_maturity": 0}
    assert expected.events["h"]["read"] == 12 + 12 + 7


def test_sums_and_contributors_by_hand(case):
    expected = case(1)
    first, second = expected.find("gp", 0), expected.find("gp", 1)
    # P1, P2, P3, P6 use it the whole week; P5, P7, P8, P9 do not yet, and P10 is insured for three days.
    assert first.sums == {
        "exposed.time": 28, "exposed.outcome": 3, "comparator.time": 31, "comparator.outcome": 5,
    }
    assert first.contributors == ((4, 2, 5, 3),)
    # P4 and P5 have joined, P6 stopped; P11 came into care, P10 is no longer insured.
    assert second.sums == {
        "exposed.time": 35, "exposed.outcome": 2, "comparator.time": 28, "comparator.outcome": 2,
    }
    assert second.contributors == ((5, 2, 4, 2),)
    assert (first.start, first.end, second.end) == (date(2024, 1, 1), date(2024, 1, 8), date(2024, 1, 15))


def test_rate_ratio_and_interval_by_hand(case):
    expected = case(1)
    assert expected.find("gp", 0).value == pytest.approx((3 / 28) / (5 / 31), rel=1e-12)
    cell = expected.find("gp", 1)
    # Users: three without a visit (−7/35), two with (1/2 − 7/35). Others: ±(1/2 − 7/28) four times.
    spread = 1.9599639845400545 * math.sqrt(3 * 0.2**2 + 2 * 0.3**2 + 4 * 0.25**2)
    assert cell.value == pytest.approx(0.8, rel=1e-12)
    assert (cell.low, cell.high) == pytest.approx((0.8 * math.exp(-spread), 0.8 * math.exp(spread)), rel=1e-12)


def test_cost_difference_and_interval_by_hand(case):
    cell = case(1).find("cost", 1)
    assert cell.sums["exposed.outcome"] == 13_000
    assert cell.sums["comparator.outcome"] == 8_000
    # Mean of a week: 2600 and 2000 cents; deviations over 35 and 28 days.
    variance = (2 * 2600**2 + 2400**2 + 2 * 1400**2) / 35**2 + 4 * 2000**2 / 28**2
    value, spread = (13_000 / 35 - 8_000 / 28), 1.9599639845400545 * math.sqrt(variance)
    month = 0.304375
    assert cell.value == pytest.approx(value * month, rel=1e-12)
    assert (cell.low, cell.high) == pytest.approx(((value - spread) * month, (value + spread) * month), rel=1e-12)
    assert case(1).find("cost", 0).sums["exposed.outcome"] == 3 * 4_000 + 100_000


def test_strata_follow_the_income_at_the_start_of_the_pane(case):
    expected = case(1)
    low, high = (expected.find("gp", 0, group=group) for group in ("low", "high"))
    assert (low.sums["exposed.time"], low.sums["exposed.outcome"]) == (14, 2)
    assert (high.sums["exposed.time"], high.sums["comparator.time"]) == (14, 7 + 7 + 3)
    # P1 moved up on the fifth: from the second week on.
    assert expected.find("gp", 1, group="low").sums["exposed.time"] == 7
    assert expected.find("gp", 1, group="high").sums["exposed.time"] == 28


@pytest.mark.parametrize(("minimum", "totals", "tables"), [(1, [0, 1], [0]), (2, [0, 1], []), (3, [], [])])
def test_release_by_minimum(case, minimum: int, totals: list[int], tables: list[int]):
    assert case(minimum).released("gp") == (totals, tables)


def tables_of(people: int) -> dict[str, np.ndarray]:
    """`people` in each arm, everyone with time and outcome in three panes, one stratum for half of each arm."""
    arm = np.repeat([1, 0], people)[:, None] * np.ones((1, 3), dtype=np.int64)
    first = np.tile(np.arange(people) < people // 2, 2)[:, None] * np.ones((1, 3), dtype=np.int64)
    return {
        "user": arm, "not_yet": 1 - arm, "days": np.full_like(arm, 7), "visits": np.ones_like(arm),
        "low": first, "high": 1 - first,
    }


def released(table: dict[str, np.ndarray], size: int = 2, minimum: int = 3) -> list[tuple[bool, bool]]:
    kpi = {
        "id": "k", "estimator": "rate-ratio", "exposed": "user", "comparator": "not_yet", "time": "days",
        "outcome": "visits", "strata": {"group": {"low": "low", "high": "high"}},
    }
    draft = {"windows": {"size": size, "step": 1}, "disclosure": {"minimum_cohort": minimum}}
    cells = _cells(kpi, draft, table, [date(2024, 1, 1 + 7 * week) for week in range(4)])
    return [(a.released, b.released) for a, b in zip(cells[::3], cells[1::3], strict=True)]


def test_everything_with_enough_people_is_released():
    assert released(tables_of(6)) == [(True, True), (True, True)]


def test_one_atom_with_few_people_refuses_every_window_over_it():
    table = tables_of(6)
    table["visits"][2:6, 0] = 0
    assert released(table) == [(False, False), (True, True)]
    table["visits"][2:6, 1] = 0
    assert released(table) == [(False, False), (False, False)]


def test_one_small_stratum_refuses_the_table_only():
    table = tables_of(6)
    table["visits"][0, 2] = 0
    assert released(table) == [(True, True), (True, False)]


def test_people_outside_all_strata_are_none_or_enough():
    table = tables_of(12)
    table["high"][11] = 0
    assert released(table) == [(True, False), (True, False)]
    table["high"][9:11] = 0
    assert released(table) == [(True, True), (True, True)]


def test_a_person_counts_once_in_an_atom_of_several_panes():
    table = tables_of(6)
    table["visits"][:, 0] = 0
    assert released(table, size=3) == [(True, True)]


WEEKS = [date(2024, 1, 1 + 7 * week) for week in range(5)]


def small(**changes) -> tuple[dict, dict, dict[str, np.ndarray]]:
    """A program, an agreement of one window of four weeks, and four people: two users, two not yet."""
    kpi = {"id": "k", "exposed": "user", "comparator": "not_yet", "time": "days", **changes}
    draft = {"windows": {"size": 4, "step": 4}, "disclosure": {"minimum_cohort": 1}}
    arm = np.array([1, 1, 0, 0])[:, None] * np.ones((1, 4), dtype=np.int64)
    low = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    days = np.array([[7, 7, 7, 7], [7, 7, 0, 0], [7, 7, 7, 7], [7, 0, 0, 0]])
    return kpi, draft, {"user": arm, "not_yet": 1 - arm, "days": days, "low": low, "high": 1 - low}


def test_a_share_by_hand():
    kpi, draft, table = small(estimator="share")
    (cell,) = _cells(kpi, draft, table, WEEKS)
    assert cell.sums == {"exposed.time": 42, "comparator.time": 35}
    assert cell.value == pytest.approx(42 / 77, rel=1e-12)
    # Two parts: 28 and 14 of 42, 28 and 7 of 35.
    spread = 1.9599639845400545 * math.sqrt((28**2 + 14**2) / 42**2 + (28**2 + 7**2) / 35**2)
    odds = 42 / 35
    assert cell.low == pytest.approx(1 / (1 + math.exp(spread) / odds), rel=1e-12)
    assert cell.high == pytest.approx(1 / (1 + math.exp(-spread) / odds), rel=1e-12)
    assert cell.contributors == ((2, 2),)


def test_completion_by_hand():
    kpi, draft, table = small(estimator="completion", time="due", outcome="done", missed="missed")
    del kpi["comparator"]
    table["due"] = np.array([[1, 1, 0, 0], [1, 0, 0, 1], [9, 9, 9, 9], [0, 0, 0, 0]])
    table["done"] = np.array([[1, 0, 1, 0], [1, 0, 0, 0], [0, 9, 9, 9], [0, 0, 0, 0]])
    table["missed"] = np.maximum(table["due"] - table["done"], 0)
    (cell,) = _cells(kpi, draft, table, WEEKS)
    assert cell.sums == {"exposed.time": 4, "exposed.outcome": 3}
    assert cell.value == 0.75
    spread = 1.9599639845400545 * math.sqrt((2 / 3) ** 2 + (1 / 3 - 1 / 1) ** 2)
    assert cell.high == pytest.approx(1 / (1 + math.exp(-spread) / 3), rel=1e-12)
    assert cell.contributors == ((2, 2, 2),)
    draft["disclosure"]["minimum_cohort"] = 2
    # The first missed one in the second week and did it in the third: over the window only the other missed any.
    assert not _cells(kpi, draft, table, WEEKS)[0].released
    table["done"][0, 2] = 0
    assert _cells(kpi, draft, table, WEEKS)[0].released
    table["missed"][1] = 0
    assert not _cells(kpi, draft, table, WEEKS)[0].released


def test_a_cap_holds_in_every_category_and_the_total_is_their_sum():
    kpi, draft, table = small(
        estimator="mean-difference", outcome="cost", cap=100, strata={"group": {"low": "low"}},
    )
    table["cost"] = np.array([[60, 60, 60, 60], [-40, 10, 0, 0], [300, 0, 0, -50], [0, 0, 0, 99]])
    total, low = _cells(kpi, draft, table, WEEKS)
    # The first person has 120 in the category and 120 outside it: 100 and 100.
    assert total.sums == {"exposed.time": 42, "exposed.outcome": 200, "comparator.time": 35, "comparator.outcome": 199}
    assert low.sums == {"exposed.time": 14, "exposed.outcome": 100, "comparator.time": 28, "comparator.outcome": 100}
    month = 0.304375
    assert total.value == pytest.approx((200 / 42 - 199 / 35) * month, rel=1e-12)


def test_a_change_is_in_points_and_asks_for_answers_only():
    kpi, draft, table = small(estimator="mean-difference", unit="points", time="answers", outcome="change")
    table["answers"] = np.array([[0, 1, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    table["change"] = np.array([[0, 150, 0, -50], [0, 0, 0, 0], [0, -200, 0, 0], [0, 0, 0, 0]])
    (cell,) = _cells(kpi, draft, table, WEEKS)
    assert cell.sums == {"exposed.time": 3, "exposed.outcome": 100, "comparator.time": 2, "comparator.outcome": -200}
    assert cell.value == pytest.approx((100 / 3 + 200 / 2) / 100, rel=1e-12)
    assert cell.contributors == ((2, 2),)


def test_the_agreements_strata_replace_those_of_the_program():
    kpi, draft, table = small(estimator="share", strata={"group": {"low": "low"}})
    draft["strata"] = {"dimension": "level", "categories": [
        {"value": "1", "measure": "low"}, {"value": "2", "measure": "high"},
    ]}
    assert [c.cell for c in _cells(kpi, draft, table, WEEKS)] == [{}, {"level": "1"}, {"level": "2"}]


def test_grid_follows_the_calendar():
    month = Grid.of({"zone": "Europe/Lisbon", "unit": "month", "start": date(2024, 1, 1), "count": 3})
    assert month.edges == [date(2024, 1, 1), date(2024, 2, 1), date(2024, 3, 1), date(2024, 4, 1)]
    assert [month.pane(d) for d in (date(2023, 12, 31), date(2024, 2, 29), date(2024, 4, 1))] == [-1, 1, 3]
    week = Grid.of({"zone": "Europe/Amsterdam", "unit": "week", "start": date(2024, 3, 25), "count": 1})
    assert week.midnight(week.edges[1]) - week.midnight(week.edges[0]) == (7 * 24 - 1) * 3600


def reader(tmp_path: Path, claims: list[str], grace: int = 0) -> Reader:
    folder = write(
        tmp_path / "i", members=[MEMBERS, "m1,P1,2022-01-01,,2022-01-01", "m2,P2,2022-01-01,,2024-01-10"],
        claims=[CLAIMS, *claims],
    )
    agreement = {
        "panes": {"zone": "Europe/Amsterdam", "unit": "week", "start": date(2024, 1, 1), "count": 4},
        "linkage": {"date": date(2024, 1, 2)}, "measures": [{"party": "i", "aggregation": "sum", "bound": 10**6}],
        "parties": [{"name": "i", "grace_panes": grace, "sources": [{"name": "c", "kinds": ["enrolment", "claim"]}]}],
    }
    return Reader(agreement, "i", folder)


def test_every_bad_line_is_counted_under_its_reason(tmp_path: Path):
    good = "a,P1,gp,x,2024-01-03,100,D,,2024-01-05"
    books = reader(tmp_path, [
        good, good,
        "b,P1,gp,x,2024-01-03,100,C,a,2024-01-06",
        "c,P1,gp,x,2024-01-03,100,C,a,2024-01-06",
        "d,P1,gp,x,2024-01-04,200,D,,2024-01-05",
        "e,P1,gp,x,2024-01-04,201,C,d,2024-01-06",
        "f,P1,gp,x,2024-01-04,200,C,zz,2024-01-06",
        "g,P9,gp,x,2024-01-04,200,D,,2024-01-06",
        "h,P1,gp,x,2024-01-04,-1,D,,2024-01-06",
        "i,P1,gp,x,2024-01-04,1000001,D,,2024-01-06",
        "j,P1,gp,x,2023-12-31,1,D,,2024-01-06",
        "k,P1,gp,x,2024-01-09,1,D,,2024-01-06",
        "l,P1,gp,x,2024-01-04,1,E,,2024-01-06",
        "m,,gp,x,2024-01-04,1,D,,2024-01-06",
        "n,P1,gp,x,2024-01-32,1,D,,2024-01-06",
        "o,P1,gp",
        "p" * (1 << 20) + ",P1,gp,x,2024-01-04,1,D,,2024-01-06",
    ]).read()
    assert books.rejected == {
        "duplicate-id": 1, "already-cancelled": 1, "credit-mismatch": 1, "unknown-reference": 1, "unknown-person": 1,
        "negative-amount": 1, "amount-too-large": 1, "outside-agreement": 1, "in-the-future": 1, "unknown-code": 1,
        "missing-field": 1, "wrong-type": 1, "broken-csv": 1, "too-large": 1,
    }
    assert (books.read, books.accepted) == (19, 5)
    assert books.claims == [
        ("P1", "gp", date(2024, 1, 3), 1, 100), ("P1", "gp", date(2024, 1, 4), 1, 200),
        ("P1", "gp", date(2024, 1, 3), -1, 100),
    ]


@pytest.mark.parametrize(("grace", "late"), [(0, 2), (1, 1), (2, 1)])
def test_late_claims_are_left_out(tmp_path: Path, grace: int, late: int):
    """One for a sealed pane unless grace keeps it open; one for a member recorded after the linkage date."""
    made = reader(tmp_path, [
        "a,P1,gp,x,2024-01-08,100,D,,2024-01-09",
        "b,P1,gp,x,2024-01-07,100,D,,2024-01-09T12:00:00+01:00",
    ], grace)
    books = made.read()
    assert books.late == late
    assert len(books.claims) == (1 if grace == 0 else 2)
    assert made.linked("P1")
    assert not made.linked("P2")


def test_late_enrolments_and_incomes_change_nothing(tmp_path: Path):
    """The stop of P2's insurance on the third reaches the insurer after an event of the tenth has sealed its week."""
    folder = write(tmp_path / "i", members=[
        MEMBERS, "m1,P1,2022-01-01,,2022-01-01", "m2,P2,2022-01-01,,2022-01-01",
        "m3,P1,2024-01-10,,2024-01-10", "m2,P2,2022-01-01,2024-01-03,2024-01-11", "m1,P1,2022-01-01,2024-01-12,2024-01-12",
    ])
    agreement = {
        "panes": {"zone": "Europe/Amsterdam", "unit": "week", "start": date(2024, 1, 1), "count": 4},
        "linkage": {"date": date(2024, 1, 2)}, "measures": [],
        "parties": [{"name": "i", "sources": [{"name": "c", "kinds": ["enrolment", "social"]}]}],
    }
    books = Reader(agreement, "i", folder).read()
    assert books.late == 1
    assert {key: end for key, (_, _, _, end) in books.enrolments.items()} == {
        "members/m1": date(2024, 1, 12), "members/m2": date.max, "members/m3": date.max,
    }
    (folder / "members.csv").write_text(MEMBERS + "\n")
    write(folder, persons=[
        PERSONS, "a,P1,1,2023-01-01,2023-01-01", "b,P1,2,2024-01-09,2024-01-09",
        # Valid from the second on: the first pane that it changes starts on the eighth, and is open.
        "c,P1,3,2024-01-02,2024-01-10", "d,P1,4,2024-01-01,2024-01-10",
    ])
    books = Reader(agreement, "i", folder).read()
    assert books.late == 1
    assert [value for _, _, _, value in books.incomes] == ["1", "2", "3"]
