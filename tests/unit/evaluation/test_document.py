"""The result document keeps its promised shape."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from evaluation.document import (
    DateWindow,
    Document,
    Events,
    Refusal,
    Release,
    document_schema,
    exit_code,
    settled,
)

WINDOW = DateWindow.model_validate({"start": "2025-01-06", "end": "2025-02-03"})
RELEASE = Release(kpi="k", window=WINDOW, output="value", value=0.9, low=0.8, high=1.0, unit="ratio")
SUPPRESSED = Refusal(kpi="k", window=WINDOW, cell={}, rule="minimum-cohort", required=10, nodes=(0, 1, 2))
REVOKED = Refusal(rule="revoked", found="revoked", required="active", nodes=(0, 1, 2))


def test_the_document_has_the_agreed_keys():
    written = Document(
        status="released", releases=(RELEASE,), refusals=(SUPPRESSED,),
        events={"hospital": Events(read=3, accepted=2, rejected={"broken-json": 1}, late_pending=1)},
    )
    plain = json.loads(written.model_dump_json())
    assert list(plain) == ["status", "releases", "refusals", "events", "runs", "alerts", "schedule"]
    assert plain["releases"][0] == {
        "kpi": "k", "window": {"start": "2025-01-06", "end": "2025-02-03"}, "revision": 0,
        "edition": None, "cell": {},
        "output": "value", "value": 0.9, "low": 0.8, "high": 1.0, "unit": "ratio", "on_demand": False,
    }
    assert plain["refusals"][0] == {
        "kpi": "k", "window": {"start": "2025-01-06", "end": "2025-02-03"}, "revision": 0, "cell": {},
        "rule": "minimum-cohort", "found": None, "required": 10, "nodes": [0, 1, 2],
    }
    assert plain["events"]["hospital"] == {
        "read": 3, "accepted": 2, "rejected": {"broken-json": 1}, "late_pending": 1,
        "late_after_maturity": 0,
    }
    assert Document.model_validate_json(written.model_dump_json()) == written


def test_exact_sums_stay_exact_integers():
    total = 2**53 + 1
    release = Release(kpi="k", window=WINDOW, output="sums.exposed.time", value=total, unit="days")
    assert json.loads(release.model_dump_json())["value"] == total


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": None}, "both bounds"),
        ({"low": 2.0}, "upside down"),
        ({"value": float("nan")}, "finite"),
        ({"output": "count"}, "pattern"),
        ({"output": "sums."}, "pattern"),
        ({"window": {"start": "2025-02-03", "end": "2025-02-03"}}, "not after"),
        ({"extra": 1}, "Extra"),
    ],
)
def test_a_malformed_release_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        Release.model_validate({**RELEASE.model_dump(), **change})


def test_lost_events_are_noticed():
    with pytest.raises(ValidationError, match="is not read"):
        Events(read=3, accepted=1, rejected={"broken-json": 1})
    with pytest.raises(ValidationError, match="exceed accepted 1"):
        Events(read=1, accepted=1, late_pending=1, late_after_maturity=1)


@pytest.mark.parametrize(
    ("releases", "refusals", "status", "code"),
    [
        ([RELEASE], [], "released", 0),
        ([RELEASE], [SUPPRESSED], "released", 0),
        ([], [SUPPRESSED], "suppressed", 4),
        ([], [], "suppressed", 4),
        ([], [REVOKED], "refused", 3),
        ([RELEASE], [REVOKED, SUPPRESSED], "refused", 3),
    ],
)
def test_how_an_evaluation_ended_decides_the_exit_code(releases, refusals, status, code):
    assert settled(releases, refusals) == status
    assert exit_code(status) == code


@pytest.mark.parametrize(
    ("status", "code"), [("failed", 1), ("unreachable", 5), ("integrity", 6), ("interrupted", 130)]
)
def test_early_ends_have_their_own_exit_codes(status, code):
    assert exit_code(status) == code


def test_a_running_evaluation_has_no_exit_code():
    with pytest.raises(ValueError, match="not an end"):
        exit_code("running")


def test_the_committed_schema_is_the_exported_one():
    committed = Path(__file__).parents[3] / "docs" / "schema" / "result-document.json"
    assert json.loads(committed.read_text(encoding="utf-8")) == document_schema()
