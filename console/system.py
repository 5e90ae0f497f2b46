"""All processes of one agreement on one machine, each started and ended by its role.

Embedded broker and chain come up first and end last. The processes are the ones that organisations run by
themselves; only who starts them differs. Roles: every recipient and party by name, `node-0` to
`node-2`, and `alerts-<recipient>` where alerts go anywhere.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from console.brokers import LocalBrokers
from console.drill import Drill, altered_plan, drilled
from console.onboarding import Onboarded, onboard
from console.workdir import WorkDir, prepare
from evaluation.errors import Unreachable
from evaluation.keys import private_folder
from evaluation.status import ALIVE
from infra.kafka.settings import OPERATOR
from infra.local.broker import EmbeddedBroker
from infra.local.chain import REPLAY_BLOCK_SECONDS, EmbeddedChain
from infra.local.children import held_port, spawn_tied, stop, stop_all
from policy.agreement import Draft
from policy.identity import NODES
from policy.kpi import Kpi
from streams.access import node_user, party_user, recipient_user, requester_user
from streams.topics import alerts

Progress = Callable[[Mapping[str, Any]], None]

MAX_STATUS_BYTES = 1 << 16
KEPT_LINES = 2_000
"""Status lines kept of one role."""
MUTE_SECONDS = 60.0
"""A process that does not even say that it is alive for this long hangs; it says so every few seconds."""
STOP_SECONDS = 5.0
"""From SIGTERM to SIGKILL."""
LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 60.0
"""An evaluation that ends waits so long for receivers of alerts that do not answer."""


def say_nothing(status: Mapping[str, Any]) -> None:
    """For who does not follow status lines."""


class Role(NamedTuple):
    """What a role runs."""

    name: str
    module: str
    settings: dict[str, Any]


@dataclass
class Child:
    """One process."""

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
class LocalSystem:
    """The services of one agreement, and its processes once they are started; use as `async with`, main thread only.

    A process may end without the rest: whoever uses this decides what that means.
    """

    draft: Draft
    kpis: tuple[Kpi, ...]
    parties: dict[str, Path]
    """Folder of every party's data."""
    root: Path
    progress: Progress = say_nothing
    drill: Drill | None = None
    keeps_logs: bool = True
    """Whether `root` stays; else nobody is sent to logs that are gone."""
    mute_seconds: float = MUTE_SECONDS
    block_seconds: float = REPLAY_BLOCK_SECONDS
    """Between two blocks of the embedded chain."""
    notify: Path | None = None
    """File of addresses that alerts go to; with it, every recipient with alerts has a process `alerts-<recipient>`."""
    kafka: int = 0
    """Brokers of Apache Kafka, 1 or 3, instead of the embedded one."""
    live: bool = True
    """Whether nodes wait for a peer that is away, however long."""
    said: dict[str, "deque[Mapping[str, Any]]"] = field(default_factory=dict)
    """Role → its latest status lines, of all its processes, without signs of life."""
    brokers: LocalBrokers | None = None
    chain: EmbeddedChain | None = None
    """Both once they are started."""
    page: str | None = None
    """Address of the first recipient's page, once it is up."""
    _children: dict[str, Child] = field(default_factory=dict)
    _services: dict[str, Child] = field(default_factory=dict)
    _readers: list["asyncio.Task[None]"] = field(default_factory=list)
    _held: list[socket.socket] = field(default_factory=list)
    """The nodes' ports."""
    _heard: float = field(default_factory=time.monotonic)

    async def __aenter__(self) -> Self:
        """Bring broker, chain and agreement up; no role runs yet.

        Raises:
            LocalError, BrokerError, ChainError, PolicyError: see there; nothing is left running.
        """
        try:
            await self._prepare()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _prepare(self) -> None:
        draft = drilled(self.draft, self.drill)
        self._say("keys", str(self.root))
        # Nodes listen some seconds from now, and again after every restart.
        self._held = [held_port() for _ in range(NODES)]
        self.work = prepare(self.root, draft, self.kpis, tuple(held.getsockname()[1] for held in self._held))
        brokers = self.brokers = LocalBrokers(self.root / "broker", draft, self.kafka)
        self._say("broker")
        brokers.start()
        # A cluster lives on without one of its brokers; its clients tell when it does not.
        if isinstance(brokers.service, EmbeddedBroker) and brokers.service.process is not None:
            self._services["broker"] = Child("broker", brokers.service.process)
        chain = self.chain = EmbeddedChain(self.root / "chain", self.block_seconds)
        self._say("chain")
        chain.start()
        assert chain.process is not None
        self._services["chain"] = Child("chain", chain.process)
        await brokers.prepare()
        self._say("agreement")
        self.onboarded = await onboard(
            self.work, chain.url, leave_out=draft.parties[-1].name if self.drill == "unsigned" else None
        )
        self._roles = {role.name: role for role in self._processes(self.work, self.onboarded)}
        self.work.configure_requesters(
            lambda name: brokers.settings(requester_user(name)), self.onboarded.settings()
        )

    async def _end(self) -> None:
        stop_all([child.process for child in self._children.values()])
        for child in self._services.values():
            stop(child.process)
        if self.chain is not None:
            self.chain.stop()
        if self.brokers is not None:
            self.brokers.stop()
        for held in self._held:
            held.close()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    @property
    def roles(self) -> tuple[str, ...]:
        """Every role, in the order in which they are best started."""
        return tuple(self._roles)

    def start(self, *roles: str) -> None:
        """Start these roles' processes; all of them when none is named. A role that ran before goes on from its folder.

        Raises:
            ValueError: no such role, or it runs.
        """
        for name in roles or self.roles:
            if name not in self._roles:
                raise ValueError(f"no role {name!r}; the roles are {', '.join(self.roles)}")
            if self.runs(name):
                raise ValueError(f"{name} runs already")
            self._spawn(self._roles[name])

    def runs(self, role: str) -> bool:
        """Whether the role has a process that has not ended."""
        return role in self._children and self._children[role].process.poll() is None

    def pid(self, role: str) -> int:
        """Of the role's latest process."""
        return self._children[role].process.pid

    def kill(self, role: str) -> None:
        """End the role's process at once (SIGKILL), and wait for that."""
        self._children[role].process.kill()
        self._children[role].process.wait()

    async def stop(self, role: str) -> int:
        """End the role's process in order: SIGTERM, later SIGKILL; returns its exit code."""
        process = self._children[role].process
        if process.poll() is None:
            process.terminate()
        limit = time.monotonic() + STOP_SECONDS
        while process.poll() is None:
            if time.monotonic() > limit:
                process.kill()
            await asyncio.sleep(LOOK_SECONDS)
        return process.wait()

    async def wait(self, what: str, condition: Callable[[], object], seconds: float) -> None:
        """Wait until something holds, such as that a role said something.

        Raises:
            Unreachable: not within `seconds`; names what was waited for and what every role said last.
        """
        limit = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > limit:
                said = ", ".join(f"{c.name}: {c.phase}" for c in self._children.values())
                raise Unreachable(f"waited {seconds:g} s for {what}. Last said: {said}. {self._logs()}")
            await asyncio.sleep(LOOK_SECONDS)

    def lines(self, role: str, phase: str) -> list[Mapping[str, Any]]:
        """The role's status lines of one phase, oldest first."""
        return [line for line in self.said.get(role, ()) if line["phase"] == phase]

    async def wait_for(self, role: str, phase: str, seconds: float, count: int = 1) -> Mapping[str, Any]:
        """Wait until a role has said a phase `count` times; returns the latest such line.

        Raises:
            Unreachable: not in time, or its process ended first.
        """
        def there() -> bool:
            if len(self.lines(role, phase)) >= count:
                return True
            if not self.runs(role):
                raise Unreachable(f"{role} ended before it said {phase!r}. {self._logs(role)}")
            return False

        await self.wait(f"{role} to say {phase!r}", there, seconds)
        return self.lines(role, phase)[-1]

    def _say(self, phase: str, detail: str = "") -> None:
        self.progress({"process": "winnow", "phase": phase, "detail": detail})

    @property
    def broker(self) -> str:
        """host:port of every broker."""
        assert self.brokers is not None
        return self.brokers.of(OPERATOR).address

    def _processes(self, work: WorkDir, onboarded: Onboarded) -> list[Role]:
        """Every role, in the order in which they start."""
        chain = {"chain": onboarded.settings()}
        extra = [altered_plan(work)] if self.drill == "unagreed-kpi" else []
        draft = work.terms.draft
        return [
            *(Role(r.name, "console.recipient", {
                **self._common(recipient_user(r.name)), "recipient": r.name, "keys": work.keys(r.name),
                "kpis": work.kpi_file, "document": work.document(r.name),
            }) for r in draft.recipients),
            *self._alerts(work),
            *(Role(f"node-{j}", "evaluation.node", {
                **self._common(node_user(j)), **chain, "number": j, "keys": work.keys(f"node-{j}"),
                "store": work.root / f"node-{j}" / "store", "state": work.root / f"node-{j}" / "state",
                "live": self.live, "extra_plans": extra,
            }) for j in range(NODES)),
            *(Role(p.name, "evaluation.party", {
                **self._common(party_user(p.name)), **chain, "party": p.name,
                "data": self.parties[p.name].resolve(), "keys": work.keys(p.name),
                "state": work.root / p.name / "state",
            }) for p in draft.parties),
        ]

    def _common(self, user: str) -> dict[str, Any]:
        assert self.brokers is not None
        return {"terms": self.work.terms_file, "broker": self.brokers.settings(user)}

    def _alerts(self, work: WorkDir) -> list[Role]:
        if self.notify is None:
            return []
        found = []
        for recipient in dict.fromkeys(alert.recipient for alert in work.terms.draft.alerts):
            role = alerts(recipient)
            folder = private_folder(work.root / role)
            found.append(Role(role, "console.alerts", {
                **self._common(recipient_user(recipient)), "recipient": recipient, "keys": work.keys(recipient),
                "kpis": work.kpi_file, "notify": self.notify.resolve(), "folder": folder / "faust",
                **({} if self.live else {"give_up_seconds": PATIENCE_SECONDS}),
            }))
        return found

    def _spawn(self, role: Role) -> None:
        work = self.work
        process = spawn_tied(
            [sys.executable, "-m", role.module, str(work.configure(role.name, role.settings))], work.log(role.name),
            work.root / role.name, pipe=True,
            env={
                "PATH": os.environ.get("PATH", ""), "HOME": str(work.root / role.name),
                "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
                # Three nodes share this machine: threads of linear algebra would only get in each other's way.
                "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
            },
        )
        child = Child(role.name, process, heard=time.monotonic())
        self._children[role.name] = child
        self._readers.append(asyncio.create_task(self._read(child)))

    async def _read(self, child: Child) -> None:
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
                self.said.setdefault(child.name, deque(maxlen=KEPT_LINES)).append(status)
                self._react(child, status)
                self.progress(status)
        finally:
            transport.close()

    def _react(self, child: Child, status: Mapping[str, Any]) -> None:
        phase, facts = status["phase"], status["facts"]
        child.phase = phase
        if phase == "page" and child.name == self.draft.recipients[0].name:
            self.page = facts["url"]
        elif phase in {"refused", "failed"}:
            child.refused = phase == "refused"
            child.last_words = facts["reason"]

    def _logs(self, name: str = "") -> str:
        if self.keeps_logs:
            return f"Logs: {self.root / name}."
        return "To keep the logs, run again with --work DIR."
