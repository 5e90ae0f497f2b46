import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from infra.local.children import free_port, held_port, is_stopped, spawn_tied, stop, stop_all
from infra.local.errors import LocalError

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
PARENT = """
import sys, time
from pathlib import Path
from infra.local.children import spawn_tied
folder = Path(sys.argv[1])
child = spawn_tied([sys.executable, "-c", "import time; time.sleep(60)"], folder / "log", folder)
print(child.pid, flush=True)
time.sleep(60)
"""


def running(pid):
    """Whether a process exists and is no zombie: signal 0 also reaches zombies."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(holds, seconds=5.0):
    limit = time.monotonic() + seconds
    while not holds() and time.monotonic() < limit:
        time.sleep(0.01)
    return holds()


def test_a_child_dies_when_its_parent_is_killed(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    with parent.stdout:
        child = int(parent.stdout.readline())
    try:
        assert running(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait(5)
        assert wait_until(lambda: not running(child))
    finally:
        parent.kill()
        parent.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_stop_ends_a_child_and_may_be_repeated(tmp_path):
    child = spawn_tied(SLEEP, tmp_path / "log", tmp_path)
    assert child.poll() is None
    assert stop(child) == -signal.SIGTERM
    assert stop(child) == -signal.SIGTERM
    assert not running(child.pid)


def test_a_child_that_ignores_the_polite_signal_is_killed(tmp_path):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    child = spawn_tied([sys.executable, "-c", code], tmp_path / "log", tmp_path, pipe=True)
    assert child.stdout.readline() == b"deaf\n"
    assert stop(child, grace_seconds=0.1) == -signal.SIGKILL


def test_output_goes_to_the_pipe_and_errors_to_a_private_log(tmp_path):
    code = "import sys; print('status'); print('trouble', file=sys.stderr)"
    child = spawn_tied([sys.executable, "-c", code], tmp_path / "log", tmp_path, pipe=True)
    assert child.stdout.read() == b"status\n"
    assert stop(child) == 0
    assert (tmp_path / "log").read_text() == "trouble\n"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_child_gets_no_secrets_from_our_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_SECRET", "1")
    code = "import os; print(sorted(k for k in os.environ if k not in ('LC_CTYPE',)))"
    child = spawn_tied([sys.executable, "-c", code], tmp_path / "log", tmp_path, pipe=True)
    assert child.stdout.read() == b"['HOME', 'PATH']\n"
    stop(child)


def test_ctrl_c_does_not_reach_a_child(tmp_path):
    child = spawn_tied(SLEEP, tmp_path / "log", tmp_path)
    try:
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
    finally:
        stop(child)


def test_children_start_from_the_main_thread_only(tmp_path):
    found = []

    def start():
        try:
            spawn_tied(SLEEP, tmp_path / "log", tmp_path)
        except LocalError as error:
            found.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(found) == 1
    assert "main thread" in found[0]


def test_a_missing_program_is_named(tmp_path):
    with pytest.raises(LocalError, match="cannot start /nowhere/program"):
        spawn_tied(["/nowhere/program"], tmp_path / "log", tmp_path)


def test_free_ports_can_be_listened_on():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))


def test_a_held_port_is_for_who_knows_it():
    with held_port() as held:
        port = held.getsockname()[1]
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        for _ in range(2):  # a child, and the next one after it
            with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port), 5):
                pass
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the connections above have just ended
        other.bind(("127.0.0.1", port))


def test_stubborn_children_share_one_grace(tmp_path):
    deaf = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    found = [
        spawn_tied([sys.executable, "-c", deaf], tmp_path / "log", tmp_path, pipe=True) for _ in range(3)
    ]
    for child in found:
        assert child.stdout.readline() == b"1\n"
    before = time.monotonic()
    stop_all(found, 2.0)
    assert 2.0 <= time.monotonic() - before < 2.5 * 2.0  # one after another: six
    assert [child.returncode for child in found] == [-signal.SIGKILL] * 3
    stop_all(found)


def test_a_stopped_child_is_told_from_a_busy_one(tmp_path):
    child = spawn_tied(SLEEP, tmp_path / "log", tmp_path)
    assert not is_stopped(child)
    os.kill(child.pid, signal.SIGSTOP)
    assert wait_until(lambda: is_stopped(child))
    stop(child, 0.1)
    assert not is_stopped(child)
