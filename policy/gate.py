"""The gate for requests, and before and during a run: pure decisions of one node over facts that it gathered itself.

Each rule is a small function of the facts that returns a refusal or None. Every node decides by itself and can
refuse alone. What may come out *after* the computation is decided on shares, in mpc.disclosure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from policy.agreement import Requester, Terms
from policy.privacy import in_rho
from policy.request import Demand, demanded_plans

AgreementState = Literal["unknown", "proposed", "signed", "active", "suspended", "superseded", "revoked", "expired"]


AGREEMENT_ACTIVE = "agreement-active"


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
    """By all versions of the agreement."""
    run_quota: int
    block_hash: str = ""
    suspended_by: tuple[str, ...] = ()
    """Parties that suspend it."""
    latest: str | None = None
    """The id on the chain of its version that came into force last."""
    requester_runs: Mapping[str, int] = field(default_factory=dict)
    """Requester → runs, by all versions."""
    version: int = 1
    """Its place among those that supersede each other; 0 of an unknown one."""
    privacy_budget: int = 0
    """In millionths of ρ."""
    budget_spent: int = 0
    """Of it, by all versions."""


@dataclass(frozen=True)
class RunRequest:
    """What is to run."""

    plan_hashes: tuple[str, ...]
    windows: tuple[tuple[int, int], ...]
    """(start, stop) in panes; empty for a linkage run."""
    already_authorised: bool = False
    requester: str | None = None
    """On whose demand; None: on schedule."""
    erased_panes: int = 0
    """Leading panes in which rows are erased."""
    owed: tuple[tuple[str, int], ...] = ()
    """KPI with privacy that is not paid for in this edition, and what it costs in millionths of ρ."""


@dataclass(frozen=True)
class DemandFacts:
    """What a node knows of a request, besides its text."""

    signer: str | None
    """Whose key signed it for this contract and agreement; None: nobody's."""
    nonce_seen: bool
    """Whether this requester used the nonce before."""
    complete_panes: int
    """Panes whose inputs are complete."""
    needs_run: bool
    """Whether something asked for was neither released or suppressed before, nor is under way."""
    runs_used: int
    """New runs of this requester."""
    erased_panes: int = 0
    """Leading panes in which rows are erased."""


def state_phrase(facts: AgreementFacts) -> str:
    """The agreement's state in words, with who has not signed, who suspends it, or what came instead."""
    more = ""
    if facts.missing:
        more = f"; not signed by {', '.join(facts.missing)}"
    elif facts.state == "suspended":
        more = f" by {', '.join(facts.suspended_by)}"
    elif facts.state == "superseded":
        more = f" by version {(facts.latest or '')[:16]}"
    return f"{facts.state} at block {facts.block_number}{more}"


def agreement_active(terms: Terms, facts: AgreementFacts, request: RunRequest) -> Refusal | None:
    """All parties have signed, it came into force, and it is neither suspended, superseded, revoked nor over."""
    if facts.state == "active":
        return None
    steps: Mapping[AgreementState, str] = {
        "unknown": "propose it, or correct agreement_id",
        "proposed": f"let {', '.join(facts.missing) or 'every party'} sign",
        "signed": "let a party activate it",
        "suspended": f"let {', '.join(facts.suspended_by)} resume it",
        "superseded": f"install the terms of version {(facts.latest or '')[:16]}, in a folder of their own",
        "revoked": "propose a new agreement; no version can follow this one",
        "expired": "agree on new dates in a new version",
    }
    return Refusal(AGREEMENT_ACTIVE, state_phrase(facts), "active, signed by every party", steps[facts.state])


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
                   f"{lattice.spec.words()}{longest}", "ask for an agreed window")


def erased_panes(terms: Terms, facts: AgreementFacts, request: RunRequest) -> Refusal | None:
    """No window begins among panes in which rows are erased.

    One erased row among padding may be a patient's: a result made of what is left, beside one from before, would be
    about that patient.
    """
    return windows_left(terms, [start for start, _ in request.windows], request.erased_panes)


def windows_left(terms: Terms, starts: Sequence[int], erased: int) -> Refusal | None:
    """Windows that start with these panes all start after the `erased` leading ones, in which rows are erased."""
    early = min(starts, default=erased)
    if early >= erased:
        return None
    grid = terms.draft.panes
    begins, open_from = (grid.first_day(min(pane, grid.count)) for pane in (early, erased))
    return Refusal("erased-panes", f"a window from {begins}", f"windows from {open_from} on",
                   "ask for a later window; what was released of earlier ones stays")


def quota_left(terms: Terms, facts: AgreementFacts, request: RunRequest) -> Refusal | None:
    """The agreement still has a run left, and one for each privacy budget that is to be reserved."""
    needed = (not request.already_authorised) + len(request.owed)
    if not needed or facts.runs_used + needed <= facts.run_quota:
        return None
    return Refusal("quota", f"{facts.runs_used} runs used", f"fewer than {facts.run_quota - needed + 1}",
                   "agree on a higher quota in a new version")


def privacy_budget_left(terms: Terms, facts: AgreementFacts, request: RunRequest) -> Refusal | None:
    """As much privacy is left as KPIs cost of which nothing came out in this edition yet."""
    left, cost = max(facts.privacy_budget - facts.budget_spent, 0), sum(price for _, price in request.owed)
    if cost <= left:
        return None
    return Refusal(
        "privacy-budget-left", f"ρ = {in_rho(left)} left of {in_rho(facts.privacy_budget)}",
        f"{in_rho(cost)} for {', '.join(kpi for kpi, _ in request.owed)}",
        "agree on a higher quota.rho, or on fewer KPIs, in a new version; what was released stays",
    )


def requester_quota_left(terms: Terms, facts: AgreementFacts, request: RunRequest) -> Refusal | None:
    """The requester still has a run left, as the chain counts them."""
    if request.already_authorised or request.requester is None:
        return None
    most = next((r.runs for r in terms.draft.requesters if r.name == request.requester), 0)
    used = facts.requester_runs.get(request.requester, 0)
    if used < most:
        return None
    return Refusal("requester-quota-left", f"{used} runs used in all versions", f"fewer than {most}",
                   "ask for what was released before, or agree on more in a new version")


def revisions_left(terms: Terms, used: int) -> Refusal | None:
    """Another run may make full editions; `used`: runs that made some."""
    most = terms.draft.maturities.revisions or 0
    if used < most:
        return None
    return Refusal("revision-quota", f"{used} runs of full editions", f"fewer than {most}",
                   "agree on more in a new version; the provisional editions stay")


def requester_known(terms: Terms, demand: Demand, facts: DemandFacts) -> Refusal | None:
    """The agreement names the requester."""
    names = [r.name for r in terms.requesters]
    if demand.requester in names:
        return None
    return Refusal("requester-known", demand.requester, f"one of {', '.join(names)}" if names else "nobody may ask",
                   "agree on the requester in a new version")


def request_agreement(terms: Terms, demand: Demand, facts: DemandFacts) -> Refusal | None:
    """It was asked under this agreement."""
    if demand.agreement == terms.hash:
        return None
    return Refusal("request-agreement", demand.agreement[:16], terms.hash[:16], "ask under the signed terms")


def request_signed(terms: Terms, demand: Demand, facts: DemandFacts) -> Refusal | None:
    """The requester's own key signed it, for this contract and this agreement."""
    key = next((r.address.lower() for r in terms.requesters if r.name == demand.requester), None)
    if key is not None and facts.signer is not None and facts.signer.lower() == key:
        return None
    return Refusal("request-signed", "another key's signature" if facts.signer else "no valid signature",
                   f"signed by {demand.requester}'s key {key or '(none is agreed)'}", "sign with the agreed key")


def request_fresh(terms: Terms, demand: Demand, facts: DemandFacts) -> Refusal | None:
    """It is not a copy of an earlier request."""
    if not facts.nonce_seen:
        return None
    return Refusal("request-fresh", f"nonce {demand.nonce[:16]} for the second time", "a nonce that was never used",
                   "ask again with a new nonce")


def kpis_permitted(terms: Terms, demand: Demand, facts: DemandFacts) -> Refusal | None:
    """Every KPI is one that the requester's recipient may read."""
    requester = _requester(terms, demand)
    allowed = () if requester is None else next(
        r.kpis for r in terms.draft.recipients if r.name == requester.recipient
    )
    strange = [kpi for kpi in demand.kpis if kpi not in allowed]
    if not strange:
        return None
    reader = f"{requester.recipient} may read {', '.join(allowed)}" if requester else "an agreed requester"
    return Refusal("kpis-permitted", strange[0], reader, "leave the KPI out, or agree on it in a new version")


def window_sealed(terms: Terms, demand: Demand, facts: DemandFacts) -> Refusal | None:
    """All inputs of the window are complete."""
    if demand.stop <= facts.complete_panes:
        return None
    grid = terms.draft.panes
    until = grid.first_day(min(max(facts.complete_panes, 0), grid.count))
    needed = grid.first_day(demand.stop) if demand.stop <= grid.count else f"pane {demand.stop}"
    return Refusal("window-sealed", f"inputs complete before {until}", f"complete before {needed}",
                   "ask for an earlier window, or wait until all parties have delivered")


def requester_quota(terms: Terms, demand: Demand, facts: DemandFacts) -> Refusal | None:
    """The requester still has a new run left; what needs none costs none."""
    requester = _requester(terms, demand)
    most = 0 if requester is None else requester.runs
    if not facts.needs_run or facts.runs_used < most:
        return None
    return Refusal("requester-quota", f"{facts.runs_used} new runs used", f"fewer than {most}",
                   "ask for what was released before, or agree on more in a new version")


def _requester(terms: Terms, demand: Demand) -> Requester | None:
    return next((r for r in terms.draft.requesters if r.name == demand.requester), None)


Rule = Callable[[Terms, AgreementFacts, RunRequest], Refusal | None]
QUOTAS: tuple[Rule, ...] = (quota_left, requester_quota_left, privacy_budget_left)
"""Rules about what the chain counts, which a run passes that is authorised and paid for already."""
BEFORE: tuple[Rule, ...] = (
    agreement_active, terms_agreed, within_validity, plan_permitted, window_on_lattice, erased_panes, *QUOTAS,
)
DURING: tuple[Rule, ...] = (agreement_active, terms_agreed)


def before(terms: Terms, facts: AgreementFacts, request: RunRequest) -> tuple[Refusal, ...]:
    """Every rule's refusal before a run, at a finalised block; empty when it may proceed."""
    return tuple(r for rule in BEFORE if (r := rule(terms, facts, request)) is not None)


def checked(terms: Terms, facts: AgreementFacts, request: RunRequest) -> tuple[tuple[str, Refusal | None], ...]:
    """(rule, its refusal or None) of every rule before a run."""
    return tuple((_name(rule), rule(terms, facts, request)) for rule in BEFORE)


def during(terms: Terms, facts: AgreementFacts, request: RunRequest) -> tuple[Refusal, ...]:
    """Refusals between phases, at the latest block: a revocation or suspension counts as soon as it is mined."""
    return tuple(r for rule in DURING if (r := rule(terms, facts, request)) is not None)


DemandRule = Callable[[Terms, Demand, DemandFacts], Refusal | None]
DEMAND: tuple[DemandRule, ...] = (
    requester_known, request_agreement, request_signed, request_fresh, kpis_permitted, window_sealed, requester_quota,
)


def demand_rules() -> tuple[str, ...]:
    """Names of the rules that a request must pass, beside those of its run."""
    return tuple(_name(rule) for rule in DEMAND)


def admission(terms: Terms, facts: AgreementFacts, demand: Demand, known: DemandFacts) -> Refusal | None:
    """The first refusal of a request, as far as a node can tell before it knows the run.

    What the chain counts is not asked here: the run may have been authorised in an attempt before, and be counted.
    """
    quotas = [_name(rule) for rule in QUOTAS]
    found = verdicts(terms, facts, demand, known)
    return next((refusal for name, refusal in found if refusal is not None and name not in quotas), None)


def verdicts(
    terms: Terms, facts: AgreementFacts, demand: Demand, known: DemandFacts
) -> tuple[tuple[str, Refusal | None], ...]:
    """(rule, its refusal or None) of every rule for a request: first whose it is, then whether the agreement lets it.

    A request is admitted if no rule refuses it; otherwise the first refusal is the answer.
    """
    request = RunRequest(
        plan_hashes=tuple(sorted(p.hash for p in demanded_plans(terms, demand))),
        windows=((demand.start, demand.stop),), already_authorised=not known.needs_run, requester=demand.requester,
        erased_panes=known.erased_panes if known.needs_run else 0,
    )
    return (
        *((_name(rule), rule(terms, demand, known)) for rule in DEMAND),
        *checked(terms, facts, request),
    )


def _name(rule: Rule | DemandRule) -> str:
    """The rule's name as refusals give it."""
    return {"quota_left": "quota"}.get(rule.__name__, rule.__name__.replace("_", "-"))
