"""SIGTERM and the end of a terminal are answered like Ctrl-C, at every moment: nothing is left behind."""

import signal
from types import FrameType

ENDING = tuple(
    number for number in (signal.SIGTERM, signal.SIGHUP)
    if signal.getsignal(number) is not signal.SIG_IGN  # under nohup, a hang-up is no reason to end
)


def end_on_signals() -> None:
    """Let every signal of ENDING raise KeyboardInterrupt; main thread only."""
    for number in ENDING:
        signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
