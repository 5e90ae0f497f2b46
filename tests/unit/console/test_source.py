"""`winnow source check`: counts, places and words, and nothing of what a line says."""

import pytest

from console.source import REASONS, check_source
from streams.rejects import Reason
from tests.support import parties as p
from tests.support.command import winnow
from tests.unit.console.test_cohort import EXAMPLE

CLAIM = "{},P00000001,gp,consult,{},{},{},{},2024-03-01"


@pytest.fixture
def folder(tmp_path):
    p.write_lines(tmp_path / "members.csv", p.MEMBERS, "m1,P00000001,2023-12-01,,2023-12-01")
    p.write_lines(
        tmp_path / "claims.csv", p.CLAIMS, CLAIM.format("c1", "2024-02-05", 4500, "D", ""),
        CLAIM.format("c2", "2024-01-31", 4500, "D", ""), *(CLAIM.format(f"SECRET{n}", "2024-01-31", "x", "D", "") for n in range(5)),
        CLAIM.format("c3", "2024-02-05", 4500, "C", "SECRET9"),
    )
    return tmp_path


def check(folder, *more, expect=0):
    return winnow("source", "check", folder, "--agreement", EXAMPLE / "agreement.toml", "--party", "insurer", *more, expect=expect)


def test_every_reason_has_words():
    assert set(REASONS) == set(Reason)


def test_a_document_counts_and_places(folder):
    document, _ = check(folder, "--json")
    assert document["faults"] == []
    assert document["files"][1] == {
        "file": "claims.csv", "source": document["files"][0]["source"], "read": 8, "accepted": 2,
        "rejected": {
            "unknown-reference": {"lines": 1, "examples": ["claims.csv:9"]},
            "wrong-type": {"lines": 5, "examples": ["claims.csv:4", "claims.csv:5", "claims.csv:6"]},
        },
        "persons": 1, "first": "2024-01-31", "last": "2024-02-05",
    }


def test_sentences_name_places_and_no_contents(folder, capsys):
    assert check_source(folder, EXAMPLE / "agreement.toml", "insurer", as_json=False) == 0
    said = capsys.readouterr().out
    assert "claims.csv: 8 lines, 2 accepted, 6 rejected" in said
    assert "1 persons, from 2024-01-31 to 2024-02-05" in said
    assert "5 × wrong-type: a field has another form" in said
    assert "(claims.csv:4, claims.csv:5, claims.csv:6 …)" in said
    assert "SECRET" not in said
    assert "P00000001" not in said


def test_all_missing_files_are_named(tmp_path):
    document, said = check(tmp_path, "--json", expect=2)
    assert document["files"] == []
    assert len(document["faults"]) == 2
    assert "members.csv" in said
    assert "claims.csv" in said


def test_a_mapping_that_cannot_be_is_exit_2_and_so_is_nothing_accepted(folder):
    p.write_lines(folder / "claims.csv", p.CLAIMS, "a,b")
    p.write_lines(folder / "members.csv", p.MEMBERS)
    assert "no line would be accepted" in check(folder, expect=2)[1]
    (folder / "source.toml").write_text("[[file]]\npath = 1\n")
    assert "source.toml: file 1 (no path): path: found '1'" in check(folder, expect=2)[1]
