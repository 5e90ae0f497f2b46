"""What `winnow` finds before anything starts, and how it writes."""

import contextlib
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from console.agreement.on_chain import agreement
from console.commands import alert, app, source
from console.errors import ConsoleError
from console.evaluate import Options, check_not_over, evaluate_files, new_folder, party_folders, scratch_folder
from console.options import Whole
from evaluation.errors import Refused
from policy.agreement import Draft
from tests.support.terms import draft_data

EXAMPLE = Path(__file__).parents[3] / "examples" / "own-files"
PARTIES = ("hospital", "insurer", "statistics")
DRAFT = Draft.model_validate(draft_data())


def attempt(folder, capsys, options=None):
    """`winnow evaluate` on the files under `folder`; (exit code, stderr). It must end before anything starts."""
    parties = [f"{name}={folder / name}" for name in PARTIES]
    code = evaluate_files(folder / "agreement.toml", parties, options or Options())
    return code, capsys.readouterr().err


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(EXAMPLE, tmp_path / "own files é")


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda d: (d / "insurer" / "claims.csv").unlink(), "claims.csv: No such file"),
    (lambda d: (d / "insurer" / "claims.csv").write_text(""), "claims.csv: the header is missing"),
    (lambda d: (d / "statistics" / "persons.csv").write_text("person;income\n"), "header is 'person;income'"),
    (lambda d: (d / "hospital" / "Task.ndjson").unlink() or os.mkfifo(d / "hospital" / "Task.ndjson"), "Task.ndjson"),
    (lambda d: shutil.rmtree(d / "hospital"), "is not a folder"),
    (lambda d: (d / "agreement.toml").write_text("a = " + "[" * 100_000), "is not TOML"),
    (lambda d: (d / "agreement.toml").write_text("a = 1"), "; and 1"),
    (lambda d: (d / "agreement.toml").unlink(), "cannot read agreement"),
])
def test_what_cannot_work_is_said_before_anything_starts(copy, capsys, spoil, message):
    spoil(copy)
    code, said = attempt(copy, capsys)
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith("winnow: ")
    assert message in said


def test_an_agreement_that_is_over_is_refused(copy, capsys):
    path = copy / "agreement.toml"
    path.write_text(path.read_text("utf-8").replace("valid_until = 2035-01-01", "valid_until = 2024-12-31"), "utf-8")
    code, said = attempt(copy, capsys)
    assert code == 3
    assert "within-validity: the agreement ended on 2024-12-31" in said
    check_not_over(DRAFT, DRAFT.valid_until)
    with pytest.raises(Refused, match="today is 2030-01-02"):
        check_not_over(DRAFT, date(2030, 1, 2))


def test_a_folder_of_somebody_else_is_left_alone(copy, capsys):
    before = sorted(copy.rglob("*"))
    code, said = attempt(copy, capsys, Options(work=copy))
    assert (code, said) == (2, f"winnow: --work {copy} is not empty. Name a new folder, or empty this one.\n")
    for place in (copy / "agreement.toml", Path("/proc/none")):
        with pytest.raises(ConsoleError, match="--out .*: cannot write there"):
            new_folder("--out", place)
    assert sorted(copy.rglob("*")) == before
    new_folder("--out", copy / "new" / "deep")
    assert not any((copy / "new" / "deep").iterdir())


@pytest.mark.parametrize(("arguments", "message"), [
    (["hospital"], "expected NAME=DIR"), (["hospital="], "expected NAME=DIR"), (["bank=/"], "parties are hospital"),
    (["hospital=/", "hospital=/"], "given twice"), (["hospital=/none"], "is not a folder"),
    (["hospital=/"], "no folder for insurer, statistics"),
])
def test_party_arguments(arguments, message):
    with pytest.raises(ConsoleError, match=message):
        party_folders(DRAFT, arguments)


def test_a_scratch_folder_is_gone_afterwards():
    with contextlib.suppress(KeyboardInterrupt), scratch_folder("winnow-test-") as folder:
        (folder / "key").write_text("secret")
        raise KeyboardInterrupt
    assert not folder.exists()


@pytest.mark.parametrize(("redirect", "code", "said"), [
    (">&-", 0, ""), ("2>&-", 0, ""), ("| true", 0, ""), ("| head -1", 0, ""), ("| PYTHONIOENCODING=ascii cat", 0, ""),
    (">/dev/full", 2, "winnow: cannot write to standard output: No space left on device.\n"),
])
def test_standard_output_may_be_anything(redirect, code, said):
    command = f"set -o pipefail; {sys.executable} -m console.cli schema {redirect}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (code, said)


@pytest.mark.parametrize("arguments", [
    ["agreement", "lattice", "a.toml", "--patients", "4.350"], ["agreement", "lattice", "a.toml", "--patients", "4.5"],
    ["agreement", "history", "a.toml", "--first", "1.9"], ["demo", "--weeks", "7_8.0"], ["demo", "--kafka", "1.4"],
    ["agreement", "deploy", "http://a", "--key", "k", "--confirmations", "1.2"], ["demo", "--seed", "x"],
])
def test_a_number_that_is_not_whole_is_not_rounded(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        app(arguments)
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert ended.value.code == 2
    assert f"Invalid value for {arguments[-2]}: found {arguments[-1]}, expected a whole number" in said


def test_every_whole_number_among_the_options_is_read_so():
    functions = [c.default_command for group in (app, agreement, source, alert) for c in group.subapps if c.default_command]
    kinds = [
        kind for function in functions if function.__module__.startswith("console.")
        for name, kind in function.__annotations__.items() if name != "return"
    ]
    plain = [(kind.__origin__, kind) if hasattr(kind, "__metadata__") else (kind, kind) for kind in kinds]
    numbers = [kind for bare, kind in plain if bare is int or any(type(choice) is int for choice in get_args(bare))]
    assert len(numbers) == 8
    for kind in numbers:
        assert Whole.__metadata__[0].converter in {getattr(each, "converter", None) for each in getattr(kind, "__metadata__", ())}
