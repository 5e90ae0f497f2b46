"""What `winnow alert test` does: a test message to every address of a file."""

import asyncio
import secrets
import sys
from pathlib import Path

from console.notice import trial_notice
from console.output import standard_output
from evaluation.courier import Target, carry, check_targets, load_targets
from evaluation.delivery import Errand, Outcome
from evaluation.errors import EXIT_ENDED, EXIT_UNREACHABLE, ConfigError
from evaluation.rows import RowSeal

ATTEMPT_SECONDS = 30.0


def send_tests(path: Path) -> int:
    """Send one message to each address, once; returns the exit code."""
    try:
        targets = load_targets(path, RowSeal(b"", ""))
        outcomes = asyncio.run(_send(path, targets))
    except ConfigError as error:
        sys.stderr.write(f"winnow: {error}\n")
        return error.exit_code
    with standard_output():
        for target, outcome in zip(targets, outcomes, strict=True):
            said = "took the message" if outcome.done else f"did not take the message: {outcome.reason}"
            sys.stdout.write(f"{target.name} {said}\n")
    return EXIT_ENDED if all(o.done for o in outcomes) else EXIT_UNREACHABLE


async def _send(path: Path, targets: tuple[Target, ...]) -> list[Outcome]:
    await check_targets(path, targets)
    title, body = trial_notice()
    return [
        await carry(Errand(url=t.url, id=secrets.token_hex(20), title=title, body=body), ATTEMPT_SECONDS)
        for t in targets
    ]
