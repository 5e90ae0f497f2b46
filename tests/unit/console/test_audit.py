"""What an audit prints of refusals, interruptions and answers; and words for everything that can be wrong."""

import asyncio
import csv
import io
import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from console.audit.access import FIELDS, rows, written
from console.audit.checks import check_files
from console.audit.commands import audit
from console.audit.discrepancies import BROKEN, SAID
from console.audit.finding import Finding
from console.audit.run import Options, _files, _lines
from console.audit.selection import Selection
from console.audit.sources import Record, read_records
from console.audit.telling import entries_in_words, findings_in_words
from console.audit.words import FINDINGS, INTERRUPTIONS, TEXTS
from console.commands import app
from console.errors import ConsoleError
from console.evaluate import how_to_audit
from console.locale import LANGS
from console.workdir import WorkDir
from evaluation.evidence import hash_of, line_of
from evaluation.journal import FAULTS, FILE, Head
from mpc.errors import IntegrityError, PeerLost, PeerTimeout, ProtocolError
from tests.support.evidence import entries_of, some_of_each
from tests.support.runs import CHAIN

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def asking():
    return asyncio.run(some_of_each())


@pytest.fixture
def records(asking):
    found = []
    for node in asking.nodes.nodes:
        entries = entries_of(node.folder, asking.terms, node.number)
        found.append(Record(
            "file", node.number, entries, [hash_of(line_of(e)) for e in entries], Head(entries=len(entries)), False,
        ))
    return found


def said(entries, terms, lang="en"):
    return "\n".join(words for _, words in entries_in_words(entries, terms, lang))


def test_refusals_interruptions_and_answers_are_told(asking, records):
    words = said(records[0].entries, asking.terms)
    for line in (
        "Refused: window-sealed", "Next: ask for an earlier window", "Cut off: ", "in phase aggregate; nothing of it was opened",
        "answered from what had ended", "Asked by: analyst-1", "Asked by: analyst-0, request",
    ):
        assert line in words, words
    for kind in INTERRUPTIONS:
        assert kind in {e.__name__ for e in (PeerLost, PeerTimeout, IntegrityError, ProtocolError)} | {"CancelledError", "Dropped"}
    assert "Geweigerd: window-sealed" in said(records[0].entries, asking.terms, "nl")


def test_files_of_honest_nodes_agree(asking, records):
    assert check_files(records, asking.terms) == []
    assert check_files(records[1:], asking.terms) == []


def test_no_patient_and_no_value_is_in_the_access_log(asking, records):
    found = list(rows([e for r in records for e in r.entries], asking.terms))
    assert {row["event"] for row in found} == {"linkage", "run", "delivery", "refusal", "interruption", "answer"}
    assert all(tuple(row) == FIELDS for row in found)
    assert written(found, "csv").splitlines()[0] == ",".join(FIELDS)
    assert written([], "csv").splitlines() == [",".join(FIELDS)]
    (refused,) = [row for row in found if row["event"] == "refusal" and row["system"] == "node-0"]
    assert (refused["outcome"], refused["reason"], refused["user"]) == ("refused", "window-sealed", "analyst-0")


def test_a_request_that_joined_a_run_has_a_row_of_its_requester(asking, records):
    (run, *_) = [e for e in records[0].runs if e.requests]
    (first, *_) = run.requests
    joined = first.model_copy(update={"request": "ab" * 32, "requester": "analyst-1", "outcome": "joined"})
    found = list(rows([run.model_copy(update={"requests": (first, joined)})], asking.terms))
    (answer,) = [row for row in found if row["event"] == "answer"]
    assert (answer["user"], answer["responsible"], answer["user_role"]) == ("analyst-1", "analyst-1", "requester")
    assert (answer["request"], answer["periods"]) == ("ab" * 32, found[0]["periods"])


@pytest.mark.parametrize("served", [True, False])
def test_an_evaluation_says_how_to_audit_it(tmp_path, asking, served):
    *_, command = how_to_audit(WorkDir(tmp_path / "a folder", asking.terms), served=served).splitlines()
    winnow, *words = shlex.split(command)
    function, bound, _ = app.parse_args(words)
    assert (winnow, function) == ("winnow", audit)
    assert bound.arguments["config"] == tmp_path / "a folder" / "node-0" / "config.toml"
    assert (bound.arguments["verify"], "offline" in bound.arguments) == (True, not served)


def test_a_run_is_found_by_the_first_digits_of_its_id(asking, records):
    run = records[0].runs[1].common.run
    found = Selection(run=run[:8]).of(records)
    assert len(found) == 3
    assert {e.common.run for e in found} == {run}


def handed_over(asking, *files, number=None, state=None):
    return read_records(SimpleNamespace(number=number, state=state, chain=CHAIN), asking.terms, files)


@pytest.mark.parametrize("content", [b"", b'{"agreement":'])
def test_a_file_that_was_emptied_does_not_pass(tmp_path, asking, content):
    (tmp_path / "emptied.jsonl").write_bytes(content)
    with pytest.raises(ConsoleError, match="found no entry, expected those of a node"):
        handed_over(asking, tmp_path / "emptied.jsonl")


def test_the_own_file_is_the_own_nodes(tmp_path, asking):
    """Also an emptied one, whose first line cannot say so any more."""
    first, second, _ = asking.nodes.nodes
    (tmp_path / "ledger.json").write_bytes((first.folder / "ledger.json").read_bytes())
    (tmp_path / FILE).write_bytes(b"")
    (emptied,) = handed_over(asking, number=0, state=tmp_path)
    assert (emptied.node, [f.rule for f in emptied.findings]) == (0, ["evidence-missing"])
    (tmp_path / FILE).write_bytes((second.folder / FILE).read_bytes())
    (swapped,) = handed_over(asking, number=0, state=tmp_path)
    assert {f.rule for f in swapped.findings} == {"evidence-chain", "evidence-missing"}


def test_a_file_that_was_deleted_is_told_as_one_that_was_emptied(tmp_path, asking):
    (first, *_) = asking.nodes.nodes
    ledger = json.loads((first.folder / "ledger.json").read_bytes())
    (tmp_path / "ledger.json").write_text(json.dumps(ledger))
    (deleted,) = handed_over(asking, number=0, state=tmp_path)
    assert (deleted.node, [f.rule for f in deleted.findings]) == (0, ["evidence-missing"])
    (tmp_path / "ledger.json").write_text(json.dumps({**ledger, "evidence": ""}))
    with pytest.raises(ConsoleError, match="no such file. A node writes it when"):
        handed_over(asking, number=0, state=tmp_path)
    with pytest.raises(ConsoleError, match="no such file"):
        handed_over(asking, tmp_path / "elsewhere.jsonl")


def test_a_directory_is_no_missing_file(tmp_path, asking):
    with pytest.raises(ConsoleError, match="found a directory, expected a node's file of evidence"):
        handed_over(asking, tmp_path)
    (tmp_path / "ledger.json").write_bytes((asking.nodes.nodes[0].folder / "ledger.json").read_bytes())
    (tmp_path / FILE).mkdir()
    with pytest.raises(ConsoleError, match="found a directory"):
        handed_over(asking, number=0, state=tmp_path)


def test_a_damaged_ledger_is_named_and_not_shown(tmp_path, asking):
    (tmp_path / "ledger.json").write_text('{"agreement": "swordfish", "runs": 1}')
    (tmp_path / FILE).write_bytes(b"")
    with pytest.raises(ConsoleError, match=r"ledger\.json cannot be read: it is damaged\. Audit the file alone") as error:
        handed_over(asking, number=0, state=tmp_path)
    assert "swordfish" not in str(error.value)


def test_two_damaged_files_are_told_of_both(tmp_path, asking):
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for file in files:
        file.write_bytes(b"\0\xff\n")
    damaged = handed_over(asking, *files, asking.nodes.nodes[0].folder / FILE)
    assert [(r.node, [f.rule for f in r.findings]) for r in damaged] == [
        (0, []), (None, ["evidence-chain"]), (None, ["evidence-chain"]),
    ]
    found = _files(damaged, asking.terms, Options(verify=True, offline=True))
    assert {f.rule for f in found.findings} == {"evidence-chain"}
    assert "node -" not in found.checked[0]
    (finding, _) = found.findings
    found, expected = finding.in_words("en")
    assert "line 1: what is no entry (" in found
    assert expected == "an entry of a node's evidence"
    found, expected = finding.in_words("nl")
    assert "op regel 1: iets dat geen aantekening is (" in found
    assert expected == "een aantekening van het bewijs van een knooppunt"


def test_what_does_not_hold_is_told_in_dutch_throughout(tmp_path, asking, records):
    lines = (asking.nodes.nodes[1].folder / FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / "t.jsonl").write_bytes(b"".join([lines[0], lines[1].replace(b'"sequence":', b'"sequence":7')]))
    (damaged,) = handed_over(asking, tmp_path / "t.jsonl")
    (_, (_, words)) = findings_in_words(damaged.findings, "nl")
    assert words == (
        f"gevonden in {tmp_path}/t.jsonl, op regel 2: een aantekening die is gewijzigd; verwacht een die knooppunt 1 heeft "
        "ondertekend, in canonieke JSON"
    )
    runs = records[1].runs
    short = Record("file", 1, runs[:1], [], Head(), False)
    (finding,) = check_files([records[0], short], asking.terms)
    (_, (_, words)) = findings_in_words([finding], "nl")
    assert words == (
        "gevonden als run 2: knooppunt 0 heeft een run; knooppunt 1 heeft zo’n run niet; verwacht hetzelfde bij alle knooppunten"
    )
    assert finding.as_document()["found"] == "as run 2: node 0 has a run; node 1 has no such run"


def test_a_run_is_shown_also_beside_a_damaged_file(tmp_path, asking, records):
    run = records[0].runs[0].common.run
    (tmp_path / "b.jsonl").write_bytes(b"-\n")
    read = handed_over(asking, asking.nodes.nodes[0].folder / FILE, tmp_path / "b.jsonl")
    assert [e.common.run for e in _files(read, asking.terms, Options(selection=Selection(run=run))).entries] == [run]
    assert _files(read, asking.terms, Options(selection=Selection(run="0" * 64))).entries == []


@pytest.mark.parametrize("stderr", [False, True])
def test_another_nodes_words_command_no_terminal(capsys, stderr):
    _lines([(0, "found \x1b[2J\nVerified: \u202eall\x9b")], stderr=stderr)
    out, err = capsys.readouterr()
    (line,) = (err if stderr else out).splitlines()
    assert line == "found �[2J�Verified: �all�"


def test_the_log_names_nobody_who_may_not_ask_and_gives_a_spreadsheet_no_formula(asking, records):
    (refused, *_) = [e for e in records[0].entries if e.kind == "refused"]
    stranger = refused.model_copy(update={"requester": None})
    draft = asking.terms.draft
    title = draft.title.model_copy(update={"en": "=HYPERLINK(1)"})
    terms = asking.terms.model_copy(update={"draft": draft.model_copy(update={"title": title})})
    found = list(rows([stranger], terms))
    (row,) = csv.DictReader(io.StringIO(written(found, "csv")))
    assert (row["user"], row["user_role"], row["responsible"]) == ("unknown", "nobody who may ask", "unknown")
    assert (row["agreement"], row["emergency"]) == ("'=HYPERLINK(1)", "false")
    assert json.loads(written(found, "json"))["agreement"] == "=HYPERLINK(1)"


def test_everything_that_can_be_wrong_has_words_in_both_languages(asking):
    named = set()
    for path in (ROOT / "console" / "audit").glob("*.py"):
        named |= set(re.findall(r'(?:wrong\(|Finding\()\s*"([a-z-]+)"', path.read_text()))
    assert named == set(FINDINGS)
    for text in (*FINDINGS.values(), *TEXTS.values(), *INTERRUPTIONS.values(), *SAID.values()):
        assert text.en != text.nl or text.en in {"KPIs", "Run {run}"}
        for entry_or_line in ("regels", "de regel ", "Geen regel"):
            assert entry_or_line not in text.nl or "rule" in text.en
        assert re.findall(r"\{\w+\}", text.en) == re.findall(r"\{\w+\}", text.nl)
    assert list(BROKEN) == list(FAULTS)
    for kind, words in BROKEN.items():
        for nl, en in zip(words, FAULTS[kind], strict=True):
            assert re.findall(r"\{\w+\}", en) == re.findall(r"\{\w+\}", nl)
    used = set()
    for path in (ROOT / "console" / "audit").glob("*.py"):
        used |= set(re.findall(r'said\("(\w+)"', path.read_text()))
    assert used | {"before", "after"} == set(SAID)
    for lang in LANGS:
        lines = list(findings_in_words([Finding(rule, 1, "ab" * 32, "x", "y") for rule in FINDINGS], lang))
        assert len(lines) == 2 * len(FINDINGS)
