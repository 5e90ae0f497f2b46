"""`winnow init-source`: proposals that `source check` takes once they are filled in, and nothing of anybody in them."""

import csv
import json
import random
import re
import shutil
import tomllib
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.init_source import init_source
from console.source import check_source
from streams.errors import SourceError
from streams.sources import sample as sampling
from streams.sources.mapping import load_mapping
from streams.sources.sample import read_sample
from tests.support import parties as p
from tests.support.synthea import make_sample
from tests.unit.console.test_cohort import EXAMPLE

VEKTIS = EXAMPLE.parent / "vektis" / "insurer"
AGREEMENT = EXAMPLE / "agreement.toml"


def proposed(capsys, *files, kind=None, party=None, expect=0):
    code = init_source(files, kind, AGREEMENT if party else None, party, None, as_json=False)
    said = capsys.readouterr()
    assert code == expect, said.err
    return said.out if expect == 0 else said.err


def checked(capsys, folder, party="insurer"):
    code = check_source(folder, AGREEMENT, party, as_json=True)
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def test_a_proposal_that_is_filled_in_reads_what_the_built_in_layout_reads(tmp_path, capsys):
    shutil.copytree(EXAMPLE / "insurer", tmp_path / "a")
    _, built_in, _ = checked(capsys, tmp_path / "a")
    text = proposed(capsys, *sorted((tmp_path / "a").iterdir()), party="insurer")
    (tmp_path / "a" / "source.toml").write_text(text)
    code, _, said = checked(capsys, tmp_path / "a")
    assert code == 2
    assert "file 2 (members.csv): constants.programme: still '?'; fill it in" in said
    text = text.replace('programme = "?"', 'programme = "insured"')
    (tmp_path / "a" / "source.toml").write_text(text)
    assert "end_inclusive: expected together with fields.end" in checked(capsys, tmp_path / "a")[2]
    (tmp_path / "a" / "source.toml").write_text(text.replace("# end_inclusive = ?", "end_inclusive = false"))
    code, mapped, _ = checked(capsys, tmp_path / "a")
    assert code == 0

    def counts(document):
        return {f["file"]: (f["read"], f["accepted"], f["persons"], f["first"], f["last"]) for f in document["files"]}

    assert counts(mapped) == counts(built_in)


@pytest.mark.parametrize(("party", "filled"), [
    ("hospital", ('identifier_system = "?"', 'identifier_system = "urn:winnow:person"')),
    ("statistics", ('field = "?"', 'field = "income_quintile"')),
])
def test_so_do_resources_and_social_factors(tmp_path, capsys, party, filled):
    shutil.copytree(EXAMPLE / party, tmp_path / "a")
    _, built_in, _ = checked(capsys, tmp_path / "a", party)
    text = proposed(capsys, *sorted((tmp_path / "a").iterdir()), party=party)
    assert filled[0] in text
    (tmp_path / "a" / "source.toml").write_text(text)
    assert "still '?'; fill it in" in checked(capsys, tmp_path / "a", party)[2]
    (tmp_path / "a" / "source.toml").write_text(text.replace(*filled))
    code, mapped, said = checked(capsys, tmp_path / "a", party)
    assert (code, said) == (0, "")

    def told(document):
        files = {f["file"]: {key: f[key] for key in ("read", "accepted", "events", "persons", "first", "last")} for f in document["files"]}
        return files, document["idle_measures"], document["unread_files"]

    assert told(mapped) == told(built_in)


def test_the_shipped_claims_are_understood(capsys):
    (entry,) = tomllib.loads(proposed(capsys, VEKTIS / "declaraties.csv", party="insurer"))["file"]
    (known, *_) = tomllib.loads((VEKTIS / "source.toml").read_text())["file"]
    assert entry["fields"] == known["fields"]
    for key in ("format", "delimiter", "kind", "date_format"):
        assert entry[key] == known[key]


def bsn(rng):
    while True:
        digits = [rng.randrange(1, 9), *(rng.randrange(10) for _ in range(7))]
        last = sum(w * d for w, d in zip(range(9, 1, -1), digits, strict=True)) % 11
        if last < 10:
            return "".join(map(str, [*digits, last]))


def dutch(rows=600):
    """Rows of a Dutch insurer, with names, numbers and addresses of people."""
    rng = random.Random(7)
    people = [(bsn(rng), f"Naam{rng.randrange(10**6)} van Dijk", f"{rng.randrange(1, 28):02d}-03-19{rng.randrange(30, 99)}")
              for _ in range(40)]
    table = []
    for number in range(rows):
        who = people[number % len(people)]
        day = f"{rng.randrange(1, 28):02d}-{rng.randrange(1, 12):02d}-2024"
        table.append({
            "Referentienummer": f"R{number:07d}", "Burgerservicenummer": who[0], "Naam verzekerde": who[1],
            "Geboortedatum": who[2], "Zorgsoort": ["11", "15", "20", "99"][number % 4 if number % 40 else 3],
            "Datum prestatie": day, "Berekend bedrag": f"{rng.randrange(1000)},{rng.randrange(100):02d}",
            "Indicatie debet/credit": "Debet" if number % 10 else "Credit",
            "Vorig referentienummer": "" if number % 10 else f"R{number - 1:07d}", "Datum verwerking": day,
            "Opmerking": f"belt {who[1]} terug",
        })
    return people, table


def write(folder, table, name):
    path = folder / name
    match path.suffix:
        case ".csv":
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, table[0], delimiter=";")
                writer.writeheader()
                writer.writerows(table)
        case ".ndjson":
            p.write_lines(path, *(json.dumps(row) for row in table))
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(table), path)
    return path


@pytest.mark.parametrize("extension", ["csv", "ndjson", "parquet"])
def test_a_dutch_file_is_understood_and_nobody_is_named(tmp_path, capsys, extension):
    people, table = dutch()
    text = proposed(capsys, write(tmp_path, table, f"declaraties.{extension}"), party="insurer")
    (entry,) = tomllib.loads(text)["file"]
    assert entry["kind"] == "claim"
    assert entry.get("delimiter") == (";" if extension == "csv" else None)
    assert (entry["date_format"], entry["decimal_comma"]) == ("DD-MM-YYYY", True)
    assert entry["fields"] == {
        "id": "Referentienummer", "person": "Burgerservicenummer", "care_type": "Zorgsoort", "occurred": "Datum prestatie",
        "recorded": "Datum verwerking", "amount": "Berekend bedrag", "side": "Indicatie debet/credit",
        "previous": "Vorig referentienummer",
    }
    assert entry["codes"]["side"] == {"Debet": "D"}  # ten persons or more have it; four have a credit line
    assert entry["codes"]["care_type"] == {"15": "?", "20": "?", "99": "?"}  # nine persons have 11
    assert "60 rows have codes that are not shown" in text
    for number, name, born in people:
        assert number not in text
        assert name not in text
        assert born not in text
    assert "R0000" not in text
    assert "terug" not in text


def test_a_code_column_with_numbers_of_persons_shows_none(tmp_path, capsys):
    people, table = dutch()
    for row in table:
        row["Zorgsoort"] = row["Burgerservicenummer"]
        row["Burgerservicenummer"] = row["Referentienummer"]  # the wrong column bears the name
    text = proposed(capsys, write(tmp_path, table, "d.csv"))
    assert tomllib.loads(text)["file"][0]["codes"]["care_type"] == {"?": "?"}
    assert all(number not in text for number, _, _ in people)
    (tmp_path / "source.toml").write_text(text)
    assert "codes.care_type: still '?' for a code; fill in ours" in checked(capsys, tmp_path)[2]


def test_dates_that_may_be_two_things_stay_open(tmp_path, capsys):
    path = p.write_lines(tmp_path / "m.csv", "id,bsn,start,end,recorded", "1,P1,01/02/2024,03/04/2024,05/06/2024")
    text = proposed(capsys, path)
    assert 'date_format = "?"  # DD/MM/YYYY or MM/DD/YYYY' in text
    filled = text.replace("# end_inclusive = ?", "end_inclusive = true").replace('programme = "?"', 'programme = "insured"')
    (tmp_path / "source.toml").write_text(filled)
    assert "date_format: found '?', expected one of YYYY-MM-DD" in checked(capsys, tmp_path)[2]


@pytest.mark.parametrize(("shift", "inclusive"), [(1, True), (0, False)])
def test_what_an_end_means_shows_where_periods_meet(tmp_path, capsys, shift, inclusive):
    path = p.write_lines(tmp_path / "m.csv", "id,bsn,start,end,recorded", *(
        f"{who}-{n},P{who},2024-0{n}-01,{date(2024, n + 1, 1) - timedelta(days=shift)},2024-06-01"
        for who in range(3) for n in (1, 2, 3)
    ))
    assert tomllib.loads(proposed(capsys, path))["file"][0]["end_inclusive"] is inclusive


def test_two_columns_that_may_be_the_person_stay_open(tmp_path, capsys):
    path = p.write_lines(tmp_path / "m.csv", "id,bsn,patient,start,end,recorded", "1,P1,P2,2024-01-01,2024-02-01,2024-02-01")
    assert 'person = "?"  # more than one bears such a name; perhaps bsn, patient' in proposed(capsys, path)


def test_the_very_name_of_a_person_wins_from_a_name_that_begins_so(tmp_path, capsys):
    path = p.write_lines(tmp_path / "m.csv", "id,PATIENTINSURANCEID,PATIENTID,start,end,recorded", "1,P1,P2,2024-01-01,2024-02-01,2024-02-01")
    assert 'person = "PATIENTID"  # by its name; or PATIENTINSURANCEID' in proposed(capsys, path)


def test_whole_numbers_may_be_euros_or_cents(tmp_path, capsys):
    path = p.write_lines(tmp_path / "c.csv", "id,bsn,datum,bedrag,recorded", "1,P1,2024-01-01,100,2024-02-01")
    assert 'amount = "?"  # whole numbers in bedrag: `amount` if euros, `cents` if cents' in proposed(capsys, path)


def test_resources_are_left_to_the_built_in_readers(tmp_path, capsys):
    fhir, _ = make_sample(tmp_path, 1)
    text = proposed(capsys, fhir / "Encounter.ndjson", fhir / "Patient.ndjson")
    assert "the first identifier has http://hl7.org/fhir/sid/us-ssn" in text
    assert "999-94-5397" not in text
    assert tomllib.loads(text) == {
        "fhir": {"identifier_system": "?", "own_times": True},
        "file": [{"path": f"{name}.ndjson", "format": "fhir", "resource": name} for name in ("Encounter", "Patient")],
    }
    (fhir / "source.toml").write_text(text)
    with pytest.raises(SourceError, match=r"source.toml: fhir: identifier_system: still '\?'; fill it in"):
        load_mapping(fhir)
    (fhir / "source.toml").write_text(text.replace('"?"', '"https://github.com/synthetichealth/synthea"'))
    assert [entry.resource for entry in load_mapping(fhir).resources] == ["Encounter", "Patient"]
    assert "A file of Patient is needed too" in proposed(capsys, fhir / "Encounter.ndjson")
    assert tomllib.loads(proposed(capsys, fhir / "Encounter.ndjson", kind="encounter"))["file"][0]["fields"]["class"] == "class.code"


@pytest.mark.parametrize(("columns", "kind"), [
    ("id,patient,class,date,recorded", "encounter"), ("id,patient,instrument,score,date,recorded", "prom"),
    ("id,patient,module,status,date,recorded", "monitoring"), ("id,patient,income_quintile,valid_from,recorded", "social"),
    ("id,patient,start,end,recorded", "enrolment"), ("id,patient,amount,class,date,recorded", "?"), ("a,b,c", "?"),
])
def test_the_kind_shows_in_the_names_or_stays_open(tmp_path, capsys, columns, kind):
    values = {"class": "AMB", "score": "5.5", "status": "due", "amount": "1.50", "date": "2024-01-01", "start": "2024-01-01",
              "end": "2024-01-01", "recorded": "2024-01-01", "valid_from": "2024-01-01"}
    path = p.write_lines(tmp_path / "x.csv", columns, ",".join(values.get(c, "1") for c in columns.split(",")))
    assert tomllib.loads(proposed(capsys, path))["file"][0]["kind"] == kind
    assert tomllib.loads(proposed(capsys, path, kind="withdrawal"))["file"][0]["kind"] == "withdrawal"


SECRET = b"900000001,Jansen,1980-01-01\n"


@pytest.mark.parametrize(("content", "words"), [
    (b"", "is empty"), (b"\n\n", "is empty"), (b"a,b\n", "no line of data"), (b"just text\nand more\n", "no number of fields"),
    (b"\x00\x01\x02", "not UTF-8 text"), ("a,b\n1,2\n".encode("utf-16"), "not UTF-8 text"), (b"a,b\n\xff,1\n", "not UTF-8 text"),
    (SECRET * 3, "no list of column names"), (b"Jansen,M\nPiet,M\n", "seems to be data"), (b"PAR1" + SECRET, "begins as Parquet"),
    (b"[1, 2]\n", "no line is an object"), (b"{broken\n", "no line is an object"), (b"x" * (2 << 20), "a line of more than"),
    (b'{"a":' * 5000 + b"\n", "no line is an object"),
])
def test_what_is_no_table_is_said_without_showing_it(tmp_path, capsys, content, words):
    path = tmp_path / "f.csv"
    path.write_bytes(content)
    said = proposed(capsys, path, expect=2)
    assert words in said
    assert "Jansen" not in said
    assert "900000001" not in said


def test_missing_files_folders_and_wrong_options_are_exit_2(tmp_path, capsys):
    assert "No such file" in proposed(capsys, tmp_path / "none.csv", expect=2)
    assert "is a folder" in proposed(capsys, tmp_path, expect=2)
    path = p.write_lines(tmp_path / "m.csv", "id,bsn", "1,P1")
    assert "expected one of enrolment" in proposed(capsys, path, kind="visit", expect=2)
    assert init_source([path], None, AGREEMENT, None, None, as_json=False) == 2
    assert "belong together" in capsys.readouterr().err
    assert "the agreement has hospital" in proposed(capsys, path, party="nobody", expect=2)


def test_columns_that_stand_there_twice_and_broken_lines_are_named(tmp_path, capsys):
    path = p.write_lines(tmp_path / "m.csv", "id,bsn,x,x", *(f"{n},P{n},a,b" for n in range(30)), "30,P2,c", '31,"P3,a,b')
    text = proposed(capsys, path, kind="withdrawal")
    assert "# Columns that stand there twice and cannot be read: x" in text
    assert "# 2 lines have another number of fields" in text


def test_a_huge_file_is_read_only_at_its_beginning(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sampling, "MAX_ROWS", 50)
    path = p.write_lines(tmp_path / "m.csv", "id,bsn,start,end,recorded", *(
        f"{n},P{n},2024-01-01,2024-02-01,2024-02-01" for n in range(100)
    ), b"\xff\xfe")
    assert "the first 50 rows looked at" in proposed(capsys, path)


def test_keys_that_are_persons_are_not_shown(tmp_path, capsys):
    path = p.write_lines(tmp_path / "m.ndjson", *(
        json.dumps({"id": n, "bsn": f"P{n}", "by": {f"P{n:08d}": 1, f"Jansen{chr(97 + n)}": 1}}) for n in range(12)
    ))
    text = proposed(capsys, path, kind="withdrawal")
    assert "Jansen" not in text
    assert not re.search("P[0-9]", text)


def test_output_goes_to_a_new_file_only(tmp_path, capsys):
    path = p.write_lines(tmp_path / "m.csv", "id,bsn", "1,P1")
    out = tmp_path / "source.toml"
    assert init_source([path], "withdrawal", None, None, out, as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["toml"] == out.read_text()
    assert document["files"][0]["open"] == ["fields.occurred", "fields.recorded", "date_format"]
    assert init_source([path], "withdrawal", None, None, out, as_json=False) == 2
    assert "is there already" in capsys.readouterr().err
    assert document["toml"] == out.read_text()


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(
    st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")),
    st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.none() | st.lists(st.text(max_size=5))), min_size=1).map(
        lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    st.lists(st.lists(st.text(alphabet="ab1;,\"\n -'é", max_size=6), min_size=2, max_size=4), min_size=2).map(
        lambda rows: "\n".join(";".join(row) for row in rows).encode()),
))
def test_any_bytes_are_proposed_or_refused(tmp_path, capsys, content):
    path = tmp_path / "any"
    path.write_bytes(content)
    try:
        read_sample(path)
    except SourceError:
        return
    for kind in (None, "claim", "enrolment"):
        tomllib.loads(proposed(capsys, path, kind=kind))
