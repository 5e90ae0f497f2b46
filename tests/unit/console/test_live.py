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


@pytest.mark.parametrize(("error", "code"), [
    ("streams.errors.BrokerError('broker 127.0.0.1:1 is gone')", 5), ("evaluation.errors.ConfigError('mode 644')", 2),
    ("evaluation.errors.Tampered('another agreement')", 6), ("ExceptionGroup('', [mpc.errors.PeerLost('gone')])", 5),
    ("RuntimeError('a defect')", 1),
])
def test_a_process_logs_json_lines_and_a_traceback_of_a_defect_only(error, code):
    ended = subprocess.run([sys.executable, "-c", (
        "import asyncio, logging, sys, threading, warnings, evaluation.errors, mpc.errors, streams.errors\n"
        "from evaluation.process import run_process\n"
        "from evaluation.status import StatusLine\n"
        "def ended():\n"
        "    logging.getLogger('library').error('Unable connect to \"%s\"', 'a\\nb')\n"
        "    raise asyncio.CancelledError\n"
        "async def work():\n"
        "    warnings.warn('a loose end', ResourceWarning)\n"
        "    thread = threading.Thread(target=ended)\n"
        "    thread.start()\n"
        "    thread.join()\n"
        f"    raise {error}\n"
        "warnings.simplefilter('always')\n"
        "sys.exit(run_process('node-0', work(), StatusLine('node-0')))\n"
    )], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == code
    warning, library, thread, last = map(json.loads, ended.stderr.splitlines())
    assert {line["process"] for line in (library, warning, thread, last)} == {"node-0"}
    assert (thread["event"], thread["code"], "exception" in thread) == ("a thread ended by an error", 130, False)
    assert (library["event"], library["logger"], library["level"]) == ('Unable connect to "a\nb"', "library", "error")
    assert "a loose end" in warning["event"]
    assert (last["event"], last["code"]) == ("ended by an error", code)
    assert ("Traceback" in last.get("exception", "")) == (code == 1)
    assert last["reason"] == json.loads(ended.stdout.splitlines()[-1])["facts"]["reason"]
