"""What a pane of one shard holds: its measures, made of all that was known at a cut (streams.passing)."""

from collections import defaultdict
from collections.abc import Collection
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from policy.agreement import Draft
from policy.measure import LIMB_BITS, Measure
from streams.additive import Contributions
from streams.answers import Answer, Answers
from streams.chest import Tables, table
from streams.errors import ConfigurationError
from streams.facts import Facts
from streams.intervals import STANDS, Numbers, Programme


def _schema(*names: str, **types: pa.DataType) -> pa.Schema:
    """Names of int64 columns, and other columns; those of `types` may be null."""
    return pa.schema([*(pa.field(n, pa.int64(), nullable=False) for n in names), *types.items()])


_PROGRAMMES = pa.schema([
    ("programme", pa.string()), ("event", pa.string()),
    *_schema("person", "start", "stop", "first", "end", "told", "until"),
])
_FACTS = pa.schema([("field", pa.string()), *_schema("person", "since", value=pa.string()), *_schema("told")])
_EVENTS = _schema("pane", "person", "measure", "value", "told")
_ANSWERS = pa.schema([
    ("instrument", pa.string()), *_schema("person"), ("at", pa.float64()), *_schema("score", "pane", "told", "gone"),
])


class Content:
    """All that events of one shard said that counts; people by their number in the register."""

    def __init__(self, draft: Draft, party: str) -> None:
        self.zone = ZoneInfo(draft.panes.zone)
        self._grid, self._measures = draft.panes, draft.party_measures(party)
        self.origin = draft.panes.edges[0].timestamp()
        """Seconds since 1970 at the grid's start."""
        self.edges = [round(edge.timestamp() - self.origin) for edge in draft.panes.edges]
        """Seconds from the grid's start."""
        self.programmes: defaultdict[str, Programme] = defaultdict(Programme)
        self.facts: defaultdict[str, Facts] = defaultdict(Facts)
        self.events = Contributions(self._measures)
        self.answers: defaultdict[str, Answers] = defaultdict(Answers)

    def columns(self, pane: int, cut: int, people: int, withdrawn: Numbers) -> list[NDArray[np.int64]]:
        """(people,) each of the party's shared columns, as far as it was known when so many cuts had passed.

        Args:
            pane: of the grid.
            cut: cuts before the one that is asked for.
            people: in the register.
            withdrawn: those who have 0 in this pane.
        """
        values: dict[str, Numbers] = {}
        for measure in self._measures:
            self._evaluate(measure, pane, cut, people, values)
        found: list[Numbers] = []
        for measure in self._measures:
            value = values[measure.name]
            value[withdrawn] = 0
            limbs = (value >> LIMB_BITS, value & ((1 << LIMB_BITS) - 1)) if measure.aggregation == "sum" else (value,)
            found += limbs
        return found

    def forget(self, pane: int, cut: int) -> None:
        """A pane is not asked for any more, and neither is what was known before a cut."""
        self.events.forget(pane)
        for programme in self.programmes.values():
            programme.forget(cut)

    def forget_people(self, people: Collection[int]) -> None:
        """Whoever has 0 in all that is asked for from now on."""
        if not people:
            return
        self.events.forget_people(people)
        for programme in self.programmes.values():
            programme.forget_people(people)
        for facts in self.facts.values():
            facts.forget_people(people)
        for answers in self.answers.values():
            answers.forget_people(people)

    def dump(self) -> dict[str, pa.RecordBatch]:
        """As tables."""
        return {
            "programmes": table(_PROGRAMMES, (
                (name, *row) for name, programme in self.programmes.items() for row in programme.rows()
            )),
            "facts": table(_FACTS, ((name, *row) for name, held in self.facts.items() for row in held.rows())),
            "events": table(_EVENTS, self.events.rows()),
            "answers": table(_ANSWERS, (
                (name, *row) for name, answers in self.answers.items() for row in answers.rows()
            )),
        }

    def load(self, tables: Tables) -> None:
        """Put a new one back to where it was.

        Raises:
            StoreError: not the tables of `dump`.
        """
        for name, event, person, start, stop, first, end, told, until in tables.rows("programmes", _PROGRAMMES):
            self.programmes[name].put(event, person, start, stop, (first, end), told, until)
        for name, person, since, value, told in tables.rows("facts", _FACTS):
            self.facts[name].add(person, since, value, told)
        self.events.restore(tables.rows("events", _EVENTS))
        for name, person, at, score, pane, told, gone in tables.rows("answers", _ANSWERS):
            row = self.answers[name].add(person, Answer(at, score, pane), told)
            if gone != STANDS:
                self.answers[name].remove(row, gone)

    def _evaluate(self, measure: Measure, pane: int, cut: int, people: int, values: dict[str, Numbers]) -> Numbers:
        """(people,) a measure's values in a pane; `values` holds those already known."""
        if measure.name in values:
            return values[measure.name]
        value = self._plain(measure, pane, cut, people, values)
        if measure.at_risk is not None:
            twin = next(m for m in self._measures if m.name == measure.at_risk)
            value[self._evaluate(twin, pane, cut, people, values) == 0] = 0
        values[measure.name] = value
        return value

    def _plain(self, measure: Measure, pane: int, cut: int, people: int, values: dict[str, Numbers]) -> Numbers:
        start, stop = self.edges[pane], self.edges[pane + 1]
        value = np.zeros(people, dtype=np.int64)
        match measure.aggregation:
            case "exposed":
                value[self.programmes[_named(measure.programme)].whole(start, stop, cut)] = 1
            case "not-yet-exposed":
                value[self.programmes[_named(measure.cohort)].whole(start, stop, cut)] = 1
                value[self.programmes[_named(measure.programme)].begun(stop, cut)] = 0
            case "days":
                first, end = (self._grid.first_day(p).toordinal() for p in (pane, pane + 1))
                np.add.at(value, *self.programmes[_named(measure.programme)].days(first, end, cut))
            case "category":
                value[self.facts[_named(measure.field)].at(start, _named(measure.value), people, cut)] = 1
            case "nonzero":
                twin = next(m for m in self._measures if m.name == measure.of)
                value[self._evaluate(twin, pane, cut, people, values) != 0] = 1
            case "follow-ups" | "change":
                who, change = self.answers[_named(measure.code)].follow_ups(pane, cut)
                np.add.at(value, who, change if measure.aggregation == "change" else 1)
            case "count" | "sum" | "missed":
                value = self.events.sums(pane, self._measures.index(measure), people, cut)
                if measure.aggregation == "missed":
                    np.maximum(value, 0, out=value)
        return value


def _named(name: str | None) -> str:
    if name is None:
        raise ConfigurationError("a measure lacks a name that policy.measure demands")
    return name
