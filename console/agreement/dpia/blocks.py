"""What a report is made of: parts with lines, tables and risks; each line says whether people have to fill it in."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from console.agreement.clause import Clause, SectionId
from console.agreement.dpia.dutch import DUTCH
from console.agreement.dpia.english import ENGLISH
from console.agreement.sections import sections_of
from console.agreement.subject import Subject
from console.agreement.words import Words
from console.locale import Lang

Mark = Literal["said", "silent", "open"]
"""said: it follows from the agreement or from how Winnow works; silent: the agreement is; open: people fill it in."""
PartId = Literal[
    "described", "purposes", "roles", "flows", "need", "recipients", "kept", "rights", "risks", "residual", "running",
    "to_do",
]


@dataclass(frozen=True)
class Line:
    """One sentence or a few."""

    text: str
    mark: Mark = "said"


Cell = tuple[Line, ...]


@dataclass(frozen=True)
class Block:
    """Lines under a heading; without a heading they follow what stands before."""

    about: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Table:
    """Rows whose first cell says what they are about."""

    about: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Risk:
    """What may happen to patients, what is enforced against it and by whom, and what remains."""

    key: str
    title: str
    enforced: Cell
    by: Cell
    remains: Cell


@dataclass(frozen=True)
class Part:
    """One part of the report."""

    id: PartId
    blocks: tuple[Block | Table | Risk, ...]

    @property
    def lines(self) -> Iterator[Line]:
        """Every line of it, in order."""
        for block in self.blocks:
            match block:
                case Block():
                    yield from block.lines
                case Table():
                    yield from (line for row in block.rows for cell in row for line in cell)
                case Risk():
                    yield from (*block.enforced, *block.by, *block.remains)


class Report:
    """An agreement in the words of one language, with clauses of its summary at hand."""

    def __init__(self, subject: Subject, lang: Lang) -> None:
        self.subject, self.draft = subject, subject.draft
        self.say = Words(lang, subject.draft.panes.unit, {"en": ENGLISH, "nl": DUTCH}[lang])
        self._sections = {section.id: section.clauses for section in sections_of(subject, lang)}

    def clauses(self, section: SectionId) -> tuple[Clause, ...]:
        """All that the summary says there."""
        return self._sections.get(section, ())

    def quote(self, section: SectionId, *keys: str) -> Cell:
        """Those of its clauses whose keys are these, or begin with one of them and a colon; as far as there are any."""
        wanted = [
            clause.text for key in keys for clause in self.clauses(section)
            if clause.key == key or clause.key.startswith(f"{key}:")
        ]
        return tuple(Line(text) for text in dict.fromkeys(wanted))

    def said(self, *keys: str, **values: str) -> Cell:
        """Texts of the report."""
        return tuple(Line(self.say(key, **values)) for key in keys)

    def silent(self, key: str, **values: str) -> Cell:
        """That the agreement says nothing of something."""
        return (Line(self.say(key, **values), "silent"),)

    def open(self, key: str, **values: str) -> Cell:
        """What people have to fill in."""
        return (Line(self.say(key, **values), "open"),)


def lines_of(clauses: Iterable[Clause]) -> Cell:
    """Clauses as lines."""
    return tuple(Line(clause.text) for clause in clauses)
