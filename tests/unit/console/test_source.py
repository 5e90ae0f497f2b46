"""`winnow source check`: counts, places and words, and nothing of what a line says."""

import json
import re

import pytest

from console.source import REASONS, check_source
from streams.rejects import Reason
from streams.tally import MOST_CODES, CodeTally
from tests.support import parties as p
from tests.support.command import winnow
from tests.support.terms import make_terms
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
        "file": "claims.csv", "source": document["files"][0]["source"], "read": 8, "accepted": 2, "events": {"claim": 2},
        "rejected": {
            "unknown-reference": {"lines": 1, "examples": ["claims.csv:9"]},
            "wrong-type": {"lines": 5, "examples": ["claims.csv:4", "claims.csv:5", "claims.csv:6"]},
        },
        "unknown_codes": {}, "persons": 1, "first": "2024-01-31", "last": "2024-02-05",
    }


def test_what_says_that_it_will_be_recorded_is_told(folder):
    with (folder / "members.csv").open("a") as file:
        file.write("m2,P00000002,2023-12-01,,2099-12-01\n")
    document, _ = check(folder, "--json")
    assert document["files"][0]["rejected"] == {"in-the-future": {"lines": 1, "examples": ["members.csv:3"]}}


def test_sentences_name_places_and_no_contents(folder, capsys):
    assert check_source(folder, EXAMPLE / "agreement.toml", "insurer", as_json=False) == 0
    said = capsys.readouterr().out
    assert "claims.csv: 8 lines, 2 accepted, 6 rejected" in said
    assert "2 × claim; 1 persons, from 2024-01-31 to 2024-02-05" in said
    assert "5 × wrong-type: a field has another form" in said
    assert "(claims.csv:4, claims.csv:5, claims.csv:6 …)" in said
    assert "SECRET" not in said
    assert "P00000001" not in said


def test_signed_terms_say_what_a_draft_says(folder):
    terms = folder / "terms.json"
    terms.write_text(make_terms().model_dump_json())
    asked = ("source", "check", folder, "--agreement", terms, "--party", "insurer")
    assert [file["read"] for file in winnow(*asked, "--json")[0]["files"]] == [1, 8]
    proposed = ("init-source", folder / "claims.csv", "--agreement", terms, "--party", "insurer")
    winnow(*proposed)
    terms.write_text("{}")
    for command in (asked, proposed):
        assert "Expected the signed terms, as JSON" in winnow(*command, expect=2)[1]


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


MAPPED = """
[[file]]
path = "claims.csv"
format = "csv"
kind = "claim"
where = { type = "charge" }
crosswalk = { path = "numbers.csv", from = "ours", to = "number" }
fields = { id = "nr", person = "who", occurred = "day", recorded = "day", cents = "cents", care_type = "care" }
codes = { care_type = { A = "admission", B = "dental" } }

[[file]]
path = "claims.csv"
format = "csv"
kind = "enrolment"
where = { type = "member" }
crosswalk = { path = "numbers.csv", from = "ours", to = "number" }
fields = { id = "nr", person = "who", start = "day", recorded = "day" }
constants = { programme = "insured" }
"""


@pytest.fixture
def mapped(tmp_path):
    (tmp_path / "source.toml").write_text(MAPPED)
    p.write_lines(tmp_path / "numbers.csv", "ours,number", *(f"SECRET{n},P{n}" for n in range(30)))
    p.write_lines(tmp_path / "notes.txt", "x")
    rows = [f"m{n},member,SECRET{n},,2024-01-01,0" for n in range(30)]
    rows += [f"a{n},charge,SECRET{n},A,2024-02-01,100" for n in range(30)]
    rows += [f"b{n},charge,SECRET{n},B,2024-02-01,100" for n in range(12)]
    rows += [f"z{n},charge,SECRET{n},Z9,2024-02-01,100" for n in range(11)]  # unknown, of many persons
    rows += [f"y{n},charge,SECRET{n},19800101,2024-02-01,100" for n in range(11)]  # a birth date of many persons
    rows += [f"s{n},charge,SECRET1,SECRET1,2024-02-01,100" for n in range(50)]  # a person's number, on many lines
    rows += ["q1,charge,SECRET99,A,2024-02-01,100", "q2,payment,SECRET1,A,2024-02-01,100"]
    p.write_lines(tmp_path / "claims.csv", "nr,type,who,care,day,cents", *rows)
    return tmp_path


def test_common_codes_are_named_and_nothing_of_a_person(mapped):
    document, _ = check(mapped, "--json")
    (file,) = document["files"]
    assert (file["read"], file["accepted"], file["events"]) == (146, 72, {"enrolment": 30, "claim": 42})
    assert {reason: found["lines"] for reason, found in file["rejected"].items()} == {
        "unknown-code": 72, "unknown-reference": 1, "not-mapped": 1,
    }
    assert file["unknown_codes"] == {"care_type": {"lines": 72, "codes": {"Z9": 11}, "not_shown": 61}}
    assert document["unused_codes"] == {}
    assert document["idle_measures"] == ["gp_visits", "gp_any"]
    assert document["unread_files"] == ["notes.txt"]
    assert "SECRET" not in json.dumps(document)


def test_what_no_measure_counts_is_said(mapped, capsys):
    agreement = mapped / "agreement.toml"
    agreement.write_text(re.sub(r'(name = "cost"\n(?:.*\n)*?kind = "claim"\n)', r'\1care_type = "admission"\n', (
        EXAMPLE / "agreement.toml").read_text()))
    assert check_source(mapped, agreement, "insurer", as_json=False) == 0
    said = capsys.readouterr().out
    assert "30 × enrolment, 42 × claim; 30 persons" in said
    assert "  1 × not-mapped: source.toml has no entry about it" in said
    assert "    72 of care_type: Z9 (11), 61 not shown (codes of fewer than 10 persons" in said
    assert "counted by no measure of the agreement: 12 × claim.care_type: dental (12)" in said
    assert "No accepted line counts for gp_visits, gp_any: 0 for everyone." in said
    assert "Nothing is read from agreement.toml, notes.txt." in said
    assert "SECRET" not in said
    assert "19800101" not in said


def test_a_column_of_many_values_is_no_code_list():
    tally = CodeTally()
    for person in range(20):
        for code in range(MOST_CODES + 1):
            tally.add(f"c{code}", str(person))
    assert tally.shown == {}
    assert tally.hidden_lines == tally.lines == 20 * (MOST_CODES + 1)
