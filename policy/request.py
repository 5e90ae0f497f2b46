"""Requests: what somebody who may ask asks for, on demand.

A demand names KPIs and one window of the agreement's lattice. It is signed (policy.chain.signing) and every node checks
it by itself (policy.gate). What was released before is not computed again; see docs/adr/0010-requests.md.
"""

import secrets
from collections.abc import Collection, Iterable
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from policy.agreement import Terms
from policy.plan import Plan
from policy.window import MAX_PANES, Window

MAX_KPIS = 32
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Code = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Pair = tuple[str, int]
"""(plan hash, window index): what is computed once and released or suppressed once."""


class Demand(BaseModel):
    """KPIs of one window, asked for by one requester, once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agreement: Hex32
    """Hash of the signed terms."""
    requester: Code
    kpis: tuple[Code, ...] = Field(min_length=1, max_length=MAX_KPIS)
    """In alphabetical order, each once."""
    start: int = Field(ge=0, le=MAX_PANES)
    stop: int = Field(ge=1, le=MAX_PANES)
    """The panes start ≤ pane < stop."""
    nonce: Hex32
    """Drawn anew for every request: a copy of it is not a second request."""

    @field_validator("kpis")
    @classmethod
    def _sorted(cls, kpis: tuple[str, ...]) -> tuple[str, ...]:
        if list(kpis) != sorted(set(kpis)):
            raise ValueError(f"KPIs {', '.join(kpis)}: expected each once, in alphabetical order")
        return kpis

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.stop <= self.start:
            raise ValueError(f"panes {self.start} to {self.stop}: the end must come after the start")
        return self


def new_demand(terms: Terms, requester: str, kpis: Iterable[str], start: int, stop: int) -> Demand:
    """A demand with a fresh nonce.

    Raises:
        pydantic.ValidationError: no KPI, too many, or the end does not come after the start.
    """
    return Demand(
        agreement=terms.hash, requester=requester, kpis=tuple(sorted(set(kpis))), start=start, stop=stop,
        nonce=secrets.token_hex(32),
    )


def demanded_plans(terms: Terms, demand: Demand) -> tuple[Plan, ...]:
    """The plans of the KPIs asked for, in the agreement's order; unknown KPIs are the gate's to refuse."""
    return tuple(p for p in terms.plans if p.kpi in demand.kpis)


def demanded_window(terms: Terms, demand: Demand) -> Window | None:
    """The window asked for, or None if it is not agreed."""
    return terms.draft.lattice.at(demand.start, demand.stop)


def missing_plans(terms: Terms, demand: Demand, covered: Collection[Pair]) -> tuple[Plan, ...]:
    """The plans asked for that no run covers for that window: a new run computes these and no others.

    Args:
        terms: the agreement.
        demand: admitted by the gate.
        covered: pairs that ended (released or suppressed) or that a run under way computes.
    """
    window = demanded_window(terms, demand)
    if window is None:
        return ()
    return tuple(p for p in demanded_plans(terms, demand) if (p.hash, window.index) not in covered)
