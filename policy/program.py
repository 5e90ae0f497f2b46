"""Programs of sums: what an author writes in TOML, compiled to a plan of sums (policy.sums).

An author names measures and writes sums as products: "exposed.cost * exposed.cost@before". An amount is written once:
where a product of it would leave the ring the compiler takes its two limbs and expands the product. What no measure of
an agreement says yet is a column of the program's own, with the bound that its party must keep.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations_with_replacement, product
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policy import shipped
from policy.errors import PlanError
from policy.faults import fault_lines
from policy.measure import LIMB_BITS, Measure
from policy.plan import Column, Stratum, columns_of, limbs_of
from policy.sums import (
    MOST_FACTORS,
    Amount,
    Factor,
    FirstEvents,
    Matrix,
    Outcome,
    Part,
    Reading,
    State,
    Sum,
    SumsPlan,
    Term,
)

BEFORE = "@before"
"""After a term or a column: of the window before."""


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OwnColumn(_Written):
    """A column that no measure makes yet: |value| ≤ bound per patient and pane."""

    party: str
    bound: int = Field(ge=1, le=2**26 - 1)
    signed: bool = False
    amount: bool = False
    """Of either sign, shared as two limbs."""


class WrittenTerm(_Written):
    """A product in a pane. With arms it is one term for each, called "arm.term"."""

    columns: tuple[str, ...] = Field(min_length=1, max_length=MOST_FACTORS)
    arms: tuple[str, ...] = ()


class Moments(_Written):
    """The sum of every factor and of every product of two of them, squares too."""

    of: tuple[str, ...] = Field(min_length=1)
    within: str | None = None
    """A state that all of them are multiplied with: of those in it alone."""


class WrittenMatrix(_Written):
    """Σ over patients of `rows` in one pane times the term `outcome` in another."""

    name: str
    rows: str
    outcome: str


class Program(_Written):
    """A program of sums; names are those of measures, of own columns, or of what the program itself defines."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    number: int = Field(ge=1)
    """Its place in the list of KPIs."""
    about: str
    """What is made of its results, in the letters of docs/kpis.md."""
    columns: dict[str, OwnColumn] = {}
    arms: dict[str, str] = {}
    """Name of an arm → 0/1 column."""
    terms: dict[str, WrittenTerm] = {}
    states: dict[str, tuple[str, ...]] = {}
    """Name → columns at the window's last pane, "column@before" at that of the window before."""
    sums: tuple[str, ...] = ()
    """Products of one to three terms and states, with " * " between; "term@before" is that of the window before."""
    moments: tuple[Moments, ...] = ()
    matrices: tuple[WrittenMatrix, ...] = ()
    first_events: tuple[FirstEvents, ...] = ()
    """Its arms are named as in `arms`."""
    strata: dict[str, dict[str, str]] = {}
    """Dimension → category → 0/1 measure. At most one dimension."""

    def split_by(self, dimension: str, categories: Mapping[str, str]) -> "Program":
        """The program for other categories: category → 0/1 measure."""
        return self.model_copy(update={"strata": {dimension: dict(categories)}})


def load_program(source: str | Path) -> Program:
    """Read a program of sums from a file, or by its id from those that come with Winnow.

    Raises:
        PlanError: not found, not TOML, or not a program of sums.
    """
    return shipped.load(Program, "plans", source)


def programs() -> tuple[Program, ...]:
    """The programs of sums that come with Winnow, in the order of their numbers."""
    return tuple(sorted(map(load_program, shipped.names("plans")), key=lambda program: program.number))


def compile_sums(program: Program, measures: Mapping[str, Measure], *, patients: int, panes: int) -> SumsPlan:
    """Resolve a program's names, and split the amounts of which a product would leave the ring.

    Args:
        program: what to compute.
        measures: the agreement's, by name.
        patients: most patients of all shards together.
        panes: most panes of a window.

    Raises:
        PlanError: a name is unknown or means two things, a product is not of its form, or a sum may leave the ring.
    """
    values = _values(program, measures)
    split: frozenset[str] = frozenset()
    while True:
        plan = _plan(program, values, split)
        reach = {name for _, _, made_of in plan.beyond(patients, panes) for name in made_of}
        whole = {a.name for a in plan.amounts for t in plan.terms if t.name in reach and a.name in t.columns}
        if not whole:
            plan.check_bounds(patients, panes)
            return plan
        split |= whole


class _Choice(NamedTuple):
    """One of the pieces that a column, a term or a factor is the weighted sum of."""

    weight: int
    name: str
    columns: tuple[str, ...]


Values = Mapping[str, tuple[Column, ...]]
"""Name of a measure or own column → its shared columns; two of an amount."""


def _values(program: Program, measures: Mapping[str, Measure]) -> Values:
    both = sorted(set(program.columns) & set(measures))
    if both:
        raise PlanError(
            f"KPI {program.id}: {', '.join(both)} is a column of the program and a measure of the agreement. "
            "Leave it out of the program, or give one of them another name."
        )
    found = {name: columns_of(measure) for name, measure in measures.items()}
    for name, own in program.columns.items():
        if own.amount:
            found[name] = limbs_of(f"{name}.high", f"{name}.low", party=own.party, bound=own.bound)
        else:
            found[name] = (Column(name=name, party=own.party, bound=own.bound, signed=own.signed),)
    limbs = {column.name: name for name, columns in found.items() if len(columns) > 1 for column in columns}
    for name in sorted(limbs.keys() & found.keys()):
        raise PlanError(
            f"KPI {program.id}: {name} is a limb of the amount {limbs[name]}, so nothing else can be called that. Give "
            "it another name."
        )
    return found


def _plan(program: Program, values: Values, split: frozenset[str]) -> SumsPlan:
    """The plan in which these amounts are split and all others whole."""
    choices, terms = _terms(program, values, split)
    sums = tuple(
        Sum(name=" * ".join(factors), parts=_parts(program, factors, choices)) for factors in _products(program)
    )
    matrices = tuple(
        Matrix(
            name=each.name, rows=each.rows,
            outcomes=tuple(Outcome(term=c.name, weight=c.weight) for c in _known(program, each.outcome, choices)),
        )
        for each in program.matrices
    )
    states = tuple(
        State(name=name, readings=tuple(Reading(column=c, before=before) for c, before in map(_dated, columns)))
        for name, columns in program.states.items()
    )
    first = tuple(
        each.model_copy(update={"arms": tuple(_arm(program, arm) for arm in each.arms)})
        for each in program.first_events
    )
    strata = _strata(program, values)
    named = [
        *(name for t in terms for name in t.product), *(r.column for s in states for r in s.readings),
        *(m.rows for m in matrices), *(s.column.name for s in strata if s.column is not None),
        *(name for f in first for name in (f.present, f.event, *f.arms)),
    ]
    columns, amounts = _read(program, values, named)
    try:
        return SumsPlan(
            kpi=program.id, columns=columns, amounts=amounts, strata=strata, terms=terms, states=states, sums=sums,
            matrices=matrices, first_events=first,
        )
    except ValidationError as error:
        raise PlanError(fault_lines(error)[0]) from error


def _read(
    program: Program, values: Values, named: Sequence[str],
) -> tuple[tuple[Column, ...], tuple[Amount, ...]]:
    """The columns and whole amounts behind names, each once."""
    columns: dict[str, Column] = {}
    amounts: dict[str, Amount] = {}
    by_column = {column.name: column for found in values.values() for column in found}
    for name in named:
        if name in by_column:
            columns.setdefault(name, by_column[name])
        elif name in values:
            high, low = values[name]
            columns |= {high.name: high, low.name: low}
            amounts[name] = Amount(name=name, high=high.name, low=low.name)
        else:
            raise PlanError(
                f"KPI {program.id} needs {name!r}, which is neither a measure of the agreement nor a column of the "
                f"program. Known: {', '.join(sorted(values))}."
            )
    return tuple(columns.values()), tuple(amounts.values())


def _terms(
    program: Program, values: Values, split: frozenset[str],
) -> tuple[dict[str, list[_Choice]], tuple[Term, ...]]:
    """Each written term's pieces, and the terms that they are."""
    choices: dict[str, list[_Choice]] = {}
    terms = []
    for name, written in program.terms.items():
        for arm in written.arms or (None,):
            called = name if arm is None else f"{arm}.{name}"
            choices[called] = list(_pieces(called, [_limbs(column, values, split) for column in written.columns]))
            column = None if arm is None else _arm(program, arm)
            terms += [Term(name=c.name, columns=c.columns, arm=column) for c in choices[called]]
    return choices, tuple(terms)


def _limbs(name: str, values: Values, split: frozenset[str]) -> list[_Choice]:
    if name not in split:
        return [_Choice(1, "", (name,))]
    high, low = values[name]
    return [_Choice(1 << LIMB_BITS, ".high", (high.name,)), _Choice(1, ".low", (low.name,))]


def _pieces(term: str, columns: Sequence[Sequence[_Choice]]) -> Iterator[_Choice]:
    """The product of the columns' pieces, those with the same columns as one."""
    found: dict[tuple[str, ...], _Choice] = {}
    for chosen in product(*columns):
        weight, named = 1, term
        for piece in chosen:
            weight, named = weight * piece.weight, named + piece.name
        read = tuple(column for piece in chosen for column in piece.columns)
        same = found.setdefault(tuple(sorted(read)), _Choice(0, named, read))
        found[tuple(sorted(read))] = same._replace(weight=same.weight + weight)
    yield from found.values()


def _products(program: Program) -> Iterator[tuple[str, ...]]:
    """The factors of every sum, each sum once."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for written in program.sums:
        factors = tuple(part.strip() for part in written.split("*"))
        found.setdefault(tuple(sorted(factors)), factors)
    for moments in program.moments:
        within = () if moments.within is None else (moments.within,)
        for size in (1, 2):
            for chosen in combinations_with_replacement(moments.of, size):
                found.setdefault(tuple(sorted((*within, *chosen))), (*within, *chosen))
    yield from found.values()


def _parts(
    program: Program, factors: Sequence[str], choices: Mapping[str, Sequence[_Choice]],
) -> tuple[Part, ...]:
    """A product's parts: states first, then terms by name, so that products have beginnings in common."""
    if len(factors) > MOST_FACTORS:
        raise PlanError(f"KPI {program.id}: {' * '.join(factors)} has {len(factors)} factors, at most {MOST_FACTORS}.")
    pieces: list[list[tuple[int, Factor]]] = []
    for written in factors:
        name, before = _dated(written)
        if name in program.states:
            pieces.append([(1, Factor(name=name, before=before))])
        else:
            pieces.append([(c.weight, Factor(name=c.name, before=before)) for c in _known(program, name, choices)])
    weights: dict[tuple[Factor, ...], int] = {}
    for chosen in product(*pieces):
        weight = 1
        for each, _ in chosen:
            weight *= each
        made = tuple(sorted(
            (factor for _, factor in chosen), key=lambda f: (f.name not in program.states, f.name, f.before),
        ))
        weights[made] = weights.get(made, 0) + weight
    return tuple(Part(factors=made, weight=weight) for made, weight in weights.items())


def _known(program: Program, name: str, choices: Mapping[str, Sequence[_Choice]]) -> Sequence[_Choice]:
    if name not in choices:
        raise PlanError(
            f"KPI {program.id}: no term is called {name!r}; terms: {', '.join(choices) or 'none'}; states: "
            f"{', '.join(program.states) or 'none'}."
        )
    return choices[name]


def _arm(program: Program, name: str) -> str:
    if name not in program.arms:
        raise PlanError(f"KPI {program.id}: no arm is called {name!r}; known: {', '.join(program.arms) or 'none'}.")
    return program.arms[name]


def _dated(written: str) -> tuple[str, bool]:
    """A name, and whether it is of the window before."""
    return written.removesuffix(BEFORE), written.endswith(BEFORE)


def _strata(program: Program, values: Values) -> tuple[Stratum, ...]:
    if len(program.strata) > 1:
        raise PlanError(f"KPI {program.id} has {len(program.strata)} dimensions of strata; at most one is supported.")
    found = [Stratum(cell={})]
    for dimension, categories in program.strata.items():
        for category, name in categories.items():
            columns, amounts = _read(program, values, [name])
            if amounts:
                raise PlanError(f"KPI {program.id}: {name} is an amount; expected a category, 0 or 1.")
            found.append(Stratum(cell={dimension: category}, column=columns[0]))
    return tuple(found)
