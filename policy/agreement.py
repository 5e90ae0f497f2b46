"""Agreements: what the parties sign.

A *draft* is the TOML file that people write: what may be computed, by whom, for whom. *Terms* are a draft plus the
identities (keys) of everyone and the hashes of the permitted plans; their canonical hash is what the parties sign
and the chain anchors.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from policy.alert import MAX_ALERTS, Alert, check_alerts, check_brackets, check_states
from policy.canonical import Anchored
from policy.corrections import Corrections, check_corrections
from policy.disclosure import Disclosure
from policy.erasure import Erasure, check_erasure
from policy.errors import AgreementError, NotToml, PlanError
from policy.faults import fault_lines
from policy.growth import MAX_BATCHES, batch_edges, check_batches, check_dummies, check_renewal
from policy.identity import NODES, NodeIdentity, PartyIdentity, RecipientIdentity, RequesterIdentity, check_apart
from policy.kpi import Text
from policy.lattice import check_lattice
from policy.maturity import Maturities
from policy.measure import EventKind, Measure
from policy.names import NAME, check_names
from policy.plan import Plan
from policy.privacy import MAX_PRIVATE, KpiPrivacy, Rho, check_compiled, check_privacy
from policy.rounding import check_bases
from policy.strata import Strata
from policy.toml import read_toml
from policy.window import MAX_PANES, Lattice, OnDemand, PaneGrid, WindowSpec, lattice_of

MAX_SHARDS = 64
MAX_BLOCK_SLOTS = 65_536
MAX_REQUESTERS = 64
MOST_NAMED = 64
"""Recipients, and KPIs: as many as nodes' messages and records have room for."""
MOST_FAULTS = 5
"""Faults of an agreement named in one message: more, and it is probably another kind of file."""
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2199, 12, 31)
"""Validity and linkage lie between these; a chain counts seconds from the first."""
Day = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY)]
Name = Field(pattern=NAME)
Hex32 = Field(pattern=r"^[0-9a-f]{64}$")


class Frozen(BaseModel):
    """Immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Frozen):
    """One agreed source of a party: the watermark waits for all of them."""

    name: str = Name
    kinds: tuple[EventKind, ...] = Field(min_length=1)
    bound_days: int = Field(default=0, ge=0)
    """Events may arrive this many days after they happened before they count as late."""


class Party(Frozen):
    """A data party: what it streams and how long its panes stay open."""

    name: str = Name
    sources: tuple[Source, ...] = Field(min_length=1)
    grace_panes: int = Field(default=0, ge=0)


class Recipient(Frozen):
    """Who may read which KPIs."""

    name: str = Name
    kpis: tuple[str, ...]

    def check_kpis(self, computed: Sequence[str]) -> None:
        """Raises ValueError: it may read a KPI that is not computed."""
        if strange := [kpi for kpi in self.kpis if kpi not in computed]:
            raise ValueError(
                f"recipient {self.name} may read {', '.join(strange)}, which the agreement does not compute; it "
                f"computes {', '.join(computed)}"
            )


class Requester(Frozen):
    """Who may ask for KPIs on demand, and for whom."""

    name: str = Name
    recipient: str
    """One of the recipients: gets what is asked for, so only this recipient's KPIs may be asked for."""
    runs: int = Field(ge=1, le=100_000)
    """Most new runs; what was released before, or is on its way, costs nothing."""


class Linkage(Frozen):
    """When registers close for linking, and how."""

    date: Day
    """Patients that a party knows by this day (recorded before it) are linked."""
    join: Literal["inner"] = "inner"
    block_slots: int = Field(default=512, ge=8, le=MAX_BLOCK_SLOTS, multiple_of=8)
    dummies: int = Field(default=32, ge=0, le=4_096)
    """Dummy rows that each node adds to each register of each shard; see mpc.linkage."""
    batch_panes: int | None = Field(default=None, ge=1, le=MAX_PANES, exclude_if=lambda agreed: agreed is None)
    """Registers take in new patients every so many panes (Draft.batch_edges). Without it they close once, and terms
    have the hash that they had without such a field.
    """
    renew_batches: int | None = Field(default=None, ge=1, le=MAX_BATCHES, exclude_if=lambda agreed: agreed is None)
    """All batches are linked anew, as one, when the linkage in force has more segments than this; without it never."""


class Quota(Frozen):
    """What all versions of the agreement may use, linkage included; ρ where there is `Draft.privacy`."""

    runs: int = Field(ge=1, le=100_000)
    rho: Rho | None = Field(default=None, exclude_if=lambda agreed: agreed is None)


class Draft(Frozen):
    """An agreement as people write it."""

    name: str = Name
    title: Text
    supersedes: Annotated[str, Hex32] | None = Field(default=None, exclude_if=lambda agreed: agreed is None)
    """The id on the chain of the agreement whose place this one takes; without it terms have the hash of before."""
    purposes: tuple[str, ...] = Field(min_length=1)
    """W3C DPV terms."""
    data_categories: tuple[str, ...] = Field(min_length=1)
    valid_from: Day
    valid_until: Day
    shards: int = Field(default=1, ge=1, le=MAX_SHARDS)
    panes: PaneGrid
    windows: WindowSpec
    maturities: Maturities = Maturities()
    linkage: Linkage
    disclosure: Disclosure
    quota: Quota
    parties: tuple[Party, ...] = Field(min_length=2, max_length=5)
    measures: tuple[Measure, ...]
    recipients: tuple[Recipient, ...] = Field(min_length=1, max_length=MOST_NAMED)
    kpis: tuple[str, ...] = Field(min_length=1, max_length=MOST_NAMED)
    """Catalogue names, or paths of KPI programs relative to the agreement file."""
    strata: Strata | None = None
    """If given, every KPI's strata; otherwise each KPI program says its own."""
    on_demand: OnDemand | None = None
    """Windows that may be asked for beside the scheduled ones; without it, only scheduled ones may."""
    requesters: tuple[Requester, ...] = Field(default=(), max_length=MAX_REQUESTERS)
    alerts: tuple[Alert, ...] = Field(default=(), max_length=MAX_ALERTS)
    corrections: Corrections | None = None
    """Without it nothing is ever too old, and a party remembers every event."""
    erasure: Erasure | None = Field(default=None, exclude_if=lambda agreed: agreed is None)
    """Without it nothing is erased at the nodes, and terms have the hash that they had without such a table."""
    privacy: tuple[KpiPrivacy, ...] = Field(default=(), max_length=MAX_PRIVATE, exclude_if=lambda agreed: not agreed)
    """KPIs whose figures have noise; without it terms have the hash of before."""

    @model_validator(mode="after")
    def _consistent(self) -> "Draft":
        names = [p.name for p in self.parties]
        check_names(names, [r.name for r in self.recipients], [r.name for r in self.requesters])
        for requester in self.requesters:
            if requester.recipient not in (readers := [r.name for r in self.recipients]):
                raise ValueError(
                    f"requester {requester.name}: {requester.recipient!r} is not a recipient; expected one of "
                    f"{', '.join(readers)}"
                )
        measures = [m.name for m in self.measures]
        if len(set(measures)) != len(measures):
            raise ValueError("measure names repeat")
        for m in self.measures:
            if m.party not in names:
                raise ValueError(f"measure {m.name}: party {m.party!r} is not one of {', '.join(names)}")
            for other in (m.of, m.at_risk):
                twin = next((x for x in self.measures if x.name == other), None)
                if other is not None and (twin is None or twin.party != m.party):
                    raise ValueError(f"measure {m.name} refers to {other!r}, which is not a measure of {m.party}")
        if self.strata is not None:
            self.strata.check_measures(measures)
        for party in self.parties:
            _check_sources(party, self.party_measures(party.name))
        if self.valid_until <= self.valid_from:
            raise ValueError(
                f"valid_until must be after valid_from, {self.valid_from}; found {self.valid_until}. Take a later day."
            )
        if not self.lattice.scheduled:
            raise ValueError(f"{self.panes.count} panes hold none of the agreed {self.windows.words()}")
        check_states(self.alerts, [r.name for r in self.recipients], len(self.lattice.scheduled))
        self.maturities.check_calendar(self.panes.first_day(self.panes.count))
        graces = {p.name: p.grace_panes for p in self.parties}
        check_corrections(self.corrections, graces, self.maturities, self.panes.shortest_days)
        check_erasure(self.erasure, self.disclosure.minimum_cohort, self.panes.count, self.linkage.block_slots)
        check_batches(self.linkage.batch_panes, self.panes, self.linkage.date, self.quota.runs)
        check_renewal(self.linkage.renew_batches, len(self.batch_edges), self.quota.runs)
        check_dummies(self.linkage.dummies, len(names), grows=bool(self.batch_edges))
        check_privacy(self.privacy, self.quota.rho, self.linkage.renew_batches)
        return self

    @property
    def batch_edges(self) -> tuple[int, ...]:
        """The panes at whose start the registers' later batches open, ascending: multiples of `linkage.batch_panes`
        that begin after the linkage date. Batch g ≥ 1 opens at `batch_edges[g - 1]`.
        """
        return batch_edges(self.linkage.batch_panes, self.panes, self.linkage.date)

    @property
    def lattice(self) -> Lattice:
        """Every window of this agreement."""
        return lattice_of(self.panes.count, self.windows, self.on_demand, len(self.maturities.editions))

    @property
    def reads(self) -> dict[str, tuple[str, ...]]:
        """Recipient → KPIs that it may read."""
        return {recipient.name: recipient.kpis for recipient in self.recipients}

    def party(self, name: str) -> Party:
        """The party of that name.

        Raises:
            AgreementError: no such party.
        """
        for found in self.parties:
            if found.name == name:
                return found
        raise AgreementError(f"no party {name!r}; the agreement has {', '.join(p.name for p in self.parties)}")

    def party_measures(self, party: str) -> tuple[Measure, ...]:
        """A party's measures, in the agreement's order."""
        return tuple(m for m in self.measures if m.party == party)


def _check_sources(party: Party, measures: tuple[Measure, ...]) -> None:
    """Without a source, a measure would be 0 for everyone in silence."""
    names = [s.name for s in party.sources]
    if len(set(names)) != len(names):
        raise ValueError(f"party {party.name}: source names repeat: {', '.join(names)}")
    kinds = {kind for source in party.sources for kind in source.kinds}
    for measure in measures:
        if measure.needs is not None and measure.needs not in kinds:
            raise ValueError(
                f"measure {measure.name} needs events of kind {measure.needs!r}; the sources of {party.name} have "
                f"{', '.join(sorted(kinds))}. Add the kind to one of them, or leave the measure out"
            )


class Terms(Anchored):
    """What is signed: the draft, everyone's identity, and the permitted plans."""

    version: Literal[1] = 1
    draft: Draft
    parties: tuple[PartyIdentity, ...]
    nodes: tuple[NodeIdentity, ...] = Field(min_length=NODES, max_length=NODES)
    recipients: tuple[RecipientIdentity, ...]
    plans: tuple[Plan, ...]
    requesters: tuple[RequesterIdentity, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> "Terms":
        for label, drafted, known in (
            ("party", [p.name for p in self.draft.parties], [p.name for p in self.parties]),
            ("recipient", [r.name for r in self.draft.recipients], [r.name for r in self.recipients]),
            ("node", list(range(NODES)), [n.number for n in self.nodes]),
            ("requester", [r.name for r in self.draft.requesters], [r.name for r in self.requesters]),
        ):
            if drafted != known:
                raise ValueError(f"{label} identities {known} do not match the draft's {drafted}")
        check_apart(self.parties, self.nodes, self.recipients, self.requesters)
        if other := [p.kpi for p in self.plans if p.table != self.draft.disclosure.tables]:
            raise ValueError(
                f"KPI {other[0]} releases tables otherwise than agreed ({self.draft.disclosure.tables}). Compile again"
            )
        kpis = [p.kpi for p in self.plans]
        if len(set(kpis)) != len(kpis):
            raise ValueError(f"KPI ids repeat: {', '.join(kpis)}")
        for recipient in self.draft.recipients:
            recipient.check_kpis(kpis)
        check_compiled(self.draft.privacy, self.draft.lattice, {p.kpi: p.privacy for p in self.plans})
        try:
            if self.draft.strata is not None:
                self.draft.strata.check_plans(self.plans)
            measures = {m.name: m for m in self.draft.measures}
            check_bases(self.plans, measures, self.draft.disclosure.rounding)
            check_lattice(measures, self.plans, self.draft.lattice)
            check_alerts(self.draft.alerts, self.plans)
            check_brackets(self.draft.alerts, self.plans, self.draft.reads)
        except PlanError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def plan_hashes(self) -> frozenset[str]:
        """Hashes of the plans that may run."""
        return frozenset(p.hash for p in self.plans)


def load_draft(path: Path) -> Draft:
    """Read an agreement from TOML.

    Raises:
        AgreementError: unreadable, not TOML, or not an agreement; the message names the field.
    """
    try:
        return Draft.model_validate(read_toml(path))
    except OSError as error:
        raise AgreementError(f"cannot read agreement {path}: {error.strerror}") from error
    except NotToml as error:
        raise AgreementError(f"agreement {path} is not TOML: {error}") from error
    except ValidationError as error:
        lines = fault_lines(error)
        more = f"; and {len(lines) - MOST_FAULTS} more" if len(lines) > MOST_FAULTS else ""
        raise AgreementError(f"agreement {path}: {'; '.join(lines[:MOST_FAULTS])}{more}") from error
