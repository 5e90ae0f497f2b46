"""Status lines of a process for whoever started it, and its log.

One JSON object a line on stdout, or words on a terminal; logs go to stderr as JSON lines. Neither holds a secret or an
identifier.
"""

import json
import logging
import sys
from datetime import datetime
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

MAX_DETAIL = 4_000
"""Characters; whoever reads a status line reads at most 64 KiB, and a message may quote what it is about."""


def configure_logging(process: str) -> None:
    """Structured logs on stderr, each line naming the process; what libraries and Python itself say is a line too."""

    def named(_logger: Any, _level: str, line: EventDict) -> EventDict:
        return {**line, "process": process}  # no context variable: a library's threads have none of ours

    told: list[Processor] = [
        named,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    rendered: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    theirs = logging.StreamHandler(sys.stderr)
    theirs.setFormatter(structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*told, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
    ))
    logging.basicConfig(level=logging.WARNING, handlers=[theirs])
    logging.captureWarnings(True)
    structlog.configure(processors=[*told, *rendered], logger_factory=structlog.PrintLoggerFactory(sys.stderr))


ALIVE = "alive"
"""Phase of a line that says no more than that the process still answers."""


class StatusLine:
    """Writes the status lines of one process."""

    def __init__(self, process: str) -> None:
        self.process = process

    def say(self, phase: str, done: int = 0, total: int | None = None, detail: str = "", **facts: Any) -> None:
        """Say what the process is doing.

        Args:
            phase: in a word or two.
            done: how many of `total`, where it counts something.
            total: None when nobody knows.
            detail: for people.
            facts: for the program that started this process.
        """
        line = {
            "process": self.process, "phase": phase, "done": done, "total": total, "detail": detail[:MAX_DETAIL],
            "facts": {name: f[:MAX_DETAIL] if isinstance(f, str) else f for name, f in facts.items()},
        }
        if not sys.stdout.isatty():
            sys.stdout.write(json.dumps(line) + "\n")
        elif phase != ALIVE:
            sys.stdout.write(_words(line) + "\n")
        sys.stdout.flush()


def _words(line: dict[str, Any]) -> str:
    """As in: 14:05:09  node-0  windows  3 of 75"""
    done, total = line["done"], line["total"]
    count = f"{done:,} of {total:,}" if total is not None else f"{done:,}" if done else ""
    detail = line["detail"] or line["facts"].get("reason") or ""
    told = "".join(c if c.isprintable() else " " for c in str(detail))
    now = datetime.now().astimezone()
    return "  ".join(part for part in (f"{now:%H:%M:%S}", line["process"], line["phase"], count, told) if part)
