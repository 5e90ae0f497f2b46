"""How every process ends: errors in plain words on its status line, details in its log, and an exit code."""

import asyncio
import errno
import signal
import threading
from collections.abc import Coroutine
from typing import Any

import structlog

from evaluation.errors import (
    EXIT_BUG,
    EXIT_ENDED,
    EXIT_INTEGRITY,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    EvaluationError,
    Refused,
)
from evaluation.status import ALIVE, StatusLine, configure_logging
from mpc.errors import IntegrityError, MpcError
from policy.errors import ChainError, PolicyError
from streams.errors import BatchError, BrokerError, StoreError, StreamsError

BEAT_SECONDS = 5.0
PLACES = frozenset({
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOSPC, errno.EDQUOT,
    errno.EROFS, errno.EFBIG, errno.EADDRINUSE, errno.EADDRNOTAVAIL,
})
"""A folder, a file or an address to listen on is not there, not ours, taken, full or too large: for whoever configured
the process to mend."""


def exit_code(error: BaseException) -> int:
    """The exit code for an error that ended a process."""
    match error:
        case BaseExceptionGroup():
            return exit_code(error.exceptions[0])
        case EvaluationError():
            return error.exit_code
        case IntegrityError() | BatchError() | StoreError():
            return EXIT_INTEGRITY
        case ChainError() | BrokerError() | MpcError():
            return EXIT_UNREACHABLE
        case PolicyError() | StreamsError():
            return EXIT_USAGE
        case OSError() if error.errno in PLACES:
            return EXIT_USAGE
        case asyncio.CancelledError() | KeyboardInterrupt():
            return EXIT_INTERRUPTED
        case _:
            return EXIT_BUG


def run_process(name: str, work: Coroutine[Any, Any, None], status: StatusLine) -> int:
    """Run `work` in an event loop of its own; SIGTERM and SIGINT end it in order.

    Returns:
        The exit code: 0, or the one of the error.
    """
    configure_logging(name)
    threading.excepthook = _log_end_of_thread

    async def guarded() -> None:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        beat = asyncio.create_task(_beat(status))
        try:
            await task
        finally:
            beat.cancel()

    try:
        asyncio.run(guarded())
    except Refused as error:
        status.say("refused", detail=str(error), reason=str(error))
        return EXIT_REFUSED
    except (asyncio.CancelledError, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BaseException as error:
        reason, code = _log_end("ended by an error", error)
        status.say("failed", reason=reason, code=code)
        return code
    return EXIT_ENDED


async def _beat(status: StatusLine) -> None:
    """Tell whoever started us that the event loop turns."""
    while True:
        status.say(ALIVE)
        await asyncio.sleep(BEAT_SECONDS)


def _log_end(event: str, error: BaseException) -> tuple[str, int]:
    """Log what ended by an error; returns the reason and its exit code.

    A traceback is for whoever mends a defect; other reasons are for whoever runs the process.
    """
    first, code = _first(error), exit_code(error)
    reason = f"{type(first).__name__}: {first}"
    structlog.get_logger().error(event, reason=reason, code=code, exc_info=error if code == EXIT_BUG else None)
    return reason, code


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    """Python itself would print a traceback, also when a library's thread is cancelled at the process's end."""
    if ended.exc_value is not None and ended.exc_type is not SystemExit:
        _log_end("a thread ended by an error", ended.exc_value)


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
