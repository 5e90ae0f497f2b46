"""Differential privacy of a series of sums over windows: how much noise it needs, and what it spends.

The unit is a patient over the whole horizon: who is left out of all panes should change nothing that anybody can see.
Atoms (policy.window) are the leaves of a binary tree; each node of the tree has noise of its own, drawn once, and a
window is the sum of the few nodes that make it up (Chan, Shi and Song, ACM TISSEC 2011; Dwork et al., STOC 2010). So a
series is charged once, however many windows of it are released, and errors grow with the logarithm of the longest one.
Accounting is by zero-concentrated differential privacy (Bun and Steinke, TCC 2016): a ρ adds up over series.
"""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from policy.window import Lattice

MAX_PRIVATE = 1_000
UNITS = 10**6
"""On the chain ρ is counted in millionths."""
GROUPS = 8
"""Patients are put into so many groups by chance where an interval comes out; its width follows from how the groups'
noisy sums differ."""
NODES_PARTS = Fraction(3, 2)
"""All the noise there is, where two nodes' parts are what is needed."""
FARTHEST = 16
"""Noise beyond so many standard deviations has a probability below 10⁻⁵⁵."""
LEAST_VARIANCE = 8
"""Of the noise that two nodes add: what their sum differs from a discrete Gaussian by is then below 10⁻¹⁵ in ρ's place
(10·exp(−π²σ²) with σ² of one of them; Kairouz, Liu and Steinke, ICML 2021, Theorem 1)."""

MOST_DELTA = Fraction(1, 1000)
"""A mechanism that publishes the records of a share δ of patients is (0, δ)-private, so that a large δ says nothing."""

Rho = Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,6})?$")]
"""An exact decimal number, so that the chain can count it."""
Delta = Annotated[str, Field(pattern=r"^0\.[0-9]{1,15}$")]


class KpiPrivacy(BaseModel):
    """What an agreement says of one KPI."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kpi: str
    """Its id."""
    rho: Rho
    """What all its figures of one edition may spend together: ρ of zero-concentrated differential privacy."""
    delta: Delta
    """For which ε is said; it changes no noise. At most MOST_DELTA."""

    @field_validator("rho", "delta")
    @classmethod
    def _some(cls, written: str) -> str:
        if not Fraction(written):
            raise ValueError(f"found {written}, expected more than 0")
        return written

    @field_validator("delta")
    @classmethod
    def _small(cls, written: str) -> str:
        if Fraction(written) > MOST_DELTA:
            raise ValueError(
                f"found {written}, expected at most {float(MOST_DELTA)}, and less than 1 in so many patients as there "
                "are: a share of patients as large as δ may lose all privacy"
            )
        return written


class Horizon(BaseModel):
    """What of an agreement's lattice decides how much noise there is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    panes: int = Field(ge=1)
    """From the first window's start to the last one's end."""
    atoms: int = Field(ge=1)
    """The pieces into which all windows cut these: the leaves of the tree."""
    atom_panes: int = Field(ge=1)
    """Of the longest atom."""
    window_atoms: int = Field(ge=1)
    """Most atoms of a window."""
    windows: int = Field(ge=1)
    """Scheduled ones."""


class Privacy(BaseModel):
    """Differential privacy of a plan's figures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rho: Rho
    delta: Delta
    horizon: Horizon

    @property
    def epsilon(self) -> float:
        """Of one edition, for `delta`."""
        return epsilon(float(self.rho), float(self.delta))


class SumNoise(NamedTuple):
    """What one of a plan's sums gets, in every cell, arm and group."""

    squared: int
    """Δ²: what one patient changes all that it is added to by, squared and added up over cells, arms and groups."""
    variance: Fraction
    """Of each draw, as two nodes add it up."""
    draws: int
    """Most of them in one window."""
    by_window: bool = False
    """Whether each window has a draw of its own, for the sum does not add up over windows; else blocks of atoms do."""

    def most(self, groups: int) -> int:
        """No sum of so many groups over a window is moved further than this."""
        whole = self.variance * NODES_PARTS * self.draws * groups
        return FARTHEST * (math.isqrt(math.ceil(whole)) + 1)


class Block(NamedTuple):
    """A node of the tree: the leaves from place·2^level on, 2^level of them."""

    level: int
    place: int


def blocks(start: int, stop: int) -> tuple[Block, ...]:
    """The fewest blocks that make up the panes start ≤ pane < stop, in order; at most 2·log2(stop − start) + 2.

    Raises:
        ValueError: no panes.
    """
    if not 0 <= start < stop:
        raise ValueError(f"panes {start} to {stop}; expected some, from 0 on")
    found = []
    while start < stop:
        aligned = (start & -start).bit_length() - 1 if start else stop.bit_length()
        level = min(aligned, (stop - start).bit_length() - 1)
        found.append(Block(level, start >> level))
        start += 1 << level
    return tuple(found)


def squared_sensitivity(panes: int, pane_bound: int, horizon_bound: int, longest: int) -> int:
    """At most by so much (squared, in L2) one patient changes the sums of all blocks together.

    Of one level, blocks are disjoint: Σ|xᵢ| ≤ horizon_bound, and |xᵢ| ≤ min(2^level·pane_bound, horizon_bound), so that
    Σxᵢ² is at most the product of the two.

    Args:
        panes: of the horizon.
        pane_bound: |a patient's part of a sum in a pane|.
        horizon_bound: Σ over all panes of that.
        longest: panes of the longest window: no block is longer.
    """
    whole = min(horizon_bound, panes * pane_bound)
    return sum(whole * min(pane_bound << level, whole) for level in range(min(panes, longest).bit_length()))


def noise_of_blocks(horizon: Horizon, pane_bound: int, rho: Fraction, *, split: bool) -> SumNoise:
    """Of a sum that adds up over panes.

    Args:
        horizon: of the agreement.
        pane_bound: |a patient's part in a pane|, over all arms together, since nobody is in two.
        rho: what it may spend.
        split: whether it is also summed by category: a patient is in the total and in one category at most.
    """
    squared = (1 + split) * squared_sensitivity(
        horizon.atoms, horizon.atom_panes * pane_bound, horizon.panes * pane_bound, horizon.window_atoms
    )
    return SumNoise(squared, variance(squared, rho), 2 * horizon.window_atoms.bit_length())


def noise_of_windows(horizon: Horizon, cap: int, places: int, rho: Fraction, *, split: bool) -> SumNoise:
    """Of a sum of what is left below a cap, which does not add up: every window has noise of its own.

    Args:
        horizon: of the agreement.
        cap: most that a patient has in a window, arm and category.
        places: pairs of arm and category (or none) in which a patient can be in one window, at most.
        rho: what it may spend.
        split: whether it is also summed by category; the total is then the sum over categories.
    """
    whole = (places * cap) ** 2 + places * cap**2 if split else places * cap**2
    squared = horizon.windows * whole
    return SumNoise(squared, variance(squared, rho), 1, by_window=True)


def horizon_of(lattice: Lattice) -> Horizon:
    """Of an agreement's windows."""
    edges, longest = lattice.edges, 0
    for first, start in enumerate(edges):
        while first + longest + 1 < len(edges) and edges[first + longest + 1] - start <= lattice.largest:
            longest += 1
    return Horizon(
        panes=edges[-1] - edges[0], atoms=len(lattice.atoms), window_atoms=longest, windows=len(lattice.scheduled),
        atom_panes=max(stop - start for start, stop in lattice.atoms),
    )


def privacy_of(agreed: Sequence[KpiPrivacy], lattice: Lattice, kpi: str) -> Privacy | None:
    """What the plan of a KPI has to say of it; None: its figures are exact."""
    for each in agreed:
        if each.kpi == kpi:
            return Privacy(rho=each.rho, delta=each.delta, horizon=horizon_of(lattice))
    return None


def check_compiled(agreed: Sequence[KpiPrivacy], lattice: Lattice, found: Mapping[str, Privacy | None]) -> None:
    """Check that plans (`found`: by KPI) have the privacy that is agreed.

    Raises:
        ValueError: there is no such KPI, or its plan says something else.
    """
    if strange := [each.kpi for each in agreed if each.kpi not in found]:
        raise ValueError(
            f"privacy of {', '.join(strange)}, which the agreement does not compute; it computes {', '.join(found)}"
        )
    if strange := [kpi for kpi, privacy in found.items() if privacy != privacy_of(agreed, lattice, kpi)]:
        raise ValueError(f"KPI {strange[0]} has another privacy than agreed. Compile again.")


def check_privacy(agreed: Sequence[KpiPrivacy], quota: Rho | None, renew_batches: int | None) -> None:
    """Check what an agreement says about it, as far as no KPI is compiled.

    Args:
        agreed: KPI by KPI.
        quota: what all versions of the agreement may spend.
        renew_batches: when everybody is linked anew.

    Raises:
        ValueError: says what to change.
    """
    kpis = [each.kpi for each in agreed]
    if len(set(kpis)) != len(kpis):
        raise ValueError(f"privacy: KPIs repeat: {', '.join(kpis)}. Leave one table for each")
    if bool(agreed) != (quota is not None):
        raise ValueError(
            "quota.rho says what all versions of the agreement may spend: expected with privacy, and only with it; "
            f"found {quota or 'none'} with {len(agreed)} tables of privacy"
        )
    if agreed and renew_batches is not None:
        raise ValueError(
            "linkage.renew_batches puts patients into other groups, so that one patient would be in two of them: "
            "privacy would be spent twice. Leave renew_batches out, or privacy"
        )


def units(rho: Rho) -> int:
    """As the chain counts it."""
    return int(Fraction(rho) * UNITS)


def in_rho(units_: int) -> str:
    """The chain's count as ρ is written."""
    whole, rest = divmod(units_, UNITS)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")


def variance(squared: int, rho: Fraction) -> Fraction:
    """Of the noise in each block, for a series that may spend ρ: Δ²/(2ρ), at least LEAST_VARIANCE.

    Raises:
        ValueError: ρ is not above 0.
    """
    if rho <= 0:
        raise ValueError(f"a budget of {rho}; expected more than 0")
    return max(Fraction(squared) / (2 * rho), Fraction(LEAST_VARIANCE))


def epsilon(rho: float, delta: float) -> float:
    """ρ-zCDP is (ε, δ)-differentially private for this ε: ρ + 2·√(ρ·ln(1/δ)) (Bun and Steinke, Proposition 1.3)."""
    return rho + 2 * math.sqrt(rho * math.log(1 / delta))
