"""Runs one real evaluation with a witness beside every process, and collects what it leaves before it ends."""

import asyncio
import contextlib
import json
import os
import urllib.request
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from console.local import LocalEvaluation
from policy.agreement import Terms, load_draft
from policy.compilation import load_kpis
from tests.support.command import children
from tests.support.inspection.evidence import (
    Evidence,
    read_chain,
    read_files,
    read_messages,
    read_topics,
    read_trail,
)
from tests.support.inspection.watched import folder_of
from tests.support.sockets import listeners

LOOK_SECONDS = 0.2
PAGES = ("", "events", "runs", "state.json")


@dataclass
class Watched(LocalEvaluation):
    """The evaluation whose processes have a witness each."""

    def _processes(self, work, onboarded):
        started = super()._processes(work, onboarded)
        return [role._replace(module="tests.support.inspection.watched") for role in started]


def role_of(command):
    """The role of one of our children, from its command line; None before it is itself."""
    if "config.toml" in command:
        return Path(command.split()[-1]).parent.name
    return "broker" if "--cluster-id" in command else "chain" if "--chain-id" in command else None


@dataclass
class Looker:
    """Looks at our children again and again: parties are gone in the end."""

    sockets: dict = field(default_factory=lambda: defaultdict(set))
    processes: dict = field(default_factory=dict)
    pids: dict = field(default_factory=dict)

    def look(self):
        for pid, command in children(os.getpid()).items():
            role = role_of(command)
            if role is None:
                continue
            with contextlib.suppress(OSError):
                self.sockets[role] |= listeners(pid)
                folder = Path("/proc") / str(pid)
                self.processes[role] = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
                self.pids[role] = pid

    async def keep_looking(self):
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)


@dataclass(frozen=True)
class Observed:
    terms: Terms
    onboarded: object
    ports: dict[str, int]
    evidence: Evidence
    memory: object
    """What `in_memory` gave."""


async def observe(agreement, parties, work, in_memory):
    """Run, look, collect.

    Args:
        agreement: its TOML file.
        parties: name → folder.
        work: folder of the evaluation; must not exist.
        in_memory: called with the evidence, the terms and role → pid while all nodes still live.
    """
    draft = load_draft(agreement)
    statuses, looker = defaultdict(list), Looker()

    def progress(status):
        statuses[status["process"]].append(json.dumps(status))

    evaluation = Watched(draft, load_kpis(draft, agreement.parent), dict(parties), work, progress)
    looking = asyncio.create_task(looker.keep_looking())
    try:
        async with evaluation.run() as document:
            assert document.status == "released"
            topics = await read_topics(evaluation.broker, draft)
            looker.look()
            terms = Terms.model_validate_json((work / "terms.json").read_bytes())
            witness = folder_of(work)
            evidence = Evidence(
                work=work, topics=topics, files=read_files(work),
                messages={j: read_messages(witness / f"node-{j}.messages") for j in range(3)},
                trails={path.stem: read_trail(path) for path in sorted(witness.glob("*.jsonl"))},
                sockets=dict(looker.sockets), processes=looker.processes,
                statuses={role: "\n".join(lines).encode() for role, lines in statuses.items()},
                pages={
                    f"{draft.recipients[0].name} /{name}": _get(evaluation.page + name) for name in PAGES
                },
                chain=read_chain(evaluation.onboarded.url),
            )
            return Observed(
                terms, evaluation.onboarded,
                {
                    "broker": int(evaluation.broker.rpartition(":")[2]),
                    "chain": int(evaluation.onboarded.url.rpartition(":")[2]),
                    **{f"node-{n.number}": int(n.endpoint.rpartition(":")[2]) for n in terms.nodes},
                },
                evidence, in_memory(evidence, terms, looker.pids),
            )
    finally:
        looking.cancel()


def _get(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return answer.read()
