"""A whole system in which every organisation has its own idea of when a block is final."""

import json
from pathlib import Path

import pytest

from console.cohort.generate import generate
from console.cohort.shape import Shape
from console.system import LocalSystem
from evaluation.agreement import open_registry
from evaluation.config import NodeSettings, load_settings
from policy.agreement import load_draft
from policy.chain.reader import wait
from policy.compilation import load_kpis
from tests.support.command import compare
from tests.support.oracle import expect

AGREEMENT = Path(__file__).parents[1] / "support" / "agreements" / "quick.toml"
SHAPE = Shape(patients=600, weeks=12, seed=3, enrolled=0.5, uptake_weeks=2.0)
LIMIT_SECONDS = 240
FINALITY = {
    "node-1": {"tag": False, "confirmations": 1}, "node-2": {"confirmations": 6, "seconds": 45},
    "hospital": {"tag": False, "confirmations": 3},
}
"""By process; the others go by what the client calls final, two blocks behind the head."""


@pytest.mark.timeout(600)
async def test_nodes_with_other_depths_compute_together_at_the_deepest(tmp_path):
    folders = generate(tmp_path / "cohort", shape=SHAPE).parties
    draft = load_draft(AGREEMENT)
    async with LocalSystem(
        draft, load_kpis(draft, AGREEMENT.parent), folders, tmp_path / "work", block_seconds=0.25
    ) as system:
        for name, finality in FINALITY.items():
            settings = system._roles[name].settings
            settings["chain"] = {**settings["chain"], "finality": finality}
        system.start()
        await system.wait_for("innovation-team", "complete", LIMIT_SECONDS)
        document = json.loads(system.work.document("innovation-team").read_text())
        cells, sums = compare(document, expect(AGREEMENT, folders))
        assert sums == 4 * cells > 0

        configured = load_settings(system.work.configuration("node-2"), NodeSettings).chain
        assert configured.finality.confirmations == FINALITY["node-2"]["confirmations"]
        async with open_registry(configured, system.work.terms) as registry:
            async def ended():
                events = await registry.events(configured.agreement_id, at="latest")
                left = {e.values["runId"] for e in events if e.name == "RunGivenUp"}  # the place after the last run
                begun = {e.values["runId"]: e.block_number for e in events if e.name == "RunAuthorised"}
                begun = {run: block for run, block in begun.items() if run not in left}
                told = [e for e in events if e.name == "RunAttested"]
                return (begun, told) if len(told) == 3 * len(begun) else None

            authorised, attested = await wait(ended, 30, "all attestations")
        assert len(authorised) > 1
        for event in attested:
            # Whoever is content with less waits for node 2, before anything is opened.
            behind = event.block_number - authorised[event.values["runId"]]
            assert behind > FINALITY["node-2"]["confirmations"], event
