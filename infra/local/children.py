"""Children that never outlive us: a free loopback port, a tied start, a clean stop."""

import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.local.errors import LocalError

_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded before any fork: the child must not import
_PR_SET_PDEATHSIG = 1
_TIE_FAILED = 127


def free_port() -> int:
    """A loopback port nobody listens on now; somebody may take it before we use it, so starters retry."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def held_port() -> socket.socket:
    """Keeps a loopback port until it is closed: nobody else is given it, and a child that knows it may listen there.

    Linux lets a port be bound again where both sockets set SO_REUSEADDR and ours does not listen (socket(7)).
    """
    held = socket.socket()
    held.bind(("127.0.0.1", 0))  # before the option, with which the kernel might give a port that is held
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return held


def spawn_tied(
    command: Sequence[str], log: Path, folder: Path, *, env: Mapping[str, str] | None = None, pipe: bool = False,
) -> "subprocess.Popen[bytes]":
    """Start a child that the kernel kills when this process dies, even by SIGKILL.

    The tie (PR_SET_PDEATHSIG, prctl(2)) belongs to the *thread* that forks, so only the main thread may
    start children. It is not inherited by the child's own children. The child has its own session: Ctrl-C reaches
    only us, and we decide the order of the shutdown.

    Args:
        command: the program and its arguments.
        log: file that standard error, and standard output without `pipe`, are added to (mode 0600).
        folder: the child's working directory; it must exist.
        env: the whole environment; by default only PATH, and HOME = folder.
        pipe: standard output goes to `process.stdout`, which the caller must keep reading and close.

    Raises:
        LocalError: not called from the main thread, or the program cannot be started.
    """
    if threading.current_thread() is not threading.main_thread():
        raise LocalError("children must be started from the main thread: their tie to us ends with the thread")
    parent = os.getpid()

    def tie() -> None:
        failed = _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if failed or os.getppid() != parent:  # the parent may have died before prctl took effect
            os._exit(_TIE_FAILED)

    try:
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as lines:
            return subprocess.Popen(
                list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if pipe else lines, stderr=lines,
                cwd=folder, start_new_session=True,
                preexec_fn=tie,  # noqa: PLW1509 - only the main thread gets here, and `tie` makes two system calls
                env=dict(env) if env is not None else {"PATH": os.environ.get("PATH", ""), "HOME": str(folder)},
            )
    except OSError as error:
        raise LocalError(f"cannot start {command[0]} (log {log}): {error.strerror}") from error


def is_stopped(process: "subprocess.Popen[bytes]") -> bool:
    """Whether a child was stopped by a signal (SIGSTOP, or a debugger) and waits to be continued (proc(5))."""
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in {"T", "t"}


def stop_all(processes: "Sequence[subprocess.Popen[bytes]]", grace_seconds: float = 3.0) -> None:
    """End children side by side; as `stop`, with one `grace_seconds` for all of them."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    limit = time.monotonic() + grace_seconds
    for process in processes:
        stop(process, max(0.0, limit - time.monotonic()))


def stop(process: "subprocess.Popen[bytes]", grace_seconds: float = 3.0) -> int:
    """End a child with SIGTERM, after `grace_seconds` with SIGKILL; safe to call twice.

    Returns:
        Its exit code; negative: the signal that ended it.
    """
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    if process.stdout is not None:
        process.stdout.close()
    return process.wait()
