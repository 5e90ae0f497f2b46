"""The oracle's reading of encounters, monitoring, PROM answers and withdrawals, and of the measures over them.

Shares no code with Winnow. The rules:
- a version of a resource that comes later replaces what an earlier one said; entered in error (an encounter or task
  cancelled, a procedure not done) takes it back; what was never said cannot be taken back (not-mapped);
- a Task of a module is due at the start of its executionPeriod and, once completed, completed at its end too;
- the first answer is the earliest that stands, of several on one day the one with the lowest score;
- what would change anything that a sealed pane holds is late, and so is what takes back something that was late. Panes
  before a person's first (oracle_batches) hold nothing; later answers are compared with one from there, too.
"""

from collections import Counter
from datetime import date, datetime
from typing import NamedTuple

import numpy as np

from tests.support.oracle_batches import FAR

ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CLASSES = {
    "outpatient": ["AMB", "HH", "PRENC", "OBSENC"], "admission": ["IMP", "ACUTE", "NONAC", "SS"], "ed": ["EMER"],
    "tele": ["VR"],
}
OPEN = {
    "Encounter": {"planned"}, "Task": {"draft"}, "QuestionnaireResponse": {"in-progress", "stopped"},
    "Observation": {"registered", "preliminary"},
}
WRONG = {
    "Encounter": {"cancelled", "entered-in-error"}, "Task": {"cancelled", "entered-in-error", "rejected"},
    "QuestionnaireResponse": {"entered-in-error"}, "Observation": {"cancelled", "entered-in-error"},
}
STATED = {
    "Encounter": {"arrived", "triaged", "in-progress", "onleave", "finished"},
    "Task": {"requested", "received", "accepted", "ready", "in-progress", "on-hold", "failed", "completed"},
    "QuestionnaireResponse": {"completed", "amended"}, "Observation": {"final", "amended", "corrected"},
}


class Fact(NamedTuple):
    kind: str
    code: str
    module: str
    day: date
    score: int = 0


class Rejected(Exception):
    """A line that does not count; the reason is the message."""


class Kinds:
    """Reads resources for a `tests.support.oracle_files.Reader`."""

    def __init__(self, reader, measures: list[dict]) -> None:
        self.reader = reader
        monitored = [m for m in measures if m.get("kind") == "monitoring" or m["aggregation"] == "missed"]
        self.modules = {m.get("module") for m in monitored}
        self.instruments = {
            m["code"] for m in measures if m.get("kind") == "prom" or m["aggregation"] in ("follow-ups", "change")
        }
        self._recorded: dict[str, datetime] = {}
        self._least: dict[str, date] = {}
        self._stands: set[str] = set()
        self._seen: set[str] = set()

    def encounter(self, row: dict, at: datetime) -> None:
        of = row.get("class") or {}
        names = [name for name, codes in CLASSES.items() if of.get("code") in codes]
        if of.get("system") != ACT or not names:
            raise Rejected("unknown-code")
        self._take("encounter", row, at, row.get("subject"), lambda: [
            Fact("encounter", names[0], "", self._day(row, "period", "start", at=at))
        ])

    def response(self, row: dict, at: datetime) -> None:
        self._answer(row, at, {row["questionnaire"].split("|")[0].split("/")[-1]}, lambda: (
            self._day(row, "authored", at=at), next(i["answer"][0]["valueInteger"] for i in row["item"] if i["linkId"] == "total"),
        ))

    def observation(self, row: dict, at: datetime) -> None:
        self._answer(row, at, {c.get("code") for c in row["code"]["coding"]}, lambda: (
            self._day(row, "effectiveDateTime", at=at), row["valueQuantity"]["value"],
        ))

    def _answer(self, row: dict, at: datetime, codes: set[str], said) -> None:
        if codes & self.instruments and "prom" in self.reader.kinds:
            code = (codes & self.instruments).pop()
            self._take("prom", row, at, row.get("subject"), lambda: [
                Fact("prom", code, "", said()[0], round(100 * said()[1]))
            ])
        elif None not in self.modules and codes & self.modules and "monitoring" in self.reader.kinds:
            module = (codes & self.modules).pop()
            self._take("monitoring", row, at, row.get("subject"), lambda: [
                Fact("monitoring", "completed", module, said()[0])
            ])
        else:
            raise Rejected("unknown-code")

    def task(self, row: dict, at: datetime) -> None:
        codes = {c.get("code") for c in row["code"]["coding"]}
        module = next(iter(codes if None in self.modules else codes & self.modules), None)
        if module is None:
            raise Rejected("unknown-code")

        def facts() -> list[Fact]:
            due = Fact("monitoring", "due", module, self._day(row, "executionPeriod", "start", at=at))
            if row["status"] != "completed":
                return [due]
            return [Fact("monitoring", "completed", module, self._day(row, "executionPeriod", "end", at=at)), due]

        self._take("monitoring", row, at, row.get("for"), facts)

    def _day(self, row: dict, *path: str, at: datetime) -> date:
        for part in path:
            row = row.get(part) or {}
        return self.reader.day(row or "", at)

    def _take(self, kind: str, row: dict, at: datetime, subject: dict, facts) -> None:
        what, key = row["resourceType"], f"{row['resourceType']}/{row['id']}"
        status = row.get("status")
        if status in OPEN[what] or (status in WRONG[what] and key not in self._seen):
            raise Rejected("not-mapped")
        if status not in STATED[what] | WRONG[what]:
            raise Rejected("unknown-code")
        person = self.reader.person(subject)
        said = facts() if status in STATED[what] else []
        self._seen.add(key)
        if said and (said[0].day >= self.reader.grid.edges[-1] or (kind != "prom" and said[0].day < self.reader.grid.edges[0])):
            raise Rejected("outside-agreement")
        if any(self.reader.is_old(fact.day) for fact in said):
            raise Rejected("too-old")
        if key in self._recorded and self.reader.is_old(self._least[key]):
            del self._recorded[key]
            self._stands.discard(key)
            if key in (mine := self.reader.books.said.get(person, {})):
                mine[f"{key} before {at}"] = mine.pop(key)
        if key in self._recorded and at <= self._recorded[key]:
            raise Rejected("duplicate-id")
        if not said and key not in self._stands:
            raise self.reader.unknown() if key not in self._recorded else Rejected("already-cancelled")
        days = [fact.day for fact in said] + ([self._least[key]] if key in self._stands else [])
        self._recorded[key], self._least[key] = at, min(days)
        self._stands.discard(key)
        if said:
            self._stands.add(key)
        self._apply(kind, key, person, said)

    def _apply(self, kind: str, key: str, person: str, said: list[Fact]) -> None:
        books, reader = self.reader.books, self.reader
        mine = books.said.setdefault(person, {})
        after = {k: v for k, v in mine.items() if k != key} | ({key: said} if said else {})
        first = reader.first_pane(person)
        sealed, over = (
            self._held(mine, closed, first) != self._held(after, closed, first)
            for closed in (reader.is_sealed, reader.is_over)
        )
        # What takes back something that was too late is so, too.
        over = over or (not said and key not in mine)
        before, then = (Counter(self._held(of, lambda _: True, first)) for of in (mine, after))
        changed = [held[0] for held in [*(before - then), *(then - before)]]
        reader.count(
            person, sealed=sealed, over=over, early=first > 0 and not changed, last=max(changed, default=FAR)
        )
        if reader.linked(person) and not over:
            books.said[person] = after
        if said:
            reader.move(kind, said[0].day)

    def _held(self, said: dict[str, list[Fact]], closed, first: int) -> list:
        """What the panes that are `closed` hold of one person, from their `first` one on."""
        grid, held = self.reader.grid, []
        firsts = first_answers(said)
        for fact in (f for facts in said.values() for f in facts):
            pane = grid.pane(fact.day)
            if first <= pane < len(grid.edges) - 1 and closed(pane):
                if fact.kind == "prom":
                    held.append((pane, fact.code, fact.day, fact.score, firsts[fact.code]))
                else:
                    held.append((pane, *fact[:3]))
        return sorted(held, key=str)

    def withdrawal(self, row: dict, at: datetime) -> None:
        reader, person = self.reader, row["person"]
        reader.day(row["withdrawn_on"], at)
        if person not in reader.books.known:
            raise Rejected("unknown-person")
        opened = next((p for p in range(len(reader.grid.edges) - 1) if not reader.is_sealed(p)), len(reader.grid.edges))
        reader.books.withdrawn.setdefault(person, opened)
        reader.books.left.setdefault(person, at)
        reader.count(person, sealed=False, over=False, early=False, last=FAR)
        reader.move("withdrawal", reader.day(row["withdrawn_on"], at))


def first_answers(said: dict[str, list[Fact]]) -> dict[str, tuple[date, int]]:
    """Instrument → day and score of the first answer."""
    answers = [f for facts in said.values() for f in facts if f.kind == "prom"]
    return {code: min((f.day, f.score) for f in answers if f.code == code) for code in {f.code for f in answers}}


def is_of_a_kind(measure: dict) -> bool:
    """Whether `measured` works a measure out."""
    return measure["aggregation"] in ("missed", "follow-ups", "change") or (
        measure["aggregation"] == "count" and measure["kind"] in ("encounter", "monitoring", "prom")
    )


def measured(measure: dict, said: dict[str, dict[str, list[Fact]]], index: dict[str, int], edges: list[date]) -> np.ndarray:
    """(people, panes) of a measure over what stands, person by person and fact by fact."""
    how, made = measure["aggregation"], np.zeros((len(index), len(edges) - 1), dtype=np.int64)
    for person in said.keys() & index.keys():
        facts = [f for of in said[person].values() for f in of]
        firsts = first_answers(said[person])
        for pane in range(len(edges) - 1):
            here = [f for f in facts if edges[pane] <= f.day < edges[pane + 1]]
            modules = [f.code for f in here if f.kind == "monitoring" and measure.get("module") in (None, f.module)]
            scores = sorted((f.day, f.score) for f in here if f.kind == "prom" and f.code == measure.get("code"))
            if how == "missed":
                value = max(0, modules.count("due") - modules.count("completed"))
            elif how == "count":
                value = sum(
                    f.kind == measure["kind"] and measure.get("code") in (None, f.code)
                    and measure.get("module") in (None, f.module) for f in here
                )
            else:
                first = firsts.get(measure["code"])
                if first in scores:
                    scores.remove(first)
                value = len(scores) if how == "follow-ups" else sum(score - first[1] for _, score in scores)
            made[index[person], pane] = value
    return made
