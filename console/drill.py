"""Drills: rehearse a refusal on a copy of a real evaluation, to see that nothing comes out."""

from pathlib import Path
from typing import Literal

from console.workdir import WorkDir
from policy.agreement import Draft

Drill = Literal["unsigned", "unagreed-kpi", "small-cohort", "revoke-mid-run"]
"""unsigned: the last party does not sign. unagreed-kpi: the nodes are told to run a plan that nobody agreed on.
small-cohort: the minimum cohort is larger than the cohort. revoke-mid-run: the last party revokes as soon as the
first run over windows is authorised."""

LARGE_MINIMUM = 1_000_000


def drilled(draft: Draft, drill: Drill | None) -> Draft:
    """The agreement as the drill changes it before anyone signs."""
    if drill != "small-cohort":
        return draft
    disclosure = draft.disclosure.model_copy(update={"minimum_cohort": LARGE_MINIMUM})
    return draft.model_copy(update={"disclosure": disclosure})


def altered_plan(work: WorkDir) -> Path:
    """A plan that nobody agreed on: an agreed one with more outputs, or another rounding."""
    plan = work.terms.plans[0]
    more = {"significant_bits": plan.significant_bits - 1} if "sums" in plan.outputs else {
        "outputs": (*plan.outputs, "sums")
    }
    path = work.root / "unagreed-plan.json"
    path.write_text(plan.model_copy(update=more).model_dump_json(), encoding="utf-8")
    return path
