"""Whatever stands in the files: every line is accepted or refused for its reason, and nothing crashes or leaks."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.support.command import evaluate
from tests.support.nasty import MARK, spoil_events, spoil_hospital, spoil_insurer, spoil_statistics, with_events

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-files"
SPOIL = {
    "hospital": lambda folder: spoil_hospital(folder) + spoil_events(folder),
    "insurer": spoil_insurer, "statistics": spoil_statistics,
}


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory):
    root = tmp_path_factory.mktemp("spoiled")
    folders, reasons = {}, {}
    for party, spoil in SPOIL.items():
        folders[party] = shutil.copytree(EXAMPLE / party, root / party)
        reasons[party] = spoil(folders[party])
    work, agreement = root / "work", root / "agreement.toml"
    agreement.write_text(with_events((EXAMPLE / "agreement.toml").read_text()))
    document, stderr = evaluate(agreement, folders, "--work", work)
    return document, stderr, reasons, work


def test_every_line_is_accepted_or_refused_for_its_reason(spoiled):
    document, _, reasons, _ = spoiled
    for party, expected in reasons.items():
        found = document["events"][party]
        clean = sum(
            len([line for line in path.read_bytes().splitlines() if line.strip()]) - (path.suffix == ".csv")
            for path in (EXAMPLE / party).iterdir()
        )
        assert found["read"] == clean + expected.total()
        assert found["rejected"] == {r: n for r, n in expected.items() if r != "accepted"}
        assert found["accepted"] == clean + expected["accepted"]


def test_the_good_lines_still_give_the_result(spoiled):
    document, *_ = spoiled
    assert Counter(r["kpi"] for r in document["releases"] if r["output"] == "value")["cost-difference"]
    assert [(row["id"], row["state"]) for row in document["alerts"]][:1] == [("gp-advantage-gone", "no-data")]
    assert len(document["alerts"]) == 6


def test_no_identifier_stands_in_a_log_or_on_the_terminal(spoiled):
    _, stderr, _, work = spoiled
    logs = [path for path in work.rglob("*") if path.is_file()]
    assert any(path.name == "log.jsonl" for path in logs)
    assert [path for path in logs if MARK.encode() in path.read_bytes()] == []
    assert MARK not in stderr
    assert "Traceback" not in stderr
