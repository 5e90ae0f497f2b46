"""Plans of sums: what the nodes add up for a KPI, in the general form; canonical and hashable.

A *term* is a product of up to three columns in a pane, of one arm if it names one; a patient's total of it over a
window is the sum over the window's panes. A *state* is a product of up to three columns at the last pane of the window
or of the window before, which is as long and ends where the window starts. A *sum* adds, over patients, a product of up
to three totals and states. It is computed in parts, each a sum of its own in the ring with a public weight, because an
amount whose square would leave the ring is two limbs: Σ c² = 2^26·Σ h² + 2^14·Σ h·l + Σ l². Weights are applied where
there is room, outside the ring. A *matrix* has a sum over patients for each pair of panes: of a column in the one (who
started then) and a term in the other. *First events* are the numbers at risk and of events by pane and arm.

All of these are computed for every cell of `strata`. In a category's cell, a sum's terms count in the panes in which
the patient is in the category, its states if they are in it at the window's last pane; a matrix's rows, numbers at risk
and first events as terms do.
policy.program makes plans of what an author writes, mpc.sums evaluates them.
"""

from collections.abc import Iterable, Iterator
from math import prod

from pydantic import BaseModel, ConfigDict, Field, model_validator

from policy.canonical import Anchored
from policy.errors import PlanError
from policy.measure import LIMB_BITS
from policy.plan import RING_BITS, Column, Stratum

MOST_FACTORS = 3
"""Columns of a term or state, factors of a sum: enough for the third moments of totals, and bounds the rounds."""
MOST_LISTED = 1_000
"""Of each kind in a plan; bounds what a peer's plan can make us compute and allocate."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Amount(_Frozen):
    """A value that is read from its two limbs as one: high·2^LIMB_BITS + low, without messages."""

    name: str
    high: str
    low: str


class Term(_Frozen):
    """A product in a pane: the columns' (or amounts'), and the arm's if there is one."""

    name: str
    columns: tuple[str, ...] = Field(min_length=1, max_length=MOST_FACTORS)
    arm: str | None = None
    """A 0/1 column."""

    @property
    def product(self) -> tuple[str, ...]:
        """What is multiplied, the arm first."""
        return self.columns if self.arm is None else (self.arm, *self.columns)


class Reading(_Frozen):
    """A column at the last pane of the window, or of the window before."""

    column: str
    before: bool = False


class State(_Frozen):
    """A product of readings."""

    name: str
    readings: tuple[Reading, ...] = Field(min_length=1, max_length=MOST_FACTORS)


class Factor(_Frozen):
    """A patient's total of a term over the window (or the window before), or a state."""

    name: str
    before: bool = False
    """Of terms only: a state's readings say it by themselves."""


class Part(_Frozen):
    """What is added up in the ring, and its weight in the sum; of parts that fit the ring it is at most 2^52."""

    factors: tuple[Factor, ...] = Field(min_length=1, max_length=MOST_FACTORS)
    weight: int = Field(default=1, ge=1)


class Sum(_Frozen):
    """Σ weight · part."""

    name: str
    parts: tuple[Part, ...] = Field(min_length=1, max_length=MOST_LISTED)


class Outcome(_Frozen):
    """A term of a matrix, and its weight in it."""

    term: str
    weight: int = Field(default=1, ge=1)


class Matrix(_Frozen):
    """Σ over patients of `rows` in one pane times the outcome in another, for every pair of panes.

    The outcome is Σ weight · term.
    """

    name: str
    rows: str
    """A column: 1 in the pane in which a patient joined the cohort of that pane, say."""
    outcomes: tuple[Outcome, ...] = Field(min_length=1, max_length=MOST_LISTED)


class FirstEvents(_Frozen):
    """Who is at risk of a first event in each pane, and who has it; all columns are 0/1.

    A patient is at risk in the panes in which `present` is 1, from the first of them to the one in which `event` is 1
    for the first time. Events from before somebody is present do not count: who enters late is at risk from entry on.
    An arm counts those at risk who are in it in that pane, so person-time is split where somebody changes arm.
    """

    name: str
    present: str
    event: str
    arms: tuple[str, ...] = Field(min_length=1, max_length=MOST_LISTED)


class SumsPlan(Anchored):
    """All that is added up for one KPI, over any window of any length; strata: the total first, then categories."""

    kpi: str
    columns: tuple[Column, ...] = Field(min_length=1, max_length=MOST_LISTED)
    """What parties share; every one is used."""
    amounts: tuple[Amount, ...] = Field(default=(), max_length=MOST_LISTED)
    strata: tuple[Stratum, ...] = Field(min_length=1, max_length=MOST_LISTED)
    terms: tuple[Term, ...] = Field(default=(), max_length=MOST_LISTED)
    states: tuple[State, ...] = Field(default=(), max_length=MOST_LISTED)
    sums: tuple[Sum, ...] = Field(default=(), max_length=MOST_LISTED)
    matrices: tuple[Matrix, ...] = Field(default=(), max_length=MOST_LISTED)
    first_events: tuple[FirstEvents, ...] = Field(default=(), max_length=MOST_LISTED)

    @model_validator(mode="after")
    def _named(self) -> "SumsPlan":
        """Every name means one thing, and what is named is there and used."""
        values = [*(c.name for c in self.columns), *(a.name for a in self.amounts)]
        factors = [*(t.name for t in self.terms), *(s.name for s in self.states)]
        results = [*(s.name for s in self.sums), *(m.name for m in self.matrices), *(f.name for f in self.first_events)]
        for kind, names in (("column", values), ("term or state", factors), ("result", results)):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"plan {self.kpi}: more than one {kind} is called {', '.join(twice)}")
        if not results:
            raise ValueError(f"plan {self.kpi} computes nothing; expected sums, matrices or first events")
        for kind, names, used in (
            ("column", values, self._used_columns()), ("term or state", factors, self._used_factors()),
        ):
            unknown, unused = sorted(set(used) - set(names)), sorted(set(names) - set(used))
            if unknown or unused:
                raise ValueError(
                    f"plan {self.kpi}: no {kind} is called {', '.join(unknown)}" if unknown
                    else f"plan {self.kpi}: nothing uses the {kind} {', '.join(unused)}. Leave it out"
                )
        return self

    @model_validator(mode="after")
    def _formed(self) -> "SumsPlan":
        known = {column.name: column for column in self.columns}
        flags = [
            *(t.arm for t in self.terms if t.arm is not None),
            *(s.column.name for s in self.strata if s.column is not None),
            *(name for f in self.first_events for name in (f.present, f.event, *f.arms)),
        ]
        for name in flags:
            if name not in known or known[name].bound != 1 or known[name].signed:
                raise ValueError(f"plan {self.kpi}: {name} is an arm, a stratum or of first events; expected 0 or 1")
        plain = [
            *(limb for a in self.amounts for limb in (a.high, a.low)),
            *(r.column for s in self.states for r in s.readings), *(m.rows for m in self.matrices),
        ]
        for name in plain:
            if name not in known:
                raise ValueError(f"plan {self.kpi}: expected {name} to be a column, not an amount")
        if self.strata[0].column is not None or any(s.column is None for s in self.strata[1:]):
            raise ValueError(f"plan {self.kpi}: the first cell is not that of all patients, or a later one is")
        states = {state.name for state in self.states}
        for factor in self._factors():
            if factor.before and factor.name in states:
                raise ValueError(f"plan {self.kpi}: state {factor.name} says by itself which of its columns is before")
        for matrix in self.matrices:
            for outcome in matrix.outcomes:
                if outcome.term in states:
                    raise ValueError(f"plan {self.kpi}: matrix {matrix.name} is of terms, not of state {outcome.term}")
        return self

    def _factors(self) -> Iterator[Factor]:
        return (factor for part in self.parts for factor in part.factors)

    def _used_factors(self) -> Iterable[str]:
        return [*(f.name for f in self._factors()), *(o.term for m in self.matrices for o in m.outcomes)]

    def _used_columns(self) -> Iterable[str]:
        return [
            *(name for t in self.terms for name in t.product),
            *(limb for a in self.amounts for limb in (a.high, a.low)),
            *(s.column.name for s in self.strata if s.column is not None),
            *(r.column for s in self.states for r in s.readings),
            *(m.rows for m in self.matrices),
            *(name for f in self.first_events for name in (f.present, f.event, *f.arms)),
        ]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of all sums, in their order."""
        return tuple(part for each in self.sums for part in each.parts)

    @property
    def looks_back(self) -> bool:
        """Whether a sum needs the window before."""
        return any(f.before for f in self._factors()) or any(r.before for s in self.states for r in s.readings)

    def value_bound(self, name: str) -> int:
        """Most that a column or an amount can be in size."""
        bounds = {column.name: column.bound for column in self.columns}
        bounds |= {a.name: (bounds[a.high] << LIMB_BITS) + bounds[a.low] for a in self.amounts}
        return bounds[name]

    def pane_bound(self, term: str) -> int:
        """Most that a term can be in one pane, in size."""
        return next(prod(map(self.value_bound, t.product)) for t in self.terms if t.name == term)

    def factor_bound(self, factor: Factor, panes: int) -> int:
        """Most that a factor can be, in size, over a window of so many panes."""
        for state in self.states:
            if state.name == factor.name:
                return prod(self.value_bound(reading.column) for reading in state.readings)
        return panes * self.pane_bound(factor.name)

    def part_bound(self, part: Part, patients: int, panes: int) -> int:
        """Most that a part can be, in size."""
        return patients * prod(self.factor_bound(factor, panes) for factor in part.factors)

    def entry_bound(self, matrix: Matrix, outcome: Outcome, patients: int) -> int:
        """Most that an entry of a matrix's part can be, in size."""
        return patients * self.value_bound(matrix.rows) * self.pane_bound(outcome.term)

    def beyond(self, patients: int, panes: int) -> Iterator[tuple[str, int, tuple[str, ...]]]:
        """What may not fit the ring: its name, the bits it may need, the terms and states it is made of."""
        for each in self.sums:
            for part in each.parts:
                bits = self.part_bound(part, patients, panes).bit_length()
                if bits > RING_BITS:
                    yield f"sum {each.name}", bits, tuple(factor.name for factor in part.factors)
        for matrix in self.matrices:
            for outcome in matrix.outcomes:
                bits = self.entry_bound(matrix, outcome, patients).bit_length()
                if bits > RING_BITS:
                    yield f"matrix {matrix.name}", bits, (outcome.term,)
        for first in self.first_events:
            if patients.bit_length() > RING_BITS:
                yield f"first events {first.name}", patients.bit_length(), ()

    def check_bounds(self, patients: int, panes: int) -> None:
        """Refuse a plan of which something may leave the ring.

        What is inside a sum is never larger than the sum's own bound, and running totals over more panes than a
        window may wrap: their differences are exact.

        Args:
            patients: most patients of all shards together.
            panes: most panes of a window.

        Raises:
            PlanError: names the sum, its bits, the limit and what to lower.
        """
        for name, bits, made_of in self.beyond(patients, panes):
            columns = [c for t in self.terms if t.name in made_of for c in t.product]
            columns += [r.column for s in self.states if s.name in made_of for r in s.readings]
            lower = [f"the number of patients ({patients})"]
            if name.startswith("sum"):
                lower.append(f"the window ({panes} panes)")
            largest = max(columns, key=self.value_bound, default="")
            if largest:
                lower.append(f"the bound of {largest} ({self.value_bound(largest)})")
            wide = largest and self.value_bound(largest) > 1 << LIMB_BITS
            raise PlanError(
                f"KPI {self.kpi}: {name} may need {bits} bits in {' · '.join(made_of) or 'a count'}, the ring has "
                f"{RING_BITS}. Lower {' or '.join(lower)}"
                f"{', or share ' + largest + ' as an amount: its products are then made of two limbs' if wide else ''}."
            )
