"""One organisation's process by the command line: what it says, to whom, and how it ends."""

import io
import json
import subprocess
import sys

import pytest

from console.live import run_role
from evaluation.errors import ConfigError, Refused
from evaluation.status import StatusLine

ROLES = (("party",), ("node",), ("console",), ("alert", "run"))


def winnow(*arguments):
    ended = subprocess.run(
        [sys.executable, "-m", "console.cli", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("role", ROLES)
def test_a_wrong_configuration_is_a_sentence(tmp_path, role):
    config = tmp_path / "config.toml"
    code, out, err = winnow(*role, "--config", str(config))
    assert (code, out) == (2, "")
    assert err == f"winnow: configuration {config}: [Errno 2] No such file or directory: '{config}'\n"
    config.write_text("moon = 1\n")
    code, out, err = winnow(*role, "--config", str(config))
    assert (code, out) == (2, "")
    assert "moon: Extra inputs are not permitted" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("error", "code"), [
    (ConfigError("wrong"), 2), (Refused("no"), 3), (FileNotFoundError(2, "No such file", "/keys/link"), 2),
])
def test_whatever_stops_a_process_before_it_runs_has_its_code(capsys, tmp_path, error, code):
    def main(_config):
        raise error

    assert run_role(main, tmp_path) == code
    said = capsys.readouterr().err
    assert said.startswith("winnow: ")
    assert str(error) in said or error.filename in said


def test_people_get_words_and_programs_get_json(monkeypatch, capsys):
    StatusLine("node-0").say("windows", 3, 75, "late", reason="x")
    assert json.loads(capsys.readouterr().out) == {
        "process": "node-0", "phase": "windows", "done": 3, "total": 75, "detail": "late", "facts": {"reason": "x"},
    }
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", terminal)
    status = StatusLine("node-0")
    status.say("windows", 3, 75, "a\x1b[31m")
    status.say("alive")
    status.say("failed", reason="no broker", code=5)
    lines = [line.split("  ", 1)[1] for line in terminal.getvalue().splitlines()]
    assert lines == ["node-0  windows  3 of 75  a [31m", "node-0  failed  no broker"]
