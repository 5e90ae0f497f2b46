"""The oracle's account of batches against cases worked out by hand."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from tests.support.oracle import expect
from tests.support.oracle_batches import Batches
from tests.support.oracle_files import Grid, Reader
from tests.unit.test_oracle import AGREEMENT, CLAIMS, KPI, MEMBERS, PERSONS, episode, patient, task, write

WEEKS = {"zone": "Europe/Amsterdam", "unit": "week", "start": date(2024, 1, 1), "count": 4}
ZONE = ZoneInfo("Europe/Amsterdam")


def batches(minimum=2, every=1, shards=1, shard_of=None):
    agreement = {
        "linkage": {"date": date(2024, 1, 2), **({} if every is None else {"batch_panes": every})}, "shards": shards,
        "disclosure": {"minimum_cohort": minimum},
    }
    return Batches(agreement, Grid.of(WEEKS), shard_of)


def on(day, hour=0):
    return datetime(2024, 1, day, hour, tzinfo=ZONE)


def test_who_is_in_which_batch():
    known = {"a": on(1, 23), "b": on(2), "c": on(7, 23), "d": on(8), "e": on(14, 23), "f": on(15), "g": on(22)}
    assert batches().entered(known, {}) == {"a": 0, "b": 1, "c": 1, "d": 2, "e": 2}
    assert batches(1).entered(known, {}) == {"a": 0, "b": 1, "c": 1, "d": 2, "e": 2, "f": 3}
    assert batches(3).entered(known, {}) == {"a": 0, "b": 2, "c": 2, "d": 2, "e": 2}
    assert batches(every=2).entered(known, {}) == {"a": 0, "b": 2, "c": 2, "d": 2, "e": 2}
    assert batches(every=None).entered(known, {}) == {"a": 0}
    assert batches().entered(known, {"a": on(1, 23), "b": on(7, 23), "d": on(15)}) == {"a": 0, "c": 2, "d": 2, "e": 2}


def test_the_minimum_is_a_shards():
    known = {"a": on(3), "b": on(3), "c": on(3), "d": on(9)}
    assert batches(2, shards=2, shard_of=lambda person: int(person in "cd")).entered(known, {}) == {
        "a": 1, "b": 1, "c": 2, "d": 2,
    }
    with pytest.raises(ValueError, match="say which shard"):
        batches(shards=2)


def reader(tmp_path, members, claims, minimum=1):
    folder = write(tmp_path / "i", members=[MEMBERS, *members], claims=[CLAIMS, *claims])
    agreement = {
        "panes": WEEKS, "linkage": {"date": date(2024, 1, 2), "batch_panes": 1}, "measures": [],
        "disclosure": {"minimum_cohort": minimum},
        "parties": [{"name": "i", "grace_panes": 4, "sources": [{"name": "c", "kinds": ["enrolment", "claim"]}]}],
    }
    return Reader(agreement, "i", folder)


@pytest.mark.parametrize(("minimum", "entered", "late"), [
    # Of before the 8th: b. P3 is recorded when the last batch has opened.
    (1, {"P1": 0, "P2": 1}, 1 + 2), (2, {"P1": 0}, 4 + 2),
])
def test_what_is_late_on_account_of_a_batch(tmp_path, minimum, entered, late):
    books = reader(
        tmp_path, ["m1,P1,2022-01-01,,2022-01-01", "m2,P2,2022-01-01,,2024-01-03", "m3,P3,2022-01-01,,2024-01-22"],
        [
            "a,P1,gp,x,2024-01-03,1,D,,2024-01-05", "b,P2,gp,x,2024-01-07,1,D,,2024-01-09",
            "c,P2,gp,x,2024-01-08,1,D,,2024-01-09", "d,P2,gp,x,2024-01-16,1,D,,2024-01-17",
            "e,P3,gp,x,2024-01-23,1,D,,2024-01-23",
        ], minimum,
    ).read()
    assert books.entered == entered
    assert books.late == late
    assert [claim[2] for claim in books.claims if claim[0] == "P2"] == [date(2024, 1, 8), date(2024, 1, 16)]


def test_a_person_counts_from_the_latest_of_the_parties_batches_on(tmp_path):
    """P1 is known to all before; the hospital records P2 in the first week, the insurer in the second."""
    agreement = AGREEMENT.replace("MINIMUM", "1").replace("count = 2", "count = 4").replace(
        "date = 2024-01-01 }", "date = 2024-01-01, batch_panes = 1 }"
    )
    (tmp_path / "agreement.toml").write_text(agreement)
    for name, estimator, outcome in (("gp", "rate-ratio", "visits"), ("cost", "mean-difference", "cost")):
        text = KPI.replace("ID", name).replace("ESTIMATOR", estimator).replace("OUTCOME", outcome)
        (tmp_path / f"{name}.toml").write_text(text)
    late = patient(2).replace("2020-01-01", "2024-01-03")
    folders = {
        "h": write(
            tmp_path / "h", Patient=[patient(1), late],
            EpisodeOfCare=[episode(1, "2021-05-05"), episode(2, "2021-05-05").replace('lastUpdated": "2021-05-05', 'lastUpdated": "2024-01-04')],
            Task=[task(1, "2023-12-01"), task(2, "2023-12-01", recorded="2024-01-05")],
        ),
        "i": write(
            tmp_path / "i", members=[MEMBERS, "m1,P1,2022-01-01,,2022-01-01", "m2,P2,2022-01-01,,2024-01-10"],
            claims=[CLAIMS, "a,P1,gp,x,2024-01-09,1,D,,2024-01-12", "b,P2,gp,x,2024-01-16,1,D,,2024-01-17"],
        ),
        "s": write(tmp_path / "s", persons=[PERSONS, *(f"s{n},P{n},1,2023-01-01,2023-06-01" for n in (1, 2))]),
    }
    expected = expect(tmp_path / "agreement.toml", folders)
    assert expected.linked == 2
    sums = [expected.find("gp", window).sums for window in range(4)]
    assert [s["exposed.time"] for s in sums] == [7, 7, 14, 14]
    assert [s["exposed.outcome"] for s in sums] == [0, 1, 1, 0]
    assert {party: events["late_pending"] for party, events in expected.events.items()} == {"h": 0, "i": 0, "s": 0}
