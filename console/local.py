"""A whole evaluation on one machine: every process of a system, from the first event to the last window.

If any process dies, everything stops with a clear message (exit code 5).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from console.onboarding import revoke
from console.system import LOOK_SECONDS, Child, LocalSystem, Progress
from evaluation.document import Document
from evaluation.errors import EXIT_INTEGRITY, EXIT_REFUSED, EvaluationError, Tampered, Unreachable
from infra.local.children import is_stopped
from policy.identity import NODES

__all__ = ["LocalEvaluation", "Progress"]

ERASING_SECONDS = 60.0
"""From the last result on, nodes have so long for lists of rows to be erased: they need a second or so for a list."""
QUIET_SECONDS = 300
"""Somebody must get on within this time, or the evaluation is given up."""


@dataclass
class LocalEvaluation(LocalSystem):
    """One evaluation; use `run` once, from the main thread."""

    live: bool = False
    """Its nodes wait for nobody as long as scheduled windows are left: whoever is gone ends the evaluation."""
    unerased: str = ""
    """After a run, in words: which nodes have not erased what the parties asked for; empty if all have."""
    _waiting: set[str] = field(default_factory=set)
    _complete: asyncio.Event = field(default_factory=asyncio.Event)
    _revoke: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[Document]:
        """Run to the end and yield the document; processes and page stay up until the context ends.

        Raises:
            Unreachable: a process died, or nobody said anything for QUIET_SECONDS.
            EvaluationError: anything else that ended a process.
        """
        async with self:
            self._waiting = {
                role for role in self.roles if not role.startswith("node-") and role not in self.parties
            }
            self.start()
            await self._follow()
            yield self._document()

    async def stay(self) -> None:
        """Wait until a process dies; for `--serve`. The replay is over, so that the chain need not hurry any more.

        Raises:
            Unreachable: when that happens.
            LocalError: the chain does not answer.
        """
        assert self.chain is not None
        await asyncio.to_thread(self.chain.slow_down)
        while True:
            self._check_children("the pages cannot stay up")
            await asyncio.sleep(0.2)

    def undelivered(self) -> list[str]:
        """Messages of alerts that were given up, in words."""
        return [line["detail"] for role in self.said for line in self.lines(role, "undelivered")]

    def _react(self, child: Child, status: Mapping[str, Any]) -> None:
        super()._react(child, status)
        phase = status["phase"]
        if phase == "complete":
            self._waiting.discard(child.name)
            if not self._waiting:
                self._complete.set()
        elif phase == "authorised" and status["facts"]["windows"]:
            self._revoke.set()

    async def _follow(self) -> None:
        """Until recipients have everything, the chain what the nodes vouch for, and parties the receipts of erasures.

        Who does not erase in time, as a node that lost a list does not, keeps no result from anybody.
        """
        drill = asyncio.create_task(self._revoke_when_authorised())
        complete: float | None = None
        try:
            while True:
                if self._complete.is_set():
                    complete, self.unerased = complete or time.monotonic(), self._unerased()
                    waits = time.monotonic() - complete <= ERASING_SECONDS
                    if (self._nodes_over() and not self.unerased) or (self.unerased and not waits):
                        return
                self._check_children()
                if drill.done():
                    drill.result()
                quiet = time.monotonic() - self._heard
                if quiet > QUIET_SECONDS:
                    raise Unreachable(self._silence(quiet))
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            drill.cancel()
            await asyncio.gather(drill, return_exceptions=True)

    async def _revoke_when_authorised(self) -> None:
        if self.drill == "revoke-mid-run":
            await self._revoke.wait()
            party = self.work.terms.draft.parties[-1].name
            await revoke(self.work, self.onboarded, party)
            self._say("revoked", f"by {party}")

    def _nodes_over(self) -> bool:
        """Whether nothing of the nodes' is still on its way, such as an attestation."""
        nodes = [f"node-{j}" for j in range(NODES)]
        return all(self.lines(node, "over") or not self.runs(node) for node in nodes)

    def _unerased(self) -> str:
        lists = sum(line["done"] for party in self.parties for line in self.lines(party, "listed")[-1:])
        done = {j: max((line["done"] for line in self.lines(f"node-{j}", "receipts")), default=0) for j in range(NODES)}
        behind = [f"node {j} has erased {held}" for j, held in done.items() if held < lists]
        return f"{', '.join(behind)} of {lists} lists of rows of patients who withdrew" if behind else ""

    def _silence(self, seconds: float) -> str:
        """What is known when nobody says anything any more."""
        everybody = (*self._services.values(), *self._children.values())
        running = [child for child in everybody if child.process.poll() is None]
        stopped = ", ".join(child.name for child in running if is_stopped(child.process))
        said = ", ".join(f"{child.name}: {child.phase}" for child in running if child.heard is not None)
        cause = f" Stopped from outside, and never continued: {stopped}." if stopped else ""
        return f"no process said anything for {seconds:.0f} s.{cause} Last said: {said}. {self._logs()}"

    def _check_children(self, consequence: str = "the evaluation cannot go on") -> None:
        now = time.monotonic()
        for child in (*self._services.values(), *self._children.values()):
            code = child.process.poll()
            if code is None and child.heard is not None and now - child.heard > self.mute_seconds:
                state = "was stopped from outside" if is_stopped(child.process) else "hangs"
                raise Unreachable(
                    f"process {child.name} {state}: it gave no sign of life for {now - child.heard:.0f} s, while it "
                    f"did {child.phase!r}; {consequence}. {self._logs(child.name)}"
                )
            if code is None or (code == EXIT_REFUSED and child.refused):
                continue
            if code == 0 and child.name in self.parties:
                continue  # a party ends when its files do
            words = f" Its last words: {child.last_words.rstrip('.')}." if child.last_words else ""
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            message = f"process {child.name} {how}; {consequence}.{words} {self._logs(child.name)}"
            if code == EXIT_INTEGRITY:
                raise Tampered(message)
            error = EvaluationError(message) if code in {1, 2} else Unreachable(message)
            if code > 0:
                error.exit_code = code
            raise error

    def _document(self) -> Document:
        """The first recipient's; everybody is on this machine, so with everybody's alerts."""
        first, *others = (
            Document.model_validate_json(self.work.document(r.name).read_bytes())
            for r in self.work.terms.draft.recipients
        )
        return first.model_copy(update={"alerts": (*first.alerts, *(row for other in others for row in other.alerts))})
