"""A process that hangs is named, and ends the evaluation within its time."""

import os
import signal
import time
from pathlib import Path

import pytest

from console.cohort.generate import generate
from console.cohort.shape import Shape
from console.local import LocalEvaluation
from evaluation.errors import Unreachable
from policy.agreement import load_draft
from policy.compilation import load_kpis
from tests.support.command import alive, children

AGREEMENT = Path(__file__).parents[1] / "support" / "agreements" / "quick.toml"
MUTE_SECONDS = 12.0


async def test_a_stopped_node_is_noticed_and_named(tmp_path):
    summary = generate(
        tmp_path / "data", shape=Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)
    )
    draft, stopped = load_draft(AGREEMENT), []
    ours = set(children(os.getpid()))  # what other tests share and keep, such as a broker

    def stop_node(status):
        if status["process"] == "node-1" and status["phase"] == "shares" and not stopped:
            node = next(pid for pid, command in children(os.getpid()).items() if "node-1/config.toml" in command)
            os.kill(node, signal.SIGSTOP)
            stopped.extend((time.monotonic(), *(set(children(os.getpid())) - ours)))

    evaluation = LocalEvaluation(
        draft, load_kpis(draft, AGREEMENT.parent), summary.parties, tmp_path / "work", stop_node,
        mute_seconds=MUTE_SECONDS,
    )
    with pytest.raises(Unreachable, match="process node-1 was stopped from outside: it gave no sign of life"):
        async with evaluation.run():
            pass
    began, *family = stopped
    assert len(family) >= 6  # broker, chain, three nodes, recipient; a party may be done
    assert time.monotonic() - began < MUTE_SECONDS + 10
    assert not [pid for pid in family if alive(pid)]
