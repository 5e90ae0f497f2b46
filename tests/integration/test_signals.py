"""Ctrl-C, SIGTERM and a lost terminal end `winnow` in order at every moment: exit 130, nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command import alive, children

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-files"
EVALUATE = ["evaluate", EXAMPLE / "agreement.toml",
            *(f"--party={name}={EXAMPLE / name}" for name in ("hospital", "insurer", "statistics"))]
DEMO = ["demo", "--patients", "100000", "--weeks", "104"]
LIMIT_SECONDS = 60
IMPATIENT_SECONDS = 0.3


def catches(pid, number):
    """Whether a process has a handler for a signal (proc(5), SigCgt)."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) >> (number - 1) & 1)


def heed_signals():
    """In the child: whoever started the tests may have told them to ignore signals, as nohup and `&` of a shell do."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def interrupt(arguments, folder, said, *signals):
    """Start, wait until stderr has `said`, send the signals; (stderr, children at that moment)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "console.cli", *map(str, arguments)], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)},
        preexec_fn=heed_signals,  # noqa: PLW1509 - there are no threads
    )
    try:
        before = []
        while said and said not in "".join(before):
            before.append(process.stderr.readline())
            assert before[-1], before
        limit = time.monotonic() + LIMIT_SECONDS
        while not said and not catches(process.pid, signal.SIGTERM) and time.monotonic() < limit:
            time.sleep(0.005)  # then it is among its imports
        family = children(process.pid)
        for number in signals:
            process.send_signal(number)
            time.sleep(IMPATIENT_SECONDS)
        _, rest = process.communicate(timeout=LIMIT_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, rest
    return "".join(before) + rest, family


@pytest.mark.parametrize(("arguments", "said", "signals", "family"), [
    (EVALUATE, "", [signal.SIGINT], 0), (EVALUATE, "", [signal.SIGTERM], 0),
    (DEMO, "Making", [signal.SIGTERM], 0),
    (EVALUATE, "winnow: agreement", [signal.SIGHUP], 2),
    (EVALUATE, "hospital: replay", [signal.SIGINT, signal.SIGTERM], 10),
])
def test_a_signal_ends_everything(tmp_path, arguments, said, signals, family):
    stderr, found = interrupt(arguments, tmp_path, said, *signals)
    assert len(found) == family
    assert stderr.endswith("winnow: interrupted; everything was stopped.\n")
    assert "Traceback" not in stderr
    limit = time.monotonic() + LIMIT_SECONDS
    while any(map(alive, found)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not [pid for pid in found if alive(pid)]
    assert list(tmp_path.iterdir()) == []
