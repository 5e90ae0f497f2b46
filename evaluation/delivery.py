"""Delivers one message through apprise, in a process of its own: the only user of apprise.

    python -m evaluation.delivery

Reads one JSON line (`Errand`) on standard input, answers with one (`Outcome`) on standard output. A process, since
what answers at the other end is not ours: it may hang, drip, or never stop answering, and a process can be ended and
has a bound on memory. It ends as soon as its standard input does, so it never outlives whoever sent it.
"""

import contextlib
import importlib
import logging
import os
import re
import resource
import sys
import threading
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

MEMORY_BYTES = 768 << 20
"""Address space; an answer beyond it is an error."""
MESSAGE_HEADER, IDEMPOTENCY_HEADER = "X-Winnow-Message", "Idempotency-Key"
_STATUS = re.compile(r"error=([1-5][0-9]{2})\b")


class Errand(BaseModel):
    """What to do: deliver one message to one address, or only look whether the address can be understood."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    id: str = ""
    """Empty: only look."""
    title: str = ""
    body: str = ""
    kind: Literal["warning", "success", "info"] = "info"


class Outcome(BaseModel):
    """What came of it; `reason` never holds an address or what the other end said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    done: bool
    reason: str = ""


def run(errand: Errand) -> Outcome:
    """Do an errand; errors of the other end are an outcome."""
    import apprise

    asset = apprise.AppriseAsset(
        app_id="Winnow", app_desc="Winnow", app_url="", http_redirects=False, storage_mode="memory",
        pgp_autogen=False, pem_autogen=False,
    )
    service = apprise.Apprise.instantiate(errand.url, asset=asset)
    if service is None:
        return Outcome(done=False, reason="it is not an address that apprise understands")
    receivers = len(getattr(service, "targets", ()) or ())
    if receivers > 1:
        # After a failure at the second of two, a retry would reach the first one again.
        return Outcome(done=False, reason=f"it has {receivers} receivers; write each on a line of its own")
    if not errand.id:
        return Outcome(done=True)
    _identify(service, errand.id)
    said = _Said()
    logging.getLogger("apprise").addHandler(said)
    logging.getLogger("apprise").propagate = False
    try:
        done = bool(service.notify(
            title=errand.title, body=errand.body, notify_type=apprise.NotifyType(errand.kind),
            body_format=apprise.NotifyFormat.TEXT,
        ))
    except MemoryError:
        return Outcome(done=False, reason="the answer was too large")
    except Exception as error:
        return Outcome(done=False, reason=type(error).__name__)
    return Outcome(done=done, reason="" if done else said.reason)


class _Said(logging.Handler):
    """Keeps the one thing of apprise's log that may be told: the status of an HTTP answer."""

    reason = "not reachable, or not accepted"

    def emit(self, record: logging.LogRecord) -> None:
        found = _STATUS.search(record.getMessage())
        if found:
            self.reason = f"answered with status {found[1]}"


def _identify(service: Any, message: str) -> None:
    """Give the message its id wherever the service has room for it; the text has it in any case."""
    headers = getattr(service, "headers", None)
    if isinstance(headers, dict):
        mail = service.schemas() & {"mailto", "mailtos"}
        headers[MESSAGE_HEADER if mail else IDEMPOTENCY_HEADER] = message
    with contextlib.suppress(ImportError):
        # apprise draws a Message-ID itself and has no setting for it. This process sends one message.
        base = importlib.import_module("apprise.plugins.email.base")
        vars(base)["make_msgid"] = lambda domain=None: f"<{message}@{domain or 'winnow'}>"


def _end_with_the_sender() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> int:
    """Return the exit code; the outcome is on standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    errand = Errand.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_sender, daemon=True).start()
    with contextlib.redirect_stdout(sys.stderr):
        outcome = run(errand)
    sys.stdout.write(outcome.model_dump_json() + "\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    # Skips the clean-up of a hundred plugins: whoever waits has the outcome.
    os._exit(main())
