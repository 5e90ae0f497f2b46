"""What `winnow topics` does: list what a cluster's operator has to make for an agreement, or make it."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from console.agreement.subject import load_subject
from console.output import standard_output
from console.request import run_command
from evaluation.config import OperatorSettings, load_settings
from evaluation.errors import EXIT_ENDED
from policy.agreement import Draft
from streams.access import Rule, rules, users
from streams.admin import create_topics, grant
from streams.topics import Topic, all_topics


def topics(file: Path, make: Path | None, *, as_json: bool) -> int:
    """Run `winnow topics`; returns the exit code."""
    return run_command(_topics(file, make, as_json=as_json))


async def _topics(file: Path, make: Path | None, *, as_json: bool) -> int:
    draft = load_subject(file).draft
    wanted, allowed = all_topics(draft), rules(draft)
    if make is not None:
        broker = load_settings(make, OperatorSettings).broker
        await create_topics(broker, wanted)
        if broker.login is not None:
            await grant(broker, allowed)
        else:
            allowed = ()
    with standard_output():
        if as_json:
            sys.stdout.write(json.dumps({
                "topics": [asdict(topic) for topic in wanted], "users": users(draft),
                "rules": [asdict(rule) for rule in allowed], "made": make is not None,
            }, indent=1) + "\n")
        elif make is None:
            sys.stdout.writelines(f"{line}\n" for line in _listed(draft, wanted, allowed))
        else:
            access = f"{len(allowed)} rules of access" if allowed else "no rules of access, since [broker] has no user"
            sys.stdout.write(f"Agreement {draft.name} has its {len(wanted)} topics now, and {access}.\n")
    return EXIT_ENDED


def _listed(draft: Draft, wanted: tuple[Topic, ...], allowed: tuple[Rule, ...]) -> list[str]:
    width = max(len(topic.name) for topic in wanted)
    lines = [f"Topics of agreement {draft.name}; nothing was made:"]
    for topic in wanted:
        kept = "compacted" if topic.compacted else f"{topic.retention_days} days"
        lines.append(f"  {topic.name:{width}}  {topic.partitions} partition{'s' * (topic.partitions != 1)}, {kept}")
    lines.append("Users, each with a password of its own, and what they may do:")
    for user in users(draft):
        lines.append(f"  {user}")
        lines += [f"    {r.operation} {r.resource} {r.name}" for r in allowed if r.user == user]
    return lines
