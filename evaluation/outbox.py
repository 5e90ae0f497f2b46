"""What an alert tells people: pure functions from states to messages, and from messages to what is left to do.

A change of state is *decided* once: a message with an id that follows from agreement, alert, window and state. It waits
for every target until it is *delivered* there or given up. Whoever stores the row before delivering, and again
after, may be killed at any moment: what was decided and not marked is delivered after the restart, with the same id.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["raised", "clear"]
MAX_PENDING = 64
"""Messages of one alert that wait. Of more, the oldest are given up: newer ones supersede them."""
MAX_FAILURES = 16
"""Latest failures kept of one alert."""
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Frozen):
    """The value that went with a change, for a recipient who may read it."""

    value: Finite
    low: Finite | None = None
    high: Finite | None = None


class Message(_Frozen):
    """A change of state on its way to people."""

    id: str
    window: int
    state: State
    figure: Figure | None
    """None: not for this recipient to see."""
    decided_at: Finite
    """Seconds since 1970, UTC."""
    waiting: tuple[str, ...]
    """Targets that have not got it."""


class Failure(_Frozen):
    """A message that a target never got."""

    id: str
    window: int
    state: State
    target: str
    reason: str


class Row(_Frozen):
    """One alert's place in the outbox."""

    window: int = -1
    """The latest that changed its state; earlier ones are never looked at again."""
    state: State = "clear"
    pending: tuple[Message, ...] = ()
    """Oldest first."""
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class Seen:
    """An alert after a window with data."""

    window: int
    state: State
    figure: Figure | None = None


def message_id(agreement: str, alert: str, window: int, state: State) -> str:
    """The id of a change, 40 hexadecimal digits: the same whenever and wherever it is decided."""
    text = json.dumps(["winnow-alert", agreement, alert, window, state])
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def decide(
    row: Row, alert: str, agreement: str, seen: Sequence[Seen], targets: Collection[str], now: float,
) -> Row:
    """The row after these windows, in order: one message for every change of state.

    Windows up to the latest change are skipped, so repeats change nothing, and neither does a window that comes after
    a later one has spoken.
    """
    for now_seen in seen:
        if now_seen.window <= row.window or now_seen.state == row.state:
            continue
        message = Message(
            id=message_id(agreement, alert, now_seen.window, now_seen.state), window=now_seen.window,
            state=now_seen.state, figure=now_seen.figure, decided_at=now, waiting=tuple(sorted(targets)),
        )
        row = row.model_copy(update={
            "window": message.window, "state": message.state,
            "pending": (*row.pending, message) if message.waiting else row.pending,
        })
        if len(row.pending) > MAX_PENDING:
            oldest = row.pending[0]
            for target in oldest.waiting:
                row = given_up(row, oldest.id, target, f"superseded by {MAX_PENDING} newer messages")
    return row


def delivered(row: Row, message: str, target: str) -> Row:
    """The row once a target has a message; nothing changes if it had it."""
    pending = []
    for found in row.pending:
        left = found
        if found.id == message:
            left = found.model_copy(update={"waiting": tuple(t for t in found.waiting if t != target)})
        if left.waiting:
            pending.append(left)
    return row.model_copy(update={"pending": tuple(pending)})


def given_up(row: Row, message: str, target: str, reason: str) -> Row:
    """The row once a message is not tried any more at a target; the failure stays in it."""
    found = next((m for m in row.pending if m.id == message and target in m.waiting), None)
    if found is None:
        return row
    failure = Failure(id=found.id, window=found.window, state=found.state, target=target, reason=reason)
    return delivered(row, message, target).model_copy(
        update={"failures": (*row.failures, failure)[-MAX_FAILURES:]}
    )


def without(row: Row, targets: Collection[str]) -> Row:
    """The row when only these targets are left: what waited for another one is given up."""
    for message in row.pending:
        for target in message.waiting:
            if target not in targets:
                row = given_up(row, message.id, target, "the target is no longer in the file")
    return row


def next_for(row: Row, target: str) -> Message | None:
    """The oldest message that waits for a target: of one alert, the next one waits for it."""
    return next((m for m in row.pending if target in m.waiting), None)


def retry_after(attempts: int, first_seconds: float, longest_seconds: float) -> float:
    """Seconds to wait after so many failed attempts: doubling, up to a bound."""
    return float(min(longest_seconds, first_seconds * 2.0 ** min(attempts - 1, 30)))
