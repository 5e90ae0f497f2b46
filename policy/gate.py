"""The gate before and during a run: pure decisions of one node over facts that it gathered itself.

Each rule is a small function of the facts that returns a refusal or None. Every node decides by itself and can
refuse alone. What may come out *after* the computation is decided on shares, in mpc.disclosure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from policy.agreement import Terms

AgreementState = Literal["unknown", "proposed", "active", "revoked", "expired"]


@dataclass(frozen=True)
class Refusal:
    """Why a node will not go on; `found` is None where it would depend on the data."""

    rule: str
    found: str | None
    required: str
    next_step: str


@dataclass(frozen=True)
class AgreementFacts:
    """What the chain says of the agreement, read at one block."""

    state: AgreementState
    terms_hash: str
    missing: tuple[str, ...]
    """Parties that have not signed."""
    block_number: int
    block_time: datetime
    runs_used: int
    run_quota: int


@dataclass(frozen=True)
class RunRequest:
    """What is to run."""

    plan_hashes: tuple[str, ...]
    windows: tuple[tuple[int, int], ...]
    """(start, stop) in panes; empty for a linkage run."""
    already_authorised: bool = False


def state_phrase(facts: AgreementFacts) -> str:
    """The agreement's state in words, with who has not signed."""
    missing = f"; not signed by {', '.join(facts.missing)}" if facts.missing else ""
    return f"{facts.state} at block {facts.block_number}{missing}"


def agreement_active(terms: Terms, facts: AgreementFacts, request: RunRequest) -> Refusal | None:
    """All parties have signed, and none has revoked."""
    if facts.state == "active":
        return None
    return Refusal("agreement-active", state_phrase(facts), "active, signed by every party",
                   "let every party sign, or propose a new agreement")


def terms_agreed(terms: Terms, facts: AgreementFacts, request: RunRequest) -> Refusal | None:
    """This node's copy of the terms is the one that was signed."""
    if facts.terms_hash == terms.hash:
        return None
    return Refusal("terms-agreed", facts.terms_hash[:16], terms.hash[:16],
                   "install the terms that the parties signed")


def within_validity(terms: Terms, facts: AgreementFacts, request: RunRequest) -> Refusal | None:
    """The block's time lies within the agreement's dates."""
    first, last = terms.draft.valid_from, terms.draft.valid_until
    today = facts.block_time.astimezone(UTC).date()
    if first <= today <= last:
        return None
    return Refusal("within-validity", today.isoformat(), f"{first} to {last}", "agree on new dates")


def plan_permitted(terms: Terms, facts: AgreementFacts, request: RunRequest) -> Refusal | None:
    """Every plan is, to the letter, one that the parties signed."""
    strange = [h for h in request.plan_hashes if h not in terms.plan_hashes]
    if not strange:
        return None
    return Refusal("plan-permitted", f"plan {strange[0][:16]}",
                   "one of " + ", ".join(f"{p.kpi} ({p.hash[:16]})" for p in terms.plans),
                   "remove the KPI, or agree on it in a new version")


def window_on_lattice(terms: Terms, facts: AgreementFacts, request: RunRequest) -> Refusal | None:
    """Every window is one of the agreement's: scheduled, or agreed for requests."""
    lattice = terms.draft.lattice
    strange = [w for w in request.windows if lattice.at(*w) is None]
    if not strange:
        return None
    start, stop = strange[0]
    longest = "" if lattice.on_demand is None else f"; on demand up to {lattice.on_demand.largest} from edge to edge"
    return Refusal("window-on-lattice", f"panes {start} to {stop}",
                   f"size {lattice.spec.size}, step {lattice.spec.step}{longest}", "ask for an agreed window")


def quota_left(terms: Terms, facts: AgreementFacts, request: RunRequest) -> Refusal | None:
    """The agreement still has a run left."""
    if request.already_authorised or facts.runs_used < facts.run_quota:
        return None
    return Refusal("quota", f"{facts.runs_used} runs used", f"fewer than {facts.run_quota}",
                   "agree on a higher quota in a new version")


Rule = Callable[[Terms, AgreementFacts, RunRequest], Refusal | None]
BEFORE: tuple[Rule, ...] = (
    agreement_active, terms_agreed, within_validity, plan_permitted, window_on_lattice, quota_left,
)
DURING: tuple[Rule, ...] = (agreement_active, terms_agreed)


def before(terms: Terms, facts: AgreementFacts, request: RunRequest) -> tuple[Refusal, ...]:
    """Every rule's refusal before a run, at a finalised block; empty when it may proceed."""
    return tuple(r for rule in BEFORE if (r := rule(terms, facts, request)) is not None)


def during(terms: Terms, facts: AgreementFacts, request: RunRequest) -> tuple[Refusal, ...]:
    """Refusals between phases, at the latest block: a revocation counts as soon as it is mined."""
    return tuple(r for rule in DURING if (r := rule(terms, facts, request)) is not None)
