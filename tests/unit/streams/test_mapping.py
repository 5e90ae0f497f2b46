"""source.toml: one meaning in three formats, and words for everything that is wrong with it."""

import json
import re
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.agreement import Draft, load_draft
from streams.errors import ConfigurationError, SourceError
from streams.pseudonym import Pseudonyms
from streams.rejects import Reason
from streams.sources.agreed import check_sources, open_sources, source_faults
from streams.sources.fhir_files import FORMS
from streams.sources.lines import MAX_LINE_BYTES, read_events
from streams.sources.mapping import FhirFile, load_mapping
from streams.survey import survey
from tests.support import parties as p
from tests.support.terms import draft_data

PSEUDONYMS = Pseudonyms(p.LINK_SECRET, p.PSEUDONYM_KEY)
DRAFT = Draft.model_validate(draft_data())
DOCUMENT = Path(__file__).parents[3] / "docs" / "sources.md"
EXAMPLES = Path(__file__).parents[3] / "examples"
CLAIMS_TOML = """
[[file]]
path = "{path}"
format = "{format}"
kind = "claim"
id_space = "claims"
fields = {{ id = "nr", person = "who", care_type = "kind", occurred = "day", recorded = "booked", amount = "euro", side = "dc", previous = "old", product = "code" }}
codes = {{ care_type = {{ "11" = "gp", "20" = "admission" }}, side = {{ debit = "D", credit = "C" }} }}
"""
ROWS = [
    {"nr": "3", "who": "P00000002", "kind": "20", "day": date(2024, 2, 1), "booked": datetime(2024, 3, 3, 9, tzinfo=UTC),
     "euro": Decimal("1234.50"), "dc": "debit", "old": None, "code": "A.1"},
    {"nr": "1", "who": "P00000001", "kind": "11", "day": date(2024, 1, 5), "booked": datetime(2024, 2, 1, 9, tzinfo=UTC),
     "euro": Decimal("0.29"), "dc": "debit", "old": None, "code": None},
    {"nr": "2", "who": "P00000001", "kind": "11", "day": date(2024, 1, 5), "booked": datetime(2024, 3, 1, 9, tzinfo=UTC),
     "euro": Decimal("0.29"), "dc": "credit", "old": "1", "code": None},
    {"nr": "4", "who": "P00000001", "kind": "99", "day": date(2024, 1, 5), "booked": datetime(2024, 3, 4, 9, tzinfo=UTC),
     "euro": Decimal("1.00"), "dc": "debit", "old": None, "code": None},
]


def shown(value):
    return "" if value is None else value.isoformat() if isinstance(value, date) else str(value)


def write_rows(path, rows):
    match path.suffix:
        case ".csv":
            p.write_lines(path, ",".join(rows[0]), *(",".join(shown(v) for v in row.values()) for row in rows))
        case ".ndjson":
            p.write_lines(path, *(
                json.dumps({k: float(v) if isinstance(v, Decimal) else v and shown(v) for k, v in row.items()}) for row in rows
            ))
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)


def insurer(folder, toml, members=()):
    (folder / "source.toml").write_text(toml + p.MEMBERS_TOML, encoding="utf-8")
    p.write_lines(folder / "members.csv", p.MEMBERS, *members)
    files = open_sources(DRAFT, "insurer", folder, PSEUDONYMS)
    return list(read_events(files))


def claims(folder, rows, extension="csv", change=("", "")):
    write_rows(folder / f"c.{extension}", rows)
    toml = CLAIMS_TOML.format(path=f"c.{extension}", format=extension).replace(*change) if change[0] else (
        CLAIMS_TOML.format(path=f"c.{extension}", format=extension)
    )
    return insurer(folder, toml)


def one(folder, extension="csv", change=("", ""), **cells):
    ((_, _, event, _),) = claims(folder, [{**ROWS[1], **cells}], extension, change)
    return event


def refused(folder, toml):
    with pytest.raises(SourceError) as found:
        insurer(folder, toml)
    message = str(found.value)
    assert str(folder / "source.toml") in message
    assert "docs/sources.md" in message
    return message


@pytest.mark.parametrize("extension", ["csv", "ndjson", "parquet"])
def test_the_same_data_means_the_same_in_every_format(tmp_path, extension):
    found = claims(tmp_path, ROWS, extension)
    assert [position.line for _, position, _, _ in found] == [n + (extension == "csv") for n in (2, 3, 1, 4)]
    debit, credit, other, unknown = (event for _, _, event, _ in found)
    assert unknown is Reason.UNKNOWN_CODE
    assert debit.patient == PSEUDONYMS.patient("P00000001")
    assert debit.event_id == credit.corrects == PSEUDONYMS.event_id("claims", "1")
    assert (debit.payload.care_type, debit.payload.cents, debit.payload.credit) == ("gp", 29, False)
    assert (credit.payload.cents, credit.payload.credit) == (29, True)
    assert (other.payload.care_type, other.payload.product, other.payload.cents) == ("admission", "A.1", 123450)
    assert debit.occurred_at.isoformat() == "2024-01-05T00:00:00+01:00"
    assert debit.recorded_at == datetime(2024, 2, 1, 9, tzinfo=UTC)
    assert {e.source for e in (debit, credit, other)} == {"claims"}


def test_a_refused_parquet_row_is_kept_as_json(tmp_path):
    _, position, event, line = claims(tmp_path, ROWS, "parquet")[-1]
    assert event is Reason.UNKNOWN_CODE
    assert json.loads(line)["who"] == "P00000001"
    assert position == ("c.parquet", 4, 0, len(line))


def test_no_identifier_of_a_parquet_file_reaches_the_disk_in_clear(tmp_path):
    write_rows(tmp_path / "c.parquet", ROWS)
    (tmp_path / "source.toml").write_text(CLAIMS_TOML.format(path="c.parquet", format="parquet") + p.MEMBERS_TOML)
    p.write_lines(tmp_path / "members.csv", p.MEMBERS)
    file = open_sources(DRAFT, "insurer", tmp_path, PSEUDONYMS)[1]
    file._spool.seek(0)
    spooled = file._spool.read()
    assert len(spooled) == sum(file.lengths)
    assert b"P0000" not in spooled
    with file.opened() as line:
        backwards = [json.loads(line(row))["nr"] for row in (3, 2, 1, 0)]
    assert backwards == ["4", "2", "1", "3"]


@pytest.mark.parametrize(("text", "cents"), [
    ("0.29", 29), ("1.1", 110), ("4.350", 435), ("1005", 100500), ("9999999.99", 999999999), ("0.07", 7), ("-0.00", 0),
    ("0.291", Reason.WRONG_TYPE), ("1e2", Reason.WRONG_TYPE), ("NaN", Reason.WRONG_TYPE), ("", Reason.MISSING_FIELD),
    ("-1.00", Reason.NEGATIVE_AMOUNT), ("99999999.00", Reason.AMOUNT_TOO_LARGE), ("9" * 4000, Reason.WRONG_TYPE),
    ("0." + "0" * 4000, Reason.WRONG_TYPE), ("1.", Reason.WRONG_TYPE), ("１", Reason.WRONG_TYPE),
])
def test_decimal_amounts_are_exact_or_refused(tmp_path, text, cents):
    event = one(tmp_path, euro=text)
    assert (event if isinstance(cents, Reason) else event.payload.cents) == cents


def test_every_cent_of_a_hundred_survives_every_format(tmp_path):
    rows = [{**ROWS[1], "nr": str(n), "euro": Decimal(n) / 100} for n in range(100)]
    for extension in ("csv", "ndjson", "parquet"):
        assert [event.payload.cents for _, _, event, _ in claims(tmp_path, rows, extension)] == list(range(100))


def test_a_decimal_comma(tmp_path):
    change = ('kind = "claim"', 'kind = "claim"\ndecimal_comma = true')
    assert one(tmp_path, "ndjson", change, euro="12,5").payload.cents == 1250
    assert one(tmp_path, "ndjson", change, euro="1.200,50") is Reason.WRONG_TYPE
    assert one(tmp_path, "ndjson", change, euro="1.20") is Reason.WRONG_TYPE


def test_a_negative_amount_may_be_a_credit_line(tmp_path):
    def change(toml):
        return re.sub(r", side = \{.*?\}", "", toml.replace('side = "dc", ', "").replace(
            'kind = "claim"', 'kind = "claim"\nnegative_is_credit = true'))

    write_rows(tmp_path / "c.csv", [ROWS[1], {**ROWS[2], "euro": Decimal("-0.29")}])
    debit, credit = (e for _, _, e, _ in insurer(tmp_path, change(CLAIMS_TOML.format(path="c.csv", format="csv"))))
    assert (debit.payload.cents, debit.payload.credit, debit.corrects) == (29, False, None)
    assert (credit.payload.cents, credit.payload.credit, credit.corrects) == (29, True, debit.event_id)


@pytest.mark.parametrize(("cells", "reason"), [
    ({"nr": None}, Reason.MISSING_FIELD), ({"nr": "n" * 129}, Reason.WRONG_TYPE),
    ({"who": None}, Reason.MISSING_FIELD), ({"who": "P 1"}, Reason.WRONG_TYPE), ({"who": "-1"}, Reason.WRONG_TYPE),
    ({"kind": None}, Reason.MISSING_FIELD), ({"dc": "D"}, Reason.UNKNOWN_CODE), ({"dc": None}, Reason.MISSING_FIELD),
    ({"dc": "credit"}, Reason.MISSING_FIELD), ({"code": "a b"}, Reason.WRONG_TYPE),
    ({"day": "2024-02-30"}, Reason.WRONG_TYPE), ({"day": None}, Reason.MISSING_FIELD),
    ({"day": "05-01-2024"}, Reason.WRONG_TYPE), ({"booked": "soon"}, Reason.WRONG_TYPE),
    ({"day": "0001-01-01"}, Reason.WRONG_TYPE), ({"day": "9999-12-31T23:00-23:59"}, Reason.WRONG_TYPE),
])
@pytest.mark.parametrize("extension", ["csv", "ndjson", "parquet"])
def test_bad_rows_have_the_same_reason_in_every_format(tmp_path, extension, cells, reason):
    rows = [{k: shown(v) or None for k, v in {**ROWS[1], **cells}.items()}]
    rows.append({k: shown(v) or "x" for k, v in ROWS[1].items()})  # gives every Parquet column a type
    ours = [event for _, position, event, _ in claims(tmp_path, rows, extension) if position.line == 1 + (extension == "csv")]
    assert ours == [reason]


def test_deep_nesting_is_refused_whatever_the_recursion_limit(tmp_path):
    p.write_lines(tmp_path / "c.ndjson", b"[" * 100_000, b'{"a":' * 100_000, b'{"nr": "' + b"[{" * 500 + b'"}')
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)  # as libraries do: the decoder alone would end the process
    try:
        reasons = [event for *_, event, _ in insurer(tmp_path, CLAIMS_TOML.format(path="c.ndjson", format="ndjson"))]
    finally:
        sys.setrecursionlimit(limit)
    assert reasons == [Reason.BROKEN_JSON, Reason.BROKEN_JSON, Reason.MISSING_FIELD]


@pytest.mark.parametrize(("line", "reason"), [
    (b"[]", Reason.WRONG_TYPE), (b"{", Reason.BROKEN_JSON), (b"[" * 100_000, Reason.BROKEN_JSON),
    (b'{"nr": NaN}', Reason.BROKEN_JSON), (b'{"nr": {}}', Reason.WRONG_TYPE), (b'{"nr": "\\ud800"}', Reason.NOT_TEXT),
    (b'{"nr": "\\u0000"}', Reason.NOT_TEXT), (b'{"nr": "\xff"}', Reason.NOT_TEXT), (b"{\0}", Reason.NOT_TEXT),
    (b" " * (MAX_LINE_BYTES + 1), Reason.TOO_LARGE), (b"{}", Reason.MISSING_FIELD),
])
def test_lines_that_are_no_rows(tmp_path, line, reason):
    p.write_lines(tmp_path / "c.ndjson", line)
    ((_, _, event, _),) = insurer(tmp_path, CLAIMS_TOML.format(path="c.ndjson", format="ndjson"))
    assert event is reason


def test_parquet_values_that_are_no_text_are_refused_alone(tmp_path):
    columns = pa.Table.from_pylist([ROWS[1]] * 4)
    columns = columns.set_column(columns.schema.get_field_index("nr"), "nr", pa.array([b"6", b"\xff\xfe", b"x" * MAX_LINE_BYTES, b"7"]))
    columns = columns.set_column(columns.schema.get_field_index("day"), "day", pa.array([2**62, 1704412800 * 10**6, 0, 0], pa.timestamp("us")))
    pq.write_table(columns, tmp_path / "c.parquet")
    found = insurer(tmp_path, CLAIMS_TOML.format(path="c.parquet", format="parquet"))
    assert {position.line: event if isinstance(event, Reason) else event.payload.cents for _, position, event, _ in found} == {
        1: Reason.WRONG_TYPE, 2: Reason.NOT_TEXT, 3: Reason.TOO_LARGE, 4: 29,
    }


@pytest.mark.parametrize(("inclusive", "end", "stop"), [
    ("false", "2024-03-30", "2024-03-30T00:00:00+01:00"),
    ("true", "2024-03-30", "2024-03-31T00:00:00+01:00"),
    ("true", "2024-03-31", "2024-04-01T00:00:00+02:00"),
    ("true", "2024-03-30 00:00:00", "2024-03-31T00:00:00+01:00"),
    ("true", "2024-03-30T12:30", "2024-03-30T12:30:00+01:00"),
    ("true", "2024-03-30T00:00:00Z", "2024-03-30T00:00:00+00:00"),
])
def test_an_end_is_the_last_day_or_the_first_after_it(tmp_path, inclusive, end, stop):
    toml = p.MEMBERS_TOML.replace("end_inclusive = false", f"end_inclusive = {inclusive}")
    (tmp_path / "source.toml").write_text(toml + CLAIMS_TOML.format(path="c.csv", format="csv"))
    write_rows(tmp_path / "c.csv", ROWS[:1])
    p.write_lines(tmp_path / "members.csv", p.MEMBERS, f"1,P00000001,2024-01-01,{end},2024-01-01")
    event = next(read_events(open_sources(DRAFT, "insurer", tmp_path, PSEUDONYMS)))[2]
    assert event.payload.programme == "insured"
    assert event.payload.stop.isoformat() == stop


@pytest.mark.parametrize(("form", "zone", "text", "moment"), [
    ("YYYYMMDD", "Europe/Amsterdam", "20240705", "2024-07-05T00:00:00+02:00"),
    ("DD-MM-YYYY", "UTC", "05-07-2024 08:15", "2024-07-05T08:15:00+00:00"),
    ("DD/MM/YYYY", "Europe/Lisbon", "05/07/2024", "2024-07-05T00:00:00+01:00"),
    ("MM/DD/YYYY", "America/New_York", "07/05/2024 08:15:30.5", "2024-07-05T08:15:30.500000-04:00"),
])
def test_dates_as_sources_write_them(tmp_path, form, zone, text, moment):
    change = ('kind = "claim"', f'kind = "claim"\ndate_format = "{form}"\nzone = "{zone}"')
    assert one(tmp_path, "csv", change, day=text, booked=text).occurred_at.isoformat() == moment


def test_dotted_paths_lists_and_unknown_social_values(tmp_path):
    (tmp_path / "source.toml").write_text("""
[[file]]
path = "people.ndjson"
format = "ndjson"
kind = "social"
fields = { id = "id", person = "who.0.value", value = "income.group", occurred = "from", recorded = "from" }
constants = { field = "income" }
codes = { value = { "1" = "low", "9" = "" } }
""")
    p.write_lines(tmp_path / "people.ndjson", *(
        json.dumps({"id": n, "who": [{"value": "0b5b-4f"}], "income": income, "from": "2024-01-01"})
        for n, income in enumerate([{"group": 1}, {"group": "9"}, {"group": None}, None, {"group": 5}, "low"])
    ))
    found = [e for _, _, e, _ in read_events(open_sources(DRAFT, "statistics", tmp_path, PSEUDONYMS))]
    assert [e.payload.value for e in found[:4]] == ["low", None, None, None]
    assert found[4:] == [Reason.UNKNOWN_CODE, Reason.WRONG_TYPE]
    assert found[0].payload.field == "income"
    assert found[0].patient == PSEUDONYMS.patient("0b5b-4f")


GOOD = CLAIMS_TOML.format(path="c.csv", format="csv")


@pytest.mark.parametrize(("change", "words"), [
    (("nr", "nr"), None),
    (('format = "csv"', 'format = "xlsx"'), ["file 1 (c.csv): format: found 'xlsx', expected one of csv, ndjson, parquet, fhir"]),
    (('kind = "claim"', 'kind = "none"'),
     ["file 1 (c.csv): fields, codes: kind 'none' takes no fields, constants or crosswalk"]),
    (('kind = "claim"', 'kind = "none"\ncrosswalk = { path = "n.csv", from = "a", to = "b" }\nend_inclusive = true'),
     ["fields, codes, crosswalk, end_inclusive: kind 'none'", "remove them"]),
    (('path = "c.csv"', 'path = "../c.csv"'), ["path", "'../c.csv'"]),
    (('path = "c.csv"', 'path = "source.toml"'), ["path", "'source.toml'"]),
    (('path = "c.csv"', 'path = "members.csv"'), ["members.csv", "twice"]),
    (('path = "c.csv"', ""), ["no path", "missing"]),
    (('kind = "claim"', 'kind = "visit"'), ["kind", "'visit'", "'enrolment'"]),
    (('kind = "claim"', 'kind = "claim"\nseparator = ";"'), ["separator", "unknown key", "delimiter"]),
    (('kind = "claim"', 'kind = "claim"\nzone = "Mars/Base"'), ["zone", "'Mars/Base'", "Europe/Amsterdam"]),
    (('kind = "claim"', 'kind = "claim"\ndate_format = "%d"'), ["date_format", "'%d'", "YYYYMMDD"]),
    (('kind = "claim"', 'kind = "claim"\ndelimiter = "::"'), ["delimiter", "'::'"]),
    (('kind = "claim"', 'kind = "claim"\nend_inclusive = true'), ["end_inclusive"]),
    (('kind = "claim"', 'kind = "claim"\nnegative_is_credit = true'), ["negative_is_credit", "side"]),
    (('amount = "euro"', 'bedrag = "euro"'), ["fields.bedrag", "amount"]),
    (('amount = "euro"', 'amount = "euro", cents = "euro"'), ["fields.cents", "one of them"]),
    (('id = "nr", ', ""), ["fields.id", "missing"]),
    (('previous = "old", ', ""), ["fields.previous", "cancels"]),
    (('"11" = "gp"', '"11" = "G P"'), ["codes.care_type", "'G P'"]),
    (('debit = "D"', 'debit = "Debit"'), ["codes.side", "one of D, C"]),
    (('product = "code"', "product = 1"), ["fields.product", "string"]),
    (('id_space = "claims"', 'id_space = "claims"\nconstants = { person = "P1" }'), ["constants.person"]),
    (("[[file]]", "[[files]]"), ["files", "unknown key"]),
    (("[[file]]", "[[file"), ["not TOML"]), (("[[file]]", f"[[file]]\nx = 0x{'f' * 5_000}"), ["not TOML", "4,300 digits"]),
    (("\n[[file]]", "\ufeff\n[[file]]"), None),
])
def test_what_is_wrong_with_a_mapping_is_said(tmp_path, change, words):
    write_rows(tmp_path / "c.csv", ROWS)
    if words is None:
        assert len(insurer(tmp_path, GOOD.replace(*change))) == len(ROWS)
        return
    message = refused(tmp_path, GOOD.replace(*change, 1))
    for word in words:
        assert word in message


MIXED = """
[[file]]
path = "all.{extension}"
format = "{extension}"
kind = "claim"
where = {{ type = ["charge", "extra"], void = "" }}
fields = {{ id = "nr", person = "who", occurred = "day", recorded = "day", cents = "cents" }}
constants = {{ care_type = "gp" }}

[[file]]
path = "all.{extension}"
format = "{extension}"
kind = "enrolment"
where = {{ type = "member" }}
date_format = "YYYYMMDD"
fields = {{ id = "nr", person = "who", start = "since", recorded = "since" }}
constants = {{ programme = "insured" }}
"""
MIXED_ROWS = [
    {"nr": "1", "type": "charge", "void": "", "who": "P1", "day": "2024-02-01", "since": "", "cents": "5"},
    {"nr": "2", "type": "member", "void": "", "who": "P1", "day": "", "since": "20240201", "cents": ""},
    {"nr": "3", "type": "payment", "void": "", "who": "P1", "day": "2024-02-01", "since": "", "cents": "5"},
    {"nr": "4", "type": "extra", "void": "", "who": "P1", "day": "2024-02-02", "since": "", "cents": "7"},
    {"nr": "5", "type": "charge", "void": "x", "who": "P1", "day": "2024-02-02", "since": "", "cents": "7"},
]


@pytest.mark.parametrize("extension", ["csv", "ndjson", "parquet"])
def test_entries_share_a_file_line_by_line_and_the_rest_is_not_mapped(tmp_path, extension):
    (tmp_path / "source.toml").write_text(MIXED.format(extension=extension))
    write_rows(tmp_path / f"all.{extension}", MIXED_ROWS)
    (file,) = open_sources(DRAFT, "insurer", tmp_path, PSEUDONYMS)
    found = [(position.line - (extension == "csv"), e) for _, position, e, _ in read_events([file])]
    assert len(file) == len(found) == len(MIXED_ROWS)
    kinds = {line: e if isinstance(e, Reason) else e.kind for line, e in found}
    assert kinds == {1: "claim", 2: "enrolment", 3: Reason.NOT_MAPPED, 4: "claim", 5: Reason.NOT_MAPPED}
    # Recorded at one time, yet the enrolment comes before the claim that stands before it.
    assert [line for line, e in found if not isinstance(e, Reason)] == [2, 1, 4]


def test_a_row_is_the_first_entry_s_that_takes_it(tmp_path):
    last = MIXED.format(extension="csv") + """
[[file]]
path = "all.csv"
format = "csv"
kind = "claim"
fields = { id = "nr", person = "who", occurred = "day", recorded = "day", cents = "cents" }
constants = { care_type = "other" }
"""
    (tmp_path / "source.toml").write_text(last)
    write_rows(tmp_path / "all.csv", MIXED_ROWS)
    found = [e for *_, e, _ in read_events(open_sources(DRAFT, "insurer", tmp_path, PSEUDONYMS))]
    assert sorted((e.payload.care_type, e.payload.cents) for e in found if e.kind == "claim") == [
        ("gp", 5), ("gp", 7), ("other", 5), ("other", 7),
    ]


def test_lines_of_no_kind_are_read_and_counted(tmp_path):
    last = MIXED.format(extension="csv") + """
[[file]]
path = "all.csv"
format = "csv"
kind = "none"

[[file]]
path = "texts.ndjson"
format = "ndjson"
kind = "none"

[[file]]
path = "more.parquet"
format = "parquet"
kind = "none"
"""
    (tmp_path / "source.toml").write_text(last)
    write_rows(tmp_path / "all.csv", MIXED_ROWS)
    p.write_lines(tmp_path / "texts.ndjson", "{}", "{")
    write_rows(tmp_path / "more.parquet", MIXED_ROWS)
    found = [e for *_, e, _ in read_events(open_sources(DRAFT, "insurer", tmp_path, PSEUDONYMS))]
    assert sorted(e for e in found if isinstance(e, Reason)) == [Reason.BROKEN_JSON, *[Reason.NOT_MAPPED] * 8]
    assert len(found) == 2 * len(MIXED_ROWS) + 2


@pytest.mark.parametrize(("change", "words"), [
    (('where = {{ type = ["charge", "extra"], void = "" }}\n', ""), ["where", "all.csv", "the first takes every line"]),
    (('type = "member"', "type = []"), ["file 2 (all.csv)", "where.type", "at least 1"]),
    (('type = "member"', "type = 1"), ["file 2 (all.csv)", "where.type", "string"]),
    (('kind = "claim"', 'kind = "claim"\ndelimiter = ";"'), ["delimiter", "all.csv", "two of them"]),
])
def test_entries_of_one_file_must_fit_together(tmp_path, change, words):
    (tmp_path / "source.toml").write_text(MIXED.replace(*change, 1).format(extension="csv"))
    with pytest.raises(SourceError) as found:
        check_sources(DRAFT, "insurer", tmp_path)
    for word in words:
        assert word in str(found.value)


def test_a_column_of_where_must_be_there(tmp_path):
    (tmp_path / "source.toml").write_text(MIXED.format(extension="csv"))
    write_rows(tmp_path / "all.csv", [{k: v for k, v in row.items() if k != "void"} for row in MIXED_ROWS])
    with pytest.raises(SourceError, match=r"column 'void' \(where.void\) is not there"):
        check_sources(DRAFT, "insurer", tmp_path)


CARE_DRAFT = Draft.model_validate(draft_data(parties=[
    {"name": "hospital", "sources": [{"name": "ehr", "kinds": ["encounter", "monitoring", "prom", "withdrawal", "enrolment"]}]},
    *draft_data()["parties"][1:],
]))
CARE = """
[[file]]
path = "care.{0}"
format = "{0}"
kind = "encounter"
where = {{ what = "visit" }}
id_space = "care"
fields = {{ id = "nr", person = "who", occurred = "at", recorded = "booked", class = "code", previous = "old", state = "state" }}
codes = {{ class = {{ AMB = "outpatient", IMP = "admission" }}, state = {{ ok = "valid", error = "cancelled" }} }}

[[file]]
path = "care.{0}"
format = "{0}"
kind = "monitoring"
where = {{ what = "module" }}
fields = {{ id = "nr", person = "who", occurred = "at", recorded = "booked", module = "code", status = "state" }}

[[file]]
path = "care.{0}"
format = "{0}"
kind = "prom"
where = {{ what = "list" }}
decimal_comma = true
fields = {{ id = "nr", person = "who", occurred = "at", recorded = "booked", instrument = "code", score = "score" }}

[[file]]
path = "care.{0}"
format = "{0}"
kind = "withdrawal"
where = {{ what = "stop" }}
fields = {{ id = "nr", person = "who", occurred = "at", recorded = "booked" }}

[[file]]
path = "care.{0}"
format = "{0}"
kind = "enrolment"
fields = {{ id = "nr", person = "who", start = "at", recorded = "booked", programme = "code" }}
"""
CARE_ROWS = [
    ("visit", "AMB", "ok", "", ""), ("visit", "IMP", "error", "", "1"), ("visit", "AMB", "", "", ""),
    ("visit", "EMER", "ok", "", ""), ("visit", "AMB", "new", "", ""), ("module", "week-3", "completed", "", ""),
    ("module", "week-3", "missed", "", ""), ("list", "sibdq", "", "-5,25", ""), ("list", "sibdq", "", "5,255", ""),
    ("list", "sibdq", "", "20000", ""), ("list", "sibdq", "", "", ""), ("stop", "", "", "", ""), ("plan", "ibd-care", "", "", ""),
    ("list", "A B", "", "5", ""),
]


@pytest.mark.parametrize("extension", ["csv", "ndjson", "parquet"])
def test_every_kind_from_every_format(tmp_path, extension):
    (tmp_path / "source.toml").write_text(CARE.format(extension))
    write_rows(tmp_path / f"care.{extension}", [
        {"nr": str(n), "who": "P1", "at": "2024-01-05", "booked": f"2024-02-{n:02d}", "what": what, "code": code,
         "state": state, "score": f'"{score}"' if extension == "csv" else score, "old": old}
        for n, (what, code, state, score, old) in enumerate(CARE_ROWS, 1)
    ])
    found = [e for *_, e, _ in read_events(open_sources(CARE_DRAFT, "hospital", tmp_path, PSEUDONYMS))]
    assert [e if isinstance(e, Reason) else (e.kind, *e.payload.model_dump(exclude_none=True).values()) for e in found] == [
        ("encounter", "outpatient", False), ("encounter", "admission", True), ("encounter", "outpatient", False),
        Reason.UNKNOWN_CODE, Reason.UNKNOWN_CODE, ("monitoring", "week-3", "completed", False), Reason.UNKNOWN_CODE,
        ("prom", "sibdq", -525, False), Reason.WRONG_TYPE, Reason.AMOUNT_TOO_LARGE, Reason.MISSING_FIELD,
        ("withdrawal",), ("enrolment", "ibd-care"), Reason.UNKNOWN_CODE,
    ]
    assert found[1].corrects == found[0].event_id == PSEUDONYMS.event_id("care", "1")
    assert found[2].corrects is None
    assert {e.occurred_at.isoformat() for e in found if not isinstance(e, Reason)} == {"2024-01-05T00:00:00+01:00"}


@pytest.mark.parametrize(("change", "words"), [
    (('"outpatient"', '"clinic"'), ["codes.class", "'clinic'", "outpatient, admission"]),
    (('error = "cancelled"', 'error = "gone"'), ["codes.state", "'gone'", "valid, cancelled"]),
    ((', score = "score"', ""), ["file 3 (care.csv)", "fields.score", "missing"]),
    (('kind = "withdrawal"', 'kind = "withdrawal"\ndecimal_comma = true'), ["decimal_comma", "fields.score"]),
])
def test_codes_and_fields_of_kinds_are_checked(tmp_path, change, words):
    text = CARE.format("csv")
    assert change[0] in text
    (tmp_path / "source.toml").write_text(text.replace(*change))
    with pytest.raises(SourceError) as found:
        check_sources(CARE_DRAFT, "hospital", tmp_path)
    for word in words:
        assert word in str(found.value)


FHIR = """
[fhir]
identifier_system = "urn:clinic"
own_times = true
crosswalk = { path = "crosswalk.csv", from = "ours", to = "number" }

[[file]]
path = "visits.ndjson"
format = "fhir"
resource = "Encounter"

[[file]]
path = "people.ndjson"
format = "fhir"
resource = "Patient"

[[file]]
path = "plans.csv"
format = "csv"
kind = "enrolment"
fields = { id = "nr", person = "who", programme = "plan", start = "since", recorded = "since" }
"""
FHIR_DRAFT = Draft.model_validate(draft_data(parties=[
    {"name": "hospital", "sources": [{"name": "ehr", "kinds": ["enrolment", "encounter"]}]}, *draft_data()["parties"][1:],
]))


def resources(folder, text=FHIR):
    (folder / "source.toml").write_text(text)
    p.write_lines(folder / "crosswalk.csv", "ours,number", "c1,P1")
    p.write_lines(folder / "plans.csv", "nr,who,plan,since", "1,P1,ibd-care,2024-01-05")
    p.write_lines(folder / "people.ndjson", *(json.dumps({
        "resourceType": "Patient", "id": key,
        "identifier": [{"system": "urn:other", "value": "x"}, {"system": "urn:clinic", "value": ours}],
    }) for key, ours in (("a", "c1"), ("b", "c2"))))
    p.write_lines(folder / "visits.ndjson", *(json.dumps({
        "resourceType": "Encounter", "id": f"e{n}", "status": "finished", "subject": {"reference": f"Patient/{who}"},
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code},
        "period": {"start": "2024-01-05T09:00:00+01:00", "end": "2024-01-05T10:00:00+01:00"},
    }) for n, (who, code) in enumerate([("a", "IMP"), ("b", "IMP"), ("a", "FLD")])))
    return list(read_events(open_sources(FHIR_DRAFT, "hospital", folder, PSEUDONYMS)))


def test_resources_are_read_beside_mapped_files(tmp_path):
    found = resources(tmp_path)
    told = [(file.form.file, e if isinstance(e, Reason) else e.kind) for file, _, e, _ in found]
    assert told == [
        ("people.ndjson", "enrolment"), ("people.ndjson", Reason.UNKNOWN_REFERENCE), ("plans.csv", "enrolment"),
        ("visits.ndjson", "encounter"), ("visits.ndjson", Reason.UNKNOWN_REFERENCE), ("visits.ndjson", Reason.UNKNOWN_CODE),
    ]
    visit = found[3][2]
    assert visit.patient == found[0][2].patient == found[2][2].patient == PSEUDONYMS.patient("P1")
    assert (visit.payload.type, visit.recorded_at.isoformat()) == ("admission", "2024-01-05T10:00:00+01:00")
    told = survey(FHIR_DRAFT, "hospital", tmp_path)
    assert {f.file: (f.read, f.accepted) for f in told.files} == {
        "people.ndjson": (2, 1), "plans.csv": (1, 1), "visits.ndjson": (3, 1),
    }
    assert told.unread == []


def test_every_resource_that_can_be_named_has_a_reader():
    assert set(get_args(FhirFile.model_fields["resource"].annotation)) == set(FORMS)


@pytest.mark.parametrize(("change", "words"), [
    (('resource = "Encounter"', 'resource = "Condition"'), ["file 1 (visits.ndjson)", "resource", "'Condition'", "'Encounter'"]),
    (('resource = "Encounter"', 'resource = "Encounter"\nkind = "encounter"'), ["file 1", "kind", "unknown key", "resource"]),
    (('resource = "Patient"', 'resource = "Task"'), ["no file of Patient"]),
    (('resource = "Encounter"', 'resource = "Patient"'), ["Patient is described twice"]),
    (('path = "visits.ndjson"', 'path = "people.ndjson"'), ["people.ndjson is described twice"]),
    (('path = "visits.ndjson"', 'path = "plans.csv"'), ["plans.csv is described twice", "as fhir"]),
    (('path = "visits.ndjson"', 'path = "crosswalk.csv"'), ["crosswalk.csv is a data file too"]),
    (("own_times = true", "own_time = true"), ["fhir.own_time", "unknown key", "own_times"]),
    (('from = "ours"', 'source = "ours"'), ["fhir.crosswalk.from", "missing"]),
    (('resource = "Encounter"', 'resource = "Observation"'), ["visits.ndjson has kind 'prom' or 'monitoring'"]),
])
def test_what_is_wrong_with_resources_is_said(tmp_path, change, words):
    assert change[0] in FHIR
    with pytest.raises((SourceError, ConfigurationError)) as found:
        resources(tmp_path, FHIR.replace(*change, 1))
    for word in words:
        assert word in str(found.value)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.one_of(
    st.binary(max_size=60),
    st.lists(st.text(alphabet='aP1,"\\{}:2024- é', max_size=8), min_size=6, max_size=8).map(lambda cells: ",".join(cells).encode()),
    st.dictionaries(
        st.sampled_from(["nr", "who", "at", "booked", "what", "code", "state", "score", "old"]),
        st.none() | st.text(max_size=6) | st.integers() | st.floats() | st.lists(st.text(max_size=2)) | st.sampled_from(
            ["visit", "module", "list", "stop", "2024-01-05", "P1", "AMB", "ok"]),
    ).map(lambda row: json.dumps(row).encode()),
), max_size=8))
@pytest.mark.parametrize("extension", ["csv", "ndjson"])
def test_any_lines_are_events_or_refused(tmp_path, extension, lines):
    (tmp_path / "source.toml").write_text(CARE.format(extension))
    header = [b"nr,who,at,booked,what,code,state,score,old"] if extension == "csv" else []
    p.write_lines(tmp_path / f"care.{extension}", *header, *lines)
    (file,) = open_sources(CARE_DRAFT, "hospital", tmp_path, PSEUDONYMS)
    found = [e for *_, e, _ in read_events([file])]
    written = [line for raw in lines for line in raw.split(b"\n") if line.strip()]
    assert len(found) == len(written)
    survey(CARE_DRAFT, "hospital", tmp_path)


CROSSED = """
[[file]]
path = "people.ndjson"
format = "ndjson"
kind = "social"
person_prefix = "Patient/"
crosswalk = { path = "crosswalk.csv", from = "ours", to = "number", delimiter = ";" }
fields = { id = "id", person = "subject.reference", value = "income", occurred = "from", recorded = "from" }
constants = { field = "income" }
"""


def crossed(folder, *lines):
    (folder / "source.toml").write_text(CROSSED)
    p.write_lines(folder / "crosswalk.csv", *lines)
    p.write_lines(folder / "people.ndjson", *(
        json.dumps({"id": n, "subject": {"reference": who}, "income": "1", "from": "2024-01-01"})
        for n, who in enumerate(["Patient/a.1", "Patient/b", "b", "Patient/", ""])
    ))
    return [e if isinstance(e, Reason) else e.patient for *_, e, _ in read_events(
        open_sources(DRAFT, "statistics", folder, PSEUDONYMS)
    )]


def test_persons_are_looked_up_in_a_crosswalk(tmp_path):
    found = crossed(tmp_path, "\ufeffname;ours;number", '"X; Y";a.1;P7', "", "Z;c;P8", "Z;c;P8")
    assert found == [
        PSEUDONYMS.patient("P7"), Reason.UNKNOWN_REFERENCE, Reason.WRONG_TYPE, Reason.UNKNOWN_REFERENCE,
        Reason.MISSING_FIELD,
    ]


@pytest.mark.parametrize(("lines", "words"), [
    (["ours,number", "a,P1"], ["crosswalk.csv", "'ours'", "crosswalk.from", "delimiter ';'"]),
    (["ours;number", "SECRET;P1", "SECRET"], ["crosswalk.csv:3", "number of fields"]),
    (["ours;number", "SECRET;P1", "SECRET;P2"], ["crosswalk.csv:3", "another number before"]),
    (["ours;number", "SECRET;P 1"], ["crosswalk.csv:2", "letters, digits and hyphens"]),
    (["ours;number", ";P1"], ["crosswalk.csv:2"]),
    ([b"ours;number", b"\xff;P1"], ["crosswalk.csv", "not UTF-8"]),
])
def test_a_crosswalk_that_cannot_be_is_a_fault_that_shows_nobody(tmp_path, lines, words):
    with pytest.raises(SourceError) as found:
        crossed(tmp_path, *lines)
    for word in words:
        assert word in str(found.value)
    assert "SECRET" not in str(found.value)


def test_a_crosswalk_that_is_not_there_and_one_that_is_a_data_file(tmp_path):
    crossed(tmp_path, "ours;number")
    (tmp_path / "crosswalk.csv").unlink()
    with pytest.raises(SourceError, match="crosswalk.csv is not there"):
        check_sources(DRAFT, "statistics", tmp_path)
    (tmp_path / "source.toml").write_text(CROSSED.replace("crosswalk.csv", "people.ndjson"))
    with pytest.raises(SourceError, match="people.ndjson is a data file too"):
        check_sources(DRAFT, "statistics", tmp_path)


def test_kinds_must_be_those_of_the_agreement(tmp_path):
    (tmp_path / "source.toml").write_text(p.MEMBERS_TOML)
    p.write_lines(tmp_path / "members.csv", p.MEMBERS)
    with pytest.raises(ConfigurationError, match="no file of kind 'claim'"):
        check_sources(DRAFT, "insurer", tmp_path)
    with pytest.raises(ConfigurationError, match="has kind 'enrolment'.*asks statistics for social"):
        check_sources(DRAFT, "statistics", tmp_path)


def test_of_lines_recorded_at_one_time_enrolments_come_first(tmp_path):
    write_rows(tmp_path / "c.csv", [{**ROWS[1], "booked": "2024-02-01"}])
    found = insurer(tmp_path, GOOD, ["1,P00000001,2024-01-01,,2024-02-01"])
    assert [event.kind for _, _, event, _ in found] == ["enrolment", "claim"]


def test_a_link_to_no_mapping_is_not_the_built_in_layout(tmp_path):
    (tmp_path / "source.toml").symlink_to(tmp_path / "elsewhere.toml")
    with pytest.raises(SourceError, match="leads nowhere"):
        open_sources(DRAFT, "insurer", tmp_path, PSEUDONYMS)


def test_every_file_with_a_fault_is_named(tmp_path):
    (tmp_path / "source.toml").write_text(CLAIMS_TOML.format(path="c.parquet", format="parquet") + p.MEMBERS_TOML)
    (tmp_path / "c.parquet").write_bytes(b"PAR1 not really")
    first, second = (str(fault) for fault in source_faults(DRAFT, "insurer", tmp_path))
    assert "members.csv" in first
    assert "c.parquet: not a readable Parquet file" in second
    p.write_lines(tmp_path / "members.csv", p.MEMBERS)
    pq.write_table(pa.table({"nr": [1]}), tmp_path / "c.parquet")
    assert "column 'who' (fields.person) is not there; the columns are nr" in str(
        next(source_faults(DRAFT, "insurer", tmp_path))
    )
    columns = {name: pa.array(["x"]) for name in ROWS[0]}
    pq.write_table(pa.table({**columns, "who": [["x"]]}), tmp_path / "c.parquet")
    assert "column 'who' (fields.person) holds list" in str(next(source_faults(DRAFT, "insurer", tmp_path)))


def test_a_header_without_a_column_is_shown_unless_it_is_a_record(tmp_path):
    (tmp_path / "source.toml").write_text(GOOD + p.MEMBERS_TOML)
    p.write_lines(tmp_path / "members.csv", p.MEMBERS)
    p.write_lines(tmp_path / "c.csv", "nr;who;day")
    with pytest.raises(SourceError, match="column 'nr'.*'nr;who;day', read with delimiter ','"):
        check_sources(DRAFT, "insurer", tmp_path)
    p.write_lines(tmp_path / "c.csv", "1,P00000001,gp")
    with pytest.raises(SourceError, match="the header is missing") as found:
        check_sources(DRAFT, "insurer", tmp_path)
    assert "P00000001" not in str(found.value)


def test_what_to_do_about_lines_of_a_kind_nobody_asked_for_can_be_done(tmp_path):
    write_rows(tmp_path / "c.csv", ROWS)
    other = """
[[file]]
path = "d.csv"
format = "csv"
kind = "withdrawal"
fields = { id = "a", person = "b", occurred = "c", recorded = "c" }
"""
    with pytest.raises(ConfigurationError, match=r"for claim, enrolment\. Leave it out.* kind 'none', which takes no fields"):
        insurer(tmp_path, GOOD + other)
    p.write_lines(tmp_path / "d.csv", "a,b,c")
    done = "\n".join(other.replace("withdrawal", "none").splitlines()[:-1])
    assert len(insurer(tmp_path, GOOD + done)) == len(ROWS)


@pytest.mark.parametrize("raw", ["nr;who;day\n1;P1;x\n".encode("utf-16"), "nr;who\n".encode("utf-16-le"), b"PK\x03\x04\0\n", b"\xe9\n"])
def test_a_header_that_is_not_utf_8_is_said_to_be_so(tmp_path, raw):
    p.write_lines(tmp_path / "members.csv", p.MEMBERS)
    (tmp_path / "claims.csv").write_bytes(raw)
    with pytest.raises(SourceError, match=r"the header is not UTF-8 text \(write the file as UTF-8\), expected"):
        check_sources(DRAFT, "insurer", tmp_path)
    (tmp_path / "source.toml").write_text(GOOD + p.MEMBERS_TOML)
    (tmp_path / "c.csv").write_bytes(raw)
    with pytest.raises(SourceError, match=r"column 'nr'.* the header is not UTF-8 text \(write the file as UTF-8\), read"):
        check_sources(DRAFT, "insurer", tmp_path)


def test_the_shipped_claims_read_what_they_say():
    folder = EXAMPLES / "vektis" / "insurer"
    draft = load_draft(EXAMPLES / "own-files" / "agreement.toml")
    found = {
        (position.file, position.line): e
        for _, position, e, _ in read_events(open_sources(draft, "insurer", folder, PSEUDONYMS))
    }
    lines = {line: e for (file, line), e in found.items() if file == "declaraties.csv"}
    assert [lines[line] for line in (2, 8, 11)] == [Reason.NOT_MAPPED, Reason.UNKNOWN_CODE, Reason.NOT_MAPPED]
    assert [(lines[n].payload.care_type, lines[n].payload.cents, lines[n].payload.credit) for n in (3, 4, 5, 6, 7, 9, 10)] == [
        ("gp", 1045, False), ("outpatient", 11200, False), ("outpatient", 11200, True), ("outpatient", 10200, False),
        ("admission", 310000, False), ("admission", 300000, True), ("gp", 1045, False),
    ]
    assert lines[5].corrects == lines[4].event_id
    assert lines[3].occurred_at.isoformat() == "2024-01-05T00:00:00+01:00"
    assert found["verzekerden.csv", 4].payload.stop.isoformat() == "2024-04-01T00:00:00+02:00"
    (file,) = (f for f in survey(draft, "insurer", folder).files if f.file == "declaraties.csv")
    assert (file.read, file.accepted) == (10, 5)
    assert set(file.rejected) == {Reason.NOT_MAPPED, Reason.UNKNOWN_CODE, Reason.CREDIT_MISMATCH, Reason.UNKNOWN_PERSON}


def test_the_documented_entries_are_valid(tmp_path):
    found = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    (entries,) = (text for text in found if "zorg.csv" in text)
    (tmp_path / "source.toml").write_text(entries, encoding="utf-8")
    p.write_lines(tmp_path / "numbers.csv", "patient,number", "17,P17")
    p.write_lines(
        tmp_path / "zorg.csv", "nr;patient;soort;datum;bedrag;geboekt", "1;17;consult;05-01-2024;12,50;06-01-2024",
        "2;17;opname;05-01-2024;;06-01-2024", "3;18;opname;05-01-2024;;06-01-2024", "4;17;notitie;05-01-2024;;06-01-2024",
    )
    draft = Draft.model_validate(draft_data(parties=[
        {"name": "hospital", "sources": [{"name": "ehr", "kinds": ["enrolment", "claim", "encounter"]}]},
        *draft_data()["parties"][1:],
    ]))
    mapping = load_mapping(tmp_path)
    assert mapping is not None
    (tmp_path / "source.toml").write_text(entries + p.MEMBERS_TOML, encoding="utf-8")
    p.write_lines(tmp_path / "members.csv", p.MEMBERS)
    found = [e for *_, e, _ in read_events(open_sources(draft, "hospital", tmp_path, PSEUDONYMS))]
    visit = next(e for e in found if not isinstance(e, Reason) and e.kind == "encounter")
    consult = next(e for e in found if not isinstance(e, Reason) and e.kind == "claim")
    assert (consult.payload.cents, consult.patient) == (1250, PSEUDONYMS.patient("P17"))
    assert visit.payload.type == "admission"
    assert sorted(e for e in found if isinstance(e, Reason)) == [Reason.NOT_MAPPED, Reason.UNKNOWN_REFERENCE]
