"""What a schedule can be expected to let out of a cohort, before anybody signs: contributors against the minimum.

Expected are numbers of distinct patients, as disclosure counts them (mpc.disclosure): for each atom, arm, group and
kind of what is counted. Patients are spread evenly over groups unless shares are given, stay in their arm and group,
have time in every pane, and have something of what else is counted in a pane with the same chance every time, each by
themselves.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Final, Literal

from console.agreement.binomial import below, few
from console.agreement.subject import Subject
from console.errors import ConsoleError
from mpc.disclosure import atom_ranges
from policy.plan import Plan
from policy.window import Window

MOST_PATIENTS: Final = 10**9
ENOUGH: Final = 0.05
"""A step or cohort is advised at which the thinnest count falls below the minimum with no more than this chance."""
ROUNDING: Final = 1e-9
Part = Literal["total", "table"]
Outcome = Literal["all", "all-unsure", "total", "total-unsure", "nothing"]


@dataclass(frozen=True)
class Cohort:
    """What is assumed of patients."""

    patients: int
    """Linked ones."""
    exposed: float = 0.5
    """Share of them in the exposed arm; the others are in the comparator."""
    groups: Mapping[str, float] | None = None
    """Category → share; None: the same for all. Who is left is in no category."""
    active: Mapping[str, float] = field(default_factory=dict)
    """KPI → share of patients who have something of what is counted in a pane; "" for all others."""

    def active_in(self, kpi: str) -> float:
        """The share for a KPI."""
        return self.active.get(kpi, self.active.get("", 1.0))


@dataclass(frozen=True)
class Count:
    """Contributors that are counted in an atom: of one arm, cell and kind."""

    arm: str
    cell: Mapping[str, str] | None
    """{}: all patients; None: those in no group."""
    counted: str
    """Measure of which they have something."""
    patients: int
    share: float
    """Of all patients."""
    minimum: int

    @property
    def expected(self) -> float:
        """How many there are, on average."""
        return self.patients * self.share

    @property
    def enough(self) -> bool:
        """Whether that many reach the minimum. Outside all groups nobody will do too, if that is likely."""
        return self.expected >= self.minimum - ROUNDING or (self.cell is None and self.risk < 1 / 2)

    @property
    def risk(self) -> float:
        """Probability that they withhold a release."""
        return (few if self.cell is None else below)(self.patients, self.share, self.minimum)


@dataclass(frozen=True)
class Expected:
    """A window of a KPI."""

    window: Window
    outcome: Outcome
    atom: tuple[int, int]
    """The thinnest one."""
    chances: Mapping[Part, float]
    """At least so likely each part comes out: as if no two counts ever fell short at once."""
    lengths: tuple[int, ...]
    """Of its atoms, each once, ascending."""


@dataclass(frozen=True)
class Judged:
    """A part of a KPI in an atom of some length."""

    thinnest: Count
    enough: bool
    """Whether all counts are, by what is expected."""
    risk: float
    """Of all counts together, as if no two fell short at once."""

    @property
    def sure(self) -> bool:
        """Whether it can be counted on."""
        return self.enough and self.thinnest.risk <= ENOUGH


class Outlook:
    """One KPI of an agreement, for one cohort."""

    def __init__(self, subject: Subject, plan: Plan, cohort: Cohort) -> None:
        self.plan, self._subject, self._cohort = plan, subject, cohort
        self._draft = subject.draft
        self._minimum = subject.draft.disclosure.minimum_cohort
        self._known: dict[tuple[Part, int], Judged] = {}

    @property
    def parts(self) -> tuple[Part, ...]:
        """Parts in which it comes out: without groups there is no table."""
        return ("total", "table") if len(self.plan.strata) > 1 else ("total",)

    def thinnest(self, part: Part, panes: int) -> Count:
        """The count, of an atom of so many panes, that is likeliest to withhold the part."""
        return self._judged(part, panes).thinnest

    @cached_property
    def shortest(self) -> tuple[int, int]:
        """The first of the shortest atoms that are in a scheduled window."""
        return min((row.atom for row in self.windows), key=lambda atom: (atom[1] - atom[0], atom[0]))

    @cached_property
    def windows(self) -> tuple[Expected, ...]:
        """Every scheduled window."""
        lattice = self._draft.lattice
        lengths = [stop - start for start, stop in lattice.atoms]
        before = {length: [0, *accumulate(each == length for each in lengths)] for length in sorted(set(lengths))}
        found = []
        places = atom_ranges(lattice.scheduled, lattice.atoms)
        for window, (first, last) in zip(lattice.scheduled, places, strict=True):
            inside = {n: up_to[last] - up_to[first] for n, up_to in before.items() if up_to[last] > up_to[first]}
            risks = {part: sum(self._judged(part, n).risk * many for n, many in inside.items()) for part in self.parts}
            atom = lattice.atoms[lengths.index(min(inside), first)]
            chances = {part: max(0.0, 1 - risk) for part, risk in risks.items()}
            found.append(Expected(window, self._outcome(inside), atom, chances, tuple(inside)))
        return tuple(found)

    def _outcome(self, lengths: Iterable[int]) -> Outcome:
        """What comes out of a window with atoms of these lengths, by what is expected."""
        judged = {part: [self._judged(part, n) for n in lengths] for part in self.parts}
        expected = [part for part in self.parts if all(each.enough for each in judged[part])]
        if not expected:
            return "nothing"
        sure = all(each.sure for each in judged[expected[-1]])
        if expected[-1] == self.parts[-1]:
            return "all" if sure else "all-unsure"
        return "total" if sure else "total-unsure"

    def sure(self, part: Part) -> bool:
        """Whether the part can be counted on in every window."""
        return all(self._judged(part, n).sure for n in {n for row in self.windows for n in row.lengths})

    def step_that_would_do(self, part: Part) -> int | None:
        """The shortest atoms, in panes, of which the part would come out; None: none would do."""
        lengths = range(1, self._draft.panes.count + 1)
        at = bisect_left(lengths, True, key=lambda n: self._judged(part, n).sure)
        return lengths[at] if at < len(lengths) and self._judged(part, lengths[at]).sure else None

    def patients_that_would_do(self, part: Part) -> int | None:
        """The fewest patients for whom the part would come out with these windows; None: more than there can be.

        If then a few would be in no group, it is as many as it takes for these to be enough.
        """
        start, stop = self.shortest
        counts = list(self._counts(part, stop - start))
        outside = [count for count in counts if count.cell is None]
        for considered in ([count for count in counts if count.cell is not None], counts):
            fewest = self._fewest(min(count.share for count in considered))
            if fewest <= MOST_PATIENTS and all(replace(count, patients=fewest).risk <= ENOUGH for count in outside):
                return fewest
        return None

    def _fewest(self, share: float) -> int:
        """The fewest patients of whom such a share is enough; more than there can be if none are."""
        return bisect_left(range(MOST_PATIENTS + 1), True, key=lambda n: below(n, share, self._minimum) <= ENOUGH)

    def _judged(self, part: Part, panes: int) -> "Judged":
        if (part, panes) not in self._known:
            counts = list(self._counts(part, panes))
            thinnest = max(counts, key=lambda count: (count.risk, -count.share))
            self._known[part, panes] = Judged(
                thinnest, enough=all(count.enough for count in counts), risk=sum(count.risk for count in counts),
            )
        return self._known[part, panes]

    def _counts(self, part: Part, panes: int) -> Iterator[Count]:
        """What a part depends on in an atom of so many panes; the table depends on the total, too."""
        yield from self._cell({}, 1.0, panes)
        if part == "total":
            return
        for stratum in self.plan.strata[1:]:
            yield from self._cell(stratum.cell, self._shares[next(iter(stratum.cell.values()))], panes)
        outside = 1 - sum(self._shares.values())
        if outside > ROUNDING:
            yield from self._cell(None, outside, panes)

    @cached_property
    def _shares(self) -> dict[str, float]:
        """Of the plan's own categories."""
        own, given = categories([self.plan]), self._cohort.groups
        return {value: 1 / len(own) if given is None else given[value] for value in own}

    def _cell(self, cell: Mapping[str, str] | None, share: float, panes: int) -> Iterator[Count]:
        active = self._cohort.active_in(self.plan.kpi)
        arms = zip(self.plan.arms, (self._cohort.exposed, 1 - self._cohort.exposed), strict=False)
        measures = {m.name: m for m in self._draft.measures}
        for arm, part in arms:
            for column in self.plan.contributors:
                of = measures[self._subject.measure(column.name).of or ""]
                rate = 1.0 if of.aggregation == "days" else 1 - (1 - active) ** panes
                yield Count(
                    self._subject.measure(arm.name).name, cell, of.name, self._cohort.patients, part * share * rate,
                    self._minimum,
                )


def categories(plans: Sequence[Plan]) -> list[str]:
    """The categories of all plans, each once."""
    return list(dict.fromkeys(value for plan in plans for stratum in plan.strata for value in stratum.cell.values()))


def check_groups(plans: Sequence[Plan], given: Mapping[str, float]) -> None:
    """Refuse shares that do not fit.

    Raises:
        ConsoleError: shares of other categories than there are, or of more than everybody.
    """
    known = categories(plans)
    if set(given) != set(known):
        raise ConsoleError(
            f"--groups: found shares of {', '.join(given)}; expected one of each of "
            f"{', '.join(known) or 'no groups, since no KPI has any'}. Name each once, as in NAME=SHARE,NAME=SHARE."
        )
    if sum(given.values()) > 1 + ROUNDING:
        raise ConsoleError(
            f"--groups: found shares of {sum(given.values()):g} together, expected at most 1. Make them smaller; who "
            "is left is in no group."
        )
