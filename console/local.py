"""A whole evaluation on one machine: embedded broker and chain, three parties, three nodes, one recipient.

The processes are the ones that organisations run by themselves; only who starts them differs. Their end is ours:
if any of them dies, everything stops with a clear message (exit code 5).
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from console.drill import Drill, altered_plan, drilled
from console.onboarding import Onboarded, onboard, revoke
from console.workdir import WorkDir, prepare
from evaluation.document import Document
from evaluation.errors import EXIT_INTEGRITY, EXIT_REFUSED, EvaluationError, Tampered, Unreachable
from evaluation.status import ALIVE
from infra.local.broker import EmbeddedBroker
from infra.local.chain import REPLAY_BLOCK_SECONDS, EmbeddedChain
from infra.local.children import free_port, is_stopped, spawn_tied, stop, stop_all
from policy.agreement import NODES, Draft
from policy.kpi import Kpi
from streams.broker import Broker, create_topics
from streams.topics import all_topics

Progress = Callable[[Mapping[str, Any]], None]

QUIET_SECONDS = 300
"""Somebody must get on within this time, or the evaluation is given up."""
MUTE_SECONDS = 60.0
"""A process that does not even say that it is alive for this long hangs; it says so every few seconds."""
MAX_STATUS_BYTES = 1 << 16
SERVICES = 2
"""Broker and chain start first and end last, so that nobody misses them."""


@dataclass
class _Child:
    name: str
    process: "subprocess.Popen[bytes]"
    refused: bool = False
    """It said that policy refuses; its end is then in order."""
    last_words: str = ""
    phase: str = "nothing"
    """What it last said that it does."""
    heard: float | None = None
    """When it last said anything; None for a service, which never does."""


@dataclass
class LocalEvaluation:
    """One evaluation; use `run` once, from the main thread."""

    draft: Draft
    kpis: tuple[Kpi, ...]
    parties: dict[str, Path]
    root: Path
    progress: Progress
    drill: Drill | None = None
    keeps_logs: bool = True
    """Whether `root` stays; else nobody is sent to logs that are gone."""
    mute_seconds: float = MUTE_SECONDS
    page: str | None = None
    """Address of the first recipient's page, once it is up."""
    _children: list[_Child] = field(default_factory=list)
    _readers: list["asyncio.Task[None]"] = field(default_factory=list)
    _heard: float = field(default_factory=time.monotonic)
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
        draft = drilled(self.draft, self.drill)
        self._say("keys", str(self.root))
        work = prepare(self.root, draft, self.kpis, tuple(free_port() for _ in range(NODES)))
        self._waiting = {r.name for r in draft.recipients}
        broker = EmbeddedBroker(self.root / "broker")
        chain = EmbeddedChain(self.root / "chain", REPLAY_BLOCK_SECONDS)
        try:
            services: tuple[tuple[str, EmbeddedBroker | EmbeddedChain], ...] = (("broker", broker), ("chain", chain))
            for name, service in services:
                self._say(name)
                service.start()
                assert service.process is not None
                self._children.append(_Child(name, service.process))
            await create_topics(Broker(broker.address), all_topics(draft))
            self._say("agreement")
            onboarded = await onboard(work, chain.url, leave_out=draft.parties[-1].name
                                      if self.drill == "unsigned" else None)
            for role, module, settings in self._processes(work, broker.address, onboarded):
                self._start(work, role, module, settings)
            await self._follow(work, onboarded)
            yield self._document(work)
        finally:
            stop_all([child.process for child in self._children[SERVICES:]])
            for child in self._children[:SERVICES]:
                stop(child.process)
            for reader in self._readers:
                reader.cancel()
            await asyncio.gather(*self._readers, return_exceptions=True)

    async def stay(self) -> None:
        """Wait until a process dies; for `--serve`.

        Raises:
            Unreachable: when that happens.
        """
        while True:
            self._check_children("the pages cannot stay up")
            await asyncio.sleep(0.2)

    def _say(self, phase: str, detail: str = "") -> None:
        self.progress({"process": "winnow", "phase": phase, "detail": detail})

    def _processes(
        self, work: WorkDir, broker: str, onboarded: Onboarded
    ) -> list[tuple[str, str, dict[str, Any]]]:
        """(role, module, settings) of every process, in the order in which they start."""
        common = {"terms": work.terms_file, "broker": broker}
        on_chain = {**common, "chain": onboarded.settings()}
        extra = [altered_plan(work)] if self.drill == "unagreed-kpi" else []
        draft = work.terms.draft
        return [
            *((r.name, "console.recipient", {
                **common, "recipient": r.name, "keys": work.keys(r.name), "kpis": work.kpi_file,
                "document": work.document(r.name),
            }) for r in draft.recipients),
            *((f"node-{j}", "evaluation.node", {
                **on_chain, "number": j, "keys": work.keys(f"node-{j}"), "store": work.root / f"node-{j}" / "store",
                "extra_plans": extra,
            }) for j in range(NODES)),
            *((p.name, "evaluation.party", {
                **on_chain, "party": p.name, "data": self.parties[p.name].resolve(), "keys": work.keys(p.name),
            }) for p in draft.parties),
        ]

    def _start(self, work: WorkDir, role: str, module: str, settings: dict[str, Any]) -> None:
        process = spawn_tied(
            [sys.executable, "-m", module, str(work.configure(role, settings))], work.log(role), work.root / role,
            pipe=True,
            env={
                "PATH": os.environ.get("PATH", ""), "HOME": str(work.root / role),
                "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
                # Three nodes share this machine: threads of linear algebra would only get in each other's way.
                "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
            },
        )
        child = _Child(role, process, heard=time.monotonic())
        self._children.append(child)
        self._readers.append(asyncio.create_task(self._read(child)))

    async def _read(self, child: _Child) -> None:
        """Follow one child's status lines until its end."""
        reader = asyncio.StreamReader(limit=MAX_STATUS_BYTES)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), child.process.stdout
        )
        try:
            while line := await reader.readline():
                child.heard = time.monotonic()
                try:
                    status = json.loads(line)
                except ValueError:
                    continue  # a library's print; the process's own lines are JSON
                if status["phase"] == ALIVE:
                    continue
                self._heard = child.heard
                self._react(child, status)
                self.progress(status)
        finally:
            transport.close()

    def _react(self, child: _Child, status: dict[str, Any]) -> None:
        phase, facts = status["phase"], status["facts"]
        child.phase = phase
        if phase == "complete":
            self._waiting.discard(child.name)
            if not self._waiting:
                self._complete.set()
        elif phase == "page":
            self.page = self.page or facts["url"]
        elif phase in {"refused", "failed"}:
            child.refused = phase == "refused"
            child.last_words = facts["reason"]
        elif phase == "authorised" and facts["windows"]:
            self._revoke.set()

    async def _follow(self, work: WorkDir, onboarded: Onboarded) -> None:
        """Until all recipients have everything."""
        drill = asyncio.create_task(self._revoke_when_authorised(work, onboarded))
        try:
            while not self._complete.is_set():
                self._check_children()
                if drill.done():
                    drill.result()
                quiet = time.monotonic() - self._heard
                if quiet > QUIET_SECONDS:
                    raise Unreachable(self._silence(quiet))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._complete.wait(), 0.1)
        finally:
            drill.cancel()
            await asyncio.gather(drill, return_exceptions=True)

    async def _revoke_when_authorised(self, work: WorkDir, onboarded: Onboarded) -> None:
        if self.drill == "revoke-mid-run":
            await self._revoke.wait()
            await revoke(work, onboarded, work.terms.draft.parties[-1].name)
            self._say("revoked", f"by {work.terms.draft.parties[-1].name}")

    def _silence(self, seconds: float) -> str:
        """What is known when nobody says anything any more."""
        running = [child for child in self._children if child.process.poll() is None]
        stopped = ", ".join(child.name for child in running if is_stopped(child.process))
        said = ", ".join(f"{child.name}: {child.phase}" for child in running[SERVICES:])
        cause = f" Stopped from outside, and never continued: {stopped}." if stopped else ""
        return f"no process said anything for {seconds:.0f} s.{cause} Last said: {said}. {self._logs()}"

    def _logs(self, name: str = "") -> str:
        if self.keeps_logs:
            return f"Logs: {self.root / name}."
        return "To keep the logs, run again with --work DIR."

    def _check_children(self, consequence: str = "the evaluation cannot go on") -> None:
        now = time.monotonic()
        for child in self._children:
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

    def _document(self, work: WorkDir) -> Document:
        first = work.terms.draft.recipients[0].name
        return Document.model_validate_json(work.document(first).read_bytes())
